//! The JSON representations under a view, and what is 404 there.

use super::stage::{
    Client, FILES, HIDING, document_of, files_in, gate, origin, put_document, says_how_large_it_is, set,
};
use crate::cache::origin::Mood;

const VISIBLE: [&str; 3] = ["numpy-1-0.tar.bz2", "numpy-2-0.conda", "scipy-1-0.tar.bz2"];

#[tokio::test]
async fn every_representation_shows_the_same_of_a_channel() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&gate);
    for path in ["noarch/repodata.json", "noarch/repodata.json.zst"] {
        assert_eq!(client.files(path).await, set(&VISIBLE), "{path}");
    }
    assert_eq!(client.files_in_shards().await, set(&VISIBLE));
    assert_eq!(client.fetched().await, set(&VISIBLE));
    for path in ["noarch/current_repodata.json", "noarch/current_repodata.json.zst"] {
        assert_eq!(client.files(path).await, set(&["numpy-2-0.conda"]), "{path}");
    }
    for path in ["noarch/run_exports.json", "noarch/run_exports.json.zst"] {
        assert_eq!(client.files(path).await, set(&["numpy-1-0.tar.bz2", "numpy-2-0.conda"]), "{path}");
    }
    let names = client.json("channeldata.json").await;
    let names: Vec<_> = names["packages"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["numpy", "scipy"]);
}

#[tokio::test]
async fn filtered_document_keeps_all_else() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let mut expected = document_of(&VISIBLE);
    expected["removed"] = serde_json::json!(["numpy-0-0.tar.bz2"]);
    assert_eq!(Client::anonymous(&gate).json("noarch/repodata.json").await, expected);
}

#[tokio::test]
async fn what_would_tell_of_hidden_files_is_missing_under_a_view_only() {
    let origin = origin().await;
    let hiding = gate(&origin, HIDING).start().await;
    let whole = gate(&origin, "").start().await;
    for path in [
        "noarch/repodata.json.bz2",
        "noarch/patch_instructions.json",
        "noarch/index.html",
        "noarch/repodata.info.json",
        "rss.xml",
        "icons/secret.png",
    ] {
        let (hidden, nothing) = (
            Client::anonymous(&hiding).get(path).await,
            Client::anonymous(&hiding).get("noarch/no.thing").await,
        );
        assert_eq!(hidden.verdict(), "404 not_found", "{path}");
        assert_eq!(hidden.body.len(), nothing.body.len(), "{path}: as if it were not there");
        assert_eq!(Client::anonymous(&whole).verdict(path).await, "200", "{path}");
    }
    assert_eq!(Client::anonymous(&hiding).verdict("notices.json").await, "200");
    assert!(origin.asked("noarch/index.html").len() == 1, "the upstream is not asked for what is not shown");
}

