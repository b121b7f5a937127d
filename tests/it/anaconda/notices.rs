//! `notices.json` for somebody whose token ends soon.

use std::time::Duration;

use channelgate::store::{NewToken, Purpose};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::support::faulty::{Faulty, Reply as Answer, refusing_address};
use crate::support::gate::{Gate, Issued};

/// A token of `acme` that ends this much after the stage's beginning.
async fn ending(stage: &Stage, name: &str, days: u64) -> Issued {
    let at = stage.now().plus(Duration::from_secs(days * 24 * 3_600));
    stage
        .keep(&NewToken {
            organization: "acme".to_owned(),
            purpose: Purpose::Scoped { name: name.to_owned(), acts_as: None },
            scopes: "repos".parse().unwrap(),
            channels: None,
            expires_at: Some(at),
            imported: false,
            api_key: None,
            replaces_namesake: false,
        })
        .await
}

fn upstream(answer: impl Fn() -> Answer + Send + Sync + 'static) -> impl Future<Output = Faulty> {
    Faulty::start(move |_| answer())
}

async fn stage_before(url: &str) -> Stage {
    Stage::at(Gate::builder().channel("repo/main", url).settings("cache.enabled = false").manual_clock())
        .await
}

async fn notices(stage: &Stage, token: &Issued) -> Vec<Value> {
    let reply = stage.gate.get(&format!("/t/{}/repo/main/notices.json", token.value)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    reply.json()["notices"].as_array().unwrap().clone()
}

#[tokio::test]
async fn token_that_ends_within_thirty_days_is_told_before_the_upstreams_notices() {
    let theirs =
        json!({"notices": [{"id": "u1", "message": "hello", "level": "info"}], "more": 1}).to_string();
    let upstream = upstream(move || Answer::new(200).body(&theirs)).await;
    let stage = stage_before(&upstream.url("")).await;
    let (near, far) = (ending(&stage, "near", 29).await, ending(&stage, "far", 31).await);
    let path = |token: &Issued| format!("/t/{}/repo/main/notices.json", token.value);

    let untouched = stage.gate.get(&path(&far)).await;
    assert_eq!(
        untouched.json(),
        json!({"notices": [{"id": "u1", "message": "hello", "level": "info"}], "more": 1})
    );

    for header in [false, true] {
        let authorization = format!("Bearer {}", near.value);
        let reply = if header {
            stage.gate.ask("GET", "/repo/main/notices.json", &[("Authorization", &authorization)]).await
        } else {
            stage.gate.get(&path(&near)).await
        };
        let json = reply.json();
        let [own, theirs] = &json["notices"].as_array().unwrap()[..] else { panic!("{json}") };
        assert_eq!(theirs["id"], "u1");
        assert_eq!(own["level"], "warning");
        assert_eq!(own["id"], format!("channelgate-{}-2027-01-01", near.id));
        assert!(own["message"].as_str().unwrap().contains("\"near\""), "{own}");
        assert_eq!(own["created_at"], "2027-01-01T00:00:00+00:00", "Python reads a Z from 3.11 on only");
        assert_eq!(own["expired_at"], "2027-01-02T00:00:00+00:00", "conda asks again the next day");
        assert_eq!(own["expires_at"], own["expired_at"], "the CEP's word for it");
        assert_eq!(reply.json()["more"], 1, "what else the upstream says is kept");
        assert!(!reply.json().to_string().contains(&near.value));
    }

    // The same all day, another one the next day, with emphasis at last.
    let hands = stage.gate.hands.as_ref().unwrap();
    hands.advance(Duration::from_secs(23 * 3_600));
    assert_eq!(notices(&stage, &near).await[0]["id"], format!("channelgate-{}-2027-01-01", near.id));
    hands.advance(Duration::from_secs(3_600));
    assert_eq!(notices(&stage, &near).await[0]["id"], format!("channelgate-{}-2027-01-02", near.id));
    hands.advance(Duration::from_secs(26 * 24 * 3_600));
    assert_eq!(notices(&stage, &near).await[0]["level"], "critical");
}

#[tokio::test]
async fn what_the_upstream_sends_never_keeps_it_from_being_told() {
    for answer in [
        "",
        "[]",
        "null",
        "\"notices\"",
        "{",
        "{\"notices\": {}}",
        "{\"notices\": [1, null, \"x\", []]}",
        "\u{fffd}",
    ] {
        let upstream = upstream(move || Answer::new(200).body(answer)).await;
        let stage = stage_before(&upstream.url("")).await;
        let near = ending(&stage, "near", 2).await;
        let told = notices(&stage, &near).await;
        assert_eq!(told.len(), 1, "{answer}: conda crashes on what is no object: {told:?}");
    }
    for status in [404, 403, 500] {
        let upstream = upstream(move || Answer::new(status)).await;
        let stage = stage_before(&upstream.url("")).await;
        let near = ending(&stage, "near", 2).await;
        assert_eq!(notices(&stage, &near).await.len(), 1, "{status}");
    }
    let stage = stage_before(&format!("http://{}", refusing_address())).await;
    let near = ending(&stage, "near", 2).await;
    assert_eq!(notices(&stage, &near).await.len(), 1);
}

#[tokio::test]
async fn conditions_and_ranges_hold_for_what_is_merged() {
    let upstream = upstream(|| Answer::new(200).header("etag", "\"u\"").body("{\"notices\": []}")).await;
    let stage = stage_before(&upstream.url("")).await;
    let near = ending(&stage, "near", 10).await;
    let path = format!("/t/{}/repo/main/notices.json", near.value);
    let whole = stage.gate.get(&path).await;
    let tag = whole.header("etag").unwrap().to_owned();
    assert_ne!(tag, "\"u\"", "it is another body than the upstream's");
    assert!(whole.header("cache-control").unwrap().contains("private"));
    assert_eq!(stage.gate.ask("GET", &path, &[("If-None-Match", &tag)]).await.status, 304);
    assert_eq!(stage.gate.ask("GET", &path, &[("If-None-Match", "\"u\"")]).await.status, 200);
    let part = stage.gate.ask("GET", &path, &[("Range", "bytes=2-5")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[2..6]));
    let head = stage.gate.head(&path).await;
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
    // Whoever is refused is not told anything.
    assert_eq!(stage.gate.get("/repo/main/notices.json").await.status, 404);
}
