//! What does a directory of conda-forge's size cost: its first generation, the next one, and a view of it?
//!
//! `cargo bench --bench subdir [-- RECORDS]`, 700,000 records unless told. The document is made here, from a fixed seed: names, versions,
//! builds, dependencies and sizes as conda-forge's linux-64 has them, several builds a package, digests that do not compress. Each phase
//! runs in a process of its own, which tells its CPU time and its peak of resident memory:
//!
//! 1. first: `repodata.json.zst` of the upstream is decompressed and parsed, all shards are made, and a `.zst` of the gate's own;
//! 2. incremental: the same of the next generation, in which 1 % of the packages have changed, beside the pack of the first;
//! 3. view: of the parsed document, what somebody sees who is hidden a third of the packages and some builds of others: its `.zst`, its shards.
//!
//! Levels of zstd were chosen by what `levels` prints: `cargo bench --bench subdir -- 700000 levels`. `benches/subdir.py` reads the same
//! document with py-rattler, as information: `cargo bench --bench subdir -- 700000 keep DIRECTORY` leaves it there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use channelgate::clock::Timestamp;
use channelgate::index::{Ancestry, Document, Limits, Pack, Record, Selection, write_json, write_zst};

const RECORDS: usize = 700_000;
const PHASES: [&str; 3] = ["first", "incremental", "view"];

fn main() {
    // Cargo adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["phase", phase, place] => run(phase, Path::new(place)),
        [records, rest @ ..] => measure(records.parse().expect("a number of records"), rest),
        [] => measure(RECORDS, &[]),
    }
}

/// Makes the documents and runs the phases.
fn measure(records: usize, rest: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (first, packages) = document(records, 0);
    let (second, _) = document(records, 1);
    println!(
        "{records} records of {packages} packages, {} MiB of JSON, made in {:.1?}",
        mib(first.len()),
        began.elapsed()
    );
    if let ["keep", directory] = rest {
        fs::write(Path::new(directory).join("repodata.json"), &first).unwrap();
    }
    fs::write(place.path().join("1.json.zst"), zstd::encode_all(first.as_bytes(), 3).unwrap()).unwrap();
    fs::write(place.path().join("2.json.zst"), zstd::encode_all(second.as_bytes(), 3).unwrap()).unwrap();
    if let ["levels"] = rest {
        levels(&first);
    }
    drop((first, second));
    for phase in PHASES {
        let phase =
            Command::new(std::env::current_exe().unwrap()).args(["phase", phase]).arg(place.path()).status();
        assert!(phase.unwrap().success());
    }
}

/// One phase, in this process.
fn run(phase: &str, place: &Path) {
    let source = if phase == "incremental" { "2.json.zst" } else { "1.json.zst" };
    let mut steps = Steps::begin(phase);
    let document = read(&place.join(source));
    steps.step("decompress and parse");
    let open = |name: &str| {
        let file = File::open(place.join(name)).unwrap();
        let length = file.metadata().unwrap().len();
        Pack::open(Arc::new(file), 0, length).unwrap()
    };
    let (all, now) = (Selection::all(), Timestamp::from_millis(1_700_000_000_000));
    let pack = |name: &str, selection: &Selection, previous: Option<&Pack>, whole: Option<&Pack>| {
        let mut out = BufWriter::new(File::create(place.join(name)).unwrap());
        let ancestry = Ancestry { previous, whole, now };
        let packed = Pack::make(&document, selection, "linux-64", &ancestry, &mut out).unwrap();
        out.flush().unwrap();
        (packed, fs::metadata(place.join(name)).unwrap().len())
    };
    let zst = |name: &str, selection: &Selection| {
        let mut out = BufWriter::new(File::create(place.join(name)).unwrap());
        write_zst(&document, selection, &mut out).unwrap();
        out.flush().unwrap();
        mib(fs::metadata(place.join(name)).unwrap().len() as usize)
    };
    match phase {
        "first" | "incremental" => {
            let previous = (phase == "incremental").then(|| open("1.pack"));
            let name = if phase == "first" { "1.pack" } else { "2.pack" };
            let (packed, bytes) = pack(name, &all, previous.as_ref(), None);
            steps.step(&format!(
                "shards ({} made, {} copied, {} MiB)",
                packed.made,
                packed.copied,
                mib(bytes as usize)
            ));
            let bytes = zst("whole.zst", &all);
            steps.step(&format!("repodata.json.zst ({bytes} MiB)"));
        }
        _ => {
            // The document is there already when a view is asked for.
            steps.reset();
            let selection = Selection::of(&document, is_seen);
            let seen = selection.record_count(&document);
            steps.step(&format!("selection ({seen} of {} records)", document.record_count()));
            let bytes = zst("view.zst", &selection);
            steps.step(&format!("repodata.json.zst ({bytes} MiB)"));
            let whole = open("1.pack");
            let (packed, bytes) = pack("view.pack", &selection, None, Some(&whole));
            steps.step(&format!(
                "shards ({} made, {} shared, {} MiB)",
                packed.made,
                packed.shared,
                mib(bytes as usize)
            ));
        }
    }
    steps.end();
}

