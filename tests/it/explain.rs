//! The explanation of a request is the answer to it: for random organizations, groups, grants of packages and labels, rules, tokens and paths.

use std::time::Duration;

use channelgate::account::{Grant, Permission, Role, Subscription};
use channelgate::cli::explain::{Request, explain};
use channelgate::config::{Config, Environment};
use channelgate::store::{Actor, ActsAs, NewToken, Purpose};
use channelgate::token::{End, EndCause, Minted, Scope, Scopes};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};

use crate::support::gate::{Gate, fixture_channel};

const ORGANIZATIONS: [&str; 2] = ["acme", "beta"];
const USERS: [&str; 2] = ["alice", "bob"];
const GROUPS: [&str; 2] = ["builders", "testers"];
/// As [`gate`] configures them, and one that it does not.
const CHANNELS: [&str; 6] = ["main", "main/inner", "acme-only", "open", "open/inner", "none"];
/// What rules say of the files below, none of which is new.
const RULES: [&str; 6] = [
    "",
    "{ packages = \"hello*\", action = \"block\", reason = \"why\" }",
    "{ packages = \"hello-noarch 1.0\", action = \"allow\" }, { packages = \"*\", action = \"block\" }",
    "{ packages = \"*\", action = \"block\", mode = \"shadow\" }",
    "{ packages = \"*\", quarantine = \"7d\" }",
    "{ packages = \"*\", quarantine = \"7d\" }, { packages = \"hello-noarch >1.0\", action = \"block\" }",
];
/// The packages and labels that grants are for.
const TERMS: [(&[&str], &[&str]); 5] = [
    (&[], &[]),
    (&["hello*"], &[]),
    (&["libtiny", "plus"], &[]),
    (&[], &["dev"]),
    (&["*-noarch"], &["main", "rc"]),
];
const FILES: [&str; 11] = [
    "noarch/repodata.json",
    "noarch/hello-noarch-1.0-0.conda",
    "noarch/absent-1.0-0.conda",
    "label/dev/noarch/repodata.json",
    "label/dev/noarch/hello-noarch-1.1-0.conda",
    "label/rc/noarch/hello-noarch-1.0-0.conda",
    "noarch/odd.conda",
    "notices.json",
    "noarch/a/b",
    "inner/noarch/repodata.json",
    "../main",
];

/// Indexes into the names above.
#[derive(Clone, Debug)]
struct World {
    members: Vec<(usize, usize, usize)>,
    grants: Vec<(usize, usize, usize, usize)>,
    /// One for each configured channel.
    rules: Vec<usize>,
    tokens: Vec<Token>,
    cancelled: Option<usize>,
    seat_removed: Option<(usize, usize)>,
    requests: Vec<(usize, usize, usize, usize)>,
}

#[derive(Clone, Debug)]
struct Token {
    organization: usize,
    holder: usize,
    scope: usize,
    channels: Option<Vec<usize>>,
    expires: bool,
    revoked: bool,
}

fn world() -> impl Strategy<Value = World> {
    let token = (0..2_usize, 0..7_usize, 0..Scope::EVERY.len() * 2, any::<Option<[bool; 6]>>(), 0..6_u8);
    let token = token.prop_map(|(organization, holder, scope, channels, fate)| Token {
        organization,
        holder,
        // Half of them read channels.
        scope: if scope < Scope::EVERY.len() { scope } else { 1 },
        channels: channels.map(|chosen| (0..6).filter(|&index| chosen[index]).collect()),
        expires: fate == 0,
        revoked: fate == 1,
    });
    let some = |strategy| proptest::option::weighted(0.2, strategy);
    (
        prop::collection::vec((0..2_usize, 0..2_usize, 0..2_usize), 0..4),
        prop::collection::vec((0..2_usize, 0..2_usize, 0..6_usize, 0..TERMS.len()), 0..6),
        prop::collection::vec(0..RULES.len(), 5),
        prop::collection::vec(token, 1..8),
        some(0..2_usize),
        proptest::option::weighted(0.2, (0..2_usize, 0..2_usize)),
        prop::collection::vec((0..10_usize, 0..6_usize, 0..FILES.len(), 0..4_usize), 40),
    )
        .prop_map(|(members, grants, rules, tokens, cancelled, seat_removed, requests)| World {
            members,
            grants,
            rules,
            tokens,
            cancelled,
            seat_removed,
            requests,
        })
}

