//! What is told of a run: the object that `--json` prints, and what to beware of. Pure. `report/text.rs` tells it people.

mod text;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

pub(super) use self::text::milliseconds;
use self::text::{letter, plural};
use super::arrivals::{Pattern, Turns};
use super::plan::Profile;
use super::running::{Books, Ending, Outcome, Settings};
use super::tally::{Fault, Tally};
use super::wire::Protocol;

/// What a run was made under, as far as its settings do not say.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// What clients did.
    pub profile: Profile,
    /// What was spoken.
    pub protocol: Protocol,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// The targets, without credentials; how many indexes, shards and packages each had to ask for.
    pub targets: Vec<(String, (usize, usize, usize))>,
    /// Whether they are on this machine.
    pub is_local: bool,
    /// Errors in a hundred requests that are put up with, as a fraction.
    pub error_rate_max: f64,
}

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    profile: &'static str,
    began_at: String,
    /// From the first request to the end of the last.
    seconds: f64,
    /// `duration`, `requests` or `interrupt`.
    ended_by: &'static str,
    settings: SettingsView,
    targets: Vec<TargetView>,
    /// The second target over the first, pair by pair of slices.
    comparison: Option<Comparison>,
    generator: GeneratorView,
    /// Errors over requests, of all targets.
    error_rate: f64,
    error_rate_max: f64,
    /// The error rate is within its bound, and there was something to count.
    passed: bool,
    /// What to beware of in these figures.
    warnings: Vec<String>,
    #[serde(skip)]
    pub(super) series: Vec<Series>,
}

#[derive(Debug, Serialize)]
struct SettingsView {
    clients: usize,
    connections_per_client: usize,
    threads: usize,
    /// Requests a second that were meant to arrive; null where every client asks as fast as it is answered.
    rate: Option<f64>,
    arrivals: Option<&'static str>,
    http: &'static str,
    keep_alive: bool,
    verify: bool,
    duration_s: f64,
    requests_max: u64,
    timeout_s: f64,
    slice_s: Option<f64>,
    seed: u64,
}

#[derive(Debug, Serialize)]
struct TargetView {
    url: String,
    indexes: usize,
    shards: usize,
    packages: usize,
    /// How long it was asked.
    seconds: f64,
    valid: TallyView,
    /// Requests with tokens that nobody was given, if there were any.
    garbage: Option<TallyView>,
    /// Whole visits of clients, where every client asks as fast as it is answered and one target only.
    visits: Option<VisitsView>,
}