#[tokio::test]
async fn whole_view_gets_the_bytes_of_the_upstream() {
    let origin = origin().await;
    let gate = gate(&origin, "").start().await;
    let client = Client::anonymous(&gate);
    let reply = client.get("noarch/repodata.json").await;
    assert_eq!(files_in(&reply.json()).len(), FILES.len() + 1);
    assert_eq!(origin.asked("noarch/repodata.json"), ["GET"]);
    assert_eq!(origin.count(), 1, "nothing else is asked for");
    assert_eq!(reply.header("last-modified"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
}

/// What an upstream has in one form only is there in the others, too.
#[tokio::test]
async fn upstream_with_one_form_of_its_index_is_given_the_others() {
    let forms = ["noarch/repodata.json", "noarch/repodata.json.zst", "noarch/repodata.json.bz2"];
    for only in forms {
        let origin = origin().await;
        for form in forms.into_iter().filter(|form| *form != only) {
            origin.remove(form);
        }
        let gate = gate(&origin, "").start().await;
        let client = Client::anonymous(&gate);
        let mut all = set(&FILES);
        all.insert("numpy-3-0.conda".to_owned());
        let plain = client.get(forms[0]).await;
        let packed = client.get(forms[1]).await;
        assert_eq!((plain.status, packed.status), (200, 200), "{only}");
        assert_eq!(files_in(&plain.json()), all, "{only}");
        assert_eq!(zstd::decode_all(&packed.body[..]).unwrap(), plain.body, "{only}");
        if only != forms[1] {
            assert!(says_how_large_it_is(&packed.body), "{only}");
        }
        assert_ne!(plain.header("etag"), packed.header("etag"), "{only}");
        let expected = if only == forms[2] { "200" } else { "404 not_found" };
        assert_eq!(client.verdict(forms[2]).await, expected, "{only}");
        assert_eq!(client.files_in_shards().await, all, "{only}");
        assert_eq!(client.verdict("linux-64/repodata.json.zst").await, "404 not_found", "{only}");

        // A new generation reaches every form.
        let document = document_of(&VISIBLE);
        put_document(&origin, "repodata.json", &document);
        for form in forms.into_iter().filter(|form| *form != only) {
            origin.remove(form);
        }
        gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(61));
        assert_eq!(client.files(forms[1]).await, set(&VISIBLE), "{only}");
        assert_eq!(client.files(forms[0]).await, set(&VISIBLE), "{only}");
        assert_eq!(client.files_in_shards().await, set(&VISIBLE), "{only}");
    }
}

#[tokio::test]
async fn rule_that_hides_nothing_here_leaves_the_bytes_of_the_upstream() {
    let origin = origin().await;
    put_document(&origin, "repodata.json", &document_of(&VISIBLE));
    let gate = gate(&origin, "[[channels.rules]]\npackages = \"other\"\naction = \"block\"").start().await;
    let expected = {
        let whole = super::stage::gate(&origin, "").start().await;
        Client::anonymous(&whole).get("noarch/repodata.json").await
    };
    let reply = Client::anonymous(&gate).get("noarch/repodata.json").await;
    assert_eq!(reply.body, expected.body);
    assert_eq!(reply.header("etag"), expected.header("etag"));
}

#[tokio::test]
async fn made_file_has_tags_by_content_and_is_made_once_a_generation() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&gate);
    let first = client.get("noarch/repodata.json").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_ne!(Some(tag.as_str()), client.get("noarch/repodata.json.zst").await.header("etag"));
    let again = gate.ask("GET", &client.target("noarch/repodata.json"), &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
    let part = gate.ask("GET", &client.target("noarch/repodata.json"), &[("range", "bytes=2-5")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &first.body[2..6]));
    assert_eq!(gate.head(&client.target("noarch/repodata.json")).await.header("etag"), Some(tag.as_str()));
    assert_eq!(origin.asked("noarch/repodata.json.zst"), ["GET"], "one source for both");
    assert_eq!(origin.asked("noarch/repodata.json"), [] as [&str; 0]);

    put_document(&origin, "repodata.json", &document_of(&["numpy-2-0.conda", "secret-1-0.conda"]));
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(61));
    assert_eq!(client.files("noarch/repodata.json").await, set(&["numpy-2-0.conda"]));
    assert_eq!(client.files_in_shards().await, set(&["numpy-2-0.conda"]));
}

#[tokio::test]
async fn made_file_is_served_while_the_upstream_fails_and_after_a_restart() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let before = Client::anonymous(&gate).get("noarch/repodata.json").await;
    let shards = Client::anonymous(&gate).shard_index().await;
    origin.turn(Mood::Status(500));
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(61));
    let during = Client::anonymous(&gate).get("noarch/repodata.json").await;
    assert_eq!((during.status, during.body), (200, before.body.clone()));
    assert_eq!(Client::anonymous(&gate).shard_index().await, shards);
    let gate = gate.restart().await;
    let after = Client::anonymous(&gate).get("noarch/repodata.json").await;
    assert_eq!((after.status, after.header("etag")), (200, before.header("etag")));
    assert_eq!(after.body, before.body);
}

#[tokio::test]
async fn malformed_generation_leaves_the_one_before() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).start().await;
    let client = Client::anonymous(&gate);
    assert_eq!(client.files("noarch/repodata.json").await, set(&VISIBLE));
    for path in ["noarch/repodata.json.zst", "noarch/repodata.json"] {
        origin.put(path, "{\"packages\": ", &[]);
    }
    gate.hands.as_ref().unwrap().advance(std::time::Duration::from_secs(61));
    assert_eq!(client.files("noarch/repodata.json").await, set(&VISIBLE));
    assert_eq!(client.files_in_shards().await, set(&VISIBLE));
}

#[tokio::test]
async fn rule_takes_effect_at_the_next_request_after_a_reload() {
    let origin = origin().await;
    let gate = gate(&origin, "").start().await;
    let client = Client::anonymous(&gate);
    assert_eq!(client.files("noarch/repodata.json").await.len(), FILES.len() + 1);
    assert_eq!(client.verdict("noarch/secret-1-0.conda").await, "200");
    gate.reload("", HIDING);
    assert_eq!(client.files("noarch/repodata.json").await, set(&VISIBLE));
    assert_eq!(client.verdict("noarch/secret-1-0.conda").await, "451 package_blocked");
}
