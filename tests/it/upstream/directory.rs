//! Channels in directories: nothing but the regular files inside.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use channelgate::semantics::Span;
use channelgate::upstream::{Answer, BodyError, FetchError, Method, Outcome, Unavailable};
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::{FILE, Subject, config, read};

const UNREADABLE: Option<FetchError> = Some(FetchError::Unavailable(Unavailable::Unreadable));

/// A directory `channel` with [`FILE`] in it, and a secret beside it.
fn channel() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("channel");
    fs::create_dir_all(root.join("linux-64")).unwrap();
    fs::write(root.join(FILE), "0123456789").unwrap();
    fs::write(home.path().join("secret"), "secret").unwrap();
    home
}

fn subject(home: &Path) -> Subject {
    Subject::new(&[config(&format!("file://{}/channel", home.display()))])
}

#[tokio::test]
async fn file_is_served_with_strong_validators() {
    let home = channel();
    let subject = subject(home.path());
    let fetched = subject.get(FILE).await.ok().unwrap();
    assert_eq!((fetched.answer, fetched.length), (Answer::Whole, Some(10)));
    assert!(fetched.validators.etag.as_ref().unwrap().is_strong());
    assert!(fetched.validators.last_modified.is_some());
    let etag = fetched.validators.etag.clone();
    assert_eq!(read(fetched).await.unwrap(), b"0123456789");
    assert_eq!(subject.get(FILE).await.ok().unwrap().validators.etag, etag, "the same file, the same tag");
    fs::write(home.path().join("channel").join(FILE), "9876543210").unwrap();
    assert_ne!(subject.get(FILE).await.ok().unwrap().validators.etag, etag, "another content, another tag");
}

#[tokio::test]
async fn empty_and_large_files_arrive_whole() {
    let home = channel();
    let large: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(home.path().join("channel/linux-64/large.conda"), &large).unwrap();
    fs::write(home.path().join("channel/linux-64/empty.conda"), "").unwrap();
    let subject = subject(home.path());
    let fetched = subject.get("linux-64/large.conda").await.ok().unwrap();
    assert!(read(fetched).await.unwrap() == large);
    let fetched = subject.get("linux-64/empty.conda").await.ok().unwrap();
    assert_eq!(fetched.length, Some(0));
    assert!(read(fetched).await.unwrap().is_empty());
    subject.assert_counted(&[Outcome::Ok, Outcome::Ok]);
}

