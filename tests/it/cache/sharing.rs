//! Who shares an object: everybody who may read it. Who does not: a channel whose upstreams are others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::origin::Origin;
use crate::support::gate::{Gate, Issued};

const FILE: &str = "noarch/x-1.0-0.conda";

/// Asks for `/main/<FILE>` with a token in the carrier of this number, of five.
async fn ask(gate: &Gate, token: &Issued, carrier: usize) -> crate::support::client::Reply {
    let value = &token.value;
    let basic = STANDARD.encode(format!("user:{value}"));
    let (target, headers) = match carrier % 5 {
        0 => (format!("/t/{value}/main/{FILE}"), vec![]),
        1 => (format!("/main/{FILE}"), vec![("Authorization", format!("Bearer {value}"))]),
        2 => (format!("/main/{FILE}"), vec![("Authorization", format!("Basic {basic}"))]),
        3 => (format!("/main/{FILE}"), vec![("X-API-Key", value.clone())]),
        _ => (format!("/main/{FILE}"), vec![("X-Auth", value.clone())]),
    };
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    gate.ask("GET", &target, &headers).await
}

#[tokio::test]
async fn hundred_tokens_in_five_carriers_cause_one_request() {
    let origin = Origin::start().await;
    origin.put(FILE, "bytes", &[]);
    let gate = Gate::builder().channel("main", &origin.url()).start().await;
    let mut statuses = Vec::new();
    for number in 0..100 {
        let token = gate.scoped(&format!("ci-{number}"), "conda", None, None).await;
        let reply = ask(&gate, &token, number).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"bytes".as_slice()), "{number}");
        statuses.push(reply.header("cache-status").unwrap().to_owned());
    }
    assert_eq!(statuses.remove(0), "channelgate; fwd=miss; stored");
    assert!(statuses.iter().all(|status| status == "channelgate; hit"), "{statuses:?}");
    assert_eq!(origin.asked(FILE), ["GET"]);
    // What is shared is the file, never the right to it.
    let stranger = gate.scoped("stranger", "conda", Some(&["other"]), None).await;
    assert_eq!(ask(&gate, &stranger, 0).await.verdict(), "403 channel_forbidden");
    assert_eq!(gate.get(&format!("/main/{FILE}")).await.verdict(), "401 token_missing");
}

#[tokio::test]
async fn both_encodings_of_a_path_share_one_file() {
    let origin = Origin::start().await;
    let gate = Gate::builder().public_channel("main", &origin.url()).start().await;
    origin.put("noarch/a%2Bb-1%211.0-0.conda", "bytes", &[]);
    for path in
        ["noarch/a+b-1!1.0-0.conda", "noarch/a%2Bb-1%211.0-0.conda", "noarch/a%2bb-1!1.0-0.conda?query"]
    {
        assert_eq!(gate.get(&format!("/main/{path}")).await.body, b"bytes", "{path}");
    }
    assert_eq!(origin.asked("noarch/a%2Bb-1%211.0-0.conda"), ["GET"]);
}

#[tokio::test]
async fn labels_and_channels_share_nothing() {
    let origin = Origin::start().await;
    let gate = Gate::builder()
        .public_channel("main", &origin.url())
        .public_channel("twin", &origin.url())
        .start()
        .await;
    origin.put(FILE, "bytes", &[]);
    origin.put(&format!("label/dev/{FILE}"), "labelled", &[]);
    for (target, body) in [
        (format!("/main/{FILE}"), "bytes"),
        (format!("/main/label/dev/{FILE}"), "labelled"),
        (format!("/twin/{FILE}"), "bytes"),
    ] {
        for _ in 0..2 {
            assert_eq!(gate.get(&target).await.body, body.as_bytes(), "{target}");
        }
    }
    assert_eq!(origin.asked(FILE), ["GET", "GET"], "once for each channel");
    assert_eq!(origin.asked(&format!("label/dev/{FILE}")), ["GET"]);
}

#[tokio::test]
async fn changed_upstreams_never_reuse_what_the_others_sent() {
    let (old, new) = (Origin::start().await, Origin::start().await);
    old.put(FILE, "old", &[]);
    new.put(FILE, "new", &[]);
    let gate = Gate::builder().start().await;
    let channel = |upstreams: &[&Origin]| {
        let urls: Vec<_> = upstreams.iter().map(|origin| format!("{:?}", origin.url())).collect();
        format!("[[channels]]\nname = \"main\"\naccess = \"public\"\nupstreams = [{}]\n", urls.join(", "))
    };
    for (name, upstreams, body, asked) in [
        ("one", vec![&old], "old", (1, 0)),
        ("another", vec![&new], "new", (1, 1)),
        ("the first again", vec![&old], "old", (1, 1)),
        ("both", vec![&old, &new], "old", (2, 1)),
        ("in another order", vec![&new, &old], "new", (2, 2)),
    ] {
        gate.reload("", &channel(&upstreams));
        for _ in 0..2 {
            assert_eq!(gate.get(&format!("/main/{FILE}")).await.body, body.as_bytes(), "{name}");
        }
        assert_eq!((old.asked(FILE).len(), new.asked(FILE).len()), asked, "{name}");
    }
}

/// What a client says besides has no part in what the upstream is asked: it is asked for all who come.
#[tokio::test]
async fn upstream_is_asked_in_the_gates_own_words() {
    let origin = Origin::start().await;
    origin.put(FILE, "bytes", &[]);
    let gate = Gate::builder().channel("main", &origin.url()).start().await;
    let token = gate.bootstrap_token();
    let headers = [
        ("Range", "bytes=1-2"),
        ("If-None-Match", "\"theirs\""),
        ("Cookie", "session=1"),
        ("Referer", "http://elsewhere.test/"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "theirs"),
        ("Cache-Control", "no-cache"),
        ("X-Anything", "1"),
    ];
    let part = gate.ask("GET", &format!("/t/{token}/main/{FILE}?t={token}"), &headers).await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"yt".as_slice()));
    let mut lines = origin.lines(FILE);
    lines.retain(|line| !line.starts_with("host: "));
    let agent = concat!("user-agent: channelgate/", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines, ["accept-encoding: identity", "accept: */*", agent]);
    let whole = gate.get(&format!("/t/{token}/main/{FILE}")).await;
    assert_eq!(
        (whole.body.as_slice(), origin.asked(FILE).len()),
        (b"bytes".as_slice(), 1),
        "all of it was kept"
    );
}
