//! Users, their identities and browsers, the devices they let in, API keys, and the keys that sign those.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

use channelgate::account::{NewUser, PasswordHash, User};
use channelgate::store::{
    Approval, AuditFilter, Conflict, DEVICE_ATTEMPTS_MAX, DEVICES_MAX, DEVICES_OF_ADDRESS_MAX, Device,
    DeviceState, NewDevice, Poll, SESSIONS_MAX, SealedKey, SignIn, Sought, StoreError,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn hash(password: &str) -> PasswordHash {
    PasswordHash::of(password, &[7; 16]).unwrap()
}

fn new_user(name: &str) -> NewUser {
    NewUser { name: name.into(), email: None, password_hash: None }
}

/// A store with two organizations, and `ann`, who has a seat in both.
async fn with_ann(config: &Config) -> Store {
    let store = open(config).await;
    for (organization, at) in [("zoo", later(1)), ("acme", later(2))] {
        create(&store, organization).await;
        store.assign_seat(organization, "ann", Role::Member, &by(), at).await.unwrap();
    }
    store.create_user(&new_user("ann"), &by(), NOW).await.unwrap();
    store
}

fn api_key(organization: &str, user: &str, name: &str) -> NewToken {
    let acts_as = Some(ActsAs::User(user.into()));
    NewToken {
        purpose: Purpose::Scoped { name: name.into(), acts_as },
        scopes: Scopes::of(&[Scope::CondaDownload]),
        expires_at: Some(later(90)),
        api_key: Some(TokenId(uuid::Uuid::new_v4())),
        ..site(organization)
    }
}

async fn actions(store: &Store) -> Vec<&'static str> {
    let all = store.audit(&AuditFilter { limit: 1_000, ..AuditFilter::default() }).await.unwrap();
    all.into_iter().map(|record| &*String::leak(record.action)).collect()
}

fn conflict(error: StoreError) -> Conflict {
    let StoreError::Conflict(conflict) = error else { panic!("{error}") };
    conflict
}

pub(super) async fn users_are_created_once_and_listed_by_name(config: &Config) {
    let store = open(config).await;
    let bob =
        NewUser { email: Some("bob@example.org".into()), password_hash: Some(hash("a")), ..new_user("bob") };
    let bob_is = store.create_user(&bob, &by(), later(1)).await.unwrap();
    let expected = User {
        name: "bob".into(),
        email: Some("bob@example.org".into()),
        has_password: true,
        created_at: later(1),
        disabled_at: None,
    };
    assert_eq!(bob_is, expected);
    let ann = store.create_user(&new_user("ann"), &by(), NOW).await.unwrap();
    assert!(!ann.has_password);
    assert_eq!(store.users(None, 10).await.unwrap(), [ann.clone(), bob_is.clone()]);
    assert_eq!(store.users(Some("ann"), 10).await.unwrap(), std::slice::from_ref(&bob_is));
    assert_eq!(store.users(None, 1).await.unwrap(), [ann]);
    assert_eq!(store.user("bob").await.unwrap(), Some(bob_is));
    assert_eq!(store.user("Bob").await.unwrap(), None);
    let head = store.audit_head().await.unwrap();
    let twice = store.create_user(&bob, &by(), NOW).await.unwrap_err();
    assert_eq!(conflict(twice), Conflict::User("bob".into()));
    for bad in [new_user("a b"), NewUser { email: Some("nowhere".into()), ..new_user("cid") }] {
        assert_eq!(store.create_user(&bad, &by(), NOW).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(store.audit_head().await.unwrap(), head);
    assert_eq!(actions(&store).await, ["user.create", "user.create"]);
}

pub(super) async fn password_set_takes_the_place_of_the_former_and_ends_sessions(config: &Config) {
    let store = with_ann(config).await;
    assert_eq!(store.password_of("none").await.unwrap(), None);
    let (_, none) = store.password_of("ann").await.unwrap().unwrap();
    assert_eq!(none, None);
    store.set_password("ann", &hash("first"), &by(), NOW).await.unwrap();
    store.begin_session(&digest("s"), "ann", SignIn::Password, HERE, later(60), &by(), NOW).await.unwrap();
    let ann = store.set_password("ann", &hash("second"), &by(), later(1)).await.unwrap();
    assert!(ann.has_password);
    assert_eq!(open(config).await.password_of("ann").await.unwrap(), Some((ann, Some(hash("second")))));
    assert_eq!(store.session(&digest("s"), later(1)).await.unwrap(), None);
    let nobody = store.set_password("none", &hash("x"), &by(), NOW).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NotFound(Sought::User(_))), "{nobody}");
    let all = store.audit(&AuditFilter { limit: 1_000, ..AuditFilter::default() }).await.unwrap();
    let told = format!("{all:?}");
    assert!(!told.contains("argon2"), "{told}");
}

