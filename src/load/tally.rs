//! Counting: latencies in HDR histograms, errors by class, throughput over time. Pure; tallies of threads are merged.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What was wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No connection.
    Connect,
    /// No TLS on it, or not the protocol that was asked for.
    Tls,
    /// No whole answer within the timeout.
    Timeout,
    /// The connection ended before there was an answer.
    Closed,
    /// What came is not HTTP.
    Protocol,
    /// The body ended before its announced end.
    ShortBody,
    /// The body is not what the index, or its name, promises.
    DigestMismatch,
    /// 1xx, or a 200 where 304 or a refusal was expected.
    Status2xx,
    /// A redirect, which is not followed; or a 304 that nobody asked for.
    Status3xx,
    /// A refusal of a valid request.
    Status4xx,
    /// A failure of the target.
    Status5xx,
    /// When the run and its grace were over there was no answer.
    Unanswered,
}

impl Fault {
    /// All, in the order of reports.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Closed,
        Self::Protocol,
        Self::ShortBody,
        Self::DigestMismatch,
        Self::Status2xx,
        Self::Status3xx,
        Self::Status4xx,
        Self::Status5xx,
        Self::Unanswered,
    ];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::ShortBody => "short_body",
            Self::DigestMismatch => "digest_mismatch",
            Self::Status2xx => "status_2xx",
            Self::Status3xx => "status_3xx",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::Unanswered => "unanswered",
        }
    }

    /// That of a status that was not expected.
    pub fn of_status(status: u16) -> Self {
        match status {
            300..=399 => Self::Status3xx,
            400..=499 => Self::Status4xx,
            500.. => Self::Status5xx,
            _ => Self::Status2xx,
        }
    }
}

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was over, from the beginning of the run.
    pub at: Duration,
    /// The slice that it was meant for.
    pub slice: usize,
    /// From its intended arrival to its end.
    pub latency: Duration,
    /// From there to the head of its answer, if there was one.
    pub first_byte: Option<Duration>,
    /// Bytes of the body.
    pub bytes: u64,
    /// The status, and the `code` of a problem document.
    pub answer: Option<(u16, Option<String>)>,
    /// What was wrong.
    pub fault: Option<Fault>,
}

/// Throughput in one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Requests that ended in it.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Those of them that were wrong.
    pub errors: u64,
}

/// What is counted of one kind of request to one target.
#[derive(Clone, Debug)]
pub struct Tally {
    latency: Histogram<u64>,
    first_byte: Histogram<u64>,
    bytes: u64,
    faults: BTreeMap<Fault, u64>,
    answers: BTreeMap<(u16, Option<String>), u64>,
    spans: Vec<Span>,
    span: Duration,
    /// By slice, coarser: for pairs of slices to be compared.
    slices: Vec<Histogram<u64>>,
}

/// Further kinds of answers are counted as one of them without a code.
const ANSWERS_MAX: usize = 64;

/// How fine histograms are: 0.1 % of a value.
const DIGITS: u8 = 3;

/// How fine those of slices are: 1 %.
const SLICE_DIGITS: u8 = 2;

/// Six hours: longer than any run lets a request wait.
const LATENCY_MICROS_MAX: u64 = 6 * 3_600 * 1_000_000;

impl Tally {
    /// Of a run of this length, its grace included, in so many slices.
    pub fn new(length: Duration, slices: usize) -> Self {
        // At most 120 spans, none shorter than 100 ms.
        let span = Duration::from_millis(100 * (length.as_millis() as u64).div_ceil(12_000).max(1));
        let spans = usize::try_from(length.as_millis() / span.as_millis()).unwrap_or(0) + 1;
        Self {
            latency: histogram(DIGITS),
            first_byte: histogram(DIGITS),
            bytes: 0,
            faults: BTreeMap::new(),
            answers: BTreeMap::new(),
            spans: vec![Span::default(); spans],
            span,
            slices: (0..slices).map(|_| histogram(SLICE_DIGITS)).collect(),
        }
    }

    /// Counts one request.
    pub fn record(&mut self, record: Record) {
        let micros = micros(record.latency);
        self.latency.saturating_record(micros);
        if let Some(first_byte) = record.first_byte {
            self.first_byte.saturating_record(self::micros(first_byte));
        }
        self.bytes += record.bytes;
        if let Some(fault) = record.fault {
            *self.faults.entry(fault).or_default() += 1;
        }
        if let Some((status, code)) = record.answer {
            let key = (status, code);
            let key = if self.answers.len() < ANSWERS_MAX || self.answers.contains_key(&key) {
                key
            } else {
                (key.0, None)
            };
            *self.answers.entry(key).or_default() += 1;
        }
        let last = self.spans.len().saturating_sub(1);
        let place = usize::try_from(record.at.as_nanos() / self.span.as_nanos()).unwrap_or(last).min(last);
        if let Some(span) = self.spans.get_mut(place) {
            span.requests += 1;
            span.bytes += record.bytes;
            span.errors += u64::from(record.fault.is_some());
        }
        if let Some(slice) = self.slices.get_mut(record.slice) {
            slice.saturating_record(micros);
        }
    }

