//! The queue between those who log and the one thread that writes.
//!
//! Queueing never blocks: a full queue drops the line and counts it. The thread takes whatever is queued at once and writes it in one call,
//! so that lines of other writers to the same file stand between lines, never in them. Once woken it lets lines gather for a moment: in a
//! profile of `benches/side_by_side`, S, this thread took 15 percent of the process's time with a wake and a `write` for each line, and takes
//! 2 percent now. Knows nothing of what a line says.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{MakeWriter, format};

use super::Format;

/// Queues lines for the thread, which ends when every writer is gone.
#[derive(Clone)]
pub(super) struct Writer(Arc<Hold>);

/// Tells the thread when the last writer is gone.
struct Hold(Arc<Queue>);

struct Queue {
    state: Mutex<State>,
    /// For the thread: there is something to do.
    due: Condvar,
    /// For who flushes: something was written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// Lines in `text`.
    lines: usize,
    /// Lines that found no room.
    dropped: u64,
    /// How often the thread has taken what there was, and has written it.
    taken: u64,
    done: u64,
    /// The thread waits until it is told.
    is_idle: bool,
    /// Somebody waits for what is queued.
    is_urgent: bool,
    is_closed: bool,
}

impl Writer {
    /// Starts a thread that writes to `sink` until every writer is gone.
    pub(super) fn start(sink: impl Write + Send + 'static, format: Format) -> Self {
        let queue = Arc::new(Queue { state: Mutex::default(), due: Condvar::new(), written: Condvar::new() });
        let lines = Arc::clone(&queue);
        // Without its thread the log is silent, and the gate goes on: lines are dropped as if nobody read them.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || lines.write_to(sink, format));
        Self(Arc::new(Hold(queue)))
    }

    /// Waits until what was queued before is written, or `patience` is over. Does not wait where so much is queued that nobody reads.
    pub(super) fn flush(&self, patience: Duration) {
        let Self(hold) = self;
        let queue = &hold.0;
        let mut state = queue.state();
        if state.lines >= LINES_MAX {
            return;
        }
        // What is being written now, and what will be taken next.
        let wanted = state.taken + u64::from(state.lines > 0);
        state.is_urgent = true;
        queue.due.notify_one();
        drop(queue.written.wait_timeout_while(state, patience, |state| state.done < wanted));
    }

    /// Queues one line, with its end.
    pub(super) fn push(&self, line: &[u8]) {
        let Self(hold) = self;
        let queue = &hold.0;
        let mut state = queue.state();
        if state.lines >= LINES_MAX {
            state.dropped += 1;
            return;
        }
        state.text.extend_from_slice(line);
        state.lines += 1;
        if mem::take(&mut state.is_idle) {
            drop(state);
            queue.due.notify_one();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.due.notify_one();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut sink: impl Write, format: Format) {
        let mut text = Vec::new();
        while let Some(lost) = self.take(&mut text) {
            // Where stderr is gone nobody can be told, and the gate serves on.
            drop(sink.write_all(&text));
            text.clear();
            if lost > 0 {
                drop(sink.write_all(loss(lost, format).as_bytes()));
            }
            drop(sink.flush());
            self.state().done += 1;
            self.written.notify_all();
        }
    }

    /// Waits for lines and takes all there are, and the number of those that were dropped; `None` when nobody is left who could log.
    fn take(&self, text: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.state();
        while state.lines == 0 && state.dropped == 0 {
            if state.is_closed {
                return None;
            }
            state.is_urgent = false;
            state.is_idle = true;
            state = self.due.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        let until = Instant::now() + GATHERING;
        while !state.is_urgent && !state.is_closed && state.lines < LINES_MAX / 2 {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            state = self.due.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_urgent = false;
        state.taken += 1;
        state.lines = 0;
        mem::swap(text, &mut state.text);
        Some(mem::take(&mut state.dropped))
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
            self.writer.push(&self.text);
        }
    }
}

/// Lines that wait, at some 300 bytes each: a few megabytes at most, and seconds of a usual gate.
const LINES_MAX: usize = 8_192;

/// How long lines may gather before they are written. Nobody who reads a log notices.
const GATHERING: Duration = Duration::from_millis(10);

/// What a usual line takes.
const LINE_BYTES: usize = 384;
