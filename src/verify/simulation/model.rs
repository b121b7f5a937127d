//! The store of the simulation: tokens, a feed, and everything that can go wrong between them and the gate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::random::Random;
use crate::clock::Timestamp;
use crate::policy::Standing;
use crate::store::{Change, Changes, FeedPosition, Place, Reading, StoreError, Subject};
use crate::token::{End, EndCause, Scope, Scopes, TokenDigest, TokenId, TokenKind, TokenRecord, Warrant};

pub(in crate::verify) const POLL_INTERVAL: Duration = Duration::from_millis(250);
pub(in crate::verify) const QUERY_TIMEOUT: Duration = Duration::from_millis(400);
const LATENCY_MAX: Duration = Duration::from_millis(20);
const RETRANSMISSION: Duration = Duration::from_millis(50);

/// A store as one gate sees it. Clones are the same store.
#[derive(Clone, Debug)]
pub(in crate::verify) struct ModelStore(Arc<Mutex<World>>);

/// What there is, and what is wrong with it.
#[derive(Debug)]
pub(super) struct World {
    random: Random,
    /// Every change with the time of its commit.
    pub(super) log: Vec<(Change, Instant)>,
    /// A reader behind this is told that changes are lost.
    pub(super) pruned: i64,
    pub(super) tokens: HashMap<TokenDigest, Token>,
    pub(super) faults: Faults,
    /// True between a rollback and the gate's being told of it.
    pub(super) rolled_back: bool,
    /// The gate's follower knows the change right before its place. Until then a feed that has grown past that place after a rollback cannot
    /// be told from the old one.
    pub(super) is_placed: bool,
    /// How many changes were ever made: what tells a change from another one that takes its place.
    made: i64,
    /// What a watch was told last, and when.
    told: Option<(i64, Instant)>,
}

/// A token: in the store since a position, ended at another.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) organization: Uuid,
    pub(super) issued: i64,
    pub(super) ended: Option<i64>,
}

/// What is wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Nothing reaches the store.
    pub(super) unreachable: Option<Outage>,
    /// The feed cannot be read; anything else can.
    pub(super) feed: Option<Outage>,
    /// Answers take so much longer.
    pub(super) slow: Duration,
    /// A replica answers for tokens, so far behind.
    pub(super) replica: Option<Duration>,
    /// The follower is woken so much later.
    pub(super) deaf: Duration,
}

/// How a fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// By an error, soon.
    Refuses,
    /// By nothing, until the call times out.
    Hangs,
}

impl World {
    pub(super) fn end(&self) -> i64 {
        self.log.len() as i64
    }

    /// Commits a change.
    pub(super) fn commit(&mut self, subject: Subject) -> i64 {
        let position = self.end() + 1;
        self.made += 1;
        let at = Timestamp::from_millis(self.made);
        let change = Change { position: FeedPosition::from_number(position), at, subject };
        self.log.push((change, Instant::now()));
        position
    }

    fn read(&self, digest: &TokenDigest, position: i64) -> Option<Standing> {
        let token = self.tokens.get(digest).filter(|token| token.issued <= position)?;
        let ended = token.ended.is_some_and(|ended| ended <= position);
        let at = Timestamp::from_millis(0);
        let warrant = Warrant {
            kind: TokenKind::Scoped,
            organization_id: token.organization,
            organization: "acme".into(),
            user: None,
            group: None,
            generation: 1,
            scopes: Scopes::of(&[Scope::Repos]),
            channels: None,
            operator: false,
            api_key: false,
            end: ended.then(|| Box::new(End { cause: EndCause::Revoked, at, reason: None })),
        };
        let token = TokenRecord {
            id: TokenId(Uuid::nil()),
            name: None,
            created_at: at,
            expires_at: None,
            warrant: Arc::new(warrant),
        };
        Some(token.into())
    }

    /// The answer of a replica, where the store may use it: it has reached what the watch was told lately.
    fn read_replica(&self, digest: &TokenDigest) -> Option<Reading> {
        let lag = self.faults.replica?;
        let (told, at) = self.told?;
        let reached = self.log.partition_point(|(_, committed)| committed.elapsed() >= lag) as i64;
        if reached < told || at.elapsed() > POLL_INTERVAL * 2 {
            return None;
        }
        let standing = Some(self.read(digest, reached)?);
        let position = FeedPosition::from_number(reached);
        Some(Reading { standing, position, last: self.kept(reached), current: false })
    }

    fn changes(&self, place: Place, limit: usize) -> Changes {
        let (position, end) = (place.position().as_number(), self.end());
        let is_another = place.last().is_some() && place.last() != self.kept(position);
        if position < self.pruned || position > end || is_another {
            return Changes::Lost { position: FeedPosition::from_number(end) };
        }
        let behind = self.log.get(position as usize..).unwrap_or_default();
        let changes: Vec<_> = behind.iter().take(limit).map(|(change, _)| *change).collect();
        let read = position + changes.len() as i64;
        Changes::Read { changes, position: FeedPosition::from_number(read), more: read < end }
    }
}

impl World {
    /// The change right before a position, if it was kept.
    fn kept(&self, position: i64) -> Option<Change> {
        let index = usize::try_from(position - 1).ok().filter(|_| position > self.pruned)?;
        self.log.get(index).map(|(change, _)| *change)
    }

