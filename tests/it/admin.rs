//! The admin plane from outside.

mod access;
mod concurrency;
mod description;
mod groups;
mod load;
mod requests;
mod seats;
mod stage;
mod tokens;

use crate::support::client::ask;
use crate::support::gate::Gate;
#[tokio::test]
async fn pages_are_read_and_everything_else_is_a_problem() {
    let gate = Gate::with_fixtures().await;
    for (method, path, expected) in [
        ("GET", "/healthz", "200"),
        ("HEAD", "/healthz", "200"),
        ("GET", "/readyz", "200"),
        ("GET", "/metrics", "200"),
        ("GET", "/", "404 not_found"),
        ("GET", "/open/noarch/repodata.json", "404 not_found"),
        ("POST", "/metrics", "405 method_not_allowed"),
    ] {
        let reply = ask(gate.admin(), method, path, &[]).await;
        assert_eq!(reply.verdict(), expected, "{method} {path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{method} {path}");
        if reply.status >= 400 {
            let problem = reply.json();
            for member in ["type", "title", "detail", "code", "reason", "message", "request_id"] {
                assert!(problem[member].is_string(), "{method} {path}: {member}");
            }
            assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"), "{method} {path}");
            assert_eq!(problem["error"]["code"], problem["code"], "{method} {path}");
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_ne!(gate.get(path).await.status, 200, "{path} on the data plane");
    }
}
