//! A hostile upstream: whatever it sends for an index, a client gets the generation before, or an error that says what is wrong; and what
//! it had before is still there.

use serde_json::{Value, json};

use super::indexes::{CACHED, Shelf, counted, encode, index, zst};
use crate::support::faulty::Reply;
use crate::support::gate::Gate;

const JSON: &str = "repodata.json";
const ZST: &str = "repodata.json.zst";
const SHARDS: &str = "repodata_shards.msgpack.zst";

/// What an upstream turns to: a name, the file that is hostile, its bytes, the verdict, and words that the error has.
type Row = (&'static str, &'static str, Vec<u8>, &'static str, &'static str);

fn leading(name: &'static str, form: &'static str, info: Value, record: Value, words: &'static str) -> Row {
    (name, form, index(form, &info, &record), "leads_elsewhere", words)
}

fn rows_that_lead_away() -> Vec<Row> {
    let (nothing, reach) = (json!({}), "nor in its allowed_hosts: list the host there");
    let info = |key: &str, to: &str| json!({ key: to });
    let away = "https://elsewhere.test/x/";
    let url = |to: &str| json!({ "url": to });
    vec![
        leading("base_url", JSON, info("base_url", away), nothing.clone(), reach),
        leading("base_url in zst", ZST, info("base_url", away), nothing.clone(), reach),
        leading("base_url of shards", SHARDS, info("base_url", away), nothing.clone(), reach),
        leading("base_url by host", JSON, info("base_url", "//elsewhere.test/"), nothing.clone(), reach),
        leading(
            "base_url by tab",
            JSON,
            info("base_url", "ht\ttps://elsewhere.test"),
            nothing.clone(),
            reach,
        ),
        leading(
            "base_url by backslash",
            JSON,
            info("base_url", r"\\elsewhere.test\x"),
            nothing.clone(),
            reach,
        ),
        leading("base_url a file", JSON, info("base_url", "file:///etc/"), nothing.clone(), "is no URL"),
        leading(
            "base_url with token",
            JSON,
            info("base_url", "/t/SECRET/x"),
            nothing.clone(),
            "a credential",
        ),
        leading(
            "base_url with user",
            JSON,
            info("base_url", "https://u:SECRET@a.test"),
            nothing.clone(),
            "a credential",
        ),
        leading("base_url with query", JSON, info("base_url", "/x/?SECRET"), nothing.clone(), "a query"),
        leading("shards_base_url", SHARDS, info("shards_base_url", away), nothing.clone(), reach),
        leading(
            "shards_base_url with token",
            SHARDS,
            info("shards_base_url", "/T/SECRET/"),
            nothing.clone(),
            "a credential",
        ),
        leading("url of a record", JSON, nothing.clone(), url("https://elsewhere.test/x-1.0-0.conda"), reach),
        leading(
            "url with encoded token",
            JSON,
            nothing.clone(),
            url("/%54/SECRET/x-1.0-0.conda"),
            "a credential",
        ),
        leading("fn of a record", JSON, nothing.clone(), json!({ "fn": away }), "leads to"),
        leading(
            "relation to another server",
            JSON,
            json!({ "channel_relations": { "base": away } }),
            nothing,
            "leads to",
        ),
    ]
}

