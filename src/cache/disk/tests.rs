//! The disk, as those who fill and serve see it, and as other processes and crashes leave it.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::cache::{Facts, Part, Proof, Sha256};
use crate::clock::ManualClock;
use crate::conda::{ChannelName, Location, UpstreamPath};
use crate::metrics::Metrics;
use crate::semantics::CacheControl;
use crate::upstream::UpstreamsId;

const MIB: u64 = 1 << 20;
/// What a small object takes.
const SMALL: u64 = BLOCK_BYTES;

struct Place {
    directory: tempfile::TempDir,
    clock: Clock,
    hands: ManualClock,
}

impl Place {
    fn new() -> Self {
        let (clock, hands) = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
        Self { directory: tempfile::tempdir().unwrap(), clock, hands }
    }

    /// A process of its own, as far as the disk can tell.
    fn open(&self, capacity_bytes: u64) -> Disk {
        let config =
            DiskConfig { directory: self.path("cache"), capacity_bytes, scrub_bytes_per_second: 1 << 40 };
        let meters = Meters::register(Metrics::new().unwrap().registry()).unwrap();
        Disk::open(config, self.clock.clone(), meters).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn drafts(&self) -> usize {
        fs::read_dir(self.path("cache/partial")).unwrap().count()
    }

    fn object(&self, key: &Key) -> PathBuf {
        Layout::new(self.path("cache")).object(&layout::shelf(key), &key.digest())
    }

    fn minute(&self) {
        self.hands.advance(Duration::from_secs(61));
    }
}

fn key(file: &str) -> Key {
    let path = format!("noarch/{file}");
    let path = UpstreamPath::of(&Location::parse(&path)).unwrap();
    Key::new(&ChannelName::parse("repo/main").unwrap(), UpstreamsId::from_bytes([7; 8]), &path)
}

fn facts(key: &Key, body: &[u8], at: Timestamp) -> Facts {
    Facts {
        channel: key.channel().clone(),
        upstreams: key.upstreams(),
        path: key.path().to_owned(),
        part: key.part(),
        length: body.len() as u64,
        sha256: Sha256::of(body),
        proof: Proof::Unproven,
        etag: None,
        last_modified: None,
        cache_control: CacheControl::default(),
        generation: None,
        upstream: "https://conda.example.org".to_owned(),
        fetched_at: at,
    }
}

async fn try_put(disk: &Disk, key: &Key, body: &[u8]) -> Result<Object, DraftError> {
    let mut draft = disk.draft(key, Some(body.len() as u64)).await?;
    for chunk in body.chunks(64 * 1024) {
        draft.write(chunk)?;
    }
    draft.seal(facts(key, body, disk.0.clock.now()))
}

async fn put(disk: &Disk, file: &str, body: &[u8]) -> Object {
    try_put(disk, &key(file), body).await.unwrap()
}

fn body(object: &Object) -> Vec<u8> {
    let mut body = vec![0; usize::try_from(object.facts().length).unwrap()];
    object.file().read_exact_at(&mut body, 0).unwrap();
    body
}

async fn holds(disk: &Disk, files: &[&str]) -> Vec<bool> {
    let mut held = Vec::new();
    for file in files {
        held.push(disk.peek(&key(file)).await.is_some());
    }
    held
}

/// A file of `blocks` blocks, footer included.
fn blocks(blocks: u64) -> Vec<u8> {
    vec![b'b'; usize::try_from((blocks - 1) * BLOCK_BYTES).unwrap()]
}

#[test]
fn directory_of_somebody_else_is_refused_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir_all(place.path("cache/lost+found")).unwrap();
    fs::write(place.path("cache/hosts"), "").unwrap();
    let open = || {
        let config =
            DiskConfig { directory: place.path("cache"), capacity_bytes: MIB, scrub_bytes_per_second: 0 };
        let meters = Meters::register(Metrics::new().unwrap().registry()).unwrap();
        Disk::open(config, place.clock.clone(), meters)
    };
    let error = open().err().unwrap();
    assert!(error.to_string().contains("cannot be used"), "{error}");
    assert!(error.source.to_string().contains("hosts"), "{}", error.source);
    assert!(!place.path("cache/objects").exists());
    fs::remove_file(place.path("cache/hosts")).unwrap();
    open().unwrap();
    fs::write(place.path("cache/hosts"), "").unwrap();
    open().unwrap();
}

