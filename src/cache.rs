//! The package cache: every byte is fetched once, verified, and never lost.
//!
//! [`Cache::fetch`] stands between the gateway and a channel's upstreams. It decides what may be served from the disk and what has to be
//! asked for; nobody's credential is part of that, so that a hundred tokens share one object.
//!
//! | step | where | on failure |
//! | --- | --- | --- |
//! | look on the disk: opened, its facts read, pinned | [`Disk::find`] | as if it were not there |
//! | is it still right? (below) | here, [`Freshness`] | – |
//! | is it known to be missing? | `cache/negative.rs` | – |
//! | ask, once for all who want it; verify; keep | [`Flights::fetch`] | [`CacheError`], or the stale object |
//!
//! What is right depends on what it is ([`Kind`]):
//!
//! | | served from the disk | else |
//! | --- | --- | --- |
//! | package | for as long as its digest is the one that the held index names, or none is known; whatever the upstream does | fetched afresh |
//! | shard | always: it is named by its digest | |
//! | index, other metadata | while fresh by RFC 9111; a little longer while it is asked for (`stale_while_revalidate`) | asked for under the conditions of what is held; served stale where that fails (`stale_if_error`) |
//!
//! Every failure but a plain "there is no such file" lets the stale object be served: an upstream that refuses the gate or sends a bad index
//! for a while is an outage to whoever installs. What the upstream says it has no longer is dropped. Offline ([`Rules::offline`]) nothing
//! is asked, and what is held is served whatever its age.
//!
//! The age of an object counts from when it was last known to be current, which is kept as the file's modification time, so it survives a
//! restart. Upstream directives are those of the answer that brought the object; a 304 renews its age, not its directives.
//!
//! Each request counts once in `channelgate_cache_requests_total` ([`CacheStatus`]). To add a kind of file, add a variant to [`Kind`] and
//! its row here. Read `cache/disk.rs` and `cache/flight.rs` next.

mod attempt;
mod body;
pub mod bundle;
mod crowd;
mod disk;
mod expectation;
mod facts;
mod fill;
mod filling;
mod flight;
mod follow;
mod footer;
mod key;
mod meters;
mod negative;
mod order;
mod refresh;
mod resume;
mod sha256;
mod status;
mod through;

use std::sync::Arc;
use std::time::Duration;

pub use self::body::{Body, BodyError, Origin};
pub use self::disk::{Disk, DiskConfig, Draft, DraftError, Entry, Object, OpenError, Totals, Verdict, Walk};
pub use self::facts::{Facts, Proof};
pub use self::filling::{Filling, Head};
pub use self::flight::{FillError, Flights, Landed};
pub use self::footer::{
    FACTS_BYTES_MAX, FooterError, Read as FooterRead, read as read_footer, write as write_footer,
};
pub use self::key::{Key, KeyDigest, Part};
pub use self::meters::Meters;
pub use self::order::{BoxFuture, Check, Digests, Expected, Inspect, Inspection, Order, Passed, Refused};
pub use self::sha256::{Hashing, NotADigest, Sha256};
pub use self::status::CacheStatus;
pub use self::through::{Bypass, Through};

use self::negative::Absent;
use self::refresh::{Refreshing, Trouble};
use crate::clock::{Clock, Timestamp};
use crate::conda::{ChannelName, UpstreamPath};
use crate::semantics::{Freshness, Patience, Span};
use crate::upstream::{Ask, FetchError, Fetched, Lead, Method, Upstreams};

/// The cache of one gate. Clones share everything but their [`Rules`].
#[derive(Clone)]
pub struct Cache {
    disk: Disk,
    flights: Flights,
    absent: Absent,
    refreshing: Refreshing,
    rules: Rules,
    clock: Clock,
    meters: Meters,
}

/// What a reload of the configuration may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long indexes and metadata are fresh where their upstream says nothing, and how long they are served after. 60 s, not at all
    /// while they are asked for, and 24 h where asking fails.
    pub patience: Patience,
    /// How long a file stays missing that an upstream said it does not have. 10 s; zero remembers none.
    pub negative_ttl: Duration,
    /// Nothing goes upstream.
    pub offline: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            patience: Patience {
                lifetime: Duration::from_secs(60),
                stale_while_revalidate: Duration::ZERO,
                stale_if_error: Duration::from_secs(24 * 3_600),
            },
            negative_ttl: Duration::from_secs(10),
            offline: false,
        }
    }
}

