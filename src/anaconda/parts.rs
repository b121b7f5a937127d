//! The parts of a request: its path and its body. Whatever is wrong with one becomes a [`Refusal`].

use std::collections::BTreeMap;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::refusal::Refusal;
use crate::server::RequestBodyError;

/// The parameters of the path, decoded once.
pub(super) struct At(BTreeMap<String, String>);

impl At {
    /// The parameter of this name, which the route has.
    pub(super) fn named(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Refusal::Path)?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// A JSON object, whatever the Content-Type says; members that nobody here knows are left alone, since clients send more than they mean.
pub(super) struct Json<T>(pub(super) T);

/// A body as it came.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| Refusal::Syntax(error.to_string()))?;
        // A struct would be read from an array, too.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::Value("the body has to be a JSON object".to_owned()));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| Refusal::Value(error.to_string()))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        read(request).await.map(Self)
    }
}

/// The whole body. The listener bounds its length and its time.
async fn read(request: Request) -> Result<Bytes, Refusal> {
    let collected = request.into_body().collect().await.map_err(|error| {
        Refusal::Body(error.into_inner().downcast::<RequestBodyError>().ok().map(|error| *error))
    })?;
    Ok(collected.to_bytes())
}
