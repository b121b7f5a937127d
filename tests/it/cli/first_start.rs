//! The first start of a gate, and every start after it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;

use crate::support::client;
use crate::support::process::{Place, Process};

const FIRST: &str = "This is the first start";

#[tokio::test]
async fn first_start_writes_the_token_and_says_what_to_paste_once() {
    let place = Place::new();
    // A command that touched the store before changes nothing about that.
    place.must(&["org", "list"]);
    place.must(&["org", "create", "default"]);
    let gate = place.serve();
    let file = place.path("var/bootstrap-token");
    let content = std::fs::read_to_string(&file).unwrap();
    let token = content.strip_suffix('\n').unwrap();
    assert!(
        token.starts_with("cg-") && token.len() == 41,
        "the token alone and a newline: {} bytes",
        content.len()
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::metadata(place.path("var")).unwrap().permissions().mode() & 0o7777, 0o700);

    let words = gate.words();
    assert_eq!(words.matches(FIRST).count(), 1, "{words}");
    assert!(words.contains(file.to_str().unwrap()) && !words.contains(token), "{words}");
    assert!(words.find(FIRST) < words.find("channelgate ready "), "{words}");
    for client in ["conda config --add channels", "mamba create", "pixi auth login"] {
        assert!(words.contains(client), "{words}");
    }
    let reply = client::ask(gate.data, "GET", &format!("/t/{token}/main/noarch/repodata.json"), &[]).await;
    assert_eq!(reply.status, 200);

    let tokens = place.must_json(&["token", "list", "default"]);
    assert_eq!((tokens.as_array().unwrap().len(), &tokens[0]["kind"]), (1, &"site".into()));
    assert_eq!(gate.terminate().code, 0);

    let gate = place.serve();
    let done = gate.terminate();
    assert!(!done.err.contains(FIRST), "{done:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
}

#[tokio::test]
async fn pasted_line_leads_to_the_channel_from_any_directory() {
    let place = Place::with("data_dir = \"it's here\"");
    let gate = place.serve();
    let words = gate.words();
    let line = words.lines().find_map(|line| line.split_once("conda config --add channels ")).unwrap().1;
    // What the shell would hand to conda.
    let pasted =
        Command::new("sh").arg("-c").arg(format!("printf %s {line}")).current_dir("/").output().unwrap();
    let url = String::from_utf8(pasted.stdout).unwrap();
    let path = url.strip_prefix(&format!("http://{}", gate.data)).unwrap_or_else(|| panic!("{url}\n{words}"));
    let reply = client::ask(gate.data, "GET", &format!("{path}/noarch/repodata.json"), &[]).await;
    assert_eq!(reply.status, 200, "{url}");
}

#[test]
fn start_that_fails_leaves_the_first_start_to_the_next() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let mut failing = place.command(&["serve"]);
    failing.env("CHANNELGATE_LISTEN__ADDRESS", taken.local_addr().unwrap().to_string());
    assert_eq!(failing.output().unwrap().status.code(), Some(1));
    assert!(!place.path("var/bootstrap-token").exists());
    // Nor does one whose token cannot be written.
    std::fs::create_dir(place.path("var/bootstrap-token")).unwrap();
    let done = place.run(&["serve"]).expect(1, "no place for the token");
    assert!(done.err.contains("bootstrap-token") && !done.err.contains(FIRST), "{done:?}");
    std::fs::remove_dir(place.path("var/bootstrap-token")).unwrap();
    let gate = place.serve();
    assert!(gate.words().contains(FIRST));
    assert!(place.bootstrap_token().starts_with("cg-"));
}

#[test]
fn two_gates_that_start_first_at_once_share_one_first_start() {
    let place = Place::new();
    let starts: Vec<_> = (0..2)
        .map(|_| {
            let command = place.command(&["serve"]);
            thread::spawn(move || Process::start(command))
        })
        .collect();
    let gates: Vec<Process> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    let told = gates.iter().filter(|gate| gate.words().contains(FIRST)).count();
    assert_eq!(told, 1, "{}\n{}", gates[0].words(), gates[1].words());
    let shown = place.run_with(&["token", "verify", "--json"], &place.bootstrap_token()).expect(0, "verify");
    assert_eq!(shown.json()["state"], "active");
}
