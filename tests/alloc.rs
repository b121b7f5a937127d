//! Admitting a known token allocates nothing: parse, extract, digest, recall, decide.
//!
//! A binary of its own, because it replaces the allocator. It counts those of the test's own thread: the store has threads of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use channelgate::account::{Grant, Permission, Role};
use channelgate::clock::{Clock, Timestamp};
use channelgate::conda::{ChannelName, RequestTarget};
use channelgate::gateway::admission::admit;
use channelgate::keys::{self, ApiKeyWish, GateSecret, Keyring};
use channelgate::metrics::Metrics;
use channelgate::policy::{Access, Channel, Channels, Effect, Mode, Rule};
use channelgate::store::{self, Actor, ActsAs, NewToken, Purpose, Store};
use channelgate::token::Minted;
use channelgate::verify::{self, Verifier};
use http::{HeaderMap, HeaderValue};

/// The system's allocator, counted.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts and hands on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Polls a future that must not wait.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("admitting a known token waited"),
    }
}

#[tokio::test]
async fn known_token_is_admitted_without_allocation() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/channelgate.db", directory.path().display());
    let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
    let clock = Clock::system();
    store.create_organization("acme", "Acme", Default::default(), &Actor::gate(), clock.now()).await.unwrap();
    store.create_group("acme", "dev", &Actor::gate(), clock.now()).await.unwrap();
    let grant = Grant {
        packages: vec!["num*".into(), "scipy".into()],
        labels: vec!["dev".into(), "main".into()],
        ..Grant::whole("team/main", Permission::Read)
    };
    store.grant("acme", "dev", &grant, &Actor::gate(), clock.now()).await.unwrap();
    let minted = Minted::random().unwrap();
    let token = NewToken {
        organization: "acme".into(),
        purpose: Purpose::Scoped { name: "ci".into(), acts_as: Some(ActsAs::Group("dev".into())) },
        scopes: "conda:download".parse().unwrap(),
        channels: Some(vec!["team/main".into()]),
        expires_at: Some(clock.now().plus(Duration::from_secs(3_600))),
        imported: false,
        api_key: None,
        replaces_namesake: false,
    };
    store.insert_token(&token, &minted.digest(), &Actor::gate(), clock.now(), Duration::ZERO).await.unwrap();
    let api_key = api_key(&store, clock.now()).await;
    let meters = verify::Meters::register(Metrics::new().unwrap().registry()).unwrap();
    let verifier = Verifier::new(store, clock.clone(), verify::Config::default(), meters);
    let channels = Channels::new([Channel {
        name: ChannelName::parse("team/main").unwrap(),
        access: Access::Private { organizations: vec!["acme".into()] },
        rules: Arc::new([Rule {
            packages: "numpy>=2".parse().unwrap(),
            effect: Effect::Block,
            mode: Mode::Enforce,
            reason: Some("too new".into()),
        }]),
    }]);

    for (kind, value) in [("token", minted.expose()), ("API key", api_key.expose())] {
        admit_by_every_carrier(kind, value, &channels, &verifier, &clock).await;
    }
}

/// An API key of a user in the group.
async fn api_key(store: &Store, now: Timestamp) -> Minted {
    store.assign_seat("acme", "ann", Role::Member, &Actor::gate(), now).await.unwrap();
    store.add_member("acme", "dev", "ann", &Actor::gate(), now).await.unwrap();
    let keyring = Keyring::new(store.clone(), GateSecret::of(&[1; 32]), keys::Config::default());
    let scopes = "conda:download".parse().unwrap();
    let wish = ApiKeyWish { user: "ann".into(), organization: "acme".into(), scopes };
    keyring.issue(&wish, &Actor::gate(), now).await.unwrap().1
}

async fn admit_by_every_carrier(
    kind: &str,
    value: &str,
    channels: &Channels,
    verifier: &Verifier,
    clock: &Clock,
) {
    let basic = {
        use base64::Engine as _;
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("user:{value}")))
    };
    let with = |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    };
    let in_path = format!("/t/{value}/team/main/label/dev/linux-64/numpy-2.4.0-py313_0.conda");
    let plain = "/team/main/linux-64/repodata_shards.msgpack.zst".to_owned();
    let carriers = [
        ("path", &in_path, HeaderMap::new()),
        ("token", &plain, with("authorization", &format!("token {value}"))),
        ("bearer", &plain, with("authorization", &format!("Bearer {value}"))),
        ("basic", &plain, with("authorization", &basic)),
        ("x-api-key", &plain, with("x-api-key", value)),
        ("x-auth", &plain, with("x-auth", value)),
    ];
    for (carrier, path, headers) in &carriers {
        let admit_once = || async {
            let target = RequestTarget::parse(path).unwrap();
            let admission = admit(&target, headers, channels, verifier, None, clock.now()).await.unwrap();
            assert!(admission.decision.is_ok_and(|permit| !permit.view().is_whole()), "{kind} {carrier}");
        };
        // Warm: the first lookup asks the store, and thread-locals come into being.
        admit_once().await;
        at_once(admit_once());

        let before = allocations();
        for _ in 0..1_000 {
            at_once(admit_once());
        }
        assert_eq!(allocations() - before, 0, "{kind}, {carrier}: allocations in 1,000 admissions");
    }
}
