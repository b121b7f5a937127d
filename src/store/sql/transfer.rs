//! A store copied to another database, of either kind.
//!
//! 1. The target must be empty or an earlier copy of the same store: its audit is the beginning of the source's. No gate may be using it. It
//!    is marked as unfinished, and nobody but this opens it from then on ([`Store::open`]).
//! 2. Of the source one moment is read, in pages by key. A page of the target is read beside it, and what differs is written, each page in a
//!    transaction of its own: whatever was copied before, by a copy that was broken off or before the source changed, is left alone.
//!    Feed and audit are copied as they are, so that who follows the feed goes on from its position and the chain of the audit goes on.
//! 3. Every table is read again on both sides and compared by its number of rows and a digest over all of them.
//! 4. If no change was made to the source meanwhile, the mark is removed. Otherwise the copy is run again.
//!
//! Gates may go on with the source while it is copied. When a token was last used, and when an artifact was first seen, is as of the copy.

mod table;

use aws_lc_rs::digest::{Context, SHA256};

use self::table::{Layout, Page, TABLES, Table, Values};
use super::Failure;
use super::session::Session;
use super::statement::{Value, sql};
use crate::clock::Timestamp;
use crate::store::{GateState, GateStatus, Store, StoreError};

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copying {
    /// The table.
    pub table: &'static str,
    /// How many rows of it have been looked at.
    pub rows: u64,
    /// True once both sides are compared.
    pub verified: bool,
}

/// A table that is the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// How many of them this copy wrote or removed.
    pub written: u64,
    /// The SHA-256 over all its rows.
    pub sha256: [u8; 32],
}

impl Store {
    /// Makes `target`, opened by [`open_unfinished`](Self::open_unfinished), a copy of this store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::store::ErrorKind::Unsupported) for a target that holds another store or is in use, and if this store was
    /// changed meanwhile; [`ErrorKind::Corrupt`](crate::store::ErrorKind::Corrupt) if the copy is not the same; the failures of either store. What
    /// was copied stays, and the next copy goes on from there.
    pub async fn copy_to(
        &self,
        target: &Self,
        now: Timestamp,
        told: &mut (dyn FnMut(Copying) + Send),
    ) -> Result<Vec<CopiedTable>, StoreError> {
        let mut source = self.call_on_all(self.snapshot()).await?;
        let state = self.call_on_all(state(&mut source)).await?;
        let is_empty = self.admit(target, now).await?;
        let mut copy = Copy { from: self, source, to: target, told };
        let mut written = [0; TABLES.len()];
        if !is_empty {
            for (table, written) in TABLES.iter().zip(&mut written).rev() {
                *written += copy.walk(table, None, Deed::Remove).await?;
            }
        }
        for (table, written) in TABLES.iter().zip(&mut written) {
            if let (Some(first), false) = (table.first, is_empty) {
                *written += copy.walk(table, Some(first), Deed::Write).await?;
            }
            *written += copy.walk(table, None, Deed::Write).await?;
        }
        let mut copied = Vec::new();
        for (table, written) in TABLES.iter().zip(written) {
            copied.push(copy.verify(table, written).await?);
        }
        drop(copy);
        if self.call_on_all(async { state_of(self).await }).await? != state {
            let problem =
                "was changed while it was copied; run the copy again, it goes on where this one ended";
            return Err(StoreError::unsupported(self.name(), problem));
        }
        target.call_on_all(target.mark(None)).await?;
        Ok(copied)
    }

    /// The store that this one is an unfinished copy of.
    pub(in crate::store) async fn unfinished_from(&self) -> Result<Option<String>, StoreError> {
        self.call(async {
            let mark = sql("SELECT value FROM meta WHERE name = 'migrating_from'");
            let row = mark.fetch_optional(&mut self.reader().await?).await?;
            Ok(row.map(|row| row.read("value")).transpose()?)
        })
        .await
    }

