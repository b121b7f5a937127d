//! `explain` says what the gate does, and never repeats a credential.

use crate::support::process::Place;

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
