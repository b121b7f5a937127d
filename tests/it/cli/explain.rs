//! `explain` says what the gate does, and never repeats a credential.

use crate::support::process::{Place, channel, fixture_url};

#[test]
fn explanation_is_the_gates_own_decision() {
    let place = Place::with("limits.path_bytes_max = \"1 KiB\"");
    place.must(&["org", "create", "default"]);
    let (value, id) = place.create_token("ci");
    let dead = {
        let (value, id) = place.create_token("old");
        place.must(&["token", "revoke", &id, "--yes"]);
        value
    };
    let file = "noarch/repodata.json";
    let header = |line: String| vec!["--header".to_owned(), line];
    let long = format!("/open/noarch/{}", "x".repeat(1_100));
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("anybody:{value}"))
    };
    for (name, url, headers, decision, status, carrier, credential) in [
        ("public", format!("/open/{file}"), vec![], "permit", 200, None, "none"),
        ("private", format!("/main/{file}"), vec![], "token_missing", 401, None, "none"),
        (
            "path",
            format!("https://gate.test/t/{value}/main/{file}?x=1"),
            vec![],
            "permit",
            200,
            Some("path"),
            "known",
        ),
        (
            "bearer",
            format!("/main/{file}"),
            header(format!("Authorization: Bearer {value}")),
            "permit",
            200,
            Some("bearer"),
            "known",
        ),
        (
            "basic",
            format!("/main/{file}"),
            header(format!("authorization: basic {basic}")),
            "permit",
            200,
            Some("basic"),
            "known",
        ),
        (
            "api key",
            format!("/main/{file}"),
            header(format!("X-API-Key:{value}")),
            "permit",
            200,
            Some("x-api-key"),
            "known",
        ),
        ("dead", format!("/t/{dead}/open/{file}"), vec![], "token_revoked", 401, Some("path"), "known"),
        ("unknown", format!("/t/garbage/open/{file}"), vec![], "token_unknown", 401, Some("path"), "unknown"),
        (
            "masked",
            format!("/t/*****/main/{file}"),
            vec![],
            "token_missing",
            401,
            None,
            "a placeholder instead of a token",
        ),
        (
            "no such channel",
            format!("/t/{value}/none/{file}"),
            vec![],
            "channel_forbidden",
            403,
            Some("path"),
            "known",
        ),
        (
            "nothing there",
            format!("/t/{value}/main/noarch/a/b"),
            vec![],
            "not_found",
            404,
            Some("path"),
            "known",
        ),
        ("bad path", "/open/../main".to_owned(), vec![], "path_invalid", 400, None, "not looked at"),
        ("long path", long, vec![], "path_invalid", 400, None, "not looked at"),
        ("root", "https://gate.test".to_owned(), vec![], "permit", 200, None, "not looked at"),
    ] {
        let mut arguments = vec!["explain", &url];
        arguments.extend(headers.iter().map(String::as_str));
        let explained = place.must_json(&arguments);
        assert_eq!(explained["decision"], decision, "{name}: {explained}");
        assert_eq!(explained["status"], status, "{name}: {explained}");
        assert_eq!(explained["carrier"], serde_json::json!(carrier), "{name}: {explained}");
        assert_eq!(explained["credential"], credential, "{name}: {explained}");
        let text = place.must(&arguments);
        assert!(text.contains(&format!("{decision} ({status})")), "{name}: {text}");
        for secret in [&value, &dead, &basic] {
            assert!(!text.contains(secret) && !explained.to_string().contains(secret), "{name}: {text}");
        }
    }
    let twice = ["explain", "/main/noarch/x", "--header", "X-Auth: a", "--header", "x-auth: b", "--json"];
    assert_eq!(place.run(&twice).expect(0, "twice").json()["decision"], "request_invalid");

    let url = format!("https://gate.test/t/{value}/main/label/dev/linux-64/x-1.0-0.conda\n");
    let explained = place.run_with(&["explain", "-", "--json"], &url).expect(0, "standard input").json();
    assert_eq!(explained["path"], "/t/<TOKEN>/main/label/dev/linux-64/x-1.0-0.conda");
    assert_eq!(explained["label"], "dev");
    assert_eq!(explained["upstream_path"], "label/dev/linux-64/x-1.0-0.conda");
    assert_eq!(explained["channel"], serde_json::json!({"name": "main", "access": "private", "orgs": []}));
    assert_eq!(explained["token"]["id"], id);
}

