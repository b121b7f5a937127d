//! The body of a refusal: `application/problem+json` (RFC 9457), with the members that conda and its plugins read.

use http::HeaderValue;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem's media type.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What a person is told. Every member but `status` is a string and the whole is an object: conda crashes on anything else
/// (conda `exceptions.py`, `CondaHTTPError`), and so does anaconda-auth on an `error` that is not an object.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// What happened, to which token (by name or id), and what to do next.
    detail: &'a str,
    code: &'static str,
    /// conda prints it behind the status.
    reason: &'static str,
    /// conda prints it; the same sentence as `detail`.
    message: &'a str,
    request_id: &'a str,
    #[schema(inline)]
    error: ErrorObject<'a>,
}

/// What anaconda-auth reads.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorObject<'a> {
    code: &'static str,
    message: &'a str,
}

impl<'a> Problem<'a> {
    /// A problem body.
    pub fn new(
        status: u16,
        code: &'static str,
        title: &'static str,
        detail: &'a str,
        request_id: &'a str,
    ) -> Self {
        Self {
            kind: format!("urn:channelgate:problem:{code}"),
            title,
            status,
            detail,
            code,
            reason: title,
            message: detail,
            request_id,
            error: ErrorObject { code, message: detail },
        }
    }

    /// The same with another code in `error`: anaconda-auth offers a login for one code only.
    #[must_use]
    pub fn with_error_code(mut self, code: &'static str) -> Self {
        self.error.code = code;
        self
    }

    /// Its JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
