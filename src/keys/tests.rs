//! Tests of signing, rotating and sharing keys, over a real store.

use crate::account::{NewUser, Role, Subscription};
use crate::store;
use crate::token::{ApiKeyCheck, Scope, Secret, TokenState};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);
const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Place {
    store: Store,
    _directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("gate.db").display());
        let store = Store::open(&store::Config { url, ..store::Config::default() }).await.unwrap();
        store.create_organization("acme", "", Subscription::default(), &by(), NOW).await.unwrap();
        store.assign_seat("acme", "ann", Role::Member, &by(), NOW).await.unwrap();
        let ann = NewUser { name: "ann".into(), email: None, password_hash: None };
        store.create_user(&ann, &by(), NOW).await.unwrap();
        Self { store, _directory: directory }
    }

    fn keyring(&self) -> Keyring {
        self.keyring_of(1, "https://gate")
    }

    fn keyring_of(&self, secret: u8, issuer: &str) -> Keyring {
        let config = Config { issuer: issuer.into(), signing_key_life: 10 * DAY, api_key_life: 3 * DAY };
        Keyring::new(self.store.clone(), GateSecret::of(&[secret; 32]), config)
    }
}

fn by() -> Actor {
    Actor::local("test")
}

fn wish() -> ApiKeyWish {
    ApiKeyWish {
        user: "ann".into(),
        organization: "acme".into(),
        scopes: Scopes::of(&[Scope::CondaDownload]),
    }
}

fn check(keyring: &Keyring, value: &str, now: Timestamp) -> ApiKeyCheck {
    keyring.verifying().load().check(&Secret::new(value.as_bytes()), now)
}

#[tokio::test]
async fn api_key_is_a_token_that_says_whose_it_is() {
    let place = Place::new().await;
    let keyring = place.keyring();
    let (issued, minted) = keyring.issue(&wish(), &by(), NOW).await.unwrap();
    let record = issued.record;
    let secret = Secret::new(minted.expose().as_bytes());
    assert!(secret.is_plausible() && secret.is_api_key_shaped());
    let until = Timestamp::from_millis(1_800_000_000_000).plus(3 * DAY);
    assert_eq!((record.api_key, record.user.as_deref(), record.expires_at), (true, Some("ann"), Some(until)));
    assert_eq!(
        &*record.name.unwrap(),
        format!("api-key ann 2027-01-15 {}", record.id.to_string().get(..8).unwrap())
    );
    let standing = place.store.token_by_digest(&minted.digest()).await.unwrap().standing.unwrap();
    assert_eq!(standing.token.id, record.id);
    let ApiKeyCheck::Genuine(claims) = check(&keyring, minted.expose(), NOW) else { panic!() };
    assert_eq!((claims.id, &*claims.user, &*claims.organization), (record.id, "ann", "acme"));
    assert_eq!(claims.expires_at, until);
    let dead = check(&keyring, minted.expose(), until);
    assert_eq!(dead, ApiKeyCheck::Expired);
    assert!(matches!(standing.token.state(until), TokenState::Expired(_)), "both say the same");
}

#[tokio::test]
async fn keys_are_one_ring_for_all_gates_with_one_secret() {
    let place = Place::new().await;
    let (one, other) = (place.keyring(), place.keyring());
    let (_, minted) = one.issue(&wish(), &by(), NOW).await.unwrap();
    assert_eq!(check(&other, minted.expose(), NOW), ApiKeyCheck::Unknown, "it has not read the key");
    other.load(NOW).await.unwrap();
    assert!(matches!(check(&other, minted.expose(), NOW), ApiKeyCheck::Genuine(_)));
    let (_, second) = other.issue(&wish(), &by(), NOW).await.unwrap();
    assert!(matches!(check(&one, second.expose(), NOW), ApiKeyCheck::Genuine(_)), "it is the same key");
    let stranger = place.keyring_of(2, "https://gate");
    let refused = stranger.load(NOW).await.unwrap_err();
    assert!(refused.to_string().contains("another secret"), "{refused}");
    assert!(matches!(stranger.issue(&wish(), &by(), NOW).await, Err(KeyringError::OtherSecret(_))));
    let elsewhere = place.keyring_of(1, "https://other");
    elsewhere.load(NOW).await.unwrap();
    assert_eq!(check(&elsewhere, minted.expose(), NOW), ApiKeyCheck::Forged, "the issuer is pinned");
}

#[tokio::test]
async fn keys_rotate_and_verify_until_their_last_word_is_over() {
    let place = Place::new().await;
    let keyring = place.keyring();
    let (_, first) = keyring.issue(&wish(), &by(), NOW).await.unwrap();
    // Just before it stops signing.
    let late = NOW.plus(10 * DAY).minus(Duration::from_secs(1));
    let (_, last) = keyring.issue(&wish(), &by(), late).await.unwrap();
    assert_eq!(place.store.signing_keys(late).await.unwrap().len(), 1);
    let after = late.plus(Duration::from_secs(2));
    let (_, next) = keyring.issue(&wish(), &by(), after).await.unwrap();
    let keys = place.store.signing_keys(after).await.unwrap();
    assert_eq!(keys.len(), 2);
    let is_genuine =
        |value: &Minted, now| matches!(check(&keyring, value.expose(), now), ApiKeyCheck::Genuine(_));
    assert!(is_genuine(&last, after) && is_genuine(&next, after) && !is_genuine(&first, after));
    // The old one goes when what it signed last is over.
    let over = late.plus(3 * DAY);
    keyring.load(over).await.unwrap();
    assert_eq!(place.store.signing_keys(over).await.unwrap().len(), 1);
    assert_eq!(check(&keyring, last.expose(), over), ApiKeyCheck::Unknown);
    let sealed = &place.store.signing_keys(over).await.unwrap()[0];
    assert_eq!(sealed.sealed.len(), 32 + 28, "encrypted");
}

#[tokio::test]
async fn api_key_needs_a_user_who_may_have_one() {
    let place = Place::new().await;
    let keyring = place.keyring();
    let seatless = ApiKeyWish { user: "bob".into(), ..wish() };
    assert!(matches!(
        keyring.issue(&seatless, &by(), NOW).await,
        Err(KeyringError::Store(StoreError::NotFound(_)))
    ));
    place.store.disable_user("ann", &by(), NOW).await.unwrap();
    assert!(matches!(
        keyring.issue(&wish(), &by(), NOW).await,
        Err(KeyringError::Store(StoreError::Conflict(_)))
    ));
    let long = "u".repeat(128);
    place.store.enable_user("ann", &by(), NOW).await.unwrap();
    place.store.assign_seat("acme", &long, Role::Member, &by(), NOW).await.unwrap();
    let (issued, minted) = keyring.issue(&ApiKeyWish { user: long, ..wish() }, &by(), NOW).await.unwrap();
    assert!(minted.expose().len() <= Secret::API_KEY_BYTES_MAX && issued.record.api_key);
}
