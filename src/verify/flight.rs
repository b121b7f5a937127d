//! One question to the store for each digest, however many ask.
//!
//! A question is a task of its own: nobody who waits for it owns it, so the one who asked first may go away. It holds one of a bounded
//! number of places from before it is known to others until it has landed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::Entry;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::era::{Era, Landing};
use super::{Inner, Lookup, LookupError, RETRY_AFTER, Verdict};
use crate::store::{Reading, StoreError};
use crate::token::TokenDigest;

impl Inner {
    /// What may be acted on for `digest` now: remembered and younger than `staleness`, or read.
    pub(super) async fn lookup(
        self: &Arc<Self>,
        digest: &TokenDigest,
        staleness: Duration,
        network: Option<IpAddr>,
    ) -> Result<Verdict, LookupError> {
        let unavailable = LookupError::StoreUnavailable { retry_after: RETRY_AFTER };
        let needed = self.era.load().announced();
        for _ in 0..ASKED_MAX {
            if let Some(verdict) = self.remembered(digest, staleness) {
                return Ok(verdict);
            }
            if !self.contact.is_up() {
                // The follower tries every moment; a thousand requests need not.
                return Err(unavailable);
            }
            match self.ask(digest, staleness, network).await? {
                // The answer may have been on its way for long, or the gate stopped while it was: it ages as if it were remembered.
                Some(Landing::Answered(verdict, position))
                    if position >= needed && self.age(verdict.as_of) < self.config.max_staleness =>
                {
                    return Ok(verdict);
                }
                // It left before a change that this request must see, before everything was forgotten, or too long ago. Ask again.
                Some(Landing::Answered(..)) | None => {}
                Some(Landing::Failed) => return self.remembered_in_outage(digest).ok_or(unavailable),
            }
        }
        // The store's end is not where the feed was heard to be, as after an older copy was restored: the follower looks at once.
        self.doubt.notify_one();
        Err(unavailable)
    }

    /// Waits for the answer to the question about `digest`, put by somebody else or now. `None` if memory knows it by now.
    async fn ask(
        self: &Arc<Self>,
        digest: &TokenDigest,
        staleness: Duration,
        network: Option<IpAddr>,
    ) -> Result<Option<Landing>, LookupError> {
        let era = self.era.load_full();
        let joined = era.flights.get(digest).map(|flight| flight.clone());
        let landing = match joined {
            Some(flight) => flight,
            None => {
                let place = self.place().await?;
                match self.take_off(&era, digest, staleness, place, network) {
                    Some(flight) => flight,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(landed(landing).await))
    }

    /// A place among the questions with the store.
    async fn place(&self) -> Result<OwnedSemaphorePermit, LookupError> {
        let place = tokio::time::timeout(PLACE_TIMEOUT, Arc::clone(&self.queries).acquire_owned());
        match place.await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(LookupError::Overloaded { retry_after: RETRY_AFTER }),
        }
    }

    /// Puts the question, unless somebody did while this one waited for a place. Nothing here awaits, so it is all or nothing.
    fn take_off(
        self: &Arc<Self>,
        era: &Arc<Era>,
        digest: &TokenDigest,
        staleness: Duration,
        place: OwnedSemaphorePermit,
        network: Option<IpAddr>,
    ) -> Option<watch::Receiver<Option<Landing>>> {
        match era.flights.entry(*digest) {
            Entry::Occupied(flight) => Some(flight.get().clone()),
            // A flight is remembered first and leaves the map then: whoever finds no flight finds the memory.
            Entry::Vacant(_) if self.remembered(digest, staleness).is_some() => None,
            Entry::Vacant(vacant) => {
                let (landing, flight) = watch::channel(None);
                vacant.insert(flight.clone());
                let registered = Registered { era: Arc::clone(era), digest: *digest };
                tokio::spawn(Arc::clone(self).fly(registered, landing, place, network));
                Some(flight)
            }
        }
    }

    async fn fly(
        self: Arc<Self>,
        registered: Registered,
        landing: watch::Sender<Option<Landing>>,
        place: OwnedSemaphorePermit,
        network: Option<IpAddr>,
    ) {
        self.meters.store_queries.inc();
        let asked_at = self.clock.uptime();
        let outcome = match self.store.token_by_digest(&registered.digest).await {
            Ok(reading) => self.land(&registered, reading, asked_at).await,
            Err(error) => {
                self.not_answered(asked_at, &error);
                Err(error)
            }
        };
        let landed = outcome.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "a token could not be looked up");
            Landing::Failed
        });
        if let (Landing::Answered(Verdict { lookup: Lookup::Unknown, .. }, _), Some(network)) =
            (&landed, network)
        {
            // Once for each question, however many ask it, and only for who was first.
            self.guesses.was_wrong(network, self.clock.uptime());
        }
        drop(registered);
        drop(place);
        landing.send_replace(Some(landed));
    }

    /// Remembers an answer, unless it is too old for that, and says what it means.
    async fn land(
        &self,
        registered: &Registered,
        reading: Reading,
        asked_at: Duration,
    ) -> Result<Landing, StoreError> {
        self.contact.answered(asked_at);
        if !self.contact.is_up() {
            // The store is back, and this is the first to know: nothing new is said before everything that was missed is applied.
            self.catch_up().await?;
        }
        let position = reading.position;
        // A replica's answer is as old as the proof of life whose position it has reached, and worth nothing if it has reached none: the
        // proof is looked at first, for what is announced then was announced before it.
        let proof = self.proof();
        let as_of = match reading.current {
            true => asked_at,
            false if position >= self.era.load().announced() => proof.min(asked_at),
            false => Duration::ZERO,
        };
        let lookup = registered.era.remember(&registered.digest, reading, as_of);
        if matches!(lookup, Lookup::Known(_)) && !Arc::ptr_eq(&registered.era, &self.era.load()) {
            // Its era ended while the answer was on its way, and may have been gone through before it came.
            registered.era.note_known(&registered.digest);
        }
        Ok(Landing::Answered(Verdict { lookup, as_of }, position))
    }
}

/// A flight's place in the map of its era; given up however the flight ends.
struct Registered {
    era: Arc<Era>,
    digest: TokenDigest,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.era.flights.remove(&self.digest);
    }
}

async fn landed(mut flight: watch::Receiver<Option<Landing>>) -> Landing {
    match flight.wait_for(Option::is_some).await {
        Ok(landing) => landing.clone().unwrap_or(Landing::Failed),
        Err(_) => Landing::Failed,
    }
}

/// How long a request waits for a place: a burst of tokens after a start passes, a flood does not pile up.
const PLACE_TIMEOUT: Duration = Duration::from_millis(50);

/// How often one request asks. The second answer is always good enough, unless everything is forgotten between.
const ASKED_MAX: usize = 4;
