//! A response whose head is a list: what the short way writes as it stands, and hyper gets as a map.

use http::{Response, StatusCode};

use crate::semantics::Fields;

/// A response. What frames its body is not among its fields, but for a length that the body does not tell
/// itself.
#[derive(Debug)]
pub struct Reply<B> {
    /// The status.
    pub status: StatusCode,
    /// The fields, in the order in which they are sent.
    pub fields: Fields,
    /// The body.
    pub body: B,
}

impl<B> Reply<B> {
    /// The same with another body.
    pub fn map<O>(self, other: impl FnOnce(B) -> O) -> Reply<O> {
        Reply { status: self.status, fields: self.fields, body: other(self.body) }
    }
}

impl<B> From<Response<B>> for Reply<B> {
    fn from(response: Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, fields: head.headers.into(), body }
    }
}

impl<B> From<Reply<B>> for Response<B> {
    fn from(reply: Reply<B>) -> Self {
        let mut response = Self::new(reply.body);
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.reserve(reply.fields.len());
        for (name, value) in reply.fields {
            headers.append(name, value);
        }
        response
    }
}