/// Two thirds of the packages, and of one in twenty of them not every build.
fn is_seen(record: Record<'_>) -> bool {
    let number =
        record.name().bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let is_partial = number / 3 % 20 == 0;
    let is_hidden = is_partial && record.package().is_some_and(|file| file.build.ends_with("_0"));
    !number.is_multiple_of(3) && !is_hidden
}

fn read(path: &Path) -> Document {
    let text = zstd::decode_all(File::open(path).unwrap()).unwrap();
    Document::parse(Bytes::from(text), &Limits::default()).unwrap()
}

/// The cost of levels, for the choice of them.
fn levels(text: &str) {
    let document = Document::parse(Bytes::from(text.to_owned()), &Limits::default()).unwrap();
    let mut json = Vec::new();
    write_json(&document, &Selection::all(), &mut json).unwrap();
    for level in [1, 2, 3, 4, 5, 6, 7, 9] {
        let began = cpu_seconds();
        let bytes = zstd::bulk::compress(&json, level).unwrap().len();
        println!(
            "  the whole at zstd level {level}: {} MiB in {:.1} s of CPU",
            mib(bytes),
            cpu_seconds() - began
        );
    }
    // As shards: one package after the other, without what they have in common.
    let mut packages: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for record in document.records() {
        let text = packages.entry(record.name()).or_default();
        text.extend(record.file().bytes());
        text.extend(record.raw());
    }
    for level in [1, 3, 6, 9, 12, 15, 19] {
        let began = cpu_seconds();
        let mut compressor = zstd::bulk::Compressor::new(level).unwrap();
        let bytes: usize = packages.values().map(|text| compressor.compress(text).unwrap().len()).sum();
        println!(
            "  packages at zstd level {level}: {} MiB in {:.1} s of CPU",
            mib(bytes),
            cpu_seconds() - began
        );
    }
}

/// The account of a phase.
struct Steps {
    phase: String,
    began: f64,
    last: f64,
}

impl Steps {
    fn begin(phase: &str) -> Self {
        Self { phase: phase.to_owned(), began: cpu_seconds(), last: cpu_seconds() }
    }

    fn reset(&mut self) {
        (self.began, self.last) = (cpu_seconds(), cpu_seconds());
    }

    fn step(&mut self, what: &str) {
        let now = cpu_seconds();
        println!("  {}: {what}: {:.2} s of CPU", self.phase, now - self.last);
        self.last = now;
    }

    fn end(self) {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
        println!(
            "{}: {:.2} s of CPU in all, {peak} of memory at the peak",
            self.phase,
            self.last - self.began
        );
    }
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel tells a hundredth of a second whatever its own clock is.
    ticks as f64 / 100.0
}

fn mib(bytes: usize) -> usize {
    bytes >> 20
}

