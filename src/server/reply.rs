//! A response whose head is a list: what the short way writes as it stands, and hyper gets as a map.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// A response. What frames its body is not among its fields, but for the length if that is known.
#[derive(Debug)]
pub struct Reply<B> {
    /// The status.
    pub status: StatusCode,
    /// The fields, in the order in which they are sent.
    pub fields: Fields,
    /// The body.
    pub body: B,
}

/// Fields of a response's head.
#[derive(Debug, Default)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl<B> Reply<B> {
    /// The same with another body.
    pub fn map<O>(self, other: impl FnOnce(B) -> O) -> Reply<O> {
        Reply { status: self.status, fields: self.fields, body: other(self.body) }
    }
}

impl Fields {
    /// None yet, with room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// Adds one.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// Whether there is one of this name.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(one, _)| one == name)
    }
}

impl From<HeaderMap> for Fields {
    fn from(headers: HeaderMap) -> Self {
        let mut fields = Self::with_capacity(headers.len());
        let mut last = None;
        for (name, value) in headers {
            // Further values of one name come without it.
            last = name.or(last);
            if let Some(name) = &last {
                fields.push(name.clone(), value);
            }
        }
        fields
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
        headers.reserve(reply.fields.0.len());
        for (name, value) in reply.fields.0 {
            headers.append(name, value);
        }
        response
    }
}