#[derive(Debug, Serialize)]
struct TallyView {
    requests: u64,
    errors: u64,
    requests_per_second: f64,
    bytes: u64,
    bytes_per_second: f64,
    latency_ms: Quantiles,
    first_byte_ms: Quantiles,
    /// Answers by status.
    statuses: BTreeMap<u16, u64>,
    /// Problem documents by status and code, as in `401 token_unknown`.
    codes: BTreeMap<String, u64>,
    /// What was wrong, by class.
    faults: BTreeMap<&'static str, u64>,
    timeline: Vec<Moment>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Quantiles {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    p99_99: f64,
    max: f64,
}

/// One of them.
type Quantile = fn(&Quantiles) -> f64;

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Moment {
    pub(super) at_s: f64,
    pub(super) requests_per_second: f64,
    pub(super) bytes_per_second: f64,
    pub(super) errors: u64,
}

#[derive(Debug, Serialize)]
struct VisitsView {
    count: u64,
    duration_ms: Quantiles,
}

/// Of ratios, one for each pair of slices.
#[derive(Debug, Serialize)]
struct Comparison {
    /// Pairs in which both targets answered at least [`PAIR_REQUESTS_MIN`] requests.
    pairs: usize,
    /// Null with a rate: both are asked equally often then, whatever they answer.
    requests_per_second: Option<Ratio>,
    latency_p50: Ratio,
    latency_p99: Ratio,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Ratio {
    median: f64,
    /// The middle half of the pairs lies between these.
    low: f64,
    high: f64,
}

#[derive(Debug, Serialize)]
struct GeneratorView {
    cpu_seconds: f64,
    /// Of its threads' time.
    cpu_share: f64,
    /// Requests that were due while no connection was idle; they waited for one, which counts.
    waited_for_connection: u64,
    /// How late requests were sent although a connection was idle; with a rate only.
    lag_ms: Option<Quantiles>,
    /// Connections that the target had closed while they were idle.
    reconnects: u64,
    /// Requests that were under way when somebody did not want to wait any more; not counted anywhere else.
    cut: u64,
}

/// What is drawn of one kind of request to one target.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) target: usize,
    pub(super) is_garbage: bool,
    /// Quantile and milliseconds, ascending.
    pub(super) curve: Vec<(f64, f64)>,
    pub(super) moments: Vec<Moment>,
}

/// With fewer, a slice's quantiles mean nothing.
const PAIR_REQUESTS_MIN: u64 = 20;

/// One in so many requests of a healthy target may find every connection busy.
const WAITED_PART: u64 = 100;

/// Above, the generator rather than the target may have set the pace.
const CPU_SHARE_MAX: f64 = 0.85;

impl Report {
    /// The report of a run.
    pub fn new(conditions: &Conditions, settings: &Settings, outcome: &Outcome) -> Self {
        let targets: Vec<TargetView> = conditions
            .targets
            .iter()
            .zip(&outcome.books)
            .enumerate()
            .map(|(number, ((url, (indexes, shards, packages)), books))| {
                let own = outcome.turns.own(number, outcome.elapsed).as_secs_f64();
                TargetView {
                    url: url.clone(),
                    indexes: *indexes,
                    shards: *shards,
                    packages: *packages,
                    seconds: own,
                    valid: TallyView::new(&books.valid, own),
                    garbage: (books.garbage.requests() > 0).then(|| TallyView::new(&books.garbage, own)),
                    visits: visits(books, settings, conditions),
                }
            })
            .collect();
        let all = || targets.iter().flat_map(|target| std::iter::once(&target.valid).chain(&target.garbage));
        let requests: u64 = all().map(|tally| tally.requests).sum();
        let errors: u64 = all().map(|tally| tally.errors).sum();
        let error_rate = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
        let mut report = Self {
            profile: conditions.profile.as_str(),
            began_at: conditions.began_at.clone(),
            seconds: outcome.elapsed.as_secs_f64(),
            ended_by: match outcome.ending {
                Ending::Duration => "duration",
                Ending::Requests => "requests",
                Ending::Interrupted => "interrupt",
            },
            settings: SettingsView::new(settings, conditions, outcome),
            comparison: compare(outcome, settings.rate.is_some()),
            generator: GeneratorView::new(outcome, settings),
            error_rate,
            error_rate_max: conditions.error_rate_max,
            passed: requests > 0 && error_rate <= conditions.error_rate_max,
            warnings: Vec::new(),
            series: series(conditions, outcome),
            targets,
        };
        report.warnings = report.beware(conditions);
        report
    }

    /// Whether errors stayed within their bound.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// What to beware of.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// One line about what was done.
    pub(super) fn headline(&self) -> String {
        let Self { settings, .. } = self;
        let pace = match settings.rate {
            Some(rate) => format!("{rate} requests/s, {} arrivals", settings.arrivals.unwrap_or_default()),
            None => "as fast as answered".to_owned(),
        };
        format!(
            "{} · {} × {} · {pace} · HTTP/{} · {:.1} s ({})",
            self.profile,
            plural(settings.clients, "client"),
            plural(settings.connections_per_client, "connection"),
            settings.http,
            self.seconds,
            self.ended_by,
        )
    }

    /// The targets, for a title.
    pub(super) fn urls(&self) -> (&str, Option<&str>) {
        let mut urls = self.targets.iter().map(|target| target.url.as_str());
        (urls.next().unwrap_or_default(), urls.next())
    }

    /// Requests, their rate, p50 and p99 in milliseconds, and errors, of each series that is drawn.
    pub(super) fn tallies(&self) -> impl Iterator<Item = (f64, f64, f64, f64, u64)> {
        let all =
            self.targets.iter().flat_map(|target| std::iter::once(&target.valid).chain(&target.garbage));
        all.filter(|tally| tally.requests > 0).map(|tally| {
            let TallyView { requests, requests_per_second, latency_ms, errors, .. } = tally;
            (*requests as f64, *requests_per_second, latency_ms.p50, latency_ms.p99, *errors)
        })
    }

