//! Changes by the API while 64 connections ask without a pause: they hold from the next request on.

use std::time::{Duration, Instant};

use crate::support::client::Connection;
use crate::support::hammer::{LOSSES, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_by_the_api_holds_from_the_next_request_on() {
    let scene = Scene::new().await;
    let operator =
        ["token", "create", "default", "--name", "operator", "--scopes", "all", "--operator", "--json"];
    let operator = scene.place.run(&operator).expect(0, "an operator's token").json();
    let authorization = format!("Bearer {}", operator["token"].as_str().unwrap());
    let mut connection = Connection::open(scene.gate.admin).await;
    let mut changes = [Instant::now(); LOSSES.len()];
    for (number, change) in changes.iter_mut().enumerate() {
        let (method, path) = scene.request(number);
        let began = Instant::now();
        let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
        let reply = connection.ask(method, &path, &headers).await;
        *change = Instant::now();
        assert!(matches!(reply.status, 200 | 201 | 204), "{method} {path}: {}", reply.verdict());
        println!("{}: the API answered after {:?}", LOSSES[number].organization, *change - began);
    }
    let lags = scene.lags(changes).await;
    println!("last requests served, begun after the answer: {lags:?}");
    assert_eq!(lags, [Duration::ZERO; LOSSES.len()]);
}
