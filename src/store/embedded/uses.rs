//! The last use of tokens in SQLite.

use super::{Embedded, row};
use crate::clock::Timestamp;
use crate::store::{LastUse, StoreError, Use};
use crate::token::TokenId;

impl Embedded {
    pub(in crate::store) async fn last_use(&self, id: TokenId) -> Result<LastUse, StoreError> {
        self.call(async {
            let row = sqlx::query("SELECT * FROM token_uses WHERE token_id = ?").bind(&id.0.as_bytes()[..]);
            let row = row.fetch_optional(&mut *self.reader().await?).await?;
            Ok(row.as_ref().map(row::last_use).transpose()?.unwrap_or_default())
        })
        .await
    }

    pub(in crate::store) async fn record_uses(&self, batch: &[Use]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.call(async {
            // Not a change: no verdict depends on it, and the audit is about what people do.
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            for Use { token, news: LastUse { used, refused } } in batch {
                // Another gate over the same store may have written something later.
                sqlx::query(
                    "INSERT INTO token_uses (token_id, used_at, carrier, address, refused_at, refused_code, refusals) \
                     SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM tokens WHERE id = ?1 \
                     ON CONFLICT (token_id) DO UPDATE SET \
                     used_at = max(coalesce(used_at, excluded.used_at), coalesce(excluded.used_at, used_at)), \
                     carrier = CASE WHEN excluded.used_at >= coalesce(used_at, excluded.used_at) THEN excluded.carrier ELSE carrier END, \
                     address = CASE WHEN excluded.used_at >= coalesce(used_at, excluded.used_at) THEN excluded.address ELSE address END, \
                     refused_at = max(coalesce(refused_at, excluded.refused_at), coalesce(excluded.refused_at, refused_at)), \
                     refused_code = CASE WHEN excluded.refused_at >= coalesce(refused_at, excluded.refused_at) \
                     THEN excluded.refused_code ELSE refused_code END, \
                     refusals = token_uses.refusals + excluded.refusals",
                )
                .bind(&token.0.as_bytes()[..])
                .bind(used.as_ref().map(|used| used.at.as_millis()))
                .bind(used.as_ref().map(|used| used.carrier.as_str()))
                .bind(used.as_ref().map(|used| used.address.to_string()))
                .bind(refused.as_ref().map(|refused| Timestamp::as_millis(refused.at)))
                .bind(refused.as_ref().map(|refused| refused.code.as_str()))
                .bind(refused.as_ref().map_or(0, |refused| i64::try_from(refused.count).unwrap_or(i64::MAX)))
                .execute(&mut *transaction)
                .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }
}
