//! Tests of ages over a real store, on a clock that stands still.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::store;

struct Bench {
    directory: tempfile::TempDir,
    store: Store,
    seen: Seen,
    clock: Clock,
    hands: ManualClock,
    /// How often it was asked what is listed.
    listings: Arc<AtomicUsize>,
}

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const WEEK: Duration = Duration::from_hours(7 * 24);
const DAY: Duration = Duration::from_hours(24);
const LINUX: &str = "linux-64/";

fn artifact(number: u32) -> SeenDigest {
    SeenDigest::of(Some(Sha256::of(&number.to_be_bytes())), "x", None)
}

fn generation(number: u8) -> Sha256 {
    Sha256::from_bytes([number; 32])
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("home/gate.db").display());
        let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
        let (clock, hands) = Clock::manual(NOW);
        let seen = Seen::new(store.clone(), clock.clone());
        Self { directory, store, seen, clock, hands, listings: Arc::default() }
    }

    /// What a gate that just started knows.
    fn restart(&mut self) {
        self.seen = Seen::new(self.store.clone(), self.clock.clone());
    }

    async fn settle(
        &self,
        path: &str,
        number: u8,
        longest: Duration,
        listed: impl IntoIterator<Item = u32>,
    ) -> Result<Arc<Ages>, Unsettled> {
        let channel = ChannelName::parse("c").unwrap();
        let listed: Vec<_> = listed.into_iter().map(artifact).collect();
        let listings = Arc::clone(&self.listings);
        let list = move || {
            listings.fetch_add(1, Ordering::SeqCst);
            listed
        };
        self.seen.settle(&channel, path, generation(number), longest, list).await
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn cut(&self) {
        std::fs::rename(self.home(), self.directory.path().join("away")).unwrap();
    }

    fn mend(&self) {
        std::fs::rename(self.directory.path().join("away"), self.home()).unwrap();
    }

    fn listings(&self) -> usize {
        self.listings.load(Ordering::SeqCst)
    }
}

fn ages_of(ages: &Ages, artifacts: impl IntoIterator<Item = u32>) -> Vec<FirstSeen> {
    artifacts.into_iter().map(|number| ages.of(&artifact(number))).collect()
}

#[test]
fn digests_of_records_without_one_are_of_name_and_size() {
    let digest = Sha256::of(b"body");
    assert_eq!(SeenDigest::of(Some(digest), "a", Some(1)), SeenDigest::of(Some(digest), "b", Some(2)));
    let without = [("a", Some(1)), ("a", Some(2)), ("a", None), ("b", Some(1)), ("a1", None)];
    let digests: std::collections::HashSet<_> =
        without.into_iter().map(|(file, size)| SeenDigest::of(None, file, size)).collect();
    assert_eq!(digests.len(), without.len());
    assert_eq!(SeenDigest::of(None, "a", Some(1)).as_bytes(), Sha256::of(b"a\x001").as_bytes());
}

#[tokio::test]
async fn first_generation_is_the_baseline_and_later_ones_are_new() {
    let mut bench = Bench::new().await;
    let first = bench.settle(LINUX, 1, WEEK, 0..2_500).await.unwrap();
    assert!(first.is_settled());
    assert!(ages_of(&first, 0..2_500).iter().all(|seen| *seen == FirstSeen::Baseline));
    assert_eq!(first.of(&artifact(9_999)), FirstSeen::Unknown, "what is not listed is unknown");

    bench.hands.advance(DAY);
    let second = bench.settle(LINUX, 2, WEEK, 1_000..2_502).await.unwrap();
    let tomorrow = NOW.plus(DAY);
    let expected = [FirstSeen::Baseline, FirstSeen::At(tomorrow), FirstSeen::At(tomorrow)];
    assert_eq!(ages_of(&second, [2_499, 2_500, 2_501]), expected);

    // They stay as old as they were: in the next generation, and for a gate that starts anew, which has the same generation to judge.
    bench.hands.advance(DAY);
    let third = bench.settle(LINUX, 3, WEEK, 2_000..2_503).await.unwrap();
    let newest = FirstSeen::At(NOW.plus(2 * DAY));
    assert_eq!(ages_of(&third, [2_499, 2_500, 2_501, 2_502]), [&expected[..], &[newest]].concat());
    bench.restart();
    bench.hands.advance(DAY);
    let anew = bench.settle(LINUX, 3, WEEK, 2_000..2_503).await.unwrap();
    assert_eq!(ages_of(&anew, [2_499, 2_500, 2_501, 2_502]), [&expected[..], &[newest]].concat());

    // Once older than any quarantine, they are not kept as young.
    bench.hands.advance(5 * DAY);
    let fourth = bench.settle(LINUX, 4, WEEK, 2_000..2_503).await.unwrap();
    assert_eq!(ages_of(&fourth, [2_500, 2_502]), [FirstSeen::Baseline, newest]);
    assert_eq!(fourth.young.len(), 1);
}

#[tokio::test]
async fn one_generation_is_listed_and_asked_about_once() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.settle(LINUX, 1, WEEK, 0..10).await.unwrap();
    }
    let (one, other) = tokio::join!(bench.settle(LINUX, 2, WEEK, 0..11), bench.settle(LINUX, 2, WEEK, 0..11));
    assert_eq!(one.unwrap().of(&artifact(10)), other.unwrap().of(&artifact(10)));
    assert_eq!(bench.listings(), 2);
    // For a shorter quarantine the ages are good as well, for a longer one the store is asked.
    bench.settle(LINUX, 2, DAY, 0..11).await.unwrap();
    assert_eq!(bench.listings(), 2);
    bench.settle(LINUX, 2, 2 * WEEK, 0..11).await.unwrap();
    assert_eq!(bench.listings(), 3);
}

