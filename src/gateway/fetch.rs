//! Step 6 of a request's life: the file that a permit is for, out of the cache or, where none is configured, past it.
//!
//! What a file is to the cache is told by its name alone ([`crate::index::Indexes::supply`]). Whoever asks has no part in it, so that all
//! who may read a file share one.

use http::Method;

use super::Routing;
use super::refusal::Refusal;
use super::served::{Asked, Served};
use crate::cache::{CacheError, FillError};
use crate::clock::Timestamp;
use crate::conda::UpstreamPath;
use crate::index::Inspector;
use crate::metrics::Metrics;
use crate::upstream::{self, Ask, Upstreams};

/// The file, ready to be told to the client.
pub(super) async fn fetch(
    asked: Asked<'_>,
    routing: &Routing,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<Served, Refusal> {
    let path = UpstreamPath::of(asked.permit.location()).ok_or(Refusal::Missing)?;
    let upstreams = routing.routes.upstreams(&asked.permit.channel().name).ok_or(Refusal::Missing)?;
    let Some(indexes) = &routing.indexes else {
        return past_cache(asked, routing, upstreams, &path, metrics).await;
    };
    let channel = &asked.permit.channel().name;
    match indexes.supply(channel, upstreams, &path, method(asked.method)).await {
        // Nothing can be said of an index that was not read: it is read past the cache.
        Err(CacheError::Fill(FillError::Unkept(_))) if Inspector::inspects(path.file_name()) => {
            past_cache(asked, routing, upstreams, &path, metrics).await
        }
        supply => Served::supplied(supply?, asked, now).await,
    }
}

async fn past_cache(
    asked: Asked<'_>,
    routing: &Routing,
    upstreams: &Upstreams,
    path: &UpstreamPath,
    metrics: &Metrics,
) -> Result<Served, Refusal> {
    let ask = Ask { method: method(asked.method), path, at: None, conditions: Some(asked.headers) };
    let fetched = if Inspector::inspects(path.file_name()) {
        routing.inspector.fetch(&asked.permit.channel().name, upstreams, &ask, metrics).await?
    } else {
        upstreams.fetch(&ask).await?
    };
    Ok(Served::fetched(fetched, asked))
}

fn method(method: &Method) -> upstream::Method {
    if *method == Method::HEAD { upstream::Method::Head } else { upstream::Method::Get }
}
