//! The last use of tokens.

use super::row;
use super::statement::sql;
use crate::store::{LastUse, Store, StoreError, Use};
use crate::token::TokenId;

impl Store {
    /// When a token was last shown.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn last_use(&self, id: TokenId) -> Result<LastUse, StoreError> {
        self.call(async {
            let row = sql(
                "SELECT used_at, carrier, address, refused_at, refused_code, refusals FROM token_uses WHERE token_id = $1",
            ).bind(id.0);
            let row = row.fetch_optional(&mut self.reader().await?).await?;
            Ok(row.as_ref().map(row::last_use).transpose()?.unwrap_or_default())
        })
        .await
    }

    /// Writes down when tokens were last shown, all in one transaction. Tokens that there are not are passed over.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn record_uses(&self, batch: &[Use]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.call(async {
            // Not a change: no verdict depends on it, and the audit is about what people do.
            let mut session = self.writer().await?;
            // In the same order everywhere: two gates that write down the same tokens wait for each other, and not both at once.
            let mut batch: Vec<_> = batch.iter().collect();
            batch.sort_by_key(|news| news.token);
            for Use { token, news: LastUse { used, refused } } in batch {
                // Another gate over the same store may have written something later.
                sql(
                    "INSERT INTO token_uses (token_id, used_at, carrier, address, refused_at, refused_code, refusals) \
                     SELECT id, $2, $3, $4, $5, $6, $7 FROM tokens WHERE id = $1 \
                     ON CONFLICT (token_id) DO UPDATE SET \
                     used_at = CASE WHEN excluded.used_at >= coalesce(token_uses.used_at, excluded.used_at) \
                     THEN excluded.used_at ELSE token_uses.used_at END, \
                     carrier = CASE WHEN excluded.used_at >= coalesce(token_uses.used_at, excluded.used_at) \
                     THEN excluded.carrier ELSE token_uses.carrier END, \
                     address = CASE WHEN excluded.used_at >= coalesce(token_uses.used_at, excluded.used_at) \
                     THEN excluded.address ELSE token_uses.address END, \
                     refused_at = CASE WHEN excluded.refused_at >= coalesce(token_uses.refused_at, excluded.refused_at) \
                     THEN excluded.refused_at ELSE token_uses.refused_at END, \
                     refused_code = CASE WHEN excluded.refused_at >= coalesce(token_uses.refused_at, excluded.refused_at) \
                     THEN excluded.refused_code ELSE token_uses.refused_code END, \
                     refusals = token_uses.refusals + excluded.refusals",
                )
                .bind(token.0)
                .bind(used.as_ref().map(|used| used.at))
                .bind(used.as_ref().map(|used| used.carrier.as_str()))
                .bind(used.as_ref().map(|used| used.address.to_string()))
                .bind(refused.as_ref().map(|refused| refused.at))
                .bind(refused.as_ref().map(|refused| refused.code.as_str()))
                .bind(refused.as_ref().map_or(0, |refused| i64::try_from(refused.count).unwrap_or(i64::MAX)))
                .execute(&mut session)
                .await?;
            }
            Ok(session.commit().await?)
        })
        .await
    }
}
