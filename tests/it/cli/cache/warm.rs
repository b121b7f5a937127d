//! `cache warm`.

use std::fs;

use super::{LOCKED, fixture, fixture_url, kept, lock_file, place, place_with};
use crate::support::faulty::{Faulty, Reply};
use crate::support::process::{Place, channel};

/// Lock files that name libtiny 1.1 and hello-noarch 1.0 below `base`, by the name of their format.
fn lock_files(base: &str) -> Vec<(&'static str, String)> {
    let libtiny = format!("{base}/linux-64/libtiny-1.1-0.conda");
    let hello = format!("{base}/noarch/hello-noarch-1.0-0.conda");
    let digests = [
        "1c5b11ddc881720730bec3fb136a10dac326c160fc0689a1dc6745e1979c45b6",
        "6b92596f63584c04c5c993c6f24a2877f31d843df92dddc00a78ae13310b1764",
    ];
    let [of_libtiny, of_hello] = digests;
    vec![
        (
            "pixi.lock",
            format!(
                "version: 6\nenvironments:\n  default:\n    channels:\n    - url: {base}/\n    packages:\n      linux-64:\n      \
                 - conda: {libtiny}\n      - conda: {hello}\npackages:\n- conda: {libtiny}\n  sha256: {of_libtiny}\n  size: 884\n\
                 - conda: {hello}\n  sha256: {of_hello}\n"
            ),
        ),
        (
            "conda-lock.yml",
            format!(
                "version: 1\nmetadata:\n  platforms: [linux-64]\npackage:\n- name: libtiny\n  manager: conda\n  platform: linux-64\n  \
                 url: {libtiny}\n  hash: {{ sha256: {of_libtiny} }}\n- name: hello-noarch\n  manager: conda\n  url: {hello}\n  \
                 hash:\n    md5: 00\n    sha256: {of_hello}\n- name: requests\n  manager: pip\n  url: https://pypi.test/r.whl\n"
            ),
        ),
        (
            "explicit.txt",
            format!("# platform: linux-64\n@EXPLICIT\n{libtiny}#4f71d4889edf2424490e629aa2cb93a7\n{hello}\n"),
        ),
    ]
}

fn warm(place: &Place, lock: &str, code: i32) -> serde_json::Value {
    fs::write(place.path("lock"), lock).unwrap();
    place.run(&["cache", "warm", "--lockfile", "lock", "--json"]).expect(code, lock).json()
}

#[test]
fn lock_file_of_a_real_client_is_fetched_once() {
    let place = place();
    let lock = lock_file();
    let arguments = ["cache", "warm", "--lockfile", lock.to_str().unwrap()];
    let first = place.run(&arguments).expect(0, "warm");
    assert!(first.out.starts_with("fetched 7 files, "), "{first:?}");
    assert!(first.err.contains("fetched main/noarch/epoch-1!2.0-0.conda, 891 B"), "{first:?}");
    assert_eq!(kept(&place), LOCKED);
    let again = place.must_json(&arguments);
    assert_eq!((&again["fetched"], &again["present"]), (&0.into(), &7.into()));
    // As after an interruption: only what is missing is fetched.
    place.must(&["cache", "purge", "tinyapp-*"]);
    let rest = place.must_json(&arguments);
    assert_eq!((&rest["fetched"], &rest["bytes"], &rest["present"]), (&1.into(), &905.into(), &6.into()));
}

#[test]
fn every_format_and_every_address_of_a_channel_is_known() {
    let token = "cg-0123456789abcdefghijklmnopqrstuvwxyzABCD";
    for base in [
        "https://conda.example.org/main".to_owned(),
        "https://conda.example.org/t/<TOKEN>/main".to_owned(),
        format!("https://conda.example.org/t/{token}/main"),
        format!("https://anyone:{token}@conda.example.org/main"),
        fixture_url(),
    ] {
        for (name, lock) in lock_files(&base) {
            let place = place();
            fs::write(place.path(name), lock).unwrap();
            let done = place.run(&["cache", "warm", "--lockfile", name, "--json"]).expect(0, (name, &base));
            assert_eq!(done.json()["fetched"], 4, "{name} {base}");
            assert_eq!(done.json()["skipped"], i32::from(name == "conda-lock.yml"), "{name} {base}");
            assert!(!format!("{done:?}").contains(token), "{done:?}");
            assert_eq!(kept(&place).len(), 4, "{name} {base}");
        }
    }
}

#[test]
fn labels_have_their_own_packages_and_indexes() {
    let place = place();
    let lock = "@EXPLICIT\nhttps://conda.example.org/main/label/dev/linux-64/libtiny-1.2-0.conda\n";
    assert_eq!(warm(&place, lock, 0)["fetched"], 3);
    assert_eq!(
        kept(&place),
        [
            "main/label/dev/linux-64/libtiny-1.2-0.conda",
            "main/label/dev/linux-64/repodata.json.zst",
            "main/label/dev/noarch/repodata.json.zst",
        ]
    );
}

