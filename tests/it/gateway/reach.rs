//! What an index points to is fetched by the gate, from where it is, for clients that never hear of that place.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::indexes::{CACHED, Shelf, encode, index};
use crate::support::faulty::{Faulty, Reply};
use crate::support::gate::Gate;

const FILE: &str = "x-1.0-0.conda";

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A repodata whose one package has these bytes.
fn repodata(info: Value, package: &[u8], url: Option<&str>) -> Vec<u8> {
    let record = json!({ "sha256": hex(package), "size": package.len(), "url": url });
    index("repodata.json", &info, &record)
}

/// A gate with one channel that may fetch from this server, too, and proves itself to its upstream.
async fn gate_of(upstream: &Faulty, files: &Faulty, directory: &std::path::Path) -> Gate {
    let secret = directory.join("secret");
    fs::write(&secret, "upstream-secret\n").unwrap();
    let lines = format!(
        "access = \"public\"\nallowed_hosts = [\"{}\"]\nupstreams = [{{ url = \"{}\", upstream_auth = {{ kind = \"bearer\", file = \"{}\" }} }}]",
        files.address(),
        upstream.url("/chan"),
        secret.display(),
    );
    Gate::builder().settings(CACHED).channel_with("main", &lines).start().await
}

fn authorizations(server: &Faulty, target: &str) -> Vec<Option<String>> {
    let seen = server.seen();
    let asked = seen.iter().filter(|seen| seen.target == target);
    asked.map(|seen| seen.header("authorization").map(str::to_owned)).collect()
}

#[tokio::test]
async fn packages_come_from_where_their_index_points_to() {
    for is_index_first in [true, false] {
        let (shelf, pool) = (Shelf::default(), Shelf::default());
        let (upstream, files) = (shelf.serve().await, pool.serve().await);
        let scratch = tempfile::tempdir().unwrap();
        let gate = gate_of(&upstream, &files, scratch.path()).await;
        let base = files.url("/pool/linux-64");
        let rows: [(&str, Value, Option<String>, &Faulty, &str); 6] = [
            ("base_url", json!({ "base_url": base }), None, &files, "/pool/linux-64/x-1.0-0.conda"),
            (
                "base_url on the own origin",
                json!({ "base_url": upstream.url("/pkgs/") }),
                None,
                &upstream,
                "/pkgs/x-1.0-0.conda",
            ),
            (
                "base_url above",
                json!({ "base_url": "../../pkgs2" }),
                None,
                &upstream,
                "/chan/label/pkgs2/x-1.0-0.conda",
            ),
            (
                "base_url below",
                json!({ "base_url": "deep" }),
                None,
                &upstream,
                "/chan/label/r3/linux-64/deep/x-1.0-0.conda",
            ),
            ("url of the record", json!({}), Some(files.url("/one/abc.bin")), &files, "/one/abc.bin"),
            (
                "url before base_url",
                json!({ "base_url": base }),
                Some("/two/abc.bin".to_owned()),
                &upstream,
                "/two/abc.bin",
            ),
        ];
        for (number, (name, info, url, server, place)) in rows.into_iter().enumerate() {
            let package = format!("package of {name}").into_bytes();
            let directory = format!("label/r{number}/linux-64");
            let at = if std::ptr::eq(server, &upstream) { &shelf } else { &pool };
            at.put(place, Reply::new(200).header("ETag", "\"p\"").body(&package));
            let document = repodata(info, &package, url.as_deref());
            shelf.put(&format!("/chan/{directory}/repodata.json"), Reply::new(200).body(document));
            if is_index_first {
                let index = gate.get(&format!("/main/{directory}/repodata.json")).await;
                let text = String::from_utf8_lossy(&index.body).into_owned();
                assert!(
                    !text.contains(&files.address().to_string()) && !text.contains("abc.bin"),
                    "{name}: {text}"
                );
            }
            let target = format!("/main/{directory}/{FILE}");
            let head = gate.head(&target).await;
            assert_eq!(head.status, 200, "{name}: HEAD");
            let answer = gate.get(&target).await;
            assert_eq!((answer.status, &answer.body), (200, &package), "{name}");
            let part = gate.ask("GET", &target, &[("range", "bytes=-3")]).await;
            assert_eq!((part.status, part.body.as_slice()), (206, &package[package.len() - 3..]), "{name}");
            // The gate's own credential goes to the upstream's own origin, wherever there, and nowhere else.
            let expected = std::ptr::eq(server, &upstream).then(|| "Bearer upstream-secret".to_owned());
            let asked = authorizations(server, place);
            assert!(!asked.is_empty() && asked.iter().all(|sent| *sent == expected), "{name}: {asked:?}");
            let own = authorizations(&upstream, &format!("/chan/{directory}/{FILE}")).len();
            assert_eq!(
                own,
                usize::from(!is_index_first),
                "{name}: asked for at its path where no index was held"
            );
        }
    }
}

