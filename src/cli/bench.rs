//! `channelgate bench`: as many clients as it takes, and what became of their requests.
//!
//! Reads no configuration and opens no store: the target is a URL, anybody's. The work is [`crate::load`]'s; here are the arguments, the
//! question before somebody else's server is asked, the token's way in, the progress, the interrupt, and where the report goes.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use rustix::process::{Resource, getrlimit};
use rustls::ClientConfig;

use super::UsageError;
use super::args::BenchArguments;
use super::cache::progress::Progress;
use super::output::{self, tell};
use super::session::{approve, read_line};
use crate::clock::{Clock, format_duration};
use crate::conda::LockFile;
use crate::load::{
    Catalogue, Conditions, Control, Dialer, Live, Outcome, Plan, Profile, Report, Settings, Shape, Stage,
    Target, Token, Wish, discover, draw, run as run_load,
};
use crate::upstream;

/// Runs a bench. Exit status 1 if more requests failed than is put up with.
///
/// # Errors
///
/// What is said wrongly; a target that cannot be asked for what the profile needs.
pub(super) async fn run(arguments: BenchArguments, yes: bool) -> anyhow::Result<ExitCode> {
    let settings = settings(&arguments)?;
    let lock = arguments.lock_file.as_deref().map(read_lock).transpose()?;
    // Before there is load, so that no run is lost to a mistyped name.
    let picture = arguments.report.as_deref().map(create).transpose()?;
    let targets = targets(&arguments)?;
    let mut reached = Vec::new();
    for target in &targets {
        reached.push(resolve(target).await?);
    }
    approve_targets(&targets, &reached, &settings, yes)?;
    let is_local = reached.iter().flatten().all(|address| address.ip().is_loopback());

    let profile = Profile::from(arguments.profile);
    let garbage = arguments.garbage.unwrap_or(if profile == Profile::TokenFlood { 10.0 } else { 0.0 });
    let wish = Wish {
        profile,
        subdirs: subdirs(&arguments),
        lock,
        packages: arguments.packages as usize,
        seed: arguments.seed,
        patience: settings.timeout,
        floods: garbage > 0.0 && matches!(profile, Profile::TokenFlood | Profile::Mixed),
    };
    let shape = Shape { shards: arguments.shards as usize, garbage, seed: arguments.seed };
    let tls = client_config(&targets, arguments.cacert.as_deref())?;
    let mut stages = Vec::new();
    for (target, addresses) in targets.into_iter().zip(reached) {
        let protocol = arguments.http.into();
        let tls = tls.as_ref().filter(|_| target.is_https());
        let dialer = Dialer::new(&target, addresses, tls, protocol, settings.timeout.min(CONNECT_TIMEOUT))
            .with_context(|| format!("{target}: no certificate can be for this host"))?;
        let catalogue = interruptible(Box::pin(discover(&target, &dialer, &wish))).await??;
        let plan = Plan::new(profile, shape, &catalogue).map_err(|error| UsageError(error.to_string()))?;
        describe(&target, &catalogue);
        stages.push(Stage { target, dialer, plan: Arc::new(plan), catalogue });
    }
    let conditions = Conditions {
        profile,
        protocol: arguments.http.into(),
        began_at: Clock::system().now().to_string(),
        targets: stages.iter().map(|stage| (stage.target.to_string(), stage.catalogue.counts())).collect(),
        is_local,
        error_rate_max: arguments.max_error_rate,
    };
    let outcome = drive(stages, settings.clone()).await?;
    let report = Report::new(&conditions, &settings, &outcome);
    for warning in report.warnings() {
        tell(format_args!("channelgate: {warning}"));
    }
    if let (Some(mut file), Some(path)) = (picture, &arguments.report) {
        io::Write::write_all(&mut file, draw(&report).as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    output::print(arguments.output, &report, Report::to_text)?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The run, watched: a second interrupt, or two seconds after the first, drops what is under way.
async fn drive(stages: Vec<Stage>, settings: Settings) -> anyhow::Result<Outcome> {
    let control = Control::default();
    let duration = settings.duration;
    let progress = Progress::of_run(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let running = tokio::task::spawn_blocking({
        let control = control.clone();
        move || run_load(stages, settings, &control)
    });
    let mut running = std::pin::pin!(running);
    let mut tick = tokio::time::interval(TICK);
    let mut impatience = std::pin::pin!(tokio::time::sleep(Duration::MAX));
    let mut interrupts = 0;
    let mut told = Duration::ZERO;
    let outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome,
            _ = tick.tick() => {
                let live = control.live();
                progress.reach(u64::try_from(live.elapsed.min(duration).as_millis()).unwrap_or(u64::MAX));
                progress.about(line(&live));
                if live.elapsed.saturating_sub(told) >= LINE_EVERY {
                    told = live.elapsed;
                    progress.tell_without_bar(format_args!("{:.0} s  {}", live.elapsed.as_secs_f64(), line(&live)));
                }
            }
            signal = tokio::signal::ctrl_c() => {
                signal.context("interrupts cannot be waited for")?;
                interrupts += 1;
                if interrupts == 1 {
                    control.stop();
                    progress.tell("channelgate: interrupted: answers that are on their way are waited for; once more ends it at once");
                    impatience.as_mut().reset(tokio::time::Instant::now() + PATIENCE);
                } else {
                    control.cut();
                }
            }
            () = &mut impatience => control.cut(),
        }
    };
    progress.finish();
    outcome.context("the generator panicked")?.context("the generator failed")
}

/// What comes of `work`, or nothing if somebody interrupts it.
async fn interruptible<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::select! {
        done = work => Ok(done),
        signal = tokio::signal::ctrl_c() => {
            signal.context("interrupts cannot be waited for")?;
            bail!("interrupted before the first request of the bench")
        }
    }
}

fn line(live: &Live) -> String {
    let seconds = live.elapsed.as_secs_f64().max(0.001);
    let rate = ByteSize((live.bytes as f64 / seconds) as u64).display().iec().to_string();
    format!(
        "{} requests, {:.0}/s, {rate}/s, p50 {:.2} ms, p99 {:.2} ms, {} errors",
        live.requests,
        live.requests as f64 / seconds,
        live.p50_micros as f64 / 1_000.0,
        live.p99_micros as f64 / 1_000.0,
        live.errors
    )
}

fn describe(target: &Target, catalogue: &Catalogue) {
    let (indexes, shards, packages) = catalogue.counts();
    let bytes = match catalogue.package_bytes() {
        0 => String::new(),
        bytes => format!(" of {}", ByteSize(bytes).display().iec()),
    };
    tell(format_args!(
        "channelgate: {target}: {indexes} indexes, {shards} shards, {packages} packages{bytes} to ask for"
    ));
    for note in catalogue.notes() {
        tell(format_args!("channelgate: {target}: {note}"));
    }
}

fn settings(arguments: &BenchArguments) -> Result<Settings, UsageError> {
    let profile = Profile::from(arguments.profile);
    let connections = arguments.connections.map_or(profile.connections(), |connections| connections as usize);
    let clients = arguments.clients as usize;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.map_or((cpus / 2).max(1), usize::from).min(clients);
    let settings = Settings {
        clients,
        connections,
        threads,
        rate: arguments.rate,
        pattern: arguments.arrivals.into(),
        duration: arguments.duration,
        requests: arguments.requests,
        slice: arguments.slice,
        timeout: arguments.timeout,
        keep_alive: !arguments.no_keep_alive,
        verify: !arguments.no_verify,
        seed: arguments.seed,
    };
    let refuse = |problem: String| Err(UsageError(problem));
    if !(Duration::from_millis(100)..=DURATION_MAX).contains(&settings.duration) {
        return refuse(format!("--duration must be between 100ms and {}", format_duration(DURATION_MAX)));
    }
    if !(Duration::from_millis(1)..=DURATION_MAX).contains(&settings.timeout) {
        return refuse(format!("--timeout must be between 1ms and {}", format_duration(DURATION_MAX)));
    }
    if arguments.against.is_some() {
        let turns = settings.duration.as_millis() / settings.slice.as_millis().max(1);
        if settings.slice < Duration::from_millis(10) || !(2..=SLICES_MAX).contains(&turns) {
            return refuse(format!(
                "--slice {} does not fit into --duration {}: between 2 and {SLICES_MAX} turns of at least 10ms are needed",
                format_duration(settings.slice),
                format_duration(settings.duration),
            ));
        }
    }
    if arguments.garbage.is_some() && !matches!(profile, Profile::TokenFlood | Profile::Mixed) {
        return refuse(format!(
            "--garbage is for the profiles token-flood and mixed, not for {}",
            profile.as_str()
        ));
    }
    let targets = 1 + usize::from(arguments.against.is_some());
    let files = clients * connections * targets + FILES_BESIDE;
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && files as u64 > limit
    {
        return refuse(format!(
            "{clients} clients of {connections} connections need {files} open files, and this process may have {limit}: raise it \
             (ulimit -n {files}), or ask with fewer --clients or --connections"
        ));
    }
    Ok(settings)
}

/// The targets with their tokens. Each is given its own only.
fn targets(arguments: &BenchArguments) -> anyhow::Result<Vec<Target>> {
    let is_stdin = |path: &Path| path == Path::new("-");
    let files = [&arguments.token_file, &arguments.against_token_file];
    let from_stdin = files.into_iter().flatten().filter(|path| is_stdin(path)).count()
        + usize::from(arguments.url == "-")
        + usize::from(arguments.against.as_deref() == Some("-"));
    if from_stdin > 1 {
        return Err(
            UsageError("only one of the URLs and tokens can come from standard input".to_owned()).into()
        );
    }
    let read = |path: &Path| -> anyhow::Result<Token> {
        let value = if is_stdin(path) { read_line("the token")? } else { read_token(path)? };
        Ok(Token::new(value))
    };
    let url_of = |url: &str| if url == "-" { read_line("the channel's URL") } else { Ok(url.to_owned()) };
    let of_environment =
        || std::env::var(TOKEN_VARIABLE).ok().filter(|value| !value.is_empty()).map(Token::new);
    let target = |url: &str, token: Option<Token>| {
        Target::new(&url_of(url)?, token, arguments.carrier.into())
            .map_err(|error| anyhow::Error::from(UsageError(error.to_string())))
    };
    let token = arguments.token_file.as_deref().map(read).transpose()?.or_else(of_environment);
    let mut targets = vec![target(&arguments.url, token)?];
    if let Some(url) = &arguments.against {
        let token = arguments.against_token_file.as_deref().map(read).transpose()?;
        targets.push(target(url, token)?);
    }
    Ok(targets)
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("{} cannot be read", path.display());
    let mut text = String::new();
    File::open(path)
        .with_context(cannot)?
        .take(TOKEN_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(cannot)?;
    match text.trim() {
        "" => Err(UsageError(format!("{} holds no token", path.display())).into()),
        token => Ok(token.to_owned()),
    }
}

fn read_lock(path: &Path) -> anyhow::Result<(std::path::PathBuf, Arc<LockFile>)> {
    let cannot = || format!("{} cannot be read", path.display());
    let mut text = String::new();
    File::open(path)
        .with_context(cannot)?
        .take(LOCK_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(cannot)?;
    let lock = LockFile::parse(&text).map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
    Ok((path.to_owned(), Arc::new(lock)))
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("{} cannot be written", path.display()))
}

async fn resolve(target: &Target) -> anyhow::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((target.host(), target.port())).await;
    let found: Vec<_> =
        found.with_context(|| format!("{target}: the host's name does not resolve"))?.collect();
    if found.is_empty() {
        bail!("{target}: the host's name has no address");
    }
    Ok(found)
}

/// Asks before somebody else's server is loaded.
fn approve_targets(
    targets: &[Target],
    reached: &[Vec<SocketAddr>],
    settings: &Settings,
    yes: bool,
) -> anyhow::Result<()> {
    for (target, addresses) in targets.iter().zip(reached) {
        let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) else { continue };
        let pace = match settings.rate {
            Some(rate) => format!("{rate} requests/s"),
            None => "as many requests as it answers".to_owned(),
        };
        let deed = format!(
            "{} ({}) is not this machine. {pace} over {} connections for {} may keep it from serving others, and cost its owner money: do \
             so only if they agreed",
            target.host(),
            address.ip(),
            settings.clients * settings.connections,
            format_duration(settings.duration),
        );
        approve(&deed, yes)?;
    }
    Ok(())
}

