//! The pages of the admin plane that need no credential: whether the gate lives, whether it should get traffic, and what it counts.
//!
//! They show no client's string and no token.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::clock::format_duration;
use crate::metrics::Metrics;
use crate::server::Shutdown;
use crate::verify::{Health, Verifier};

/// What `/readyz` says.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not, or why only just.
    reasons: Vec<String>,
}

/// The page at `path`, if there is one.
pub(super) fn page(
    path: &str,
    verifier: &Verifier,
    draining: &Shutdown,
    metrics: &Metrics,
) -> Option<Response<Bytes>> {
    Some(match path {
        "/healthz" => reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
        "/readyz" => {
            let readiness = readiness(&verifier.health(), draining.has_begun());
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            reply(status, "application/json", serde_json::to_string(&readiness).unwrap_or_default())
        }
        "/metrics" => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
        _ => return None,
    })
}

/// A gate is ready while it can serve tokens: with a store that does not answer as long as the grace lasts, without its feed by reading
/// verdicts again. Both are said.
fn readiness(health: &Health, draining: bool) -> Readiness {
    let mut reasons = Vec::new();
    if draining {
        reasons.push("draining: the gate was told to stop, and only finishes what runs".to_owned());
    }
    if !health.store_up {
        let within =
            if health.inside_grace { "known tokens go on for now" } else { "no token can be checked" };
        reasons.push(format!("the token store has not answered since {}; {within}", health.since));
    } else if !health.feed_proven {
        let age = health.last_proof_age.map_or_else(
            || "since the gate began".to_owned(),
            |age| format!("for {}", format_duration(Duration::from_secs(age.as_secs()))),
        );
        reasons.push(format!(
            "the token store answers, but its change feed was not read to its end {age}; verdicts on tokens are read again as they age"
        ));
    }
    Readiness { ready: !draining && (health.store_up || health.inside_grace), reasons }
}

fn reply(status: StatusCode, media_type: &'static str, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