#[tokio::test]
async fn object_is_found_with_its_bytes_and_facts_also_by_the_next_process() {
    let place = Place::new();
    let disk = place.open(MIB);
    assert!(disk.find(&key("x.conda")).await.is_none());
    let sealed = put(&disk, "x.conda", b"whole").await;
    place.minute();
    for disk in [disk.clone(), place.open(MIB)] {
        let found = disk.find(&key("x.conda")).await.unwrap();
        assert_eq!(body(&found), b"whole");
        assert_eq!((found.facts(), found.validated_at()), (sealed.facts(), sealed.validated_at()));
        assert!(disk.find(&key("x.conda").of_part(Part::Digests)).await.is_none());
        assert!(disk.find(&key("y.conda")).await.is_none());
        assert_eq!(
            disk.totals(),
            Totals { objects: 1, bytes: SMALL, drafts: 0, draft_bytes: 0, capacity_bytes: MIB }
        );
    }
    assert_eq!(place.drafts(), 0);
    assert_eq!(fs::metadata(place.path("cache/objects")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(place.object(&key("x.conda"))).unwrap().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(place.path("cache/CACHEDIR.TAG")).unwrap().starts_with("Signature: 8a477f59"));
}

#[tokio::test]
async fn object_without_bytes_is_an_object() {
    let place = Place::new();
    let disk = place.open(MIB);
    put(&disk, "empty.json", b"").await;
    let found = place.open(MIB).find(&key("empty.json")).await.unwrap();
    assert_eq!((body(&found).len(), found.facts().sha256), (0, Sha256::of(b"")));
}

#[tokio::test]
async fn draft_is_read_while_it_grows_and_dropped_leaves_nothing() {
    let place = Place::new();
    let disk = place.open(MIB);
    let mut draft = disk.draft(&key("x.conda"), None).await.unwrap();
    draft.write(b"half").unwrap();
    let file = draft.file();
    let mut read = [0; 4];
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!((&read, draft.written(), draft.sha256_so_far()), (b"half", 4, Sha256::of(b"half")));
    assert_eq!((disk.totals().drafts, disk.totals().draft_bytes), (1, SMALL));
    assert!(disk.find(&key("x.conda")).await.is_none());
    drop(draft);
    assert_eq!(disk.totals(), Totals { capacity_bytes: MIB, ..Totals::default() });
    assert_eq!(place.drafts(), 0);
    file.read_exact_at(&mut read, 0).unwrap();
}

#[tokio::test]
async fn draft_with_facts_of_other_bytes_becomes_no_object() {
    let place = Place::new();
    let disk = place.open(MIB);
    let good = facts(&key("x.conda"), b"bytes", place.clock.now());
    let bad = [
        ("length", Facts { length: 4, ..good.clone() }),
        ("digest", Facts { sha256: Sha256::of(b"other"), ..good.clone() }),
        ("path", Facts { path: "noarch/y.conda".to_owned(), ..good.clone() }),
        ("part", Facts { part: Part::Digests, ..good }),
    ];
    for (name, facts) in bad {
        let mut draft = disk.draft(&key("x.conda"), None).await.unwrap();
        draft.write(b"bytes").unwrap();
        assert!(matches!(draft.seal(facts), Err(DraftError::OtherFacts)), "{name}");
    }
    assert_eq!((disk.totals().objects, disk.totals().draft_bytes, place.drafts()), (0, 0, 0));
}

#[tokio::test]
async fn draft_of_a_living_writer_stays_and_that_of_a_dead_one_goes() {
    let place = Place::new();
    let disk = place.open(MIB);
    let mut draft = disk.draft(&key("x.conda"), None).await.unwrap();
    draft.write(b"bytes").unwrap();
    let abandoned = place.path("cache/partial/00000000-0000-4000-8000-000000000000");
    let foreign = place.path("cache/partial/notes.txt");
    fs::write(&abandoned, "torn").unwrap();
    fs::write(&foreign, "somebody's").unwrap();
    let other = place.open(MIB);
    assert!(!abandoned.exists() && foreign.exists());
    assert_eq!(place.drafts(), 2);
    draft.seal(facts(&key("x.conda"), b"bytes", place.clock.now())).unwrap();
    assert_eq!(body(&other.find(&key("x.conda")).await.unwrap()), b"bytes");

    fs::write(&abandoned, "torn").unwrap();
    disk.0.rescan();
    assert!(!abandoned.exists());
}

#[tokio::test]
async fn least_recently_used_object_makes_room_and_one_in_use_does_not() {
    let place = Place::new();
    let disk = place.open(4 * SMALL);
    for file in ["a", "b", "c", "d"] {
        put(&disk, file, b"x").await;
    }
    drop(disk.find(&key("a")).await.unwrap());
    put(&disk, "e", b"x").await;
    assert_eq!(holds(&disk, &["a", "b", "c", "d", "e"]).await, [true, false, true, true, true]);

    let pin = disk.find(&key("c")).await.unwrap().hold();
    let pins = [disk.peek(&key("a")).await.unwrap().hold(), pin.clone()];
    put(&disk, "f", &blocks(2)).await;
    assert_eq!(holds(&disk, &["a", "c", "d", "e", "f"]).await, [true, true, false, false, true]);
    assert_eq!(disk.totals().bytes, 4 * SMALL);
    assert_eq!((disk.0.meters.evictions.get(), disk.0.meters.evicted_bytes.get()), (3, 3 * SMALL));

    let f = disk.find(&key("f")).await.unwrap();
    assert!(matches!(try_put(&disk, &key("g"), b"x").await, Err(DraftError::Full)));
    assert_eq!(place.drafts(), 0);
    drop((f, pin, pins));
    put(&disk, "g", b"x").await;
    assert_eq!(holds(&disk, &["a", "c", "f", "g"]).await, [false, true, true, true]);
}

#[tokio::test]
async fn object_larger_than_the_capacity_evicts_nothing() {
    let place = Place::new();
    let disk = place.open(4 * SMALL);
    put(&disk, "a", b"x").await;
    assert!(matches!(disk.draft(&key("b"), Some(4 * SMALL)).await, Err(DraftError::Full)));
    assert!(matches!(disk.draft(&key("b"), Some(u64::MAX)).await, Err(DraftError::Full)));
    assert_eq!(holds(&disk, &["a"]).await, [true]);

    let mut unknown = disk.draft(&key("b"), None).await.unwrap();
    unknown.write(&blocks(3)).unwrap();
    let file = unknown.file();
    assert!(matches!(unknown.write(&blocks(4)), Err(DraftError::Full)));
    assert_eq!(unknown.written(), 2 * SMALL);
    let mut read = blocks(3);
    file.read_exact_at(&mut read, 0).unwrap();
    let other = disk.draft(&key("c"), Some(2 * SMALL)).await;
    assert!(matches!(other, Err(DraftError::Full)), "two drafts have room for one");
    drop(unknown);
    disk.draft(&key("c"), Some(2 * SMALL)).await.unwrap();
}

#[tokio::test]
async fn order_of_use_outlives_the_process() {
    let place = Place::new();
    let disk = place.open(MIB);
    for file in ["a", "b", "c"] {
        put(&disk, file, b"x").await;
        place.minute();
    }
    disk.find(&key("a")).await.unwrap();
    drop(disk);
    let disk = place.open(2 * SMALL);
    assert_eq!(holds(&disk, &["a", "b", "c"]).await, [true, false, true]);
    drop(disk);
    let disk = place.open(SMALL);
    assert_eq!(holds(&disk, &["a", "c"]).await, [true, false]);
}

#[tokio::test]
async fn use_is_marked_at_most_once_a_minute_and_a_look_never() {
    let place = Place::new();
    let disk = place.open(MIB);
    put(&disk, "a", b"x").await;
    let used = || {
        let inode = fs::metadata(place.object(&key("a"))).unwrap();
        inode.atime() * 1_000 + inode.atime_nsec() / 1_000_000
    };
    let (first, now) = (used(), || place.clock.now().as_millis());
    assert_eq!(first, now());
    place.hands.advance(Duration::from_secs(59));
    body(&disk.find(&key("a")).await.unwrap());
    assert_eq!(used(), first);
    place.minute();
    body(&disk.peek(&key("a")).await.unwrap());
    assert_eq!(used(), first);
    body(&disk.find(&key("a")).await.unwrap());
    // It is still open, so that nobody waits for the mark.
    let patience = std::time::Instant::now() + Duration::from_secs(30);
    while used() != now() {
        assert!(std::time::Instant::now() < patience, "the use was never marked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(place.open(MIB).walk().next().await.unwrap().used_at, place.clock.now());
}

#[tokio::test]
async fn confirmed_object_is_current_since_then_for_everybody() {
    let place = Place::new();
    let disk = place.open(MIB);
    let object = put(&disk, "a", b"x").await;
    let (fetched, other) = (object.validated_at(), place.open(MIB));
    let seen = other.find(&key("a")).await.unwrap();
    place.minute();
    let now = place.clock.now();
    let confirmed = disk.confirm(&object, now).await;
    assert_eq!((object.validated_at(), confirmed.validated_at()), (fetched, now));
    assert_eq!(confirmed.facts().fetched_at, fetched);
    for disk in [&disk, &other, &place.open(MIB)] {
        assert_eq!(disk.find(&key("a")).await.unwrap().validated_at(), now);
    }
    assert_eq!(seen.validated_at(), fetched);
}

#[tokio::test]
async fn replaced_object_is_read_on_by_who_has_it() {
    let place = Place::new();
    let (disk, other) = (place.open(MIB), place.open(MIB));
    put(&disk, "a", b"old").await;
    let (old, old_elsewhere) = (disk.find(&key("a")).await.unwrap(), other.find(&key("a")).await.unwrap());
    put(&disk, "a", b"newer").await;
    for disk in [&disk, &other] {
        assert_eq!(body(&disk.find(&key("a")).await.unwrap()), b"newer");
        assert_eq!(disk.totals().objects, 1);
    }
    assert_eq!((body(&old), body(&old_elsewhere)), (b"old".to_vec(), b"old".to_vec()));
    drop((old, old_elsewhere));
    assert_eq!(disk.totals().bytes, SMALL);
}

#[tokio::test]
async fn what_other_processes_add_is_found_and_what_they_remove_is_missed() {
    let place = Place::new();
    let (disk, other) = (place.open(MIB), place.open(MIB));
    put(&other, "added", b"x").await;
    put(&other, "unseen", &blocks(3)).await;
    put(&disk, "removed", b"x").await;
    let held = disk.find(&key("removed")).await.unwrap();
    put(&disk, "purged", b"x").await;
    assert!(disk.find(&key("added")).await.is_some());
    assert!(other.remove(&key("removed")).await && other.remove(&key("purged")).await);
    assert!(!other.remove(&key("purged")).await);
    assert!(disk.find(&key("removed")).await.is_none());
    assert_eq!(body(&held), b"x");

    assert_eq!(disk.totals().bytes, 2 * SMALL, "it knows neither of what it has not seen nor of the purge");
    disk.0.rescan();
    assert_eq!((disk.totals().objects, disk.totals().bytes), (2, 4 * SMALL));
    assert_eq!((disk.0.meters.objects.get(), disk.0.meters.bytes.get()), (2, 4 * 4_096));
    drop(held);
    assert_eq!(disk.totals(), place.open(MIB).totals());
}

#[tokio::test]
async fn rescan_makes_room_for_what_others_added() {
    let place = Place::new();
    let (disk, other) = (place.open(4 * SMALL), place.open(MIB));
    put(&disk, "a", b"x").await;
    for file in ["b", "c", "d", "e"] {
        put(&other, file, b"x").await;
    }
    disk.0.rescan();
    assert_eq!(holds(&disk, &["a", "b", "c", "d", "e"]).await, [false, true, true, true, true]);
}

#[tokio::test]
async fn file_that_is_not_the_whole_object_is_removed_and_never_given_out() {
    let place = Place::new();
    let foreign = place.path("foreign");
    fs::write(&foreign, "not the gate's").unwrap();
    type Harm<'a> = Box<dyn Fn(&Path) + 'a>;
    let change = |change: fn(&mut Vec<u8>)| -> Harm<'_> {
        Box::new(move |path| {
            let mut file = fs::read(path).unwrap();
            change(&mut file);
            fs::write(path, file).unwrap();
        })
    };
    let cases: [(&str, Harm<'_>); 9] = [
        ("empty", change(Vec::clear)),
        ("cut", change(|file| file.truncate(file.len() - 1))),
        ("only the body", change(|file| file.truncate(5))),
        ("longer", change(|file| file.push(0))),
        ("a byte of the body gone", change(|file| *file = file.split_off(1))),
        ("facts overwritten", change(|file| file[10] = 0)),
        ("zeros", change(|file| file.fill(0))),
        (
            "another object's file",
            Box::new(|path| assert!(fs::copy(place.object(&key("other")), path).unwrap() > 0)),
        ),
        (
            "a link",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                symlink(&foreign, path).unwrap();
            }),
        ),
    ];
    for (name, harm) in cases {
        let disk = place.open(MIB);
        put(&disk, "other", b"other").await;
        put(&disk, "x", b"whole").await;
        harm(&place.object(&key("x")));
        assert!(disk.find(&key("x")).await.is_none(), "{name}");
        assert!(fs::symlink_metadata(place.object(&key("x"))).is_err(), "{name}");
        assert_eq!((disk.0.meters.bad_footers.get(), disk.totals().objects), (1, 1), "{name}");
        assert!(disk.find(&key("other")).await.is_some(), "{name}");
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "not the gate's");
}

#[tokio::test]
async fn files_of_other_names_are_neither_counted_nor_touched() {
    let place = Place::new();
    put(&place.open(MIB), "x", b"whole").await;
    let bay = place.object(&key("x")).parent().unwrap().to_owned();
    let strange = [
        place.path("cache/objects/README"),
        place.path("cache/objects/readme@home/x"),
        bay.join("x"),
        bay.join("F".repeat(62)),
        bay.join("e".repeat(61)),
        bay.join("e".repeat(63)),
        bay.parent().unwrap().join("e".repeat(62)),
    ];
    for path in &strange {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "strange").unwrap();
    }
    fs::create_dir(bay.join("d".repeat(62))).unwrap();
    let disk = place.open(MIB);
    assert_eq!(disk.totals().objects, 1);
    let mut walk = disk.walk();
    assert_eq!(walk.next().await.unwrap().facts.key(), key("x"));
    assert!(walk.next().await.is_none());
    disk.0.rescan();
    assert!(strange.iter().all(|path| path.exists()));
}

