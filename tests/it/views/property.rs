//! The property that all of it rests on: for any channel, rules, grants, ages and tokens, the files that a caller sees are the same in every
//! representation, are those that GET, HEAD and a range deliver, and are those that the policy says.
//!
//! A failure names its seed; `VIEWS_SEED=<seed>` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use channelgate::account::{Grant, Permission, Role};
use channelgate::cache::Sha256;
use channelgate::clock::Timestamp;
use channelgate::conda::{PackageFile, RequestTarget};
use channelgate::config::{Config, Environment};
use channelgate::policy::{Artifact, Caller, Channels, FirstSeen, View, Visibility, decide};
use channelgate::store::{Actor, ActsAs, NewToken, Purpose};
use channelgate::token::Minted;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::stage::{ShardIndex, bytes_of, record};
use crate::cache::origin::Origin;
use crate::support::gate::Gate;

const CASES: u64 = 6;
const DIRECTORIES: [&str; 2] = ["", "label/dev/"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visible_files_are_the_same_in_every_representation_and_to_every_request() {
    let one = std::env::var("VIEWS_SEED").ok().map(|seed| seed.parse().unwrap());
    let cases = one.map_or(0..CASES, |seed: u64| seed..seed + 1).map(|seed| {
        let case = Case::new(seed);
        (format!("VIEWS_SEED={seed}: {case:#?}"), tokio::spawn(case.hold()))
    });
    for (described, case) in cases.collect::<Vec<_>>() {
        case.await.unwrap_or_else(|_| panic!("{described}"));
    }
}

/// Random numbers that a seed repeats (SplitMix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one_in(&mut self, end: usize) -> bool {
        self.below(end) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn some<T: Clone>(&mut self, all: &[T], one_in: usize) -> Vec<T> {
        all.iter().filter(|_| self.one_in(one_in)).cloned().collect()
    }
}

/// A file of the channel, and when the upstream begins to list it.
#[derive(Clone, Debug)]
struct File {
    name: String,
    /// Among the records of `v3`.
    third: bool,
    /// Its record contradicts its name.
    odd: bool,
    /// From which generation on it is listed.
    since: usize,
    current: bool,
    exports: bool,
}

