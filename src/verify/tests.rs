//! Tests of what a verdict's age allows, on a clock that stands still, over a real store.

use std::path::PathBuf;

use prometheus::Registry;

use super::era::Landing;
use super::follow::Following;
use super::*;
use crate::account::{Grant, Permission, Subscription};
use crate::clock::{ManualClock, Timestamp};
use crate::policy::Right;
use crate::store::{self, Actor, ActsAs, NewToken, Purpose};
use crate::token::{ApiKeyClaims, End, EndCause, Scope, Scopes, SigningKey, TokenId};

struct Bench {
    directory: tempfile::TempDir,
    store: Store,
    verifier: Verifier,
    hands: ManualClock,
    following: Option<Following>,
}

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn digest(value: &str) -> TokenDigest {
    TokenDigest::of(value.as_bytes())
}

fn revoked() -> End {
    End { cause: EndCause::Revoked, at: NOW, reason: None }
}

impl Bench {
    async fn new(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path().join("home")).await;
        store
            .create_organization("acme", "Acme", Subscription::default(), &Actor::gate(), NOW)
            .await
            .unwrap();
        let (clock, hands) = Clock::manual(NOW);
        let meters = Meters::register(&Registry::new()).unwrap();
        let verifier = Verifier::new(store.clone(), clock, config, meters);
        Self { directory, store, verifier, hands, following: None }
    }

    async fn issue(&self, name: &str) -> TokenId {
        let token = NewToken {
            organization: "acme".into(),
            purpose: Purpose::Scoped { name: name.into(), acts_as: None },
            scopes: Scopes::of(&[Scope::Repos]),
            channels: None,
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        self.store
            .insert_token(&token, &digest(name), &Actor::gate(), NOW, Duration::ZERO)
            .await
            .unwrap()
            .record
            .id
    }

    async fn revoke(&self, id: TokenId) {
        self.store.end_token(id, &revoked(), &Actor::gate(), NOW).await.unwrap();
    }

    /// What the follower does every 100 ms.
    async fn beat(&mut self) {
        let inner = &self.verifier.0;
        if self.following.is_none() {
            self.following = Some(inner.begin_following().await);
        }
        inner.beat(self.following.as_mut().unwrap()).await;
    }

    fn move_store(&self, from: &str, to: &str) {
        std::fs::rename(self.directory.path().join(from), self.directory.path().join(to)).unwrap();
    }

    fn says(&self, value: &str) -> &'static str {
        word(self.verifier.recall(&digest(value)))
    }

    async fn learns(&self, value: &str) -> &'static str {
        match self.verifier.lookup(&digest(value), None).await {
            Ok(lookup) => word(Some(lookup)),
            Err(LookupError::StoreUnavailable { .. }) => "unavailable",
            Err(LookupError::Overloaded { .. }) => "overloaded",
            Err(LookupError::TooManyWrong { .. }) => "limited",
        }
    }

    fn queries(&self) -> u64 {
        self.verifier.0.meters.store_queries.get()
    }
}

async fn open(directory: PathBuf) -> Store {
    let url = format!("sqlite:{}", directory.join("gate.db").display());
    Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap()
}

fn word(lookup: Option<Lookup>) -> &'static str {
    match lookup {
        None => "nothing",
        Some(Lookup::Unknown) => "unknown",
        Some(Lookup::Known(standing)) if standing.token.end.is_some() => "ended",
        Some(Lookup::Known(_)) => "alive",
    }
}

#[tokio::test]
async fn verdict_without_proof_serves_for_max_staleness() {
    let bench = Bench::new(Config::default()).await;
    bench.issue("a").await;
    assert_eq!(bench.says("a"), "nothing");
    assert_eq!(bench.learns("a").await, "alive");
    bench.hands.advance(Duration::from_millis(9_999));
    assert_eq!(bench.says("a"), "alive");
    bench.hands.advance(Duration::from_millis(1));
    assert_eq!(bench.says("a"), "nothing");
    assert_eq!(bench.queries(), 1);
    assert_eq!(bench.learns("a").await, "alive");
    assert_eq!((bench.says("a"), bench.queries()), ("alive", 2));
}