    /// Makes sure that `target` may become a copy of this store, and marks it. True if it is empty.
    async fn admit(&self, target: &Self, now: Timestamp) -> Result<bool, StoreError> {
        let refused = |problem: String| StoreError::unsupported(target.name(), problem);
        let gates = target.gates(GATES_LOOKED_AT).await?;
        let is_alive =
            |status: &&GateStatus| status.beat.state != GateState::Stopped && !status.is_silent(now);
        if let Some(status) = gates.iter().find(is_alive) {
            return Err(refused(format!("is in use by the gate \"{}\"; stop it first", status.gate.name)));
        }
        let last = target.call_on_all(async {
            let mut session = target.reader().await?;
            let last = sql("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
            let last = last.fetch_optional(&mut session).await?;
            Ok(match last {
                Some(row) => Some((row.read::<i64>("seq")?, row.read::<Vec<u8>>("hash")?)),
                None => None,
            })
        });
        let is_empty = match last.await? {
            Some((seq, hash)) => {
                let same = self.call_on_all(async {
                    let record = sql("SELECT seq FROM audit WHERE seq = $1 AND hash = $2").bind(seq);
                    let record = record.bind(Value::Bytes(Some(hash)));
                    Ok(record.fetch_optional(&mut self.reader().await?).await?.is_some())
                });
                if !same.await? {
                    return Err(refused("holds another store; name an empty database".to_owned()));
                }
                false
            }
            None => {
                let organizations = target.organizations(None, 1).await?;
                if !organizations.is_empty() {
                    return Err(refused("holds another store; name an empty database".to_owned()));
                }
                true
            }
        };
        target.call_on_all(target.mark(Some(self.name()))).await?;
        Ok(is_empty)
    }

    /// Marks this store as an unfinished copy of another one, or as finished.
    async fn mark(&self, source: Option<String>) -> Result<(), Failure> {
        let mut session = self.locked().await?;
        sql("DELETE FROM meta WHERE name = 'migrating_from'").execute(&mut session).await?;
        if let Some(source) = source {
            let mark = sql("INSERT INTO meta (name, value) VALUES ('migrating_from', $1)");
            mark.bind(source).execute(&mut session).await?;
        }
        Ok(session.commit().await?)
    }
}

/// The end of the feed and of the audit.
type State = (i64, Option<Vec<u8>>);

async fn state(session: &mut Session) -> Result<State, Failure> {
    let row = sql("SELECT position, (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1) AS head FROM feed");
    let row = row.fetch_one(session).await?;
    Ok((row.read("position")?, row.read("head")?))
}

async fn state_of(store: &Store) -> Result<State, Failure> {
    state(&mut store.reader().await?).await
}

/// A copy on its way.
struct Copy<'c> {
    from: &'c Store,
    /// One moment of it.
    source: Session,
    to: &'c Store,
    told: &'c mut (dyn FnMut(Copying) + Send),
}

/// What is done about rows of the target that are not as those of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Those that the source does not have are removed.
    Remove,
    /// Those that it has are written.
    Write,
}

