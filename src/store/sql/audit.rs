//! The audit.

use super::Failure;
use super::change::Story;
use super::row::decode;
use super::session::Session;
use super::statement::{Row, sql};
use crate::clock::Timestamp;
use crate::store::audit::Fields;
use crate::store::{
    Actor, AuditFilter, AuditHash, AuditHead, AuditRecord, AuditVerdict, Store, StoreError, Tampering,
};

/// The records of the audit that a condition selects.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT seq, at, actor, origin, action, organization, target, user_name, before, after, previous, hash FROM audit ",
            $condition
        )
    };
}

impl Store {
    /// The records of the audit that `filter` selects, oldest first: in the chain's order, and since some moment in the order of time, which
    /// is another one where a clock was set back.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        self.call(async {
            let mut reader = self.reader().await?;
            let behind = match filter.since {
                None => None,
                Some(since) => Some(behind(&mut reader, since, filter.after).await?),
            };
            let query = match (&filter.organization, behind) {
                (None, None) => sql(select!("WHERE seq > $1 ORDER BY seq LIMIT $2")),
                (Some(organization), None) => {
                    sql(select!("WHERE organization = $1 AND seq > $2 ORDER BY seq LIMIT $3"))
                        .bind(organization)
                }
                (None, Some(_)) => sql(select!("WHERE (at, seq) > ($1, $2) ORDER BY at, seq LIMIT $3")),
                (Some(organization), Some(_)) => {
                    sql(select!("WHERE organization = $1 AND (at, seq) > ($2, $3) ORDER BY at, seq LIMIT $4"))
                        .bind(organization)
                }
            };
            let query = match behind {
                None => query.bind(filter.after),
                Some((at, seq)) => query.bind(at).bind(seq),
            };
            let query = query.bind(filter.limit);
            let rows = query.fetch_all(&mut reader).await?;
            Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The end of the audit's chain.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.call(async { Ok(head(&mut self.reader().await?).await?) }).await
    }

    /// Reads the whole audit and checks its chain, and that a record has the hash `head` if one is given.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn verify_audit(&self, sought: Option<AuditHash>) -> Result<AuditVerdict, StoreError> {
        let mut verified = AuditHead::EMPTY;
        let mut found = sought.is_none_or(|sought| sought == verified.hash);
        loop {
            // Page by page, each in its own time: what is verified is never written again.
            let rows = self.call(async {
                let page = sql(select!("WHERE seq > $1 ORDER BY seq LIMIT $2"));
                let page = page.bind(verified.seq).bind(RECORDS_PER_PAGE);
                Ok::<_, Failure>(page.fetch_all(&mut self.reader().await?).await?)
            });
            let rows = rows.await?;
            if rows.is_empty() {
                let head = verified;
                return Ok(if found { AuditVerdict::Intact { head } } else { AuditVerdict::Cut { head } });
            }
            for row in &rows {
                verified = match next(row, verified) {
                    Ok(head) => head,
                    Err(how) => return Ok(AuditVerdict::Tampered { seq: verified.seq + 1, how }),
                };
                found |= sought == Some(verified.hash);
            }
        }
    }
}

/// Appends a record to the chain.
pub(super) async fn append(
    session: &mut Session,
    by: &Actor,
    now: Timestamp,
    story: Story<'_>,
) -> Result<(), sqlx::Error> {
    let AuditHead { seq, hash: previous } = head(session).await?;
    let fields = Fields {
        seq: seq + 1,
        at: now.as_millis(),
        actor: by.name.clone(),
        origin: by.from.map(|address| address.to_string()),
        action: story.action.to_owned(),
        organization: story.organization.map(str::to_owned),
        target: story.target,
        user: story.user.map(str::to_owned),
        // Sorted keys, no spaces.
        before: story.before.map(|value| value.to_string()),
        after: story.after.map(|value| value.to_string()),
    };
    sql(
        "INSERT INTO audit (seq, at, actor, origin, action, organization, target, user_name, before, after, previous, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(fields.seq)
    .bind(fields.at)
    .bind(&fields.actor)
    .bind(&fields.origin)
    .bind(&fields.action)
    .bind(&fields.organization)
    .bind(&fields.target)
    .bind(&fields.user)
    .bind(&fields.before)
    .bind(&fields.after)
    .bind(previous.0)
    .bind(fields.hash(&previous).0)
    .execute(session)
    .await?;
    Ok(())
}

/// The time and number behind which the records since `since` go on, of those in the order of time that come behind the record `after`.
async fn behind(session: &mut Session, since: Timestamp, after: i64) -> Result<(i64, i64), sqlx::Error> {
    let first = (since.as_millis().saturating_sub(1), i64::MAX);
    if after < 1 {
        return Ok(first);
    }
    let at = sql("SELECT at FROM audit WHERE seq = $1").bind(after);
    // There is nothing behind a record that is not written yet.
    let at = at.fetch_optional(session).await?.map(|row| row.read("at")).transpose()?.unwrap_or(i64::MAX);
    Ok(first.max((at, after)))
}

async fn head(session: &mut Session) -> Result<AuditHead, sqlx::Error> {
    let row = sql("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    match row.fetch_optional(session).await? {
        None => Ok(AuditHead::EMPTY),
        Some(row) => Ok(AuditHead { seq: row.read("seq")?, hash: hash(&row, "hash")? }),
    }
}

/// The head behind `row`, if the row continues the chain from `before`. A row that cannot be read is one that nobody here wrote.
fn next(row: &Row, before: AuditHead) -> Result<AuditHead, Tampering> {
    let (fields, previous, hash) = fields(row)
        .and_then(|fields| Ok((fields, hash(row, "previous")?, hash(row, "hash")?)))
        .map_err(|_| Tampering::Altered)?;
    if fields.seq != before.seq + 1 {
        Err(Tampering::Missing)
    } else if fields.hash(&previous) != hash {
        Err(Tampering::Altered)
    } else if previous != before.hash {
        Err(Tampering::Unchained)
    } else {
        Ok(AuditHead { seq: fields.seq, hash })
    }
}

fn fields(row: &Row) -> Result<Fields, sqlx::Error> {
    Ok(Fields {
        seq: row.read("seq")?,
        at: row.read("at")?,
        actor: row.read("actor")?,
        origin: row.read("origin")?,
        action: row.read("action")?,
        organization: row.read("organization")?,
        target: row.read("target")?,
        user: row.read("user_name")?,
        before: row.read("before")?,
        after: row.read("after")?,
    })
}

fn record(row: &Row) -> Result<AuditRecord, sqlx::Error> {
    let fields = fields(row)?;
    let json =
        |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose().map_err(decode);
    let from = fields.origin.map(|address| address.parse()).transpose().map_err(decode)?;
    Ok(AuditRecord {
        seq: fields.seq,
        at: Timestamp::from_millis(fields.at),
        actor: Actor { name: fields.actor, from },
        action: fields.action,
        organization: fields.organization,
        target: fields.target,
        user: fields.user,
        before: json(fields.before)?,
        after: json(fields.after)?,
        previous: hash(row, "previous")?,
        hash: hash(row, "hash")?,
    })
}

fn hash(row: &Row, column: &str) -> Result<AuditHash, sqlx::Error> {
    let bytes: Vec<u8> = row.read(column)?;
    bytes.try_into().map(AuditHash).map_err(|_| decode("a hash has 32 bytes"))
}

/// Bounds the memory and the time of one reading.
const RECORDS_PER_PAGE: u32 = 1_000;
