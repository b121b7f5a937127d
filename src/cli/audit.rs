//! `channelgate audit …`.

use std::process::ExitCode;

use super::UsageError;
use super::args::{AuditArguments, AuditCommand, Output};
use super::output;
use super::session::Session;
use super::view::{details, table};
use crate::clock::Timestamp;
use crate::face::view::{RecordView, VerdictView};
use crate::store::{AuditFilter, AuditHash, AuditRecord};

/// Runs one of the commands. Exit status 1 if the audit is not as it was written.
///
/// # Errors
///
/// The store's, and organizations that there are not.
pub(super) async fn run(arguments: AuditArguments, session: &Session<'_>) -> anyhow::Result<ExitCode> {
    let AuditArguments { command, org, since, output } = arguments;
    if let Some(AuditCommand::Verify { head, output: of_verify }) = command {
        if org.is_some() || since.is_some() {
            let problem = "audit verify checks the whole audit: it takes neither --org nor --since";
            return Err(UsageError(problem.to_owned()).into());
        }
        return verify(session, head, Output { json: output.json || of_verify.json }).await;
    }
    if let Some(org) = &org {
        session.organization(org).await?;
    }
    let since = since.map(|since| since.before(session.now()));
    let records = all(session, org, since).await?;
    let views: Vec<_> = records.iter().map(RecordView::from).collect();
    output::print(output, &views, |views| record_table(views))?;
    Ok(ExitCode::SUCCESS)
}

async fn all(
    session: &Session<'_>,
    organization: Option<String>,
    since: Option<Timestamp>,
) -> anyhow::Result<Vec<AuditRecord>> {
    let mut filter = AuditFilter { organization, since, ..AuditFilter::default() };
    let mut records: Vec<AuditRecord> = Vec::new();
    loop {
        let page = session.store.audit(&filter).await?;
        let is_last = page.len() < usize::try_from(filter.limit)?;
        records.extend(page);
        match records.last() {
            Some(last) if !is_last => filter.after = last.seq,
            _ => return Ok(records),
        }
    }
}

async fn verify(session: &Session<'_>, noted: Option<AuditHash>, output: Output) -> anyhow::Result<ExitCode> {
    let verdict = session.store.verify_audit(noted).await?;
    let view = VerdictView::from(verdict);
    output::print(output, &view, VerdictView::to_text)?;
    Ok(if view.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl VerdictView {
    fn to_text(&self) -> String {
        let mut lines = vec![("audit", if self.intact { "intact" } else { "not intact" }.to_owned())];
        lines.extend(self.problem.clone().map(|problem| ("problem", problem)));
        lines.push(("records", self.records.to_string()));
        lines.extend(self.head.map(|head| ("head", head.to_string())));
        details(&lines)
    }
}

/// Records for people.
fn record_table(records: &[RecordView<'_>]) -> String {
    let or_nothing = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let rows = records.iter().map(|record| {
        vec![
            record.seq.to_string(),
            record.at.to_string(),
            record.actor.to_owned(),
            record.action.to_owned(),
            or_nothing(record.org),
            or_nothing(record.target),
            or_nothing(record.user),
        ]
    });
    table(&["NO", "AT", "ACTOR", "ACTION", "ORG", "TARGET", "USER"], rows)
}