/// A package that is not what the index says is refused wherever it came from.
#[tokio::test]
async fn package_from_elsewhere_is_held_against_its_index() {
    let (shelf, pool) = (Shelf::default(), Shelf::default());
    let (upstream, files) = (shelf.serve().await, pool.serve().await);
    let scratch = tempfile::tempdir().unwrap();
    let gate = gate_of(&upstream, &files, scratch.path()).await;
    let redirect = |to: &str| Reply::new(302).header("Location", to);
    let rows = [
        ("wrong", Reply::new(200).body("wrong"), "502 upstream_invalid"),
        ("right", Reply::new(200).body("right"), "200"),
        ("led out of reach", redirect("http://192.0.2.1/x"), "502 upstream_invalid"),
        ("led back", redirect(&upstream.url("/right")), "200"),
        ("not there", Reply::new(404), "404 not_found"),
    ];
    shelf.put("/right", Reply::new(200).body("right"));
    for (number, (name, reply, expected)) in rows.into_iter().enumerate() {
        let document = repodata(json!({ "base_url": files.url(&format!("/pool{number}")) }), b"right", None);
        let directory = format!("label/r{number}/linux-64");
        shelf.put(&format!("/chan/{directory}/repodata.json"), Reply::new(200).body(document));
        gate.get(&format!("/main/{directory}/repodata.json")).await;
        pool.put(&format!("/pool{number}/{FILE}"), reply);
        let answer = gate.get(&format!("/main/{directory}/{FILE}")).await;
        assert_eq!(answer.verdict(), expected, "{name}");
    }
    // A credential that was left behind on the way does not come back.
    assert_eq!(authorizations(&upstream, "/right"), [None]);
}

/// What was within reach when the index was read is asked for by the rules of now.
#[tokio::test]
async fn host_that_is_no_longer_allowed_is_not_asked() {
    let (shelf, pool) = (Shelf::default(), Shelf::default());
    let (upstream, files) = (shelf.serve().await, pool.serve().await);
    let scratch = tempfile::tempdir().unwrap();
    let gate = gate_of(&upstream, &files, scratch.path()).await;
    let document = repodata(json!({ "base_url": files.url("/pool/") }), b"right", None);
    shelf.put("/chan/linux-64/repodata.json", Reply::new(200).body(document));
    gate.get("/main/linux-64/repodata.json").await;
    pool.put("/pool/x-1.0-0.conda", Reply::new(200).body("right"));
    let file = gate.directory.path().join("channelgate.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&format!("[\"{}\"]", files.address()), "[\"192.0.2.1\"]")).unwrap();
    gate.reload("", "");
    assert_eq!(gate.get("/main/linux-64/x-1.0-0.conda").await.verdict(), "502 upstream_invalid");
    assert_eq!(files.seen().len(), 0);
}

