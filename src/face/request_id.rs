//! What a request is called in the log.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;

/// Ids for requests: unique in a gate's log, cheap, never a client's.
pub struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids of a plane whose first one has `prefix`, begun at `start`, in milliseconds.
    pub fn starting_at(prefix: &str, start: i64) -> Self {
        Self { prefix: format!("{prefix}{start:x}"), next: AtomicU64::new(1) }
    }

    /// One that no other request has.
    pub fn next(&self) -> String {
        format!("{}-{:06x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The method for the log: a client can invent others, and its words do not go there.
pub fn shown_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
