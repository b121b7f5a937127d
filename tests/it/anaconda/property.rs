//! No sequence of requests gives anybody more than the rules give whoever asked.

use channelgate::token::{Scope, TokenKind, TokenRecord};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::support::gate::Issued;

/// Everything that is made comes from somebody who could read as much and had every scope, and of several thousand wishes some come true.
#[tokio::test]
async fn nothing_that_is_made_can_do_more_than_its_maker() {
    let stage = Stage::new().await;
    // Nobody but a site's token and machines reads `main`; bob, in no group, cannot.
    stage.restrict("acme", "main").await;
    let mut tokens = vec![
        stage.api_key("alice", "acme").await,
        stage.api_key("alice", "zoo").await,
        stage.api_key("bob", "acme").await,
        stage.individual("acme", "bob").await,
        stage.scoped("acme", "narrow", "conda:download", Some("alice")).await,
        stage.scoped("acme", "wide", "repos api:read", Some("alice")).await,
        stage.scoped("acme", "machine", "conda api:write", None).await,
        stage.scoped("acme", "everything", "all", None).await,
    ];
    let mut random = Random(20_260_517);
    let (mut made, mut refused) = (0, 0);
    for nth in 0..250 {
        let maker = tokens[random.below(tokens.len())].clone();
        let (method, path, body) = wish(&mut random, nth);
        let could = readable(&stage, &maker).await;
        let authorization = format!("Bearer {}", maker.value);
        let reply = stage.ask(&authorization, method, path, &body).await;
        if reply.status != 200 {
            assert!([400, 401, 403, 404].contains(&reply.status), "{method} {path} {body}: {}", reply.json());
            refused += 1;
            continue;
        }
        made += 1;
        let token =
            Issued { id: stage.id_of(&reply), value: reply.json()["token"].as_str().unwrap().to_owned() };
        let (by, of) = (record(&stage, &maker).await, record(&stage, &token).await);
        assert!(of.user == by.user, "{body}: somebody else's");
        let scopes_held = |scope: Scope| {
            if by.api_key { Scope::Repos == scope || covers_repos(scope) } else { by.scopes.cover(scope) }
        };
        for scope in of.scopes.iter() {
            assert!(scopes_held(scope), "{by} made {of} with {}", scope.as_str());
        }
        assert!(!of.operator && of.expires_at.is_some() | (of.kind == TokenKind::Individual));
        if of.organization == by.organization {
            let can = readable(&stage, &token).await;
            // By then its maker may be dead: what counts is what it could read when it asked.
            assert!(
                can.iter().all(|channel| could.contains(channel)),
                "{by} could {could:?}, {of} can {can:?}"
            );
        }
        tokens.push(token);
    }
    assert!(made > 20 && refused > 20, "{made} made, {refused} refused: the wishes are no longer mixed");
}

/// What a person has: all repositories.
fn covers_repos(scope: Scope) -> bool {
    use Scope::{Conda, CondaDownload, Pypi, PypiDownload, PypiUpload, Repos};
    matches!(scope, Repos | Conda | CondaDownload | Pypi | PypiDownload | PypiUpload)
}

/// The channels that a token opens.
async fn readable(stage: &Stage, token: &Issued) -> Vec<&'static str> {
    let mut channels = Vec::new();
    for channel in ["main", "repo/main", "team/nested", "open"] {
        let path = format!("/t/{}/{channel}/noarch/repodata.json", token.value);
        if stage.gate.head(&path).await.status == 200 {
            channels.push(channel);
        }
    }
    channels
}

async fn record(stage: &Stage, token: &Issued) -> TokenRecord {
    stage.gate.store().token(token.id).await.unwrap().unwrap()
}

fn wish(random: &mut Random, nth: usize) -> (&'static str, &'static str, Value) {
    if random.below(5) == 0 {
        let paths = ["/api/organizations/acme/ce/current-token", "/api/organizations/zoo/ce/current-token"];
        return ("PUT", paths[random.below(2)], json!({"confirm": "yes"}));
    }
    let scopes = [
        Value::Null,
        json!([]),
        json!(["repos"]),
        json!(["conda:download"]),
        json!(["conda", "pypi:upload"]),
        json!(["all"]),
        json!(["api"]),
        json!(["api:write", "conda"]),
        json!(["api:read"]),
    ];
    let orgs = [Value::Null, json!("acme"), json!("zoo")];
    let wish = json!({
        "note": if random.below(4) == 0 { "same".to_owned() } else { format!("token {nth}") },
        "scopes": scopes[random.below(scopes.len())],
        "user": orgs[random.below(orgs.len())],
        "max-age": if random.below(2) == 0 { Value::Null } else { json!(3_600) },
        "fail-if-exists": random.below(2) == 0,
    });
    ("POST", "/authentications", wish)
}

/// The same numbers each time (Knuth's multiplier).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}
