//! Every format is read, and no credential outlives the reading.

use super::*;

const DIGITS: &str = "1c5b11ddc881720730bec3fb136a10dac326c160fc0689a1dc6745e1979c45b6";
const LIBTINY: &str = "https://conda.example.org/main/linux-64/libtiny-1.1-0.conda";

fn urls(text: &str) -> Vec<String> {
    let lock = LockFile::parse(text).unwrap_or_else(|error| panic!("{error}"));
    lock.packages.iter().map(|package| package.url.to_string()).collect()
}

#[test]
fn every_format_names_its_packages_with_their_digests() {
    let shown = LIBTINY.replace("org/", "org:443/");
    for (name, text, foreign) in [
        (
            "pixi 6",
            format!(
                "version: 6\nenvironments: {{}}\npackages:\n- conda: {LIBTINY}\n  sha256: {DIGITS}\n- pypi: https://pypi.org/x.whl\n  sha256: x\n"
            ),
            1,
        ),
        (
            "pixi 5",
            format!(
                "version: 5\npackages:\n- kind: conda\n  name: libtiny\n  url: {LIBTINY}\n  sha256: {DIGITS}\n- kind: pypi\n  url: https://pypi.org/x.whl\n"
            ),
            1,
        ),
        (
            "conda-lock",
            format!(
                "version: 1\nmetadata: {{}}\npackage:\n- name: libtiny\n  manager: conda\n  url: {LIBTINY}\n  hash:\n    md5: 00\n    sha256: {DIGITS}\n- name: x\n  manager: pip\n  url: https://pypi.org/x.whl\n"
            ),
            1,
        ),
        ("explicit", format!("# platform: linux-64\n@EXPLICIT\n{LIBTINY}#sha256:{DIGITS}\n"), 0),
        ("explicit, bare digest", format!("@EXPLICIT\r\n{LIBTINY}#{DIGITS}\r\n"), 0),
    ] {
        let lock = LockFile::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let [package] = &lock.packages[..] else { panic!("{name}: {lock:?}") };
        assert_eq!((package.url.to_string(), lock.foreign), (shown.clone(), foreign), "{name}");
        assert_eq!(package.sha256, digest(DIGITS), "{name}");
    }
}

#[test]
fn digest_that_reads_as_a_number_is_text() {
    for digits in
        ["1".repeat(64), format!("{}e{}", "1".repeat(31), "2".repeat(32)), format!("0x{}", "1".repeat(62))]
    {
        let text = format!("packages:\n- conda: {LIBTINY}\n  sha256: {digits}\n");
        match LockFile::parse(&text) {
            Ok(lock) => assert_eq!(lock.packages[0].sha256, digest(&digits)),
            Err(error) => assert_eq!(error, LockFileError::Entry { entry: 1, what: "sha256" }, "{digits}"),
        }
    }
}

#[test]
fn md5_is_no_sha256_and_repetitions_count_once() {
    let text = format!("@EXPLICIT\n{LIBTINY}#4f71d4889edf2424490e629aa2cb93a7\n{LIBTINY}\n");
    let lock = LockFile::parse(&text).unwrap();
    assert_eq!((lock.packages.len(), lock.packages[0].sha256), (1, None));
}

#[test]
fn credentials_are_forgotten() {
    let token = "cg-0123456789abcdefghijklmnopqrstuvwxyzABCD";
    for url in [
        format!("https://gate.test/t/{token}/main/noarch/x-1-0.conda"),
        format!("https://gate.test/T/{token}/main/noarch/x-1-0.conda"),
        format!("https://gate.test/main/t/{token}/noarch/x-1-0.conda"),
        format!("https://someone:{token}@gate.test/main/noarch/x-1-0.conda"),
        format!("https://gate.test/main/noarch/x-1-0.conda?token={token}"),
        "https://gate.test/t/<TOKEN>/main/noarch/x-1-0.conda".to_owned(),
    ] {
        let lock = LockFile::parse(&format!("@EXPLICIT\n{url}\n")).unwrap();
        let shown = format!("{:?} {}", lock, lock.packages[0].url);
        assert!(!shown.contains(token), "{shown}");
        assert_eq!(
            lock.packages[0].url.to_string(),
            "https://gate.test:443/main/noarch/x-1-0.conda",
            "{url}"
        );
    }
    // Neither is it repeated where nothing can be made of it.
    for text in [
        format!("packages:\n- conda: [{token}]\n"),
        format!("@EXPLICIT\nhttps://:{token}@\n"),
        format!("a: {token}\nb: ["),
    ] {
        let error = LockFile::parse(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(token), "{error}");
    }
}

#[test]
fn what_is_no_lock_file_is_told_with_the_line() {
    for (name, text, expected) in [
        ("nothing", "", LockFileError::NoPackages),
        ("no packages", "version: 6\n", LockFileError::NoPackages),
        ("no map", "packages:\n- 1\n", LockFileError::Malformed { line: 2 }),
        ("half a map", "packages: [\n", LockFileError::Malformed { line: 1 }),
        ("no URL", "package:\n- manager: conda\n", LockFileError::Entry { entry: 1, what: "URL" }),
        (
            "no digest",
            "@EXPLICIT\nhttps://a.test/x#sha256:12\n",
            LockFileError::Entry { entry: 2, what: "sha256" },
        ),
    ] {
        assert_eq!(LockFile::parse(text), Err(expected), "{name}");
    }
    // Aliases that would fill memory.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    bomb.push_str("packages: *a11\n");
    assert!(LockFile::parse(&bomb).is_err());
}

#[test]
fn url_is_below_its_channel_only() {
    let below =
        |url: &str, base: &str| PackageUrl::parse(url).unwrap().below(&PackageUrl::parse(base).unwrap());
    for (url, base, expected) in [
        ("https://a.test/c/noarch/x.conda", "https://a.test/c", Some("noarch/x.conda")),
        ("https://a.test:443/c/noarch/x.conda", "https://a.test/c/", Some("noarch/x.conda")),
        ("https://A.test/c/noarch/x%2B1.conda", "https://a.test/c/", Some("noarch/x%2B1.conda")),
        ("https://a.test/c/noarch/x.conda", "https://a.test/", Some("c/noarch/x.conda")),
        ("https://a.test/cc/noarch/x.conda", "https://a.test/c", None),
        ("http://a.test/c/noarch/x.conda", "https://a.test/c", None),
        ("https://a.test:8443/c/noarch/x.conda", "https://a.test/c", None),
        ("https://b.test/c/noarch/x.conda", "https://a.test/c", None),
        ("https://a.test/c", "https://a.test/c", None),
        ("file:///srv/c/noarch/x.conda", "file:///srv/c", Some("noarch/x.conda")),
        ("./noarch/x.conda", "https://a.test/", None),
    ] {
        assert_eq!(below(url, base).as_deref(), expected, "{url} below {base}");
    }
    assert_eq!(urls("@EXPLICIT\n./x-1-0.conda\n"), ["./x-1-0.conda"]);
}
