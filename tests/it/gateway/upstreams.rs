//! Each way in which an upstream can fail, what the client sees of it, and what the upstreams saw.

use std::time::Duration;

use crate::support::client::Reply as Answer;
use crate::support::faulty::{Faulty, Reply, refusing_address};
use crate::support::gate::{Builder, Gate};
use crate::support::http2::Http2;

/// Short enough for a test that waits for them, long enough for a busy machine.
const TIMEOUTS: &str = "upstream = { first_byte_timeout = \"400ms\", idle_timeout = \"400ms\" }";

/// Everything is passed on as it comes; what the cache makes of a faulty upstream is in `cache/faults.rs`.
const NO_CACHE: &str = "cache.enabled = false";

const FILE: &str = "linux-64/x-1.0-0.conda";

/// What a whole file would be.
const WHOLE: &[u8] = b"all of it";

/// One way to answer wrongly, before there is a body.
struct BadHead {
    name: &'static str,
    reply: Reply,
    /// Status and code towards the client.
    verdict: &'static str,
    /// How often the upstream is asked.
    asked: usize,
    /// Sent by the client.
    headers: &'static [(&'static str, &'static str)],
    /// Lines of the channel's configuration.
    lines: &'static str,
}

fn bad_head(name: &'static str, reply: Reply, verdict: &'static str) -> BadHead {
    BadHead { name, reply, verdict, asked: 1, headers: &[], lines: "" }
}

fn bad_heads() -> Vec<BadHead> {
    const PASSING: &str = "503 upstream_unavailable";
    const WRONG: &str = "502 upstream_invalid";
    const MISSING: &str = "404 not_found";
    const RANGE: &[(&str, &str)] = &[("range", "bytes=2-4")];
    let part = |range: &str| Reply::new(206).header("Content-Range", range).body("l o");
    let ranged = |name, reply| BadHead { headers: RANGE, ..bad_head(name, reply, WRONG) };
    vec![
        bad_head("closes", Reply::nothing().close(), PASSING),
        bad_head("resets", Reply::nothing().reset(), PASSING),
        bad_head("stalls", Reply::nothing().stall(), PASSING),
        bad_head("half-a-head", Reply::nothing().body("HTTP/1.1 200 OK\r\nContent-").close(), PASSING),
        bad_head("stalls-in-head", Reply::nothing().body("HTTP/1.1 200 OK\r\n").stall(), PASSING),
        bad_head("s408", Reply::new(408), PASSING),
        bad_head("s429", Reply::new(429).header("Retry-After", "3600"), PASSING),
        bad_head("s500", Reply::new(500).body("no"), PASSING),
        bad_head("s502", Reply::new(502).body("no"), PASSING),
        bad_head("s503", Reply::new(503).header("Retry-After", "3600").body("no"), PASSING),
        bad_head("s504", Reply::new(504).body("no"), PASSING),
        bad_head("s404", Reply::new(404).body("no"), MISSING),
        bad_head("s410", Reply::new(410).body("no"), MISSING),
        bad_head("s400", Reply::new(400), WRONG),
        bad_head("s401", Reply::new(401).header("WWW-Authenticate", "Basic realm=theirs"), WRONG),
        bad_head("s403", Reply::new(403), WRONG),
        bad_head("s407", Reply::new(407).header("Proxy-Authenticate", "Basic realm=theirs"), WRONG),
        bad_head("s412", Reply::new(412), WRONG),
        bad_head("s451", Reply::new(451), WRONG),
        bad_head("s204", Reply::new(204).unannounced(), WRONG),
        bad_head("s206", part("bytes 2-4/9"), WRONG),
        bad_head("s304", Reply::new(304).unannounced(), WRONG),
        bad_head("s416", Reply::new(416), WRONG),
        BadHead {
            lines: "missing_statuses = [403]",
            ..bad_head("s403-for-missing", Reply::new(403), MISSING)
        },
        BadHead { lines: "missing_statuses = [403]", ..bad_head("s401-still", Reply::new(401), WRONG) },
        bad_head("garbage", Reply::nothing().body("\0\x01SSH-2.0-OpenSSH_9.2\r\n\r\n").close(), WRONG),
        bad_head("two-lengths", Reply::new(200).header("Content-Length", "5").body("123456"), WRONG),
        bad_head("gzip", Reply::new(200).header("Content-Encoding", "gzip").body("\x1f\u{8b}"), WRONG),
        bad_head("huge-head", Reply::new(200).header("X-Huge", &"h".repeat(100_000)), WRONG),
        bad_head("redirect-to-nothing", Reply::new(302), WRONG),
        bad_head("redirect-to-itself", Reply::redirect("x-1.0-0.conda"), WRONG),
        BadHead { asked: 6, ..bad_head("redirect-on-and-on", Reply::redirect("x/x-1.0-0.conda"), WRONG) },
        bad_head("redirect-to-file", Reply::redirect("file:///etc/passwd"), WRONG),
        bad_head("redirect-elsewhere", Reply::redirect("http://127.0.0.2:9/x"), WRONG),
        ranged("another-part", part("bytes 3-5/9")),
        ranged("part-without-range", Reply::new(206).body("l o")),
        ranged("impossible-part", part("bytes 2-4/3")),
        ranged("part-of-another-length", part("bytes 2-9/99")),
    ]
}

