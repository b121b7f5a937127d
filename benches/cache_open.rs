//! How long does it take to open a cache of 200,000 objects? Names and inodes are read, no bodies.
//!
//! `cargo bench --bench cache_open [-- DIRECTORY]`. Without a directory the objects are made in a temporary one, so that their inodes are in
//! memory, as after a restart of the gate. With one, they are made there if they are missing and stay: after a restart of the machine, or
//! on a file system that was mounted anew, the figure is that of a cold start.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use channelgate::cache::{Disk, DiskConfig, Facts, Key, Meters, Part, Proof, Sha256, write_footer};
use channelgate::clock::Clock;
use channelgate::conda::{ChannelName, Location, UpstreamPath};
use channelgate::metrics::Metrics;
use channelgate::semantics::CacheControl;
use channelgate::upstream::UpstreamsId;

const OBJECTS: u64 = 200_000;
const ROUNDS: usize = 7;
const CHANNELS: [&str; 4] = ["conda-forge", "repo/main", "repo/r", "repo/msys2"];

fn main() {
    // Cargo adds `--bench`.
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let temporary = tempfile::tempdir().unwrap();
    let directory = given.map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    if !directory.join("objects").exists() {
        let began = Instant::now();
        make(&directory);
        println!("made {OBJECTS} objects in {:.1} s", began.elapsed().as_secs_f64());
    }
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| open(&directory)).collect();
    println!("first {:.2} s", rounds[0]);
    rounds.sort_by(f64::total_cmp);
    let median = rounds[ROUNDS / 2];
    println!("open, {OBJECTS} objects: median {median:.2} s, least {:.2} s", rounds[0]);
    println!("{} the bound of 2 s", if median < 2.0 { "within" } else { "over" });
}

fn open(directory: &Path) -> f64 {
    let config =
        DiskConfig { directory: directory.to_owned(), capacity_bytes: 1 << 50, scrub_bytes_per_second: 0 };
    let meters = Meters::register(Metrics::new().unwrap().registry()).unwrap();
    let before = resident_bytes();
    let began = Instant::now();
    let disk = Disk::open(config, Clock::system(), meters).unwrap();
    let elapsed = began.elapsed().as_secs_f64();
    assert_eq!(disk.totals().objects, OBJECTS);
    let grown = resident_bytes().saturating_sub(before);
    println!("{elapsed:.2} s, {} MiB more in memory", grown >> 20);
    elapsed
}

/// The files as the cache writes them, without waiting for the disk.
fn make(directory: &Path) {
    let upstreams = UpstreamsId::from_bytes([1; 8]);
    for number in 0..OBJECTS {
        let channel = ChannelName::parse(CHANNELS[number as usize % CHANNELS.len()]).unwrap();
        let path = format!("linux-64/package-{number}-1.0-h0123456_0.conda");
        let path = UpstreamPath::of(&Location::parse(&path)).unwrap();
        let key = Key::new(&channel, upstreams, &path);
        let mut file = vec![b'x'; 100];
        let facts = Facts {
            channel: channel.clone(),
            upstreams,
            path: path.decoded().to_owned(),
            part: Part::File,
            length: file.len() as u64,
            sha256: Sha256::of(&file),
            proof: Proof::Index,
            etag: None,
            last_modified: None,
            cache_control: CacheControl::default(),
            generation: None,
            upstream: "https://conda.example.org".to_owned(),
            fetched_at: Clock::system().now(),
        };
        file.extend(write_footer(&facts).unwrap());
        let name = key.digest().to_string();
        let shelf = format!("{}@{upstreams}", channel.as_str().replace('/', "+"));
        let bay = directory.join("objects").join(shelf).join(&name[..2]);
        fs::create_dir_all(&bay).unwrap();
        fs::write(bay.join(&name[2..]), file).unwrap();
    }
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
