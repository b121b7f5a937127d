//! What there is to ask for: reads the channel's indexes, and tries one request of each kind, so that a mistake is told once and not a
//! thousand times.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::ETAG;
use tokio::time::timeout;

use super::catalogue::{self, Ask, Catalogue, Sample, ShardsError};
use super::plan::Profile;
use super::tally::Fault;
use super::target::Target;
use super::wire::{Dialer, Fetched, Wire};
use crate::conda::LockFile;
use crate::index::{Coding, IndexFault, IndexKind, Limits};
use crate::token::{Minted, RandomError};

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Decides what is needed.
    pub profile: Profile,
    /// The platforms whose indexes are read; those that the channel does not have are left out.
    pub subdirs: Vec<String>,
    /// The packages that a client installs; else some are chosen.
    pub lock: Option<(PathBuf, Arc<LockFile>)>,
    /// How many, where they are chosen.
    pub packages: usize,
    /// What the choice follows from.
    pub seed: u64,
    /// Whether there will be requests with garbage tokens.
    pub floods: bool,
    /// How long an answer, or a piece of an index, may take.
    pub patience: Duration,
}

/// Why a target cannot be asked for what a profile needs. Repeats no token.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No connection.
    #[error("{0} cannot be connected to")]
    Connect(String, #[source] std::io::Error),
    /// No answer.
    #[error("{target}: no answer for {file} ({})", .fault.as_str())]
    Broken {
        /// Who.
        target: String,
        /// What was asked for.
        file: String,
        /// What was wrong.
        fault: Fault,
    },
    /// Not the answer that the file has to have.
    #[error("{target} answers {status} for {file}{}", said(.code, .detail))]
    Status {
        /// Who.
        target: String,
        /// What was asked for.
        file: String,
        /// The answer.
        status: u16,
        /// The code of a problem document.
        code: Option<String>,
        /// What it says besides.
        detail: Option<String>,
    },
    /// Nothing of these subdirectories is there.
    #[error(
        "{target} has no index below {subdirs}: is it the URL of a channel? Other platforms are named with --subdir"
    )]
    NoIndex {
        /// Who.
        target: String,
        /// What was looked below.
        subdirs: String,
    },
    /// More than is read.
    #[error("{target}: {file} has more than {bytes_max} bytes")]
    TooLong {
        /// Who.
        target: String,
        /// What was asked for.
        file: String,
        /// The limit.
        bytes_max: u64,
    },
    /// It is none.
    #[error("{target}: {file} is no index")]
    Index {
        /// Who.
        target: String,
        /// What was asked for.
        file: String,
        /// Why.
        #[source]
        fault: IndexFault,
    },
    /// It cannot be used.
    #[error("{target}: {file}")]
    Shards {
        /// Who.
        target: String,
        /// What was asked for.
        file: String,
        /// Why.
        #[source]
        fault: ShardsError,
    },
    /// A file that is not what the index says.
    #[error("{target}: {file} is not what the channel's index says of it")]
    Mismatch {
        /// Who.
        target: String,
        /// What was asked for.
        file: String,
    },
    /// Whoever guesses is served.
    #[error(
        "{target} answers {status} for a token that nobody was given: there is no refusal to measure; use a private channel"
    )]
    Indifferent {
        /// Who.
        target: String,
        /// The answer.
        status: u16,
    },
    /// The lock file has nothing of the channel.
    #[error("{file} names no package of a channel \"{channel}\" among its {others}")]
    NotOfTheLockFile {
        /// Its name.
        file: String,
        /// The channel's.
        channel: String,
        /// How many entries it has.
        others: usize,
    },
    /// No garbage can be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

fn said(code: &Option<String>, detail: &Option<String>) -> String {
    match (code, detail) {
        (Some(code), Some(detail)) => format!(" ({code}): {detail}"),
        (Some(said), None) | (None, Some(said)) => format!(": {said}"),
        (None, None) => String::new(),
    }
}

