//! HTTP semantics (RFC 9110, RFC 9111) without I/O: preconditions, byte ranges, freshness directives, content types.
//!
//! Everything here takes values and returns values. It must never do I/O, and must not know tokens or conda beyond the endings of
//! file names. Used by upstreams that are directories, by the gateway for what an HTTP upstream left undone, and by the cache.

mod cache_control;
mod conditions;
mod content_type;
mod fields;
mod freshness;
mod host;
mod range;
mod validators;

pub use cache_control::CacheControl;
pub use conditions::{Conditions, Precondition};
pub use content_type::content_type;
pub use fields::Fields;
pub use freshness::{Freshness, Patience};
pub use host::is_plain_host;
pub use range::{ByteRange, RangeError, Span};
pub use validators::{EntityTag, Modified, Validators, http_date, parse_http_date};

#[cfg(test)]
mod tests;
