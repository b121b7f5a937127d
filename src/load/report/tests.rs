//! Reports and pictures of runs that were never made.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::load::arrivals::Turns;
use crate::load::chart::draw;
use crate::load::running::Effort;
use crate::load::tally::{Record, histogram};

fn settings(rate: Option<f64>) -> Settings {
    Settings {
        clients: 4,
        connections: 2,
        threads: 1,
        rate,
        pattern: Pattern::Poisson,
        duration: Duration::from_secs(4),
        requests: 1_000_000,
        slice: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        keep_alive: true,
        verify: true,
        seed: 1,
    }
}

fn conditions(urls: &[&str]) -> Conditions {
    Conditions {
        profile: Profile::TokenFlood,
        protocol: Protocol::Http1,
        began_at: "2027-01-01T00:00:00Z".to_owned(),
        targets: urls.iter().map(|url| ((*url).to_owned(), (2, 3, 4))).collect(),
        is_local: false,
        error_rate_max: 0.01,
    }
}

/// A run in which each target was asked for this: milliseconds of latency, whether with garbage, what was wrong.
fn outcome(requests: &[Vec<(u64, bool, Option<Fault>)>]) -> Outcome {
    let turns = Turns::new(requests.len(), Duration::from_secs(1));
    let mut books = Vec::new();
    for requests in requests {
        let mut valid = Tally::new(Duration::from_secs(5), 4);
        let mut garbage = Tally::new(Duration::from_secs(5), 0);
        for (number, (millis, is_garbage, fault)) in requests.iter().enumerate() {
            let tally = if *is_garbage { &mut garbage } else { &mut valid };
            tally.record(Record {
                at: Duration::from_millis(number as u64 % 4_000),
                slice: number % 4,
                latency: Duration::from_millis(*millis),
                first_byte: None,
                bytes: 1_000,
                answer: fault.map_or(Some((200, None)), |_| Some((503, Some("overloaded".to_owned())))),
                fault: *fault,
            });
        }
        let (visits, lag) = (histogram(2), histogram(2));
        books.push(Books { valid, garbage, visits, lag, waited: 0, reconnects: 0 });
    }
    let effort =
        Effort { cpu: Duration::from_secs(1), threads: 1, lag: histogram(2), waited: 0, reconnects: 0 };
    Outcome { books, turns, elapsed: Duration::from_secs(4), ending: Ending::Duration, cut: 0, effort }
}

fn json(report: &Report) -> serde_json::Value {
    serde_json::to_value(report).unwrap()
}

#[test]
fn quantiles_and_rates_are_those_of_the_requests() {
    let requests = (1..=1_000).map(|millis| (millis, false, None)).collect();
    let report = Report::new(&conditions(&["http://a/main"]), &settings(None), &outcome(&[requests]));
    let view = json(&report);
    let valid = &view["targets"][0]["valid"];
    for (name, expected) in
        [("p50", 500.0), ("p90", 900.0), ("p99", 990.0), ("p99_9", 999.0), ("max", 1_000.0)]
    {
        let found = valid["latency_ms"][name].as_f64().unwrap();
        assert!((found - expected).abs() / expected < 0.002, "{name}: {found}");
    }
    assert_eq!((valid["requests"].as_u64(), valid["bytes"].as_u64()), (Some(1_000), Some(1_000_000)));
    assert_eq!(valid["requests_per_second"].as_f64(), Some(250.0));
    assert!(view["targets"][0]["garbage"].is_null() && view["comparison"].is_null());
    assert!(report.passed());
    let text = report.to_text();
    assert!(text.contains("latency p99 ") && text.contains("990 ms"), "{text}");
}

#[test]
fn run_passes_with_as_many_errors_as_are_put_up_with() {
    for (errors, passes) in [(0, true), (10, true), (11, false)] {
        let requests = (0..1_000).map(|number| (1, false, (number < errors).then_some(Fault::Status5xx)));
        let report =
            Report::new(&conditions(&["http://a/main"]), &settings(None), &outcome(&[requests.collect()]));
        assert_eq!(report.passed(), passes, "{errors}");
        let valid = &json(&report)["targets"][0]["valid"];
        assert_eq!(valid["faults"]["status_5xx"], errors);
        assert_eq!(valid["codes"]["503 overloaded"].as_u64().unwrap_or(0), errors);
    }
    let none = Report::new(&conditions(&["http://a/main"]), &settings(None), &outcome(&[Vec::new()]));
    assert!(!none.passed() && none.warnings().iter().any(|warning| warning.contains("no request")));
}

