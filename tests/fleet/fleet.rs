//! Three gates, their lines to the database, and a store of the tests' own on a line of its own.

use std::net::SocketAddr;
use std::time::Duration;

use channelgate::account::Subscription;
use channelgate::clock::Clock;
use channelgate::store::{Actor, Config, ErrorKind, NewToken, Purpose, Store};
use channelgate::token::{End, EndCause, Minted};
use tokio::time::sleep;

use crate::line::{Condition, Line};
use crate::load::{Target, Token};
use crate::support::client;
use crate::support::postgres::Cluster;
use crate::support::process::{Place, Process};

/// While the store is reached, no verdict is older.
pub const MAX_STALENESS: Duration = Duration::from_secs(1);

/// While it is not, for how long known tokens go on.
pub const OUTAGE_GRACE: Duration = Duration::from_secs(4);

/// The gates.
pub const GATES: usize = 3;

/// The fleet.
pub struct Fleet {
    pub cluster: Cluster,
    pub places: Vec<Place>,
    pub gates: Vec<Process>,
    /// Of each gate.
    pub lines: Vec<Line>,
    own_line: Line,
    store: Store,
    clock: Clock,
}

impl Fleet {
    pub async fn start() -> Self {
        let cluster = Cluster::start();
        let url = cluster.database();
        let (_, database) = url.rsplit_once('/').unwrap();
        let mut lines = Vec::new();
        for _ in 0..=GATES {
            lines.push(Line::to(cluster.address()).await);
        }
        // The line reads what the server says.
        let through =
            |line: &Line| format!("postgres://postgres@{}/{database}?sslmode=disable", line.address);
        let own_line = lines.pop().unwrap();
        let place = |(gate, line): (usize, &Line)| {
            Place::with(&format!(
                "gate.name = \"gate-{gate}\"\nstore.url = {:?}\n\
                 verify.max_staleness = \"{}ms\"\nverify.outage_grace = \"{}ms\"\nlog.level = \"warn\"",
                through(line),
                MAX_STALENESS.as_millis(),
                OUTAGE_GRACE.as_millis(),
            ))
        };
        let places: Vec<_> = lines.iter().enumerate().map(place).collect();
        // At once: they find no schema, and one makes it.
        let starting: Vec<_> = places.iter().map(|place| place.command(&["serve"])).collect();
        let gates =
            starting.into_iter().map(|command| tokio::task::spawn_blocking(|| Process::start(command)));
        let mut started = Vec::new();
        for gate in gates.collect::<Vec<_>>() {
            started.push(gate.await.unwrap());
        }
        let store = Store::open(&Config { url: through(&own_line), ..Config::default() }).await.unwrap();
        let fleet = Self { cluster, places, gates: started, lines, own_line, store, clock: Clock::system() };
        fleet
            .store
            .create_organization("fleet", "Fleet", Subscription::default(), &by(), fleet.clock.now())
            .await
            .unwrap();
        fleet
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gates.iter().map(|gate| gate.data).collect()
    }

    /// A token of this name that reads every channel.
    pub async fn token(&self, name: &str) -> Token {
        let minted = Minted::random().unwrap();
        let purpose = Purpose::Scoped { name: name.to_owned(), acts_as: None };
        let new = NewToken { purpose, ..NewToken::site("fleet") };
        let (digest, now) = (minted.digest(), self.clock.now());
        let issued = self.store.insert_token(&new, &digest, &by(), now, Duration::ZERO).await.unwrap();
        Token::new(issued.record.id, minted.expose().to_owned())
    }

    /// Revokes a token, however long that takes, and notes when that was begun and when it was acknowledged.
    pub async fn revoke(&self, token: &Token) {
        token.begin();
        loop {
            let end = End { cause: EndCause::Revoked, at: self.clock.now(), reason: None };
            match self.store.end_token(token.id, &end, &by(), self.clock.now()).await {
                Ok(_) => return token.acknowledge(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Leads everybody to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        for line in self.lines.iter().chain([&self.own_line]) {
            line.lead_to(server);
        }
    }

    pub fn turn(&self, condition: Condition) {
        for line in &self.lines {
            line.turn(condition);
        }
    }

    /// Waits until every gate serves this token.
    pub async fn serves(&self, token: &Token) {
        for gate in self.addresses() {
            let began = tokio::time::Instant::now();
            loop {
                let reply = client::ask(gate, "HEAD", &Target::of(token), &[]).await;
                match reply.status {
                    200 => break,
                    503 => assert!(began.elapsed() < PATIENCE, "{gate} does not recover"),
                    status => panic!("{status} for a valid token at {gate}"),
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn by() -> Actor {
    Actor::local("test")
}

const PATIENCE: Duration = Duration::from_secs(20);
