//! Bringing the expiry of living tokens to what the subscription gives now.

use serde_json::json;

use super::change::{Change, Story};
use super::row::token_columns;
use super::{Embedded, Failure, organizations, row, tokens};
use crate::clock::Timestamp;
use crate::store::{Actor, StoreError, Subject, Synced, Which};
use crate::token::{TokenDigest, TokenRecord};

impl Embedded {
    pub(in crate::store) async fn sync_tokens(
        &self,
        organization: &str,
        which: &Which,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Vec<Synced>, StoreError> {
        self.call_on_all(async {
            let mut change = self.begin(by, now).await?;
            let organization = organizations::demand(change.connection(), organization).await?;
            let expires_at = tokens::expiry(&organization, now)?;
            let mut synced = Vec::new();
            for (mut record, digest) in living(&mut change, organization.id, which).await? {
                if record.expires_at == expires_at {
                    continue;
                }
                sqlx::query("UPDATE tokens SET expires_at = ? WHERE id = ?")
                    .bind(expires_at.map(Timestamp::as_millis))
                    .bind(&record.id.0.as_bytes()[..])
                    .execute(change.connection())
                    .await?;
                if *which != Which::All {
                    change.tell(Subject::Token(digest)).await?;
                }
                let before = std::mem::replace(&mut record.expires_at, expires_at);
                synced.push(Synced { record, before });
            }
            if synced.is_empty() {
                return Ok(synced);
            }
            if *which == Which::All {
                change.tell(Subject::Organization(organization.id)).await?;
            }
            let before: serde_json::Map<_, _> =
                synced.iter().map(|synced| (synced.record.id.to_string(), json!(synced.before))).collect();
            let story = Story {
                action: "token.sync",
                organization: Some(&organization.name),
                user: match which {
                    Which::User(user) => Some(user),
                    Which::Site | Which::All => None,
                },
                before: Some(json!({ "expires_at": before })),
                after: Some(json!({ "expires_at": expires_at })),
                ..Story::default()
            };
            change.record(story).await?;
            change.commit().await?;
            Ok(synced)
        })
        .await
    }
}

/// The living tokens that are meant. One that was issued again is not: its end is set already.
async fn living(
    change: &mut Change,
    organization: uuid::Uuid,
    which: &Which,
) -> Result<Vec<(TokenRecord, TokenDigest)>, Failure> {
    let (site, individual) = (living_where!("t.kind = 'site'"), living_where!("t.kind = 'individual'"));
    let of_user = living_where!("t.kind = 'individual' AND t.user_name = ?3");
    // Kind by kind, each by its index: an organization may have a million scoped tokens.
    let queries = match which {
        Which::Site => vec![sqlx::query(site)],
        Which::User(_) => vec![sqlx::query(of_user)],
        Which::All => vec![sqlx::query(site), sqlx::query(individual)],
    };
    let mut living = Vec::new();
    for query in queries {
        let mut query = query.bind(organization.as_bytes().to_vec()).bind(change.now.as_millis());
        if let Which::User(user) = which {
            query = query.bind(user.clone());
        }
        for row in &query.fetch_all(change.connection()).await? {
            living.push(row::token_and_digest(row)?);
        }
    }
    Ok(living)
}

macro_rules! living_where {
    ($condition:literal) => {
        concat!(
            "SELECT t.digest, ",
            token_columns!(),
            " FROM tokens t JOIN organizations o ON o.id = t.organization_id WHERE t.organization_id = ?1 AND t.ended_at IS NULL",
            " AND (t.expires_at IS NULL OR t.expires_at > ?2) AND ",
            $condition
        )
    };
}
use living_where;
