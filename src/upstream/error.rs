//! Why a fetch failed, grouped by what the client is to be told: 404, 502 or 503.
//!
//! These are closed values that a person may read; what the operating system said besides goes into the log where it happened.

use http::StatusCode;

use super::lead::Unreachable;

/// Why no upstream of a channel delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The upstream has no such file: 404.
    #[error("the upstream has no such file")]
    Missing,
    /// An upstream answers, but wrongly; asking again will not help: 502.
    #[error("the upstream {0}")]
    Invalid(Invalid),
    /// No upstream answers at the moment; asking again may help: 503. The reason is that of the last one asked.
    #[error("the upstream {0}")]
    Unavailable(Unavailable),
}

/// What is wrong with an answer. The sentences follow "the upstream ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// 401 or 403: the gate's own credentials for it are missing or bad.
    #[error("refuses the gate itself (status {0})")]
    Denied(StatusCode),
    /// A status that does not answer what was asked.
    #[error("answers with status {0}, which does not fit the request")]
    Status(StatusCode),
    /// A redirect that is not followed.
    #[error("redirects {0}")]
    Redirect(RedirectFault),
    /// The channel's index says that the file is where the gate does not go, by the configuration of now.
    #[error("has an index that leads to a place {0}")]
    Lead(Unreachable),
    /// A body with a content coding, though none was asked for.
    #[error("sends a content coding that was not asked for")]
    Coded,
    /// A partial answer that is not the part asked for.
    #[error("sends another part of the file than was asked for")]
    Part,
    /// Not HTTP, or framing that contradicts itself.
    #[error("sends a malformed response")]
    Malformed,
    /// More header bytes than [`super::Limits::header_bytes_max`].
    #[error("sends more response headers than this gate accepts")]
    HeadersTooLarge,
}

/// Why a redirect is not followed. The sentences follow "redirects ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// No `Location`, several, or one that is not an http(s) URL.
    #[error("to nothing that is an http(s) URL")]
    Malformed,
    /// Neither the upstream's own origin nor in `allowed_hosts`.
    #[error("to a host that is neither its own nor in allowed_hosts")]
    Host,
    /// The host is allowed, but what it resolves to is loopback, link-local, private or the like.
    #[error("to a host whose address is not public; allowed_hosts must list the address or network")]
    Address,
    /// From https to http.
    #[error("from https to http")]
    Downgrade,
    /// A user or password in the URL.
    #[error("to a URL with a user name or password")]
    Userinfo,
    /// To a URL that this request has been to.
    #[error("in a loop")]
    Loop,
    /// More than five times.
    #[error("too many times")]
    TooMany,
}

/// Why an upstream did not answer. The sentences follow "the upstream ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No address, refused, unreachable, or not connected within [`super::Timeouts::connect`].
    #[error("cannot be connected to")]
    Connect,
    /// No TLS within [`super::Timeouts::tls_handshake`], or none that is trusted: whoever answered is not known to be the upstream.
    #[error("does not complete a trusted TLS handshake")]
    Handshake,
    /// No response head within [`super::Timeouts::first_byte`].
    #[error("does not answer in time")]
    Timeout,
    /// The connection ended before a response.
    #[error("closes the connection without an answer")]
    Closed,
    /// 408, 429 or 5xx.
    #[error("answers with status {0}")]
    Status(StatusCode),
    /// [`super::Limits::concurrent_requests_max`] are running, and none ended within [`super::Timeouts::first_byte`].
    #[error("is asked by too many at once")]
    Busy,
    /// A directory or file that cannot be read, though it may be there.
    #[error("directory cannot be read")]
    Unreadable,
}