/// One file that is wanted.
pub struct Want<'a> {
    /// The gate's channel.
    pub channel: &'a ChannelName,
    /// Where its files come from.
    pub upstreams: &'a Arc<Upstreams>,
    /// Which file.
    pub path: &'a UpstreamPath,
    /// Where it is, if an index said that it is not at its path.
    pub at: Option<Lead>,
    /// The bytes, or only what would be said of them.
    pub method: Method,
    /// What it is, and how its bytes are known to be right.
    pub kind: Kind,
    /// Ask for an index or metadata even if what is held is fresh.
    pub anew: bool,
}

/// What a file is to the cache.
#[derive(Clone)]
pub enum Kind {
    /// A package, right if it has the digest that an index names.
    Package(Arc<dyn Digests>),
    /// A shard of an index, named by its own digest and inspected as an index is.
    Shard(Sha256, Arc<dyn Inspect>),
    /// An index, right if it passes inspection.
    Index(Arc<dyn Inspect>),
    /// Anything else of a channel.
    Metadata,
}

/// A file that may be served.
pub enum Supply {
    /// A whole one.
    Object(Object, CacheStatus),
    /// One that is a part of an object.
    Portion(Portion, CacheStatus),
    /// One that is on its way into the cache.
    Filling(Filling, CacheStatus),
    /// One that passes by the cache's disk.
    Through(Through, CacheStatus),
    /// The head of an upstream's answer to HEAD.
    Head(Box<Fetched>),
}

/// A file that is kept with others in one object: a shard of those that the gate made.
#[derive(Clone)]
pub struct Portion {
    /// What holds it.
    pub object: Object,
    /// Where it is in the object's body.
    pub span: Span,
    /// The digest of its bytes, which is its name.
    pub sha256: Sha256,
}

/// Why there is no file to serve.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The upstream has no such file: it says so now, or said so a moment ago.
    #[error("the upstream has no such file")]
    Missing {
        /// A moment ago.
        remembered: bool,
    },
    /// It is not here, and nothing goes upstream.
    #[error("the gate is offline, and its cache has no such file")]
    Offline,
    /// It could not be fetched, or not as it should be.
    #[error("{0}")]
    Fill(#[source] FillError),
}

/// What is held of a file, and whether it may be served.
enum Held {
    /// It may.
    Right(Object),
    /// It is beyond its lifetime.
    Lapsed { object: Object, meanwhile: bool, on_error: bool },
    /// It is not the file that the index names, or its own name.
    Outdated(Object),
    /// It is not here.
    Nothing,
}

impl Cache {
    /// A cache on this disk.
    pub fn new(disk: Disk, rules: Rules, clock: Clock, meters: Meters) -> Self {
        let flights = Flights::new(clock.clone(), meters.clone());
        Self { disk, flights, absent: Absent::new(), refreshing: Refreshing::new(), rules, clock, meters }
    }

    /// The same cache under other rules.
    #[must_use]
    pub fn under(&self, rules: Rules) -> Self {
        Self { rules, ..self.clone() }
    }

    /// Where the objects are.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Its rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Gets a file: from the disk if that may be served, else from the upstreams, once for all who want it.
    ///
    /// # Errors
    ///
    /// [`CacheError`], where nothing may be served in its place.
    pub async fn fetch(&self, want: &Want<'_>) -> Result<Supply, CacheError> {
        let key = Key::new(want.channel, want.upstreams.id(), want.path);
        let supply = self.supply(want, &key).await;
        self.meters.requested(match &supply {
            Ok(supply) => supply.status().as_str(),
            Err(CacheError::Missing { remembered: true }) => "negative",
            Err(CacheError::Missing { remembered: false }) => "missing",
            Err(CacheError::Offline) => "absent",
            Err(CacheError::Fill(_)) => "failed",
        });
        supply
    }

    /// A new index has come: forgets which files of its directory are missing.
    pub fn forget_missing(&self, index: &Key) {
        self.absent.forget_beside(index);
    }