#[test]
fn explanation_names_the_grant_and_the_rule_of_a_package() {
    let rules = r#"rules = [
        { packages = "xz>=5.6", action = "block", reason = "CVE-2024-3094" },
        { packages = "scipy", action = "allow" },
        { packages = "num*", action = "block", mode = "shadow" },
        { packages = "*", quarantine = "7d" },
    ]
"#;
    let place = Place::with("");
    let ruled = |name, access| channel(name, access, &fixture_url()) + rules;
    place.configure(&(ruled("main", "private") + &ruled("open", "public")));
    for command in [
        &["org", "create", "default"][..],
        &["group", "create", "default", "dev"],
        &["group", "grant", "default", "dev", "main", "--packages", "num*,xz", "--labels", "main"],
    ] {
        place.must(command);
    }
    let token = ["token", "create", "default", "--name", "dev", "--scopes", "repos", "--group", "dev"];
    let value = place.must_json(&token)["token"].as_str().unwrap().to_owned();
    let own = |rest: &str| format!("/t/{value}/main/{rest}");
    let open = |rest: &str| format!("/open/{rest}");
    for (url, decision, status, rule, told) in [
        (
            own("noarch/numba-1-0.conda"),
            "permit",
            200,
            "group",
            "no rule is for it; while it is new, rules[3] quarantine 7d *",
        ),
        (
            own("noarch/scipy-1-0.conda"),
            "not_found",
            404,
            "not_granted",
            "scipy 1 0: not granted, so it does not exist here",
        ),
        (
            own("noarch/xz-5.6.1-0.conda"),
            "package_blocked",
            451,
            "channel_rule",
            "rules[0] block xz>=5.6 (CVE-2024-3094)",
        ),
        (
            own("noarch/odd.conda"),
            "not_found",
            404,
            "not_granted",
            "its name tells neither package nor version",
        ),
        (
            own("label/dev/noarch/numba-1-0.conda"),
            "channel_forbidden",
            403,
            "other_labels",
            "no grant is for label dev",
        ),
        (
            own("noarch/repodata.json"),
            "permit",
            200,
            "group",
            "What the channel's view shows of it is served.",
        ),
        (open("noarch/scipy-1-0.conda"), "permit", 200, "public", "scipy 1 0: rules[1] allow scipy"),
        (open("noarch/xz-5.6.1-0.conda"), "package_blocked", 451, "channel_rule", "CVE-2024-3094"),
        (
            open("noarch/xz-5.4.1-0.conda"),
            "permit",
            200,
            "public",
            "xz 5.4.1 0: no rule is for it; while it is new, rules[3]",
        ),
        (open("noarch/numpy-1-0.conda"), "permit", 200, "public", "counted only, block num*"),
    ] {
        let explained = place.must_json(&["explain", &url]);
        let shown = (&explained["decision"], &explained["status"], &explained["rule"]);
        let expected = (serde_json::json!(decision), serde_json::json!(status), serde_json::json!(rule));
        assert_eq!(shown, (&expected.0, &expected.1, &expected.2), "{url}: {explained:#}");
        let text = place.must(&["explain", &url]);
        assert!(text.contains(told) && !text.contains(&value), "{url}: {told}: {text}");
    }
    let explained = place.must_json(&["explain", &own("noarch/numba-1-0.conda")]);
    let grant = serde_json::json!({"group": "dev", "permission": "read", "packages": ["num*", "xz"], "labels": ["main"]});
    assert_eq!(explained["grant"], grant);
    assert_eq!(explained["package"]["while_new"]["quarantine"], "7d");
    assert_eq!(explained["package"]["shadow"][0]["packages"], "num*");
}
