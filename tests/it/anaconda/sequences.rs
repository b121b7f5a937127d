//! Whatever people, their tools and administrators do, in whatever order: what the face gives opens no more than what it was given for.
//!
//! Beside every token that the face gives stands a reference that the face had no hand in: a token of the same user, or of nobody, in the same
//! organization, put into the store. What a given token opens at any moment, the reference opens too. The admin API opens to it only if it
//! opened to the token that it was asked for with. And a person whom something is refused is not worse off for having asked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;

use channelgate::account::Role;
use channelgate::store::{Actor, AuditRecord};
use channelgate::token::TokenState;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::stage::{Stage, by};
use crate::support::client;
use crate::support::gate::{Issued, fixture_channel};

const USERS: [&str; 2] = ["alice", "bob"];
const ORGANIZATIONS: [&str; 2] = ["acme", "zoo"];
const CHANNELS: [&str; 4] = ["main", "team/nested", "repo/main", "zoo-only"];
/// What tools and people ask for; the last is nothing at all.
const SCOPES: [&str; 7] = ["repos", "conda:download", "all", "api", "api:read", "api:write repos", ""];

/// Somebody's call, or an administrator's deed. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Install { with: usize, org: usize },
    Make { with: usize, org: Option<usize>, scopes: usize, note: usize, fails: bool },
    Login { user: usize, org: usize, scopes: usize },
    Drop { with: usize, note: usize },
    Logout { with: usize },
    Unseat { user: usize, org: usize },
    Seat { user: usize, org: usize },
    Disable { user: usize },
    Enable { user: usize },
    Restrict { org: usize, channel: usize },
    Join { user: usize, org: usize },
    Leave { user: usize, org: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (user, org, with) = (0..2_usize, 0..2_usize, 0..40_usize);
    prop_oneof![
        6 => (with.clone(), org.clone()).prop_map(|(with, org)| Step::Install { with, org }),
        8 => (with.clone(), proptest::option::of(org.clone()), 0..SCOPES.len(), 0..2_usize, any::<bool>())
            .prop_map(|(with, org, scopes, note, fails)| Step::Make { with, org, scopes, note, fails }),
        5 => (user.clone(), org.clone(), 0..SCOPES.len()).prop_map(|(user, org, scopes)| Step::Login { user, org, scopes }),
        1 => (with.clone(), 0..2_usize).prop_map(|(with, note)| Step::Drop { with, note }),
        1 => with.prop_map(|with| Step::Logout { with }),
        1 => (user.clone(), org.clone()).prop_map(|(user, org)| Step::Unseat { user, org }),
        2 => (user.clone(), org.clone()).prop_map(|(user, org)| Step::Seat { user, org }),
        1 => user.clone().prop_map(|user| Step::Disable { user }),
        2 => user.clone().prop_map(|user| Step::Enable { user }),
        1 => (org.clone(), 0..CHANNELS.len()).prop_map(|(org, channel)| Step::Restrict { org, channel }),
        2 => (user.clone(), org.clone()).prop_map(|(user, org)| Step::Join { user, org }),
        1 => (user, org).prop_map(|(user, org)| Step::Leave { user, org }),
    ]
}

/// A token that is at hand.
#[derive(Clone)]
struct Held {
    value: String,
    /// True if the admin API may open to it.
    may_api: bool,
}