#[derive(Debug)]
struct Case {
    files: Vec<File>,
    /// Lines of configuration.
    rules: String,
    /// Of two groups; `None` where the channel is granted to nobody.
    grants: Option<[Grant; 2]>,
    /// How much time passes before the second and the third look.
    pauses: [Duration; 2],
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let names = ["numpy", "numpy-base", "scipy", "secret", "_x"];
        let mut files = BTreeMap::new();
        for _ in 0..random.below(11) + 2 {
            let (name, version) = (random.of(&names), random.of(&["1", "2.1", "1!2.0", "1.0+cu118"]));
            let extension = random.of(&["tar.bz2", "conda"]);
            let name = format!("{name}-{version}-{}.{extension}", random.of(&["0", "py_1"]));
            let file = File {
                third: extension == "conda" && random.one_in(5),
                odd: random.one_in(8),
                since: if random.one_in(3) { random.below(2) + 1 } else { 0 },
                current: random.one_in(2),
                exports: random.one_in(2),
                name: name.clone(),
            };
            files.insert(name, file);
        }
        let rules = (0..random.below(5)).map(|_| rule(&mut random)).collect();
        let grants = (!random.one_in(4)).then(|| [grant(&mut random), grant(&mut random)]);
        let pause = |random: &mut Random| Duration::from_secs(3_600 * (2 + random.below(60) as u64));
        let pauses = [pause(&mut random), pause(&mut random)];
        Self { files: files.into_values().collect(), rules, grants, pauses }
    }

    /// Holds the gate to the property, at three moments and for all tokens.
    async fn hold(self) {
        let origin = Origin::start().await;
        let lines = format!("upstreams = [\"{}\"]\n{}", origin.url(), self.rules);
        let gate = Gate::builder().channel_with("main", &lines).manual_clock().start().await;
        let tokens = self.tokens(&gate).await;
        let file = gate.directory.path().join("channelgate.toml");
        let config = Config::load(&file, &Environment::default()).unwrap();
        let channels = Channels::new(config.channels.iter().map(|channel| channel.rules.clone()));
        let mut first_seen: BTreeMap<&str, FirstSeen> = BTreeMap::new();
        for moment in 0..=self.pauses.len() {
            if let Some(pause) = moment.checked_sub(1).map(|before| self.pauses[before]) {
                gate.hands.as_ref().unwrap().advance(pause);
            }
            let now = gate.app.clock().now();
            for file in self.listed(moment) {
                let seen = if moment == 0 { FirstSeen::Baseline } else { FirstSeen::At(now) };
                first_seen.entry(&file.name).or_insert(seen);
            }
            DIRECTORIES.iter().for_each(|directory| self.put(&origin, directory, moment));
            for (who, token) in &tokens {
                let reading = gate.store().token_by_digest(&token.digest()).await.unwrap();
                let caller = Caller::Known(Arc::new(reading.standing.unwrap()));
                for directory in DIRECTORIES {
                    let path = format!("/main/{directory}noarch/repodata.json");
                    let target = RequestTarget::parse(&path).unwrap();
                    let asked = channels.locate(&target);
                    let permit = decide(&caller, &asked, now);
                    let context = format!("{who}, at {directory:?}, moment {moment}");
                    let look = Look { gate: &gate, token: token.expose(), directory, context: &context };
                    match permit {
                        Ok(permit) => self.compare(&look, permit.view(), &first_seen, now, moment).await,
                        Err(_) => look.is_forbidden().await,
                    }
                }
            }
        }
        gate.app.stop().await;
    }

    /// A token that sees everything that the rules let through, which comes first, and those of the groups.
    async fn tokens(&self, gate: &Gate) -> Vec<(String, Minted)> {
        let (store, by, now) = (gate.store(), Actor::gate(), gate.app.clock().now());
        let mut who = vec![("all".to_owned(), None)];
        if let Some(grants) = &self.grants {
            store.assign_seat("default", "ann", Role::Member, &by, now).await.unwrap();
            let all = Grant::whole("main".to_owned(), Permission::Read);
            for (group, grant) in ["all", "g0", "g1"].into_iter().zip([&all, &grants[0], &grants[1]]) {
                store.create_group("default", group, &by, now).await.unwrap();
                store.grant("default", group, grant, &by, now).await.unwrap();
            }
            for group in ["g0", "g1"] {
                store.add_member("default", group, "ann", &by, now).await.unwrap();
            }
            let group = |name: &str| (name.to_owned(), Some(ActsAs::Group(name.to_owned())));
            who = vec![group("all"), group("g0"), group("g1")];
            who.push(("ann".to_owned(), Some(ActsAs::User("ann".to_owned()))));
        }
        let mut tokens = Vec::new();
        for (name, acts_as) in who {
            let minted = Minted::random().unwrap();
            let token = NewToken {
                organization: "default".into(),
                purpose: Purpose::Scoped { name: name.clone(), acts_as },
                scopes: "repos".parse().unwrap(),
                channels: None,
                expires_at: None,
                imported: false,
                api_key: None,
                replaces_namesake: false,
            };
            store.insert_token(&token, &minted.digest(), &by, now, Duration::ZERO).await.unwrap();
            tokens.push((name, minted));
        }
        tokens
    }

    fn listed(&self, moment: usize) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.since <= moment)
    }

    /// Puts what the upstream has at a moment into a directory of it.
    fn put(&self, origin: &Origin, directory: &str, moment: usize) {
        let listed: Vec<_> = self.listed(moment).collect();
        let all = |_: &&File| true;
        let documents: [(&str, Value); 2] = [
            ("repodata.json", document(&listed, all, true)),
            ("current_repodata.json", document(&listed, |file| file.current, false)),
        ];
        for (file, document) in documents {
            let text = document.to_string();
            origin.put(&format!("{directory}noarch/{file}"), &text, &[]);
            let coded = zstd::encode_all(text.as_bytes(), 1).unwrap();
            origin.put(&format!("{directory}noarch/{file}.zst"), coded, &[]);
        }
        let exports = document(&listed, |file| file.exports, false);
        origin.put(&format!("{directory}noarch/run_exports.json"), exports.to_string(), &[]);
        let names: BTreeMap<_, _> = listed
            .iter()
            .filter(|file| !file.odd)
            .map(|file| {
                (package(&file.name).name.to_string(), json!({ "subdirs": ["noarch"], "version": "1" }))
            })
            .collect();
        let names = json!({ "channeldata_version": 1, "subdirs": ["noarch"], "packages": names });
        origin.put(&format!("{directory}channeldata.json"), names.to_string(), &[]);
        for file in listed.iter().map(|file| file.name.as_str()).chain(UNLISTED) {
            origin.put(
                &format!("{directory}noarch/{}", file.replace('+', "%2B").replace('!', "%21")),
                bytes_of(file),
                &[],
            );
        }
    }

    /// Holds all that one caller gets of one directory to what the policy says.
    async fn compare(
        &self,
        look: &Look<'_>,
        view: &View,
        first_seen: &BTreeMap<&str, FirstSeen>,
        now: Timestamp,
        moment: usize,
    ) {
        let judge = |file: &str, seen: FirstSeen| match view.judge(&Artifact::of(&package(file)), seen, now) {
            Visibility::Visible => "200",
            Visibility::Hidden => "404 not_found",
            Visibility::Blocked(_) => "451 package_blocked",
            Visibility::Quarantined { .. } => "451 package_quarantined",
        };
        let expected = |file: &File| match (view.is_whole(), file.odd) {
            (true, _) => "200",
            // What would not be served at any age is told by its name alone.
            (false, false) => match judge(&file.name, FirstSeen::Baseline) {
                "200" => judge(&file.name, first_seen[file.name.as_str()]),
                never => never,
            },
            (false, true) => nowhere(judge(&file.name, FirstSeen::Baseline)),
        };
        let listed: Vec<_> = self.listed(moment).collect();
        let visible = |chosen: &dyn Fn(&File) -> bool| -> BTreeSet<String> {
            let shown = listed.iter().filter(|file| chosen(file) && expected(file) == "200");
            shown.map(|file| file.name.clone()).collect()
        };
        let all = visible(&|_| true);
        let context = look.context;
        assert_eq!(look.files("noarch/repodata.json").await, all, "{context}: repodata.json");
        assert_eq!(look.files("noarch/repodata.json.zst").await, all, "{context}: repodata.json.zst");
        assert_eq!(look.files_in_shards().await, all, "{context}: shards");
        let current = visible(&|file| file.current && !file.third);
        assert_eq!(look.files("noarch/current_repodata.json").await, current, "{context}: current");
        assert_eq!(look.files("noarch/current_repodata.json.zst").await, current, "{context}: current zst");
        let exports = visible(&|file| file.exports && !file.third);
        assert_eq!(look.files("noarch/run_exports.json").await, exports, "{context}: run exports");
        let names: BTreeSet<_> = listed
            .iter()
            .filter(|file| !file.odd && (view.is_whole() || all.contains(&file.name)))
            .map(|file| package(&file.name).name.to_string())
            .collect();
        assert_eq!(look.names().await, names, "{context}: channeldata");
        for file in &listed {
            look.gets(&file.name, expected(file)).await;
        }
        for file in UNLISTED {
            let verdict = if view.is_whole() { "200" } else { nowhere(judge(file, FirstSeen::Baseline)) };
            look.gets(file, verdict).await;
        }
    }
}