/// A document of so many records, of its second generation if `generation` is 1; and the number of packages.
fn document(records: usize, generation: usize) -> (String, usize) {
    let (mut bz2, mut conda) = (String::new(), String::new());
    let mut names: Vec<String> = (0..(records / 28).max(1)).map(name).collect();
    names.sort();
    names.dedup();
    let mut written = 0;
    for (number, name) in names.iter().enumerate() {
        let left = records - written;
        let packages_left = names.len() - number;
        let mut noise = Noise(hash(name));
        // A few have hundreds of builds, most a handful.
        let share = left / packages_left;
        let builds = match noise.below(20) {
            0 => share * 7,
            1..=4 => share * 2,
            _ => share / 3 + 1,
        };
        let builds =
            if packages_left == 1 { left } else { builds.min(left.saturating_sub(packages_left - 1)).max(1) };
        // One more build, and other pins in the newest ones.
        let is_changed = generation == 1 && noise.below(100) == 0;
        for build in 0..builds {
            let salt = u64::from(is_changed && build + 8 > builds);
            let is_conda = build * 3 >= builds;
            record(if is_conda { &mut conda } else { &mut bz2 }, name, build, is_conda, &names, salt);
        }
        written += builds;
    }
    let section = |text: String| text.strip_suffix(',').map(str::to_owned).unwrap_or(text);
    let (bz2, conda) = (section(bz2), section(conda));
    let text = format!(
        "{{\"info\":{{\"subdir\":\"linux-64\"}},\"packages\":{{{bz2}}},\"packages.conda\":{{{conda}}},\
         \"removed\":[\"{}-0.0.1-0.tar.bz2\"],\"repodata_version\":1}}",
        names[0]
    );
    (text, names.len())
}

fn record(out: &mut String, name: &str, build: usize, is_conda: bool, names: &[String], salt: u64) {
    let mut noise = Noise(hash(name) ^ (build as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let version = format!("{}.{}.{}", 1 + build / 40, build / 8 % 5, build / 4 % 2);
    let python = ["py39", "py310", "py311", "py312"][build % 4];
    let number = build % 3;
    let built = format!("{python}h{:07x}_{number}", noise.next() & 0xfff_ffff);
    let extension = if is_conda { "conda" } else { "tar.bz2" };
    write!(
        out,
        "\"{name}-{version}-{built}.{extension}\":{{\"build\":\"{built}\",\"build_number\":{number},"
    )
    .unwrap();
    if build.is_multiple_of(5) {
        write!(
            out,
            "\"constrains\":[\"{} >={}.{}\"],",
            names[noise.below(names.len())],
            1 + noise.below(3),
            noise.below(9)
        )
        .unwrap();
    }
    out.push_str("\"depends\":[");
    // The same packages for every build of one, and pins that move.
    let mut of_package = Noise(hash(name));
    for _ in 0..3 + of_package.below(6) {
        let other = &names[of_package.below(names.len())];
        write!(
            out,
            "\"{other} >={}.{},<{}.0a0\",",
            1 + of_package.below(4),
            (build as u64 / 8 + salt) % 20,
            5 + of_package.below(4)
        )
        .unwrap();
    }
    write!(out, "\"libgcc >=13\",\"python >={0},<{0}.0a0\",\"python_abi {0}.* *_cp\"],", &python[2..])
        .unwrap();
    write!(
        out,
        "\"license\":\"{}\",\"md5\":\"{:016x}{:016x}\",\"name\":\"{name}\",",
        ["MIT", "BSD-3-Clause", "Apache-2.0"][of_package.below(3)],
        noise.next(),
        noise.next()
    )
    .unwrap();
    out.push_str("\"sha256\":\"");
    for _ in 0..4 {
        write!(out, "{:016x}", noise.next()).unwrap();
    }
    let (size, timestamp) =
        (10_000 + noise.below(50_000_000), 1_500_000_000_000 + noise.below(200_000_000_000));
    write!(
        out,
        "\",\"size\":{size},\"subdir\":\"linux-64\",\"timestamp\":{timestamp},\"version\":\"{version}\"}},"
    )
    .unwrap();
}

/// A name as people give them.
fn name(number: usize) -> String {
    const FIRST: [&str; 12] =
        ["lib", "py", "r-", "perl-", "", "", "", "ros-", "types-", "aws-", "google-", "bioconductor-"];
    const WORDS: [&str; 24] = [
        "num", "tensor", "graph", "data", "core", "net", "test", "auth", "image", "json", "stats", "plot",
        "cloud", "geo", "text", "async", "http", "color", "model", "math", "solve", "fast", "tiny", "log",
    ];
    let (first, rest) = (FIRST[number % 12], number / 12);
    let (second, rest) = (WORDS[rest % 24], rest / 24);
    let (third, rest) = (WORDS[rest % 24], rest / 24);
    let last = if rest == 0 { String::new() } else { format!("-{rest}") };
    format!("{first}{second}{third}{last}")
}

fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// xorshift*, from a seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }
}