async fn gate(world: &World) -> Gate {
    let url = format!("file://{}", fixture_channel().display());
    let access = ["", "", "orgs = [\"acme\"]", "access = \"public\"", ""];
    let mut builder = Gate::builder();
    for ((name, access), &rules) in CHANNELS.iter().zip(access).zip(&world.rules) {
        let lines = format!("{access}\nupstreams = [\"{url}\"]\nrules = [{}]", RULES[rules]);
        builder = builder.channel_with(name, &lines);
    }
    builder.manual_clock().start().await
}

/// Makes the world at a gate; returns the tokens' values.
async fn make(world: &World, gate: &Gate) -> Vec<String> {
    let (store, by, now) = (gate.store(), Actor::local("cli:test@here"), gate.app.clock().now());
    for organization in ORGANIZATIONS {
        store
            .create_organization(organization, organization, Subscription::default(), &by, now)
            .await
            .unwrap();
        for user in USERS {
            store.assign_seat(organization, user, Role::Member, &by, now).await.unwrap();
        }
        for group in GROUPS {
            store.create_group(organization, group, &by, now).await.unwrap();
        }
    }
    for &(organization, group, user) in &world.members {
        store.add_member(ORGANIZATIONS[organization], GROUPS[group], USERS[user], &by, now).await.unwrap();
    }
    for &(organization, group, channel, terms) in &world.grants {
        let [packages, labels] = [TERMS[terms].0, TERMS[terms].1]
            .map(|texts| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let grant = Grant { packages, labels, ..Grant::whole(CHANNELS[channel], Permission::Read) };
        store.grant(ORGANIZATIONS[organization], GROUPS[group], &grant, &by, now).await.unwrap();
    }
    let mut values = vec![gate.bootstrap_token(), "garbage".to_owned()];
    for (index, token) in world.tokens.iter().enumerate() {
        let organization = ORGANIZATIONS[token.organization];
        let name = index.to_string();
        let purpose = match token.holder {
            0 => Purpose::Site,
            1 | 2 => Purpose::Individual { user: USERS[token.holder - 1].to_owned() },
            3 | 4 => {
                Purpose::Scoped { name, acts_as: Some(ActsAs::User(USERS[token.holder - 3].to_owned())) }
            }
            5 => Purpose::Scoped { name, acts_as: Some(ActsAs::Group(GROUPS[0].to_owned())) },
            _ => Purpose::Scoped { name, acts_as: None },
        };
        let is_scoped = matches!(purpose, Purpose::Scoped { .. });
        let channels = token.channels.as_ref().filter(|_| is_scoped);
        let new = NewToken {
            organization: organization.to_owned(),
            purpose,
            scopes: if is_scoped {
                Scopes::of(&[Scope::EVERY[token.scope]])
            } else {
                Scopes::of(&[Scope::Repos])
            },
            channels: channels.map(|chosen| chosen.iter().map(|&index| CHANNELS[index].to_owned()).collect()),
            expires_at: (is_scoped && token.expires).then(|| now.plus(Duration::from_secs(60))),
            imported: false,
            api_key: None,
            replaces_namesake: false,
        };
        let minted = Minted::random().unwrap();
        let issued = store.insert_token(&new, &minted.digest(), &by, now, Duration::ZERO).await.unwrap();
        if token.revoked {
            let end = End { cause: EndCause::Revoked, at: now, reason: None };
            store.end_token(issued.record.id, &end, &by, now).await.unwrap();
        }
        values.push(minted.expose().to_owned());
    }
    if let Some((organization, user)) = world.seat_removed {
        store.remove_seat(ORGANIZATIONS[organization], USERS[user], &by, now).await.unwrap();
    }
    if let Some(organization) = world.cancelled {
        store.cancel_organization(ORGANIZATIONS[organization], &by, now).await.unwrap();
    }
    gate.hands.as_ref().unwrap().advance(Duration::from_secs(120));
    gate.app.verifier().catch_up().await.unwrap();
    values
}

/// Asks the data plane and `explain`; their answers must be one.
async fn check(world: &World) -> Result<(), TestCaseError> {
    let gate = gate(world).await;
    let values = make(world, &gate).await;
    let config =
        Config::load(&gate.directory.path().join("channelgate.toml"), &Environment::default()).unwrap();
    for &(token, channel, file, carrier) in &world.requests {
        let rest = format!("{}/{}", CHANNELS[channel], FILES[file]);
        let value = values.get(token);
        let (path, header) = match (value, carrier) {
            (Some(value), 0 | 1) => (format!("/t/{value}/{rest}"), None),
            (Some(value), 2) => (format!("/{rest}"), Some(("Authorization", format!("Bearer {value}")))),
            (Some(value), _) => (format!("/{rest}"), Some(("X-Auth", value.clone()))),
            (None, 0) => (format!("/t/*****/{rest}"), None),
            (None, _) => (format!("/{rest}"), None),
        };
        let headers: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = gate.ask("GET", &path, &headers).await;
        let given: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let request = Request::read(&path, &given).unwrap();
        let explanation = explain(&request, &config, gate.app.verifier(), gate.app.clock().now()).await;
        let told = serde_json::to_value(&explanation).unwrap();
        let shown = path.replace(value.map_or("*****", String::as_str), "<TOKEN>");

        if explanation.decision == "permit" {
            // What is permitted may not be there.
            prop_assert!([200, 404].contains(&reply.status), "{shown}: {} but {told:#}", reply.verdict());
            let is_absent =
                FILES[file].contains("absent") || FILES[file].contains("/rc/") || FILES[file].contains("odd");
            prop_assert!(reply.status == 200 || is_absent, "{shown}: {} but {told:#}", reply.verdict());
        } else {
            let explained = format!("{} {}", explanation.status, explanation.decision);
            prop_assert_eq!(reply.verdict(), explained, "{}: {:#}", shown, &told);
        }
        prop_assert!(
            value.is_none_or(|value| !told.to_string().contains(value.as_str()) || value == "garbage")
        );
        // The steps lead to the decision: nothing is asked behind the first no, and a permit has none.
        let steps = told["steps"].as_array().unwrap();
        let no = |step: &&serde_json::Value| step["passes"] == false && step["step"] != "public";
        if explanation.decision == "permit" {
            prop_assert_eq!(steps.iter().filter(no).count(), 0, "{:#}", &told);
            let is_group = told["rule"] == "group";
            prop_assert_eq!(is_group, told["grant"].is_object(), "{:#}", &told);
        } else if let Some(first) = steps.iter().position(|step| no(&step)) {
            prop_assert!(steps[first + 1..].iter().all(|step| step["passes"].is_null()), "{told:#}");
        }
        let refusing = steps.iter().find(no).map(|step| step["step"].as_str().unwrap());
        let expected = match told["rule"].as_str().unwrap() {
            "scope_missing" => Some("scope"),
            "no_such_channel" => Some("channel exists"),
            "other_organization" => Some("organization"),
            "other_channels" => Some("token's channels"),
            "groups_only" => Some("groups"),
            "other_labels" => Some("labels"),
            "not_granted" | "channel_rule" => Some("package"),
            _ => refusing,
        };
        // Below a readable channel, one that is not looks like one that is not there: the rule says so, the steps say why.
        prop_assert!(refusing == expected || told["rule"] == "no_such_channel", "{told:#}");
    }
    Ok(())
}

#[test]
fn explanation_is_the_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let runs = Runs { cases: 24, failure_persistence: None, max_shrink_iters: 64, ..Runs::default() };
    TestRunner::new(runs).run(&world(), |world| runtime.block_on(check(&world))).unwrap();
}
