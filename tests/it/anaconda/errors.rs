//! Refusals in the form that the clients of each area can read, and what every answer carries.

use serde_json::Value;

use crate::support::client::Connection;
use crate::support::gate::Gate;

#[tokio::test]
async fn refusals_have_the_form_that_each_client_reads() {
    let gate = Gate::with_fixtures().await;
    for (path, form) in [
        ("/api", "object"),
        ("/api/none", "object"),
        ("/.well-known/none", "object"),
        ("/api/auth/oauth2/none", "word"),
        ("/authentications/none", "sentence"),
        ("/user/none", "sentence"),
        ("/package/none", "sentence"),
    ] {
        let reply = gate.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        let body = reply.json();
        match (form, &body["error"]) {
            ("object", Value::Object(error)) => {
                assert_eq!(error["code"], "not_found", "{path}");
                assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
                assert_eq!(body["request_id"].as_str(), reply.header("x-request-id"), "{path}");
            }
            ("word", Value::String(error)) => {
                assert_eq!(error, "invalid_request", "{path}");
                assert!(body["error_description"].is_string(), "{path}");
            }
            ("sentence", Value::String(error)) => {
                assert!(error.contains("nothing at this address"), "{path}: {error}");
                assert_eq!(body["message"], *error, "{path}");
            }
            (_, other) => panic!("{path}: {other}"),
        }
    }
}

#[tokio::test]
async fn answers_are_kept_by_nobody_and_run_nothing() {
    let gate = Gate::with_fixtures().await;
    for path in ["/api/none", "/api/auth/oauth2/none", "/user/none", "/device/none", "/sign-in/none"] {
        let reply = gate.get(path).await;
        let is_page = ["/device", "/sign-in"].iter().any(|page| path.starts_with(page));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", if is_page { "same-origin" } else { "no-referrer" }),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}: {name}");
        }
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn channels_keep_every_path_that_is_not_the_faces() {
    let gate = Gate::with_fixtures().await;
    assert_eq!(gate.get("/open/noarch/repodata.json").await.status, 200);
    assert_eq!(gate.get("/").await.status, 200);
    assert_eq!(gate.head("/").await.status, 200);
    // `users` and `api-tools` only begin like the face's own.
    for path in
        ["/users/noarch/repodata.json", "/api-tools/noarch/repodata.json", "/%61pi/noarch/repodata.json"]
    {
        assert_eq!(gate.get(path).await.verdict(), "401 token_missing", "{path}");
    }
    let token = gate.bootstrap_token();
    for path in [format!("/t/{token}/api/noarch/x.conda"), format!("/api/t/{token}/noarch/x.conda")] {
        assert!([403, 404].contains(&gate.get(&path).await.status), "{path}");
    }
}

#[tokio::test]
async fn request_without_a_host_is_refused_as_on_channels() {
    let gate = Gate::with_fixtures().await;
    let mut connection = Connection::open(gate.data()).await;
    connection.send_raw("GET /api/none HTTP/1.1\r\n\r\n").await;
    assert_eq!(connection.answer("GET").await.verdict(), "400 request_invalid");
}