impl Copy<'_> {
    /// Goes through the rows of a table that are `such`. Returns how many were written or removed.
    async fn walk(&mut self, table: &Table, such: Option<&str>, deed: Deed) -> Result<u64, StoreError> {
        let layout = self.layout(table).await?;
        let (mut after, mut written, mut rows): (Option<Values>, u64, u64) = (None, 0, 0);
        loop {
            let Self { from, source, to, .. } = self;
            let page = from.call_on_all(layout.page(source, after.as_ref(), None, such, PAGE)).await?;
            let until = if page.len() < PAGE { None } else { page.keys().next_back().cloned() };
            let brought = bring_up(to, &layout, table, &page, (after.as_ref(), until.as_ref()), deed);
            written += to.call_on_all(brought).await?;
            rows += page.len() as u64;
            if deed == Deed::Write && such.is_none() && !page.is_empty() {
                (self.told)(Copying { table: table.name, rows, verified: false });
            }
            after = until;
            if after.is_none() {
                return Ok(written);
            }
        }
    }

    /// Compares a table on both sides.
    async fn verify(&mut self, table: &Table, written: u64) -> Result<CopiedTable, StoreError> {
        let layout = self.layout(table).await?;
        let (rows, sha256) = sum(self.from, &mut self.source, &layout).await?;
        let mut session = self.to.call_on_all(async { self.to.reader().await }).await?;
        if sum(self.to, &mut session, &layout).await? != (rows, sha256) {
            let problem =
                format!("the table {} of the copy is not the same as that of the source", table.name);
            return Err(StoreError::corrupt(self.to.name(), problem));
        }
        (self.told)(Copying { table: table.name, rows, verified: true });
        Ok(CopiedTable { name: table.name, rows, written, sha256 })
    }

    /// The table as both sides have it.
    async fn layout(&mut self, table: &Table) -> Result<Layout, StoreError> {
        let layout = self.from.call_on_all(Layout::read(table, &mut self.source)).await?;
        let there =
            self.to.call_on_all(async { Layout::read(table, &mut self.to.reader().await?).await }).await?;
        if layout != there {
            let problem = format!("the table {} has other columns than in the source", table.name);
            return Err(StoreError::corrupt(self.to.name(), problem));
        }
        Ok(layout)
    }
}

/// Brings the rows of the target between two keys up to a page of the source, in one transaction.
async fn bring_up(
    to: &Store,
    layout: &Layout,
    table: &Table,
    page: &Page,
    (after, until): (Option<&Values>, Option<&Values>),
    deed: Deed,
) -> Result<u64, Failure> {
    let mut session = to.locked().await?;
    let there = layout.page(&mut session, after, until, None, PAGE_THERE + 1).await?;
    if there.len() > PAGE_THERE {
        let problem = "differs too much from the source; empty it and begin anew";
        return Err(StoreError::unsupported(to.name(), problem).into());
    }
    let mut written = 0;
    match deed {
        Deed::Remove => {
            for key in there.keys().filter(|key| !page.contains_key(*key)) {
                layout.remove(&mut session, key).await?;
                written += 1;
            }
        }
        Deed::Write => {
            let differing = page.iter().filter(|(key, row)| there.get(*key) != Some(*row));
            let rows: Vec<_> = differing.map(|(_, row)| row).collect();
            layout.write(&mut session, &rows, table.is_appended).await?;
            written = rows.len() as u64;
        }
    }
    session.commit().await?;
    Ok(written)
}

/// The number of rows, and a digest over all of them in the order of their keys.
async fn sum(store: &Store, session: &mut Session, layout: &Layout) -> Result<(u64, [u8; 32]), StoreError> {
    let mut digest = Context::new(&SHA256);
    let (mut after, mut rows) = (None, 0);
    loop {
        let page = store.call_on_all(layout.page(session, after.as_ref(), None, None, PAGE)).await?;
        for value in page.values().flatten() {
            update(&mut digest, value);
        }
        rows += page.len() as u64;
        if page.len() < PAGE {
            let mut sha256 = [0; 32];
            sha256.copy_from_slice(digest.finish().as_ref());
            return Ok((rows, sha256));
        }
        after = page.keys().next_back().cloned();
    }
}

/// Each value with its kind and its length, so that no two rows read the same.
fn update(digest: &mut Context, value: &Value) {
    let mut part = |kind: u8, bytes: Option<&[u8]>| {
        digest.update(&[kind]);
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        digest.update(&length.to_be_bytes());
        digest.update(bytes.unwrap_or_default());
    };
    match value {
        Value::Integer(integer) => part(0, integer.map(i64::to_be_bytes).as_ref().map(|bytes| &bytes[..])),
        Value::Text(text) => part(1, text.as_deref().map(str::as_bytes)),
        Value::Bytes(bytes) => part(2, bytes.as_deref()),
    }
}

/// Rows that are read at once.
const PAGE: usize = 1_000;

/// Rows of the target in the place of that many.
const PAGE_THERE: usize = 10_000;

/// Gates of the target that are looked at.
const GATES_LOOKED_AT: u32 = 1_000;