#[tokio::test]
async fn longer_quarantine_catches_what_a_shorter_one_let_go() {
    let bench = Bench::new().await;
    bench.settle(LINUX, 1, DAY, 0..10).await.unwrap();
    bench.settle(LINUX, 2, DAY, 0..11).await.unwrap();
    bench.hands.advance(3 * DAY);
    let short = bench.settle(LINUX, 3, DAY, 0..12).await.unwrap();
    assert_eq!(short.of(&artifact(10)), FirstSeen::Baseline);
    let long = bench.settle(LINUX, 3, WEEK, 0..12).await.unwrap();
    let expected = [FirstSeen::Baseline, FirstSeen::At(NOW), FirstSeen::At(NOW.plus(3 * DAY))];
    assert_eq!(ages_of(&long, [9, 10, 11]), expected);
}

#[tokio::test]
async fn store_that_is_away_leaves_the_new_unknown_until_it_is_back() {
    let bench = Bench::new().await;
    bench.settle(LINUX, 1, WEEK, 0..10).await.unwrap();
    bench.cut();
    let ages = bench.settle(LINUX, 2, WEEK, 0..12).await.unwrap();
    assert!(!ages.is_settled());
    assert_eq!(ages_of(&ages, [9, 10]), [FirstSeen::Baseline, FirstSeen::Unknown]);
    // Of a directory that is not in memory nothing is known, and that not for each request anew.
    assert_eq!(bench.settle("noarch/", 1, WEEK, 0..10).await.err(), Some(Unsettled));
    let listings = bench.listings();
    assert_eq!(bench.settle("noarch/", 1, WEEK, 0..10).await.err(), Some(Unsettled));
    assert!(!bench.settle(LINUX, 2, WEEK, 0..12).await.unwrap().is_settled());
    assert_eq!(bench.listings(), listings, "the store is left alone for some seconds");
    bench.hands.advance(RETRY_AFTER);
    assert!(!bench.settle(LINUX, 2, WEEK, 0..12).await.unwrap().is_settled());
    assert!(bench.listings() > listings, "and then it is asked again");

    bench.mend();
    bench.hands.advance(RETRY_AFTER);
    let back = NOW.plus(2 * RETRY_AFTER);
    let ages = bench.settle(LINUX, 2, WEEK, 0..12).await.unwrap();
    assert!(ages.is_settled());
    assert_eq!(ages_of(&ages, [9, 10]), [FirstSeen::Baseline, FirstSeen::At(back)]);
    assert!(bench.settle("noarch/", 1, WEEK, 0..10).await.is_ok());
}

#[tokio::test]
async fn longer_quarantine_without_the_store_takes_nothing_for_old() {
    let bench = Bench::new().await;
    bench.settle(LINUX, 1, DAY, 0..10).await.unwrap();
    bench.cut();
    let ages = bench.settle(LINUX, 1, WEEK, 0..10).await.unwrap();
    assert_eq!(ages.of(&artifact(1)), FirstSeen::Unknown);
}

#[tokio::test]
async fn baseline_left_half_recorded_is_completed_as_baseline() {
    let bench = Bench::new().await;
    let died = bench.store.begin_baseline("c", LINUX, NOW).await.unwrap();
    bench.store.record_seen(&died, &[artifact(0), artifact(1)], NOW).await.unwrap();
    bench.hands.advance(DAY);
    let ages = bench.settle(LINUX, 1, WEEK, 1..5).await.unwrap();
    assert!(ages_of(&ages, 1..5).iter().all(|seen| *seen == FirstSeen::Baseline));
    let ages = bench.settle(LINUX, 2, WEEK, 1..6).await.unwrap();
    assert_eq!(ages.of(&artifact(5)), FirstSeen::At(NOW.plus(DAY)));
}

#[tokio::test]
async fn asker_who_goes_away_does_not_stop_a_baseline() {
    let bench = Bench::new().await;
    {
        let asked = bench.settle(LINUX, 1, WEEK, 0..5_000);
        tokio::pin!(asked);
        assert!(futures_poll_once(asked.as_mut()).await.is_none(), "it takes longer than nothing");
    }
    let ages = bench.settle(LINUX, 1, WEEK, 0..5_000).await.unwrap();
    assert_eq!(ages.of(&artifact(4_999)), FirstSeen::Baseline);
    assert_eq!(bench.listings(), 1, "the first asker's question went on");
}

/// Polls once.
async fn futures_poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn what_is_not_listed_for_three_months_is_dropped() {
    let mut bench = Bench::new().await;
    bench.settle(LINUX, 1, WEEK, 0..1_500).await.unwrap();
    let directory = bench.store.seen_directory("c", LINUX).await.unwrap().unwrap();
    bench.settle(LINUX, 2, WEEK, 1_000..1_500).await.unwrap();
    // Not before a month is over, and then one count a month.
    for month in 1_u8..=4 {
        bench.hands.advance(COUNT_EVERY);
        bench.restart();
        bench.settle(LINUX, 2 + month, WEEK, 1_000..1_500).await.unwrap();
        let counted = bench.clock.now();
        for _ in 0..500 {
            let now = bench.store.seen_directory("c", LINUX).await.unwrap().unwrap();
            let kept = bench.store.sightings(&directory, &[artifact(0)]).await.unwrap();
            let is_done = now.counted_at == counted && kept[0].is_none() == (month > 3);
            if is_done {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let kept = bench.store.sightings(&directory, &[artifact(0), artifact(1_400)]).await.unwrap();
        assert_eq!(kept.iter().map(Option::is_some).collect::<Vec<_>>(), [month <= 3, true], "month {month}");
    }
}
