//! A bundle gives back what was put in; one that was altered, cut off or made up by somebody is refused.

use super::*;
use crate::cache::{Proof, Sha256};
use crate::conda::ChannelName;
use crate::semantics::CacheControl;

const LONG: usize = 150;

fn member(path: &str, body: &[u8]) -> Member {
    let facts = Facts {
        channel: ChannelName::parse("team/main").unwrap(),
        upstreams: "0123456789abcdef".parse().unwrap(),
        path: path.to_owned(),
        part: Part::File,
        length: body.len() as u64,
        sha256: Sha256::of(body),
        proof: Proof::Unproven,
        etag: None,
        last_modified: None,
        cache_control: CacheControl::default(),
        generation: None,
        upstream: "https://conda.example.org".to_owned(),
        fetched_at: Timestamp::from_millis(1_000),
    };
    Member::new(facts, Timestamp::from_millis(2_000)).unwrap()
}

fn bodies() -> Vec<(Member, Vec<u8>)> {
    let long = format!("noarch/{}-1-0.conda", "x".repeat(LONG));
    vec![
        (member("noarch/repodata.json", b"{}"), b"{}".to_vec()),
        (member("noarch/a-1!1+b-0.conda", b"aaaa"), b"aaaa".to_vec()),
        (member(&long, &[7; 100_000]), vec![7; 100_000]),
    ]
}