#[tokio::test]
async fn verdict_with_proofs_serves_without_another_query() {
    let mut bench = Bench::new(Config::default()).await;
    bench.issue("a").await;
    bench.beat().await;
    bench.learns("a").await;
    for _ in 0..100 {
        bench.hands.advance(seconds(9));
        assert_eq!(bench.says("a"), "alive");
        bench.beat().await;
    }
    assert_eq!(bench.queries(), 1);
    let health = bench.verifier.health();
    assert!(health.store_up && health.since == NOW && !health.inside_grace, "{health:?}");
    assert_eq!(health.last_proof_age, Some(Duration::ZERO));
    assert_eq!(health.feed_position, bench.store.position().await.unwrap());
}

#[tokio::test]
async fn changes_by_another_process_are_forgotten_by_the_next_beat() {
    let mut bench = Bench::new(Config::default()).await;
    let id = bench.issue("a").await;
    bench.beat().await;
    assert_eq!((bench.learns("a").await, bench.learns("b").await), ("alive", "unknown"));
    bench.hands.advance(Duration::from_millis(50));
    bench.revoke(id).await;
    bench.issue("b").await;
    assert_eq!((bench.says("a"), bench.says("b")), ("alive", "unknown"));
    bench.beat().await;
    assert_eq!((bench.says("a"), bench.says("b")), ("nothing", "nothing"));
    assert_eq!((bench.learns("a").await, bench.learns("b").await), ("ended", "alive"));
    let lag = &bench.verifier.0.meters.revocation_lag;
    assert_eq!(lag.get_sample_count(), 2);
    assert!((lag.get_sample_sum() - 0.1).abs() < 1e-9, "{}", lag.get_sample_sum());
}

#[tokio::test]
async fn changes_by_this_process_hold_when_it_has_caught_up() {
    let bench = Bench::new(Config::default()).await;
    let mut ids = Vec::new();
    // More than one page of the feed.
    for number in 0..CHANGES_PER_READ + 10 {
        ids.push(bench.issue(&format!("t{number}")).await);
    }
    assert_eq!((bench.learns("t5").await, bench.learns("new").await), ("alive", "unknown"));
    bench.revoke(ids[5]).await;
    bench.issue("new").await;
    bench.verifier.catch_up().await.unwrap();
    assert_eq!((bench.says("t5"), bench.says("new")), ("nothing", "nothing"));
    assert_eq!((bench.learns("t5").await, bench.learns("new").await), ("ended", "alive"));
}

#[tokio::test]
async fn unknown_digest_is_asked_for_again_after_its_time() {
    let mut bench = Bench::new(Config { unknown_ttl: seconds(20), ..Config::default() }).await;
    bench.beat().await;
    assert_eq!(bench.learns("x").await, "unknown");
    for (pass, expected) in [(9, "unknown"), (9, "unknown"), (2, "nothing")] {
        bench.hands.advance(seconds(pass));
        bench.beat().await;
        assert_eq!(bench.says("x"), expected);
    }
    assert_eq!((bench.learns("x").await, bench.queries()), ("unknown", 2));
    // Without proof it is as short-lived as any verdict.
    bench.hands.advance(seconds(10));
    assert_eq!(bench.says("x"), "nothing");
}

#[tokio::test]
async fn store_lost_known_tokens_go_on_for_the_grace_and_nothing_is_refused() {
    let mut bench = Bench::new(Config::default()).await;
    let id = bench.issue("a").await;
    bench.beat().await;
    assert_eq!((bench.learns("a").await, bench.learns("x").await), ("alive", "unknown"));
    bench.move_store("home", "away");
    bench.hands.advance(seconds(1));
    bench.beat().await;
    let health = bench.verifier.health();
    assert!(!health.store_up && health.inside_grace, "{health:?}");
    assert_eq!(health.since, NOW.plus(seconds(1)));
    assert_eq!(bench.verifier.0.meters.store_up.get(), 0);
    assert_eq!((bench.says("a"), bench.says("x"), bench.says("y")), ("alive", "nothing", "nothing"));
    assert_eq!((bench.learns("x").await, bench.learns("y").await), ("unavailable", "unavailable"));
    let queries = bench.queries();
    bench.hands.advance(seconds(298));
    bench.beat().await;
    assert_eq!(bench.says("a"), "alive");
    bench.hands.advance(seconds(1));
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "unavailable"));
    assert!(!bench.verifier.health().inside_grace);
    assert_eq!(bench.queries(), queries, "a store that is down is not asked by requests");

    // Revoked behind its back; when the store returns, that is known before anything is said.
    let elsewhere = open(bench.directory.path().join("away")).await;
    elsewhere.end_token(id, &revoked(), &Actor::gate(), NOW).await.unwrap();
    bench.move_store("away", "home");
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "unavailable"));
    bench.beat().await;
    assert!(bench.verifier.health().store_up);
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "ended"));
    assert_eq!(bench.learns("x").await, "unknown");
}