    async fn supply(&self, want: &Want<'_>, key: &Key) -> Result<Supply, CacheError> {
        let held = self.held(want, key).await;
        if self.rules.offline {
            return match held {
                Held::Right(object) => Ok(Supply::Object(object, CacheStatus::Hit)),
                Held::Lapsed { object, .. } => Ok(Supply::Object(object, CacheStatus::Offline)),
                _ if self.has_full_index_beside(want, key).await => {
                    Err(CacheError::Missing { remembered: true })
                }
                _ => Err(CacheError::Offline),
            };
        }
        match held {
            Held::Right(object) => Ok(Supply::Object(object, CacheStatus::Hit)),
            Held::Lapsed { object, meanwhile, on_error } => {
                Box::pin(self.supply_lapsed(want, key, object, meanwhile, on_error)).await
            }
            Held::Nothing if matches!(want.kind, Kind::Index(_)) => {
                Box::pin(self.supply_index(want, key)).await
            }
            _ if self.absent.knows(key, self.clock.uptime(), self.rules.negative_ttl) => {
                Err(CacheError::Missing { remembered: true })
            }
            // Nobody fetches a file only to say how long it is; but an index is worth nothing before it was inspected.
            _ if want.method == Method::Head && !want.kind.is_inspected() => {
                Box::pin(self.head(want, key)).await
            }
            Held::Outdated(object) => Box::pin(self.ask(want, key, Some(object))).await,
            Held::Nothing => Box::pin(self.ask(want, key, None)).await,
        }
    }

    /// An index that is not held: if asking fails, what the upstream said of it last holds for as long as an index would.
    async fn supply_index(&self, want: &Want<'_>, key: &Key) -> Result<Supply, CacheError> {
        let patience = self.rules.patience.stale_if_error;
        let was_missing = || self.absent.knows(key, self.clock.uptime(), patience);
        let missing = Err(CacheError::Missing { remembered: true });
        let trouble = self.refreshing.trouble(key, self.clock.uptime());
        if matches!(trouble, Trouble::Recent { .. }) && was_missing() {
            self.refreshing.begin(self, want.order(key, None));
            return missing;
        }
        let asked_at = self.clock.uptime();
        match self.ask(want, key, None).await {
            Err(CacheError::Fill(_)) if was_missing() => {
                self.refreshing.failed(key, asked_at, self.clock.uptime());
                missing
            }
            asked => asked,
        }
    }

    /// Offline, what is imported or warmed is the index that names everything. Clients ask for others first, and go on to it at 404 only.
    async fn has_full_index_beside(&self, want: &Want<'_>, key: &Key) -> bool {
        if !matches!(want.kind, Kind::Index(_)) {
            return false;
        }
        for name in ["repodata.json.zst", "repodata.json"] {
            if self.disk.peek(&key.beside(name)).await.is_some() {
                return true;
            }
        }
        false
    }

    /// What is beyond its lifetime: asked for first, or besides where that is allowed or has just failed.
    async fn supply_lapsed(
        &self,
        want: &Want<'_>,
        key: &Key,
        object: Object,
        meanwhile: bool,
        on_error: bool,
    ) -> Result<Supply, CacheError> {
        let besides = match self.refreshing.trouble(key, self.clock.uptime()) {
            _ if meanwhile => Some(CacheStatus::Refreshing),
            // Whoever waited for an upstream that hangs has waited for all.
            Trouble::Recent { .. } if on_error => Some(CacheStatus::Stale),
            _ => None,
        };
        if let Some(status) = besides {
            self.refreshing.begin(self, want.order(key, Some(object.clone())));
            return Ok(Supply::Object(object, status));
        }
        let asked_at = self.clock.uptime();
        match self.ask(want, key, Some(object.clone())).await {
            Err(CacheError::Fill(_)) if on_error => {
                self.refreshing.failed(key, asked_at, self.clock.uptime());
                Ok(Supply::Object(object, CacheStatus::Stale))
            }
            asked => asked,
        }
    }

    /// What is on the disk, and whether it is still right.
    async fn held(&self, want: &Want<'_>, key: &Key) -> Held {
        let Some(object) = self.disk.find(key).await else { return Held::Nothing };
        match &want.kind {
            Kind::Package(digests) => {
                let known = digests.known().await;
                let facts = object.facts();
                if known.is_none_or(|expected| expected.fits(facts.sha256, facts.length)) {
                    Held::Right(object)
                } else {
                    Held::Outdated(object)
                }
            }
            Kind::Shard(named, _) if object.facts().sha256 == *named => Held::Right(object),
            Kind::Shard(..) => Held::Outdated(object),
            Kind::Index(_) | Kind::Metadata => {
                let age = age(object.validated_at(), self.clock.now());
                match Freshness::of(&object.facts().cache_control, age, &self.rules.patience) {
                    Freshness::Fresh if want.anew => {
                        Held::Lapsed { object, meanwhile: false, on_error: true }
                    }
                    Freshness::Fresh => Held::Right(object),
                    Freshness::Lapsed { meanwhile, on_error } => {
                        Held::Lapsed { object, meanwhile: meanwhile && !want.anew, on_error }
                    }
                }
            }
        }
    }

