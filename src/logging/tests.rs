//! Tests of what is logged, how it looks, and what happens when nobody reads.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::*;

/// What was written, and a lock that holds writers up.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    text: String,
    is_stuck: bool,
    is_waiting: bool,
}

impl Sink {
    pub(super) fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    fn set_stuck(&self, is_stuck: bool) {
        self.0.0.lock().unwrap().is_stuck = is_stuck;
        self.0.1.notify_all();
    }

    /// Waits until the log's thread hangs in a write.
    fn await_writer(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |state| !state.is_waiting).unwrap());
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.is_waiting = true;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| state.is_stuck).unwrap();
        state.is_waiting = false;
        state.text.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) const LONG: Duration = Duration::from_secs(30);

fn logged(format: Format, level: Level, log: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = Writer::start(sink.clone(), format);
    let dispatch = dispatch(&Config { format, level }, writer.clone(), false);
    tracing::dispatcher::with_default(&dispatch, log);
    writer.flush(LONG);
    sink.text()
}

#[test]
fn json_line_is_one_object_with_fields_at_its_top() {
    let text = logged(Format::Json, Level::Info, || {
        tracing::info!(target: ACCESS, status = 200, path = "/t/<TOKEN>/main/x\n\u{1b}[31m", "request");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["target"], "access");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "request");
    assert_eq!(line["status"], 200);
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(text.matches('\n').count(), 1);
}

#[test]
fn human_line_is_one_line_without_colours_or_control_characters() {
    let text = logged(Format::Human, Level::Info, || {
        tracing::warn!(path = "a\nb\u{1b}[31mc", "careful");
    });
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("WARN") && text.contains("careful"), "{text:?}");
}

#[test]
fn level_holds_for_this_crate_and_never_opens_others_below_warn() {
    let events = || {
        tracing::trace!("ours trace");
        tracing::info!(target: ACCESS, "access info");
        tracing::debug!(target: "h2::codec", "their headers");
        tracing::info!(target: "hyper", "their info");
        tracing::warn!(target: "rustls", "their warning");
        tracing::error!(target: "sqlx", "their error");
    };
    for (level, seen) in [
        (Level::Trace, vec!["ours trace", "access info", "their warning", "their error"]),
        (Level::Info, vec!["access info", "their warning", "their error"]),
        (Level::Warn, vec!["their warning", "their error"]),
        (Level::Error, vec!["their error"]),
    ] {
        let text = logged(Format::Human, level, events);
        for line in
            ["ours trace", "access info", "their headers", "their info", "their warning", "their error"]
        {
            assert_eq!(text.contains(line), seen.contains(&line), "{level:?}: {line}\n{text}");
        }
    }
}

#[test]
fn reader_that_stands_still_costs_lines_and_no_time() {
    for format in [Format::Json, Format::Human] {
        let sink = Sink::default();
        sink.set_stuck(true);
        let writer = Writer::start(sink.clone(), format);
        let dispatch = dispatch(&Config { format, ..Config::default() }, writer.clone(), false);
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!("first");
            sink.await_writer();
            for _ in 0..10_000 {
                tracing::info!("more than fit");
            }
        });
        // The queue is full, so even a flush must come back at once.
        writer.flush(LONG);
        sink.set_stuck(false);
        while !sink.text().contains("were dropped") {
            std::thread::yield_now();
        }
        writer.flush(LONG);
        let text = sink.text();
        let kept = text.lines().filter(|line| line.contains("more than fit")).count();
        assert_eq!(kept, 8_192, "{format:?}");
        let loss = text.lines().find(|line| line.contains("were dropped")).unwrap();
        match format {
            Format::Human => assert!(loss.ends_with("lines=1808"), "10,000 less the 8,192 that fit: {loss}"),
            Format::Json => {
                let loss: serde_json::Value = serde_json::from_str(loss).unwrap();
                assert_eq!((&loss["level"], &loss["lines"]), (&"WARN".into(), &1_808.into()));
            }
        }
    }
}

#[test]
fn start_twice_is_one_log() {
    start(&Config::default());
    start(&Config { format: Format::Json, level: Level::Trace });
    flush(LONG);
}