#[tokio::test]
async fn store_lost_without_grace_nothing_is_said() {
    let mut bench = Bench::new(Config { outage_grace: Duration::ZERO, ..Config::default() }).await;
    bench.issue("a").await;
    bench.beat().await;
    assert_eq!(bench.learns("a").await, "alive");
    bench.move_store("home", "away");
    bench.beat().await;
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "unavailable"));
    assert!(!bench.verifier.health().inside_grace);
}

/// Between two beats a request may be the first to meet the outage.
#[tokio::test]
async fn store_lost_unnoticed_known_tokens_go_on_for_the_grace() {
    let bench = Bench::new(Config::default()).await;
    bench.issue("a").await;
    assert_eq!(bench.learns("a").await, "alive");
    bench.move_store("home", "away");
    bench.hands.advance(seconds(11));
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "alive"));
    assert!(!bench.verifier.health().store_up, "noticed by the request");
    assert_eq!((bench.learns("x").await, bench.queries()), ("unavailable", 2));
    bench.hands.advance(seconds(289));
    assert_eq!(bench.learns("a").await, "unavailable");
}

#[tokio::test]
async fn feed_broken_verdicts_are_read_again_from_a_store_that_answers() {
    let mut bench = Bench::new(Config::default()).await;
    let id = bench.issue("a").await;
    bench.beat().await;
    assert_eq!(bench.learns("a").await, "alive");
    bench.revoke(id).await;
    let path = bench.directory.path().join("home/gate.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut raw = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql("ALTER TABLE changes RENAME TO lost").execute(&mut raw).await.unwrap();
    bench.hands.advance(seconds(9));
    bench.beat().await;
    assert!(bench.verifier.health().store_up);
    assert_eq!(bench.says("a"), "alive");
    bench.hands.advance(seconds(1));
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "ended"));
}

#[tokio::test]
async fn feed_lost_everything_is_forgotten_and_old_flights_change_nothing() {
    let mut bench = Bench::new(Config::default()).await;
    let id = bench.issue("a").await;
    bench.beat().await;
    bench.learns("a").await;
    let old = bench.verifier.0.era.load_full();
    let reading = bench.store.token_by_digest(&digest("a")).await.unwrap();
    let position = bench.store.position().await.unwrap();
    bench.verifier.0.apply(&old, &Changes::Lost { position });
    assert_eq!(bench.says("a"), "nothing");
    old.remember(&digest("a"), reading, bench.verifier.0.clock.uptime());
    assert_eq!(bench.says("a"), "nothing");
    bench.revoke(id).await;
    bench.beat().await;
    assert_eq!(bench.learns("a").await, "ended");
}

/// The interleaving that must not happen: a reading leaves the store, the token is revoked, the feed is applied, the reading arrives.
#[tokio::test]
async fn reading_older_than_the_feed_is_not_remembered() {
    let bench = Bench::new(Config::default()).await;
    let id = bench.issue("a").await;
    let (known, unknown) = (digest("a"), digest("b"));
    let stale_known = bench.store.token_by_digest(&known).await.unwrap();
    let stale_unknown = bench.store.token_by_digest(&unknown).await.unwrap();
    bench.revoke(id).await;
    bench.issue("b").await;
    bench.verifier.catch_up().await.unwrap();
    let era = bench.verifier.0.era.load_full();
    let uptime = bench.verifier.0.clock.uptime();
    era.remember(&known, stale_known.clone(), uptime);
    era.remember(&unknown, stale_unknown, uptime);
    assert_eq!((bench.says("a"), bench.says("b")), ("nothing", "nothing"));
    assert_eq!((bench.learns("a").await, bench.learns("b").await), ("ended", "alive"));
    // Nor does it push out what is known since.
    era.remember(&known, stale_known, uptime);
    assert_eq!(bench.says("a"), "ended");
}

