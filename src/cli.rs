//! The command line: reads arguments and configuration, runs one command, and chooses the exit status.
//!
//! | exit | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | it failed |
//! | 64 | bad usage or configuration (`EX_USAGE`) |

mod args;
mod explain;
mod org;
mod ready;
mod session;
mod token;
mod view;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use self::args::{Arguments, Command};
use self::session::Session;
use crate::app::{self, ComposeError};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, Environment};
use crate::logging;
use crate::store::Store;

/// Something that the person who typed the command can mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

const EX_USAGE: u8 = 64;

/// Runs the command in `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked_for { ExitCode::SUCCESS } else { ExitCode::from(EX_USAGE) };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("channelgate: the asynchronous runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(dispatch(arguments));
    logging::flush(std::time::Duration::from_secs(1));
    match outcome {
        Ok(status) => status,
        Err(error) => {
            eprintln!("channelgate: {error:#}");
            let is_usage =
                error.is::<UsageError>() || error.is::<ConfigError>() || error.is::<ComposeError>();
            if is_usage { ExitCode::from(EX_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { config, yes, command } = arguments;
    let environment = Environment::of_process();
    let read = || read_config(config.as_deref(), &environment);
    match command {
        Command::Version { output } => version(output),
        Command::Check { ready: true } => return ready::run(&read()?.1).await,
        Command::Check { ready: false } => check(&read()?),
        Command::Serve => {
            let (_, config) = read()?;
            logging::start(&config.log);
            app::serve(config, || Ok(read()?.1)).await?;
        }
        Command::Org(command) => org::run(command, &session(&read()?.1, yes).await?).await?,
        Command::Token(command) => token::run(command, &session(&read()?.1, yes).await?).await?,
        Command::Explain { url, headers, output } => {
            let (_, config) = read()?;
            explain::run(&config, &session(&config, yes).await?, &url, &headers, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_config(flag: Option<&Path>, environment: &Environment) -> Result<(PathBuf, Config), ConfigError> {
    let file = config::locate(flag, environment)?;
    let config = Config::load(&file, environment)?;
    Ok((file, config))
}

async fn session(config: &Config, yes: bool) -> anyhow::Result<Session> {
    let store = Store::open(&app::store_config(config)).await?;
    Ok(Session { store, clock: Clock::system(), yes })
}

/// The configuration in effect, as a file that means the same.
fn check((file, config): &(PathBuf, Config)) {
    println!("# {} with the defaults and the environment applied\n{}", file.display(), config.render());
    for notice in config.notices() {
        eprintln!("channelgate: {notice}");
    }
}

fn version(output: args::Output) {
    let version = env!("CARGO_PKG_VERSION");
    if output.json {
        println!("{}", serde_json::json!({ "name": "channelgate", "version": version }));
    } else {
        println!("channelgate {version}");
    }
}