/// What becomes of a request for a file that no index names rightly, and that would be this if one did.
fn nowhere(verdict: &'static str) -> &'static str {
    if verdict == "451 package_blocked" { verdict } else { "404 not_found" }
}

/// There, but in no index.
const UNLISTED: [&str; 2] = ["numpy-9-9.conda", "secret-9-9.tar.bz2"];

fn package(file: &str) -> PackageFile<'_> {
    PackageFile::parse(file).unwrap()
}

fn rule(random: &mut Random) -> String {
    let packages = random.of(&["secret", "num*", "numpy >=2", "*", "scipy", "numpy-base", "numpy=1.0"]);
    let effect = random.of(&[
        "action = \"block\"",
        "action = \"allow\"",
        "quarantine = \"1d\"",
        "quarantine = \"3d\"",
        "quarantine = \"2h\"",
    ]);
    let mode = if random.one_in(4) { "shadow" } else { "enforce" };
    format!(
        "[[channels.rules]]\npackages = \"{packages}\"\n{effect}\nmode = \"{mode}\"\nreason = \"so it is\"\n"
    )
}

fn grant(random: &mut Random) -> Grant {
    let patterns = ["numpy", "num*", "secret", "s*", "?x"].map(str::to_owned);
    let labels = ["main", "dev", "other"].map(str::to_owned);
    Grant {
        packages: random.some(&patterns, 2),
        labels: if random.one_in(2) { Vec::new() } else { random.some(&labels, 2) },
        ..Grant::whole("main".to_owned(), Permission::Read)
    }
}