pub(super) async fn sessions_end_by_time_by_hand_and_by_number(config: &Config) {
    let store = with_ann(config).await;
    let begin = async |name: &str, at, until| {
        store.begin_session(&digest(name), "ann", SignIn::Password, HERE, until, &by(), at).await
    };
    let is_in = async |name: &str, at| store.session(&digest(name), at).await.unwrap().is_some();
    let first = begin("s0", NOW, later(1_000)).await.unwrap();
    assert_eq!(store.session(&digest("s0"), NOW).await.unwrap(), Some(first));
    assert!(is_in("s0", later(999)).await && !is_in("s0", later(1_000)).await);
    for number in 1..=SESSIONS_MAX {
        begin(&format!("s{number}"), later(number.into()), later(1_000)).await.unwrap();
    }
    assert!(!is_in("s0", later(500)).await, "the oldest made room");
    assert!(is_in("s1", later(500)).await);
    store.end_session(&digest("s1")).await.unwrap();
    store.end_session(&digest("s1")).await.unwrap();
    assert!(!is_in("s1", later(500)).await);
    let nobody = store.begin_session(&digest("x"), "none", SignIn::OpenId, HERE, later(9), &by(), NOW).await;
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NotFound);
    let signed_in = actions(&store).await.into_iter().filter(|action| *action == "user.sign_in").count();
    assert_eq!(signed_in, SESSIONS_MAX as usize + 1);
}

pub(super) async fn user_disabled_loses_keys_sessions_and_approvals_at_once(config: &Config) {
    let store = with_ann(config).await;
    store.assign_seat("acme", "bob", Role::Member, &by(), NOW).await.unwrap();
    let in_zoo = insert(&store, &api_key("zoo", "ann", "k1"), "k1").await.record;
    let in_acme = insert(&store, &api_key("acme", "ann", "k2"), "k2").await.record;
    assert!(in_zoo.api_key);
    let others = insert(&store, &api_key("acme", "bob", "k3"), "k3").await.record;
    let individual = insert(&store, &NewToken::individual("acme", "ann"), "i").await.record;
    store.begin_session(&digest("s"), "ann", SignIn::Password, HERE, later(60), &by(), NOW).await.unwrap();
    store.begin_device(&device("d", HERE), NOW).await.unwrap();
    store.approve_device(&digest("code d"), "ann", "acme", &by(), NOW).await.unwrap();
    store.begin_device(&device("e", HERE), NOW).await.unwrap();
    store.approve_device(&digest("code e"), "ann", "acme", &by(), NOW).await.unwrap();
    let granted = store.poll_device(&digest("e"), &digest("access"), NOW).await.unwrap();
    assert!(matches!(granted, Poll::Granted { .. }), "{granted:?}");
    let position = store.position().await.unwrap();

    let disabled = store.disable_user("ann", &by(), later(5)).await.unwrap();
    assert_eq!(disabled.user.disabled_at, Some(later(5)));
    assert_eq!(disabled.sessions_ended, 1);
    let ended: Vec<_> = disabled.keys_ended.iter().map(|record| record.id).collect();
    assert_eq!(HashSet::from_iter(ended), HashSet::from([in_zoo.id, in_acme.id]));
    let end = End { cause: EndCause::UserDisabled, at: later(5), reason: None };
    for id in [in_zoo.id, in_acme.id] {
        assert_eq!(store.token(id).await.unwrap().unwrap().end.as_deref(), Some(&end));
    }
    for id in [others.id, individual.id] {
        assert_eq!(store.token(id).await.unwrap().unwrap().state(later(5)), TokenState::Live);
    }
    let Changes::Read { changes, .. } = store.changes_since(position, 10).await.unwrap() else { panic!() };
    let told: HashSet<_> = changes.iter().map(|change| format!("{:?}", change.subject)).collect();
    let expected = ["k1", "k2"].map(|key| format!("{:?}", Subject::Token(digest(key))));
    assert_eq!(told, HashSet::from(expected), "verifiers forget them");
    assert_eq!(store.session(&digest("s"), later(5)).await.unwrap(), None);
    assert_eq!(store.poll_device(&digest("d"), &digest("a"), later(5)).await.unwrap(), Poll::Denied);
    assert_eq!(store.redeem_access(&digest("access"), later(5)).await.unwrap(), None);

    // Nothing new until they are enabled.
    let session =
        store.begin_session(&digest("t"), "ann", SignIn::Password, HERE, later(60), &by(), later(6)).await;
    assert_eq!(conflict(session.unwrap_err()), Conflict::UserDisabled("ann".into()));
    for token in [api_key("acme", "ann", "k4"), NewToken::individual("acme", "ann")] {
        let refused = store.insert_token(&token, &digest("n"), &by(), later(6), Duration::ZERO).await;
        assert_eq!(conflict(refused.unwrap_err()), Conflict::UserDisabled("ann".into()));
    }
    let head = store.audit_head().await.unwrap();
    let again = store.disable_user("ann", &by(), later(7)).await.unwrap();
    assert_eq!((again.user.disabled_at, again.keys_ended.len()), (Some(later(5)), 0));
    assert_eq!(store.audit_head().await.unwrap(), head);
    let enabled = store.enable_user("ann", &by(), later(8)).await.unwrap();
    assert!(!enabled.is_disabled());
    assert_eq!(
        store.token(in_acme.id).await.unwrap().unwrap().end.as_deref(),
        Some(&end),
        "what ended stays so"
    );
    insert(&store, &api_key("acme", "ann", "k5"), "k5").await;
    for result in [
        store.disable_user("none", &by(), NOW).await.err(),
        store.enable_user("none", &by(), NOW).await.err(),
    ] {
        assert_eq!(result.unwrap().kind(), ErrorKind::NotFound);
    }
}

