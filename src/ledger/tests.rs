//! Tests of what is noted, what is dropped, and what reaches the store.

use super::*;
use crate::account::Subscription;
use crate::store::{self, Actor, NewToken, Purpose};
use crate::token::TokenDigest;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct Bench {
    directory: tempfile::TempDir,
    store: Store,
    ledger: Ledger,
}

impl Bench {
    async fn new(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("home/gate.db").display());
        let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
        store.create_organization("acme", "", Subscription::default(), &Actor::gate(), NOW).await.unwrap();
        let meters = Meters::register(&Registry::new()).unwrap();
        let ledger = Ledger::new(store.clone(), config, meters);
        Self { directory, store, ledger }
    }

    async fn token(&self, name: &str) -> TokenId {
        let purpose = Purpose::Scoped { name: name.into(), acts_as: None };
        let token = NewToken { purpose, ..NewToken::site("acme") };
        let digest = TokenDigest::of(name.as_bytes());
        let issued = self.store.insert_token(&token, &digest, &Actor::gate(), NOW, Duration::ZERO).await;
        issued.unwrap().record.id
    }

    async fn last_use(&self, token: TokenId) -> LastUse {
        self.store.last_use(token).await.unwrap()
    }
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn used(seconds: u64, carrier: Carrier) -> Option<Used> {
    Some(Used { at: later(seconds), carrier, address: HOME })
}

fn refused(seconds: u64, code: &str, count: u64) -> Option<Refused> {
    Some(Refused { at: later(seconds), code: code.to_owned(), count })
}

#[tokio::test]
async fn last_use_is_written_at_the_flush_and_not_before() {
    let bench = Bench::new(Config::default()).await;
    let (a, b) = (bench.token("a").await, bench.token("b").await);
    bench.ledger.used(a, later(2), Carrier::Path, HOME);
    bench.ledger.used(a, later(1), Carrier::Bearer, HOME);
    bench.ledger.refused(b, later(3), "scope_missing");
    bench.ledger.refused(b, later(4), "channel_forbidden");
    assert_eq!(bench.last_use(a).await, LastUse::default());
    bench.ledger.flush().await.unwrap();
    assert_eq!(bench.last_use(a).await, LastUse { used: used(2, Carrier::Path), refused: None });
    assert_eq!(bench.last_use(b).await, LastUse { used: None, refused: refused(4, "channel_forbidden", 2) });
    // Counts add up; what another gate wrote later stays.
    bench.ledger.used(a, later(1), Carrier::Basic, HOME);
    bench.ledger.refused(b, later(5), "token_expired");
    bench.ledger.flush().await.unwrap();
    assert_eq!(bench.last_use(a).await.used, used(2, Carrier::Path));
    assert_eq!(bench.last_use(b).await.refused, refused(5, "token_expired", 3));
}

#[tokio::test]
async fn flush_writes_each_token_once_however_many_requests() {
    let bench = Bench::new(Config::default()).await;
    let token = bench.token("a").await;
    for second in 0..100_000 {
        bench.ledger.used(token, later(second), Carrier::Path, HOME);
    }
    assert_eq!(bench.ledger.0.take().len(), 1);
}

#[tokio::test]
async fn ledger_full_drops_and_counts_further_tokens() {
    let bench = Bench::new(Config { tokens_max: 128, ..Config::default() }).await;
    for number in 0..10_000_u128 {
        let token = TokenId(uuid::Uuid::from_u128(number));
        bench.ledger.used(token, NOW, Carrier::Path, HOME);
        bench.ledger.used(token, NOW, Carrier::Path, HOME);
    }
    assert_eq!(bench.ledger.0.meters.dropped.get(), 2 * (10_000 - 128));
    assert_eq!(bench.ledger.0.take().len(), 128);
}

#[tokio::test]
async fn what_the_store_does_not_take_is_noted_again() {
    let bench = Bench::new(Config::default()).await;
    let token = bench.token("a").await;
    bench.ledger.used(token, later(1), Carrier::Path, HOME);
    bench.ledger.refused(token, later(1), "scope_missing");
    let [home, away] = ["home", "away"].map(|name| bench.directory.path().join(name));
    std::fs::rename(&home, &away).unwrap();
    bench.ledger.flush().await.unwrap_err();
    bench.ledger.used(token, later(2), Carrier::Basic, HOME);
    bench.ledger.refused(token, later(2), "channel_forbidden");
    std::fs::rename(&away, &home).unwrap();
    bench.ledger.flush().await.unwrap();
    let expected = LastUse { used: used(2, Carrier::Basic), refused: refused(2, "channel_forbidden", 2) };
    assert_eq!(bench.last_use(token).await, expected);
}

#[tokio::test]
async fn keeper_flushes_at_every_interval() {
    let bench = Bench::new(Config { flush_interval: Duration::from_millis(5), ..Config::default() }).await;
    let token = bench.token("a").await;
    let keeper = tokio::spawn(bench.ledger.clone().keep(std::future::pending()));
    for second in [1, 2] {
        bench.ledger.used(token, later(second), Carrier::Path, HOME);
        while bench.last_use(token).await.used != used(second, Carrier::Path) {
            tokio::task::yield_now().await;
        }
    }
    keeper.abort();
}

#[tokio::test]
async fn batches_of_more_than_one_transaction_are_written_whole() {
    let bench = Bench::new(Config { tokens_max: 1_000_000, ..Config::default() }).await;
    let token = bench.token("a").await;
    for number in 0..2_500_u128 {
        bench.ledger.used(TokenId(uuid::Uuid::from_u128(number)), NOW, Carrier::Path, HOME);
    }
    bench.ledger.used(token, NOW, Carrier::XAuth, HOME);
    bench.ledger.flush().await.unwrap();
    assert_eq!(bench.last_use(token).await.used, used(0, Carrier::XAuth));
    assert_eq!(bench.ledger.0.take().len(), 0);
}