    /// True if the gate will notice that this is another feed, however much it grows.
    pub(super) fn is_known(&self) -> bool {
        !self.rolled_back || self.is_placed
    }

    /// The gate was told this.
    fn heard(&mut self, changes: &Changes) {
        self.rolled_back &= !matches!(changes, Changes::Lost { .. });
    }
}

impl ModelStore {
    pub(super) fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(World {
            random,
            log: Vec::new(),
            pruned: 0,
            tokens: HashMap::new(),
            faults: Faults::default(),
            rolled_back: false,
            is_placed: false,
            made: 0,
            told: None,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn fault(&self, is_feed: bool) -> Option<Outage> {
        let faults = &self.world().faults;
        faults.unreachable.or(faults.feed.filter(|_| is_feed))
    }

    /// One call: on its way to the store, answered as of one moment, and on its way back.
    async fn call<T>(&self, is_feed: bool, answer: impl FnOnce(&mut World) -> T) -> Result<T, StoreError> {
        let (there, back) = {
            let mut world = self.world();
            let slow = world.faults.slow;
            let there = world.random.duration(LATENCY_MAX + slow);
            (there, world.random.duration(LATENCY_MAX + slow))
        };
        let began = Instant::now();
        tokio::time::sleep(there.min(QUERY_TIMEOUT)).await;
        // What hangs goes through if the fault ends in time.
        while self.fault(is_feed) == Some(Outage::Hangs) && began.elapsed() < QUERY_TIMEOUT {
            tokio::time::sleep(RETRANSMISSION).await;
        }
        let outcome = {
            let fault = self.fault(is_feed);
            match fault {
                None if began.elapsed() < QUERY_TIMEOUT => Ok(answer(&mut self.world())),
                None | Some(Outage::Hangs) => Err(QUERY_TIMEOUT),
                Some(Outage::Refuses) => Err(Duration::ZERO),
            }
        };
        match outcome {
            Ok(value) if began.elapsed() + back < QUERY_TIMEOUT => {
                tokio::time::sleep(back).await;
                // What is on its way back arrives, or is lost with the connection.
                let mut world = self.world();
                if world.faults.unreachable.is_some() && world.random.one_in(2) {
                    Err(failure())
                } else {
                    Ok(value)
                }
            }
            Ok(_) => {
                tokio::time::sleep_until(began + QUERY_TIMEOUT).await;
                Err(failure())
            }
            Err(after) => {
                tokio::time::sleep_until(began + after).await;
                Err(failure())
            }
        }
    }

    pub(in crate::verify) async fn token_by_digest(
        &self,
        digest: &TokenDigest,
    ) -> Result<Reading, StoreError> {
        self.call(false, |world| {
            world.read_replica(digest).unwrap_or_else(|| Reading {
                standing: world.read(digest, world.end()),
                position: FeedPosition::from_number(world.end()),
                last: world.kept(world.end()),
                current: true,
            })
        })
        .await
    }

    pub(in crate::verify) async fn position(&self) -> Result<FeedPosition, StoreError> {
        self.call(false, |world| FeedPosition::from_number(world.end())).await
    }

    pub(in crate::verify) async fn changes_since(
        &self,
        place: Place,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        let changes = self.call(true, |world| world.changes(place, limit as usize)).await?;
        self.world().heard(&changes);
        Ok(changes)
    }

    pub(in crate::verify) fn watch(&self, place: Place) -> ModelWatch {
        self.world().is_placed = place.last().is_some();
        ModelWatch { store: self.clone(), place, next: Instant::now() }
    }
}

/// A reader of the model's feed.
#[derive(Debug)]
pub(in crate::verify) struct ModelWatch {
    store: ModelStore,
    place: Place,
    next: Instant,
}

impl ModelWatch {
    pub(in crate::verify) async fn ready(&mut self) {
        let deaf = self.store.world().faults.deaf;
        tokio::time::sleep_until(self.next + deaf).await;
    }

    pub(in crate::verify) async fn poll(&mut self) -> Result<Changes, StoreError> {
        self.next = Instant::now() + POLL_INTERVAL;
        let place = self.place;
        let read = self.store.call(true, |world| {
            let changes = world.changes(place, CHANGES_PER_POLL);
            let (Changes::Read { position, .. } | Changes::Lost { position }) = &changes;
            let is_lost = matches!(changes, Changes::Lost { .. });
            let last = world.kept(position.as_number()).filter(|_| !is_lost);
            (last.map_or((*position).into(), Place::behind), changes)
        });
        let (place, changes) = read.await?;
        self.place = place;
        let mut world = self.store.world();
        world.heard(&changes);
        world.is_placed = place.last().is_some();
        world.told = Some((place.position().as_number(), Instant::now()));
        Ok(changes)
    }

    pub(in crate::verify) fn place(&self) -> Place {
        self.place
    }
}

/// Few, so that a poll often leaves something unread.
const CHANGES_PER_POLL: usize = 2;

fn failure() -> StoreError {
    StoreError::Unavailable {
        store: "model".into(),
        advice: "wait",
        source: "a fault of the schedule".into(),
    }
}
