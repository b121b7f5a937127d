//! The audit. Everybody reads what concerns their own organization; an operator all of it, and whether it is whole.

use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admitted::{Admitted, Reads};
use super::organizations::OrganizationAt;
use super::paging::Limit;
use super::parts::{Asked, At};
use super::refusal::Refusal;
use super::word::{HashWord, Moment, Word};
use super::{Shared, reply};
use crate::face::view::{RecordView, VerdictView};
use crate::policy::ApiDenial;
use crate::store::{AuditFilter, Sought};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_all)).routes(routes!(verify))
}

/// Which page of the audit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditPage {
    /// How many records at most, from 1 to 1000; 100 unless said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// Only records behind the one of this number; the header Link has it for the next page.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: i64,
    /// Only records from this moment on.
    #[param(inline)]
    since: Option<Moment>,
}

/// What the audit has to hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NotedHead {
    /// A head that was noted before and must be in the chain.
    #[param(inline)]
    head: Option<HashWord>,
}

/// Read an organization's audit
///
/// Oldest first. Needs `api:read`.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/audit", tag = "audit", operation_id = "list_audit", params(OrganizationAt, AuditPage),
    responses((status = 200, description = "A page of its records.", body = Vec<RecordView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list(
    asked: Admitted<Reads>,
    At(at): At<OrganizationAt>,
    Asked(page): Asked<AuditPage>,
) -> Result<Response, Refusal> {
    let found = asked.store().organization(&at.org).await?;
    found.ok_or_else(|| Sought::Organization(at.org.clone()))?;
    records(&asked, Some(at.org), &page).await
}

/// Read the whole audit
///
/// Of all organizations, oldest first. Needs an operator's token with `api:read`.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "list_whole_audit", params(AuditPage),
    responses((status = 200, description = "A page of its records.", body = Vec<RecordView<'static>>, headers(("Link" = String, description = "The next page, if there is one (RFC 8288).")))))]
async fn list_all(asked: Admitted<Reads>, Asked(page): Asked<AuditPage>) -> Result<Response, Refusal> {
    operators_only(&asked)?;
    records(&asked, None, &page).await
}

/// Check that the audit is as it was written
///
/// One check at a time. Needs an operator's token with `api:read`.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit", operation_id = "verify_audit", params(NotedHead),
    responses((status = 200, description = "Whether it is.", body = VerdictView)))]
async fn verify(asked: Admitted<Reads>, Asked(noted): Asked<NotedHead>) -> Result<Response, Refusal> {
    operators_only(&asked)?;
    let _turn = asked.shared.verifications.try_acquire().map_err(|_| Refusal::Overloaded)?;
    let checking = asked.store().verify_audit(noted.head.map(|Word(head)| head));
    let verdict = tokio::time::timeout(VERIFICATION_TIMEOUT, checking).await;
    Ok(reply::told(&VerdictView::from(verdict.map_err(|_| Refusal::Overloaded)??)))
}

async fn records(
    asked: &Admitted<Reads>,
    organization: Option<String>,
    page: &AuditPage,
) -> Result<Response, Refusal> {
    if page.after < 0 {
        return Err(Refusal::Query("after is the number of a record".to_owned()));
    }
    let since = page.since.as_ref().map(|&Word(at)| at);
    let filter = AuditFilter { organization, since, after: page.after, limit: page.limit.and_one() };
    let mut records = asked.store().audit(&filter).await?;
    let is_more = page.limit.cut(&mut records);
    let next = records.last().filter(|_| is_more).map(|last| {
        let mut next = vec![("after", last.seq.to_string()), ("limit", page.limit.to_string())];
        next.extend(since.map(|since| ("since", since.to_string())));
        next
    });
    let views: Vec<_> = records.iter().map(RecordView::from).collect();
    Ok(reply::page(&views, &asked.path, next.as_deref()))
}

fn operators_only(asked: &Admitted<Reads>) -> Result<(), Refusal> {
    match asked.permit.organization() {
        None => Ok(()),
        Some(_) => Err(Refusal::Denied(ApiDenial::OperatorsOnly(asked.permit.standing().clone()))),
    }
}

/// How long a check of the whole audit may take: a million records take some 10 s.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(60);