/// Reads what the profile needs.
///
/// # Errors
///
/// The target cannot be asked, or does not have it.
pub async fn discover(target: &Target, dialer: &Dialer, wish: &Wish) -> Result<Catalogue, DiscoveryError> {
    let mut reader = Reader { target, dialer, patience: wish.patience, wire: None };
    let mut found = Catalogue::default();
    let mut sample = Sample::new(wish.packages, wish.seed);
    let samples = wish.profile.uses_packages() && wish.lock.is_none();
    let mut has_any = false;
    for subdir in &wish.subdirs {
        if wish.profile.uses_indexes() || samples {
            has_any |= reader.repodata(subdir, wish, samples, &mut sample, &mut found).await?;
        }
        if wish.profile.uses_indexes() || wish.profile.uses_shards() {
            has_any |= reader.shards(subdir, wish, &mut found).await?;
        }
    }
    if let Some((file, lock)) = wish.lock.as_ref().filter(|_| wish.profile.uses_packages()) {
        let (packages, others) = catalogue::locked(lock, target.channel());
        if packages.is_empty() {
            let (file, channel) = (file.display().to_string(), target.channel().to_owned());
            return Err(DiscoveryError::NotOfTheLockFile { file, channel, others });
        }
        if others > 0 {
            found.notes.push(format!("{others} entries of {} are not of this channel", file.display()));
        }
        found.packages = packages;
    } else {
        found.packages = sample.finish();
        // Who lacks shards only is told what to do about it by the plan.
        if !has_any && wish.profile != Profile::ShardBurst {
            let (target, subdirs) = (target.to_string(), wish.subdirs.join(", "));
            return Err(DiscoveryError::NoIndex { target, subdirs });
        }
    }
    for (is_used, asks, name) in [
        (wish.profile.uses_indexes(), &found.indexes, "indexes with an ETag"),
        (wish.profile.uses_shards(), &found.shards, "shards"),
        (wish.profile.uses_packages(), &found.packages, "packages"),
    ] {
        if is_used && asks.is_empty() && wish.profile == Profile::Mixed {
            found.notes.push(format!("the channel has no {name}: the others take their place"));
        }
    }
    reader.try_each(&found, wish.floods).await?;
    Ok(found)
}

/// Reads one file after the other.
struct Reader<'t> {
    target: &'t Target,
    dialer: &'t Dialer,
    patience: Duration,
    wire: Option<Wire>,
}

