//! What Anaconda's documentation promises of tokens, sentence by sentence, at the data plane.

use std::time::Duration;

use channelgate::account::{Grant, NewUser, Permission, Role, Subscription};
use channelgate::clock::Timestamp;
use channelgate::store::{Actor, ActsAs, ErrorKind, NewToken, Purpose, StoreError, Which};
use channelgate::token::{End, EndCause, Minted, Scope, Scopes, TokenId};

use crate::support::gate::Gate;

/// Organization `acme`, whose subscription ends on 2027-07-01, at a gate where it is 2027-01-01.
struct Acme {
    gate: Gate,
    by: Actor,
}

impl Acme {
    async fn new() -> Self {
        let gate = Gate::builder().fixtures().manual_clock().start().await;
        let acme = Self { gate, by: Actor::local("cli:test@here") };
        let ends = Subscription::until(Some("2027-07-01".parse().unwrap()));
        acme.gate.store().create_organization("acme", "Acme", ends, &acme.by, acme.now()).await.unwrap();
        acme
    }

    fn now(&self) -> Timestamp {
        self.gate.app.clock().now()
    }

    async fn until(&self, date: &str) {
        let date: Timestamp = date.parse().unwrap();
        self.gate.hands.as_ref().unwrap().advance(date.since(self.now()));
        self.settle().await;
    }

    async fn settle(&self) {
        self.gate.app.verifier().catch_up().await.unwrap();
    }

    /// The value and the id of a new token.
    async fn insert(&self, token: NewToken) -> Result<(String, TokenId), StoreError> {
        let minted = Minted::random().unwrap();
        let (digest, none) = (minted.digest(), Duration::ZERO);
        let issued = self.gate.store().insert_token(&token, &digest, &self.by, self.now(), none).await?;
        self.settle().await;
        Ok((minted.expose().to_owned(), issued.record.id))
    }

    async fn site(&self) -> String {
        self.insert(NewToken::site("acme")).await.unwrap().0
    }

    async fn individual(&self, user: &str) -> Result<String, StoreError> {
        Ok(self.insert(NewToken::individual("acme", user)).await?.0)
    }

