//! The audit as it is shown.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::store::{AuditHash, AuditRecord, AuditVerdict};

/// One change that somebody made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub struct RecordView<'a> {
    /// Its number in the whole audit, without gaps there.
    pub seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `cli:root@host`, `token:<id>`, `gate`.
    pub actor: &'a str,
    /// From where, if it came over the network.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// What, in the command's words.
    #[schema(example = "token.issue")]
    pub action: &'a str,
    /// The organization concerned.
    pub org: Option<&'a str>,
    /// What was changed: a token's id, a group's or a channel's name.
    pub target: Option<&'a str>,
    /// The user concerned.
    pub user: Option<&'a str>,
    /// What it was before; `null` for what was not there.
    #[schema(value_type = Option<Object>)]
    pub before: Option<&'a Value>,
    /// What it is since then; `null` for what is no longer there.
    #[schema(value_type = Option<Object>)]
    pub after: Option<&'a Value>,
    /// The hash that chains it to the record before it: 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub hash: AuditHash,
}

impl<'a> From<&'a AuditRecord> for RecordView<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            seq: record.seq,
            at: record.at,
            actor: &record.actor.name,
            address: record.actor.from,
            action: &record.action,
            org: record.organization.as_deref(),
            target: record.target.as_deref(),
            user: record.user.as_deref(),
            before: record.before.as_ref(),
            after: record.after.as_ref(),
            hash: record.hash,
        }
    }
}

/// What became of the audit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditVerdict)]
pub struct VerdictView {
    /// True if every record is as it was written.
    pub intact: bool,
    /// How many records the chain has, as far as it is whole.
    pub records: i64,
    /// The hash of its last record; `null` where it is not whole.
    #[schema(value_type = Option<String>)]
    pub head: Option<AuditHash>,
    /// The number of the first record that is not as it was written, or no longer there.
    pub first_bad: Option<i64>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl From<AuditVerdict> for VerdictView {
    fn from(verdict: AuditVerdict) -> Self {
        match verdict {
            AuditVerdict::Intact { head } => Self {
                intact: true,
                records: head.seq,
                head: Some(head.hash),
                first_bad: None,
                problem: None,
            },
            AuditVerdict::Tampered { seq, how } => Self {
                intact: false,
                records: seq.saturating_sub(1),
                head: None,
                first_bad: Some(seq),
                problem: Some(format!("record {seq} was tampered with: {how}")),
            },
            AuditVerdict::Cut { head } => Self {
                intact: false,
                records: head.seq,
                head: Some(head.hash),
                first_bad: Some(head.seq.saturating_add(1)),
                problem: Some(format!(
                    "no record has the hash that was noted: the chain was cut off, from record {} on at the latest, or written anew",
                    head.seq.saturating_add(1)
                )),
            },
        }
    }
}