struct World {
    stage: Stage,
    held: Vec<Held>,
    /// Tokens that the face gave: what each was given for.
    given: Vec<(Held, Option<&'static str>, String)>,
    /// What the face had no hand in, by user and organization.
    references: BTreeMap<(Option<&'static str>, String), Issued>,
}

impl World {
    async fn new() -> Self {
        let url = format!("file://{}", fixture_channel().display());
        let lines = format!("orgs = [\"zoo\"]\nupstreams = [\"{url}\"]");
        let stage = Stage::at(Stage::builder().channel_with("zoo-only", &lines)).await;
        let mut world = Self { stage, held: Vec::new(), given: Vec::new(), references: BTreeMap::new() };
        for org in ORGANIZATIONS {
            let store = world.stage.gate.store();
            store.create_group(org, "dev", &by(), world.stage.now()).await.unwrap();
            for user in [None, Some("alice"), Some("bob")] {
                world.refer(user, org).await;
            }
        }
        let of_zoo = ("zoo", "machine of zoo", "api:write conda:download", None, true);
        for (org, name, scopes, user, may_api) in [
            ("acme", "narrow", "conda:download", Some("alice"), false),
            ("acme", "everything", "all", Some("alice"), true),
            ("acme", "machine", "repos api:write", None, true),
            ("acme", "reader", "repos", None, false),
            of_zoo,
        ] {
            let issued = world.stage.scoped(org, name, scopes, user).await;
            world.held.push(Held { value: issued.value, may_api });
        }
        world
    }

    /// Puts the reference of a user in an organization into the store, if they have a seat there.
    async fn refer(&mut self, user: Option<&'static str>, org: &str) {
        let seat = match user {
            None => true,
            Some(user) => self.stage.gate.store().seat(org, user).await.unwrap().is_some(),
        };
        if seat {
            let name = format!(
                "reference {} {}",
                user.unwrap_or("nobody"),
                self.references.len() + self.given.len()
            );
            let issued = self.stage.scoped(org, &name, "all", user).await;
            self.references.insert((user, org.to_owned()), issued);
        }
    }

    fn with(&self, number: usize) -> &Held {
        &self.held[number % self.held.len()]
    }

    async fn reads(&self, value: &str, channel: &str) -> bool {
        let path = format!("/t/{value}/{channel}/noarch/repodata.json");
        self.stage.gate.head(&path).await.status == 200
    }

    /// True if the admin API answers a token for a question of its own organization.
    async fn reads_api(&self, value: &str, org: &str) -> bool {
        let header = format!("Bearer {value}");
        let path = format!("/api/v1/organizations/{org}/seats");
        let admin = self.stage.gate.admin();
        client::ask(admin, "GET", &path, &[("Authorization", &header)]).await.status == 200
    }

    /// What was given opens no more than its reference.
    async fn judge(
        &self,
        (held, user, org): &(Held, Option<&'static str>, String),
    ) -> Result<(), TestCaseError> {
        let reference = self.references.get(&(*user, org.clone()));
        for channel in CHANNELS {
            if self.reads(&held.value, channel).await {
                let allowed = match reference {
                    Some(reference) => self.reads(&reference.value, channel).await,
                    None => false,
                };
                prop_assert!(allowed, "{user:?} of {org} reads {channel}");
            }
        }
        for organization in ORGANIZATIONS {
            if self.reads_api(&held.value, organization).await {
                prop_assert!(
                    held.may_api && organization == org,
                    "{user:?} of {org} reads the API of {organization}"
                );
            }
        }
        Ok(())
    }

    /// Whose a token is, and of which organization, as the store has it.
    async fn whose(&self, value: &str) -> (Option<&'static str>, String) {
        let digest = channelgate::token::TokenDigest::of(value.as_bytes());
        let record = self.stage.gate.store().token_by_digest(&digest).await.unwrap().standing.unwrap().token;
        let user = USERS.into_iter().find(|user| record.user.as_deref() == Some(user));
        assert_eq!(user.is_some(), record.user.is_some());
        (user, record.organization.to_string())
    }

    async fn gained(&mut self, value: &str, may_api: bool) -> Result<(), TestCaseError> {
        let held = Held { value: value.to_owned(), may_api };
        let (user, org) = self.whose(value).await;
        let given = (held.clone(), user, org);
        self.judge(&given).await?;
        self.given.push(given);
        self.held.push(held);
        Ok(())
    }

    /// The living individual tokens of everybody.
    async fn individuals(&self) -> Vec<Option<channelgate::token::TokenId>> {
        let (store, now) = (self.stage.gate.store(), self.stage.now());
        let mut living = Vec::new();
        for org in ORGANIZATIONS {
            for user in USERS {
                living.push(store.living_token(org, Some(user), now).await.unwrap().map(|record| record.id));
            }
        }
        living
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (store, now) = (self.stage.gate.store().clone(), self.stage.now());
        match *step {
            Step::Install { with, org } => {
                let held = self.with(with).clone();
                let before = self.individuals().await;
                let authorization = format!("Bearer {}", held.value);
                let path = format!("/api/organizations/{}/ce/current-token", ORGANIZATIONS[org]);
                let looked = self.stage.ask(&authorization, "GET", &path, &Value::Null).await;
                let reply = self.stage.ask(&authorization, "PUT", &path, &json!({ "confirm": "yes" })).await;
                if reply.status == 200 {
                    prop_assert!(
                        matches!(looked.status, 200 | 404),
                        "refused at GET only: {}",
                        looked.status
                    );
                    let value = reply.json()["token"].as_str().unwrap().to_owned();
                    prop_assert!(self.reads(&value, "repo/main").await, "the tool tries it next");
                    self.gained(&value, false).await?;
                } else {
                    prop_assert_eq!(self.individuals().await, before, "{} took a token away", reply.status);
                }
            }
            Step::Make { with, org, scopes, note, fails } => {
                let held = self.with(with).clone();
                let scopes: Vec<&str> = SCOPES[scopes].split_whitespace().collect();
                let body = json!({
                    "scopes": if scopes.is_empty() { Value::Null } else { json!(scopes) },
                    "note": format!("note {note}"),
                    "user": org.map(|org| ORGANIZATIONS[org]),
                    "max-age": Value::Null,
                    "strength": "strong",
                    "fail-if-exists": fails,
                });
                let authorization = format!("token {}", held.value);
                let reply = self.stage.ask(&authorization, "POST", "/authentications", &body).await;
                if reply.status == 200 {
                    let value = reply.json()["token"].as_str().unwrap().to_owned();
                    let asked_for_api =
                        scopes.iter().any(|scope| *scope == "all" || scope.starts_with("api"));
                    self.gained(&value, held.may_api && asked_for_api).await?;
                }
            }
            Step::Login { user, org, scopes } => {
                let (user, org) = (USERS[user], ORGANIZATIONS[org]);
                let enabled = store.user(user).await.unwrap().is_none_or(|user| !user.is_disabled());
                if store.seat(org, user).await.unwrap().is_none() || !enabled {
                    return Ok(());
                }
                let authorization = format!("Bearer {}", self.stage.let_in(user, org).await);
                let scopes: Vec<&str> =
                    SCOPES[scopes].split_whitespace().chain(["cloud:read", "repo:read"]).collect();
                let body = json!({ "scopes": scopes });
                let reply = self.stage.ask(&authorization, "POST", "/api/auth/api-keys", &body).await;
                if reply.status == 201 {
                    let value = reply.json()["api_key"].as_str().unwrap().to_owned();
                    self.gained(&value, false).await?;
                }
            }
            Step::Drop { with, note } => {
                let authorization = format!("token {}", self.with(with).value);
                let path = format!("/authentications/name/note%20{note}");
                self.stage.ask(&authorization, "DELETE", &path, &Value::Null).await;
            }
            Step::Logout { with } => {
                let authorization = format!("token {}", self.with(with).value);
                self.stage.ask(&authorization, "DELETE", "/authentications", &Value::Null).await;
            }
            Step::Unseat { user, org } => {
                if store.remove_seat(ORGANIZATIONS[org], USERS[user], &by(), now).await.is_ok() {
                    self.references.remove(&(Some(USERS[user]), ORGANIZATIONS[org].to_owned()));
                }
            }
            Step::Seat { user, org } => {
                let placed =
                    store.assign_seat(ORGANIZATIONS[org], USERS[user], Role::Admin, &by(), now).await;
                let enabled = store.user(USERS[user]).await.unwrap().is_none_or(|user| !user.is_disabled());
                if placed.unwrap().is_new && enabled {
                    self.refer(Some(USERS[user]), ORGANIZATIONS[org]).await;
                }
            }
            Step::Disable { user } => self.stage.disable(USERS[user]).await,
            Step::Enable { user } => {
                let _ = store.enable_user(USERS[user], &by(), now).await;
                for org in ORGANIZATIONS {
                    if !self.references.contains_key(&(Some(USERS[user]), org.to_owned())) {
                        self.refer(Some(USERS[user]), org).await;
                    }
                }
            }
            Step::Restrict { org, channel } => {
                let grant = channelgate::account::Grant::whole(
                    CHANNELS[channel],
                    channelgate::account::Permission::Read,
                );
                store.grant(ORGANIZATIONS[org], "dev", &grant, &by(), now).await.unwrap();
            }
            Step::Join { user, org } => {
                let _ = store.add_member(ORGANIZATIONS[org], "dev", USERS[user], &by(), now).await;
            }
            Step::Leave { user, org } => {
                let _ = store.remove_member(ORGANIZATIONS[org], "dev", USERS[user], &by(), now).await;
            }
        }
        self.stage.gate.app.verifier().catch_up().await.unwrap();
        Ok(())
    }

    async fn run(steps: &[Step]) -> Result<usize, TestCaseError> {
        let mut world = Self::new().await;
        for step in steps {
            world.take(step).await?;
        }
        for given in &world.given {
            world.judge(given).await?;
        }
        // Of a disabled user no API key is left.
        let (store, now) = (world.stage.gate.store(), world.stage.now());
        for user in USERS {
            if store.user(user).await.unwrap().is_some_and(|user| user.is_disabled()) {
                let living = store.tokens_of_user(user, None, None, 1_000, now).await.unwrap();
                prop_assert!(living.iter().all(|listed| !listed.record.api_key));
            }
        }
        let verdict = store.verify_audit(None).await.unwrap();
        prop_assert!(matches!(verdict, channelgate::store::AuditVerdict::Intact { .. }), "{:?}", verdict);
        Ok(world.given.len())
    }
}

#[test]
fn no_sequence_of_calls_gives_more_than_was_there() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let given = Cell::new(0);
    let config = Config { cases: 12, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    // What comes of a dozen sequences differs: where it is little, another dozen is tried.
    for _ in 0..4 {
        let outcome =
            TestRunner::new(config.clone()).run(&proptest::collection::vec(step(), 10..40), |steps| {
                given.set(given.get() + runtime.block_on(World::run(&steps))?);
                Ok(())
            });
        if let Err(error) = outcome {
            panic!("{error}");
        }
        if given.get() > 30 {
            return;
        }
    }
    panic!("{} tokens were given: too little was tried", given.get());
}

/// What a record says but for who, when and which.
fn told(record: &AuditRecord) -> Value {
    let mut after = record.after.clone().unwrap_or_default();
    let mut before = record.before.clone().unwrap_or_default();
    for token in [Some(&mut after), before.get_mut("token")].into_iter().flatten() {
        for varying in ["generation", "ended_at"] {
            token.as_object_mut().unwrap().remove(varying);
        }
    }
    if let Some(before) = before.as_object_mut() {
        before.remove("replaced");
    }
    json!({ "action": record.action, "organization": record.organization, "user": record.user, "before": before, "after": after })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reissue_by_a_person_is_the_one_of_the_command_line() {
    let stage = Stage::new().await;
    let key = stage.api_key("alice", "acme").await;
    let issue = async || {
        let config = stage.gate.directory.path().join("channelgate.toml");
        let arguments = ["token", "issue", "acme", "--user", "alice", "--yes", "--json", "--config"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_channelgate"));
        command.args(arguments).arg(config);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stage.gate.app.verifier().catch_up().await.unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let first = issue().await;
    assert_eq!(stage.reads(&first).await, "200");
    let path = "/api/organizations/acme/ce/current-token";
    let second = stage.put(&key, path).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((stage.reads(&first).await, stage.reads(&second).await), ("401".into(), "200".into()));
    let third = issue().await;
    let fourth = stage.put(&key, path).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((stage.reads(&second).await, stage.reads(&third).await), ("401".into(), "401".into()));
    let records = stage.audit("token.issue").await;
    // The first is the start's, of `default`.
    let [_, _, by_person, by_command, again] = &records[..] else { panic!("{records:?}") };
    assert_eq!(by_person.actor.name, Actor::user("alice", None).name);
    assert!(by_person.actor.from.is_some() && by_command.actor.from.is_none());
    assert!(by_command.actor.name.starts_with("cli:"), "{by_command:?}");
    assert_eq!(told(by_person), told(by_command));
    assert_eq!(told(by_person), told(again));
    // The generations go on, whoever issues; of all that were issued the last one lives.
    let store = stage.gate.store();
    let living = store.living_token("acme", Some("alice"), stage.now()).await.unwrap().unwrap();
    assert_eq!((living.generation, living.state(stage.now())), (4, TokenState::Live));
    assert_eq!(stage.reads(&fourth).await, "200");
}