fn bundle(bodies: &[(Member, Vec<u8>)], written: impl Fn(usize) -> bool) -> Vec<u8> {
    let members: Vec<_> = bodies.iter().map(|(member, _)| member.clone()).collect();
    let mut writer = BundleWriter::begin(Vec::new(), &members).unwrap();
    for (_, (member, body)) in bodies.iter().enumerate().filter(|(at, _)| written(*at)) {
        writer.add(member, &body[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// The members that a reader got whole.
fn members(bundle: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, BundleError> {
    let mut taken = Vec::new();
    read(
        bundle,
        |_| Ok::<_, BundleError>(()),
        |member, body| {
            let mut bytes = Vec::new();
            body.read_to_end(&mut bytes).map_err(BundleError::Read)?;
            taken.push((member.clone(), bytes));
            Ok(())
        },
    )?;
    Ok(taken)
}

/// An archive of these entries, as foreign as it takes.
fn archive(entries: &[(tar::EntryType, &[u8], &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, name, body) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_size(body.len() as u64);
        header.set_cksum();
        archive.append(&header, *body).unwrap();
    }
    archive.into_inner().unwrap()
}

fn manifest(members: &[Member]) -> Vec<u8> {
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        members: members.len() as u64,
        bytes: members.iter().map(|member| member.facts.length).sum(),
    };
    let mut text = serde_json::to_string(&header).unwrap() + "\n";
    for member in members {
        text.push_str(&(member.line().unwrap() + "\n"));
    }
    text.into_bytes()
}

#[test]
fn bundle_gives_back_what_was_put_in() {
    assert_eq!(members(&bundle(&bodies(), |_| true)).unwrap(), bodies());
    // An object that had gone when its turn came.
    let taken = members(&bundle(&bodies(), |at| at != 1)).unwrap();
    assert_eq!(taken, [&bodies()[..1], &bodies()[2..]].concat());
    assert_eq!(members(&bundle(&[], |_| true)).unwrap(), []);
}

#[test]
fn bundle_cut_off_anywhere_is_none() {
    let whole = bundle(&bodies(), |_| true);
    // The last three blocks are padding and the archive's own end.
    for length in (0..whole.len() - 1_536).step_by(97) {
        assert!(members(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn body_that_was_altered_is_found() {
    let whole = bundle(&bodies(), |_| true);
    let at = whole.windows(4).position(|window| window == b"aaaa").unwrap();
    let mut altered = whole;
    altered[at] ^= 1;
    let error = members(&altered).unwrap_err();
    assert!(
        matches!(&error, BundleError::Damaged { name } if name == "team/main/noarch/a-1!1+b-0.conda"),
        "{error}"
    );
}

#[test]
fn foreign_entries_are_refused() {
    use tar::EntryType::{Directory, Fifo, GNULongName, GNUSparse, Link, Regular, Symlink, XHeader};

    let body = member("noarch/a.conda", b"aa");
    let lines = manifest(&[body]);
    let good: (_, &[u8], &[u8]) = (Regular, b"team/main/noarch/a.conda", b"aa");
    let first: (_, &[u8], &[u8]) = (Regular, MANIFEST.as_bytes(), &lines);
    let end: (_, &[u8], &[u8]) = (Regular, END.as_bytes(), b"{\"members\":1}");
    assert_eq!(members(&archive(&[first, good, end])).unwrap().len(), 1);
    let long_body = [b'x'; LINE_BYTES_MAX as usize + 1];
    for (name, entries) in [
        ("no manifest", vec![good, end]),
        ("not at first", vec![good, first, end]),
        ("a directory", vec![first, (Directory, b"team/main/", b""), good, end]),
        ("another name", vec![first, (Regular, b"team/main/noarch/b.conda", b"aa"), end]),
        ("absolute", vec![first, (Regular, b"/etc/passwd", b"aa"), end]),
        ("above", vec![first, (Regular, b"team/main/../../x", b"aa"), end]),
        ("twice", vec![first, good, good, end]),
        ("a symbolic link", vec![first, (Symlink, good.1, b""), end]),
        ("a hard link", vec![first, (Link, good.1, b""), end]),
        ("a pipe", vec![first, (Fifo, good.1, b""), end]),
        ("sparse", vec![first, (GNUSparse, good.1, b"aa"), end]),
        (
            "renaming what follows",
            vec![first, (XHeader, b"x", b"30 path=team/main/noarch/a.conda\n"), good, end],
        ),
        ("a long name of another", vec![first, (GNULongName, b"x", b"/etc/passwd\0"), good, end]),
        ("a name without end", vec![first, (GNULongName, b"x", &long_body), good, end]),
        ("shorter", vec![first, (Regular, good.1, b"a"), end]),
        ("longer", vec![first, (Regular, good.1, b"aaa"), end]),
        ("other bytes", vec![first, (Regular, good.1, b"ab"), end]),
        ("not UTF-8", vec![first, (Regular, b"\xff", b"aa"), end]),
        ("fewer than promised", vec![first, end]),
        ("without end", vec![first, good]),
    ] {
        let taken = members(&archive(&entries));
        assert!(taken.is_err(), "{name}: {taken:?}");
    }
    assert!(matches!(members(b"not a bundle"), Err(BundleError::Foreign | BundleError::Truncated)));
    assert!(matches!(members(&[b'x'; 4_096]), Err(BundleError::Foreign)));
}

#[test]
fn manifest_that_could_mislead_is_refused() {
    let good = member("noarch/a.conda", b"aa");
    let line = good.line().unwrap();
    let altered = |from: &str, to: &str| {
        assert!(line.contains(from), "{from} in {line}");
        line.replace(from, to)
    };
    assert_eq!(Member::parse(&line).unwrap(), good);
    for (name, line) in [
        ("above", altered("noarch/a.conda", "../a.conda")),
        ("within", altered("noarch/a.conda", "noarch/../../a.conda")),
        ("absolute", altered("noarch/a.conda", "/etc/passwd")),
        ("hidden", altered("noarch/a.conda", "noarch/.a.conda")),
        ("empty", altered("noarch/a.conda", "")),
        ("encoded", altered("noarch/a.conda", "noarch/%2e%2e/a.conda")),
        ("a token's place", altered("noarch/a.conda", "label/t/noarch/a.conda")),
        ("nowhere", altered("noarch/a.conda", "noarch/x/y/a.conda")),
        ("control", altered("noarch/a.conda", "noarch/a\\u0000.conda")),
        ("channel", altered("team/main", "../team")),
        ("reserved channel", altered("team/main", "api")),
        ("derived", altered("\"part\":\"file\"", "\"part\":\"digests\"")),
        ("digest", altered(&Sha256::of(b"aa").to_string(), "00")),
        ("upstream", altered("https://conda.example.org", &"x".repeat(UPSTREAM_BYTES_MAX + 1))),
        ("terminal", altered("https://conda.example.org", "\\u001b[2J")),
        ("negative", altered("\"length\":2", "\"length\":-2")),
    ] {
        let parsed = Member::parse(&line);
        assert!(parsed.is_err(), "{name}: {parsed:?}");
    }
    let index = member("noarch/repodata.json", b"{}");
    let other = member("noarch/b.conda", b"bb");
    for (name, members) in [
        ("twice", vec![good.clone(), good.clone()]),
        ("out of order", vec![other, good.clone()]),
        ("index behind", vec![good.clone(), index]),
    ] {
        let read = Manifest::read(&manifest(&members)[..]);
        assert!(matches!(read, Err(BundleError::Manifest { line: 3, .. })), "{name}: {read:?}");
    }
    let text = String::from_utf8(manifest(std::slice::from_ref(&good))).unwrap();
    for (name, text) in [
        ("members", text.replace("\"members\":1", "\"members\":2")),
        ("bytes", text.replace("\"bytes\":2", "\"bytes\":3")),
        ("cut", text.trim_end().to_owned()),
        ("line", text.clone() + &"x".repeat(LINE_BYTES_MAX as usize + 1) + "\n"),
    ] {
        assert!(Manifest::read(text.as_bytes()).is_err(), "{name}");
    }
    let later = text.replace("\"version\":1", "\"version\":2");
    assert!(matches!(Manifest::read(later.as_bytes()), Err(BundleError::Version(2))));
}
