//! Tests of `[[channels.rules]]`.

use super::*;
use crate::policy::{Effect, Mode};
use crate::token::Minted;

#[test]
fn mistakes_in_rules_are_named() {
    let minted = Minted::random().unwrap();
    let value = minted.expose();
    let token = format!(r#"[{{ packages = "*", action = "block", reason = "as {value}" }}]"#);
    for (name, rules, expected) in [
        (
            "rule without packages",
            "[{ action = \"block\" }]",
            "channels[0].rules[0].packages = \"\": expected the packages, such as",
        ),
        (
            "rule that is for no packages",
            "[{ packages = \"numpy[version=1]\", action = \"block\" }]",
            "channels[0].rules[0].packages = \"numpy[version=1]\": \"numpy[version=1]\" has brackets",
        ),
        (
            "rule of another channel",
            "[{ packages = \"other::numpy\", action = \"block\" }]",
            "the rule stands below channel \"main\", and is for no other",
        ),
        (
            "rule that does nothing",
            "[{ packages = \"*\", action = \"allow\" }, { packages = \"*\" }]",
            "channels[0].rules[1]: expected action = \"block\" or \"allow\", or quarantine = \"7d\"",
        ),
        (
            "rule that does two things",
            "[{ packages = \"*\", action = \"block\", quarantine = \"7d\" }]",
            "channels[0].rules[0]: expected either action or quarantine, not both",
        ),
        (
            "action",
            "[{ packages = \"*\", action = \"hide\" }]",
            "channels[0].rules[0].action = \"hide\": expected one of \"block\", \"allow\"",
        ),
        (
            "quarantine",
            "[{ packages = \"*\", quarantine = \"0s\" }]",
            "channels[0].rules[0].quarantine = \"0s\": expected a duration above zero",
        ),
        (
            "mode",
            "[{ packages = \"*\", action = \"block\", mode = \"off\" }]",
            "channels[0].rules[0].mode = \"off\": expected one of \"enforce\", \"shadow\"",
        ),
        (
            "reason of two lines",
            "[{ packages = \"*\", action = \"block\", reason = \"a\\nb\" }]",
            "channels[0].rules[0].reason: expected one line of at most 500 characters",
        ),
        ("reason with a token", &token, "channels[0].rules[0].reason: this holds the value of a token"),
        (
            "unknown key of a rule",
            "[{ package = \"*\", action = \"block\" }]",
            "channels[0].rules[0].package: there is no such key; did you mean \"packages\"?",
        ),
    ] {
        let found = mistakes(&channel(&format!("{UPSTREAM}\nrules = {rules}")), &Environment::default());
        let [mistake] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert!(mistake.contains(expected) && !mistake.contains(value), "{name}: {mistake}");
    }
}

#[test]
fn rules_mean_what_they_say_in_their_order() {
    let config = parse(
        r#"
        [[channels]]
        name = "main"
        upstreams = ["file:src"]
        [[channels.rules]]
        packages = "main::xz 5.6.0|5.6.1"
        action = "block"
        reason = " CVE-2024-3094 "
        [[channels.rules]]
        packages = "numpy*"
        action = "allow"
        reason = ""
        [[channels.rules]]
        packages = "*"
        quarantine = "7d"
        mode = "shadow"
        "#,
    )
    .unwrap();
    let [channel] = config.channels.as_slice() else { panic!("{config:?}") };
    let [block, allow, quarantine] = &channel.rules.rules[..] else { panic!("{channel:?}") };
    assert!(block.packages.matches("xz", "5.6.1", "0") && !block.packages.matches("xz", "5.6.2", "0"));
    assert_eq!((block.effect, block.mode), (Effect::Block, Mode::Enforce));
    assert_eq!(block.reason.as_deref(), Some("CVE-2024-3094"));
    assert_eq!((allow.effect, allow.reason.as_deref()), (Effect::Allow, None));
    let week = Duration::from_secs(7 * 24 * 3_600);
    assert_eq!((quarantine.effect, quarantine.mode), (Effect::Quarantine(week), Mode::Shadow));
    assert_eq!(parse(&config.render()), Ok(config));
}
