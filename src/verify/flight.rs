//! One question to the store for each digest, however many ask.
//!
//! A question is a task of its own: nobody who waits for it owns it, so the one who asked first may go away. It holds one of a bounded
//! number of places from before it is known to others until it has landed.

use std::sync::Arc;
use std::time::Duration;

use dashmap::Entry;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::era::{Era, Landing};
use super::{Inner, Lookup, LookupError, RETRY_AFTER};
use crate::token::TokenDigest;

impl Inner {
    pub(super) async fn lookup(self: &Arc<Self>, digest: &TokenDigest) -> Result<Lookup, LookupError> {
        let unavailable = LookupError::StoreUnavailable { retry_after: RETRY_AFTER };
        let needed = self.era.load().announced();
        for _ in 0..ASKED_MAX {
            if let Some(lookup) = self.recall(digest) {
                return Ok(lookup);
            }
            if !self.contact.is_up() {
                // The follower tries every moment; a thousand requests need not.
                return Err(unavailable);
            }
            match self.ask(digest).await? {
                Some(Landing::Answered(lookup, position)) if position >= needed => return Ok(lookup),
                // It left before a change that this request must see, or before everything was forgotten. Ask again.
                Some(Landing::Answered(..)) | None => {}
                Some(Landing::Failed) => return self.recall_in_outage(digest).ok_or(unavailable),
            }
        }
        Err(unavailable)
    }

    /// Waits for the answer to the question about `digest`, put by somebody else or now. `None` if memory knows it by now.
    async fn ask(self: &Arc<Self>, digest: &TokenDigest) -> Result<Option<Landing>, LookupError> {
        let era = self.era.load_full();
        let joined = era.flights.get(digest).map(|flight| flight.clone());
        let landing = match joined {
            Some(flight) => flight,
            None => {
                let place = self.place().await?;
                match self.take_off(&era, digest, place) {
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
        place: OwnedSemaphorePermit,
    ) -> Option<watch::Receiver<Option<Landing>>> {
        match era.flights.entry(*digest) {
            Entry::Occupied(flight) => Some(flight.get().clone()),
            // A flight is remembered first and leaves the map then: whoever finds no flight finds the memory.
            Entry::Vacant(_) if self.recall(digest).is_some() => None,
            Entry::Vacant(vacant) => {
                let (landing, flight) = watch::channel(None);
                vacant.insert(flight.clone());
                let registered = Registered { era: Arc::clone(era), digest: *digest };
                tokio::spawn(Arc::clone(self).fly(registered, landing, place));
                Some(flight)
            }
        }
    }

    async fn fly(
        self: Arc<Self>,
        registered: Registered,
        landing: watch::Sender<Option<Landing>>,
        place: OwnedSemaphorePermit,
    ) {
        self.meters.store_queries.inc();
        let read_at = self.clock.uptime();
        let outcome = match self.store.token_by_digest(&registered.digest).await {
            Ok(reading) => {
                let position = reading.position;
                let lookup = registered.era.remember(&registered.digest, reading, read_at);
                Landing::Answered(lookup, position)
            }
            Err(error) => {
                tracing::debug!(error = %error, "a token could not be looked up");
                Landing::Failed
            }
        };
        drop(registered);
        drop(place);
        landing.send_replace(Some(outcome));
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
