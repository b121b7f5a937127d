//! Step 6 of a request's life: the file that a permit is for, out of the cache or, where none is configured, past it.
//!
//! What a file is to the cache is told by its name alone ([`crate::index::Indexes::supply`]). Of whoever asks only the permit's view has a part
//! in it, so that all who may see the same share one.

use http::Method;

use super::Routing;
use super::refusal::Refusal;
use super::served::{Asked, Served};
use crate::cache::{CacheError, FillError};
use crate::clock::Timestamp;
use crate::conda::UpstreamPath;
use crate::index::{FaultKind, IndexKind, Inspector, SupplyError, Wanted};
use crate::metrics::Metrics;
use crate::upstream::{self, Ask, Lead};

/// The file, ready to be told to the client.
pub(super) async fn fetch(
    asked: Asked<'_>,
    routing: &Routing,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<Box<Served>, Refusal> {
    let path = UpstreamPath::of(asked.permit.location()).ok_or(Refusal::Missing)?;
    let channel = &asked.permit.channel().name;
    let upstreams = routing.routes.upstreams(channel).ok_or(Refusal::Missing)?;
    let view = asked.permit.view();
    let wanted = Wanted { channel, upstreams, path: &path, method: method(asked.method), view };
    if !routing.keeps {
        return without_cache(asked, routing, &wanted, now, metrics).await;
    }
    match routing.indexes.supply(&wanted).await {
        // Nothing can be said of an index that was not read: it is read past the cache. That shows all of it.
        Err(SupplyError::Cache(CacheError::Fill(FillError::Unkept(_))))
            if view.is_whole() && Inspector::inspects(path.file_name()) =>
        {
            Box::pin(past_cache(asked, routing, &wanted, None, metrics)).await
        }
        supply => Served::supplied(supply?, asked, now).await,
    }
}

/// The same where no files are kept: what need not be changed comes from the upstream each time; only what has to be made is made of indexes
/// that are kept.
async fn without_cache(
    asked: Asked<'_>,
    routing: &Routing,
    wanted: &Wanted<'_>,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<Box<Served>, Refusal> {
    if wanted.view.is_whole()
        && let Some(kind) = IndexKind::of(wanted.path.file_name())
    {
        match Box::pin(past_cache(asked, routing, wanted, None, metrics)).await {
            Err(Refusal::Index(fault)) if fault.kind() == FaultKind::LeadsElsewhere => {}
            // Made of another form, where the upstream has one.
            Err(Refusal::Missing) if kind != IndexKind::Patches => {}
            served => return served,
        }
    } else if let Some(passing) = routing.indexes.admit(wanted).await? {
        return past_cache(asked, routing, wanted, passing.at.as_ref(), metrics).await;
    }
    Served::supplied(Box::pin(routing.indexes.supply(wanted)).await?, asked, now).await
}

async fn past_cache(
    asked: Asked<'_>,
    routing: &Routing,
    wanted: &Wanted<'_>,
    at: Option<&Lead>,
    metrics: &Metrics,
) -> Result<Box<Served>, Refusal> {
    let &Wanted { channel, upstreams, path, method, .. } = wanted;
    let ask = Ask { method, path, at, conditions: Some(asked.headers) };
    let fetched = if Inspector::inspects(path.file_name()) {
        Box::pin(routing.inspector.fetch(channel, upstreams, &ask, metrics)).await?
    } else {
        upstreams.fetch(&ask).await?
    };
    Ok(Served::fetched(fetched, asked))
}

fn method(method: &Method) -> upstream::Method {
    if *method == Method::HEAD { upstream::Method::Head } else { upstream::Method::Get }
}