pub(super) async fn identities_are_bound_to_one_user_each(config: &Config) {
    let store = with_ann(config).await;
    store.assign_seat("acme", "bob", Role::Member, &by(), NOW).await.unwrap();
    let bind = async |issuer: &str, subject: &str, user: &str| {
        store.bind_identity(issuer, subject, user, &by(), NOW).await
    };
    assert_eq!(store.user_of_identity("i", "1").await.unwrap(), None);
    let ann = bind("i", "1", "ann").await.unwrap();
    assert_eq!(store.user_of_identity("i", "1").await.unwrap(), Some(ann.clone()));
    let head = store.audit_head().await.unwrap();
    assert_eq!(bind("i", "1", "ann").await.unwrap(), ann);
    assert_eq!(conflict(bind("i", "1", "bob").await.unwrap_err()), Conflict::Identity("bob".into()));
    assert_eq!(conflict(bind("i", "2", "ann").await.unwrap_err()), Conflict::Identity("ann".into()));
    let seatless = bind("i", "3", "cid").await.unwrap_err();
    assert!(matches!(seatless, StoreError::NotFound(Sought::AnySeat(_))), "{seatless}");
    assert_eq!((store.audit_head().await.unwrap(), store.user("cid").await.unwrap()), (head, None));
    bind("j", "1", "ann").await.unwrap();
    // Who only had a seat is known from then on.
    let bob = bind("i", "2", "bob").await.unwrap();
    assert_eq!(store.user("bob").await.unwrap(), Some(bob));
    let shown = store.identities("ann").await.unwrap();
    assert_eq!(
        shown.iter().map(|one| (&*one.issuer, &*one.subject)).collect::<Vec<_>>(),
        [("i", "1"), ("j", "1")]
    );
    assert_eq!(store.unbind_identities("ann", &by(), NOW).await.unwrap(), shown);
    assert_eq!(store.unbind_identities("ann", &by(), NOW).await.unwrap(), []);
    bind("i", "9", "ann").await.unwrap();
    store.disable_user("bob", &by(), NOW).await.unwrap();
    assert_eq!(conflict(bind("j", "2", "bob").await.unwrap_err()), Conflict::UserDisabled("bob".into()));
}

