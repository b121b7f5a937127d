//! Where a command's output goes: what was asked for to standard output, words about it to standard error.
//!
//! Nothing here panics, as `println!` does where a reader has left or the disk is full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;
use serde::Serialize;

use super::args::Output;

/// Prints `data` as JSON, or as `text` makes it. A reader that has left (`channelgate token list acme | head`) has had enough, which is no
/// failure.
///
/// # Errors
///
/// Standard output's.
pub(super) fn print<T: Serialize>(
    output: Output,
    data: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    match write(&rendered(output, data, text)?) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written to"),
    }
}

/// Like [`print`], for what cannot be printed again: a reader that has left is a failure.
///
/// # Errors
///
/// Standard output's.
pub(super) fn deliver<T: Serialize>(
    output: Output,
    data: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    Ok(write(&rendered(output, data, text)?)?)
}

/// Words for whoever typed the command. If nobody can read them, the command goes on.
pub(super) fn tell(words: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{words}");
}

fn rendered<T: Serialize>(
    output: Output,
    data: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<String> {
    Ok(if output.json { format!("{}\n", serde_json::to_string_pretty(data)?) } else { text(data) })
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