    async fn scoped(&self, name: &str, scopes: Scopes, acts_as: Option<ActsAs>) -> (String, TokenId) {
        let token = NewToken {
            organization: "acme".to_owned(),
            purpose: Purpose::Scoped { name: name.to_owned(), acts_as },
            scopes,
            channels: None,
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        self.insert(token).await.unwrap()
    }

    /// The value of a new API key, as `anaconda login` leaves it.
    async fn api_key(&self, user: &str) -> String {
        let key = self.gate.api_key("acme", user, Scopes::of(&[Scope::CondaDownload])).await;
        self.settle().await;
        key.value
    }

    async fn seat(&self, user: &str) {
        self.gate.store().assign_seat("acme", user, Role::Member, &self.by, self.now()).await.unwrap();
    }

    async fn renew(&self, until: &str) {
        let until = until.parse().unwrap();
        self.gate.store().renew_organization("acme", until, &self.by, self.now()).await.unwrap();
        self.settle().await;
    }

    async fn sync(&self, which: Which) {
        self.gate.store().sync_tokens("acme", &which, &self.by, self.now()).await.unwrap();
        self.settle().await;
    }

    async fn grant(&self, group: &str, channel: &str) {
        let grant = Grant::whole(channel, Permission::Read);
        self.gate.store().grant("acme", group, &grant, &self.by, self.now()).await.unwrap();
        self.settle().await;
    }

    /// What `main` answers to a token.
    async fn verdict(&self, token: &str) -> String {
        self.gate.get(&format!("/t/{token}/main/noarch/repodata.json")).await.verdict()
    }
}

fn repos() -> Scopes {
    Scopes::of(&[Scope::Repos])
}

/// "Reissuing a token invalidates your previously issued token."
#[tokio::test]
async fn reissuing_a_token_invalidates_the_previous_one() {
    let acme = Acme::new().await;
    acme.seat("alice").await;
    let (site, individual) = (acme.site().await, acme.individual("alice").await.unwrap());
    assert_eq!((acme.verdict(&site).await, acme.verdict(&individual).await), ("200".into(), "200".into()));
    let (new_site, new_individual) = (acme.site().await, acme.individual("alice").await.unwrap());
    for (token, expected) in [
        (site, "401 token_replaced"),
        (individual, "401 token_replaced"),
        (new_site, "200"),
        (new_individual, "200"),
    ] {
        assert_eq!(acme.verdict(&token).await, expected);
    }
}

/// "… expire either 30 days after the organization's subscription has ended …"
#[tokio::test]
async fn tokens_expire_thirty_days_after_the_subscription_ended() {
    let acme = Acme::new().await;
    acme.seat("alice").await;
    let tokens = [acme.site().await, acme.individual("alice").await.unwrap()];
    acme.until("2027-07-30T23:59:59Z").await;
    for token in &tokens {
        assert_eq!(acme.verdict(token).await, "200");
    }
    acme.until("2027-07-31").await;
    for token in &tokens {
        assert_eq!(acme.verdict(token).await, "401 token_expired");
    }
}

/// "… or immediately if the subscription has been cancelled."
#[tokio::test]
async fn tokens_expire_at_once_when_the_subscription_is_cancelled() {
    let acme = Acme::new().await;
    acme.seat("alice").await;
    let tokens = [
        acme.site().await,
        acme.individual("alice").await.unwrap(),
        acme.scoped("ci", repos(), None).await.0,
    ];
    for token in &tokens {
        assert_eq!(acme.verdict(token).await, "200");
    }
    acme.gate.store().cancel_organization("acme", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    for token in &tokens {
        assert_eq!(acme.verdict(token).await, "401 subscription_ended");
    }
    acme.renew("2028-07-01").await;
    acme.sync(Which::All).await;
    for token in &tokens {
        assert_eq!(acme.verdict(token).await, "401 subscription_ended", "a dead token stays dead");
    }
    assert_eq!(acme.verdict(&acme.site().await).await, "200", "a new one serves");
}

/// "Renewing your subscription does not automatically extend the lifespan of your token."
#[tokio::test]
async fn renewing_alone_does_not_extend_a_token() {
    let acme = Acme::new().await;
    let site = acme.site().await;
    acme.renew("2028-07-01").await;
    acme.until("2027-07-31").await;
    assert_eq!(acme.verdict(&site).await, "401 token_expired");
    acme.sync(Which::All).await;
    assert_eq!(acme.verdict(&site).await, "401 token_expired", "it is too late to sync it");
}

/// "… synchronize your token to extend its lifespan to your organization's new subscription expiration date."
#[tokio::test]
async fn sync_extends_a_token_to_the_new_subscription() {
    let acme = Acme::new().await;
    acme.seat("alice").await;
    let (site, individual) = (acme.site().await, acme.individual("alice").await.unwrap());
    acme.renew("2028-07-01").await;
    acme.sync(Which::Site).await;
    acme.until("2027-07-31").await;
    assert_eq!(acme.verdict(&site).await, "200");
    assert_eq!(acme.verdict(&individual).await, "401 token_expired", "only the site token was synced");
    acme.until("2028-07-31").await;
    assert_eq!(acme.verdict(&site).await, "401 token_expired");
}

/// "You must be assigned a seat within your organization to issue yourself a token."
#[tokio::test]
async fn without_a_seat_there_is_no_individual_token() {
    let acme = Acme::new().await;
    let refused = acme.individual("alice").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.to_string().contains("has no seat"), "{refused}");
    acme.seat("alice").await;
    let token = acme.individual("alice").await.unwrap();
    assert_eq!(acme.verdict(&token).await, "200");
    acme.gate.store().remove_seat("acme", "alice", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    assert_eq!(acme.verdict(&token).await, "401 seat_removed");
    acme.seat("alice").await;
    acme.settle().await;
    assert_eq!(acme.verdict(&token).await, "401 seat_removed", "a new seat brings it not back");
}

/// "Users do not need to be assigned a seat in your organization to use your site token."
#[tokio::test]
async fn site_token_needs_no_seat() {
    let acme = Acme::new().await;
    let site = acme.site().await;
    assert!(acme.gate.store().seats("acme", None, 100).await.unwrap().is_empty());
    assert_eq!(acme.verdict(&site).await, "200");
}

/// "By default, tokens expire after one year."
#[test]
fn tokens_expire_after_one_year_by_default() {
    let place = crate::support::process::Place::new();
    place.must(&["org", "create", "default"]);
    let before = channelgate::clock::Clock::system().now();
    place.create_token("ci");
    let token = place.must_json(&["token", "list", "default"])[0].clone();
    let expires_at: Timestamp = token["expires_at"].as_str().unwrap().parse().unwrap();
    let days = expires_at.since(before).as_secs_f64() / 86_400.0;
    assert!((days - 365.0).abs() < 0.01, "{days}");
}

/// Anaconda.org's access tokens are revoked by their name.
#[tokio::test]
async fn token_is_revoked_by_its_name() {
    let acme = Acme::new().await;
    let (ci, _) = acme.scoped("ci", repos(), None).await;
    let (other, _) = acme.scoped("other", repos(), None).await;
    assert_eq!(acme.verdict(&ci).await, "200");
    let store = acme.gate.store();
    let named = store.token_by_name("acme", "ci").await.unwrap().unwrap();
    let end = End { cause: EndCause::Revoked, at: acme.now(), reason: None };
    store.end_token(named.id, &end, &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    assert_eq!(acme.verdict(&ci).await, "401 token_revoked");
    assert_eq!(acme.verdict(&other).await, "200");
}

/// "conda config --add channels https://…/t/<TOKEN>/<CHANNEL>[/label/<LABEL>]"
#[tokio::test]
async fn channel_and_label_urls_with_a_token_are_served() {
    let acme = Acme::new().await;
    let token = acme.site().await;
    for channel in ["main", "main/label/dev", "team/nested", "team/nested/label/dev"] {
        let url = format!("/t/{token}/{channel}/noarch/repodata.json");
        assert_eq!(acme.gate.get(&url).await.verdict(), "200", "{channel}");
        assert_eq!(acme.gate.head(&url).await.verdict(), "200", "{channel}");
        let without = format!("/{channel}/noarch/repodata.json");
        assert_eq!(acme.gate.get(&without).await.verdict(), "401 token_missing", "{channel}");
    }
}

/// The table of scopes, row by row.
#[tokio::test]
async fn scopes_open_what_the_table_says() {
    let acme = Acme::new().await;
    for (scope, reads) in [
        (Scope::All, true),
        (Scope::Repos, true),
        (Scope::Pypi, false),
        (Scope::PypiUpload, false),
        (Scope::PypiDownload, false),
        (Scope::Conda, true),
        (Scope::CondaDownload, true),
        (Scope::Api, false),
        (Scope::ApiWrite, false),
        (Scope::ApiRead, false),
        (Scope::ApiModifyGroup, false),
    ] {
        let (token, _) = acme.scoped(scope.as_str(), Scopes::of(&[scope]), None).await;
        for file in [
            "noarch/repodata.json",
            "noarch/hello-noarch-1.0-0.conda",
            "notices.json",
            "label/dev/noarch/repodata.json",
        ] {
            let url = format!("/t/{token}/main/{file}");
            let expected = if reads { "200" } else { "403 scope_missing" };
            assert_eq!(acme.gate.get(&url).await.verdict(), expected, "{} {file}", scope.as_str());
            let status = acme.gate.head(&url).await.status;
            assert_eq!(status, if reads { 200 } else { 403 }, "HEAD {} {file}", scope.as_str());
            let open = format!("/t/{token}/open/{file}");
            assert_eq!(acme.gate.get(&open).await.verdict(), "200", "public: {} {file}", scope.as_str());
        }
        for method in ["PUT", "POST", "DELETE"] {
            let url = format!("/t/{token}/main/noarch/new-1.0-0.conda");
            let verdict = acme.gate.ask(method, &url, &[]).await.verdict();
            assert_eq!(verdict, "405 method_not_allowed", "{method} {}", scope.as_str());
        }
    }
}

/// "Control who can access packages in a channel by associating the channel with a group."
#[tokio::test]
async fn channel_of_a_group_is_read_by_its_users_only() {
    let acme = Acme::new().await;
    let store = acme.gate.store();
    for user in ["alice", "bob"] {
        acme.seat(user).await;
    }
    for group in ["builders", "others"] {
        store.create_group("acme", group, &acme.by, acme.now()).await.unwrap();
    }
    store.add_member("acme", "builders", "alice", &acme.by, acme.now()).await.unwrap();
    let tokens = [
        ("site", acme.site().await),
        ("alice", acme.individual("alice").await.unwrap()),
        ("bob", acme.individual("bob").await.unwrap()),
        ("as alice", acme.scoped("1", repos(), Some(ActsAs::User("alice".into()))).await.0),
        ("as bob", acme.scoped("2", repos(), Some(ActsAs::User("bob".into()))).await.0),
        ("as builders", acme.scoped("3", repos(), Some(ActsAs::Group("builders".into()))).await.0),
        ("as others", acme.scoped("4", repos(), Some(ActsAs::Group("others".into()))).await.0),
        ("as nobody", acme.scoped("5", repos(), None).await.0),
        ("another organization's", acme.gate.bootstrap_token()),
    ];
    let readers = async |when: &str, expected: &[&str]| {
        for (name, token) in &tokens {
            let is_reader = expected.contains(name) || *name == "another organization's";
            let verdict = if is_reader { "200" } else { "403 channel_forbidden" };
            assert_eq!(acme.verdict(token).await, verdict, "{when}: {name}");
            let other = acme.gate.get(&format!("/t/{token}/team/nested/noarch/repodata.json")).await;
            assert_eq!(other.verdict(), "200", "{when}: {name}, a channel that nobody restricted");
        }
    };
    let everybody: Vec<&str> = tokens.iter().map(|(name, _)| *name).collect();
    readers("before", &everybody).await;
    acme.grant("builders", "main").await;
    readers("granted", &["alice", "as alice", "as builders"]).await;
    store.add_member("acme", "builders", "bob", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    readers("bob joins", &["alice", "bob", "as alice", "as bob", "as builders"]).await;
    store.remove_member("acme", "builders", "alice", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    readers("alice leaves", &["bob", "as bob", "as builders"]).await;
    store.ungrant("acme", "builders", "main", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    readers("it stays restricted", &[]).await;
    store.unrestrict("acme", "main", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    readers("unrestricted", &everybody).await;
}

/// "After you have logged in … conda will automatically use your API key." It reads what its user may read, and ends with the user.
#[tokio::test]
async fn api_key_reads_what_its_user_may_read() {
    let acme = Acme::new().await;
    let store = acme.gate.store();
    for user in ["alice", "bob"] {
        acme.seat(user).await;
        let new = NewUser { name: user.into(), email: None, password_hash: None };
        store.create_user(&new, &acme.by, acme.now()).await.unwrap();
    }
    let (alice, bob) = (acme.api_key("alice").await, acme.api_key("bob").await);
    let bearer = async |key: &str| {
        let header = format!("Bearer {key}");
        acme.gate.ask("GET", "/main/noarch/repodata.json", &[("authorization", &header)]).await.verdict()
    };
    for key in [&alice, &bob] {
        assert_eq!((bearer(key).await, acme.verdict(key).await), ("200".into(), "200".into()));
    }
    // Both together, as conda sends them once a token is installed: the one in the path decides.
    let site = acme.site().await;
    let header = format!("Bearer {alice}");
    let both = format!("/t/{site}/main/noarch/repodata.json");
    assert_eq!(acme.gate.ask("GET", &both, &[("authorization", &header)]).await.verdict(), "200");
    // The groups of the user are those of the key.
    store.create_group("acme", "builders", &acme.by, acme.now()).await.unwrap();
    store.add_member("acme", "builders", "alice", &acme.by, acme.now()).await.unwrap();
    acme.grant("builders", "main").await;
    assert_eq!((bearer(&alice).await, bearer(&bob).await), ("200".into(), "403 channel_forbidden".into()));
    // A key with another signature, or none, is unknown.
    let (signed, _) = alice.rsplit_once('.').unwrap();
    let (_, other) = bob.rsplit_once('.').unwrap();
    for forged in [format!("{signed}.{other}"), format!("{signed}."), format!("{signed}.{}", "A".repeat(43))]
    {
        assert_eq!(bearer(&forged).await, "401 token_unknown");
    }
    store.disable_user("alice", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    let refused = acme.gate.ask("GET", "/main/noarch/repodata.json", &[("authorization", &header)]).await;
    assert_eq!(refused.verdict(), "401 token_revoked");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("ended when its user was disabled"), "{detail}");
    store.enable_user("alice", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    assert_eq!(bearer(&alice).await, "401 token_revoked", "it stays dead");
    assert_eq!(bearer(&acme.api_key("alice").await).await, "200", "a new one serves");
    store.remove_seat("acme", "bob", &acme.by, acme.now()).await.unwrap();
    acme.settle().await;
    assert_eq!(bearer(&bob).await, "401 seat_removed");
    let alice = acme.api_key("alice").await;
    acme.until("2027-04-02").await;
    assert_eq!(bearer(&alice).await, "401 token_expired", "after ninety days");
}
