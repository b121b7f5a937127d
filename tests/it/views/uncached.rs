//! The same without a cache: nothing leaks and nothing fails.

use super::stage::{Client, HIDING, gate, origin, set};

#[tokio::test]
async fn views_hold_without_a_cache() {
    let origin = origin().await;
    let gate = gate(&origin, HIDING).settings("cache.enabled = false").start().await;
    let client = Client::anonymous(&gate);
    let visible = set(&["numpy-1-0.tar.bz2", "numpy-2-0.conda", "scipy-1-0.tar.bz2"]);
    for path in ["noarch/repodata.json", "noarch/repodata.json.zst"] {
        assert_eq!(client.files(path).await, visible, "{path}");
    }
    assert_eq!(client.files_in_shards().await, visible);
    assert_eq!(client.verdict("noarch/secret-1-0.conda").await, "451 package_blocked");
    assert_eq!(client.verdict("noarch/unlisted-1-0.conda").await, "404 not_found");
    assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    assert_eq!(client.verdict("noarch/repodata.json.bz2").await, "404 not_found");
    assert_eq!(client.verdict("notices.json").await, "200");
}

#[tokio::test]
async fn whole_view_without_a_cache_is_passed_on_and_given_shards() {
    let origin = origin().await;
    let gate = gate(&origin, "").settings("cache.enabled = false").start().await;
    let client = Client::anonymous(&gate);
    for _ in 0..2 {
        assert_eq!(client.verdict("noarch/numpy-2-0.conda").await, "200");
    }
    assert_eq!(origin.asked("noarch/numpy-2-0.conda").len(), 2, "packages are not kept");
    assert_eq!(client.files_in_shards().await.len(), 6);
}

#[tokio::test]
async fn upstream_with_one_form_of_its_index_is_given_the_other_without_a_cache() {
    let origin = origin().await;
    for form in ["noarch/repodata.json.zst", "noarch/repodata.json.bz2"] {
        origin.remove(form);
    }
    let gate = gate(&origin, "").settings("cache.enabled = false").start().await;
    let client = Client::anonymous(&gate);
    assert_eq!(client.files("noarch/repodata.json.zst").await, client.files("noarch/repodata.json").await);
    for missing in ["noarch/repodata.json.bz2", "linux-64/repodata.json"] {
        assert_eq!(client.verdict(missing).await, "404 not_found", "{missing}");
    }
}