fn client_config(targets: &[Target], cacert: Option<&Path>) -> anyhow::Result<Option<ClientConfig>> {
    if !targets.iter().any(Target::is_https) {
        return match cacert {
            Some(_) => Err(UsageError("--cacert is for https URLs, and there is none".to_owned()).into()),
            None => Ok(None),
        };
    }
    let config = upstream::client_config(cacert)
        .map_err(|problem| UsageError(format!("the certificates to trust (--cacert): {problem}")))?;
    Ok(Some(config))
}

fn subdirs(arguments: &BenchArguments) -> Vec<String> {
    if arguments.subdirs.is_empty() {
        return ["noarch", "linux-64"].map(str::to_owned).to_vec();
    }
    let mut subdirs = arguments.subdirs.clone();
    subdirs.dedup();
    subdirs
}

/// Holds the token where a file is not at hand, as in CI.
const TOKEN_VARIABLE: &str = "CHANNELGATE_BENCH_TOKEN";

const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1024;
const LOCK_FILE_BYTES_MAX: u64 = 256 << 20;
const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);
const SLICES_MAX: u128 = 1_000;
/// For the terminal, the runtimes, the report.
const FILES_BESIDE: usize = 64;
/// As conda's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers are waited for after an interrupt.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(200);
/// Between lines, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
