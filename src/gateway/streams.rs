//! Running downloads that end with the right to them (`verify.cut_streams`).
//!
//! Every body that is served to a token is entered here while it runs. Whenever the verifier has forgotten something, and several times
//! within the shortest bound besides, each is judged again as a new request for the same thing would be: by the same memory, the same
//! rules and the same bound. A verdict is read again when it has reached half its age, so that there is time for the answer. One that would
//! be refused is cut: its client's connection is aborted. While the store does not answer, downloads go on as known tokens do, and end
//! with the grace.
//!
//! What was handed to the connection before still goes out. Where nothing is to be cut, nothing of this is there. Read
//! [`crate::verify`] next for the bound.

use std::collections::{HashMap, HashSet};
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use prometheus::{IntCounter, Registry};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::conda::RequestTarget;
use crate::policy::Caller;
use crate::token::TokenDigest;
use crate::verify::{self, Lookup, LookupError, Verdict, Verifier};

/// The running downloads. Clones are the same.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    running: Mutex<Running>,
    cut: IntCounter,
}

#[derive(Default)]
struct Running {
    streams: HashMap<u64, Stream>,
    begun: u64,
}

/// One of them.
struct Stream {
    digest: TokenDigest,
    /// What is served, without the token.
    target: RequestTarget<'static>,
    /// The uptime at which it was certainly right to serve it.
    as_of: Duration,
    /// Dropped to cut it.
    _tenure: oneshot::Sender<()>,
}

/// A running download's place; given up when it is dropped.
pub(super) struct Tenure {
    shared: Arc<Shared>,
    id: u64,
    end: oneshot::Receiver<()>,
}

impl Streams {
    /// No downloads, counted in `registry`.
    ///
    /// # Errors
    ///
    /// The registry has a metric of this name already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let cut = IntCounter::new(
            "channelgate_streams_cut_total",
            "Running downloads that were cut because the right to them had ended.",
        )?;
        registry.register(Box::new(cut.clone()))?;
        Ok(Self(Arc::new(Shared { running: Mutex::default(), cut })))
    }

    /// Enters a download of `target` by the token of this digest, which was right at `as_of`.
    pub(super) fn begin(&self, digest: TokenDigest, target: &RequestTarget<'_>, as_of: Duration) -> Tenure {
        let (tenure, end) = oneshot::channel();
        let stream = Stream { digest, target: target.without_token(), as_of, _tenure: tenure };
        let mut running = self.0.running();
        let id = running.begun;
        running.begun += 1;
        running.streams.insert(id, stream);
        Tenure { shared: Arc::clone(&self.0), id, end }
    }

    /// Cuts downloads that `may` no longer be served, for as long as it is polled.
    pub(super) async fn keep(
        &self,
        verifier: &Verifier,
        clock: &Clock,
        may: impl Fn(&Caller, &RequestTarget<'_>) -> bool,
    ) {
        let interval = interval(verifier.config());
        loop {
            tokio::select! {
                () = verifier.news() => {}
                () = tokio::time::sleep(interval) => {}
            }
            self.review(verifier, clock, interval, &may).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Judges every download once.
    async fn review(
        &self,
        verifier: &Verifier,
        clock: &Clock,
        interval: Duration,
        may: &impl Fn(&Caller, &RequestTarget<'_>) -> bool,
    ) {
        let settle = |verdicts: &Verdicts| {
            self.0.settle(verdicts, |stream, verdict| match verdict {
                Ok(verdict) => {
                    stream.as_of = verdict.as_of;
                    may(&caller(&verdict.lookup), &stream.target)
                }
                // Nobody can say, for now: it goes on as long as its last verdict may be acted on, as far as this comes to look in time.
                Err(_) => {
                    clock.uptime().saturating_add(interval + PAUSE) < verifier.serves_until(stream.as_of)
                }
            });
        };
        let mut forgotten = Vec::new();
        let mut remembered = Verdicts::new();
        for digest in self.0.digests() {
            match verifier.reviewed(&digest) {
                Some(verdict) => {
                    remembered.insert(digest, Ok(verdict));
                }
                None => forgotten.push(digest),
            }
        }
        settle(&remembered);
        let mut questions = JoinSet::new();
        let mut read = Verdicts::new();
        for digest in forgotten {
            if questions.len() >= QUESTIONS_MAX {
                read.extend(questions.join_next().await.and_then(Result::ok));
            }
            let verifier = verifier.clone();
            questions.spawn(async move { (digest, verifier.review(&digest).await) });
        }
        while let Some(answer) = questions.join_next().await {
            read.extend(answer.ok());
        }
        settle(&read);
    }
}

type Verdicts = HashMap<TokenDigest, Result<Verdict, LookupError>>;

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        // A panic elsewhere leaves a map that is whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digests(&self) -> HashSet<TokenDigest> {
        self.running().streams.values().map(|stream| stream.digest).collect()
    }

    /// Cuts the downloads of which there is a verdict and that do not go on by it.
    fn settle(
        &self,
        verdicts: &Verdicts,
        goes_on: impl Fn(&mut Stream, &Result<Verdict, LookupError>) -> bool,
    ) {
        let mut running = self.running();
        let before = running.streams.len();
        running.streams.retain(|_, stream| {
            let verdict = verdicts.get(&stream.digest);
            verdict.is_none_or(|verdict| goes_on(stream, verdict))
        });
        let cut = before - running.streams.len();
        self.cut.inc_by(u64::try_from(cut).unwrap_or(u64::MAX));
    }
}

impl Tenure {
    /// Whether the download is cut; if not, the task is woken when it is.
    pub(super) fn has_ended(&mut self, context: &mut Context<'_>) -> bool {
        Pin::new(&mut self.end).poll(context).is_ready()
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.shared.running().streams.remove(&self.id);
    }
}

fn caller(lookup: &Lookup) -> Caller {
    match lookup {
        Lookup::Known(token) => Caller::Known(Arc::clone(token)),
        Lookup::Unknown => Caller::Unknown,
    }
}

/// How often downloads are judged of which nothing was heard: several times within each bound.
fn interval(config: &verify::Config) -> Duration {
    let grace = Some(config.outage_grace).filter(|grace| !grace.is_zero());
    let shortest = grace.map_or(config.max_staleness, |grace| grace.min(config.max_staleness));
    (shortest / 8).clamp(PAUSE, Duration::from_millis(250))
}

/// Between two rounds, so that a thousand changes do not make a thousand.
const PAUSE: Duration = Duration::from_millis(10);

/// Questions with the store for downloads at any time; requests have the other places.
const QUESTIONS_MAX: usize = 8;