    fn beware(&self, conditions: &Conditions) -> Vec<String> {
        let mut warnings = Vec::new();
        let of_target = |target: &TargetView| {
            target.valid.requests + target.garbage.as_ref().map_or(0, |tally| tally.requests)
        };
        let requests: u64 = self.targets.iter().map(of_target).sum();
        let generator = &self.generator;
        let typical = self.targets.first().map_or(0.0, |target| target.valid.latency_ms.p99);
        if let Some(lag) = generator.lag_ms.filter(|lag| lag.p99 > 1.0 && lag.p99 > typical / 10.0) {
            warnings.push(format!(
                "the generator missed arrivals: 1 % of them were sent more than {:.1} ms late although a connection was idle, and these \
                 latencies have that in them: lower the rate, give it --threads, or a machine of its own",
                lag.p99
            ));
        }
        if generator.cpu_share > CPU_SHARE_MAX {
            warnings.push(format!(
                "the generator used {:.0} % of its {}: it may have been the limit, not the target: give it --threads, --no-verify, or a machine of its own",
                generator.cpu_share * 100.0,
                plural(self.settings.threads, "thread"),
            ));
        }
        if self.settings.rate.is_some() && generator.waited_for_connection > requests / WAITED_PART {
            warnings.push(format!(
                "{} requests were due while no connection was idle; their waiting counts: the target did not keep up, or there were too few --clients",
                generator.waited_for_connection
            ));
        }
        if generator.cut > 0 {
            warnings
                .push(format!("{} requests were under way at the end and are not counted", generator.cut));
        }
        let redirects =
            |tally: &TallyView| tally.faults.get(Fault::Status3xx.as_str()).is_some_and(|count| *count > 0);
        if self.targets.iter().any(|target| redirects(&target.valid)) {
            warnings.push(
                "redirects are not followed: they would lead the load to a host that nobody named".to_owned(),
            );
        }
        if conditions.is_local {
            warnings.push(
                "target and generator share this machine's CPUs: compare such figures with each other only"
                    .to_owned(),
            );
        }
        if requests == 0 {
            warnings.push("no request was made".to_owned());
        }
        warnings
    }
}

impl SettingsView {
    fn new(settings: &Settings, conditions: &Conditions, outcome: &Outcome) -> Self {
        Self {
            clients: settings.clients,
            connections_per_client: settings.connections,
            threads: outcome.effort.threads,
            rate: settings.rate,
            arrivals: settings.rate.map(|_| match settings.pattern {
                Pattern::Poisson => "poisson",
                Pattern::Even => "even",
            }),
            http: match conditions.protocol {
                Protocol::Http1 => "1.1",
                Protocol::Http2 => "2",
            },
            keep_alive: settings.keep_alive,
            verify: settings.verify,
            duration_s: settings.duration.as_secs_f64(),
            requests_max: settings.requests,
            timeout_s: settings.timeout.as_secs_f64(),
            slice_s: (conditions.targets.len() > 1).then_some(settings.slice.as_secs_f64()),
            seed: settings.seed,
        }
    }
}

impl TallyView {
    fn new(tally: &Tally, seconds: f64) -> Self {
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let (mut statuses, mut codes) = (BTreeMap::new(), BTreeMap::new());
        for ((status, code), count) in tally.answers() {
            *statuses.entry(*status).or_default() += count;
            if let Some(code) = code {
                codes.insert(format!("{status} {code}"), *count);
            }
        }
        Self {
            requests: tally.requests(),
            errors: tally.errors(),
            requests_per_second: per_second(tally.requests()),
            bytes: tally.bytes(),
            bytes_per_second: per_second(tally.bytes()),
            latency_ms: Quantiles::of(tally.latency()),
            first_byte_ms: Quantiles::of(tally.first_byte()),
            statuses,
            codes,
            faults: Fault::ALL.into_iter().map(|fault| (fault.as_str(), tally.fault(fault))).collect(),
            timeline: moments(tally),
        }
    }
}

impl Quantiles {
    const ALL: [(&'static str, Quantile); 6] = [
        ("p50", |quantiles| quantiles.p50),
        ("p90", |quantiles| quantiles.p90),
        ("p99", |quantiles| quantiles.p99),
        ("p99.9", |quantiles| quantiles.p99_9),
        ("p99.99", |quantiles| quantiles.p99_99),
        ("max", |quantiles| quantiles.max),
    ];

    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            mean: histogram.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max() as f64 / 1_000.0,
        }
    }
}

