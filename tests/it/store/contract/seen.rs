//! When artifacts were first seen.

use channelgate::store::{SeenDigest, SeenDirectory, Sighting};

use super::*;

fn seen(artifact: u32) -> SeenDigest {
    let mut bytes = [0xa5; 32];
    // Neither in order nor of one beginning.
    bytes[..4].copy_from_slice(&artifact.wrapping_mul(2_654_435_761).to_be_bytes());
    bytes[28..].copy_from_slice(&artifact.to_be_bytes());
    SeenDigest::from_bytes(bytes)
}

fn page(artifacts: std::ops::Range<u32>) -> Vec<SeenDigest> {
    artifacts.map(seen).collect()
}

fn at(at: Timestamp) -> Sighting {
    Sighting { at, baseline: false }
}

fn baseline(at: Timestamp) -> Sighting {
    Sighting { at, baseline: true }
}

/// A directory whose baseline, of `artifacts`, was begun and ended at `now`.
async fn recorded(
    store: &Store,
    path: &str,
    artifacts: std::ops::Range<u32>,
    now: Timestamp,
) -> SeenDirectory {
    let directory = store.begin_baseline("c", path, now).await.unwrap();
    store.record_seen(&directory, &page(artifacts), now).await.unwrap();
    store.complete_baseline(&directory, now).await.unwrap();
    store.seen_directory("c", path).await.unwrap().unwrap()
}

pub(super) async fn first_recorded_artifacts_are_the_baseline(config: &Config) {
    let store = open(config).await;
    assert_eq!(store.seen_directory("c", "linux-64/").await.unwrap(), None);
    let directory = store.begin_baseline("c", "linux-64/", NOW).await.unwrap();
    assert_eq!((directory.begun_at, directory.completed_at), (NOW, None));
    assert_eq!(store.sightings(&directory, &page(0..3)).await.unwrap(), [None; 3]);

    let all = store.record_seen(&directory, &page(0..1_000), later(5)).await.unwrap();
    assert_eq!(all, vec![baseline(NOW); 1_000], "the whole baseline is as old as its beginning");
    store.complete_baseline(&directory, later(6)).await.unwrap();
    store.complete_baseline(&directory, later(7)).await.unwrap();
    let complete = store.seen_directory("c", "linux-64/").await.unwrap().unwrap();
    assert_eq!(complete.completed_at, Some(later(6)), "a baseline ends once");

    // What comes after it is new, in whatever page it comes, and stays as old as it was.
    let mixed = [seen(7), seen(2_000), seen(8), seen(2_001), seen(2_000)];
    let first = store.record_seen(&complete, &mixed, later(10)).await.unwrap();
    let expected = [baseline(NOW), at(later(10)), baseline(NOW), at(later(10)), at(later(10))];
    assert_eq!(first, expected);
    assert_eq!(store.record_seen(&complete, &mixed, later(99)).await.unwrap(), expected);
    assert_eq!(store.sightings(&complete, &mixed).await.unwrap(), expected.map(Some));
    assert_eq!(store.record_seen(&complete, &[], later(99)).await.unwrap(), []);

    // The same name in another channel is another directory.
    let other = store.begin_baseline("d", "linux-64/", later(11)).await.unwrap();
    assert_eq!(store.sightings(&other, &mixed).await.unwrap(), [None; 5]);
    assert_eq!(store.record_seen(&other, &[seen(2_000)], later(12)).await.unwrap(), [baseline(later(11))]);
}

pub(super) async fn baseline_half_recorded_is_completed_by_another_gate(config: &Config) {
    let died = open(config).await;
    let directory = died.begin_baseline("c", "noarch/", NOW).await.unwrap();
    died.record_seen(&directory, &page(0..10), later(1)).await.unwrap();
    died.close().await;

    let store = open(config).await;
    let directory = store.begin_baseline("c", "noarch/", later(500)).await.unwrap();
    assert_eq!(
        (directory.begun_at, directory.completed_at),
        (NOW, None),
        "it goes on, and does not begin anew"
    );
    let all = store.record_seen(&directory, &page(5..20), later(501)).await.unwrap();
    assert_eq!(all, vec![baseline(NOW); 15]);

    // A slower gate that still takes the baseline for open is told what holds.
    store.complete_baseline(&directory, later(502)).await.unwrap();
    let late = store.record_seen(&directory, &[seen(19), seen(20)], later(503)).await.unwrap();
    assert_eq!(late, [baseline(NOW), at(later(503))]);
}