#[tokio::test]
async fn conditions_and_ranges_are_evaluated() {
    let home = channel();
    let subject = subject(home.path());
    let etag = subject.get(FILE).await.ok().unwrap().validators.etag.unwrap();
    let etag = etag.as_header().to_str().unwrap();
    let part = |start, end| Answer::Part { span: Span { start, end }, total: Some(10) };
    let behind = Answer::NotSatisfiable { total: Some(10) };
    type Row<'a> = (&'a str, Method, Vec<(&'a str, &'a str)>, Answer, &'a [u8]);
    let rows: [Row<'_>; 8] = [
        ("same tag", Method::Get, vec![("If-None-Match", etag)], Answer::NotModified, b""),
        ("other tag", Method::Get, vec![("If-None-Match", "\"a\"")], Answer::Whole, b"0123456789"),
        ("range", Method::Get, vec![("Range", "bytes=2-4")], part(2, 5), b"234"),
        ("suffix", Method::Get, vec![("Range", "bytes=-3")], part(7, 10), b"789"),
        ("If-Range holds", Method::Get, vec![("Range", "bytes=8-"), ("If-Range", etag)], part(8, 10), b"89"),
        (
            "If-Range fails",
            Method::Get,
            vec![("Range", "bytes=8-"), ("If-Range", "\"a\"")],
            Answer::Whole,
            b"0123456789",
        ),
        ("behind the end", Method::Get, vec![("Range", "bytes=10-")], behind, b""),
        ("range of HEAD", Method::Head, vec![("Range", "bytes=10-")], Answer::Whole, b""),
    ];
    for (name, method, headers, answer, bytes) in rows {
        let fetched = subject.ask(method, FILE, &headers).await.ok().unwrap();
        assert_eq!(fetched.answer, answer, "{name}");
        assert_eq!(read(fetched).await.unwrap(), bytes, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_regular_file_inside_is_missing() {
    let home = channel();
    let subdir = home.path().join("channel/linux-64");
    fs::create_dir(subdir.join("directory.conda")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        subdir.join("fifo.conda"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(subdir.join("socket.conda")).unwrap();
    symlink("/dev/zero", subdir.join("device.conda")).unwrap();
    symlink("loop.conda", subdir.join("loop.conda")).unwrap();
    symlink("nowhere.conda", subdir.join("dangling.conda")).unwrap();
    fs::write(home.path().join("channel/noarch"), "a file where a directory should be").unwrap();
    let subject = subject(home.path());
    for path in [
        "linux-64/absent.conda",
        "linux-64/directory.conda",
        "linux-64/fifo.conda",
        "linux-64/socket.conda",
        "linux-64/device.conda",
        "linux-64/loop.conda",
        "linux-64/dangling.conda",
        "noarch/x.conda",
        "win-64/x.conda",
    ] {
        assert_eq!(subject.get(path).await.err(), Some(FetchError::Missing), "{path}");
    }
    let long = format!("linux-64/{}.conda", "x".repeat(300));
    assert_eq!(subject.get(&long).await.err(), Some(FetchError::Missing));
}

#[tokio::test]
async fn symlink_inside_is_followed_and_symlink_out_is_missing() {
    let home = channel();
    let subdir = home.path().join("channel/linux-64");
    symlink("x-1.0-0.conda", subdir.join("beside.conda")).unwrap();
    symlink("linux-64", home.path().join("channel/noarch")).unwrap();
    symlink("../../secret", subdir.join("out.conda")).unwrap();
    symlink(home.path().join("secret"), subdir.join("absolute.conda")).unwrap();
    symlink("../..", home.path().join("channel/win-64")).unwrap();
    symlink(format!("/proc/self/cwd/{FILE}"), subdir.join("magic.conda")).unwrap();
    let subject = subject(home.path());
    for path in ["linux-64/beside.conda", "noarch/x-1.0-0.conda"] {
        assert_eq!(read(subject.get(path).await.ok().unwrap()).await.unwrap(), b"0123456789", "{path}");
    }
    let escapes = ["linux-64/out.conda", "linux-64/absolute.conda", "win-64/secret", "linux-64/magic.conda"];
    for path in escapes {
        assert_eq!(subject.get(path).await.err(), Some(FetchError::Missing), "{path}");
    }
    assert_eq!(subject.count(Outcome::Escaped), escapes.len() as u64);
}

#[tokio::test]
async fn root_that_is_absent_is_an_outage_until_it_is_back() {
    let home = channel();
    let (root, away) = (home.path().join("channel"), home.path().join("away"));
    let subject = subject(home.path());
    fs::rename(&root, &away).unwrap();
    assert_eq!(subject.get(FILE).await.err(), UNREADABLE);
    fs::write(&root, "a file").unwrap();
    assert_eq!(subject.get(FILE).await.err(), UNREADABLE);
    subject.assert_counted(&[Outcome::Unreadable, Outcome::Unreadable]);
    fs::remove_file(&root).unwrap();
    symlink("away", &root).unwrap();
    assert_eq!(read(subject.get(FILE).await.ok().unwrap()).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn root_that_is_swapped_is_seen_at_once() {
    let home = channel();
    let next = home.path().join("next");
    fs::create_dir_all(next.join("linux-64")).unwrap();
    fs::write(next.join(FILE), "swapped").unwrap();
    let subject = subject(home.path());
    assert_eq!(subject.download().await.unwrap(), b"0123456789");
    fs::rename(home.path().join("channel"), home.path().join("previous")).unwrap();
    fs::rename(&next, home.path().join("channel")).unwrap();
    assert_eq!(subject.download().await.unwrap(), b"swapped");
}

#[tokio::test]
async fn second_upstream_stands_in_for_an_absent_root_but_not_for_an_absent_file() {
    let (first, second) = (channel(), channel());
    fs::write(second.path().join("channel/linux-64/only-there.conda"), "there").unwrap();
    let url = |home: &TempDir| format!("file://{}/channel", home.path().display());
    let subject = Subject::new(&[config(&url(&first)), config(&url(&second))]);
    assert_eq!(subject.get("linux-64/only-there.conda").await.err(), Some(FetchError::Missing));
    fs::rename(first.path().join("channel"), first.path().join("away")).unwrap();
    assert_eq!(subject.get("linux-64/only-there.conda").await.ok().unwrap().upstream, 1);
}

/// Larger than a piece, so that there is something left to read when the file changes.
const LARGE_BYTES: u64 = 1 << 20;

async fn begun(home: &Path) -> (Subject, channelgate::upstream::Body, fs::File) {
    let path = home.join("channel/linux-64/large.conda");
    fs::write(&path, vec![b'a'; LARGE_BYTES as usize]).unwrap();
    let subject = subject(home);
    let mut body = subject.get("linux-64/large.conda").await.ok().unwrap().body;
    body.frame().await.unwrap().unwrap();
    (subject, body, fs::OpenOptions::new().append(true).open(&path).unwrap())
}

#[tokio::test]
async fn file_truncated_while_it_is_sent_fails() {
    let home = channel();
    let (subject, body, file) = begun(home.path()).await;
    file.set_len(300_000).unwrap();
    let error = body.collect().await.err().unwrap();
    assert!(matches!(error, BodyError::Short { missing } if missing == LARGE_BYTES - 300_000), "{error}");
    subject.assert_counted(&[Outcome::BodyFailed]);
}

#[tokio::test]
async fn file_that_grows_is_sent_to_the_announced_length() {
    let home = channel();
    let (subject, mut body, mut file) = begun(home.path()).await;
    file.write_all(b"more").unwrap();
    let left = body.remaining().unwrap();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len() as u64;
    }
    assert_eq!(read, left);
    subject.assert_counted(&[Outcome::Ok]);
}

#[tokio::test]
async fn directory_given_relative_to_the_working_directory_is_served() {
    // Cargo runs tests in the package's directory.
    let subject = Subject::new(&[config("file:src")]);
    assert!(subject.get("lib.rs").await.is_ok());
}
