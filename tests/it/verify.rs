//! Lookups in memory over a real store, with the follower running and real time passing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use channelgate::account::{Grant, Permission};
use channelgate::clock::Clock;
use channelgate::policy::Right;
use channelgate::store::Store;
use channelgate::token::{EndCause, TokenDigest, TokenId};
use channelgate::verify::{Config, Lookup, LookupError, Meters, Verifier};
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::store::contract::{NOW, by, create, digest, revoked, scoped};
use crate::store::embedded::Temporary;
use crate::store::postgres::Fresh;

/// A gate's verifier with its follower, and the store of another process beside it.
struct Gate {
    place: Temporary,
    verifier: Verifier,
    meters: Meters,
    command: Store,
    stop: oneshot::Sender<()>,
    follower: JoinHandle<()>,
}

impl Gate {
    async fn start(config: Config) -> Self {
        let place = Temporary::new().await;
        let command = place.open().await;
        create(&command, "acme").await;
        let meters = Meters::register(&Registry::new()).unwrap();
        let verifier = Verifier::new(place.open().await, Clock::system(), config, meters.clone());
        let (stop, stopped) = oneshot::channel();
        let follower = tokio::spawn(verifier.clone().follow(async {
            let _ = stopped.await;
        }));
        while verifier.health().last_proof_age.is_none() {
            tokio::task::yield_now().await;
        }
        Self { place, verifier, meters, command, stop, follower }
    }

    async fn issue(&self, name: &str) -> TokenId {
        let token = scoped("acme", name);
        self.command.insert_token(&token, &digest(name), &by(), NOW, Duration::ZERO).await.unwrap().record.id
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), self.follower).await.unwrap().unwrap();
    }
}

async fn ask(verifier: &Verifier, digest: &TokenDigest) -> Result<Lookup, LookupError> {
    match verifier.recall(digest) {
        Some(lookup) => Ok(lookup),
        None => verifier.lookup(digest, None).await,
    }
}

fn is_alive(lookup: &Lookup) -> bool {
    matches!(lookup, Lookup::Known(standing) if standing.token.end.is_none())
}