#[tokio::test]
async fn shards_come_from_where_their_index_points_to_and_the_index_says_nothing_of_it() {
    let (shelf, pool) = (Shelf::default(), Shelf::default());
    let (upstream, files) = (shelf.serve().await, pool.serve().await);
    let scratch = tempfile::tempdir().unwrap();
    let gate = gate_of(&upstream, &files, scratch.path()).await;
    let shard = encode(
        "x.msgpack.zst",
        &json!({ "packages": {}, "packages.conda": { FILE: { "name": "x" } }, "removed": [] }),
    );
    let named = hex(&shard);
    let rows = [
        ("elsewhere", files.url("/shards-of-x"), &pool, format!("/shards-of-x/{named}.msgpack.zst")),
        ("on the own origin", "/s/".to_owned(), &shelf, format!("/s/{named}.msgpack.zst")),
        ("deeper", "./a/b/".to_owned(), &shelf, format!("/chan/label/r2/linux-64/a/b/{named}.msgpack.zst")),
    ];
    for (number, (name, shards_base_url, at, place)) in rows.into_iter().enumerate() {
        let directory = format!("label/r{number}/linux-64");
        at.put(&place, Reply::new(200).body(&shard));
        let document = json!({
            "info": { "subdir": "linux-64", "base_url": files.url("/pool"), "shards_base_url": shards_base_url, "created_at": 1 },
            "repodata_version": 2,
            "shards": { "x": named, "more": [1, -1, 1.5, null, true, { "a": "b".repeat(300) }] },
        });
        let bytes = encode("repodata_shards.msgpack.zst", &document);
        shelf.put(&format!("/chan/{directory}/repodata_shards.msgpack.zst"), Reply::new(200).body(&bytes));
        let mut expected = document.clone();
        expected["info"]["base_url"] = json!("");
        expected["info"]["shards_base_url"] = json!("./shards/");
        for _ in 0..2 {
            let answer = gate.get(&format!("/main/{directory}/repodata_shards.msgpack.zst")).await;
            assert_eq!(answer.status, 200, "{name}");
            assert!(answer.body[4] & 0xe0 != 0, "{name}: conda reads only a frame that says how large it is");
            let served: Value = rmp_serde::from_slice(&zstd::decode_all(&answer.body[..]).unwrap()).unwrap();
            assert_eq!(served, expected, "{name}");
        }
        let answer = gate.get(&format!("/main/{directory}/shards/{named}.msgpack.zst")).await;
        assert_eq!((answer.status, &answer.body), (200, &shard), "{name}");
        // Its packages, too, are where the index said.
        pool.put("/pool/x-1.0-0.conda", Reply::new(200).body("package"));
        assert_eq!(gate.get(&format!("/main/{directory}/{FILE}")).await.body, b"package", "{name}");
    }
}

/// A directory leads inside itself only.
#[tokio::test]
async fn index_of_a_directory_leads_inside_it() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("channel");
    for directory in ["linux-64", "osx-64", "pool"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("pool").join(FILE), "package").unwrap();
    fs::create_dir_all(scratch.path().join("outside")).unwrap();
    fs::write(scratch.path().join("outside").join(FILE), "package").unwrap();
    let document = |base: &str| repodata(json!({ "base_url": base }), b"package", None);
    fs::write(root.join("linux-64/repodata.json"), document("../pool/")).unwrap();
    let gate = Gate::builder()
        .settings(CACHED)
        .public_channel("main", &format!("file://{}", root.display()))
        .start()
        .await;
    gate.get("/main/linux-64/repodata.json").await;
    assert_eq!(gate.get(&format!("/main/linux-64/{FILE}")).await.body, b"package");
    for (name, base) in [
        ("above", "../../outside/".to_owned()),
        ("absolute", format!("file://{}/", scratch.path().join("outside").display())),
        ("far above", "../../../../../../../../../../etc/".to_owned()),
        ("http", "http://127.0.0.1:1/x/".to_owned()),
    ] {
        fs::write(root.join("osx-64/repodata.json"), document(&base)).unwrap();
        let answer = gate.get("/main/osx-64/repodata.json").await;
        assert_eq!(answer.verdict(), "502 upstream_invalid", "{name}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains("not inside the upstream's directory"),
            "{name}"
        );
    }
    fs::write(root.join("osx-64/repodata.json"), document(&format!("file://{}/pool", root.display())))
        .unwrap();
    gate.get("/main/osx-64/repodata.json").await;
    assert_eq!(gate.get(&format!("/main/osx-64/{FILE}")).await.body, b"package", "absolute, and inside");
}