fn read_only(channel: &str) -> Grant {
    Grant::whole(channel, Permission::Read)
}

impl Bench {
    /// Restricts a channel to a group without members.
    async fn restrict(&self, channel: &str) {
        if self.store.group("acme", "dev").await.unwrap().is_none() {
            self.store.create_group("acme", "dev", &Actor::gate(), NOW).await.unwrap();
        }
        self.store.grant("acme", "dev", &read_only(channel), &Actor::gate(), NOW).await.unwrap();
    }

    /// What memory says of the right to a channel.
    fn right(&self, value: &str, channel: &str) -> &'static str {
        match self.verifier.recall(&digest(value)) {
            Some(Lookup::Known(standing)) => match standing.rights.of(channel) {
                Right::Unrestricted => "unrestricted",
                Right::Granted(_) => "granted",
                Right::Withheld => "withheld",
            },
            _ => "nothing",
        }
    }
}

#[tokio::test]
async fn tokens_of_the_same_groups_hold_their_rights_once() {
    let mut bench = Bench::new(Config::default()).await;
    bench.restrict("x").await;
    for name in ["a", "b"] {
        let token = NewToken {
            organization: "acme".into(),
            purpose: Purpose::Scoped { name: name.into(), acts_as: Some(ActsAs::Group("dev".into())) },
            scopes: Scopes::of(&[Scope::Repos]),
            channels: None,
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        bench.store.insert_token(&token, &digest(name), &Actor::gate(), NOW, Duration::ZERO).await.unwrap();
    }
    bench.beat().await;
    let mut standings = Vec::new();
    for name in ["a", "b"] {
        assert_eq!(bench.learns(name).await, "alive");
        let Some(Lookup::Known(standing)) = bench.verifier.recall(&digest(name)) else { panic!("{name}") };
        standings.push(standing);
    }
    let [a, b] = [0, 1].map(|index| match standings[index].rights.of("x") {
        Right::Granted(granted) => std::ptr::from_ref(granted),
        right => panic!("{right:?}"),
    });
    assert_eq!(a, b);
    let [a, b] = [0, 1].map(|index| &standings[index].token.warrant);
    assert!(Arc::ptr_eq(a, b), "{a:?} {b:?}");
}

#[tokio::test]
async fn change_of_an_organization_forgets_all_its_tokens_and_no_others() {
    let mut bench = Bench::new(Config::default()).await;
    bench.beat().await;
    bench.store.create_organization("zoo", "", Subscription::default(), &Actor::gate(), NOW).await.unwrap();
    let zoo = NewToken::site("zoo");
    bench.store.insert_token(&zoo, &digest("zoo"), &Actor::gate(), NOW, Duration::ZERO).await.unwrap();
    for name in ["a", "b"] {
        bench.issue(name).await;
    }
    bench.beat().await;
    for name in ["a", "b", "zoo", "garbage"] {
        bench.learns(name).await;
    }
    bench.restrict("x").await;
    assert_eq!(bench.right("a", "x"), "unrestricted", "not heard of yet");
    let queries = bench.queries();
    bench.beat().await;
    assert_eq!(["a", "b"].map(|name| bench.says(name)), ["nothing"; 2]);
    assert_eq!(["zoo", "garbage"].map(|name| bench.says(name)), ["alive", "unknown"]);
    assert_eq!(bench.queries(), queries, "read again when they are asked for, not before");
    for name in ["a", "b"] {
        bench.learns(name).await;
        assert_eq!(bench.right(name, "x"), "withheld");
    }
    bench.store.cancel_organization("acme", &Actor::gate(), NOW).await.unwrap();
    bench.beat().await;
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "ended"));
}