/// 100,000 requests with known tokens, while the follower runs, the feed is read, and tokens of others change.
async fn known_tokens_make_no_query(command: Store, store: Store) {
    create(&command, "acme").await;
    let digests: Vec<_> = (0..100).map(|number| digest(&format!("t{number}"))).collect();
    for (number, digest) in digests.iter().enumerate() {
        let token = scoped("acme", &format!("t{number}"));
        command.insert_token(&token, digest, &by(), NOW, Duration::ZERO).await.unwrap();
    }
    let meters = Meters::register(&Registry::new()).unwrap();
    let verifier = Verifier::new(store, Clock::system(), Config::default(), meters.clone());
    let follower = tokio::spawn(verifier.clone().follow(std::future::pending()));
    while verifier.health().last_proof_age.is_none() {
        tokio::task::yield_now().await;
    }
    for digest in &digests {
        assert!(is_alive(&ask(&verifier, digest).await.unwrap()));
    }
    let queries = meters.store_queries.get();
    for number in 0..100_000 {
        if number % 10_000 == 0 {
            let (name, value) = (format!("other{number}"), digest(&format!("other{number}")));
            command.insert_token(&scoped("acme", &name), &value, &by(), NOW, Duration::ZERO).await.unwrap();
            verifier.catch_up().await.unwrap();
        }
        assert!(is_alive(&ask(&verifier, &digests[number % 100]).await.unwrap()));
    }
    assert_eq!((meters.store_queries.get() - queries, meters.hit.get()), (0, 100_000));
    follower.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_tokens_make_no_store_query_on_sqlite() {
    let place = Temporary::new().await;
    known_tokens_make_no_query(place.open().await, place.open().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_tokens_make_no_store_query_on_postgresql() {
    let place = Fresh::new().await;
    known_tokens_make_no_query(place.open().await, place.open().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_by_another_process_holds_within_half_a_second_under_load() {
    const ROUNDS: usize = 20;
    let gate = Gate::start(Config::default()).await;
    let done = Arc::new(AtomicBool::new(false));
    let background: Vec<_> = (0..200).map(|number| digest(&format!("busy{number}"))).collect();
    for number in 0..200 {
        gate.issue(&format!("busy{number}")).await;
    }
    let load: Vec<_> = (0..64_usize)
        .map(|task| {
            let (verifier, done, background) = (gate.verifier.clone(), Arc::clone(&done), background.clone());
            tokio::spawn(async move {
                let mut asked = task;
                while !done.load(Ordering::Relaxed) {
                    asked = (asked + 17) % background.len();
                    // Now and then a digest that nobody was issued.
                    let garbage = digest(&format!("garbage{}", asked * task));
                    let wanted = if asked % 10 == 0 { &garbage } else { &background[asked] };
                    let _ = ask(&verifier, wanted).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut worst = Duration::ZERO;
    for round in 0..ROUNDS {
        let name = format!("victim{round}");
        let id = gate.issue(&name).await;
        let victim = digest(&name);
        while !ask(&gate.verifier, &victim).await.is_ok_and(|lookup| is_alive(&lookup)) {
            tokio::task::yield_now().await;
        }
        gate.command.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
        let acknowledged = Instant::now();
        while !ask(&gate.verifier, &victim).await.is_ok_and(|lookup| !is_alive(&lookup)) {
            tokio::task::yield_now().await;
            assert!(acknowledged.elapsed() < Duration::from_secs(5), "still served");
        }
        worst = worst.max(acknowledged.elapsed());
        let again = ask(&gate.verifier, &victim).await.unwrap();
        assert!(
            matches!(&again, Lookup::Known(standing) if standing.token.end.as_ref().unwrap().cause == EndCause::Revoked)
        );
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    println!("revoked by another process, 64 tasks asking: worst lag of {ROUNDS} was {worst:?}");
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    assert!(gate.meters.revocation_lag.get_sample_count() > 0);
    gate.stop().await;
}

/// Readers race with changes of this process; after each change has caught up, no reader may see the past.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_by_this_process_holds_for_the_next_request_however_requests_race() {
    let gate = Gate::start(Config::default()).await;
    for round in 0..150 {
        let name = format!("t{round}");
        let id = gate.issue(&name).await;
        gate.verifier.catch_up().await.unwrap();
        let token = digest(&name);
        let racing: Vec<_> = (0..4)
            .map(|_| {
                let verifier = gate.verifier.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        ask(&verifier, &token).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        gate.command.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
        gate.verifier.catch_up().await.unwrap();
        for _ in 0..5 {
            let lookup = ask(&gate.verifier, &token).await.unwrap();
            assert!(!is_alive(&lookup), "round {round}");
        }
        for task in racing {
            task.await.unwrap();
        }
        let lookup = ask(&gate.verifier, &token).await.unwrap();
        assert!(!is_alive(&lookup), "round {round}, after the race");
    }
    gate.stop().await;
}

/// The same for a right that every token of the organization has or loses at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_changed_by_this_process_hold_for_the_next_request_however_requests_race() {
    const TOKENS: usize = 20;
    let gate = Gate::start(Config::default()).await;
    for number in 0..TOKENS {
        gate.issue(&format!("t{number}")).await;
    }
    gate.command.create_group("acme", "dev", &by(), NOW).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let racing: Vec<_> = (0..4)
        .map(|task| {
            let (verifier, done) = (gate.verifier.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut asked: usize = task;
                while !done.load(Ordering::Relaxed) {
                    asked += 1;
                    let _ = ask(&verifier, &digest(&format!("t{}", asked % TOKENS))).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let grant = Grant::whole("x", Permission::Read);
    for round in 0..100 {
        let restricted = round % 2 == 0;
        if restricted {
            gate.command.grant("acme", "dev", &grant, &by(), NOW).await.unwrap();
        } else {
            gate.command.unrestrict("acme", "x", &by(), NOW).await.unwrap();
        }
        gate.verifier.catch_up().await.unwrap();
        for number in 0..TOKENS {
            let lookup = ask(&gate.verifier, &digest(&format!("t{number}"))).await.unwrap();
            let Lookup::Known(standing) = lookup else { panic!("round {round}: {lookup:?}") };
            assert_eq!(standing.rights.of("x") == Right::Withheld, restricted, "round {round}");
        }
    }
    done.store(true, Ordering::Relaxed);
    for task in racing {
        task.await.unwrap();
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_by_another_process_holds_for_every_token_within_half_a_second() {
    const TOKENS: usize = 200;
    let gate = Gate::start(Config::default()).await;
    for number in 0..TOKENS {
        gate.issue(&format!("t{number}")).await;
    }
    gate.verifier.catch_up().await.unwrap();
    let digests: Vec<_> = (0..TOKENS).map(|number| digest(&format!("t{number}"))).collect();
    for digest in &digests {
        assert!(is_alive(&ask(&gate.verifier, digest).await.unwrap()));
    }
    gate.command.cancel_organization("acme", &by(), NOW).await.unwrap();
    let acknowledged = Instant::now();
    for digest in &digests {
        while is_alive(&ask(&gate.verifier, digest).await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(acknowledged.elapsed() < Duration::from_millis(500), "still served");
        }
    }
    println!(
        "cancelled by another process: none of {TOKENS} tokens lived after {:?}",
        acknowledged.elapsed()
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_evicts_no_verdict_and_asks_the_store_once_each() {
    const GARBAGE: usize = 10_000;
    let gate = Gate::start(Config { unknown_max: 20_000, ..Config::default() }).await;
    let known: Vec<_> = (0..50).map(|number| digest(&format!("t{number}"))).collect();
    for (number, token) in known.iter().enumerate() {
        gate.issue(&format!("t{number}")).await;
        ask(&gate.verifier, token).await.unwrap();
    }
    gate.verifier.catch_up().await.unwrap();
    for token in &known {
        ask(&gate.verifier, token).await.unwrap();
    }
    let before = gate.meters.store_queries.get();
    for pass in 0..2 {
        let asking: Vec<_> = (0..100)
            .map(|task| {
                let verifier = gate.verifier.clone();
                tokio::spawn(async move {
                    for number in 0..GARBAGE / 100 {
                        let garbage = digest(&format!("garbage {task} {number}"));
                        // 100 tasks for 64 places: some wait, and whoever waits too long asks again.
                        while ask(&verifier, &garbage).await != Ok(Lookup::Unknown) {}
                    }
                })
            })
            .collect();
        for task in asking {
            task.await.unwrap();
        }
        let queries = usize::try_from(gate.meters.store_queries.get() - before).unwrap();
        assert!(queries <= GARBAGE, "{queries} queries in pass {pass}");
    }
    let queries = gate.meters.store_queries.get();
    for token in &known {
        assert!(is_alive(&gate.verifier.recall(token).unwrap()));
    }
    assert_eq!(gate.meters.store_queries.get(), queries);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_tokens_beyond_the_bound_are_evicted_and_found_again() {
    let gate = Gate::start(Config { known_max: 10, ..Config::default() }).await;
    let digests: Vec<_> = (0..30).map(|number| digest(&format!("t{number}"))).collect();
    for number in 0..30 {
        gate.issue(&format!("t{number}")).await;
    }
    gate.verifier.catch_up().await.unwrap();
    for digest in digests.iter().chain(&digests) {
        assert!(is_alive(&ask(&gate.verifier, digest).await.unwrap()));
    }
    let remembered = digests.iter().filter(|digest| gate.verifier.recall(digest).is_some()).count();
    assert!(remembered <= 10, "{remembered}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!((1..=10).contains(&gate.meters.known.get()), "{}", gate.meters.known.get());
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_is_noticed_survived_and_over_by_itself() {
    let gate = Gate::start(Config::default()).await;
    gate.issue("a").await;
    gate.verifier.catch_up().await.unwrap();
    ask(&gate.verifier, &digest("a")).await.unwrap();
    let home = gate.place.path().parent().unwrap().to_owned();
    let away = home.with_file_name("away");
    std::fs::rename(&home, &away).unwrap();
    let until = |up: bool| {
        let verifier = gate.verifier.clone();
        async move {
            let began = Instant::now();
            while verifier.health().store_up != up {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(began.elapsed() < Duration::from_secs(5), "not noticed");
            }
        }
    };
    until(false).await;
    assert!(is_alive(&ask(&gate.verifier, &digest("a")).await.unwrap()));
    let unknown = ask(&gate.verifier, &digest("x")).await;
    assert!(matches!(unknown, Err(LookupError::StoreUnavailable { .. })), "{unknown:?}");
    assert_eq!(gate.verifier.lookup_implausible(), unknown, "the same answer");
    assert!(gate.verifier.health().inside_grace);
    std::fs::rename(&away, &home).unwrap();
    until(true).await;
    assert_eq!(ask(&gate.verifier, &digest("x")).await, Ok(Lookup::Unknown));
    assert_eq!(gate.verifier.lookup_implausible(), Ok(Lookup::Unknown));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follower_waits_for_a_store_that_is_not_there_yet() {
    let place = Temporary::new().await;
    let store = place.open().await;
    let home = place.path().parent().unwrap().to_owned();
    std::fs::rename(&home, home.with_file_name("away")).unwrap();
    let meters = Meters::register(&Registry::new()).unwrap();
    let verifier = Verifier::new(store, Clock::system(), Config::default(), meters);
    let follower = tokio::spawn(verifier.clone().follow(std::future::pending()));
    while verifier.health().store_up {
        tokio::task::yield_now().await;
    }
    assert!(verifier.health().last_proof_age.is_none() && !verifier.health().inside_grace);
    std::fs::rename(home.with_file_name("away"), &home).unwrap();
    while !verifier.health().store_up {
        tokio::task::yield_now().await;
    }
    assert!(verifier.health().last_proof_age.is_some());
    follower.abort();
}
