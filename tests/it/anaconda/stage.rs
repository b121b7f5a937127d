//! An organization at a gate with people in it, and clients of the face.

use std::time::Duration;

use channelgate::account::{Grant, NewUser, PasswordHash, Permission, Role, Subscription};
use channelgate::clock::Timestamp;
use channelgate::store::{Actor, ActsAs, AuditFilter, AuditRecord, NewDevice, NewToken, Poll, Purpose};
use channelgate::token::{Minted, TokenId};
use serde_json::Value;

use crate::support::client::{Connection, Reply};
use crate::support::gate::{Builder, Gate, Issued};

/// A gate whose channel `repo/main` is the fixture channel, with the organizations `acme` and `zoo`: alice has a seat in both, bob in `acme`.
pub struct Stage {
    pub gate: Gate,
}

impl Stage {
    pub async fn new() -> Self {
        Self::at(Self::builder()).await
    }

    pub async fn with_manual_clock() -> Self {
        Self::at(Self::builder().manual_clock()).await
    }

    /// What it is made of.
    pub fn builder() -> Builder {
        let url = format!("file://{}", crate::support::gate::fixture_channel().display());
        Gate::builder().fixtures().channel("repo/main", &url)
    }

    pub async fn at(builder: Builder) -> Self {
        let stage = Self { gate: builder.start().await };
        let (store, by) = (stage.gate.store(), by());
        for user in ["alice", "bob"] {
            let user = NewUser { name: user.to_owned(), email: None, password_hash: None };
            store.create_user(&user, &by, stage.now()).await.unwrap();
        }
        // One after the other, so that it is known which seat is the oldest.
        for (order, (org, users)) in [("acme", &["alice", "bob"][..]), ("zoo", &["alice"])].iter().enumerate()
        {
            let now = stage.now().plus(Duration::from_millis(order as u64));
            let title = format!("{org} corp");
            store.create_organization(org, &title, Subscription::default(), &by, now).await.unwrap();
            for user in *users {
                store.assign_seat(org, user, Role::Member, &by, now).await.unwrap();
            }
        }
        stage
    }

    pub fn now(&self) -> Timestamp {
        self.gate.app.clock().now()
    }

    /// A user's individual token.
    pub async fn individual(&self, org: &str, user: &str) -> Issued {
        self.keep(&NewToken::individual(org, user)).await
    }

    /// A scoped token that acts as a user, or as nobody.
    pub async fn scoped(&self, org: &str, name: &str, scopes: &str, user: Option<&str>) -> Issued {
        self.keep(&NewToken {
            organization: org.to_owned(),
            purpose: Purpose::Scoped {
                name: name.to_owned(),
                acts_as: user.map(|user| ActsAs::User(user.to_owned())),
            },
            scopes: scopes.parse().unwrap(),
            channels: None,
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        })
        .await
    }

    /// Keeps a token without the face.
    pub async fn keep(&self, token: &NewToken) -> Issued {
        let minted = Minted::random().unwrap();
        let issued =
            self.gate.store().insert_token(token, &minted.digest(), &by(), self.now(), Duration::ZERO).await;
        self.gate.app.verifier().catch_up().await.unwrap();
        Issued { id: issued.unwrap().record.id, value: minted.expose().to_owned() }
    }

    /// Asks with this value of `Authorization`, if it is not empty, and a JSON body unless it is null.
    pub async fn ask(&self, authorization: &str, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len().to_string();
        let mut headers = vec![("Content-Type", "application/json")];
        if !authorization.is_empty() {
            headers.push(("Authorization", authorization));
        }
        if !body.is_empty() {
            headers.push(("Content-Length", &length));
        }
        let mut connection = Connection::open(self.gate.data()).await;
        connection.send(method, path, &headers).await;
        connection.send_raw(body).await;
        connection.answer(method).await
    }

    pub async fn get(&self, token: &Issued, path: &str) -> Reply {
        self.ask(&bearer(token), "GET", path, &Value::Null).await
    }

    pub async fn put(&self, token: &Issued, path: &str) -> Reply {
        self.ask(&bearer(token), "PUT", path, &serde_json::json!({"confirm": "yes"})).await
    }

    pub async fn post(&self, token: &Issued, path: &str, body: Value) -> Reply {
        self.ask(&bearer(token), "POST", path, &body).await
    }

