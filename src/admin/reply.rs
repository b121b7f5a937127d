//! Answers of the admin API that are no problems.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::conditions;

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The object that a GET asked for, unless the client has it.
pub(super) fn shown(headers: &HeaderMap, view: &impl Serialize, tag: HeaderValue) -> Response {
    let mut response = if conditions::is_known(headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json(StatusCode::OK, view)
    };
    response.headers_mut().insert(ETAG, tag);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// The object as it is after a change.
pub(super) fn changed(view: &impl Serialize, tag: HeaderValue) -> Response {
    let mut response = json(StatusCode::OK, view);
    response.headers_mut().insert(ETAG, tag);
    response
}

/// What a PUT made, if `is_new`, or changed (RFC 9110 section 9.3.4).
pub(super) fn placed(view: &impl Serialize, tag: HeaderValue, is_new: bool) -> Response {
    let mut response = changed(view, tag);
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    response
}

/// What came of a request that has no version.
pub(super) fn told(view: &impl Serialize) -> Response {
    json(StatusCode::OK, view)
}

/// An object that is new, or, if `is_replayed`, one that a request with the same key made before.
pub(super) fn created(
    view: &impl Serialize,
    tag: HeaderValue,
    location: &str,
    is_replayed: bool,
) -> Response {
    let mut response = json(StatusCode::CREATED, view);
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(LOCATION, location);
    }
    if is_replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A page of a list. `next` are the parameters of the next one, if there is one.
pub(super) fn page(views: &[impl Serialize], path: &str, next: Option<&[(&str, String)]>) -> Response {
    let mut response = json(StatusCode::OK, &views);
    let link = next.map(|parameters| {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", segment(value)));
        format!("<{path}?{}>; rel=\"next\"", pairs.collect::<Vec<_>>().join("&"))
    });
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// `text` as it stands in a URL.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn json(status: StatusCode, view: &impl Serialize) -> Response {
    // Views are made of strings, numbers and times, which always serialize.
    let mut response = Response::new(Body::from(serde_json::to_vec(view).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