#[tokio::test]
async fn walk_comes_by_every_object_and_removes_what_is_none() {
    let place = Place::new();
    let disk = place.open(MIB);
    let names: Vec<_> = (0..200).map(|number| format!("{number:03}")).collect();
    for name in &names {
        put(&disk, name, name.as_bytes()).await;
    }
    fs::write(place.object(&key("100")), "torn").unwrap();
    let (mut walk, mut seen) = (disk.walk(), Vec::new());
    while let Some(entry) = walk.next().await {
        assert_eq!(entry.bytes, SMALL);
        assert_eq!((entry.validated_at, entry.used_at), (place.clock.now(), place.clock.now()));
        assert_eq!(disk.peek(&entry.facts.key()).await.unwrap().facts(), &entry.facts);
        seen.push(entry.facts.path.rsplit_once('/').unwrap().1.to_owned());
    }
    seen.sort();
    assert_eq!(seen, names.iter().filter(|name| *name != "100").cloned().collect::<Vec<_>>());
    assert_eq!((disk.totals().objects, disk.0.meters.bad_footers.get()), (199, 1));
}

fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[tokio::test]
async fn scrub_removes_what_changed_on_the_disk_and_nothing_else() {
    let place = Place::new();
    let disk = place.open(4 * MIB);
    let large = vec![b'l'; 700_000];
    put(&disk, "sound", &large).await;
    put(&disk, "bad", &large).await;
    flip(&place.object(&key("bad")), 699_999);
    assert_eq!(disk.scrub(&key("none")).await, None);
    assert_eq!(disk.scrub(&key("sound")).await, Some(Verdict::Sound));
    assert_eq!(disk.scrub(&key("bad")).await, Some(Verdict::Bad));
    assert_eq!(holds(&disk, &["sound", "bad"]).await, [true, false]);
    let meters = &disk.0.meters;
    assert_eq!(
        (meters.bad_bodies.get(), meters.scrubbed.get(), meters.scrubbed_bytes.get()),
        (1, 2, 1_400_000)
    );

    put(&disk, "bad", &large).await;
    let held = disk.find(&key("bad")).await.unwrap();
    flip(&place.object(&key("bad")), 0);
    put(&disk, "bad", b"replaced").await;
    assert_eq!(disk.scrub_object(&held, None).await, Verdict::Bad);
    assert_eq!(body(&disk.find(&key("bad")).await.unwrap()), b"replaced", "what replaced it stays");
}

