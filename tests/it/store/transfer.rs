//! A store copied to another database: everything of it, to PostgreSQL and back, also in pieces.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use channelgate::account::{NewUser, PasswordHash, Role, Subscription};
use channelgate::store::{
    AuditVerdict, Changes, Copying, ErrorKind, Issued, NewDevice, NewToken, SealedKey, SeenDigest, SignIn,
    Store,
};

use super::contract::{NOW, by, create, digest, revoked, scoped, site};
use super::embedded::Temporary;
use super::postgres::Fresh;
use crate::support::postgres::Cluster;

async fn insert(store: &Store, token: &NewToken, value: &str) -> Issued {
    store.insert_token(token, &digest(value), &by(), NOW, Duration::ZERO).await.unwrap()
}

/// A store with something in every table.
async fn filled() -> (Temporary, Store) {
    let backend = Temporary::new().await;
    let store = backend.open().await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    store.cancel_organization("zoo", &by(), NOW).await.unwrap();
    store.renew_organization("zoo", NOW.plus(Duration::from_secs(60)), &by(), NOW).await.unwrap();
    store.assign_seat("acme", "ann", Role::Member, &by(), NOW).await.unwrap();
    store.create_group("acme", "dev", &by(), NOW).await.unwrap();
    store.add_member("acme", "dev", "ann", &by(), NOW).await.unwrap();
    for number in 0..20 {
        insert(&store, &site("acme"), &format!("site {number}")).await;
    }
    let token = insert(&store, &scoped("acme", "ci"), "ci").await;
    store.end_token(token.record.id, &revoked(NOW), &by(), NOW).await.unwrap();
    insert(&store, &NewToken::individual("acme", "ann"), "ann").await;
    let ann = NewUser { name: "ann".into(), email: None, password_hash: PasswordHash::parse(SOME_HASH) };
    store.create_user(&ann, &by(), NOW).await.unwrap();
    store.bind_identity("https://login.example.org", "1", "ann", &by(), NOW).await.unwrap();
    let (here, later) = (Ipv4Addr::LOCALHOST.into(), NOW.plus(Duration::from_secs(60)));
    store.begin_session(&digest("s"), "ann", SignIn::Password, here, later, &by(), NOW).await.unwrap();
    let device = NewDevice {
        device_digest: digest("device"),
        user_code_digest: digest("code"),
        client_name: "a tool".into(),
        address: here,
        agent: None,
        scopes: String::new(),
        expires_at: later,
        interval: Duration::from_secs(5),
    };
    store.begin_device(&device, NOW).await.unwrap();
    store.approve_device(&digest("code"), "ann", "acme", &by(), NOW).await.unwrap();
    let key = SealedKey {
        kid: "k".into(),
        sealed: vec![1, 2],
        created_at: NOW,
        signs_until: later,
        verifies_until: later,
    };
    assert!(store.add_signing_key(&key, None, NOW).await.unwrap());
    // More than a page.
    let directory = store.begin_baseline("c", "linux-64/", NOW).await.unwrap();
    for page in 0..3_u32 {
        let artifact = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&(page * 1_000 + number).wrapping_mul(2_654_435_761).to_be_bytes());
            SeenDigest::from_bytes(bytes)
        };
        let artifacts: Vec<_> = (0..900).map(artifact).collect();
        store.record_seen(&directory, &artifacts, NOW).await.unwrap();
    }
    (backend, store)
}

