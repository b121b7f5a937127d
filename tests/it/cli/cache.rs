//! `channelgate cache …`: what is kept is listed, checked, thrown away, carried to another gate, and fetched ahead of clients; beside a
//! running gate and without one.

mod bundles;
mod inventory;
mod warm;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::gate::fixture_channel;
use crate::support::process::{Place, channel, files, fixture_url};

/// A place whose gate keeps what it fetches: the fixture channel as the public channel `main`, known to lock files by its public URL.
fn place() -> Place {
    place_with(&channel("main", "public", &fixture_url()))
}

/// The same with these channels, behind further lines of configuration.
pub(super) fn place_with(lines: &str) -> Place {
    let place = Place::empty();
    fs::create_dir_all(place.path("config")).unwrap();
    let text = format!(
        "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n\
         listen.public_url = \"https://conda.example.org\"\n{lines}"
    );
    fs::write(place.path("config/channelgate.toml"), text).unwrap();
    place
}

/// The lock file of the fixture channel, as rattler wrote it.
fn lock_file() -> PathBuf {
    fixture_channel().with_file_name("pixi.lock")
}

/// Everything that the lock file names is kept, with its indexes.
fn warmed() -> Place {
    let place = place();
    place.must(&["cache", "warm", "--lockfile", lock_file().to_str().unwrap()]);
    place
}

/// `<channel>/<path>` of all that is kept.
fn kept(place: &Place) -> Vec<String> {
    let list = place.must_json(&["cache", "list"]);
    let name = |object: &Value| {
        format!("{}/{}", object["channel"].as_str().unwrap(), object["path"].as_str().unwrap())
    };
    list.as_array().unwrap().iter().map(name).collect()
}

/// The file that holds an object whose body is `body`.
fn object_file(place: &Place, body: &[u8]) -> PathBuf {
    let objects = files(&place.path("var/cache/objects"));
    objects.into_iter().find(|file| fs::read(file).unwrap().starts_with(body)).unwrap()
}

/// A file of the fixture channel.
fn fixture(path: &str) -> Vec<u8> {
    fs::read(fixture_channel().join(path)).unwrap()
}

const LOCKED: [&str; 7] = [
    "main/linux-64/libtiny-1.1-0.conda",
    "main/linux-64/repodata.json.zst",
    "main/linux-64/tinyapp-2.0-0.conda",
    "main/noarch/epoch-1!2.0-0.conda",
    "main/noarch/hello-noarch-1.0-0.conda",
    "main/noarch/plus-1.0+cu118-0.conda",
    "main/noarch/repodata.json.zst",
];
