//! Any text as an index: what passes inspection is read, and what is read and written again is read as the same.

#![no_main]

use bytes::Bytes;
use channelgate::index::{Coding, Document, FaultKind, IndexKind, Limits, Selection, inspect, write_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let limits = Limits::default();
    let passes = inspect(IndexKind::Repodata(Coding::Plain), text, &limits).is_ok();
    let document = match Document::parse(Bytes::copy_from_slice(text), &limits) {
        Ok(document) => document,
        // Which file is named twice shows in a table, which nobody keeps here.
        Err(fault) => return assert!(!passes || fault.kind() == FaultKind::Duplicate, "{fault}"),
    };
    for selection in [Selection::all(), Selection::of(&document, |record| record.file().len() % 2 == 0)] {
        let mut written = Vec::new();
        write_json(&document, &selection, &mut written).unwrap_or_default();
        let Ok(again) = Document::parse(Bytes::from(written), &limits) else {
            panic!("what was written cannot be read")
        };
        assert!(!again.needs_rewriting());
        assert_eq!(again.record_count(), selection.record_count(&document));
        for record in selection.records(&document) {
            assert_eq!(again.record(record.file()).map(|again| again.is_odd()), Some(record.is_odd()));
        }
    }
});