fn rows_that_are_wrong() -> Vec<Row> {
    let record = json!({ "name": "x", "version": "1.0", "build": "0" }).to_string();
    let good = index(JSON, &json!({}), &json!({}));
    let text = |text: String| text.into_bytes();
    let shard = "shards/7b257ca3da3286f051d2735e28cd4174744c46b7e7b2257eadb5b263f485aeb1.msgpack.zst";
    let files = |count: usize| {
        let files: Vec<String> = (0..count).map(|n| format!("\"x-{n}-0.conda\":{{}}")).collect();
        format!("{{\"packages.conda\":{{{}}}}}", files.join(","))
    };
    let shards: serde_json::Map<_, _> = (0..201).map(|n| (format!("x{n}"), Value::Null)).collect();
    // RFC 8878: magic, a frame header with nothing but the window descriptor, one last raw block of "{}".
    let window = b"\x28\xb5\x2f\xfd\x00\x90\x11\0\0{}".to_vec();
    vec![
        ("truncated", JSON, good[..good.len() - 9].to_vec(), "truncated", "ends in the middle"),
        ("truncated frame", ZST, zst(&good)[..60].to_vec(), "truncated", "ends in the middle"),
        (
            "repeated section",
            JSON,
            text("{\"packages\":{},\"packages\":{}}".into()),
            "duplicate",
            "key \"packages\" twice",
        ),
        (
            "repeated file",
            JSON,
            text(format!("{{\"packages.conda\":{{\"x-1.0-0.conda\":{record},\"x-1.0-0.conda\":{record}}}}}")),
            "duplicate",
            "packages.conda names one file twice, in the records 1 and 2",
        ),
        (
            "repeated fact",
            ZST,
            zst(b"{\"packages\":{\"x-1.0-0.conda\":{\"name\":\"x\",\"name\":\"y\"}}}"),
            "duplicate",
            "the key \"name\" twice",
        ),
        (
            "shard whose digest lies",
            shard,
            index(shard, &json!({}), &json!({})),
            "malformed",
            "do not have the digest",
        ),
        (
            "nested 10,000 deep",
            JSON,
            text(format!("{{\"a\":{}", "[".repeat(10_000))),
            "over_limit",
            "64 levels deep",
        ),
        (
            "nested 10,000 deep, packed",
            SHARDS,
            zst(&[&b"\x81\xa1a"[..], &[0x91; 10_000], b"\xc0"].concat()),
            "over_limit",
            "64 levels",
        ),
        (
            "zstd bomb",
            ZST,
            zst(&[b"{\"a\":\"".to_vec(), vec![b' '; 4 << 20]].concat()),
            "over_limit",
            "more than",
        ),
        (
            "zstd bomb of small tokens",
            ZST,
            zst(&[b"{\"a\":[".to_vec(), format!("\"{}\",", " ".repeat(1_000)).into_bytes().repeat(20_000)]
                .concat()),
            "over_limit",
            "grows more than 100 times",
        ),
        ("window of 2^28", ZST, window, "malformed", "not valid zstd"),
        (
            "array of 2^32 in MessagePack",
            SHARDS,
            zst(b"\x81\xa6shards\xdf\xff\xff\xff\xff"),
            "truncated",
            "ends in the middle",
        ),
        (
            "text of 2^32 in MessagePack",
            SHARDS,
            zst(b"\x81\xa1a\xdb\xff\xff\xff\xff"),
            "truncated",
            "ends in the middle",
        ),
        ("too many records", JSON, text(files(501)), "over_limit", "more than 500 records"),
        (
            "too many shards",
            SHARDS,
            encode(SHARDS, &json!({ "shards": shards })),
            "over_limit",
            "more than 200 shards",
        ),
    ]
}

const LIMITS: &str =
    "index.ratio_max = 100\nindex.depth_max = 64\nindex.records_max = 500\nindex.shards_max = 200";

/// The hostile answer alone is an error that says what is wrong. After a good one, the good one stays.
#[tokio::test]
async fn hostile_index_is_an_error_with_words_and_takes_nothing_away() {
    let shelf = Shelf::default();
    let upstream = shelf.serve().await;
    let gate = Gate::builder()
        .settings(&format!("{CACHED}\n{LIMITS}"))
        .public_channel("main", &upstream.url("/main"))
        .public_channel("fresh", &upstream.url("/fresh"))
        .start()
        .await;
    for (number, (name, form, bytes, verdict, words)) in
        rows_that_lead_away().into_iter().chain(rows_that_are_wrong()).enumerate()
    {
        let directory = format!("label/r{number}/linux-64");
        let before = counted(&gate, verdict).await;
        shelf.put(&format!("/fresh/{directory}/{form}"), Reply::new(200).body(&bytes));
        let answer = gate.get(&format!("/fresh/{directory}/{form}")).await;
        assert_eq!(answer.verdict(), "502 upstream_invalid", "{name}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{name}: {detail}");
        assert!(!detail.contains("SECRET"), "{name}: {detail}");
        assert_eq!(answer.header("retry-after"), None, "{name}: asking again does not help");
        assert_eq!(counted(&gate, verdict).await, before + 1, "{name}");

        let package = format!("/main/{directory}/x-1.0-0.conda");
        shelf.put(&package, Reply::new(200).body("package"));
        if form.starts_with("shards/") {
            continue;
        }
        let good = index(form, &json!({}), &json!({ "sha256": null }));
        shelf.put(&format!("/main/{directory}/{form}"), Reply::new(200).body(&good));
        let target = format!("/main/{directory}/{form}");
        assert_eq!(gate.get(&target).await.body, good, "{name}");
        shelf.put(&format!("/main/{directory}/{form}"), Reply::new(200).body(&bytes));
        for round in 0..2 {
            let answer = gate.get(&target).await;
            assert_eq!(
                (answer.status, answer.body == good),
                (200, true),
                "{name}, {round}: the generation before"
            );
        }
        assert_eq!(gate.get(&package).await.body, b"package", "{name}");
    }
}
