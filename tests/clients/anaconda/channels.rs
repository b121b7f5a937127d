//! What conda sends to the channels after the tools have been at work, and what the gate answers: anaconda-auth's own plugin for conda, the
//! token files of anaconda-client, and py-rattler with what they hold.

use serde::Deserialize;

use super::person::Person;
use super::token_install::listed;
use crate::client::{Attempt, Carrier};
use crate::gate;

/// A request of conda's and its answer; or why conda ended.
#[derive(Debug, Deserialize)]
struct Fetched {
    #[serde(default)]
    sent: String,
    authorization: Option<String>,
    #[serde(default)]
    status: u16,
    error: Option<String>,
}

fn fetch(person: &Person<'_>, plugin: bool, paths: &[&str]) -> Vec<Fetched> {
    let origin = &person.gate.origin;
    let urls: Vec<String> = paths.iter().map(|path| format!("{origin}{path}")).collect();
    let asked =
        serde_json::json!({ "channel": format!("{origin}/repo/main"), "plugin": plugin, "urls": urls });
    let said = person.python("conda_fetch.py", &asked.to_string()).succeeded();
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn plugin_sends_the_api_key_and_it_opens_the_channels() {
    let gate = gate::people();
    let person = Person::seated(&gate, "bearer");
    person.log_in();
    person.anaconda(&["token", "install", "-y", "-o", "acme"]).succeeded();
    let token = listed(&person);
    let both = format!("/t/{token}/repo/r/linux-64/repodata.json");
    let paths = [
        "/repo/main/notices.json",
        "/repo/main/noarch/repodata.json",
        &both,
        "/open/noarch/repodata.json",
        "/repo/main/noarch/nosuch.json",
    ];
    let fetched = fetch(&person, true, &paths);
    for fetched in &fetched {
        // The key, although there is a token: beside a token in the path too.
        assert!(fetched.authorization.as_ref().unwrap().starts_with("Bearer ey"), "{fetched:?}");
    }
    let statuses: Vec<u16> = fetched.iter().map(|fetched| fetched.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 404]);

    let key = fetched[0].authorization.as_ref().unwrap().strip_prefix("Bearer ").unwrap();
    let attempt =
        Attempt { carrier: Carrier::BearerToken, token: key, channel: "repo/main", ..Attempt::at(&gate) };
    assert_eq!(attempt.run().installed().len(), 5);
    assert!(!gate.log().contains(key), "the gate's log holds an API key");

    gate.run(&["user", "disable", "bearer", "--yes"]);
    let after = fetch(&person, true, &["/repo/main/noarch/repodata.json"]);
    let error = after[0].error.as_ref().unwrap();
    assert!(
        error.contains("Received authentication error (401)") && error.contains("anaconda login"),
        "{error}"
    );
}

#[test]
fn plugin_sends_the_repository_token_where_there_is_no_key() {
    let gate = gate::people();
    let person = Person::stranger(&gate, "tokenonly");
    gate.run(&["seat", "assign", "acme", "tokenonly"]);
    let token = String::from_utf8(gate.run(&["token", "issue", "acme", "--user", "tokenonly"])).unwrap();
    person.anaconda(&["token", "install", token.trim(), "-o", "acme", "-y"]).succeeded();
    let fetched = fetch(&person, true, &["/repo/main/noarch/repodata.json"]);
    assert_eq!(fetched[0].authorization, Some(format!("token {}", token.trim())));
    assert_eq!(fetched[0].status, 200);
}

#[test]
fn token_file_of_org_login_opens_every_channel_of_the_gate() {
    let gate = gate::people();
    let person = Person::seated(&gate, "tokenfile");
    person.log_in();
    person.configure_client();
    person.anaconda(&["org", "login"]).succeeded();
    // Without the plugin conda puts the file's token into every URL of the gate, a public channel's too.
    let fetched = fetch(&person, false, &["/repo/main/noarch/repodata.json", "/open/noarch/repodata.json"]);
    for fetched in &fetched {
        assert!(fetched.sent.starts_with(&format!("{}/t/cg-", gate.origin)), "{fetched:?}");
        assert_eq!(fetched.status, 200);
    }
    let token = fetched[0].sent.split('/').nth(4).unwrap();
    for carrier in [Carrier::CondaToken, Carrier::Path] {
        let attempt = Attempt { carrier, token, channel: "repo/main", ..Attempt::at(&gate) };
        assert_eq!(attempt.run().installed().len(), 5, "{carrier:?}");
    }
}

/// CEP 6: the notices of a channel, and a word of the gate's on a token that ends soon.
#[test]
fn notices_tell_those_who_send_a_header_when_their_token_ends() {
    let gate = gate::people();
    let person = Person::seated(&gate, "ending");
    let notices = |token: &str| {
        let mut visitor = person.visitor();
        visitor.headers = vec![("Authorization", format!("token {token}"))];
        let page = visitor.open(&format!("{}/repo/main/notices.json", gate.origin));
        assert_eq!(page.status, 200, "{}", page.body);
        serde_json::from_str::<serde_json::Value>(&page.body).unwrap()["notices"].clone()
    };
    let create = |name: &str, life: &str| {
        let options = ["--scopes", "repos", "--user", "ending", "--expires-in", life];
        String::from_utf8(gate.run(&[&["token", "create", "acme", "--name", name], &options[..]].concat()))
            .unwrap()
    };
    let own = |notices: &serde_json::Value, name: &str| {
        let mut own = notices.as_array().unwrap().clone();
        own.retain(|notice| notice["message"].as_str().unwrap().contains(name));
        own
    };
    let soon = notices(create("ends soon", "20d").trim());
    assert_eq!(own(&soon, "This channel is a test fixture.").len(), 1, "the upstream's own: {soon}");
    let [notice] = &own(&soon, "ends soon")[..] else { panic!("{soon}") };
    for key in ["id", "message", "level", "created_at", "expired_at"] {
        assert!(notice[key].is_string(), "{key}: {notice}");
    }
    let late = notices(create("ends late", "60d").trim());
    assert!(own(&late, "ends late").is_empty(), "{late}");
}