/// A document that names these files; those of `v3` only if it is to have it.
fn document(listed: &[&File], chosen: impl Fn(&&File) -> bool, third: bool) -> Value {
    let mut sections = [Map::new(), Map::new(), Map::new()];
    for file in listed.iter().filter(|file| chosen(file) && (third || !file.third)) {
        let mut record = record(&file.name);
        if file.odd {
            record["version"] = json!("7");
        }
        let (section, key) = match (file.third, file.name.strip_suffix(".conda")) {
            (true, Some(stem)) => (2, stem),
            (_, Some(_)) => (1, file.name.as_str()),
            (_, None) => (0, file.name.as_str()),
        };
        sections[section].insert(key.to_owned(), record);
    }
    let [packages, conda, of_v3] = sections;
    let mut document =
        json!({ "info": { "subdir": "noarch" }, "packages": packages, "packages.conda": conda });
    if third {
        document["v3"] = json!({ "conda": of_v3 });
    }
    document
}

/// One caller at one directory.
struct Look<'g> {
    gate: &'g Gate,
    token: &'g str,
    directory: &'g str,
    context: &'g str,
}

impl Look<'_> {
    fn target(&self, path: &str) -> String {
        format!("/t/{}/main/{}{}", self.token, self.directory, path.replace('+', "%2B"))
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let reply = self.gate.get(&self.target(path)).await;
        assert_eq!(
            (reply.status, reply.complete),
            (200, true),
            "{}: {path}: {}",
            self.context,
            reply.verdict()
        );
        if path.ends_with(".zst") { zstd::decode_all(&reply.body[..]).unwrap() } else { reply.body }
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.bytes(path).await).unwrap()
    }

    async fn files(&self, path: &str) -> BTreeSet<String> {
        let document = self.json(path).await;
        let keys = |map: &Value| map.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
        let third: Vec<String> = keys(&document["v3"]["conda"]);
        let legacy: [Vec<String>; 2] = ["packages", "packages.conda"].map(|section| keys(&document[section]));
        let third = third.into_iter().map(|stem| format!("{stem}.conda"));
        legacy.into_iter().flatten().chain(third).collect()
    }

    async fn names(&self) -> BTreeSet<String> {
        let names = self.json("channeldata.json").await;
        names["packages"].as_object().unwrap().keys().cloned().collect()
    }

    async fn files_in_shards(&self) -> BTreeSet<String> {
        let index = self.bytes("noarch/repodata_shards.msgpack.zst").await;
        let index: ShardIndex = rmp_serde::from_slice(&index).unwrap();
        let mut files = BTreeSet::new();
        for (name, digest) in index.shards {
            let reply = self.gate.get(&self.target(&format!("noarch/shards/{}.msgpack.zst", digest.0))).await;
            assert_eq!((reply.status, reply.complete), (200, true), "{}: {name}", self.context);
            assert_eq!(Sha256::of(&reply.body), digest.0, "{}: {name}", self.context);
            let shard: Shard = rmp_serde::from_slice(&zstd::decode_all(&reply.body[..]).unwrap()).unwrap();
            let third = shard.third.into_values().flat_map(BTreeMap::into_keys);
            files.extend(third.map(|stem| format!("{stem}.conda")));
            files.extend(shard.packages.into_keys().chain(shard.conda.into_keys()));
        }
        files
    }

    /// Asks for a package in each way that there is.
    async fn gets(&self, file: &str, verdict: &str) {
        let (path, context) = (self.target(&format!("noarch/{file}")), self.context);
        let whole = self.gate.get(&path).await;
        assert_eq!(whole.verdict(), verdict, "{context}: {file}");
        let head = self.gate.head(&path).await;
        assert_eq!(head.status, whole.status, "{context}: HEAD {file}");
        let part = self.gate.ask("GET", &path, &[("range", "bytes=0-3")]).await;
        let expected = if whole.status == 200 { 206 } else { whole.status };
        assert_eq!(part.status, expected, "{context}: range of {file}");
        if whole.status == 200 {
            assert_eq!(whole.body, bytes_of(file), "{context}: {file}");
        }
    }

    /// Nothing below a label that is not granted is there, whether it exists or not.
    async fn is_forbidden(&self) {
        for path in ["noarch/repodata.json", "noarch/numpy-1-0.conda", "noarch/nothing-1-0.conda"] {
            let reply = self.gate.get(&self.target(path)).await;
            assert_eq!(reply.verdict(), "403 channel_forbidden", "{}: {path}", self.context);
        }
    }
}

#[derive(Debug, Deserialize)]
struct Shard {
    #[serde(default)]
    packages: BTreeMap<String, IgnoredAny>,
    #[serde(default, rename = "packages.conda")]
    conda: BTreeMap<String, IgnoredAny>,
    #[serde(default, rename = "v3")]
    third: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
}