    /// Adds another tally of the same run.
    pub fn merge(&mut self, other: &Self) {
        // Histograms that grow by themselves take up everything.
        let _ = self.latency.add(&other.latency);
        let _ = self.first_byte.add(&other.first_byte);
        self.bytes += other.bytes;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (answer, count) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += count;
        }
        for (span, other) in self.spans.iter_mut().zip(&other.spans) {
            span.requests += other.requests;
            span.bytes += other.bytes;
            span.errors += other.errors;
        }
        for (slice, other) in self.slices.iter_mut().zip(&other.slices) {
            let _ = slice.add(other);
        }
    }

    /// Requests, whatever became of them.
    pub fn requests(&self) -> u64 {
        self.latency.len()
    }

    /// Those that were wrong.
    pub fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Bytes of bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many had this fault.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// Answers by status and code.
    pub fn answers(&self) -> &BTreeMap<(u16, Option<String>), u64> {
        &self.answers
    }

    /// Microseconds from the intended arrival to the end.
    pub fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// Microseconds from the intended arrival to the answer's head.
    pub fn first_byte(&self) -> &Histogram<u64> {
        &self.first_byte
    }

    /// Throughput over time: how long a span is, and the spans up to the last in which something ended.
    pub fn timeline(&self) -> (Duration, &[Span]) {
        let used = self.spans.iter().rposition(|span| span.requests > 0).map_or(0, |last| last + 1);
        (self.span, self.spans.get(..used).unwrap_or_default())
    }

    /// Latencies by slice.
    pub fn slices(&self) -> &[Histogram<u64>] {
        &self.slices
    }
}

/// An empty histogram of microseconds.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, digits)
        .unwrap_or_else(|_| unreachable!("the bounds are constant, and among those that the library takes"))
}

/// What is shorter counts as one microsecond.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(millis: u64, fault: Option<Fault>) -> Record {
        Record {
            at: Duration::from_millis(millis),
            slice: 0,
            latency: Duration::from_millis(millis),
            first_byte: None,
            bytes: millis,
            answer: Some((200, None)),
            fault,
        }
    }

    proptest! {
        #[test]
        fn counts_add_up_however_requests_are_spread_over_threads(
            requests in proptest::collection::vec((0_u64..20_000, proptest::option::of(0_usize..12), 0_usize..4), 1..200),
        ) {
            let empty = || Tally::new(Duration::from_secs(10), 4);
            let (mut whole, mut parts) = (empty(), [empty(), empty(), empty(), empty()]);
            for (millis, fault, thread) in &requests {
                let record = record(*millis, fault.map(|fault| Fault::ALL[fault]));
                whole.record(record.clone());
                parts[*thread].record(record);
            }
            let mut merged = empty();
            for part in &parts {
                merged.merge(part);
            }
            for tally in [&whole, &merged] {
                prop_assert_eq!(tally.requests(), requests.len() as u64);
                prop_assert_eq!(tally.errors(), Fault::ALL.iter().map(|fault| tally.fault(*fault)).sum::<u64>());
                let spans = tally.timeline().1;
                prop_assert_eq!(spans.iter().map(|span| span.requests).sum::<u64>(), tally.requests());
                prop_assert_eq!(spans.iter().map(|span| span.errors).sum::<u64>(), tally.errors());
                prop_assert_eq!(spans.iter().map(|span| span.bytes).sum::<u64>(), tally.bytes());
                prop_assert_eq!(tally.answers().values().sum::<u64>(), tally.requests());
            }
            for quantile in [0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(whole.latency().value_at_quantile(quantile), merged.latency().value_at_quantile(quantile));
            }
            let longest = requests.iter().map(|(millis, ..)| (millis * 1_000).max(1)).max().unwrap();
            let error = whole.latency().max().abs_diff(longest) as f64 / longest as f64;
            prop_assert!(error <= 0.001, "{} is not {}", whole.latency().max(), longest);
        }
    }

    #[test]
    fn kinds_of_answers_are_bounded() {
        let mut tally = Tally::new(Duration::from_secs(1), 0);
        for number in 0..10_000 {
            tally.record(Record { answer: Some((500, Some(format!("code_{number}")))), ..record(1, None) });
        }
        assert!(tally.answers().len() <= ANSWERS_MAX + 1, "{}", tally.answers().len());
        assert_eq!(tally.answers().values().sum::<u64>(), 10_000);
    }

    #[test]
    fn statuses_have_their_class() {
        let classes =
            [200, 204, 101, 301, 304, 401, 404, 503, 600].map(|status| Fault::of_status(status).as_str());
        assert_eq!(
            classes,
            [
                "status_2xx",
                "status_2xx",
                "status_2xx",
                "status_3xx",
                "status_3xx",
                "status_4xx",
                "status_4xx",
                "status_5xx",
                "status_5xx"
            ]
        );
    }
}
