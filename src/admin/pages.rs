//! The pages of the admin plane that need no credential: whether the gate lives, whether it should get traffic, and what it counts.
//!
//! They show no client's string and no token.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::verify::{Health, Verifier};

/// What `/readyz` says.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not, or why only just.
    reasons: Vec<String>,
}

/// The page at `path`, if there is one.
pub(super) fn page(path: &str, verifier: &Verifier, metrics: &Metrics) -> Option<Response<Bytes>> {
    Some(match path {
        "/healthz" => reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
        "/readyz" => {
            let readiness = readiness(&verifier.health());
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            reply(status, "application/json", serde_json::to_string(&readiness).unwrap_or_default())
        }
        "/metrics" => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
        _ => return None,
    })
}

fn readiness(health: &Health) -> Readiness {
    let mut reasons = Vec::new();
    if !health.store_up {
        let within =
            if health.inside_grace { "known tokens go on for now" } else { "no token can be checked" };
        reasons.push(format!("the token store has not answered since {}; {within}", health.since));
    }
    Readiness { ready: health.store_up || health.inside_grace, reasons }
}

fn reply(status: StatusCode, media_type: &'static str, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
