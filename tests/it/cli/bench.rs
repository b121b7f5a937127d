//! `bench`, against gates and against servers that misbehave.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::client;
use crate::support::faulty::{Faulty, Reply, Seen};
use crate::support::gate::fixture_channel;
use crate::support::process::{Done, Place, channel};
use crate::support::tls::Identity;

/// Runs `bench URL …`; the command blocks while servers of the test's own runtime answer it.
async fn bench(url: &str, arguments: &[&str], code: i32) -> Done {
    let arguments: Vec<String> =
        ["bench", url].iter().chain(arguments).map(|&word| word.to_owned()).collect();
    let run = move || {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Place::empty().run(&words).expect(code, &words)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// A server with a channel of one index and its one package, that does as `script` says once it is asked for the `begin`th time for what
/// the bench asks for over and over (an index that it has, or a package); trying one of each is the first.
async fn channel_that(begin: usize, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Faulty {
    let index = fs::read(fixture_channel().join("noarch/repodata.json")).unwrap();
    let count = AtomicUsize::new(0);
    Faulty::start(move |seen| {
        let is_index = seen.target.ends_with("/noarch/repodata.json");
        let is_known = is_index && seen.header("If-None-Match") == Some("\"v1\"");
        if !is_index && !seen.target.ends_with(".conda") {
            return Reply::new(404);
        }
        if (is_known || !is_index) && count.fetch_add(1, Ordering::Relaxed) >= begin {
            return script(seen);
        }
        match (is_index, is_known) {
            (true, true) => Reply::new(304).header("ETag", "\"v1\""),
            (true, false) => Reply::new(200).header("ETag", "\"v1\"").body(&index),
            (false, _) => {
                let (_, file) = seen.target.rsplit_once('/').unwrap();
                let file = file.replace("%2B", "+").replace("%21", "!");
                Reply::new(200).body(fs::read(fixture_channel().join("noarch").join(file)).unwrap())
            }
        }
    })
    .await
}

fn not_modified(_: &Seen) -> Reply {
    Reply::new(304)
}

/// What every report has to obey.
fn assert_adds_up(report: &Value) {
    let mut requests = 0;
    let mut errors = 0;
    for target in report["targets"].as_array().unwrap() {
        for tally in [&target["valid"], &target["garbage"]].into_iter().filter(|tally| !tally.is_null()) {
            let sum = |map: &Value| map.as_object().unwrap().values().map(number).sum::<u64>();
            let faults = &tally["faults"];
            let unanswered: u64 = ["connect", "tls", "timeout", "closed", "protocol", "unanswered"]
                .iter()
                .map(|fault| number(&faults[*fault]))
                .sum();
            assert_eq!(number(&tally["requests"]), sum(&tally["statuses"]) + unanswered, "{tally}");
            assert_eq!(number(&tally["errors"]), sum(faults), "{tally}");
            let moments = tally["timeline"].as_array().unwrap();
            assert_eq!(
                moments.iter().map(|moment| number(&moment["errors"])).sum::<u64>(),
                sum(faults),
                "{tally}"
            );
            let latency = |name: &str| tally["latency_ms"][name].as_f64().unwrap();
            let quantiles = ["p50", "p90", "p99", "p99_9", "p99_99", "max"].map(latency);
            assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{tally}");
            requests += number(&tally["requests"]);
            errors += number(&tally["errors"]);
        }
    }
    let rate = report["error_rate"].as_f64().unwrap();
    assert!((rate * requests as f64 - errors as f64).abs() < 1e-6, "{report}");
}

#[tokio::test]
async fn every_profile_measures_a_gate_and_leaves_no_token() {
    let place = Place::new();
    let gate = place.serve();
    let token = place.bootstrap_token();
    let url = format!("http://{}/main", gate.data);
    let arguments = ["--token-file", "var/bootstrap-token", "--clients", "4", "--duration", "20s", "--json"];
    for (profile, further, requests, statuses) in [
        ("revalidate", &[][..], 400, &["304"][..]),
        ("shard-burst", &[], 400, &["200"]),
        ("install-storm", &["--no-keep-alive"], 200, &["200"]),
        ("install-storm", &["--http", "2"], 200, &["200"]),
        ("token-flood", &["--carrier", "bearer"], 440, &["304"]),
        ("token-flood", &["--garbage", "1", "--http", "2"], 200, &["304"]),
        ("mixed", &["--rate", "2000"], 400, &["200", "304"]),
    ] {
        let limit = requests.to_string();
        let bench = ["bench", &url, "--profile", profile, "--requests", &limit, "--report", "report.svg"];
        let done = place.run(&[&bench, &arguments[..], further].concat()).expect(0, (profile, further));
        let report = done.json();
        assert_adds_up(&report);
        assert_eq!((&report["ended_by"], &report["passed"]), (&json!("requests"), &json!(true)), "{report}");
        let target = &report["targets"][0];
        assert_eq!(target["url"], url);
        let seen = |tally: &Value| tally["statuses"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(seen(&target["valid"]), statuses, "{profile}");
        let valid = number(&target["valid"]["requests"]);
        if profile == "token-flood" {
            let garbage = &target["garbage"];
            // The first ones are looked up, as those of somebody who is mistaken.
            let codes = &garbage["codes"];
            let [unknown, limited] =
                ["401 token_unknown", "503 overloaded"].map(|code| codes[code].as_u64().unwrap_or(0));
            assert_eq!(unknown + limited, number(&garbage["requests"]), "{report}");
            assert!(unknown > 0, "{report}");
            // Each of four clients may be in the middle of a visit, of four valid requests and their garbage.
            let ratio = if further[0] == "--garbage" { 1 } else { 10 };
            let off = number(&garbage["requests"]).abs_diff(ratio * valid);
            assert!(off <= 4 * 4 * ratio, "{report}");
            assert_eq!(number(&garbage["requests"]) + valid, requests);
        } else {
            assert!(target["garbage"].is_null() && valid == requests, "{report}");
        }
        let picture = fs::read_to_string(place.path("report.svg")).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
        assert!(picture.contains(&url) && picture.contains(profile), "{picture}");
        assert!(!format!("{done:?}{picture}").contains(&token), "{done:?}");
    }
}

#[tokio::test]
async fn gate_saw_as_many_requests_as_were_counted() {
    let place = Place::new();
    let gate = place.serve();
    let served = async || {
        let page = client::ask(gate.admin, "GET", "/metrics", &[]).await;
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        let lines = page.lines().filter(|line| line.starts_with("channelgate_requests_total{"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum::<u64>()
    };
    let url = format!("http://{}/open", gate.data);
    let arguments = ["--profile", "shard-burst", "--rate", "400", "--duration", "500ms", "--json", "--seed"];
    let mut asked = Vec::new();
    for seed in ["1", "2"] {
        let before = served().await;
        let report = bench(&url, &[&arguments[..], &[seed]].concat(), 0).await.json();
        assert_eq!(report["ended_by"], "duration");
        assert_adds_up(&report);
        let counted = number(&report["targets"][0]["valid"]["requests"]);
        // Two indexes, one shard that was tried.
        assert_eq!(served().await - before, counted + 3, "{report}");
        asked.push(counted);
    }
    // 200 are expected of a Poisson process; seven standard deviations are 99.
    assert!(asked.iter().all(|count| (101..299).contains(count)), "{asked:?}");
}

#[tokio::test]
async fn latency_counts_from_the_intended_arrival() {
    const STALL: Duration = Duration::from_secs(1);
    let count = AtomicUsize::new(0);
    let slow = Mutex::new(0);
    let slow = Arc::new(slow);
    let server = channel_that(1, {
        let slow = Arc::clone(&slow);
        move |seen| {
            if count.fetch_add(1, Ordering::Relaxed) != 20 {
                return not_modified(seen);
            }
            *slow.lock().unwrap() += 1;
            // 304 has no body: the pause is before its head.
            Reply::nothing().wait(STALL).body("HTTP/1.1 304 Whatever\r\nContent-Length: 0\r\n\r\n").close()
        }
    })
    .await;
    let pace = ["--rate", "100", "--arrivals", "even", "--duration", "2s"];
    let one = ["--profile", "revalidate", "--clients", "1", "--json"];
    let done = bench(&server.url("/main"), &[&one[..], &pace].concat(), 0).await;
    let report = done.json();
    assert_adds_up(&report);
    let valid = &report["targets"][0]["valid"];
    assert_eq!((number(&valid["requests"]), *slow.lock().unwrap()), (200, 1), "{report}");
    // One request was slow, and a hundred were due meanwhile: had they been sent only when they could be, one in 200 would show it.
    let p90 = valid["latency_ms"]["p90"].as_f64().unwrap();
    assert!(p90 > STALL.as_millis() as f64 / 2.0, "{valid}");
    assert!(number(&report["generator"]["waited_for_connection"]) >= 90, "{report}");
    assert!(done.err.contains("were due while no connection was idle"), "{done:?}");
}

#[tokio::test]
async fn what_never_answers_is_counted_with_its_waiting() {
    let server = channel_that(5, |_| Reply::nothing().stall()).await;
    let started = Instant::now();
    let arguments = ["--profile", "revalidate", "--clients", "1", "--json", "--timeout", "800ms"];
    let pace = ["--rate", "50", "--arrivals", "even", "--duration", "1s"];
    let report = bench(&server.url("/main"), &[&arguments[..], &pace].concat(), 1).await.json();
    assert_adds_up(&report);
    let valid = &report["targets"][0]["valid"];
    assert_eq!(number(&valid["requests"]), 50, "all that were due: {report}");
    let (timeouts, unanswered) =
        (number(&valid["faults"]["timeout"]), number(&valid["faults"]["unanswered"]));
    assert!(timeouts >= 1 && unanswered >= 40 && timeouts + unanswered == 46, "{report}");
    assert!(valid["latency_ms"]["p50"].as_f64().unwrap() > 800.0, "{report}");
    assert_eq!((&report["passed"], &report["ended_by"]), (&json!(false), &json!("duration")));
    assert!(started.elapsed() < Duration::from_secs(30), "it ends by itself");
}

#[tokio::test]
async fn errors_have_their_class_and_decide_the_exit_status() {
    let wrong = |class: &'static str| {
        move |seen: &Seen| match class {
            "short_body" => Reply::new(200).body("half").announce(8).close(),
            "digest_mismatch" => Reply::new(200).body("something else"),
            "closed" if seen.nth > 0 => Reply::nothing().close(),
            "closed" => Reply::nothing().reset(),
            "protocol" => Reply::nothing().body("what?\r\n\r\n").close(),
            "timeout" => Reply::nothing().stall(),
            "status_2xx" => Reply::new(204),
            "status_3xx" => Reply::redirect("http://127.0.0.1:1/"),
            "status_4xx" => Reply::new(403).body("{\"code\": \"scope_missing\"}"),
            "status_5xx" => Reply::new(503).body("{\"code\": \"Not A Code\"}"),
            class => panic!("{class}"),
        }
    };
    for class in [
        "short_body",
        "digest_mismatch",
        "closed",
        "protocol",
        "timeout",
        "status_2xx",
        "status_3xx",
        "status_4xx",
        "status_5xx",
    ] {
        let server = channel_that(3, wrong(class)).await;
        let arguments = [
            "--profile",
            "install-storm",
            "--clients",
            "1",
            "--connections",
            "1",
            "--json",
            "--requests",
            "6",
        ];
        let arguments =
            [&arguments[..], &["--subdir", "noarch", "--timeout", "500ms", "--duration", "20s"]].concat();
        let done = bench(&server.url("/main"), &arguments, 1).await;
        let report = done.json();
        assert_adds_up(&report);
        let valid = &report["targets"][0]["valid"];
        // One was tried before, two are served: the third request of six is the first that is wrong.
        assert_eq!((number(&valid["errors"]), number(&valid["faults"][class])), (4, 4), "{class}: {report}");
        let codes = if class == "status_4xx" { json!({"403 scope_missing": 4}) } else { json!({}) };
        assert_eq!(valid["codes"], codes, "{class}: what is no code is not repeated");
        assert_eq!(done.err.contains("redirects are not followed"), class == "status_3xx", "{done:?}");
        let server = channel_that(3, wrong(class)).await;
        let arguments = [&arguments[..], &["--max-error-rate", "67%"]].concat();
        let put_up_with = bench(&server.url("/main"), &arguments, 0).await;
        assert_eq!(put_up_with.json()["passed"], true, "{class}");
    }
}

#[tokio::test]
async fn gate_whose_upstream_is_gone_answers_503() {
    let upstream = channel_that(10, |_| Reply::new(503)).await;
    let place = Place::empty();
    place.configure(&channel("main", "public", &upstream.url("/main")));
    let gate = place.serve();
    let arguments = ["--profile", "install-storm", "--requests", "40", "--clients", "2", "--json"];
    let arguments = [&arguments[..], &["--subdir", "noarch", "--duration", "60s"]].concat();
    let report = bench(&format!("http://{}/main", gate.data), &arguments, 1).await.json();
    assert_adds_up(&report);
    let valid = &report["targets"][0]["valid"];
    let failed = number(&valid["faults"]["status_5xx"]);
    assert!((20..40).contains(&failed) && number(&valid["statuses"]["200"]) + failed == 40, "{report}");
    assert_eq!(number(&valid["codes"]["503 upstream_unavailable"]), failed, "{report}");
}

#[tokio::test]
async fn two_targets_are_asked_in_turns_and_each_with_its_own_token() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let server = async |name: char| {
        let log = Arc::clone(&log);
        channel_that(1, move |seen| {
            log.lock().unwrap().push((name, seen.target.clone()));
            not_modified(seen)
        })
        .await
    };
    let (first, second) = (server('A').await, server('B').await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "TOKEN-OF-THE-FIRST-1\n").unwrap();
    let against = ["--against", &second.url("/main"), "--slice", "200ms", "--duration", "1600ms"];
    let arguments =
        ["--profile", "revalidate", "--clients", "2", "--json", "--token-file", file.to_str().unwrap()];
    let report = bench(&first.url("/main"), &[&arguments[..], &against].concat(), 0).await.json();
    assert_adds_up(&report);
    let log = log.lock().unwrap();
    let switches = log.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    // A B B A A B B A: four, and what overtakes another at a turn.
    assert!((4..=16).contains(&switches) && log.len() > 100, "{switches} in {}", log.len());
    for (name, target) in log.iter() {
        let expected = if *name == 'A' { "/t/TOKEN-OF-THE-FIRST-1/main/" } else { "/main/" };
        assert!(target.starts_with(expected), "{name}: {target}");
    }
    assert_eq!(report["comparison"]["pairs"], 4, "{report}");
    for name in ["requests_per_second", "latency_p50", "latency_p99"] {
        let ratio = &report["comparison"][name];
        let [low, median, high] = ["low", "median", "high"].map(|name| ratio[name].as_f64().unwrap());
        assert!(low > 0.0 && low <= median && median <= high, "{report}");
    }
    let counted: u64 = (0..2).map(|target| number(&report["targets"][target]["valid"]["requests"])).sum();
    assert_eq!(counted as usize, log.len());
}

#[tokio::test]
async fn interrupt_ends_it_with_the_report_of_what_was_done() {
    for is_stuck in [false, true] {
        let server = channel_that(if is_stuck { 30 } else { usize::MAX }, |_| Reply::nothing().stall()).await;
        let arguments =
            ["--profile", "revalidate", "--duration", "10m", "--json", "--clients", "3", "--timeout", "9m"];
        let place = Place::empty();
        let mut command = place.command(&[&["bench", &server.url("/main")][..], &arguments].concat());
        let child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let started = Instant::now();
        // Six are for indexes, one is a trial, 29 are answered, and each of three clients waits for one more.
        while server.seen().len() < 39 {
            assert!(started.elapsed() < Duration::from_secs(30), "{}", server.seen().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kill_process(pid, Signal::INT).unwrap();
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_adds_up(&report);
        assert_eq!(report["ended_by"], "interrupt", "{report}");
        let counted = number(&report["targets"][0]["valid"]["requests"]);
        assert_eq!(number(&report["generator"]["cut"]), if is_stuck { 3 } else { 0 }, "{report}");
        assert!(counted == 29 || !is_stuck && counted > 29, "{report}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
    }
}

#[tokio::test]
async fn https_is_spoken_with_certificates_that_are_trusted_only() {
    let identity = Identity::new();
    let place = Place::with(&identity.setting());
    let gate = place.serve();
    let url = format!("https://localhost:{}/open", gate.data.port());
    let certificate = identity.certificate();
    let arguments = ["--profile", "shard-burst", "--clients", "2", "--requests", "60", "--json"];
    for http in ["1.1", "2"] {
        let trusting = ["--cacert", certificate.to_str().unwrap(), "--http", http];
        let report = bench(&url, &[&arguments[..], &trusting].concat(), 0).await.json();
        assert_adds_up(&report);
        assert_eq!((&report["settings"]["http"], &report["passed"]), (&json!(http), &json!(true)));
    }
    let done = bench(&url, &arguments, 1).await;
    assert!(done.err.contains("cannot be connected to") && done.err.contains("certificate"), "{done:?}");
}

#[tokio::test]
async fn lock_file_says_what_is_installed() {
    let place = Place::new();
    let gate = place.serve();
    let file = "noarch/hello-noarch-1.0-0.conda";
    let lock =
        format!("@EXPLICIT\nhttps://conda.test/open/{file}\nhttps://conda.test/other/noarch/x-1-0.conda\n");
    fs::write(place.path("lock"), lock).unwrap();
    let url = format!("http://{}/open", gate.data);
    let arguments =
        ["bench", &url, "--profile", "install-storm", "--lockfile", "lock", "--requests", "30", "--json"];
    let done = place.run(&arguments).expect(0, "lock");
    let size = fs::metadata(fixture_channel().join(file)).unwrap().len();
    let target = &done.json()["targets"][0];
    assert_eq!((&target["packages"], &target["valid"]["bytes"]), (&json!(1), &json!(30 * size)));
    assert!(done.err.contains("1 entries of lock are not of this channel"), "{done:?}");
    fs::write(place.path("lock"), "@EXPLICIT\nhttps://conda.test/other/noarch/x-1-0.conda\n").unwrap();
    let done = place.run(&arguments).expect(1, "none of it");
    assert!(done.err.contains("lock names no package of a channel \"open\""), "{done:?}");
}

#[tokio::test]
async fn target_that_cannot_be_measured_is_told_before_there_is_load() {
    let place = Place::new();
    let gate = place.serve();
    let at = |channel: &str| format!("http://{}/{channel}", gate.data);
    let open_to_all = channel_that(usize::MAX, not_modified).await;
    let forgets = Faulty::start(|_| Reply::new(200).header("ETag", "\"v1\"").body("{}")).await;
    let silent = Faulty::start(|_| Reply::nothing().stall()).await;
    let refusing = crate::support::faulty::refusing_address();
    for (url, arguments, words) in [
        (at("main"), vec![], "answers 401 for noarch/repodata.json.zst (token_missing): "),
        (at("t/cg-000000000000000000000000000000000000000/main"), vec![], "(token_unknown): "),
        (
            at("open"),
            vec!["--subdir", "osx-arm64"],
            "has no index below osx-arm64: is it the URL of a channel?",
        ),
        (open_to_all.url("/main"), vec!["--profile", "token-flood"], "there is no refusal to measure"),
        (forgets.url("/main"), vec!["--profile", "revalidate"], "it does not know its own ETag"),
        (silent.url("/main"), vec!["--timeout", "100ms"], "no answer for noarch/repodata.json.zst (timeout)"),
        (format!("http://{refusing}/main"), vec![], "cannot be connected to"),
        ("http://does-not-exist.invalid/main".to_owned(), vec![], "the host's name does not resolve"),
    ] {
        let done = bench(&url, &arguments, 1).await;
        assert!(done.err.contains(words) && done.out.is_empty(), "{words}: {done:?}");
    }
    let none = bench(&open_to_all.url("/main"), &["--profile", "shard-burst"], 64).await;
    assert!(
        none.err.contains("profile shard-burst asks for shards (CEP 16), and the channel has none"),
        "{none:?}"
    );
    assert!(open_to_all.seen().len() < 20, "nothing but the indexes was asked for");
}

#[test]
fn nonsense_is_refused_with_the_way_out() {
    let place = Place::empty();
    let url = "http://127.0.0.1:1/main";
    fs::write(place.path("token"), "T-1\n").unwrap();
    fs::write(place.path("empty"), "\n").unwrap();
    for (arguments, words) in [
        (vec![], "<URL>"),
        (vec!["main"], "the URL of a channel is expected"),
        (vec!["http://127.0.0.1:1/main?x=1"], "neither query nor fragment"),
        (vec!["http://127.0.0.1:1/t/A/main", "--token-file", "token"], "there are two tokens"),
        (vec!["http://127.0.0.1:1/t/<TOKEN>/main"], "--token-file"),
        (vec![url, "--token-file", "empty"], "empty holds no token"),
        (
            vec![url, "--profile", "everything"],
            "possible values: revalidate, shard-burst, install-storm, token-flood, mixed",
        ),
        (vec![url, "--clients", "0"], "1..=20000"),
        (vec![url, "--clients", "20000", "--connections", "256"], "raise it (ulimit -n "),
        (vec![url, "--duration", "0"], "--duration must be between 100ms and 1d"),
        (vec![url, "--rate", "0"], "requests a second between 0.001 and"),
        (vec![url, "--arrivals", "even"], "--rate"),
        (vec![url, "--max-error-rate", "101%"], "such as 0.1%"),
        (vec![url, "--garbage", "3", "--profile", "revalidate"], "is for the profiles token-flood and mixed"),
        (vec![url, "--against-token-file", "token"], "--against <URL>"),
        (vec![url, "--against", url, "--slice", "40s"], "does not fit into --duration 30s"),
        (vec![url, "--cacert", "token"], "is for https URLs"),
        (vec!["https://127.0.0.1:1/main", "--cacert", "token"], "no readable file of PEM certificates"),
        (vec![url, "--lockfile", "token"], "is not that of a lock file"),
        (vec!["-", "--token-file", "-"], "only one of the URLs and tokens can come from standard input"),
        // An address for documentation; nothing is sent to it.
        (vec!["http://192.0.2.1/main"], "192.0.2.1 (192.0.2.1) is not this machine."),
        (vec!["http://192.0.2.1/main"], "say --yes if so"),
    ] {
        let done = place.run(&[&["bench"], &arguments[..]].concat()).expect(64, &arguments);
        assert!(done.err.contains(words) && done.out.is_empty(), "{words}: {done:?}");
    }
    let done = place.run(&["bench", url, "--report", "no/where.svg"]).expect(1, "report");
    assert!(done.err.contains("no/where.svg cannot be written"), "{done:?}");
}

#[tokio::test]
async fn token_comes_from_the_environment_a_file_or_standard_input() {
    let place = Place::new();
    let gate = place.serve();
    let token = place.bootstrap_token();
    let url = format!("http://{}/main", gate.data);
    let rest = ["--requests", "20", "--json"];
    let with_token = format!("http://{}/t/{token}/main", gate.data);
    for (url, stdin, further) in [
        (url.as_str(), token.as_str(), &["--token-file", "-"][..]),
        ("-", &with_token, &[]),
        (&url, "", &["--token-file", "var/bootstrap-token", "--carrier", "basic"]),
    ] {
        let done = place.run_with(&[&["bench", url], &rest[..], further].concat(), stdin).expect(0, further);
        assert_eq!(done.json()["targets"][0]["url"], format!("http://{}/main", gate.data));
        assert!(!format!("{done:?}").contains(&token), "{done:?}");
    }
    let mut command = place.command(&[&["bench", &url], &rest[..]].concat());
    let output = command.env("CHANNELGATE_BENCH_TOKEN", &token).output().unwrap();
    assert!(output.status.success() && !format!("{output:?}").contains(&token), "{output:?}");
}
