//! Sixty-four connections to each gate that ask with tokens which live and tokens which are being revoked, and what came of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use channelgate::token::TokenId;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::client::{self, Connection};

/// A token, and the story of its end.
pub struct Token {
    pub id: TokenId,
    value: String,
    begun: OnceLock<Instant>,
    acknowledged: OnceLock<Instant>,
}

impl Token {
    pub fn new(id: TokenId, value: String) -> Self {
        Self { id, value, begun: OnceLock::new(), acknowledged: OnceLock::new() }
    }

    /// Its revocation was begun.
    pub fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    /// Its revocation was acknowledged.
    pub fn acknowledge(&self) {
        self.acknowledged.get_or_init(Instant::now);
    }
}

/// What is asked for.
pub struct Target;

impl Target {
    pub fn of(token: &Token) -> String {
        format!("/t/{}/main/noarch/hello-noarch-1.0-0.conda", token.value)
    }
}

/// Everybody asking.
pub struct Load {
    tokens: Arc<Tokens>,
    hands: Vec<JoinHandle<Vec<Answer>>>,
}

struct Tokens {
    /// Those that live on.
    living: Vec<Token>,
    /// Those that are revoked, in this order.
    dying: Arc<[Token]>,
    /// How many of them are.
    revoked: AtomicUsize,
    over: AtomicBool,
}

/// An answer to a request.
pub struct Answer {
    pub gate: usize,
    /// The token's number among those that are revoked; `None` of one that lives.
    pub token: Option<usize>,
    pub began: Instant,
    pub ended: Instant,
    pub status: u16,
}

impl Load {
    /// Shows every token to every gate once, then begins.
    pub async fn begin(gates: &[SocketAddr], living: Vec<Token>, dying: Arc<[Token]>) -> Self {
        for &gate in gates {
            let mut connection = Connection::open(gate).await;
            for token in living.iter().chain(dying.iter()) {
                let reply = connection.ask("HEAD", &Target::of(token), &[]).await;
                assert_eq!(reply.status, 200, "at the beginning every token is valid");
            }
        }
        let (revoked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let tokens = Arc::new(Tokens { living, dying, revoked, over });
        let of_gate = |(gate, &address): (usize, &SocketAddr)| {
            let tokens = Arc::clone(&tokens);
            (0..CONNECTIONS).map(move |hand| tokio::spawn(ask(gate, address, hand, Arc::clone(&tokens))))
        };
        let hands = gates.iter().enumerate().flat_map(of_gate).collect();
        Self { tokens, hands }
    }

    /// So many of the tokens are revoked.
    pub fn revoked(&self, count: usize) {
        self.tokens.revoked.store(count, Ordering::Relaxed);
    }

    pub fn living(&self) -> &Token {
        &self.tokens.living[0]
    }

    /// Ends it.
    pub async fn end(self) -> Vec<Answer> {
        self.tokens.over.store(true, Ordering::Relaxed);
        let mut answers = Vec::new();
        for hand in self.hands {
            answers.extend(hand.await.unwrap());
        }
        answers
    }
}

async fn ask(gate: usize, address: SocketAddr, hand: usize, tokens: Arc<Tokens>) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut dice = Dice(1 + (gate * CONNECTIONS + hand) as u64);
    sleep(PAUSE.mul_f64(dice.below(1_000) as f64 / 1_000.0)).await;
    let mut connection = Connection::open(address).await;
    while !tokens.over.load(Ordering::Relaxed) {
        let token = tokens.choose(&mut dice);
        let shown = token.map_or(&tokens.living[hand % tokens.living.len()], |token| &tokens.dying[token]);
        let began = Instant::now();
        let client::Reply { status, .. } = connection.ask("HEAD", &Target::of(shown), &[]).await;
        answers.push(Answer { gate, token, began, ended: Instant::now(), status });
        sleep(PAUSE).await;
    }
    answers
}

impl Tokens {
    /// A token that lives on, one that was revoked just now or is next, or any that was revoked.
    fn choose(&self, dice: &mut Dice) -> Option<usize> {
        let revoked = self.revoked.load(Ordering::Relaxed);
        let last = self.dying.len() - 1;
        match dice.below(3) {
            0 => None,
            1 => Some((revoked.saturating_sub(2) + dice.below(5)).min(last)),
            _ => Some(dice.below(revoked + 1).min(last)),
        }
    }
}

impl Answer {
    /// How long after the acknowledgement the request began that was served all the same; the same by the end of the answer.
    pub fn late(&self, dying: &[Token]) -> Option<(Duration, Duration)> {
        let acknowledged = *dying[self.token?].acknowledged.get()?;
        let late = self.began.checked_duration_since(acknowledged)?;
        (self.status == 200).then(|| (late, self.ended.duration_since(acknowledged)))
    }

    /// True if it refused a token that was valid.
    pub fn is_false(&self, dying: &[Token]) -> bool {
        let begun = self.token.and_then(|token| dying[token].begun.get());
        matches!(self.status, 401 | 403 | 404) && begun.is_none_or(|&begun| self.ended < begun)
    }
}

/// Numbers that are the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

/// To each gate.
const CONNECTIONS: usize = 64;

/// Between two requests of a connection: three gates and everybody who asks them share a machine with two cores.
const PAUSE: Duration = Duration::from_millis(150);
