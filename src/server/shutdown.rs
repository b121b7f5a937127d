//! The order to stop, given once and heard by everyone who holds a clone.
//!
//! Must never decide how long stopping takes; `accept` does.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch that goes from running to stopping, once. Clones are the same switch.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// A switch that says "running".
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Orders everyone to stop. Ordering it again changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the order has been given.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the order has been given, at once if it was given before.
    pub async fn begun(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}
