//! What OAuth clients and this gate say to each other: the documents, the errors, the answers. Pure.
//!
//! RFC 6749 (OAuth 2.0), RFC 8628 (device grant), RFC 8414 (metadata), RFC 7636 (PKCE), RFC 8252 (native programs). The one client is
//! anaconda-auth, by the id that all its releases send; what it is granted is an access token that is good once, for an API key or a token.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, PRAGMA};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use crate::anaconda::reply::Code;

/// The id by which anaconda-auth and anaconda-client call themselves (anaconda-auth `config.py`, `client_id`).
pub(super) const CLIENT_ID: &str = "b4ad7f1d-c784-46b5-a9fe-106e50441f5a";

/// What people are told that program is.
pub(super) const CLIENT_NAME: &str = "Anaconda command line tools";

/// The grant of RFC 8628.
pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The paths, from the gate's root.
pub(super) mod path {
    pub(in crate::anaconda::people) const AUTHORIZE: &str = "/api/auth/oauth2/authorize";
    pub(in crate::anaconda::people) const TOKEN: &str = "/api/auth/oauth2/token";
    pub(in crate::anaconda::people) const DEVICE_AUTHORIZATION: &str = "/api/auth/oauth2/device";
    pub(in crate::anaconda::people) const USER_INFO: &str = "/api/auth/oauth2/userinfo";
    pub(in crate::anaconda::people) const DEVICE: &str = "/device";
    pub(in crate::anaconda::people) const SIGN_IN: &str = "/sign-in";
}

/// What the gate can do as an authorization server (RFC 8414), at both of the places where clients look.
#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: String,
    userinfo_endpoint: String,
    grant_types_supported: [&'static str; 2],
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    code_challenge_methods_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 1],
    scopes_supported: [&'static str; 4],
}

impl Metadata {
    /// Of the gate at this origin.
    pub(super) fn of(origin: &str) -> Self {
        let at = |path: &str| format!("{origin}{path}");
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: at(path::AUTHORIZE),
            token_endpoint: at(path::TOKEN),
            device_authorization_endpoint: at(path::DEVICE_AUTHORIZATION),
            userinfo_endpoint: at(path::USER_INFO),
            grant_types_supported: ["authorization_code", DEVICE_GRANT],
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            code_challenge_methods_supported: ["S256"],
            token_endpoint_auth_methods_supported: ["none"],
            scopes_supported: ["openid", "email", "profile", "offline_access"],
        }
    }
}

/// What a device is told first (RFC 8628 section 3.2).
#[derive(Serialize)]
pub(super) struct DeviceAuthorization<'a> {
    pub(super) device_code: &'a str,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: String,
    /// Seconds.
    pub(super) expires_in: u64,
    /// Seconds.
    pub(super) interval: u64,
}

/// An access token (RFC 6749 section 5.1).
#[derive(Serialize)]
pub(super) struct Granted<'a> {
    pub(super) access_token: &'a str,
    pub(super) token_type: &'static str,
    /// Seconds.
    pub(super) expires_in: u64,
}

/// A refusal (RFC 6749 section 5.2, RFC 8628 section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OAuthError {
    /// The request lacks something, or has it twice.
    InvalidRequest(&'static str),
    /// Not the one client.
    InvalidClient,
    /// A code that nobody was given, or that is spent, or another's.
    InvalidGrant,
    /// Another grant than the two.
    UnsupportedGrantType,
    /// Nobody has said anything yet.
    AuthorizationPending,
    /// It asks too often.
    SlowDown,
    /// A person said no.
    AccessDenied,
    /// Nobody said anything in time.
    ExpiredToken,
    /// There is no room now, or the store does not answer; seconds to wait.
    TemporarilyUnavailable(u64),
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    error_description: &'static str,
}

impl OAuthError {
    /// The word of the protocol.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
            Self::TemporarilyUnavailable(_) => "temporarily_unavailable",
        }
    }

    /// The sentence that anaconda-auth shows.
    fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(problem) => problem,
            Self::InvalidClient => "this gate knows the client id of anaconda-auth only",
            Self::InvalidGrant => "the code is not known, or it was used before: start again",
            Self::UnsupportedGrantType => {
                "this gate grants by device code and by authorization code: run `anaconda auth login`"
            }
            Self::AuthorizationPending => "nobody has answered in the browser yet",
            Self::SlowDown => "the device asks too often",
            Self::AccessDenied => "the request was denied in the browser",
            Self::ExpiredToken => "nobody answered in the browser in time: start again",
            Self::TemporarilyUnavailable(_) => "the gate cannot answer at the moment: try again shortly",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer. Where its body is not shown, anaconda-auth shows the reason phrase of the status.
    pub(super) fn respond(self) -> Response {
        let body = ErrorBody { error: self.word(), error_description: self.description() };
        let mut response = json(self.status(), &body);
        if let Self::TemporarilyUnavailable(seconds) = self {
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Ok(phrase) = ReasonPhrase::try_from(self.description().as_bytes()) {
            response.extensions_mut().insert(phrase);
        }
        response.extensions_mut().insert(Code(self.word()));
        response
    }
}

/// An answer that is an object.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Strings and numbers always serialize.
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
