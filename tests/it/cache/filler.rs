//! Objects for a cache's disk, whose bytes tell what they should be, and a process of one's own to fill it: this very test binary again.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use channelgate::cache::{Disk, DiskConfig, DraftError, Facts, Key, Meters, Object, Part, Proof, Sha256};
use channelgate::clock::Clock;
use channelgate::conda::{ChannelName, Location, UpstreamPath};
use channelgate::metrics::Metrics;
use channelgate::semantics::CacheControl;
use channelgate::upstream::UpstreamsId;

pub fn open(directory: &Path, capacity_bytes: u64) -> (Disk, Meters) {
    let meters = Meters::register(Metrics::new().unwrap().registry()).unwrap();
    let config = DiskConfig { directory: directory.to_owned(), capacity_bytes, scrub_bytes_per_second: 0 };
    (Disk::open(config, Clock::system(), meters.clone()).unwrap(), meters)
}

pub fn key(file: &str) -> Key {
    let path = format!("linux-64/{file}");
    let path = UpstreamPath::of(&Location::parse(&path)).unwrap();
    Key::new(&ChannelName::parse("main").unwrap(), UpstreamsId::from_bytes([1; 8]), &path)
}

/// The bytes that a file has in one of its editions: never those of another.
pub fn bytes(file: &str, edition: u64, length: usize) -> Vec<u8> {
    let seed = Sha256::of(format!("{file} {edition}").as_bytes());
    let mut state = u64::from_le_bytes(*seed.as_bytes().first_chunk().unwrap()) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Facts that name their edition.
pub fn facts(key: &Key, edition: u64, body: &[u8]) -> Facts {
    Facts {
        channel: key.channel().clone(),
        upstreams: key.upstreams(),
        path: key.path().to_owned(),
        part: Part::File,
        length: body.len() as u64,
        sha256: Sha256::of(body),
        proof: Proof::Unproven,
        etag: None,
        last_modified: None,
        cache_control: CacheControl::default(),
        generation: None,
        upstream: edition.to_string(),
        fetched_at: Clock::system().now(),
    }
}

/// Takes a file in; `announced`: with its length said in advance.
pub async fn put(
    disk: &Disk,
    file: &str,
    edition: u64,
    length: usize,
    announced: bool,
) -> Result<Object, DraftError> {
    let (key, body) = (key(file), bytes(file, edition, length));
    let mut draft = disk.draft(&key, announced.then_some(length as u64)).await?;
    for chunk in body.chunks(16 * 1024) {
        draft.write(chunk)?;
        tokio::task::yield_now().await;
    }
    draft.seal(facts(&key, edition, &body))
}

/// The bytes of an object.
pub fn body(object: &Object) -> Vec<u8> {
    let mut body = vec![0; usize::try_from(object.facts().length).unwrap()];
    object.file().read_exact_at(&mut body, 0).unwrap();
    body
}

/// The edition of an object, whose bytes must be that edition's.
#[track_caller]
pub fn edition(file: &str, object: &Object) -> u64 {
    let (edition, body) = (object.facts().upstream.parse().unwrap(), body(object));
    assert!(body == bytes(file, edition, body.len()), "wrong bytes in {file}, edition {edition}");
    assert_eq!(Sha256::of(&body), object.facts().sha256);
    edition
}

/// This binary, to run one of its tests in a process of its own, with a directory in its environment.
pub fn again(mut command: Command, test: &str, directory: &Path) -> Command {
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory);
    command
}

/// The directory that this process was given by [`again`].
pub fn given_directory() -> Option<std::path::PathBuf> {
    std::env::var_os(DIRECTORY).map(Into::into)
}

const DIRECTORY: &str = "CACHE_TEST_DIRECTORY";