/// A public channel with one upstream and one with two, below the fault's name on each server.
fn channels(gate: Builder, fault: &BadHead, first: &str, second: &str) -> Builder {
    let BadHead { name, lines, .. } = fault;
    let source = |server: &str| {
        let comma = if lines.is_empty() { "" } else { ", " };
        format!("{{ url = \"{server}/{name}\"{comma}{lines} }}")
    };
    let (one, other) = (source(first), source(second));
    gate.channel_with(name, &format!("access = \"public\"\nupstreams = [{one}]"))
        .channel_with(&format!("{name}-pair"), &format!("access = \"public\"\nupstreams = [{one}, {other}]"))
}

fn asked_for(server: &Faulty, name: &str) -> usize {
    server.seen().iter().filter(|seen| seen.target.starts_with(&format!("/{name}/"))).count()
}

/// The contract's rule for passing trouble: it has a time to come back, and nothing else has.
fn assert_retry_after(answer: &Answer, name: &str) {
    let seconds = answer.header("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
    match answer.status {
        503 => assert!((1..=60).contains(&seconds.unwrap()), "{name}: {seconds:?}"),
        _ => assert_eq!(seconds, None, "{name}"),
    }
}

#[tokio::test]
async fn fault_before_the_body_is_a_refusal_and_only_passing_trouble_moves_on() {
    let first = Faulty::start(|seen| {
        let name = seen.target.split('/').nth(1).unwrap_or_default();
        let fault = bad_heads().into_iter().find(|fault| fault.name == name);
        fault.map_or_else(|| Reply::new(418), |fault| fault.reply)
    })
    .await;
    let second = Faulty::start(|seen| match seen.header("range") {
        Some(_) => Reply::new(206).header("Content-Range", "bytes 2-4/9").body("l o"),
        None => Reply::new(200).body(WHOLE),
    })
    .await;
    let mut builder = Gate::builder().settings(TIMEOUTS).settings(NO_CACHE);
    for fault in bad_heads() {
        builder = channels(builder, &fault, &first.url(""), &second.url(""));
    }
    let gate = builder.start().await;
    let http2 = Http2::open(gate.data()).await;
    for fault in bad_heads() {
        let BadHead { name, verdict, asked, headers, .. } = fault;
        let alone = format!("/{name}/{FILE}");
        let answer = gate.ask("GET", &alone, headers).await;
        assert_eq!((answer.verdict().as_str(), answer.complete), (verdict, true), "{name}");
        assert_retry_after(&answer, name);
        assert_eq!(asked_for(&first, name), asked, "{name}: nothing is asked twice");
        let answer = http2.ask("GET", &alone, headers).await;
        assert_eq!(answer.verdict(), verdict, "{name}, HTTP/2");

        let answer = gate.ask("GET", &format!("/{name}-pair/{FILE}"), headers).await;
        if verdict.starts_with("503") {
            let whole = headers.is_empty();
            let expected = if whole { (200, WHOLE) } else { (206, b"l o".as_slice()) };
            assert_eq!((answer.status, answer.body.as_slice()), expected, "{name}, two upstreams");
            assert_eq!(asked_for(&second, name), 1, "{name}");
        } else {
            assert_eq!(answer.verdict(), verdict, "{name}, two upstreams");
            assert_eq!(asked_for(&second, name), 0, "{name}: an answer decides, even a wrong one");
        }
    }
}

#[tokio::test]
async fn upstream_that_refuses_connections_is_passing_trouble() {
    let second = Faulty::start(|_| Reply::new(200).body(WHOLE)).await;
    let refusing = format!("http://{}", refusing_address());
    let gate = Gate::builder()
        .settings(TIMEOUTS)
        .public_channel("alone", &refusing)
        .channel_with(
            "pair",
            &format!("access = \"public\"\nupstreams = [\"{refusing}\", \"{}\"]", second.url("")),
        )
        .start()
        .await;
    let answer = gate.get(&format!("/alone/{FILE}")).await;
    assert_eq!(answer.verdict(), "503 upstream_unavailable");
    assert_retry_after(&answer, "alone");
    assert_eq!(gate.get(&format!("/pair/{FILE}")).await.body, WHOLE);
}

/// One way to break off a body, and whether what came before is all that the client is owed.
fn broken_bodies() -> Vec<(&'static str, Reply)> {
    let begun = || Reply::new(200).body(vec![b'x'; 100_000]).wait(Duration::from_millis(30));
    vec![
        ("short", begun().announce(200_000).close()),
        ("reset", begun().announce(200_000).reset()),
        ("stalled", begun().announce(200_000).stall()),
        ("one-byte-short", begun().announce(100_001).close()),
        ("chunks-short", begun().chunked().close()),
        ("chunks-reset", begun().chunked().reset()),
        ("chunks-stalled", begun().chunked().stall()),
        (
            "chunks-of-garbage",
            Reply::nothing()
                .body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n")
                .body(vec![b'x'; 100_000])
                .wait(Duration::from_millis(30))
                .body("\r\nno chunk\r\n")
                .close(),
        ),
        ("unannounced-reset", begun().unannounced().reset()),
    ]
}

#[tokio::test]
async fn short_body_never_ends_cleanly() {
    let upstream = Faulty::start(|seen| {
        let name = seen.target.split('/').nth(1).unwrap_or_default();
        let broken = broken_bodies().into_iter().find(|(broken, _)| *broken == name);
        broken.map_or_else(|| Reply::new(418), |(_, reply)| reply)
    })
    .await;
    let second = Faulty::start(|_| Reply::new(200).body(WHOLE)).await;
    let mut builder = Gate::builder().settings(TIMEOUTS).settings(NO_CACHE);
    for (name, _) in broken_bodies() {
        builder = builder.channel_with(
            name,
            &format!(
                "access = \"public\"\nupstreams = [\"{}\", \"{}\"]",
                upstream.url(&format!("/{name}")),
                second.url("")
            ),
        );
    }
    let gate = builder.start().await;
    let http2 = Http2::open(gate.data()).await;
    for (name, _) in broken_bodies() {
        let target = format!("/{name}/{FILE}");
        let http1 = gate.get(&target).await;
        assert_eq!((http1.status, http1.complete), (200, false), "{name}");
        let is_chunked = http1.header("transfer-encoding").is_some();
        assert_eq!(is_chunked, name.starts_with("chunks") || name == "unannounced-reset", "{name}");
        assert_eq!(http1.header("content-length").is_none(), is_chunked, "{name}");
        assert_eq!(http1.header("accept-ranges").is_none(), is_chunked, "{name}");

        let (over2, end) = http2.ask_to_the_end("GET", &target, &[]).await;
        assert_eq!((over2.status, over2.complete), (200, false), "{name}, HTTP/2");
        let end = end.unwrap();
        assert!(end.contains("Reset(") && end.contains("INTERNAL_ERROR"), "{name}, HTTP/2: {end}");

        let mut old = crate::support::client::Connection::open(gate.data()).await;
        old.send_raw(format!("GET {target} HTTP/1.0\r\n\r\n")).await;
        assert!(!old.answer("GET").await.complete, "{name}, HTTP/1.0");
    }
    assert_eq!(second.connections(), 0, "after the first byte nothing moves on");
    assert_eq!(http2.ask("GET", "/", &[]).await.status, 200, "the connection lives");
}

/// A part that the gate cuts out of a whole body is owed to the last byte too, and not more than it.
#[tokio::test]
async fn part_of_a_short_body_never_ends_cleanly() {
    let upstream = Faulty::start(|_| {
        Reply::new(200).body(vec![b'x'; 100_000]).wait(Duration::from_millis(30)).announce(200_000).close()
    })
    .await;
    let gate = Gate::builder().public_channel("main", &upstream.url("")).start().await;
    let ask = async |range: &str| {
        let answer = gate.ask("GET", &format!("/main/{FILE}"), &[("range", range)]).await;
        (answer.status, answer.complete, answer.body.len())
    };
    let (status, complete, _) = ask("bytes=10-149999").await;
    assert_eq!((status, complete), (206, false));
    assert_eq!(ask("bytes=10-19").await, (206, true, 10), "what comes after the part is not the client's");
}

#[tokio::test]
async fn bytes_beyond_the_announced_length_reach_nobody() {
    let upstream = Faulty::start(|seen| match seen.connection {
        0 => Reply::new(200).body("0123456789HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad").announce(10),
        _ => Reply::new(200).body("good"),
    })
    .await;
    let gate = Gate::builder().settings(NO_CACHE).public_channel("main", &upstream.url("")).start().await;
    let target = format!("/main/{FILE}");
    let answer = gate.get(&target).await;
    assert_eq!((answer.body.as_slice(), answer.complete), (b"0123456789".as_slice(), true));
    assert_eq!(gate.get(&target).await.body, b"good", "what came too much is not the next answer");
}

/// An upstream that does ranges may leave conditions to the gate, and one that does conditions may leave it ranges.
#[tokio::test]
async fn what_the_upstream_leaves_undone_is_done_by_the_gate() {
    let upstream = Faulty::start(|seen| {
        let tagged = |status| Reply::new(status).header("ETag", "\"v1\"");
        if seen.target.contains("ranges-only") && seen.header("range").is_some() {
            tagged(206).header("Content-Range", "bytes 0-2/9").body("all")
        } else {
            tagged(200).body(WHOLE)
        }
    })
    .await;
    let gate = Gate::builder().public_channel("main", &upstream.url("")).start().await;
    for file in ["ranges-only", "neither"] {
        let ask = async |headers: &[(&str, &str)]| {
            let answer = gate.ask("GET", &format!("/main/noarch/{file}.conda"), headers).await;
            (answer.status, answer.body)
        };
        let range = ("range", "bytes=0-2");
        assert_eq!(ask(&[("if-none-match", "\"v1\"")]).await, (304, vec![]), "{file}");
        assert_eq!(ask(&[range]).await, (206, b"all".to_vec()), "{file}");
        assert_eq!(ask(&[range, ("if-none-match", "\"v1\"")]).await, (304, vec![]), "{file}");
        assert_eq!(ask(&[range, ("if-none-match", "\"v0\"")]).await, (206, b"all".to_vec()), "{file}");
        assert_eq!(ask(&[range, ("if-range", "\"v1\"")]).await, (206, b"all".to_vec()), "{file}");
    }
}

/// HEAD tells what GET would tell, without length where there is none.
#[tokio::test]
async fn head_tells_what_get_tells() {
    let upstream = Faulty::start(|seen| match seen.target.as_str() {
        target if target.ends_with("chunked.conda") => Reply::new(200).chunked().body(WHOLE),
        target if target.ends_with("closed.conda") => Reply::new(200).unannounced().body(WHOLE),
        target if target.ends_with("head405.conda") && seen.method == "HEAD" => Reply::new(405),
        target if target.ends_with("empty.conda") => Reply::new(200),
        _ => Reply::new(200).header("ETag", "\"1\"").body(WHOLE),
    })
    .await;
    let gate = Gate::builder().settings(NO_CACHE).public_channel("main", &upstream.url("")).start().await;
    for (name, length) in [
        ("chunked", None),
        ("closed", None),
        ("empty", Some("0")),
        ("whole", Some("9")),
        ("head405", Some("9")),
    ] {
        let target = format!("/main/linux-64/{name}.conda");
        let get = gate.get(&target).await;
        let head = gate.head(&target).await;
        assert_eq!((get.status, head.status, get.complete), (200, 200, true), "{name}");
        for header in ["content-length", "accept-ranges", "etag", "content-type", "cache-control"] {
            assert_eq!(head.header(header), get.header(header), "{name}, {header}");
        }
        assert_eq!(get.header("content-length"), length, "{name}");
        assert_eq!(get.header("accept-ranges"), length.map(|_| "bytes"), "{name}");
        assert_eq!(head.header("transfer-encoding"), None, "{name}");
    }
    // Without a length there is no part.
    let part = gate.ask("GET", "/main/linux-64/chunked.conda", &[("range", "bytes=0-1")]).await;
    assert_eq!((part.status, part.body.as_slice()), (200, WHOLE));
}

#[tokio::test]
async fn redirects_are_followed_inside_the_gate_and_only_where_allowed() {
    let elsewhere = Faulty::start(|_| Reply::new(200).body(WHOLE)).await;
    let port = elsewhere.address().port();
    let targets = [
        ("own", "/own/elsewhere.conda".to_owned(), "", "200"),
        ("unlisted", elsewhere.url("/x"), "", "502 upstream_invalid"),
        ("listed", elsewhere.url("/x"), "allowed_hosts = [\"127.0.0.1\"]", "200"),
        ("listed-port", elsewhere.url("/x"), "allowed_hosts = [\"127.0.0.1:9\"]", "502 upstream_invalid"),
        // Whoever has the name's DNS must not choose an address inside. The upstream's own is no surprise, but here it is another one.
        (
            "listed-name",
            format!("http://localhost:{port}/x"),
            "allowed_hosts = [\"localhost\"]",
            "502 upstream_invalid",
        ),
        (
            "with-user",
            format!("http://user:secret@127.0.0.1:{port}/x"),
            "allowed_hosts = [\"127.0.0.1\"]",
            "502 upstream_invalid",
        ),
    ];
    let replies = targets.clone();
    let upstream = Faulty::start_at("127.0.0.2", move |seen| {
        if seen.target.ends_with("/elsewhere.conda") {
            return Reply::new(200).body(WHOLE);
        }
        let name = seen.target.split('/').nth(1).unwrap_or_default();
        let row = replies.iter().find(|(row, ..)| *row == name);
        row.map_or_else(|| Reply::new(418), |(_, location, ..)| Reply::redirect(location))
    })
    .await;
    let mut builder = Gate::builder();
    for (name, _, lines, _) in &targets {
        let url = upstream.url(&format!("/{name}"));
        builder =
            builder.channel_with(name, &format!("access = \"public\"\nupstreams = [\"{url}\"]\n{lines}"));
    }
    let gate = builder.start().await;
    for (name, _, _, expected) in &targets {
        let before = elsewhere.connections();
        let answer = gate.get(&format!("/{name}/{FILE}")).await;
        assert_eq!(answer.verdict(), *expected, "{name}");
        assert_eq!(answer.header("location"), None, "{name}");
        let reached = elsewhere.connections() > before;
        assert_eq!(reached, *name == "listed", "{name}: who is not allowed is not even connected to");
    }
}

#[tokio::test]
async fn redirect_from_https_to_http_is_not_followed() {
    let plain = Faulty::start(|_| Reply::new(200).body(WHOLE)).await;
    let location = plain.url("/x");
    let secure = Faulty::start_tls(move |seen| {
        if seen.target.ends_with("good.conda") {
            Reply::new(200).body(WHOLE)
        } else {
            Reply::redirect(&location)
        }
    })
    .await;
    let lines = format!(
        "access = \"public\"\nupstreams = [{{ url = \"{}\", ca_file = \"{}\" }}]\nallowed_hosts = [\"127.0.0.1\"]",
        secure.url(""),
        secure.ca_file().display()
    );
    let gate = Gate::builder().channel_with("main", &lines).start().await;
    assert_eq!(gate.get("/main/linux-64/good.conda").await.body, WHOLE);
    assert_eq!(gate.get(&format!("/main/{FILE}")).await.verdict(), "502 upstream_invalid");
    assert_eq!(plain.connections(), 0);
}

/// A token that may not read a channel costs its upstream nothing, nor does a file that the path grammar has no place for.
#[tokio::test]
async fn refused_requests_never_reach_the_upstream() {
    let upstream = Faulty::start(|_| Reply::new(200).body(WHOLE)).await;
    let gate = Gate::builder()
        .channel("main", &upstream.url(""))
        .channel_with("theirs", &format!("orgs = [\"acme\"]\nupstreams = [\"{}\"]", upstream.url("")))
        .start()
        .await;
    let token = gate.bootstrap_token();
    for (target, expected) in [
        (format!("/main/{FILE}"), "401 token_missing"),
        ("/main/notices.json".into(), "404 not_found"),
        (format!("/t/wrong/main/{FILE}"), "401 token_unknown"),
        (format!("/t/{token}/theirs/{FILE}"), "403 channel_forbidden"),
        (format!("/t/{token}/main/linux-64/../x.conda"), "400 path_invalid"),
        (format!("/t/{token}/main/linux-64/deeper/x.conda"), "404 not_found"),
    ] {
        assert_eq!(gate.get(&target).await.verdict(), expected);
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(gate.get(&format!("/t/{token}/main/{FILE}")).await.status, 200);
}
