//! What a valid token installs, by every carrier the client knows.

use std::path::PathBuf;
use std::sync::Arc;

use crate::client::{Attempt, Carrier};
use crate::gate::{self, Gate};

/// Installs everything through both gates, with shards and without, and looks for the token where it should not be.
fn carrier_installs(carrier: Carrier) {
    let gates: [fn() -> Arc<Gate>; 2] = [gate::plaintext, gate::tls];
    for gate in gates {
        let gate = gate();
        let token = gate.create_token(&format!("installs by {carrier:?}"));
        for shards in [true, false] {
            let outcome = Attempt { carrier, token: &token.value, shards, ..Attempt::at(&gate) }.run();
            let expected =
                ["epoch=1!2.0", "hello-noarch=1.0", "libtiny=1.1", "plus=1.0+cu118", "tinyapp=2.0"];
            assert_eq!(outcome.installed(), expected, "{carrier:?} at {}, shards: {shards}", gate.origin);
            assert_eq!(outcome.file("share/tinyapp/version.txt"), "tinyapp 2.0\n");
            assert_eq!(outcome.file("share/plus/version.txt"), "plus 1.0+cu118\n");
            if carrier != Carrier::Path {
                // A token in a URL that a person typed is kept by the client in conda-meta and its caches. One from the
                // client's store would only come there out of something the gate sent.
                assert_eq!(outcome.files_with(&token.value), Vec::<PathBuf>::new(), "{carrier:?}");
            }
        }
        assert!(!gate.log().contains(&token.value), "the gate's log holds a token");
    }
}

#[test]
fn token_in_the_path_installs() {
    carrier_installs(Carrier::Path);
}

#[test]
fn conda_token_installs() {
    carrier_installs(Carrier::CondaToken);
}

#[test]
fn bearer_token_installs() {
    carrier_installs(Carrier::BearerToken);
}

#[test]
fn basic_password_installs() {
    carrier_installs(Carrier::BasicHttp);
}

#[test]
fn site_token_of_the_first_start_installs() {
    let gate = gate::plaintext();
    let outcome = Attempt { carrier: Carrier::Path, token: &gate.site_token, ..Attempt::at(&gate) }.run();
    assert_eq!(outcome.installed().len(), 5);
    assert!(!gate.log().contains(&gate.site_token), "the gate's log holds a token");
}

#[test]
fn label_channel_installs_its_own_packages() {
    let gate = gate::plaintext();
    let token = gate.create_token("label");
    for carrier in [Carrier::Path, Carrier::CondaToken, Carrier::BearerToken] {
        let channel = "demo/label/dev";
        let specs = &["hello-noarch", "libtiny"];
        let outcome = Attempt { carrier, token: &token.value, channel, specs, ..Attempt::at(&gate) }.run();
        assert_eq!(outcome.installed(), ["hello-noarch=1.1", "libtiny=1.2"], "{carrier:?}");
    }
}

#[test]
fn nested_channel_name_installs() {
    let gate = gate::plaintext();
    let token = gate.create_token("nested");
    for carrier in [Carrier::Path, Carrier::CondaToken, Carrier::BearerToken] {
        let channel = "team/demo";
        let outcome = Attempt { carrier, token: &token.value, channel, ..Attempt::at(&gate) }.run();
        assert_eq!(outcome.installed().len(), 5, "{carrier:?}");
    }
}

#[test]
fn platform_the_channel_lacks_is_empty_and_noarch_still_installs() {
    let gate = gate::plaintext();
    let token = gate.create_token("another platform");
    for shards in [true, false] {
        let carrier = Carrier::BearerToken;
        let (platform, specs) = ("osx-arm64", &["hello-noarch"]);
        let outcome =
            Attempt { carrier, token: &token.value, shards, platform, specs, ..Attempt::at(&gate) }.run();
        assert_eq!(outcome.installed(), ["hello-noarch=1.0"], "shards: {shards}");
    }
}

#[test]
fn public_channel_installs_with_any_valid_token_and_with_none() {
    let gate = gate::plaintext();
    let token = gate.create_token("public");
    for carrier in [Carrier::None, Carrier::Path, Carrier::BearerToken] {
        let channel = "demo-public";
        let outcome = Attempt { carrier, token: &token.value, channel, ..Attempt::at(&gate) }.run();
        assert_eq!(outcome.installed().len(), 5, "{carrier:?}");
    }
}

#[test]
fn gate_beyond_an_air_gap_installs_what_a_lock_file_named() {
    let gate = Gate::beyond_an_air_gap(include_str!("../fixtures/pixi.lock"));
    for shards in [true, false] {
        let attempt = Attempt { token: &gate.site_token, channel: "main", shards, ..Attempt::at(&gate) };
        let outcome = Attempt { carrier: Carrier::BearerToken, ..attempt }.run();
        let expected = ["epoch=1!2.0", "hello-noarch=1.0", "libtiny=1.1", "plus=1.0+cu118", "tinyapp=2.0"];
        assert_eq!(outcome.installed(), expected, "shards: {shards}");
        assert_eq!(outcome.file("share/tinyapp/version.txt"), "tinyapp 2.0\n");
    }
}