#[test]
fn what_cannot_be_had_is_listed_and_the_rest_is_fetched() {
    let place = place();
    let token = "cg-0123456789abcdefghijklmnopqrstuvwxyzABCD";
    let other = format!("https://elsewhere.test/t/{token}/main/noarch/a-1-0.conda");
    let lock = format!(
        "@EXPLICIT\n{other}\nhttps://conda.example.org/main/noarch/absent-1-0.conda\n\
         https://conda.example.org/main/noarch/plus-1.0+cu118-0.conda#sha256:{}\n\
         https://conda.example.org/main/noarch/hello-noarch-1.0-0.conda\n",
        "0".repeat(64)
    );
    let view = warm(&place, &lock, 1);
    assert_eq!(view["unmapped"], serde_json::json!(["https://elsewhere.test:443/main/noarch/a-1-0.conda"]));
    let failed = view["failed"].as_array().unwrap();
    let [absent, wrong] = &failed[..] else { panic!("{view}") };
    assert_eq!(absent["file"], "main/noarch/absent-1-0.conda");
    assert!(absent["problem"].as_str().unwrap().contains("no such file"), "{absent}");
    assert_eq!(wrong["file"], "main/noarch/plus-1.0+cu118-0.conda");
    assert!(wrong["problem"].as_str().unwrap().contains("the lock file names the SHA-256 0000"), "{wrong}");
    assert!(kept(&place).contains(&"main/noarch/hello-noarch-1.0-0.conda".to_owned()));
    let text = place.run(&["cache", "warm", "--lockfile", "lock"]).expect(1, "again");
    assert!(text.out.contains("failed main/noarch/absent-1-0.conda: "), "{text:?}");
    assert!(
        text.out.contains("no channel for https://elsewhere.test:443/main/noarch/a-1-0.conda"),
        "{text:?}"
    );
    assert!(!format!("{view} {text:?}").contains(token));
}

#[test]
fn what_is_no_lock_file_is_bad_usage() {
    let place = place();
    let token = "cg-0123456789abcdefghijklmnopqrstuvwxyzABCD";
    for (lock, words) in [
        ("".to_owned(), "it names no packages"),
        (format!("- {token}\n"), "line 1 is not that of a lock file"),
        (format!("@EXPLICIT\nhttps://[{token}\n"), "entry 2 has no usable URL"),
    ] {
        fs::write(place.path("lock"), &lock).unwrap();
        let done = place.run(&["cache", "warm", "--lockfile", "lock"]).expect(64, &lock);
        assert!(done.err.contains(&format!("lock: {words}")) && !done.err.contains(token), "{done:?}");
    }
    let done = place.run(&["cache", "warm", "--lockfile", "none"]).expect(1, "none");
    assert!(done.err.contains("none cannot be read"), "{done:?}");
}

#[test]
fn specification_means_the_newest_build_or_all() {
    let place = place();
    let arguments = ["cache", "warm", "--subdir", "linux-64", "--channel", "main"];
    place.must(&[&arguments[..], &["--spec", "libtiny", "--spec", "tinyapp>=1"]].concat());
    let packages = |place: &Place| {
        let mut kept = kept(place);
        kept.retain(|name| !name.contains("repodata"));
        kept
    };
    // Of tinyapp 2.0 there is a .tar.bz2, too.
    assert_eq!(packages(&place), ["main/linux-64/libtiny-1.1-0.conda", "main/linux-64/tinyapp-2.0-0.conda"]);
    place.must(&[&arguments[..], &["--all", "--spec", "libtiny", "--spec", "main::tinyapp"]].concat());
    assert_eq!(
        packages(&place),
        [
            "main/linux-64/libtiny-1.0-0.conda",
            "main/linux-64/libtiny-1.1-0.conda",
            "main/linux-64/tinyapp-2.0-0.conda",
            "main/linux-64/tinyapp-2.0-0.tar.bz2",
        ]
    );
    let view =
        place.run(&[&arguments[..], &["--json", "--spec", "libtiny>=7"]].concat()).expect(1, "none").json();
    assert_eq!(view["failed"][0]["file"], "libtiny>=7", "{view}");
    let unnamed = ["cache", "warm", "--subdir", "linux-64", "--spec", "libtiny"];
    let done = place.run(&unnamed).expect(64, "whose");
    assert!(done.err.contains("which channel is \"libtiny\" of?"), "{done:?}");
    let done = place.run(&[&unnamed[..], &["--channel", "mian"]].concat()).expect(64, "typo");
    assert!(done.err.contains("no channel \"mian\""), "{done:?}");
}

#[test]
fn lock_file_is_fetched_for_some_platforms_and_channels_only() {
    let place =
        place_with(&(channel("main", "public", &fixture_url()) + &channel("also", "public", &fixture_url())));
    let lock = lock_file();
    let warm = |arguments: &[&str]| {
        place.must(&[&["cache", "warm", "--lockfile", lock.to_str().unwrap()], arguments].concat());
        kept(&place).len()
    };
    assert_eq!(warm(&["--channel", "also"]), 0);
    assert_eq!(warm(&["--subdir", "osx-arm64"]), 4, "noarch, with its index");
    assert_eq!(warm(&["--subdir", "linux-64"]), 7);
}

#[tokio::test]
async fn package_that_is_not_the_index_s_is_not_kept() {
    let index = fixture("noarch/repodata.json");
    let upstream = Faulty::start(move |seen| match seen.target.as_str() {
        "/noarch/repodata.json" => Reply::new(200).body(index.clone()),
        "/noarch/hello-noarch-1.0-0.conda" => Reply::new(200).body("something else"),
        _ => Reply::new(404),
    })
    .await;
    let place = place_with(&channel("main", "public", &upstream.url("")));
    let run = move || {
        fs::write(
            place.path("lock"),
            "@EXPLICIT\nhttps://conda.example.org/main/noarch/hello-noarch-1.0-0.conda\n",
        )
        .unwrap();
        let done = place.run(&["cache", "warm", "--lockfile", "lock", "--json"]);
        (done.expect(1, "warm").json(), kept(&place))
    };
    let (view, kept) = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(view["failed"][0]["file"], "main/noarch/hello-noarch-1.0-0.conda", "{view}");
    assert_eq!(kept, ["main/noarch/repodata.json"]);
}