pub(super) async fn seats_of_a_user_are_listed_oldest_first(config: &Config) {
    let store = with_ann(config).await;
    let seats = store.seats_of("ann").await.unwrap();
    let names: Vec<_> =
        seats.iter().map(|(organization, seat)| (&*organization.name, seat.assigned_at)).collect();
    assert_eq!(names, [("zoo", later(1)), ("acme", later(2))]);
    assert_eq!(store.seats_of("none").await.unwrap(), []);
}

fn device(code: &str, address: IpAddr) -> NewDevice {
    NewDevice {
        device_digest: digest(code),
        user_code_digest: digest(&format!("code {code}")),
        client_name: "anaconda-auth".into(),
        address,
        agent: Some("anaconda-auth/0.15.3".into()),
        scopes: "cloud:read repo:read".into(),
        expires_at: later(600),
        interval: Duration::from_secs(5),
    }
}

pub(super) async fn device_is_let_in_by_a_person_once(config: &Config) {
    let store = with_ann(config).await;
    let head = store.audit_head().await.unwrap();
    store.begin_device(&device("d", HERE), NOW).await.unwrap();
    let shown = store.device_by_user_code(&digest("code d"), later(1)).await.unwrap().unwrap();
    let expected = Device {
        client_name: "anaconda-auth".into(),
        address: HERE,
        agent: Some("anaconda-auth/0.15.3".into()),
        scopes: "cloud:read repo:read".into(),
        created_at: NOW,
        expires_at: later(600),
        state: DeviceState::Pending,
        approved: None,
    };
    assert_eq!(shown, expected);
    let poll = async |access: &str, at| store.poll_device(&digest("d"), &digest(access), at).await.unwrap();
    assert_eq!(poll("a", later(1)).await, Poll::Pending);
    assert_eq!(poll("a", later(5)).await, Poll::SlowDown);
    assert_eq!(poll("a", later(14)).await, Poll::SlowDown, "it was to wait ten seconds");
    assert_eq!(poll("a", later(29)).await, Poll::Pending);
    assert_eq!(store.audit_head().await.unwrap(), head, "nobody has decided anything");

    for (user, organization) in [("ann", "none"), ("cid", "acme")] {
        let refused = store.approve_device(&digest("code d"), user, organization, &by(), later(30)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let approved = store.approve_device(&digest("code d"), "ann", "acme", &by(), later(30)).await.unwrap();
    let approval = Some(Approval { user: "ann".into(), organization: "acme".into() });
    assert_eq!(approved, Device { state: DeviceState::Approved, approved: approval.clone(), ..shown });
    let head = store.audit_head().await.unwrap();
    let twice = store.approve_device(&digest("code d"), "ann", "acme", &by(), later(31)).await.unwrap();
    assert_eq!(twice, approved, "as when the button was pressed twice");
    let elsewhere =
        store.approve_device(&digest("code d"), "ann", "zoo", &by(), later(31)).await.unwrap_err();
    assert!(matches!(elsewhere, StoreError::NotFound(Sought::Device)), "{elsewhere}");
    assert!(store.deny_device(&digest("code d"), "ann", &by(), later(31)).await.is_err());
    assert_eq!(store.audit_head().await.unwrap(), head);

    let until = later(32 + 600);
    assert_eq!(poll("access", later(32)).await, Poll::Granted { access_expires_at: until });
    assert_eq!(poll("other", later(40)).await, Poll::Unknown, "the device code is spent");
    let access = digest("access");
    assert_eq!(store.device_by_access(&access, later(33)).await.unwrap(), Some(approved.clone()));
    assert_eq!(store.redeem_access(&access, until).await.unwrap(), None, "it has expired");
    store.begin_device(&device("e", HERE), later(40)).await.unwrap();
    store.approve_device(&digest("code e"), "ann", "acme", &by(), later(40)).await.unwrap();
    store.poll_device(&digest("e"), &digest("second"), later(41)).await.unwrap();
    let spent = store.redeem_access(&digest("second"), later(42)).await.unwrap().unwrap();
    assert_eq!((spent.state, spent.approved), (DeviceState::Used, approval));
    assert_eq!(store.redeem_access(&digest("second"), later(42)).await.unwrap(), None);
    assert_eq!(store.device_by_access(&digest("second"), later(42)).await.unwrap(), None);
    let told = actions(&store).await;
    assert_eq!(told.iter().filter(|action| **action == "device.approve").count(), 2);
}

pub(super) async fn device_that_is_denied_or_forgotten_stays_out(config: &Config) {
    let store = with_ann(config).await;
    let poll = async |code: &str, at| store.poll_device(&digest(code), &digest("a"), at).await.unwrap();
    assert_eq!(poll("none", NOW).await, Poll::Unknown);
    store.begin_device(&device("d", HERE), NOW).await.unwrap();
    let denied = store.deny_device(&digest("code d"), "ann", &by(), later(1)).await.unwrap();
    assert_eq!(denied.state, DeviceState::Denied);
    store.deny_device(&digest("code d"), "ann", &by(), later(1)).await.unwrap();
    assert_eq!(poll("d", later(2)).await, Poll::Denied);
    assert!(store.approve_device(&digest("code d"), "ann", "acme", &by(), later(2)).await.is_err());
    assert_eq!(actions(&store).await.iter().filter(|action| **action == "device.deny").count(), 1);

    // A code that is tried out too often lets nobody in any more.
    store.begin_device(&device("e", HERE), NOW).await.unwrap();
    for _ in 0..DEVICE_ATTEMPTS_MAX {
        let looked = store.device_by_user_code(&digest("code e"), later(1)).await.unwrap().unwrap();
        assert_eq!(looked.state, DeviceState::Pending);
    }
    let looked = store.device_by_user_code(&digest("code e"), later(1)).await.unwrap().unwrap();
    assert_eq!(looked.state, DeviceState::Denied);

    // Time.
    store.begin_device(&device("f", HERE), NOW).await.unwrap();
    assert_eq!(store.device_by_user_code(&digest("code f"), later(600)).await.unwrap(), None);
    assert!(store.approve_device(&digest("code f"), "ann", "acme", &by(), later(600)).await.is_err());
    assert_eq!(poll("f", later(600)).await, Poll::Expired);
    store.begin_device(&device("g", HERE), later(600 + 3_600)).await.unwrap();
    assert_eq!(poll("f", later(600 + 3_600)).await, Poll::Unknown, "it was forgotten");
}

pub(super) async fn devices_that_wait_are_bounded(config: &Config) {
    let store = open(config).await;
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from(number));
    for number in 0..DEVICES_MAX {
        let from = address(number / DEVICES_OF_ADDRESS_MAX);
        store.begin_device(&device(&number.to_string(), from), NOW).await.unwrap();
        if number == DEVICES_OF_ADDRESS_MAX - 1 {
            let refused = store.begin_device(&device("x", from), NOW).await.unwrap_err();
            assert_eq!(conflict(refused), Conflict::Devices);
        }
    }
    let refused = store.begin_device(&device("x", address(77)), NOW).await.unwrap_err();
    assert_eq!(conflict(refused), Conflict::Devices);
    store.begin_device(&device("x", address(77)), later(600)).await.unwrap();
    let same = NewDevice { device_digest: digest("y"), ..device("x", address(77)) };
    assert_eq!(conflict(store.begin_device(&same, later(600)).await.unwrap_err()), Conflict::DeviceCode);
}

pub(super) async fn namesakes_of_one_user_take_each_others_place(config: &Config) {
    let store = with_ann(config).await;
    store.assign_seat("acme", "bob", Role::Member, &by(), NOW).await.unwrap();
    let named = |user: &str| NewToken {
        purpose: Purpose::Scoped { name: "laptop".into(), acts_as: Some(ActsAs::User(user.into())) },
        replaces_namesake: true,
        ..site("acme")
    };
    let first = insert(&store, &named("ann"), "1").await;
    assert_eq!(first.replaced, None);
    let second = insert(&store, &named("ann"), "2").await;
    let replaced = second.replaced.unwrap();
    assert_eq!((replaced.id, replaced.end.as_ref().unwrap().cause), (first.record.id, EndCause::Replaced));
    assert_eq!(second.record.generation, 2);
    let asked = NewToken { replaces_namesake: false, ..named("ann") };
    for (token, value) in [(named("bob"), "3"), (asked, "4")] {
        let refused =
            store.insert_token(&token, &digest(value), &by(), NOW, Duration::ZERO).await.unwrap_err();
        assert!(matches!(conflict(refused), Conflict::TokenName { .. }));
    }
    let whose =
        NewToken { purpose: Purpose::Scoped { name: "laptop".into(), acts_as: None }, ..named("ann") };
    assert!(store.insert_token(&whose, &digest("5"), &by(), NOW, Duration::ZERO).await.is_err());
    let living = store.token(second.record.id).await.unwrap().unwrap();
    assert_eq!(living.state(NOW), TokenState::Live);
}

pub(super) async fn tokens_of_a_user_are_those_that_live_and_act_as_them(config: &Config) {
    let store = with_ann(config).await;
    let key = insert(&store, &api_key("zoo", "ann", "k"), "k").await.record;
    let reopened = open(config).await.token_by_digest(&digest("k")).await.unwrap().standing.unwrap().token;
    assert_eq!(reopened, key);
    let dead = insert(&store, &api_key("acme", "ann", "dead"), "dead").await.record;
    store.end_token(dead.id, &revoked(NOW), &by(), NOW).await.unwrap();
    insert(&store, &site("acme"), "site").await;
    let individual = insert(&store, &NewToken::individual("acme", "ann"), "i").await.record;
    let ids = async |organization, after, limit| {
        let listed = store.tokens_of_user("ann", organization, after, limit, NOW).await.unwrap();
        records(listed).into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let mut both = [key.id, individual.id];
    both.sort();
    assert_eq!(ids(None, None, 10).await, both);
    assert_eq!(ids(None, Some(both[0]), 10).await, both[1..]);
    assert_eq!(ids(Some("zoo"), None, 10).await, [key.id]);
    assert_eq!(ids(Some("acme"), None, 10).await, [individual.id]);
    let none = store.tokens_of_user("ann", Some("none"), None, 1, NOW).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    // With the seat the key ends.
    store.remove_seat("zoo", "ann", &by(), NOW).await.unwrap();
    assert_eq!(ids(None, None, 10).await, [individual.id]);
    let expired = store.tokens_of_user("ann", None, None, 10, later(1)).await.unwrap();
    assert_eq!(expired.len(), 1);
}

pub(super) async fn signing_key_is_added_by_one_gate_of_many(config: &Config) {
    let store = open(config).await;
    let key = |kid: &str, from: u64| SealedKey {
        kid: kid.into(),
        sealed: vec![1, 2, 3],
        created_at: later(from),
        signs_until: later(from + 100),
        verifies_until: later(from + 100),
    };
    assert_eq!(store.signing_keys(NOW).await.unwrap(), []);
    let config = Config {
        query_timeout: Duration::from_secs(20),
        busy_timeout: Duration::from_secs(10),
        ..config.clone()
    };
    let gates: Vec<_> = (0..6)
        .map(|gate| {
            let (config, key) = (config.clone(), key(&format!("k{gate}"), 0));
            tokio::spawn(async move { open(&config).await.add_signing_key(&key, None, NOW).await.unwrap() })
        })
        .collect();
    let mut won = Vec::new();
    for (gate, added) in gates.into_iter().enumerate() {
        if added.await.unwrap() {
            won.push(format!("k{gate}"));
        }
    }
    let [first] = &won[..] else { panic!("{won:?}") };
    assert_eq!(store.signing_keys(NOW).await.unwrap(), [key(first, 0)]);
    assert!(!store.add_signing_key(&key("n", 50), None, later(50)).await.unwrap());
    assert!(!store.add_signing_key(&key("n", 50), Some("other"), later(50)).await.unwrap());
    assert!(store.add_signing_key(&key("n", 50), Some(first), later(50)).await.unwrap());
    assert_eq!(store.signing_keys(later(50)).await.unwrap(), [key("n", 50), key(first, 0)]);
    // What was signed last is verified to its end.
    store.touch_verifies_until(first, later(120)).await.unwrap();
    store.touch_verifies_until(first, later(110)).await.unwrap();
    let kept = store.signing_keys(later(119)).await.unwrap();
    assert_eq!(kept[1], SealedKey { verifies_until: later(120), ..key(first, 0) });
    assert_eq!(store.signing_keys(later(120)).await.unwrap(), [key("n", 50)]);
    assert!(store.add_signing_key(&key("o", 140), Some("n"), later(140)).await.unwrap());
    assert_eq!(store.signing_keys(NOW).await.unwrap().len(), 2, "the first one is gone");
}
