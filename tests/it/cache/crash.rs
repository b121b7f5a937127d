//! `kill -9` at random points of a process that does nothing but fill a cache, edition upon edition: see `kill.rs` for a whole gate.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use channelgate::cache::Disk;

use super::filler;

const KILLS: usize = 20;
const FILES_PER_TASK: u64 = 8;
const TASKS: u64 = 4;
const CAPACITY_BYTES: u64 = 1 << 30;

/// What the filler has said to be whole: the edition of each file.
type Told = BTreeMap<String, u64>;

/// Fills with four tasks, each its own files, one edition after the other, and tells of each object once it is whole.
async fn fill(directory: &Path, steps: u64, tell: fn(&str, u64)) {
    let (disk, _) = filler::open(directory, CAPACITY_BYTES);
    let tasks: Vec<_> =
        (0..TASKS).map(|task| tokio::spawn(fill_own(disk.clone(), task, steps, tell))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn fill_own(disk: Disk, task: u64, steps: u64, tell: fn(&str, u64)) {
    for step in 0..steps {
        let file = format!("{task}-{}.conda", step % FILES_PER_TASK);
        let edition = match disk.find(&filler::key(&file)).await {
            Some(object) => filler::edition(&file, &object) + 1,
            None => 1,
        };
        let length = usize::try_from((edition * 7_919 + step * 104_729) % 150_000).unwrap();
        if edition % 5 == 4 {
            let mut draft = disk.draft(&filler::key("given-up.conda"), None).await.unwrap();
            draft.write(&filler::bytes(&file, edition, length)).unwrap();
        }
        filler::put(&disk, &file, edition, length, edition % 2 == 0).await.unwrap();
        tell(&file, edition);
    }
}

/// Opens the cache as the next process would, and looks at everything.
async fn check(directory: &Path, told: &Told) -> u64 {
    let (disk, meters) = filler::open(directory, CAPACITY_BYTES);
    assert_eq!(fs::read_dir(directory.join("partial")).unwrap().count(), 0, "leaked drafts");
    for (file, told) in told {
        let object = disk.find(&filler::key(file)).await.unwrap_or_else(|| panic!("{file} {told} is lost"));
        let edition = filler::edition(file, &object);
        assert!(edition >= *told, "{file}: {edition} is there, {told} was whole");
    }
    let (mut walk, mut walked) = (disk.walk(), 0);
    while let Some(entry) = walk.next().await {
        let file = entry.facts.path.strip_prefix("linux-64/").unwrap();
        filler::edition(file, &disk.peek(&entry.facts.key()).await.unwrap());
        walked += 1;
    }
    assert_eq!(disk.totals().objects, walked);
    assert_eq!((meters.bad_footers.get(), meters.disk_errors.get()), (0, 0));
    walked
}

/// The process that is killed. By itself it comes to an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn filler_leaves_what_it_told_of() {
    if let Some(directory) = filler::given_directory() {
        // One write a line, so that a kill never cuts one.
        fill(&directory, u64::MAX, |file, edition| {
            let line = format!("whole {file} {edition}\n");
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        })
        .await;
    }
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 2 * FILES_PER_TASK, |_, _| {}).await;
    let told =
        (0..TASKS).flat_map(|task| (0..FILES_PER_TASK).map(move |file| (format!("{task}-{file}.conda"), 2)));
    assert_eq!(check(directory.path(), &told.collect()).await, TASKS * FILES_PER_TASK);
}

#[tokio::test]
async fn kills_at_random_points_lose_leak_and_spoil_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut told, mut whole) = (Told::new(), 0);
    for _ in 0..KILLS {
        let mut command = Command::new("env");
        command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
        let mut child =
            filler::again(command, "cache::crash::filler_leaves_what_it_told_of", directory.path())
                .spawn()
                .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let tells = |line: String| {
            let mut words = line.strip_prefix("whole ")?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?.parse::<u64>().ok()?))
        };
        // It is at work.
        let first = lines.by_ref().find_map(tells).expect("the filler ended by itself");
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        thread::sleep(Duration::from_micros(u64::from(u16::from_le_bytes(random)) / 2));
        child.kill().unwrap();
        child.wait().unwrap();
        for (file, edition) in [first].into_iter().chain(lines.filter_map(tells)) {
            told.insert(file, edition);
            whole += 1;
        }
        check(directory.path(), &told).await;
    }
    assert!(whole > KILLS, "{whole} objects in {KILLS} rounds are no load");
    println!("{KILLS} kills, {whole} whole objects told of");
}