    pub async fn delete(&self, token: &Issued, path: &str) -> Reply {
        self.ask(&bearer(token), "DELETE", path, &Value::Null).await
    }

    /// Lets a device in as this person, and returns its access token.
    pub async fn let_in(&self, user: &str, org: &str) -> String {
        let [device, code, access] = [(); 3].map(|()| Minted::random().unwrap());
        let (store, now) = (self.gate.store(), self.now());
        let asked = NewDevice {
            device_digest: device.digest(),
            user_code_digest: code.digest(),
            client_name: "test".to_owned(),
            address: "127.0.0.1".parse().unwrap(),
            agent: None,
            scopes: "openid".to_owned(),
            expires_at: now.plus(Duration::from_secs(600)),
            interval: Duration::from_secs(1),
        };
        store.begin_device(&asked, now).await.unwrap();
        store.approve_device(&code.digest(), user, org, &by(), now).await.unwrap();
        let poll = store.poll_device(&device.digest(), &access.digest(), now).await.unwrap();
        assert!(matches!(poll, Poll::Granted { .. }), "{poll:?}");
        access.expose().to_owned()
    }

    /// An API key, as a tool gets one.
    pub async fn api_key(&self, user: &str, org: &str) -> Issued {
        let authorization = format!("Bearer {}", self.let_in(user, org).await);
        let body = serde_json::json!({"scopes": ["cloud:read", "cloud:write", "repo:read"]});
        let reply = self.ask(&authorization, "POST", "/api/auth/api-keys", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.json());
        let value = reply.json()["api_key"].as_str().unwrap().to_owned();
        Issued { id: self.id_of(&reply), value }
    }

    /// The id in a token's object.
    pub fn id_of(&self, reply: &Reply) -> TokenId {
        TokenId(reply.json()["id"].as_str().unwrap().parse().unwrap())
    }

    pub async fn set_password(&self, user: &str, password: &str) {
        let hash = PasswordHash::of(password, &[7; 16]).unwrap();
        self.gate.store().set_password(user, &hash, &by(), self.now()).await.unwrap();
    }

    pub async fn disable(&self, user: &str) {
        self.gate.store().disable_user(user, &by(), self.now()).await.unwrap();
        self.settle().await;
    }

    pub async fn remove_seat(&self, org: &str, user: &str) {
        self.gate.store().remove_seat(org, user, &by(), self.now()).await.unwrap();
        self.settle().await;
    }

    pub async fn cancel(&self, org: &str) {
        self.gate.store().cancel_organization(org, &by(), self.now()).await.unwrap();
        self.settle().await;
    }

    /// Restricts a channel to a new group that nobody is in.
    pub async fn restrict(&self, org: &str, channel: &str) {
        let (store, now) = (self.gate.store(), self.now());
        store.create_group(org, "few", &by(), now).await.unwrap();
        let grant = Grant {
            channel: channel.to_owned(),
            permission: Permission::Read,
            packages: Vec::new(),
            labels: Vec::new(),
        };
        store.grant(org, "few", &grant, &by(), now).await.unwrap();
        self.settle().await;
    }

    pub async fn unrestrict(&self, org: &str, channel: &str) {
        self.gate.store().unrestrict(org, channel, &by(), self.now()).await.unwrap();
        self.settle().await;
    }

    /// What the audit has of an action.
    pub async fn audit(&self, action: &str) -> Vec<AuditRecord> {
        let filter = AuditFilter { organization: None, since: None, after: 0, limit: 1_000 };
        let records = self.gate.store().audit(&filter).await.unwrap();
        records.into_iter().filter(|record| record.action == action).collect()
    }

    async fn settle(&self) {
        self.gate.app.verifier().catch_up().await.unwrap();
    }

    /// What `repo/main` answers to a token's value.
    pub async fn reads(&self, value: &str) -> String {
        self.gate.head(&format!("/t/{value}/repo/main/noarch/repodata.json")).await.status.to_string()
    }
}

/// Somebody at the machine.
pub fn by() -> Actor {
    Actor::local("cli:test@here")
}

/// How anaconda-auth sends a key.
pub fn bearer(token: &Issued) -> String {
    format!("Bearer {}", token.value)
}