const SOME_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn silently(_: Copying) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_on_postgresql_and_the_copy_of_it_are_the_same_store() {
    let (_file, source) = filled().await;
    let fresh = Fresh::new().await;
    let copy = Store::open_unfinished(&fresh.config).await.unwrap();
    let there = source.copy_to(&copy, NOW, &mut silently).await.unwrap();
    let rows = |name: &str| there.iter().find(|table| table.name == name).map(|table| table.rows);
    assert_eq!((rows("tokens"), rows("seen"), rows("cancellations")), (Some(22), Some(2_700), Some(1)));
    assert!(there.iter().all(|table| table.written == table.rows), "all is new: {there:?}");

    // Whoever opens it now finds the same store.
    let opened = fresh.open().await;
    let position = source.position().await.unwrap();
    assert_eq!(opened.position().await.unwrap(), position);
    assert_eq!(opened.audit_head().await.unwrap(), source.audit_head().await.unwrap());
    for value in ["site 0", "site 19", "ci", "ann"] {
        let (here, there) = (
            source.token_by_digest(&digest(value)).await.unwrap(),
            opened.token_by_digest(&digest(value)).await.unwrap(),
        );
        assert_eq!(here.standing, there.standing, "{value}");
    }
    for store in [&source, &opened] {
        let (user, hash) = store.password_of("ann").await.unwrap().unwrap();
        assert_eq!(hash.unwrap().as_str(), SOME_HASH);
        assert_eq!(store.user_of_identity("https://login.example.org", "1").await.unwrap(), Some(user));
        assert!(store.session(&digest("s"), NOW).await.unwrap().is_some());
        assert_eq!(store.signing_keys(NOW).await.unwrap().len(), 1);
    }
    // Who follows the feed goes on, and so does the chain of the audit.
    create(&opened, "later").await;
    opened.assign_seat("acme", "bob", Role::Admin, &by(), NOW).await.unwrap();
    let verdict = opened.verify_audit(None).await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Intact { .. }), "{verdict:?}");
    let Changes::Read { .. } = opened.changes_since(position, 10).await.unwrap() else {
        panic!("the feed goes on")
    };

    let back = Temporary::new().await;
    let returned = Store::open_unfinished(&back.config).await.unwrap();
    let here = copy.copy_to(&returned, NOW, &mut silently).await.unwrap();
    assert_eq!(back.open().await.audit_head().await.unwrap(), opened.audit_head().await.unwrap());
    let digests = |tables: &[channelgate::store::CopiedTable]| {
        tables.iter().filter(|table| table.name == "tokens").map(|table| table.sha256).collect::<Vec<_>>()
    };
    assert_eq!(digests(&there), digests(&here), "what nobody changed is the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_that_was_broken_off_is_opened_by_nobody_and_goes_on_where_it_ended() {
    let (_file, source) = filled().await;
    let fresh = Fresh::new().await;
    let copy = Store::open_unfinished(&fresh.config).await.unwrap();
    let (halfway, heard) = tokio::sync::oneshot::channel();
    let mut halfway = Some(halfway);
    let mut told = |copying: Copying| {
        if copying.table == "tokens" {
            let _ = halfway.take().map(|halfway| halfway.send(()));
        }
    };
    tokio::select! {
        done = source.copy_to(&copy, NOW, &mut told) => panic!("it was to be broken off: {done:?}"),
        _ = heard => {}
    }
    let refused = Store::open(&fresh.config).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("unfinished copy"), "{refused}");

    // Meanwhile the source changes: a unique name passes to another token, a row goes, another one comes.
    insert(&source, &site("acme"), "site 20").await;
    source.remove_member("acme", "dev", "ann", &by(), NOW).await.unwrap();
    source.create_organization("new", "New", Subscription::default(), &by(), NOW).await.unwrap();
    let tables = source.copy_to(&copy, NOW, &mut silently).await.unwrap();
    let of =
        |name: &str| tables.iter().find(|table| table.name == name).map(|table| (table.rows, table.written));
    assert_eq!(of("organizations"), Some((3, 1)));
    assert_eq!(of("group_members"), Some((0, 1)));
    assert_eq!(of("tokens"), Some((23, 2)), "one that ended, one that came");
    let opened = fresh.open().await;
    assert_eq!(opened.audit_head().await.unwrap(), source.audit_head().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_of_a_store_that_changes_meanwhile_is_not_finished() {
    let (file, source) = filled().await;
    let fresh = Fresh::new().await;
    let copy = Store::open_unfinished(&fresh.config).await.unwrap();
    let other = file.open().await;
    let mut told = |copying: Copying| {
        if copying.verified && copying.table == "feed" {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(create(&other, "late"))
            });
        }
    };
    let refused = source.copy_to(&copy, NOW, &mut told).await.unwrap_err();
    assert!(refused.to_string().contains("was changed while it was copied"), "{refused}");
    assert_eq!(Store::open(&fresh.config).await.unwrap_err().kind(), ErrorKind::Unsupported);
    source.copy_to(&copy, NOW, &mut silently).await.unwrap();
    assert!(fresh.open().await.organization("late").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_is_another_one_or_in_use_is_not_written_over() {
    use channelgate::store::{Beat, Gate, GateState};

    let (_file, source) = filled().await;
    let fresh = Fresh::new().await;
    let target = fresh.open().await;
    let gate = Gate { id: uuid::Uuid::from_u128(1), name: "g1".into(), version: "1".into(), started_at: NOW };
    let position = target.position().await.unwrap();
    let mut beat = Beat { at: NOW, state: GateState::Ready, position, proof_age: None };
    target.record_beat(&gate, &beat).await.unwrap();
    let refused = source.copy_to(&target, NOW, &mut silently).await.unwrap_err();
    assert!(refused.to_string().contains("is in use by the gate \"g1\""), "{refused}");
    beat.state = GateState::Stopped;
    target.record_beat(&gate, &beat).await.unwrap();
    create(&target, "mine").await;
    let refused = source.copy_to(&target, NOW, &mut silently).await.unwrap_err();
    assert!(refused.to_string().contains("holds another store"), "{refused}");
    assert!(fresh.open().await.organization("mine").await.unwrap().is_some(), "it is as it was");
}

#[tokio::test]
async fn every_table_of_the_schema_is_copied() {
    let (_file, source) = filled().await;
    let fresh = Fresh::new().await;
    let copy = Store::open_unfinished(&fresh.config).await.unwrap();
    let copied = source.copy_to(&copy, NOW, &mut silently).await.unwrap();
    let copied: BTreeSet<_> = copied.iter().map(|table| table.name.to_owned()).collect();
    let (_, database) = fresh.config.url.rsplit_once('/').unwrap();
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
                  AND tablename NOT IN ('channelgate_migrations', 'gates')";
    let tables = Cluster::shared().sql(database, tables);
    assert_eq!(
        copied,
        tables.lines().map(str::to_owned).collect(),
        "a table was forgotten in store/sql/transfer/table.rs"
    );
}
