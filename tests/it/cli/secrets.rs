//! A canary token through every flow of the program: it is printed where it is issued, and nowhere else.

use base64::Engine as _;

use crate::support::client;
use crate::support::process::{Place, files};

/// A form in which a secret could leak.
fn forms(secret: &str) -> Vec<String> {
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    vec![
        secret.to_owned(),
        encode(format!("{secret}:")),
        encode(format!(":{secret}")),
        encode(secret.to_owned()),
    ]
}

#[tokio::test]
async fn token_is_shown_once_and_kept_nowhere() {
    let place = Place::with("log.level = \"trace\"");
    let gate = place.serve();
    let site = place.bootstrap_token();
    let imported = "xy-72b914cc-c105-4ec7-a969-ab21d23480ed".to_owned();
    let (scoped, id) = place.create_token("canary");
    let mut said = String::new();
    let mut run = |arguments: &[&str], input: &str, code: i32| {
        let done = place.run_with(arguments, input).expect(code, arguments);
        said.push_str(&done.out);
        said.push_str(&done.err);
    };
    run(&["token", "import", "default", "--name", "imported", "--scopes", "repos"], &imported, 0);
    run(&["token", "import", "default", "--name", "again", "--scopes", "repos"], &imported, 1);
    let mistyped = format!("{}x", &scoped[..40]);
    for secret in [&site, &imported, &scoped, &mistyped] {
        run(&["token", "verify"], secret, 0);
        run(&["token", "verify", "--json"], secret, 0);
        run(&["explain", "-"], &format!("http://gate/t/{secret}/main/noarch/repodata.json"), 0);
        run(&["explain", "-"], &format!("http://gate/t/{secret}/../main"), 0);
        run(&["explain", "-"], &format!("http://gate/{secret}/main/noarch/{secret}.conda"), 0);
        run(&["explain", "-"], &format!("/t/{secret}/t/{secret}/main"), 0);
        run(&["explain", "-"], &format!("gate/t/{secret}/main"), 64);
        for header in [
            format!("Authorization: token {secret}"),
            format!("Authorization: Basic {}", forms(secret)[1]),
            format!("X-API-Key: {secret}"),
        ] {
            run(&["explain", "/main/noarch/repodata.json", "--json", "--header", &header], "", 0);
        }
        run(&["explain", "/main", "--header", secret], "", 64);
        let of_url = |path: String| format!("http://{}/{path}", gate.data);
        let bench = ["bench", "-", "--requests", "20", "--report", "report.svg"];
        let code = if *secret == mistyped { 1 } else { 0 };
        run(&bench, &of_url(format!("t/{secret}/main")), code);
        run(&bench, &of_url(format!("t/{secret}/none")), 1);
        run(
            &[&bench[..], &["--json"]].concat(),
            &of_url("main".to_owned()).replace("//", &format!("//x:{secret}@")),
            code,
        );
        for carrier in ["path", "bearer", "x-api-key"] {
            let bench = ["bench", &of_url("main".to_owned()), "--token-file", "-", "--carrier", carrier];
            run(&[&bench[..], &["--profile", "token-flood", "--requests", "20"]].concat(), secret, code);
        }
        run(&["bench", &of_url(format!("t/{secret}/main?x"))], "", 64);
        run(&["bench", &of_url(format!("t/{secret}/main")), "--token-file", "-"], secret, 64);
        run(&["bench", secret], "", 64);
        // Where no token belongs.
        run(&["token", "verify", secret], "", 64);
        run(&["token", "show", secret], "", 64);
    }
    for (method, target, header) in [
        ("GET", "/t/{}/main/noarch/repodata.json", None),
        ("GET", "/t/{}/none/noarch/repodata.json", None),
        ("GET", "/t/{}/main/noarch/none.conda", None),
        ("POST", "/t/{}/main/noarch/repodata.json", None),
        ("GET", "/t/{}/../main", None),
        ("GET", "/{}/noarch/repodata.json", None),
        ("GET", "/main/noarch/{}.conda?token={}", None),
        ("GET", "/main/noarch/repodata.json", Some(("Authorization", "Bearer {}"))),
        ("GET", "/main/noarch/repodata.json", Some(("X-Auth", "{}"))),
        ("GET", "/main/noarch/repodata.json", Some(("Cookie", "token={}"))),
    ] {
        for secret in [&site, &imported, &scoped, &mistyped] {
            let fill = |text: &str| text.replace("{}", secret);
            let headers: Vec<_> = header.iter().map(|(name, value)| (*name, fill(value))).collect();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = client::ask(gate.data, method, &fill(target), &headers).await;
            said.push_str(&String::from_utf8_lossy(&reply.body));
            said.push_str(&format!("{:?}", reply.headers));
        }
    }
    said.push_str(&String::from_utf8_lossy(&client::ask(gate.admin, "GET", "/metrics", &[]).await.body));
    said.push_str(&place.must(&["token", "list", "default"]));
    said.push_str(&place.must(&["token", "revoke", &id, "--yes", "--json"]));
    said.push_str(&place.must(&["check"]));
    said.push_str(&std::fs::read_to_string(place.path("report.svg")).unwrap());
    said.push_str(&gate.terminate().err);
    assert!(said.contains("GET") && said.contains("token_revoked") | said.contains("revoked"), "{said}");

    for secret in [&site, &imported, &scoped, &mistyped] {
        for form in forms(secret) {
            let at = said.find(&form);
            assert!(at.is_none(), "{:?}", at.map(|at| &said[at.saturating_sub(200)..at + form.len()]));
            for file in files(&place.path("var")) {
                let content = std::fs::read(&file).unwrap();
                let is_there = content.windows(form.len()).any(|window| window == form.as_bytes());
                let may_be = file.ends_with("bootstrap-token") && form == site;
                assert_eq!(is_there, may_be, "{}", file.display());
            }
        }
    }
}
