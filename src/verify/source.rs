//! What the verifier asks of the token store, and nothing else: the seam at which a simulation takes the store's place in tests.

use crate::store::{Changes, FeedPosition, Place, Reading, Store, StoreError, Watch};
use crate::token::TokenDigest;

#[cfg(test)]
use super::simulation::{ModelStore, ModelWatch};

/// Where verdicts and changes come from.
#[derive(Clone, Debug)]
#[cfg_attr(
    test,
    allow(clippy::large_enum_variant, reason = "there is one, and outside of tests it has one variant")
)]
pub(super) enum Source {
    Store(Store),
    #[cfg(test)]
    Model(ModelStore),
}

impl Source {
    pub(super) async fn token_by_digest(&self, digest: &TokenDigest) -> Result<Reading, StoreError> {
        match self {
            Self::Store(store) => store.token_by_digest(digest).await,
            #[cfg(test)]
            Self::Model(model) => model.token_by_digest(digest).await,
        }
    }

    pub(super) async fn position(&self) -> Result<FeedPosition, StoreError> {
        match self {
            Self::Store(store) => store.position().await,
            #[cfg(test)]
            Self::Model(model) => model.position().await,
        }
    }

    pub(super) async fn changes_since(&self, place: Place, limit: u32) -> Result<Changes, StoreError> {
        match self {
            Self::Store(store) => store.changes_since(place, limit).await,
            #[cfg(test)]
            Self::Model(model) => model.changes_since(place, limit).await,
        }
    }

    pub(super) fn watch(&self, place: Place) -> Feed {
        match self {
            Self::Store(store) => Feed::Store(store.watch(place)),
            #[cfg(test)]
            Self::Model(model) => Feed::Model(model.watch(place)),
        }
    }
}

/// The change feed, read from some position on.
#[derive(Debug)]
#[cfg_attr(
    test,
    allow(clippy::large_enum_variant, reason = "there is one, and outside of tests it has one variant")
)]
pub(super) enum Feed {
    Store(Watch),
    #[cfg(test)]
    Model(ModelWatch),
}

impl Feed {
    pub(super) async fn ready(&mut self) {
        match self {
            Self::Store(watch) => watch.ready().await,
            #[cfg(test)]
            Self::Model(watch) => watch.ready().await,
        }
    }

    pub(super) async fn poll(&mut self) -> Result<Changes, StoreError> {
        match self {
            Self::Store(watch) => watch.poll().await,
            #[cfg(test)]
            Self::Model(watch) => watch.poll().await,
        }
    }

    /// How far it has been read.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Store(watch) => watch.place(),
            #[cfg(test)]
            Self::Model(watch) => watch.place(),
        }
    }
}
