//! The command line: reads arguments and configuration, runs one command, and chooses the exit status.
//!
//! | exit | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | it failed |
//! | 64 | bad usage or configuration (`EX_USAGE`) |
//!
//! Data goes to standard output, as text or with `--json`; words go to standard error (`cli/output.rs`). Read `cli/args.rs` for what can
//! be typed.

mod args;
mod audit;
mod bench;
mod cache;
mod channel;
pub mod explain;
mod fleet;
mod group;
mod index;
mod org;
mod output;
mod password;
mod ready;
mod seat;
mod session;
mod store;
mod token;
mod user;
mod view;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind as ClapErrorKind;
use clap::{CommandFactory as _, Parser as _};

use self::args::{Arguments, Command, Output, Shell};
use self::output::tell;
use self::session::Session;
use crate::app::{self, ComposeError};
use crate::conda::redact;
use crate::config::{self, Config, ConfigError, Environment};
use crate::logging;
use crate::store::{ErrorKind as StoreErrorKind, StoreError};

/// Something that the person who typed the command can mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

const EX_USAGE: u8 = 64;

/// Runs the command in `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => perform(arguments),
        Err(error) => refuse(&error),
    }
}

/// Not generic, so that the program's own crate has nothing to generate.
fn perform(arguments: Arguments) -> ExitCode {
    let runtime = match runtime()
        .enable_all()
        // A hung mount keeps a thread for each call that waits for it, up to `upstream.requests_max` for each directory; the store, name
        // resolution and inspections must still find theirs. Threads come into being when needed and end when idle.
        .max_blocking_threads(4_096)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("channelgate: the asynchronous runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(dispatch(arguments));
    logging::flush(Duration::from_secs(1));
    match outcome {
        Ok(status) => status,
        Err(error) => {
            tell(format_args!("channelgate: {}", app::story(&error)));
            if is_usage(&error) { ExitCode::from(EX_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// On one processor there is nobody to share work with, and what would be needed for that is 3 to 7 percent of a request, in prototypes of
/// this stack.
fn runtime() -> tokio::runtime::Builder {
    match std::thread::available_parallelism() {
        Ok(processors) if processors.get() == 1 => tokio::runtime::Builder::new_current_thread(),
        Ok(_) | Err(_) => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// Says what is wrong with the arguments, or what `--help` asked for. A token among them, where none belongs, is not repeated.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let plain = error.render().to_string();
    let shown = redact::text(&plain);
    if shown == plain {
        let _ = error.print();
    } else {
        tell(shown.trim_end());
    }
    ExitCode::from(EX_USAGE)
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<UsageError>()
        || error.is::<ConfigError>()
        || error.is::<ComposeError>()
        || error.downcast_ref::<StoreError>().is_some_and(|error| error.kind() == StoreErrorKind::Invalid)
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { config, yes, command } = arguments;
    let environment = Environment::of_process();
    let read = || read_config(config.as_deref(), &environment);
    match command {
        Command::Version { output } => version(output)?,
        Command::Check { ready: true, output } => return ready::run(&read()?.1, output).await,
        Command::Check { ready: false, output } => check(&read()?, output)?,
        Command::Serve => {
            let (_, config) = read()?;
            logging::start(&config.log);
            app::serve(config, || Ok(read()?.1)).await?;
        }
        Command::Org(command) => {
            Session::during(&read()?.1, yes, async |session| org::run(command, session).await).await?;
        }
        Command::Seat(command) => {
            Session::during(&read()?.1, yes, async |session| seat::run(command, session).await).await?;
        }
        Command::User(command) => {
            Session::during(&read()?.1, yes, async |session| user::run(command, session).await).await?;
        }
        Command::Token(command) => {
            Session::during(&read()?.1, yes, async |session| token::run(command, session).await).await?;
        }
        Command::Group(command) => {
            Session::during(&read()?.1, yes, async |session| group::run(command, session).await).await?;
        }
        Command::Audit(arguments) => {
            let audit = async |session: &Session<'_>| audit::run(arguments, session).await;
            return Session::during(&read()?.1, yes, audit).await;
        }
        Command::Cache(command) => return cache::run(command, &read()?.1).await,
        Command::Store(command) => store::run(command).await?,
        Command::Fleet(command) => {
            Session::during(&read()?.1, yes, async |session| fleet::run(command, session).await).await?;
        }
        Command::Index(command) => {
            let index = async |session: &Session<'_>| index::run(command, session).await;
            return Session::during(&read()?.1, yes, index).await;
        }
        Command::Explain { url, headers, output } => {
            let request = explain::Request::read(&url, &headers)?;
            let explain = async |session: &Session<'_>| explain::run(&request, session, output).await;
            Session::during(&read()?.1, yes, explain).await?;
        }
        Command::Bench(arguments) => return Box::pin(bench::run(*arguments, yes)).await,
        Command::Completions { shell } => completions(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read_config(flag: Option<&Path>, environment: &Environment) -> Result<(PathBuf, Config), ConfigError> {
    let file = config::locate(flag, environment)?;
    let config = Config::load(&file, environment)?;
    Ok((file, config))
}

/// The configuration in effect, as a file that means the same. Whatever would keep `serve` from taking it up is found here, too.
fn check((file, config): &(PathBuf, Config), output: Output) -> anyhow::Result<()> {
    app::check(config)?;
    let text = config.render();
    // Read back rather than serialized: what is printed as JSON is what is printed as TOML.
    let json: serde_json::Value = toml::from_str(&text)?;
    output::print(output, &json, |_| {
        format!("# {} with the defaults and the environment applied\n{text}", file.display())
    })?;
    for notice in config.notices() {
        tell(format_args!("channelgate: {notice}"));
    }
    Ok(())
}

fn version(output: Output) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let json = serde_json::json!({ "name": "channelgate", "version": version });
    output::print(output, &json, |_| format!("channelgate {version}\n"))
}

fn completions(shell: Shell) -> anyhow::Result<()> {
    let generator = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Arguments::command(), "channelgate", &mut script);
    let script = String::from_utf8(script)?;
    output::print(Output { json: false }, &script, String::clone)
}
