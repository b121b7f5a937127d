//! A disk that is full, or takes no large files: what does not fit is refused, what is there is served, and nothing else fails.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use channelgate::cache::{Disk, Draft, DraftError};

use super::filler::{self, put};

const MIB: usize = 1 << 20;
const CAPACITY_BYTES: u64 = 1 << 30;

async fn held(disk: &Disk, file: &str) -> bool {
    match disk.find(&filler::key(file)).await {
        Some(object) => filler::edition(file, &object) == 1,
        None => false,
    }
}

/// Writes until nothing more fits; what was written can be read on.
async fn overfill(disk: &Disk, announced: Option<u64>) -> Draft {
    let mut draft = disk.draft(&filler::key("overfull"), announced).await.unwrap();
    let body = filler::bytes("overfull", 1, 12 * MIB);
    let refused = body.chunks(100_000).find_map(|chunk| draft.write(chunk).err());
    assert!(matches!(refused, Some(DraftError::Full)), "{refused:?}");
    let mut read = vec![0; usize::try_from(draft.written()).unwrap()];
    draft.file().read_exact_at(&mut read, 0).unwrap();
    assert!(body.starts_with(&read));
    draft
}

fn drafts(directory: &Path) -> usize {
    fs::read_dir(directory.join("partial")).unwrap().count()
}

/// On a file system of 8 MiB that somebody else fills.
async fn full_disk(directory: &Path) {
    let directory = &directory.join("cache");
    let (disk, meters) = filler::open(directory, CAPACITY_BYTES);
    for file in ["a", "b", "c", "d"] {
        put(&disk, file, 1, MIB, true).await.unwrap();
    }
    let mut foreign = File::create(directory.parent().unwrap().join("foreign")).unwrap();
    while foreign.write_all(&[0; 4096]).is_ok() {}

    // The least recently used makes way for what fits in its place.
    put(&disk, "e", 1, MIB - 8192, true).await.unwrap();
    assert!(!held(&disk, "a").await && held(&disk, "b").await && held(&disk, "e").await);
    assert_eq!(meters.evictions.get(), 1);
    // What would not fit even if all went evicts nothing.
    assert!(matches!(disk.draft(&filler::key("huge"), Some(100 << 20)).await, Err(DraftError::Full)));
    assert_eq!((meters.evictions.get(), disk.totals().objects, drafts(directory)), (1, 4, 0));
    // A body of unknown length meets the full disk in the middle.
    put(&disk, "f", 1, MIB + MIB / 2, false).await.unwrap();
    assert!(held(&disk, "f").await);

    // What is in use stays, so that there is no room; that is said, and leaves nothing.
    let f = disk.find(&filler::key("f")).await.unwrap();
    let draft = overfill(&disk, None).await;
    assert!(disk.totals().objects == 1 && held(&disk, "f").await);
    assert!(matches!(put(&disk, "g", 1, MIB, true).await, Err(DraftError::Full)));
    drop(draft);
    assert_eq!((drafts(directory), disk.totals().draft_bytes), (0, 0));
    put(&disk, "g", 1, MIB, true).await.unwrap();
    assert_eq!(filler::edition("f", &f), 1);
    assert_eq!((meters.disk_errors.get(), meters.bad_footers.get()), (0, 0));
}

/// On a file system that takes files of 1 MiB at most.
async fn small_files(directory: &Path) {
    let (disk, meters) = filler::open(directory, CAPACITY_BYTES);
    put(&disk, "a", 1, MIB / 2, true).await.unwrap();
    drop(overfill(&disk, None).await);
    drop(overfill(&disk, Some(12 << 20)).await);
    // The body fits, the footer does not.
    assert!(matches!(put(&disk, "c", 1, MIB - 10, true).await, Err(DraftError::Full)));
    assert_eq!((disk.totals().objects, disk.totals().draft_bytes, drafts(directory)), (1, 0, 0));
    assert!(held(&disk, "a").await && meters.evictions.get() == 0, "fewer objects do not help");
    put(&disk, "d", 1, MIB / 2, false).await.unwrap();
    assert!(held(&disk, "d").await);
}

/// Runs `test` by a shell that has brought the limit about in the directory `$1`.
fn limited(mut shell: Command, script: &str, test: &str) {
    let directory = tempfile::tempdir().unwrap();
    shell.args(["sh", "-c", script, "sh"]).arg(directory.path());
    let output = filler::again(shell, test, directory.path()).stdin(Stdio::null()).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// How this machine lets the test mount a file system of its own that vanishes with the process; `None` where it does not.
fn own_mounts() -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    ways.into_iter().find_map(|way| {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(way);
            command
        };
        let directory = tempfile::tempdir().unwrap();
        let tried = unshare().args(["mount", "-t", "tmpfs", "tmpfs"]).arg(directory.path()).output();
        match tried {
            Ok(output) => output.status.success().then(unshare),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("{error}"),
        }
    })
}

#[tokio::test]
async fn full_disk_makes_way_or_says_so() {
    const NAME: &str = "cache::full::full_disk_makes_way_or_says_so";
    if let Some(directory) = filler::given_directory() {
        return full_disk(&directory).await;
    }
    match own_mounts() {
        Some(unshare) => {
            let script = r#"mount -t tmpfs -o size=8m tmpfs "$1" && shift && exec "$@""#;
            limited(unshare, script, NAME);
        }
        // Without the right to mount, the limit that any process may set itself shows the same refusals, and no eviction.
        None => file_too_large_is_no_room(),
    }
}

#[tokio::test]
async fn limit_on_files_sizes_is_no_room() {
    if let Some(directory) = filler::given_directory() {
        return small_files(&directory).await;
    }
    file_too_large_is_no_room();
}

fn file_too_large_is_no_room() {
    // In blocks of 512 bytes; the signal that comes with it would end the process.
    let script = r#"shift; trap '' XFSZ; ulimit -f 2048; exec "$@""#;
    limited(Command::new("env"), script, "cache::full::limit_on_files_sizes_is_no_room");
}
