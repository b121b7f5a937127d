//! Answers that are no refusals.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// What a response that is not a refusal is counted and logged as, where `ok` would not tell: an OAuth error, a page with a mistake.
#[derive(Clone, Copy)]
pub(super) struct Code(pub(super) &'static str);

/// The data plane answered, and accounts for the request.
#[derive(Clone, Copy)]
pub(super) struct HandedOver;

/// An object.
pub(super) fn json(status: StatusCode, view: &impl Serialize) -> Response {
    // Views are made of strings, numbers and times, which always serialize.
    let mut response = Response::new(Body::from(serde_json::to_vec(view).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `text` as it stands in a URL.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
