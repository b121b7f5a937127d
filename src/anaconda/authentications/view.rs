//! A token as anaconda-client shows it in a table.

use serde::Serialize;
use uuid::Uuid;

use crate::store::Listed;
use crate::token::{Scope, TokenKind, TokenRecord};

/// One row. The client needs every member, and a date with a zone.
#[derive(Serialize)]
pub(super) struct AuthenticationView {
    id: Uuid,
    /// The name under which it is removed.
    application: String,
    /// From where it was last shown; empty for never.
    remote_addr: String,
    /// Machines are not asked for their names.
    hostname: &'static str,
    expires: Option<String>,
    scopes: Vec<&'static str>,
    resource: String,
}

impl AuthenticationView {
    pub(super) fn new(listed: &Listed) -> Self {
        let Listed { record, last_use } = listed;
        Self {
            id: record.id.0,
            application: name_of(record),
            remote_addr: last_use.used.as_ref().map(|used| used.address.to_string()).unwrap_or_default(),
            hostname: "",
            expires: record.ends_at().map(|at| at.to_string()),
            scopes: record.scopes.iter().map(Scope::as_str).collect(),
            resource: format!("org:{}", record.organization),
        }
    }
}

/// What a token is called here: its name, or what it is where it has none.
pub(super) fn name_of(record: &TokenRecord) -> String {
    match (&record.name, record.kind) {
        (Some(name), _) => name.to_string(),
        (None, TokenKind::Site) => format!("site token of {}", record.organization),
        (None, _) => format!("individual token of {}", record.organization),
    }
}
