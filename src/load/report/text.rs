//! A report for people: a column for each kind of request to each target.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;

use super::{Quantiles, Ratio, Report, TallyView, VisitsView};

impl Report {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        let mut columns: Vec<(String, &TallyView)> = Vec::new();
        for (number, target) in self.targets.iter().enumerate() {
            let mark = if self.targets.len() > 1 { format!("{} ", letter(number)) } else { String::new() };
            let has = format!(
                "{}, {}, {}",
                plural(target.indexes, "index"),
                plural(target.shards, "shard"),
                plural(target.packages, "package")
            );
            let _ = writeln!(text, "{mark}{}  ({has})", target.url);
            let kind = if target.garbage.is_some() { "valid" } else { "" };
            columns.push((format!("{mark}{kind}").trim().to_owned(), &target.valid));
            columns.extend(target.garbage.iter().map(|tally| (format!("{mark}garbage"), tally)));
        }
        text.push('\n');
        if columns.len() > 1 {
            row(&mut text, "", columns.iter().map(|(name, _)| name.clone()));
        }
        let mut each = |name: &str, show: &dyn Fn(&TallyView) -> String| {
            row(&mut text, name, columns.iter().map(|(_, tally)| show(tally)));
        };
        each("requests", &|tally| tally.requests.to_string());
        each("errors", &|tally| tally.errors.to_string());
        each("requests/s", &|tally| format!("{:.1}", tally.requests_per_second));
        each("bytes", &|tally| ByteSize(tally.bytes).display().iec().to_string());
        each("bytes/s", &|tally| ByteSize(tally.bytes_per_second as u64).display().iec().to_string());
        for (name, of) in Quantiles::ALL {
            each(&format!("latency {name}"), &|tally| milliseconds(of(&tally.latency_ms)));
        }
        each("first byte p50", &|tally| milliseconds(tally.first_byte_ms.p50));
        each("first byte p99", &|tally| milliseconds(tally.first_byte_ms.p99));
        for (name, tally) in &columns {
            let of = if name.is_empty() { String::new() } else { format!(" of {name}") };
            let statuses = tally.statuses.iter().map(|(status, count)| {
                let of = format!("{status} ");
                let codes =
                    tally.codes.iter().filter_map(|(code, count)| Some((code.strip_prefix(&of)?, count)));
                let codes = codes.map(|(code, count)| format!(", {count} {code}")).collect::<String>();
                format!("{status}: {count}{codes}")
            });
            let _ = writeln!(text, "\nanswers{of}  {}", join(statuses));
            let faults = tally.faults.iter().filter(|(_, count)| **count > 0);
            let faults = join(faults.map(|(fault, count)| format!("{fault}: {count}")));
            if !faults.is_empty() {
                let _ = writeln!(text, "errors{of}  {faults}");
            }
        }
        self.add_further(&mut text);
        text
    }

    fn add_further(&self, text: &mut String) {
        for target in &self.targets {
            if let Some(VisitsView { count, duration_ms }) = &target.visits {
                let _ = writeln!(
                    text,
                    "\nvisits, each of a client from its first request to its last  {count}  p50 {}  p99 {}  max {}",
                    milliseconds(duration_ms.p50),
                    milliseconds(duration_ms.p99),
                    milliseconds(duration_ms.max)
                );
            }
        }
        if let Some(comparison) = &self.comparison {
            let show = |ratio: &Ratio| format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high);
            let _ = writeln!(
                text,
                "\nB over A, median of {} pairs of slices and their middle half",
                comparison.pairs
            );
            if let Some(ratio) = &comparison.requests_per_second {
                let _ = writeln!(text, "  requests/s   {}", show(ratio));
            }
            let _ = writeln!(text, "  latency p50  {}", show(&comparison.latency_p50));
            let _ = writeln!(text, "  latency p99  {}", show(&comparison.latency_p99));
        }
        let _ = writeln!(
            text,
            "\ngenerator  {:.0} % of {} of CPU",
            self.generator.cpu_share * 100.0,
            plural(self.settings.threads, "thread")
        );
    }
}

/// What a target is called where there are two.
pub(super) fn letter(target: usize) -> char {
    if target == 0 { 'A' } else { 'B' }
}

/// A line of the table: a name, then columns that end alike.
fn row(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(text, "{name:16}");
    for cell in cells {
        let _ = write!(text, "{cell:>16}");
    }
    text.push('\n');
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("  ")
}

pub(super) fn plural(count: usize, thing: &str) -> String {
    let ending = match count {
        1 => "",
        _ if thing.ends_with('x') => "es",
        _ => "s",
    };
    format!("{count} {thing}{ending}")
}

/// Three digits that matter, as people read them.
pub(in crate::load) fn milliseconds(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 1.0 => format!("{:.0} µs", short * 1_000.0),
        some if some < 10.0 => format!("{some:.2} ms"),
        some if some < 100.0 => format!("{some:.1} ms"),
        some if some < 1_000.0 => format!("{some:.0} ms"),
        long => format!("{:.2} s", Duration::from_secs_f64(long / 1_000.0).as_secs_f64()),
    }
}
