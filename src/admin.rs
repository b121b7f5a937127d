//! The admin plane: whether the gate lives, whether it should get traffic, and what it counts.
//!
//! It listens on an address of its own and is never reachable through the data plane. It shows no client's string and no token.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::verify::{Health, Verifier};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The admin plane.
pub struct Admin {
    verifier: Verifier,
    metrics: Metrics,
}

/// What `/readyz` says.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not, or why only just.
    reasons: Vec<String>,
}

impl Admin {
    /// The admin plane of the gate that these belong to.
    pub fn new(verifier: Verifier, metrics: Metrics) -> Self {
        Self { verifier, metrics }
    }

    /// Answers one request.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response =
                problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/healthz" => reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
            "/readyz" => {
                let readiness = readiness(&self.verifier.health());
                let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                reply(status, "application/json", serde_json::to_string(&readiness).unwrap_or_default())
            }
            "/metrics" => {
                reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render())
            }
            _ => problem(
                StatusCode::NOT_FOUND,
                "not_found",
                "The admin plane has /healthz, /readyz and /metrics",
            ),
        }
    }

    /// Answers a head that could not be parsed, with the status that says why.
    pub fn malformed(&self, status: StatusCode) -> Response<Full<Bytes>> {
        problem(status, "request_invalid", "Malformed request")
    }

    /// Answers a request that there is no room for.
    pub fn overloaded(&self) -> Response<Full<Bytes>> {
        let mut response =
            problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many requests at once");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
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

/// The same members as the problems of the data plane have.
fn problem(status: StatusCode, code: &str, title: &str) -> Response<Full<Bytes>> {
    let request_id = Uuid::new_v4().to_string();
    let json = serde_json::json!({
        "type": format!("urn:channelgate:problem:{code}"),
        "title": title,
        "status": status.as_u16(),
        "detail": title,
        "code": code,
        "reason": title,
        "message": title,
        "request_id": request_id,
        "error": { "code": code, "message": title },
    });
    let mut response = reply(status, "application/problem+json", json.to_string());
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

fn reply(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
