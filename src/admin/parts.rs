//! The parts of a request: its path, its query, its body. Whatever is wrong with one becomes a [`Refusal`].

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::refusal::Refusal;
use crate::server::RequestBodyError;

/// The parameters of the path.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(value) = Path::from_request_parts(parts, state).await.map_err(|rejection| {
            let told = rejection.body_text();
            match parts.method {
                // What is to be made cannot have this name; anything else of this name is not there.
                Method::PUT => Refusal::Value(told),
                _ => Refusal::Missing("There is nothing of this name."),
            }
        })?;
        Ok(Self(value))
    }
}

/// The parameters of the query.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let Query(value) =
            Query::try_from_uri(&parts.uri).map_err(|rejection| Refusal::Query(rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// The body: a JSON object.
pub(super) struct Json<T> {
    pub(super) value: T,
    /// The SHA-256 of its bytes.
    pub(super) digest: [u8; 32],
}

/// The body: a JSON object, or nothing, which means an empty one.
pub(super) struct JsonOrNothing<T>(pub(super) Json<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let is_json = is_json(request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes));
        if !is_json {
            return Err(Refusal::MediaType);
        }
        object(&read(request).await?)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonOrNothing<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let is_json = is_json(request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes));
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(Json { digest: sha256(&bytes), ..object(b"{}")? }));
        }
        if is_json { Ok(Self(object(&bytes)?)) } else { Err(Refusal::MediaType) }
    }
}

/// The whole body. The listener bounds its length and its time.
async fn read(request: Request) -> Result<Bytes, Refusal> {
    let collected = request.into_body().collect().await.map_err(|error| {
        Refusal::Body(error.into_inner().downcast::<RequestBodyError>().ok().map(|error| *error))
    })?;
    Ok(collected.to_bytes())
}

/// `application/json`, or a type that ends in `+json`, with any parameters.
fn is_json(content_type: Option<&[u8]>) -> bool {
    let essence = content_type.and_then(|value| value.split(|&byte| byte == b';').next());
    let essence = essence.map(|value| value.trim_ascii().to_ascii_lowercase()).unwrap_or_default();
    essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<Json<T>, Refusal> {
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| Refusal::Syntax(error.to_string()))?;
    // A struct would be read from an array, too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::Value("the body has to be a JSON object".to_owned()));
    }
    let value = serde_json::from_slice(bytes).map_err(|error| Refusal::Value(error.to_string()))?;
    Ok(Json { value, digest: sha256(bytes) })
}

/// The SHA-256 of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}