#[tokio::test]
async fn object_cut_short_behind_the_back_of_its_reader_is_bad() {
    let place = Place::new();
    let disk = place.open(MIB);
    let object = put(&disk, "x", &blocks(3)).await;
    fs::File::options().write(true).open(place.object(&key("x"))).unwrap().set_len(100).unwrap();
    assert_eq!(disk.scrub_object(&object, None).await, Verdict::Bad);
    assert_eq!(holds(&disk, &["x"]).await, [false]);
}

#[tokio::test]
async fn background_scrub_finds_it_by_itself_and_ends_when_asked() {
    let place = Place::new();
    let disk = place.open(MIB);
    for file in ["a", "b", "c"] {
        put(&disk, file, b"body").await;
    }
    flip(&place.object(&key("b")), 3);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let keeping = tokio::spawn(disk.clone().keep(async { drop(stopped.await) }));
    while disk.0.meters.scrubbed.get() < 3 || disk.totals().objects > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(holds(&disk, &["a", "b", "c"]).await, [true, false, true]);
    stop.send(()).unwrap();
    keeping.await.unwrap();
}

#[tokio::test]
async fn emptied_directory_is_made_anew() {
    let place = Place::new();
    let disk = place.open(MIB);
    put(&disk, "a", b"x").await;
    fs::remove_dir_all(place.path("cache")).unwrap();
    assert!(disk.find(&key("a")).await.is_none());
    put(&disk, "a", b"again").await;
    assert_eq!(body(&disk.find(&key("a")).await.unwrap()), b"again");
    assert_eq!(disk.totals().objects, 1);
}