    /// Asks the upstreams, through the flight that all share who want this file.
    async fn ask(&self, want: &Want<'_>, key: &Key, held: Option<Object>) -> Result<Supply, CacheError> {
        let is_new = held.is_none();
        let stored = if is_new { CacheStatus::Miss } else { CacheStatus::Replaced };
        let landed = self.flights.fetch(&self.disk, want.order(key, held)).await;
        match landed.map_err(CacheError::from) {
            Ok(Landed::Current(object)) => Ok(Supply::Object(object, CacheStatus::Revalidated)),
            Ok(Landed::Whole(object)) => Ok(Supply::Object(object, stored)),
            Ok(Landed::Through(through)) => {
                let status = CacheStatus::Bypass(through.reason());
                Ok(Supply::Through(through, status))
            }
            Ok(Landed::Filling(mut filling)) => {
                if !is_new {
                    // What is held can be served in its place only before a byte of it went out.
                    filling.released(|_| None).await?;
                }
                let status = if filling.is_leader() { stored } else { CacheStatus::Collapsed };
                Ok(Supply::Filling(filling, status))
            }
            Err(CacheError::Missing { remembered }) => {
                self.note_missing(key, is_new, matches!(want.kind, Kind::Index(_))).await;
                Err(CacheError::Missing { remembered })
            }
            Err(error) => Err(error),
        }
    }

    /// The upstream has no such file: what was held of it is gone, too.
    async fn note_missing(&self, key: &Key, is_new: bool, is_index: bool) {
        if !is_new {
            self.disk.remove(key).await;
        }
        if is_index {
            self.absent.note_index(key, self.clock.uptime());
        } else {
            self.absent.note(key, self.clock.uptime());
        }
    }

    /// What GET would say: from the flight that is fetching the file, or from an upstream, which is asked for no more than that.
    async fn head(&self, want: &Want<'_>, key: &Key) -> Result<Supply, CacheError> {
        if let Some(filling) = self.flights.under_way(key) {
            return Ok(Supply::Filling(filling, CacheStatus::Collapsed));
        }
        let ask = Ask { method: Method::Head, path: want.path, at: want.at.as_ref(), conditions: None };
        match want.upstreams.fetch(&ask).await {
            Ok(fetched) => Ok(Supply::Head(fetched)),
            Err(FetchError::Missing) => {
                self.note_missing(key, true, false).await;
                Err(CacheError::Missing { remembered: false })
            }
            Err(error) => Err(CacheError::Fill(error.into())),
        }
    }
}

impl Want<'_> {
    fn order(&self, key: &Key, held: Option<Object>) -> Order {
        Order {
            key: key.clone(),
            path: self.path.clone(),
            at: self.at.clone(),
            upstreams: Arc::clone(self.upstreams),
            check: match &self.kind {
                Kind::Package(digests) => Check::Digests(Arc::clone(digests)),
                Kind::Shard(_, inspect) | Kind::Index(inspect) => Check::Inspect(Arc::clone(inspect)),
                Kind::Metadata => Check::None,
            },
            // What a name or an index has disowned is not asked about: the upstream may well give both the same tag.
            held: held.filter(|_| matches!(self.kind, Kind::Index(_) | Kind::Metadata)),
        }
    }
}

impl Kind {
    /// True for what nobody gets a byte of before all of it was inspected.
    fn is_inspected(&self) -> bool {
        matches!(self, Self::Shard(..) | Self::Index(_))
    }
}

impl Supply {
    /// How the request fared.
    pub fn status(&self) -> CacheStatus {
        match self {
            Self::Object(_, status)
            | Self::Portion(_, status)
            | Self::Filling(_, status)
            | Self::Through(_, status) => *status,
            Self::Head(_) => CacheStatus::Passed,
        }
    }
}

impl From<FillError> for CacheError {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Fetch(FetchError::Missing) => Self::Missing { remembered: false },
            error => Self::Fill(error),
        }
    }
}

/// How long ago `validated_at` was; `None` if that is to come, because the clock was set back.
fn age(validated_at: Timestamp, now: Timestamp) -> Option<Duration> {
    // A file's time may be a little ahead of ours: that of another machine's on the same disk.
    (validated_at <= now.plus(CLOCKS_APART_MAX)).then(|| now.since(validated_at))
}

/// As far ahead of this machine's clock as another's may be.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5);
