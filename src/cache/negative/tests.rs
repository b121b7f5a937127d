//! What is remembered as missing, for how long, and what makes it forgotten.

use std::time::Duration;

use super::*;
use crate::conda::{ChannelName, Location, UpstreamPath};
use crate::upstream::UpstreamsId;

const TTL: Duration = Duration::from_secs(10);

fn key_in(channel: &str, upstreams: &str, path: &str) -> Key {
    let path = UpstreamPath::of(&Location::parse(path)).unwrap();
    Key::new(&ChannelName::parse(channel).unwrap(), upstreams.parse::<UpstreamsId>().unwrap(), &path)
}

fn key(path: &str) -> Key {
    key_in("main", "0123456789abcdef", path)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_000 + seconds)
}

#[test]
fn missing_file_is_remembered_for_its_time() {
    let absent = Absent::new();
    let package = key("noarch/x-1-0.conda");
    assert!(!absent.knows(&package, at(0), TTL));
    absent.note(&package, at(0));
    assert!(absent.knows(&package, at(9), TTL));
    assert!(!absent.knows(&key("noarch/y-1-0.conda"), at(9), TTL), "another file");
    assert!(!absent.knows(&package, at(10), TTL), "its time is over");
    absent.note(&package, at(20));
    assert!(!absent.knows(&package, at(20), Duration::ZERO), "nothing is remembered");
}

#[test]
fn new_index_drops_what_was_missing_in_its_directory_and_nothing_else() {
    let shard = format!("noarch/shards/{}.msgpack.zst", "a".repeat(64));
    let rows = [
        ("noarch/x-1-0.conda", "main", "0123456789abcdef", false),
        (shard.as_str(), "main", "0123456789abcdef", false),
        ("linux-64/x-1-0.conda", "main", "0123456789abcdef", true),
        ("label/dev/noarch/x-1-0.conda", "main", "0123456789abcdef", true),
        ("channeldata.json", "main", "0123456789abcdef", true),
        ("noarch/x-1-0.conda", "other", "0123456789abcdef", true),
        ("noarch/x-1-0.conda", "main", "fedcba9876543210", true),
    ];
    let absent = Absent::new();
    for (path, channel, upstreams, _) in rows {
        absent.note(&key_in(channel, upstreams, path), at(0));
    }
    absent.note_index(&key("noarch/repodata_shards.msgpack.zst"), at(0));
    absent.forget_beside(&key("noarch/repodata.json.zst"));
    assert!(absent.knows(&key("noarch/repodata_shards.msgpack.zst"), at(1), TTL), "an index names no index");
    for (path, channel, upstreams, stays) in rows {
        let known = absent.knows(&key_in(channel, upstreams, path), at(1), TTL);
        assert_eq!(known, stays, "{channel} of {upstreams}: {path}");
    }
}
