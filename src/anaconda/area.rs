//! Which clients ask for a path, and the form of refusals that they can read.
//!
//! `anaconda-auth` crashes on an `error` below `/api` that is no object, `anaconda-client` shows an `error` that is a string, and OAuth
//! clients read one word there (RFC 6749 section 5.2).

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use super::people;
use crate::face::{PROBLEM_MEDIA_TYPE, Problem, Verdict};

/// Whose paths they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// anaconda-auth's: a problem body, whose `error` is an object.
    Api,
    /// OAuth clients': `error` is a word.
    OAuth,
    /// anaconda-client's: `error` is a sentence.
    Client,
    /// A browser's.
    Page,
}

/// True for a path whose first segment is one of the face's, and for the two that anaconda-client leads a browser to when it has signed in
/// (anaconda-auth `config.py`, `login_success_path`). A segment that is written with escapes is none: it goes on as a channel's, and
/// there is no channel of that name.
pub(super) fn owns(path: &str) -> bool {
    // Nearly every path is a channel's, and most are told by their second byte.
    match path.as_bytes() {
        [b'/', b'a' | b'u' | b's' | b'p' | b'd' | b'.', ..] => {}
        _ => return false,
    }
    matches!(
        first_segment(path),
        "api"
            | "authentication"
            | "authentications"
            | "authentication-type"
            | "user"
            | "scopes"
            | "package"
            | "download"
            | "device"
            | "sign-in"
            | "sign-out"
            | ".well-known"
    ) || matches!(path, "/app/local-login-success" | "/app/local-login-error")
}

fn first_segment(path: &str) -> &str {
    let rest = path.strip_prefix('/').unwrap_or(path);
    rest.split_once('/').map_or(rest, |(first, _)| first)
}

impl Area {
    /// The area of a path that [`owns`] knows.
    pub(super) fn of(path: &str) -> Self {
        match first_segment(path) {
            "device" | "sign-in" | "sign-out" | "app" => Self::Page,
            "api" if path == "/api/auth/oauth2/authorize" => Self::Page,
            // A resource that a token opens, read by anaconda-auth like the rest of the API.
            "api" if path == "/api/auth/oauth2/userinfo" => Self::Api,
            "api" if path.starts_with("/api/auth/oauth2/") => Self::OAuth,
            "api" | ".well-known" => Self::Api,
            _ => Self::Client,
        }
    }

    /// The body that tells a verdict, and its media type.
    pub(super) fn told(self, verdict: &Verdict, request_id: &str) -> (HeaderValue, Bytes) {
        let Verdict { status, code, title, detail, .. } = verdict;
        match self {
            Self::Api => {
                let problem = Problem::new(status.as_u16(), code, title, detail, request_id);
                let problem = match *status {
                    StatusCode::UNAUTHORIZED => problem.with_error_code(AUTH_REQUIRED),
                    _ => problem,
                };
                (PROBLEM_MEDIA_TYPE, Bytes::from(problem.to_json()))
            }
            Self::OAuth => {
                let error = match *status {
                    StatusCode::UNAUTHORIZED => "invalid_client",
                    StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
                    status if status.is_server_error() => "server_error",
                    _ => "invalid_request",
                };
                json(&OAuthError { error, error_description: detail })
            }
            Self::Client => {
                (HeaderValue::from_static("application/json"), client_error(detail, code, request_id))
            }
            Self::Page => {
                let page = people::notice(title, detail);
                (HeaderValue::from_static("text/html; charset=utf-8"), Bytes::from(page))
            }
        }
    }
}

impl Area {
    /// The reason phrase of a refusal. anaconda-auth shows nothing else of one to the person, where the protocol has it (HTTP/1).
    pub(super) fn reason(self, verdict: &Verdict) -> Option<ReasonPhrase> {
        if !matches!(self, Self::Api | Self::OAuth) {
            return None;
        }
        // What is not ASCII has no place in it.
        let letters = verdict.detail.trim_end_matches('.').chars();
        let letters = letters.map(|c| if matches!(c, ' '..='~') { c } else { '?' });
        let phrase: String = letters.take(REASON_CHARS_MAX).collect();
        ReasonPhrase::try_from(phrase.into_bytes()).ok()
    }
}

/// The code by which anaconda-auth knows that a login helps.
const AUTH_REQUIRED: &str = "auth_required";

/// Longer ones are cut: some proxies and clients bound the line.
const REASON_CHARS_MAX: usize = 400;

#[derive(Serialize)]
struct OAuthError<'a> {
    error: &'static str,
    error_description: &'a str,
}

#[derive(Serialize)]
struct ClientError<'a> {
    error: &'a str,
    message: &'a str,
    code: &'a str,
    request_id: &'a str,
}

/// The body of a refusal for anaconda-client.
pub(super) fn client_error(detail: &str, code: &str, request_id: &str) -> Bytes {
    json(&ClientError { error: detail, message: detail, code, request_id }).1
}

fn json(body: &impl Serialize) -> (HeaderValue, Bytes) {
    // Strings always serialize.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    (HeaderValue::from_static("application/json"), Bytes::from(bytes))
}

#[cfg(test)]
mod tests;
