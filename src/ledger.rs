//! The last use of tokens: when each was last shown, how and from where, and how often it was refused.
//!
//! # From a request to the store
//!
//! 1. [`Ledger::used`] or [`Ledger::refused`], once the decision on a request with a **known** token is made: one lock on one of 64 shards
//!    for as long as it takes to overwrite an entry. Nothing awaits, and no store is asked.
//! 2. [`Ledger::keep`]: every [`Config::flush_interval`] all entries go to the store, in transactions of at most 1,000 tokens, so that a
//!    revocation never waits long for its turn to write. However many requests there are, a token is one row of one of them.
//! 3. [`Ledger::flush`] once more when the last request has ended.
//!
//! A credential that nobody was issued never comes here: garbage takes no memory and writes nothing. Between two flushes at most
//! [`Config::tokens_max`] tokens are noted; the use of further ones is dropped and counted (metric `channelgate_token_uses_dropped_total`),
//! and noted when they are used after the next flush. What the store does not take is noted again, behind anything newer; what was not
//! flushed when the process dies is lost. No decision depends on any of it.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, Registry};
use tokio::time::MissedTickBehavior;

use crate::auth::Carrier;
use crate::clock::Timestamp;
use crate::store::{LastUse, Refused, Store, StoreError, Use, Used};
use crate::token::TokenId;

/// How much is noted, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often what is noted goes to the store. Default 5 s.
    pub flush_interval: Duration,
    /// Tokens that are noted between two flushes; some 150 bytes each. Default 10,000.
    pub tokens_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { flush_interval: Duration::from_secs(5), tokens_max: 10_000 }
    }
}

/// The ledger's metrics.
#[derive(Clone, Debug)]
pub struct Meters {
    /// Uses of tokens that were not noted for want of room.
    pub dropped: IntCounter,
}

impl Meters {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped = IntCounter::new(
            "channelgate_token_uses_dropped_total",
            "Uses of tokens that were not noted, because too many other tokens were used since the last writing.",
        )?;
        registry.register(Box::new(dropped.clone()))?;
        Ok(Self { dropped })
    }
}

/// Notes the last use of tokens. Clones share everything.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    config: Config,
    meters: Meters,
    shards: [Mutex<HashMap<TokenId, Note>>; SHARDS],
}

/// What is new about a token since the last flush.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    used: Option<(Timestamp, Carrier, IpAddr)>,
    refused: Option<(Timestamp, &'static str, u64)>,
}

impl Ledger {
    /// An empty ledger in front of `store`.
    pub fn new(store: Store, config: Config, meters: Meters) -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::new()));
        Self(Arc::new(Inner { store, config, meters, shards }))
    }

    /// Notes that a request with this token was permitted.
    pub fn used(&self, token: TokenId, at: Timestamp, carrier: Carrier, address: IpAddr) {
        self.0.note(token, Note { used: Some((at, carrier, address)), refused: None });
    }

    /// Notes that a request with this token was refused with `code`.
    pub fn refused(&self, token: TokenId, at: Timestamp, code: &'static str) {
        self.0.note(token, Note { used: None, refused: Some((at, code, 1)) });
    }

    /// Flushes at every interval until `shutdown` ends. What is noted after that is for [`flush`](Self::flush).
    pub async fn keep(self, shutdown: impl Future<Output = ()>) {
        let flushing = async {
            let mut interval =
                tokio::time::interval(self.0.config.flush_interval.max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                if let Err(error) = self.flush().await {
                    tracing::debug!(%error, "the last use of tokens could not be written; it is tried again");
                }
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = flushing => {}
        }
    }

    /// Writes everything noted so far to the store.
    ///
    /// # Errors
    ///
    /// The store's failures; what it did not take is noted again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut unwritten = Unwritten { inner: &self.0, notes: self.0.take() };
        while !unwritten.notes.is_empty() {
            let rest = unwritten.notes.len().saturating_sub(TOKENS_PER_TRANSACTION);
            let batch: Vec<_> =
                unwritten.notes.iter().skip(rest).map(|(token, note)| note.to_use(*token)).collect();
            self.0.store.record_uses(&batch).await?;
            unwritten.notes.truncate(rest);
        }
        Ok(())
    }
}

impl Inner {
    fn note(&self, token: TokenId, news: Note) {
        let mut shard = self.shard(token);
        let room = (self.config.tokens_max / SHARDS).max(1);
        let is_full = shard.len() >= room;
        match shard.get_mut(&token) {
            Some(note) => note.update(news),
            None if is_full => self.meters.dropped.inc(),
            None => drop(shard.insert(token, news)),
        }
    }

    /// Takes every note out.
    fn take(&self) -> Vec<(TokenId, Note)> {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|mut shard| shard.drain().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, token: TokenId) -> MutexGuard<'_, HashMap<TokenId, Note>> {
        // Ids are random; the last byte has no fixed bits.
        let [.., byte] = *token.0.as_bytes();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(usize::from(byte) % SHARDS).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    /// Takes over what is not older, and adds up the refusals.
    fn update(&mut self, other: Self) {
        self.used = match (self.used, other.used) {
            (Some(own), Some(news)) if news.0 < own.0 => Some(own),
            (own, news) => news.or(own),
        };
        self.refused = match (self.refused, other.refused) {
            (Some(own), Some(news)) => {
                let (at, code, _) = if news.0 < own.0 { own } else { news };
                Some((at, code, own.2.saturating_add(news.2)))
            }
            (own, news) => news.or(own),
        };
    }

    fn to_use(self, token: TokenId) -> Use {
        let used = self.used.map(|(at, carrier, address)| Used { at, carrier, address });
        let refused = self.refused.map(|(at, code, count)| Refused { at, code: code.to_owned(), count });
        Use { token, news: LastUse { used, refused } }
    }
}

/// Notes on their way to the store; those that did not get there are noted again, also if nobody waits for it any longer.
struct Unwritten<'l> {
    inner: &'l Inner,
    notes: Vec<(TokenId, Note)>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        for (token, note) in self.notes.drain(..) {
            self.inner.note(token, note);
        }
    }
}

const SHARDS: usize = 64;

/// Bounds how long other changes wait for a flush: some 50 ms.
const TOKENS_PER_TRANSACTION: usize = 1_000;

#[cfg(test)]
mod tests;
