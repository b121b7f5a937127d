//! The queue between those who log and the one thread that writes.
//!
//! Queueing never blocks: a full queue drops the line and counts it. A line is one `write` call, so that lines of other writers to the
//! same file stand between lines, never in them. Knows nothing of what a line says.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{MakeWriter, format};

use super::Format;

/// Queues lines for the thread.
#[derive(Clone)]
pub(super) struct Writer {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Line(Vec<u8>),
    /// Everything before it is written: say so.
    Flushed(SyncSender<()>),
}

impl Writer {
    /// Starts a thread that writes to `sink` until every writer is gone.
    pub(super) fn start(sink: impl Write + Send + 'static, format: Format) -> Self {
        let (queue, lines) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        // Without its thread the log is silent, and the gate goes on: lines are dropped as if nobody read them.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(sink, &lines, &counted, format));
        Self { queue, dropped }
    }

    /// Waits until what was queued before is written, or `patience` is over.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, is_done) = sync_channel(1);
        if self.queue.try_send(Item::Flushed(done)).is_ok() {
            let _ = is_done.recv_timeout(patience);
        }
    }

    fn push(&self, line: Vec<u8>) {
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(mut sink: impl Write, lines: &Receiver<Item>, dropped: &AtomicU64, format: Format) {
    for item in lines {
        // Where stderr is gone nobody can be told, and the gate serves on.
        match item {
            Item::Line(line) => drop(sink.write_all(&line)),
            Item::Flushed(done) => {
                drop(sink.flush());
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            drop(sink.write_all(loss(lost, format).as_bytes()));
        }
    }
}

/// The line that tells of dropped lines. It is no event, for which there might be no room.
fn loss(lines: u64, format: Format) -> String {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut format::Writer::new(&mut time));
    let target = module_path!();
    match format {
        Format::Human => {
            format!("{time}  WARN {target}: log lines were dropped, nobody read them in time lines={lines}\n")
        }
        Format::Json => format!(
            "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"log lines were dropped, nobody read them in time\",\
             \"lines\":{lines},\"target\":\"{target}\"}}\n"
        ),
    }
}

impl<'w> MakeWriter<'w> for Writer {
    type Writer = Line<'w>;

    fn make_writer(&'w self) -> Line<'w> {
        Line { text: Vec::with_capacity(LINE_BYTES), writer: self }
    }
}

/// One line while it is being formatted; queued when it is dropped.
pub(super) struct Line<'w> {
    text: Vec<u8>,
    writer: &'w Writer,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.writer.push(mem::take(&mut self.text));
        }
    }
}

/// Lines that wait, at some 300 bytes each: a few megabytes at most, and seconds of a busy gate.
const LINES_MAX: usize = 8_192;

/// What a usual line takes.
const LINE_BYTES: usize = 384;
