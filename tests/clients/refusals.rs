//! What a client without a valid token gets: 401, and a sentence for the person.
//!
//! rattler shows the status and the address, the token masked, and keeps the body to itself (conda prints it); so the body is asked
//! for once more, plainly.

use serde_json::Value;

use crate::client::{Answer, Attempt, Carrier, Outcome};
use crate::gate;

/// Checks that the client failed with 401 and never printed the token; returns the problem body.
fn problem(outcome: &Outcome, token: &str) -> Value {
    let (words, answer) = outcome.refused();
    assert!(words.contains("401"), "{words}");
    assert!(token.is_empty() || !words.contains(token), "the client prints the token");
    let Answer { status, content_type, body } = answer;
    assert_eq!(*status, 401, "{body}");
    assert_eq!(content_type.as_deref(), Some("application/problem+json"));
    assert!(token.is_empty() || !body.contains(token), "the body holds the token");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert!(problem["detail"].is_string() && problem["message"].is_string(), "conda shows either: {problem}");
    problem
}

#[test]
fn client_without_a_token_is_refused_as_token_missing() {
    let gate = gate::plaintext();
    for (channel, shards) in [("demo", true), ("demo", false), ("team/demo", true), ("no-such-channel", true)]
    {
        let outcome = Attempt { channel, shards, ..Attempt::at(&gate) }.run();
        assert_eq!(problem(&outcome, "")["code"], "token_missing", "{channel}, shards: {shards}");
    }
}

#[test]
fn client_with_an_unknown_token_is_refused_even_on_a_public_channel() {
    let gate = gate::plaintext();
    let token = "cg-0000000000000000000000000000000000canary";
    for channel in ["demo", "demo-public"] {
        let outcome = Attempt { channel, carrier: Carrier::Path, token, ..Attempt::at(&gate) }.run();
        assert_eq!(problem(&outcome, token)["code"], "token_unknown", "{channel}");
    }
    assert!(!gate.log().contains(token), "the gate's log holds a token");
}

#[test]
fn client_with_a_revoked_token_is_refused_and_the_sentence_arrives() {
    let gate = gate::plaintext();
    let token = gate.create_token("soon revoked");
    let attempt = |carrier| Attempt { carrier, token: &token.value, ..Attempt::at(&gate) };
    assert_eq!(attempt(Carrier::Path).run().installed().len(), 5, "it serves until it is revoked");

    gate.revoke(&token);

    let outcome = attempt(Carrier::Path).run();
    let problem = problem(&outcome, &token.value);
    assert_eq!(problem["code"], "token_revoked");
    let sentence = problem["detail"].as_str().unwrap();
    assert!(sentence.contains("revoked"), "{sentence}");
    assert!(sentence.contains(&token.name) || sentence.contains(&token.id), "which token: {sentence}");
    for carrier in [Carrier::CondaToken, Carrier::BearerToken, Carrier::BasicHttp] {
        let outcome = attempt(carrier).run();
        let (words, _) = outcome.refused();
        assert!(words.contains("401"), "{carrier:?}: {words}");
        assert!(!words.contains(&token.value), "{carrier:?}: the client prints the token");
    }
    assert!(!gate.log().contains(&token.value), "the gate's log holds a token");
}