#[tokio::test]
async fn directory_that_cannot_be_made_is_an_error_that_names_it() {
    let place = Place::new();
    fs::write(place.path("cache"), "a file").unwrap();
    let config =
        DiskConfig { directory: place.path("cache"), capacity_bytes: MIB, scrub_bytes_per_second: 0 };
    let meters = Meters::register(Metrics::new().unwrap().registry()).unwrap();
    let error = Disk::open(config, place.clock.clone(), meters).err().unwrap();
    let expected = format!(
        "the cache directory {} cannot be used; name another one in cache.directory",
        place.path("cache").display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_exceed_the_capacity_or_read_what_was_not_written() {
    const NAMES: u32 = 40;
    let place = Place::new();
    let disk = place.open(20 * SMALL);
    let found = std::sync::Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..8u32)
        .map(|task| {
            let (disk, found) = (disk.clone(), std::sync::Arc::clone(&found));
            tokio::spawn(async move {
                for step in 0..150u32 {
                    let name = format!("{}", (step * 7 + task * 13) % NAMES);
                    if let Some(object) = disk.find(&key(&name)).await {
                        assert_eq!(body(&object), name.repeat(50).as_bytes());
                        found.fetch_add(1, Ordering::Relaxed);
                    } else {
                        match try_put(&disk, &key(&name), name.repeat(50).as_bytes()).await {
                            Ok(object) => assert_eq!(body(&object), name.repeat(50).as_bytes()),
                            Err(error) => assert!(matches!(error, DraftError::Full), "{error}"),
                        }
                    }
                    if step % 50 == task {
                        disk.remove(&key(&name)).await;
                    }
                    let totals = disk.totals();
                    assert!(totals.bytes + totals.draft_bytes <= totals.capacity_bytes, "{totals:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(found.load(Ordering::Relaxed) > 0 && disk.0.meters.evictions.get() > 0);
    let totals = disk.totals();
    assert_eq!((totals.drafts, totals.draft_bytes, place.drafts()), (0, 0, 0));
    assert_eq!(totals, place.open(20 * SMALL).totals());
    assert_eq!((disk.0.meters.bad_footers.get(), disk.0.meters.disk_errors.get()), (0, 0));
}