pub(super) async fn gates_agree_on_when_an_artifact_was_first_seen(config: &Config) {
    let (one, other) = (open(config).await, open(config).await);
    let directory = recorded(&one, "linux-64/", 0..1, NOW).await;
    assert_eq!(other.seen_directory("c", "linux-64/").await.unwrap(), Some(directory));
    let (first, second) =
        tokio::join!(async { one.record_seen(&directory, &page(1..500), later(1)).await.unwrap() }, async {
            other.record_seen(&directory, &page(1..500), later(2)).await.unwrap()
        },);
    assert_eq!(first, second);
    assert!(first.iter().all(|seen| *seen == first[0] && !seen.baseline));
    // Directories that two begin at once are one, and have numbers of their own.
    let (left, right) = tokio::join!(one.begin_baseline("c", "x", NOW), other.begin_baseline("c", "y", NOW));
    let (left, right) = (left.unwrap(), right.unwrap());
    one.record_seen(&left, &[seen(1)], NOW).await.unwrap();
    assert_eq!(one.sightings(&right, &[seen(1)]).await.unwrap(), [None]);
}

pub(super) async fn artifacts_keep_their_age_under_another_label(config: &Config) {
    let store = open(config).await;
    let main = recorded(&store, "linux-64/", 0..10, later(100)).await;
    store.record_seen(&main, &[seen(10)], later(200)).await.unwrap();

    // What is quarantined in one is no baseline of a label that is made later; what is in its baseline is.
    let dev = store.begin_baseline("c", "label/dev/linux-64/", later(300)).await.unwrap();
    let all = store.record_seen(&dev, &[seen(9), seen(10), seen(11)], later(300)).await.unwrap();
    assert_eq!(all, [baseline(later(100)), at(later(200)), baseline(later(300))]);
    store.complete_baseline(&dev, later(301)).await.unwrap();

    // And the label's baseline, which is younger than that of the directory, is no way into it: its artifacts are as old as it is.
    let moved = store.record_seen(&main, &[seen(11)], later(400)).await.unwrap();
    assert_eq!(moved, [at(later(300))]);
    // What was new in one is as new in the other.
    store.record_seen(&dev, &[seen(12)], later(500)).await.unwrap();
    assert_eq!(store.record_seen(&main, &[seen(12)], later(600)).await.unwrap(), [at(later(500))]);

    // Other platforms and other channels are no label of it.
    let arm = recorded(&store, "linux-aarch64/", 0..0, later(700)).await;
    assert_eq!(store.record_seen(&arm, &[seen(12)], later(701)).await.unwrap(), [at(later(701))]);
}

pub(super) async fn artifacts_no_longer_listed_are_dropped(config: &Config) {
    let store = open(config).await;
    let directory = recorded(&store, "linux-64/", 0..1_000, NOW).await;
    for first in [1_000, 2_000] {
        store.record_seen(&directory, &page(first..first + 1_000), NOW).await.unwrap();
    }
    let other = recorded(&store, "noarch/", 0..5, NOW).await;

    assert!(!store.begin_count(&directory, NOW.minus(Duration::from_secs(1)), later(1)).await.unwrap());
    assert!(store.begin_count(&directory, later(50), later(60)).await.unwrap());
    assert!(!store.begin_count(&directory, later(50), later(61)).await.unwrap(), "one does it");
    let open = store.begin_baseline("c", "win-64/", NOW).await.unwrap();
    assert!(!store.begin_count(&open, later(50), later(60)).await.unwrap(), "nothing is known of it yet");

    for first in [0, 1_000] {
        store.mark_listed(&directory, &page(first..first + 1_000), later(60)).await.unwrap();
    }
    store.mark_listed(&directory, &[], later(60)).await.unwrap();
    let (mut dropped, mut pages, mut after) = (0, 0, None);
    loop {
        let (count, last) = store.drop_unlisted(&directory, after.as_ref(), later(30)).await.unwrap();
        dropped += count;
        let Some(last) = last else { break };
        pages += 1;
        after = Some(last);
    }
    assert_eq!((dropped, pages), (1_000, 3), "2,000 and more were dropped, in pages");
    let left = store.sightings(&directory, &page(1_999..2_001)).await.unwrap();
    assert_eq!(left, [Some(at(NOW)), None]);
    assert!(store.sightings(&other, &page(0..5)).await.unwrap().iter().all(Option::is_some));
    // Back again, it is new.
    assert_eq!(store.record_seen(&directory, &[seen(2_500)], later(70)).await.unwrap(), [at(later(70))]);
}

pub(super) async fn first_sightings_are_neither_in_the_feed_nor_in_the_audit(config: &Config) {
    let store = open(config).await;
    let before = (store.position().await.unwrap(), store.audit_head().await.unwrap());
    let directory = recorded(&store, "linux-64/", 0..5, NOW).await;
    store.begin_count(&directory, later(50), later(60)).await.unwrap();
    store.drop_unlisted(&directory, None, later(60)).await.unwrap();
    assert_eq!((store.position().await.unwrap(), store.audit_head().await.unwrap()), before);
}
