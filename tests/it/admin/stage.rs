//! Two organizations at a gate, tokens with every right, and a client of the API.

use channelgate::account::{Role, Subscription};
use channelgate::store::{Actor, ActsAs, NewToken, Purpose};
use channelgate::token::{Minted, TokenId};
use serde_json::Value;
use std::time::Duration;

use crate::support::client::{Connection, Reply};
use crate::support::gate::{Gate, Issued};

/// A gate with the organizations `acme` and `zoo`; in each alice and bob have seats.
pub struct Stage {
    pub gate: Gate,
}

impl Stage {
    pub async fn new() -> Self {
        Self::at(Gate::builder().fixtures().start().await).await
    }

    pub async fn with_manual_clock() -> Self {
        Self::at(Gate::builder().fixtures().manual_clock().start().await).await
    }

    pub async fn at(gate: Gate) -> Self {
        let stage = Self { gate };
        let (store, by, now) = (stage.gate.store(), Actor::local("cli:test@here"), stage.now());
        for org in ["acme", "zoo"] {
            store.create_organization(org, org, Subscription::default(), &by, now).await.unwrap();
            for user in ["alice", "bob"] {
                store.assign_seat(org, user, Role::Member, &by, now).await.unwrap();
            }
        }
        stage
    }

    pub fn now(&self) -> channelgate::clock::Timestamp {
        self.gate.app.clock().now()
    }

    /// A token of `org` with these scopes.
    pub async fn token(&self, org: &str, scopes: &str) -> Issued {
        self.token_of(org, scopes, None, None).await
    }

    /// An operator's token of `acme`.
    pub async fn operator(&self, scopes: &str) -> Issued {
        self.token_of("acme", scopes, None, Some(ActsAs::Operator)).await
    }

    pub async fn token_of(
        &self,
        org: &str,
        scopes: &str,
        channels: Option<&[&str]>,
        acts_as: Option<ActsAs>,
    ) -> Issued {
        let minted = Minted::random().unwrap();
        let name = format!("{scopes} {}", &minted.expose()[3..9]);
        let token = NewToken {
            organization: org.to_owned(),
            purpose: Purpose::Scoped { name, acts_as },
            scopes: scopes.parse().unwrap(),
            channels: channels.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            expires_at: None,
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        self.keep(&token, &minted).await
    }

    /// Keeps a token without the API.
    pub async fn keep(&self, token: &NewToken, minted: &Minted) -> Issued {
        let by = Actor::local("cli:test@here");
        let issued =
            self.gate.store().insert_token(token, &minted.digest(), &by, self.now(), Duration::ZERO).await;
        self.gate.app.verifier().catch_up().await.unwrap();
        Issued { id: issued.unwrap().record.id, value: minted.expose().to_owned() }
    }

    /// Asks the API with a token, further headers, and a body unless it is null.
    pub async fn ask(
        &self,
        token: &Issued,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let authorization = format!("Bearer {}", token.value);
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend(headers);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(self.gate.admin(), method, path, &all, &body).await
    }

    pub async fn get(&self, token: &Issued, path: &str) -> Reply {
        self.ask(token, "GET", path, &[], &Value::Null).await
    }

    pub async fn post(&self, token: &Issued, path: &str, body: Value) -> Reply {
        self.ask(token, "POST", path, &[], &body).await
    }

    pub async fn put(&self, token: &Issued, path: &str, body: Value) -> Reply {
        self.ask(token, "PUT", path, &[], &body).await
    }

    pub async fn delete(&self, token: &Issued, path: &str) -> Reply {
        self.ask(token, "DELETE", path, &[], &Value::Null).await
    }

    /// What `main` answers on the data plane to a token's value.
    pub async fn reads(&self, value: &str) -> String {
        self.gate.get(&format!("/t/{value}/main/noarch/repodata.json")).await.verdict()
    }
}

/// Sends a request whose body, if there is one, is JSON.
pub async fn send(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let length = body.len().to_string();
    let mut all = headers.to_vec();
    if !body.is_empty() {
        all.push(("Content-Length", &length));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            all.push(("Content-Type", "application/json"));
        }
    }
    let mut connection = Connection::open(address).await;
    connection.send(method, path, &all).await;
    connection.send_raw(body).await;
    connection.answer(method).await
}

/// The id in a token's object.
pub fn id(reply: &Reply) -> TokenId {
    TokenId(reply.json()["id"].as_str().unwrap().parse().unwrap())
}

/// The value in a token's object.
pub fn value(reply: &Reply) -> String {
    reply.json()["token"].as_str().unwrap_or_else(|| panic!("{}", reply.json())).to_owned()
}