/// The interleaving that must not happen, for a change of the organization: with the reading remembered before the feed is applied,
/// after it, and by nobody before.
#[tokio::test]
async fn reading_older_than_a_change_of_its_organization_is_worth_nothing() {
    let bench = Bench::new(Config::default()).await;
    for name in ["before", "after"] {
        bench.issue(name).await;
    }
    bench.verifier.catch_up().await.unwrap();
    let era = bench.verifier.0.era.load_full();
    let uptime = bench.verifier.0.clock.uptime();
    let stale_before = bench.store.token_by_digest(&digest("before")).await.unwrap();
    let stale_after = bench.store.token_by_digest(&digest("after")).await.unwrap();
    bench.restrict("x").await;
    let changes = bench.store.changes_since(era.settled(), 10).await.unwrap();
    let Changes::Read { changes, position, .. } = changes else { panic!("{changes:?}") };
    // Nobody remembers a token of the organization when the feed is applied, and then the reading arrives.
    let fresh = Era::begin(era.settled(), &Config::default());
    fresh.forget(&changes, position);
    fresh.remember(&digest("after"), stale_after.clone(), uptime);
    assert!(fresh.recall_known(&digest("after")).is_none());
    // Even one that slipped in between the announcement and the forgetting counts for nothing afterwards.
    era.remember(&digest("before"), stale_before, uptime);
    assert_eq!(bench.right("before", "x"), "unrestricted");
    era.forget(&changes, position);
    era.remember(&digest("after"), stale_after.clone(), uptime);
    assert_eq!((bench.says("before"), bench.says("after")), ("nothing", "nothing"));
    assert_eq!(bench.learns("after").await, "alive");
    assert_eq!(bench.right("after", "x"), "withheld");
    // Nor does it push out what is known since.
    era.remember(&digest("after"), stale_after, uptime);
    assert_eq!(bench.right("after", "x"), "withheld");
}

#[tokio::test]
async fn store_lost_after_a_change_of_the_organization_brings_nothing_of_before_back() {
    let mut bench = Bench::new(Config::default()).await;
    bench.beat().await;
    bench.issue("a").await;
    bench.beat().await;
    bench.learns("a").await;
    bench.restrict("x").await;
    bench.beat().await;
    bench.move_store("home", "away");
    bench.beat().await;
    assert_eq!((bench.says("a"), bench.learns("a").await), ("nothing", "unavailable"));
}

#[tokio::test]
async fn request_after_a_change_takes_no_answer_from_before_it() {
    let bench = Bench::new(Config::default()).await;
    let id = bench.issue("a").await;
    let a = digest("a");
    let stale = bench.store.token_by_digest(&a).await.unwrap();
    let era = bench.verifier.0.era.load_full();
    let (landing, flight) = tokio::sync::watch::channel(None);
    era.flights.insert(a, flight);
    // One request waits since before the change, one came after it.
    let before = tokio::spawn({
        let verifier = bench.verifier.clone();
        async move { word(Some(verifier.lookup(&a, None).await.unwrap())) }
    });
    tokio::task::yield_now().await;
    bench.revoke(id).await;
    bench.verifier.catch_up().await.unwrap();
    let after = tokio::spawn({
        let verifier = bench.verifier.clone();
        async move { word(Some(verifier.lookup(&a, None).await.unwrap())) }
    });
    tokio::task::yield_now().await;
    era.flights.remove(&a);
    landing.send_replace(Some(Landing::Answered(
        Verdict {
            lookup: Lookup::Known(Arc::new(stale.standing.unwrap())),
            as_of: bench.verifier.0.clock.uptime(),
        },
        stale.position,
    )));
    assert_eq!((before.await.unwrap(), after.await.unwrap()), ("alive", "ended"));
    assert_eq!(bench.says("a"), "ended");
}

#[tokio::test]
async fn one_query_answers_all_who_ask() {
    let bench = Bench::new(Config::default()).await;
    bench.issue("a").await;
    let asking: Vec<_> = (0..200)
        .map(|number| {
            let verifier = bench.verifier.clone();
            let value = if number % 2 == 0 { "a" } else { "x" };
            tokio::spawn(async move { word(Some(verifier.lookup(&digest(value), None).await.unwrap())) })
        })
        .collect();
    for (number, asking) in asking.into_iter().enumerate() {
        assert_eq!(asking.await.unwrap(), if number % 2 == 0 { "alive" } else { "unknown" });
    }
    assert_eq!(bench.queries(), 2);
    assert!(bench.verifier.0.era.load().flights.is_empty());
}

