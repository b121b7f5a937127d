//! Commands beside a running gate: a change holds within 500 ms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::client::Connection;
use crate::support::hammer::{LOSSES, Scene};
use crate::support::process::Place;

/// What the contract promises of a change that another process on the machine made.
const BOUND: Duration = Duration::from_millis(500);

/// How long it takes from now until the gate answers `verdict`.
async fn lag(connection: &mut Connection, target: &str, verdict: &str) -> Duration {
    let began = Instant::now();
    loop {
        let asked = began.elapsed();
        let reply = connection.ask("GET", target, &[]).await;
        if reply.verdict() == verdict {
            return asked;
        }
        assert!(asked < 10 * BOUND, "still {} and not {verdict}", reply.verdict());
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// One token's life, seen from one open connection: unknown, imported, revoked. Returns how long the gate took to hear of each.
async fn life(place: Arc<Place>, gate: SocketAddr, number: usize) -> [Duration; 2] {
    let name = format!("legacy-{number}");
    let value = format!("xy-72b914cc-c105-4ec7-a969-{number:012}");
    let target = format!("/t/{value}/main/noarch/repodata.json");
    let mut connection = Connection::open(gate).await;
    // The gate remembers that it does not know this one, which must not outlive the import.
    assert_eq!(connection.ask("GET", &target, &[]).await.verdict(), "401 token_unknown");
    let import = ["token", "import", "default", "--name", &name, "--scopes", "repos"].map(str::to_owned);
    command(&place, import, value).await;
    let heard_of_import = lag(&mut connection, &target, "200").await;
    let revoke = ["token", "revoke", "--org", "default", "--yes", "--name", &name].map(str::to_owned);
    command(&place, revoke, String::new()).await;
    let heard_of_revocation = lag(&mut connection, &target, "401 token_revoked").await;
    [heard_of_import, heard_of_revocation]
}

/// Runs a command, and lets the other lives go on meanwhile.
async fn command(place: &Arc<Place>, arguments: [String; 7], input: String) {
    let place = Arc::clone(place);
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        place.run_with(&arguments, &input).expect(0, arguments);
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

#[tokio::test]
async fn change_by_a_command_holds_within_half_a_second() {
    let place = Arc::new(Place::new());
    let gate = place.serve();
    let mut worst = [Duration::ZERO; 2];
    for round in 0..5 {
        let lives: Vec<_> = (0..4)
            .map(|number| tokio::spawn(life(Arc::clone(&place), gate.data, 4 * round + number)))
            .collect();
        for life in lives {
            let lags = life.await.unwrap();
            worst = [worst[0].max(lags[0]), worst[1].max(lags[1])];
        }
    }
    let [import, revocation] = worst;
    println!("worst of 20: an import heard of after {import:?}, a revocation after {revocation:?}");
    assert!(import < BOUND && revocation < BOUND, "import {import:?}, revocation {revocation:?}");
}

/// All that a right can be lost by, while 64 connections ask without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_by_a_command_holds_within_half_a_second_under_load() {
    let scene = Scene::new().await;
    let mut changes = [Instant::now(); LOSSES.len()];
    for (change, loss) in changes.iter_mut().zip(&LOSSES) {
        let place = Arc::clone(&scene.place);
        tokio::task::spawn_blocking(move || place.must(loss.command)).await.unwrap();
        *change = Instant::now();
    }
    let lags = scene.lags(changes).await;
    for (loss, lag) in LOSSES.iter().zip(lags) {
        println!("{}: last served {lag:?} after the command", loss.organization);
    }
    let worst = lags.into_iter().max().unwrap();
    println!("worst: {worst:?}");
    assert!(worst < BOUND, "{lags:?}");
}

#[tokio::test]
async fn new_token_serves_at_the_next_request() {
    let place = Place::new();
    let gate = place.serve();
    let mut connection = Connection::open(gate.data).await;
    for number in 0..5 {
        let (value, _) = place.create_token(&format!("ci-{number}"));
        let reply = connection.ask("GET", &format!("/t/{value}/main/noarch/repodata.json"), &[]).await;
        assert_eq!(reply.status, 200, "at the first request: {:?}", reply.verdict());
    }
}
