//! How far a command is: a bar on a terminal, lines where there is none.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output::tell;

/// A command's progress. On standard error; with `--json`, too.
#[derive(Clone)]
pub(in crate::cli) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Of so many files.
    pub(in crate::cli) fn of_files(total: u64) -> Self {
        Self::new(total, "{bar:32} {pos}/{len} files  {elapsed}  {msg}")
    }

    /// Of so many bytes.
    pub(in crate::cli) fn of_bytes(total: u64) -> Self {
        Self::new(total, "{bar:32} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta}  {msg}")
    }

    /// Of so many milliseconds.
    pub(in crate::cli) fn of_run(total: u64) -> Self {
        Self::new(total, "{bar:24} {elapsed}  {msg}")
    }

    fn new(total: u64, template: &str) -> Self {
        let is_shown = io::stderr().is_terminal();
        Self(is_shown.then(|| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        }))
    }

    /// So much more is done.
    pub(in crate::cli) fn advance(&self, by: u64) {
        if let Self(Some(bar)) = self {
            bar.inc(by);
        }
    }

    /// So much is done.
    pub(in crate::cli) fn reach(&self, done: u64) {
        if let Self(Some(bar)) = self {
            bar.set_position(done);
        }
    }

    /// What it is about now, where there is a bar.
    pub(in crate::cli) fn about(&self, what: impl Display) {
        if let Self(Some(bar)) = self {
            bar.set_message(what.to_string());
        }
    }

    /// A line that stays.
    pub(in crate::cli) fn tell(&self, line: impl Display) {
        match self {
            Self(Some(bar)) => bar.suspend(|| tell(line)),
            Self(None) => tell(line),
        }
    }

    /// A line in the place of a bar.
    pub(in crate::cli) fn tell_without_bar(&self, line: impl Display) {
        if self.0.is_none() {
            tell(line);
        }
    }

    /// The end, after which nothing of it is on the terminal.
    pub(in crate::cli) fn finish(&self) {
        if let Self(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}
