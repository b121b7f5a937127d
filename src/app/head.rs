//! The head of the audit in the log, every hour: whoever keeps the log can tell a chain whose end was cut off or written anew.

use std::future::Future;
use std::time::Duration;

use crate::store::Store;

/// Tells the head at once and every hour until `shutdown` ends.
pub(super) async fn tell(store: Store, shutdown: impl Future<Output = ()>) {
    let telling = async {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            match store.audit_head().await {
                Ok(head) => tracing::info!(seq = head.seq, hash = %head.hash, "the head of the audit"),
                Err(error) => tracing::warn!(%error, "the head of the audit cannot be read"),
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = telling => {}
    }
}

const INTERVAL: Duration = Duration::from_secs(3_600);