impl GeneratorView {
    fn new(outcome: &Outcome, settings: &Settings) -> Self {
        let effort = &outcome.effort;
        let available = outcome.elapsed.as_secs_f64() * effort.threads as f64;
        Self {
            cpu_seconds: effort.cpu.as_secs_f64(),
            cpu_share: if available > 0.0 { effort.cpu.as_secs_f64() / available } else { 0.0 },
            waited_for_connection: effort.waited,
            lag_ms: settings.rate.map(|_| Quantiles::of(&effort.lag)),
            reconnects: effort.reconnects,
            cut: outcome.cut,
        }
    }
}

fn visits(books: &Books, settings: &Settings, conditions: &Conditions) -> Option<VisitsView> {
    let is_told = settings.rate.is_none() && conditions.targets.len() == 1;
    is_told.then(|| VisitsView { count: books.visits.len(), duration_ms: Quantiles::of(&books.visits) })
}

/// The second target over the first in each pair of slices.
fn compare(outcome: &Outcome, has_rate: bool) -> Option<Comparison> {
    let [first, second] = outcome.books.as_slice() else { return None };
    let turns: &Turns = &outcome.turns;
    let (mut counts, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    let slices = first.valid.slices().iter().zip(second.valid.slices());
    let of_slices: Vec<_> = slices.collect();
    for (pair, both) in of_slices.as_chunks::<2>().0.iter().enumerate() {
        let [early, late] = both;
        // Each has one of the two slices.
        let (one, other) = if turns.owner(pair * 2) == 0 { (early.0, late.1) } else { (late.0, early.1) };
        if one.len().min(other.len()) < PAIR_REQUESTS_MIN {
            continue;
        }
        let ratio =
            |quantile| other.value_at_quantile(quantile) as f64 / one.value_at_quantile(quantile) as f64;
        counts.push(other.len() as f64 / one.len() as f64);
        p50.push(ratio(0.5));
        p99.push(ratio(0.99));
    }
    let pairs = counts.len();
    let requests_per_second = (!has_rate).then(|| Ratio::of(counts));
    let (latency_p50, latency_p99) = (Ratio::of(p50), Ratio::of(p99));
    Some(Comparison { pairs, requests_per_second, latency_p50, latency_p99 })
}

impl Ratio {
    fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * ratios.len().saturating_sub(1) as f64;
            let value = |place: f64| ratios.get(place as usize).copied().unwrap_or_default();
            value(place.floor()) + (value(place.ceil()) - value(place.floor())) * place.fract()
        };
        Self { median: at(0.5), low: at(0.25), high: at(0.75) }
    }
}

fn moments(tally: &Tally) -> Vec<Moment> {
    let (length, spans) = tally.timeline();
    let length = length.as_secs_f64();
    let moment = |(number, span): (usize, &super::tally::Span)| Moment {
        at_s: number as f64 * length,
        requests_per_second: span.requests as f64 / length,
        bytes_per_second: span.bytes as f64 / length,
        errors: span.errors,
    };
    spans.iter().enumerate().map(moment).collect()
}

fn series(conditions: &Conditions, outcome: &Outcome) -> Vec<Series> {
    let mut series = Vec::new();
    let is_paired = outcome.books.len() > 1;
    for (target, books) in outcome.books.iter().enumerate() {
        let url = conditions.targets.get(target).map_or("", |(url, _)| url);
        for (is_garbage, tally) in [(false, &books.valid), (true, &books.garbage)] {
            if tally.requests() == 0 {
                continue;
            }
            let kind = if is_garbage { "garbage tokens" } else { "valid" };
            let name = match (is_paired, books.garbage.requests() > 0) {
                (true, true) => format!("{} {url}, {kind}", letter(target)),
                (true, false) => format!("{} {url}", letter(target)),
                (false, true) => kind.to_owned(),
                (false, false) => "requests".to_owned(),
            };
            series.push(Series {
                name,
                target,
                is_garbage,
                curve: curve(tally.latency()),
                moments: moments(tally),
            });
        }
    }
    series
}

/// Up to where one request in ten is beyond, as far as there are as many.
fn curve(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let last = (latency.len() as f64).log10().min(6.0);
    let steps = (last * 24.0).ceil() as u32;
    let quantiles = (0..=steps).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 24.0));
    quantiles.map(|quantile| (quantile, latency.value_at_quantile(quantile) as f64 / 1_000.0)).collect()
}

#[cfg(test)]
mod tests;
