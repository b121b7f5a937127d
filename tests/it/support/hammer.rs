//! Many keep-alive connections that ask as fast as they are answered, while what they may do is changed.
//!
//! [`Scene`] is a running gate with one organization for each way to lose a right; [`Hammer`] keeps asking with all of their tokens and
//! knows, of every connection, when the latest request that was served began.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::Connection;
use super::process::{Place, Process};

/// Keep-alive connections for each token; with those of the bystander there are 64.
const CONNECTIONS: usize = 12;
const OF_BYSTANDER: usize = 64 - CONNECTIONS * LOSSES.len();

/// A way to lose a right.
pub struct Loss {
    /// The name of the organization that it befalls.
    pub organization: &'static str,
    /// What a request gets from then on.
    pub verdict: &'static str,
    /// Commands that make what is lost; the last one prints the token.
    making: &'static [&'static [&'static str]],
    /// The command that takes it away.
    pub command: &'static [&'static str],
    /// The request to the API that does the same: its method, and its path behind the organization, `{id}` for the token's id.
    request: (&'static str, &'static str),
}

/// All of them.
pub const LOSSES: [Loss; 5] = [
    Loss {
        organization: "revoked",
        verdict: "401 token_revoked",
        making: &[&["token", "create", "revoked", "--name", "ci", "--scopes", "repos"]],
        command: &["token", "revoke", "--org", "revoked", "--name", "ci", "--yes"],
        request: ("POST", "/tokens/{id}/revoke"),
    },
    Loss {
        organization: "ungranted",
        verdict: "403 channel_forbidden",
        making: &[
            &["seat", "assign", "ungranted", "ann"],
            &["group", "create", "ungranted", "dev"],
            &["group", "add", "ungranted", "dev", "ann"],
            &["group", "grant", "ungranted", "dev", "main", "--yes"],
            &["token", "issue", "ungranted", "--user", "ann"],
        ],
        command: &["group", "ungrant", "ungranted", "dev", "main", "--yes"],
        request: ("DELETE", "/groups/dev/grants/main"),
    },
    Loss {
        organization: "reissued",
        verdict: "401 token_replaced",
        making: &[&["token", "issue", "reissued", "--site"]],
        command: &["token", "issue", "reissued", "--site", "--yes"],
        request: ("POST", "/site-token"),
    },
    Loss {
        organization: "unseated",
        verdict: "401 seat_removed",
        making: &[&["seat", "assign", "unseated", "ann"], &["token", "issue", "unseated", "--user", "ann"]],
        command: &["seat", "remove", "unseated", "ann", "--yes"],
        request: ("DELETE", "/seats/ann"),
    },
    Loss {
        organization: "cancelled",
        verdict: "401 subscription_ended",
        making: &[&["token", "issue", "cancelled", "--site"]],
        command: &["org", "cancel", "cancelled", "--yes"],
        request: ("POST", "/cancel"),
    },
];

/// A gate, what can be lost there, and everybody asking.
pub struct Scene {
    pub place: Arc<Place>,
    pub gate: Process,
    /// The ids of the tokens that [`LOSSES`] befall.
    ids: Vec<String>,
    hammers: Vec<Hammer>,
    bystander: Hammer,
}

/// The connections that show one token.
struct Hammer {
    stop: Arc<AtomicBool>,
    /// Of each connection.
    seen: Vec<Arc<Mutex<Seen>>>,
    hands: Vec<tokio::task::JoinHandle<()>>,
}

/// What one connection was answered.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// How many requests were served, and when the latest of them began.
    served: (u64, Option<Instant>),
    /// What the latest one that was not served got.
    refused: Option<String>,
}

impl Scene {
    pub async fn new() -> Self {
        let place = Arc::new(Place::new());
        let gate = place.serve();
        let (tokens, ids): (Vec<_>, Vec<_>) = LOSSES.iter().map(|loss| token(&place, loss)).unzip();
        let (bystander, _) = place.create_token("bystander");
        let hammers = tokens.iter().map(|token| Hammer::beginning(gate.data, token, CONNECTIONS)).collect();
        let bystander = Hammer::beginning(gate.data, &bystander, OF_BYSTANDER);
        let scene = Self { place, gate, ids, hammers, bystander };
        for hammer in scene.hammers.iter().chain([&scene.bystander]) {
            hammer.until(|seen| seen.served.0 > 0, "nobody is served at the beginning").await;
        }
        scene
    }

    /// How to ask the API for a loss: method and path.
    pub fn request(&self, loss: usize) -> (&'static str, String) {
        let Loss { organization, request: (method, path), .. } = &LOSSES[loss];
        let path = path.replace("{id}", &self.ids[loss]);
        (method, format!("/api/v1/organizations/{organization}{path}"))
    }

    /// Waits until every connection that a loss befell is refused as it should be, and lets them all ask on for a while. Returns how long after
    /// each of `changes` the last request began that was served nevertheless.
    pub async fn lags(self, changes: [Instant; LOSSES.len()]) -> [Duration; LOSSES.len()] {
        for (hammer, loss) in self.hammers.iter().zip(&LOSSES) {
            hammer.until(|seen| seen.refused.as_deref() == Some(loss.verdict), loss.verdict).await;
        }
        let asked = |seen: &Seen| seen.served.0;
        let enough = self.bystander.seen.iter().map(|seen| asked(&seen.lock().unwrap())).max().unwrap() + 20;
        self.bystander.until(|seen| asked(seen) > enough, "the bystander is served no longer").await;
        assert!(
            self.bystander.stop().await.iter().all(|seen| seen.refused.is_none()),
            "a bystander was refused"
        );
        let mut lags = [Duration::ZERO; LOSSES.len()];
        for ((lag, hammer), change) in lags.iter_mut().zip(self.hammers).zip(changes) {
            let last = hammer.stop().await.into_iter().filter_map(|seen| seen.served.1).max();
            *lag = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(change));
        }
        self.gate.terminate().expect(0, "the gate ends well");
        lags
    }
}

/// Makes what can be lost. Returns the token's value and its id.
fn token(place: &Place, loss: &Loss) -> (String, String) {
    place.must(&["org", "create", loss.organization]);
    let made: Vec<_> = loss.making.iter().map(|command| place.must_json(command)).collect();
    let token = made.last().unwrap();
    (token["token"].as_str().unwrap().to_owned(), token["id"].as_str().unwrap().to_owned())
}

impl Hammer {
    fn beginning(gate: SocketAddr, token: &str, connections: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen: Vec<_> = (0..connections).map(|_| Arc::new(Mutex::new(Seen::default()))).collect();
        let target = format!("/t/{token}/main/noarch/repodata.json");
        let hands = seen
            .iter()
            .map(|seen| tokio::spawn(ask(gate, target.clone(), Arc::clone(seen), Arc::clone(&stop))))
            .collect();
        Self { stop, seen, hands }
    }

    /// Waits until `is_so` of every connection.
    async fn until(&self, is_so: impl Fn(&Seen) -> bool, what: &str) {
        let began = Instant::now();
        while !self.seen.iter().all(|seen| is_so(&seen.lock().unwrap())) {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.seen);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        for hand in self.hands {
            hand.await.unwrap();
        }
        self.seen.iter().map(|seen| seen.lock().unwrap().clone()).collect()
    }
}

async fn ask(gate: SocketAddr, target: String, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    let mut connection = Connection::open(gate).await;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let reply = connection.ask("GET", &target, &[]).await;
        let mut seen = seen.lock().unwrap();
        if reply.status == 200 {
            seen.served = (seen.served.0 + 1, Some(began));
        } else {
            seen.refused = Some(reply.verdict());
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