impl Reader<'_> {
    /// An index of packages, the first of two forms that is there. Returns whether there is one.
    async fn repodata(
        &mut self,
        subdir: &str,
        wish: &Wish,
        samples: bool,
        sample: &mut Sample,
        found: &mut Catalogue,
    ) -> Result<bool, DiscoveryError> {
        for (name, coding) in [("repodata.json.zst", Coding::Zstd), ("repodata.json", Coding::Plain)] {
            let path = format!("{subdir}/{name}");
            let Some(fetched) = self.index(&path).await? else { continue };
            if samples {
                let looked = sample.look_at(IndexKind::Repodata(coding), &fetched.bytes, subdir, &limits());
                looked.map_err(|fault| DiscoveryError::Index {
                    target: self.target.to_string(),
                    file: path.clone(),
                    fault,
                })?;
            }
            self.keep(path, &fetched, wish, found);
            return Ok(true);
        }
        Ok(false)
    }

    /// The index of shards. Returns whether there is one.
    async fn shards(
        &mut self,
        subdir: &str,
        wish: &Wish,
        found: &mut Catalogue,
    ) -> Result<bool, DiscoveryError> {
        let path = format!("{subdir}/repodata_shards.msgpack.zst");
        let Some(fetched) = self.index(&path).await? else { return Ok(false) };
        if wish.profile.uses_shards() {
            let shards = catalogue::shards(&fetched.bytes, &self.target.base(), subdir, &limits());
            found.shards.extend(shards.map_err(|fault| DiscoveryError::Shards {
                target: self.target.to_string(),
                file: path.clone(),
                fault,
            })?);
        }
        self.keep(path, &fetched, wish, found);
        Ok(true)
    }

    /// Notes an index to be revalidated.
    fn keep(&self, path: String, fetched: &Fetched, wish: &Wish, found: &mut Catalogue) {
        if !wish.profile.uses_indexes() {
            return;
        }
        match fetched.headers.get(ETAG) {
            Some(etag) => found.indexes.push(Ask { etag: Some(etag.clone()), ..Ask::new(path) }),
            None => found.notes.push(format!("{path} has no ETag and is left out")),
        }
    }

    /// An index, or `None` where there is none.
    async fn index(&mut self, path: &str) -> Result<Option<Fetched>, DiscoveryError> {
        let fetched = self.fetch(path).await?;
        match fetched.status {
            200 if fetched.is_too_long => Err(DiscoveryError::TooLong {
                target: self.target.to_string(),
                file: path.to_owned(),
                bytes_max: INDEX_BYTES_MAX,
            }),
            200 => Ok(Some(fetched)),
            404 | 410 => Ok(None),
            _ => Err(self.refused(path, &fetched)),
        }
    }

    fn refused(&self, path: &str, fetched: &Fetched) -> DiscoveryError {
        let (code, detail) = fetched.problem();
        DiscoveryError::Status {
            target: self.target.to_string(),
            file: path.to_owned(),
            status: fetched.status,
            code,
            // It is the target's word, and goes to a terminal.
            detail: detail.map(|detail| {
                let plain = detail.chars().filter(|c| !c.is_control()).take(400).collect();
                self.target.without_token(plain)
            }),
        }
    }

    async fn fetch(&mut self, path: &str) -> Result<Fetched, DiscoveryError> {
        let broken =
            |fault| DiscoveryError::Broken { target: self.target.to_string(), file: path.to_owned(), fault };
        let prepared = self.target.prepare(path).ok_or_else(|| broken(Fault::Protocol))?;
        let mut wire = match self.wire.take().filter(Wire::is_open) {
            Some(wire) => wire,
            None => connect(self.target, self.dialer).await?,
        };
        let fetched = wire.fetch(&prepared, INDEX_BYTES_MAX, self.patience).await.map_err(broken)?;
        self.wire = Some(wire);
        Ok(fetched)
    }

    /// One request of each kind, as the run will make them.
    async fn try_each(&mut self, found: &Catalogue, floods: bool) -> Result<(), DiscoveryError> {
        for ask in
            [&found.indexes, &found.shards, &found.packages].into_iter().filter_map(|asks| asks.first())
        {
            self.try_one(ask).await?;
        }
        let Some(ask) = found.all().next().filter(|_| floods) else { return Ok(()) };
        let broken =
            |fault| DiscoveryError::Broken { target: self.target.to_string(), file: ask.path.clone(), fault };
        let garbage = Minted::random()?;
        let prepared = self.target.prepare_garbage(&ask.path, garbage.expose());
        let prepared = prepared.ok_or_else(|| broken(Fault::Protocol))?;
        let mut wire = connect(self.target, self.dialer).await?;
        let answer = timeout(self.patience, wire.ask(&prepared, None, false)).await;
        let answer = answer.unwrap_or(Err(Fault::Timeout)).map_err(broken)?;
        if answer.status < 400 {
            let (target, status) = (self.target.to_string(), answer.status);
            return Err(DiscoveryError::Indifferent { target, status });
        }
        Ok(())
    }

    async fn try_one(&mut self, ask: &Ask) -> Result<(), DiscoveryError> {
        let broken =
            |fault| DiscoveryError::Broken { target: self.target.to_string(), file: ask.path.clone(), fault };
        let prepared = self.target.prepare(&ask.path).ok_or_else(|| broken(Fault::Protocol))?;
        let mut wire = connect(self.target, self.dialer).await?;
        let asking = wire.ask(&prepared, ask.etag.as_ref(), ask.sha256.is_some());
        let answer = timeout(self.patience, asking).await.unwrap_or(Err(Fault::Timeout)).map_err(broken)?;
        if answer.is_short {
            return Err(broken(Fault::ShortBody));
        }
        match ask.judge(answer.status, answer.bytes, answer.digest) {
            Ok(()) => Ok(()),
            Err(Fault::DigestMismatch) => {
                Err(DiscoveryError::Mismatch { target: self.target.to_string(), file: ask.path.clone() })
            }
            Err(_) if ask.etag.is_some() && answer.status == 200 => Err(DiscoveryError::Status {
                target: self.target.to_string(),
                file: ask.path.clone(),
                status: 200,
                code: None,
                detail: Some(
                    "it does not know its own ETag (If-None-Match), so nothing can be revalidated".to_owned(),
                ),
            }),
            Err(_) => Err(DiscoveryError::Status {
                target: self.target.to_string(),
                file: ask.path.clone(),
                status: answer.status,
                code: answer.code,
                detail: None,
            }),
        }
    }
}

async fn connect(target: &Target, dialer: &Dialer) -> Result<Wire, DiscoveryError> {
    dialer.dial().await.map_err(|(_, error)| DiscoveryError::Connect(target.to_string(), error))
}

/// Ten times the largest index in public use, compressed.
const INDEX_BYTES_MAX: u64 = 512 << 20;

/// Only the compressed length is narrower than a gate's: it is in memory here.
fn limits() -> Limits {
    Limits { compressed_bytes_max: INDEX_BYTES_MAX, ..Limits::default() }
}