#[test]
fn second_target_is_compared_pair_by_pair() {
    let requests = |millis, count| (0..count).map(|_| (millis, false, None)).collect::<Vec<_>>();
    let both = outcome(&[requests(10, 400), requests(15, 300)]);
    let urls = conditions(&["http://a/main", "http://b/main"]);
    let report = Report::new(&urls, &settings(None), &both);
    let comparison = &json(&report)["comparison"];
    assert_eq!(comparison["pairs"], 2);
    for (name, expected) in [("requests_per_second", 0.75), ("latency_p50", 1.5), ("latency_p99", 1.5)] {
        let found = comparison[name]["median"].as_f64().unwrap();
        assert!((found - expected).abs() < 0.02, "{name}: {found}");
    }
    assert!(report.to_text().contains("B over A"), "{}", report.to_text());
    let rated = Report::new(&urls, &settings(Some(100.0)), &both);
    assert!(json(&rated)["comparison"]["requests_per_second"].is_null(), "both are asked equally often");
    // Each was asked half of the time.
    assert_eq!(json(&report)["targets"][1]["seconds"], 2.0);
    let few = Report::new(&urls, &settings(None), &outcome(&[requests(10, 40), requests(15, 30)]));
    assert_eq!(json(&few)["comparison"]["pairs"], 0, "too few to tell");
}

#[test]
fn generator_that_was_the_limit_is_told_of() {
    let requests: Vec<_> = (0..100).map(|_| (10, false, None)).collect();
    let warned = |change: &dyn Fn(&mut Outcome), words: &str| {
        let mut outcome = outcome(std::slice::from_ref(&requests));
        change(&mut outcome);
        let report = Report::new(&conditions(&["http://a/main"]), &settings(Some(25.0)), &outcome);
        report.warnings().iter().any(|warning| warning.contains(words))
    };
    assert!(!warned(&|_| {}, ""));
    assert!(warned(&|outcome| outcome.effort.cpu = Duration::from_secs(4), "100 % of its 1 thread:"));
    assert!(warned(&|outcome| outcome.effort.lag.record_n(5_000, 100).unwrap(), "missed arrivals"));
    assert!(!warned(&|outcome| outcome.effort.lag.record_n(500, 100).unwrap(), "missed arrivals"));
    assert!(warned(&|outcome| outcome.effort.waited = 7, "7 requests were due while no connection was idle"));
    assert!(warned(&|outcome| outcome.cut = 3, "3 requests were under way"));
}

/// Every element that is opened is closed, in order, and attributes and text hold nothing that XML does not allow.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((words, after)) = rest.split_once('<') {
        assert!(!words.contains('>'), "{words}");
        for entity in words.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|name| entity.starts_with(name)), "{entity}");
        }
        let (tag, behind) = after.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_matches('/').split_whitespace().next().unwrap().to_owned();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = behind;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

fn requests() -> impl Strategy<Value = Vec<(u64, bool, Option<Fault>)>> {
    let fault = proptest::option::weighted(0.1, proptest::sample::select(&Fault::ALL));
    proptest::collection::vec((0_u64..100_000, any::<bool>(), fault), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_picture_is_well_formed_and_every_report_adds_up(
        targets in proptest::collection::vec(requests(), 1..=2),
        url in "[ -~]{0,120}",
        rate in proptest::option::of(1.0..1e6),
    ) {
        let urls = [url.as_str(), "http://b/<main>&\"x\""];
        let report = Report::new(&conditions(&urls[..targets.len()]), &settings(rate), &outcome(&targets));
        assert_well_formed(&draw(&report));
        let view = json(&report);
        let mut count = 0;
        for target in view["targets"].as_array().unwrap() {
            for tally in [&target["valid"], &target["garbage"]].into_iter().filter(|tally| !tally.is_null()) {
                let faults = tally["faults"].as_object().unwrap();
                let faults: u64 = faults.values().map(|count| count.as_u64().unwrap()).sum();
                prop_assert_eq!(tally["errors"].as_u64(), Some(faults));
                let statuses = tally["statuses"].as_object().unwrap();
                let statuses: u64 = statuses.values().map(|count| count.as_u64().unwrap()).sum();
                prop_assert_eq!(tally["requests"].as_u64(), Some(statuses));
                count += statuses;
            }
        }
        prop_assert_eq!(count as usize, targets.iter().map(Vec::len).sum::<usize>());
        prop_assert!(!report.to_text().is_empty());
    }
}