#[tokio::test]
async fn query_goes_on_when_who_asked_first_goes_away() {
    let bench = Bench::new(Config::default()).await;
    bench.issue("a").await;
    let a = digest("a");
    // Looked at once, it has put the question; then whoever asked goes away.
    tokio::select! {
        biased;
        _ = bench.verifier.lookup(&a, None) => panic!("nothing answers at once"),
        () = std::future::ready(()) => {}
    }
    assert!(!bench.verifier.0.era.load().flights.is_empty());
    assert_eq!(bench.learns("a").await, "alive");
    assert_eq!(bench.queries(), 1);
}

#[tokio::test]
async fn queries_beyond_the_bound_are_refused_soon() {
    let bench = Bench::new(Config { store_queries_max: 2, ..Config::default() }).await;
    bench.issue("a").await;
    let places = Arc::clone(&bench.verifier.0.queries).acquire_many_owned(2).await.unwrap();
    let began = std::time::Instant::now();
    assert_eq!(bench.learns("a").await, "overloaded");
    assert!(began.elapsed() < seconds(1));
    assert_eq!((bench.queries(), bench.verifier.0.meters.overloaded.get()), (0, 1));
    drop(places);
    assert_eq!(bench.learns("a").await, "alive");
    assert_eq!(bench.verifier.0.queries.available_permits(), 2);
}

#[tokio::test]
async fn request_that_waited_for_a_place_takes_what_was_read_meanwhile() {
    let bench = Bench::new(Config { store_queries_max: 1, ..Config::default() }).await;
    bench.issue("a").await;
    let reading = bench.store.token_by_digest(&digest("a")).await.unwrap();
    let place = Arc::clone(&bench.verifier.0.queries).acquire_owned().await.unwrap();
    let verifier = bench.verifier.clone();
    let waiting = tokio::spawn(async move { word(Some(verifier.lookup(&digest("a"), None).await.unwrap())) });
    tokio::task::yield_now().await;
    bench.verifier.0.era.load().remember(&digest("a"), reading, bench.verifier.0.clock.uptime());
    drop(place);
    assert_eq!((waiting.await.unwrap(), bench.queries()), ("alive", 0));
}

#[tokio::test]
async fn lookups_are_counted_by_how_they_were_answered() {
    let bench = Bench::new(Config::default()).await;
    bench.issue("a").await;
    for value in ["a", "a", "a", "x", "x"] {
        if bench.says(value) == "nothing" {
            bench.learns(value).await;
        }
    }
    bench.move_store("home", "away");
    bench.learns("y").await;
    let meters = &bench.verifier.0.meters;
    let counted = [&meters.hit, &meters.miss, &meters.unknown, &meters.unavailable, &meters.overloaded];
    assert_eq!(counted.map(|counter| counter.get()), [2, 1, 2, 1, 0]);
}

#[tokio::test]
async fn api_keys_are_screened_by_the_keys_that_sign() {
    let bench = Bench::new(Config::default()).await;
    let key = |byte| SigningKey::new("k".into(), &[byte; 32]).unwrap();
    let claims = ApiKeyClaims {
        id: TokenId(uuid::Uuid::nil()),
        user: "ann".into(),
        organization: "acme".into(),
        issued_at: NOW,
        expires_at: NOW.plus(seconds(60)),
    };
    let sign = |key: SigningKey| key.sign("gate", &claims).unwrap().expose().to_owned();
    let (genuine, forged) = (sign(key(1)), sign(key(2)));
    let is_plausible = |value: &str| bench.verifier.is_plausible(&Secret::new(value.as_bytes()));
    assert!(is_plausible(&genuine) && is_plausible(&forged), "nobody knows better");
    let keys = Arc::new(ArcSwap::from_pointee(ApiKeySet::new("gate".into(), Vec::new())));
    bench.verifier.screen_api_keys_by(Arc::clone(&keys));
    assert!(is_plausible(&forged), "another gate may have signed it");
    keys.store(Arc::new(ApiKeySet::new("gate".into(), vec![key(1)])));
    assert!(is_plausible(&genuine) && !is_plausible(&forged));
    assert!(
        !is_plausible("eyJAAAAAAA.BBBBBBBBBB.CCCCCCCCCC")
            && !is_plausible("short")
            && is_plausible(&"a".repeat(20))
    );
    bench.hands.advance(seconds(60));
    assert!(is_plausible(&genuine), "it is refused by its name");
}
