//! Goes through all objects with their facts, in bounded memory.

use std::sync::Arc;
use std::vec;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::object::{self, Loaded};
use super::{Inner, space};
use crate::cache::facts::Facts;
use crate::cache::key::KeyDigest;
use crate::clock::Timestamp;

/// One object on a [`Walk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is known of it.
    pub facts: Facts,
    /// Disk space that it takes.
    pub bytes: u64,
    /// When the upstream last said that it is current.
    pub validated_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Timestamp,
}

/// Goes through all objects: those that are there from its beginning to its end, and perhaps some that come or go meanwhile. Objects may be
/// removed on the way. Files that are no objects are removed by it.
pub struct Walk {
    batches: mpsc::Receiver<Vec<Entry>>,
    batch: vec::IntoIter<Entry>,
}

impl Walk {
    pub(super) fn begin(inner: Arc<Inner>) -> Self {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        // It ends when nobody takes the next batch.
        drop(spawn_blocking(move || walk(&inner, &sender)));
        Self { batches, batch: Vec::new().into_iter() }
    }

    /// The next one; `None` after the last.
    pub async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.batch.next() {
                return Some(entry);
            }
            self.batch = self.batches.recv().await?.into_iter();
        }
    }
}

fn walk(inner: &Inner, batches: &mpsc::Sender<Vec<Entry>>) {
    // From another place each time: a walk that never comes to its end still comes by everywhere.
    let mut turn = [0];
    let _ = getrandom::fill(&mut turn);
    let [turn] = turn;
    let bays = match inner.layout.bays(turn) {
        Ok(bays) => bays,
        Err(error) => return inner.complain("the cache's directory could not be read", &error),
    };
    let mut batch = Vec::new();
    for bay in bays {
        let mut found: Vec<(String, KeyDigest)> = Vec::new();
        let scanned = inner.layout.scan(&bay, |object| found.push((object.shelf.to_owned(), object.digest)));
        if let Err(error) = scanned {
            inner.complain("a directory of the cache could not be read", &error);
        }
        for (shelf, digest) in found {
            let _name = inner.name(&digest);
            let Some(Loaded { facts, stat, .. }) = inner.load(&shelf, &digest) else { continue };
            batch.push(Entry {
                facts,
                bytes: space(object::size(&stat)),
                validated_at: object::validated_at(&stat),
                used_at: object::used_at(&stat),
            });
            if batch.len() >= BATCH_ENTRIES {
                drop(_name);
                if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return;
                }
            }
        }
    }
    let _ = batches.blocking_send(batch);
}

const BATCH_ENTRIES: usize = 64;
const BATCHES_AHEAD: usize = 2;
