//! Tests of views: the table of the judgement, what makes two views one, and that grants only ever add.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::account::Permission;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn rule(text: &str) -> Rule {
    let (mode, text) = match text.strip_prefix("shadow ") {
        Some(text) => (Mode::Shadow, text),
        None => (Mode::Enforce, text),
    };
    let (effect, packages) = text.split_once(' ').unwrap();
    let effect = match effect {
        "allow" => Effect::Allow,
        "block" => Effect::Block,
        days => Effect::Quarantine(DAY * days.strip_suffix('d').unwrap().parse().unwrap()),
    };
    Rule { packages: packages.parse().unwrap(), effect, mode, reason: Some(text.to_owned()) }
}

fn rules(texts: &[&str]) -> Arc<[Rule]> {
    texts.iter().map(|text| rule(text)).collect()
}

fn packages(patterns: &[&str]) -> Packages {
    if patterns.is_empty() { Packages::ALL } else { Packages::of(patterns.iter().copied()) }
}

fn ago(days: u32) -> FirstSeen {
    FirstSeen::At(NOW.minus(DAY * days))
}

/// The judgement in words: of a rule, the text it was made of.
fn said(visibility: Visibility<'_>) -> String {
    let text = |rule: &Rule| rule.reason.clone().unwrap();
    match visibility {
        Visibility::Visible => "visible".into(),
        Visibility::Hidden => "hidden".into(),
        Visibility::Blocked(rule) => format!("blocked by {}", text(rule)),
        Visibility::Quarantined { rule, until } => {
            format!("{} until {}", text(rule), (until.as_millis() - NOW.as_millis()) / 86_400_000)
        }
    }
}

#[test]
fn judgement_table() {
    let old = FirstSeen::Baseline;
    let new = FirstSeen::Unknown;
    for (name, granted, ruled, package, seen, expected) in [
        ("whole", &[][..], &[][..], "numpy-1-0", new, "visible"),
        ("granted", &["numpy"], &[], "numpy-1-0", new, "visible"),
        ("granted by a glob", &["num*", "scipy"], &[], "numba-1-0", new, "visible"),
        ("not granted", &["numpy"], &[], "numpy-base-1-0", old, "hidden"),
        ("case is of no account", &["numpy"], &["block numpy"], "NumPy-1-0", old, "blocked by block numpy"),
        ("hidden rather than blocked", &["scipy"], &["block *"], "numpy-1-0", old, "hidden"),
        ("no grant by a rule", &["scipy"], &["allow *"], "numpy-1-0", old, "hidden"),
        ("blocked", &[], &["block numpy>=2"], "numpy-2.0-0", old, "blocked by block numpy>=2"),
        ("another version", &[], &["block numpy>=2"], "numpy-1.9-0", old, "visible"),
        ("by build", &[], &["block numpy * py27*"], "numpy-1-py27_0", old, "blocked by block numpy * py27*"),
        ("first match lets through", &[], &["allow numpy", "block *"], "numpy-1-0", old, "visible"),
        ("first match blocks", &[], &["block *", "allow numpy"], "numpy-1-0", old, "blocked by block *"),
        ("new", &[], &["7d *"], "numpy-1-0", new, "7d * until 7"),
        ("there from the beginning", &[], &["7d *"], "numpy-1-0", old, "visible"),
        ("young", &[], &["7d *"], "numpy-1-0", ago(3), "7d * until 4"),
        ("old enough", &[], &["7d *"], "numpy-1-0", ago(7), "visible"),
        (
            "seen by a clock that is ahead",
            &[],
            &["7d *"],
            "x-1-0",
            FirstSeen::At(NOW.plus(DAY)),
            "7d * until 8",
        ),
        ("let through early", &[], &["allow numpy", "7d *"], "numpy-1-0", new, "visible"),
        ("the old go on", &[], &["7d *", "block numpy"], "numpy-1-0", ago(8), "blocked by block numpy"),
        ("the new do not", &[], &["7d *", "block numpy"], "numpy-1-0", ago(6), "7d * until 1"),
        ("longer one behind", &[], &["2d *", "7d *"], "numpy-1-0", ago(3), "7d * until 4"),
        ("shadow", &[], &["shadow block *", "shadow 7d *"], "numpy-1-0", new, "visible"),
        (
            "shadow lets nothing through",
            &[],
            &["shadow allow *", "block *"],
            "x-1-0",
            old,
            "blocked by block *",
        ),
        ("unreadable version", &[], &["block x>=1", "block x"], "x-a b-0", old, "blocked by block x"),
    ] {
        let view = View::new(packages(granted), rules(ruled));
        let (package, build) = package.rsplit_once('-').unwrap();
        let (package, version) = package.rsplit_once('-').unwrap();
        let artifact = Artifact { name: package, version, build };
        assert_eq!(said(view.judge(&artifact, seen, NOW)), expected, "{name}");
    }
}

#[test]
fn shadow_rules_are_told_as_far_as_they_are_reached() {
    let told = |granted: &[&str], ruled: &[&str], seen| {
        let view = View::new(packages(granted), rules(ruled));
        let artifact = Artifact { name: "Numpy", version: "1", build: "0" };
        let told: Vec<_> =
            view.shadows(&artifact, seen, NOW).map(|rule| rule.reason.clone().unwrap()).collect();
        told.join(", ")
    };
    let old = FirstSeen::Baseline;
    assert_eq!(told(&[], &["shadow block numpy", "shadow 7d *"], old), "block numpy");
    assert_eq!(told(&[], &["shadow block numpy", "shadow 7d *"], FirstSeen::Unknown), "block numpy, 7d *");
    assert_eq!(told(&[], &["allow numpy", "shadow block *"], old), "", "another rule came first");
    assert_eq!(told(&[], &["shadow block *", "block *"], old), "block *");
    assert_eq!(told(&["scipy"], &["shadow block *"], old), "", "what is hidden is not counted");
}

#[test]
fn views_are_one_where_they_show_the_same_by_their_form() {
    let view = |granted: &[&str], ruled: &[&str]| View::new(packages(granted), rules(ruled));
    let whole = View::whole();
    assert!(whole.is_whole());
    for (name, a, b) in [
        ("order and repetition of patterns", view(&["b", "a", "a"], &[]), view(&["a", "b"], &[])),
        ("shadow rules", view(&[], &["shadow block *", "block x"]), view(&[], &["block x"])),
        ("what only lets through at the end", view(&[], &["block x", "allow *"]), view(&[], &["block x"])),
        ("nothing is hidden", view(&[], &["allow x", "shadow 7d *"]), whole.clone()),
    ] {
        assert_eq!(a.id(), b.id(), "{name}");
        assert_eq!(a.is_whole(), b.is_whole(), "{name}");
    }
    let mut reasoned = rule("block x");
    reasoned.reason = Some("another".into());
    assert_eq!(View::new(Packages::ALL, Arc::new([reasoned])).id(), view(&[], &["block x"]).id());
    let different = [
        whole,
        view(&["a", "b"], &[]),
        view(&["ab"], &[]),
        view(&["a"], &["block b"]),
        view(&[], &["block a", "block b"]),
        view(&[], &["block b", "block a"]),
        view(&[], &["block a"]),
        view(&[], &["7d a"]),
        view(&[], &["8d a"]),
        view(&[], &["allow a", "block a"]),
        View::new(Packages::of([""; 0]), Arc::default()),
    ];
    for (index, one) in different.iter().enumerate() {
        assert!(different.iter().skip(index + 1).all(|other| one.id() != other.id()), "{one:?}");
        assert_eq!(one.is_whole(), index == 0, "{one:?}");
    }
    assert_eq!(view(&[], &["2d a", "7d b", "shadow 9d *"]).longest_quarantine(), Some(DAY * 7));
    assert!(!view(&["a"], &["block a", "shadow 9d *"]).quarantines());
}

fn granted(group: &str, permission: Permission, packages: &[&str], labels: &[&str]) -> Granted {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Granted { group: group.into(), permission, packages: owned(packages), labels: owned(labels) }
}

fn standing(grants: Vec<Granted>) -> Caller {
    let rights = Rights::new([("ours".to_owned(), grants)]);
    Caller::Known(Arc::new(Standing { token: token("acme", "repos", None), rights }))
}

/// Whether the path may be read, by which grant, and which of three packages are visible then.
fn seen(caller: &Caller, path: &str) -> String {
    let channels = channels();
    let target = RequestTarget::parse(path).unwrap();
    match decide(caller, &channels.locate(&target), NOW) {
        Ok(permit) => {
            let visible = |name: &&str| {
                let artifact = Artifact { name, version: "1", build: "0" };
                permit.view().judge(&artifact, FirstSeen::Baseline, NOW) == Visibility::Visible
            };
            let names: Vec<_> = ["numba", "numpy", "scipy"].into_iter().filter(visible).collect();
            match permit.basis() {
                Basis::Group(granted) => format!("{}: {}", granted.group, names.join(" ")),
                basis => format!("{}: {}", basis.as_str(), names.join(" ")),
            }
        }
        Err(DenyReason::ChannelForbidden(_, reason)) => reason.as_str().to_owned(),
        Err(_) => "other".to_owned(),
    }
}

#[test]
fn labels_and_packages_are_what_all_grants_give_together() {
    let (read, write) = (Permission::Read, Permission::Write);
    let nothing = standing(Vec::new());
    let everything = standing(vec![granted("a", read, &[], &[])]);
    let labelled = standing(vec![
        granted("a", read, &["numpy"], &["main"]),
        granted("b", write, &["scipy"], &[]),
        granted("c", read, &[], &["dev"]),
        granted("d", read, &["num*"], &["rc", "dev"]),
    ]);
    let narrow = standing(vec![granted("a", read, &["num*"], &["dev"])]);
    let nobody = Caller::Anonymous { masked: false };
    let (main, named_main) = ("/ours/noarch/x", "/ours/label/main/noarch/x");
    let (dev, rc, other) =
        ("/ours/label/dev/noarch/x", "/ours/label/rc/noarch/x", "/ours/label/other/noarch/x");
    for (name, caller, path, expected) in [
        ("withheld", &nothing, main, "groups_only"),
        ("withheld, any label", &nothing, dev, "groups_only"),
        ("everything", &everything, main, "a: numba numpy scipy"),
        ("everything, any label", &everything, other, "a: numba numpy scipy"),
        ("main and all labels", &labelled, main, "b: numpy scipy"),
        ("main by name", &labelled, named_main, "b: numpy scipy"),
        ("all of dev", &labelled, dev, "b: numba numpy scipy"),
        ("rc", &labelled, rc, "b: numba numpy scipy"),
        ("a label that no grant names", &labelled, other, "b: scipy"),
        ("only dev", &narrow, dev, "a: numba numpy"),
        ("not main", &narrow, main, "other_labels"),
        ("not main by name", &narrow, named_main, "other_labels"),
        ("not another", &narrow, other, "other_labels"),
        ("the channel's own files are main's", &narrow, "/ours/channeldata.json", "other_labels"),
        ("a label's own files", &narrow, "/ours/label/dev/channeldata.json", "a: numba numpy"),
        ("nothing under a label that is not granted", &narrow, "/ours/label/other/a/b/c", "other_labels"),
        ("a path that is nowhere", &narrow, "/ours/label/dev/a/b/c", "other"),
        ("labels count, their case too", &narrow, "/ours/label/Dev/noarch/x", "other_labels"),
        ("public", &narrow, "/open/label/dev/noarch/x", "public: numba numpy scipy"),
        ("public, nobody", &nobody, "/open/noarch/x", "public: numba numpy scipy"),
        ("not restricted", &narrow, "/acme/label/dev/noarch/x", "organization: numba numpy scipy"),
    ] {
        assert_eq!(seen(caller, path), expected, "{name}");
    }
}

#[test]
fn rules_hold_for_everybody() {
    let ruled = |channel: &Channel| Channel { rules: rules(&["block numpy"]), ..channel.clone() };
    let channels = Channels::new(channels().iter().map(ruled));
    let known = known(token("acme", "repos", None));
    let artifact = Artifact { name: "numpy", version: "1", build: "0" };
    for (caller, path) in [
        (&Caller::Anonymous { masked: false }, "/open/noarch/x"),
        (&known, "/open/noarch/x"),
        (&known, "/ours/label/dev/noarch/x"),
    ] {
        let target = RequestTarget::parse(path).unwrap();
        let permit = decide(caller, &channels.locate(&target), NOW).unwrap();
        let visibility = permit.view().judge(&artifact, FirstSeen::Baseline, NOW);
        assert_eq!(said(visibility), "blocked by block numpy", "{path}");
    }
}

#[test]
fn grants_that_add_nothing_are_not_kept() {
    let (read, write) = (Permission::Read, Permission::Write);
    let grants = vec![
        granted("d", write, &["x"], &[]),
        granted("c", read, &[], &[]),
        granted("b", read, &["y"], &["dev"]),
        granted("a", read, &["x"], &[]),
        granted("e", write, &["x"], &[]),
    ];
    let rights = Rights::new([("ours".to_owned(), grants.clone())]);
    let Right::Granted(kept) = rights.of("ours") else { panic!("{rights:?}") };
    let kept: Vec<_> = kept.iter().map(|granted| granted.group.as_str()).collect();
    // Those of readers come by name, so one of everything may follow others.
    assert_eq!(kept, ["d", "b", "c"]);
    let reversed = Rights::new([("ours".to_owned(), grants.into_iter().rev().collect())]);
    assert_eq!(rights, reversed, "whatever the order in which they are read");
}

const NAMES: [&str; 4] = ["a", "ab", "b", "B"];

fn any_patterns() -> impl Strategy<Value = Vec<String>> {
    let pattern = prop::sample::select(vec!["a", "ab", "b", "a*", "*b", "?", "c"]);
    prop::collection::vec(pattern.prop_map(str::to_owned), 0..3)
}

fn any_grant() -> impl Strategy<Value = Granted> {
    let permission = prop::sample::select(vec![Permission::Read, Permission::Write]);
    let labels =
        prop::collection::vec(prop::sample::select(vec!["main", "dev"]).prop_map(str::to_owned), 0..2);
    let group = prop::sample::select(vec!["g", "h", "i"]);
    (group, permission, any_patterns(), labels).prop_map(|(group, permission, packages, labels)| Granted {
        group: group.to_owned(),
        permission,
        packages,
        labels,
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let effect = prop::sample::select(vec!["allow", "block", "2d", "5d"]);
    let packages = prop::sample::select(vec!["a", "b", "a*", "*", "a>=2", "ab * 0"]);
    let mode = prop::sample::select(vec!["", "shadow "]);
    (mode, effect, packages).prop_map(|(mode, effect, packages)| rule(&format!("{mode}{effect} {packages}")))
}

fn any_seen() -> impl Strategy<Value = FirstSeen> {
    prop_oneof![Just(FirstSeen::Baseline), Just(FirstSeen::Unknown), (0..7_u32).prop_map(ago)]
}

fn any_artifact() -> impl Strategy<Value = Artifact<'static>> {
    let parts = (
        prop::sample::select(&NAMES[..]),
        prop::sample::select(&["1", "2.5", "?"][..]),
        prop::sample::select(&["0", "1"][..]),
    );
    parts.prop_map(|(name, version, build)| Artifact { name, version, build })
}

fn is_granted(grants: &[Granted], label: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    grants.iter().any(|grant| {
        let of_label = grant.labels.is_empty() || grant.labels.iter().any(|named| named == label);
        let mut globs = grant.packages.iter().map(|text| crate::conda::Glob::new(text));
        of_label && (grant.packages.is_empty() || globs.any(|glob| glob.matches(&name)))
    })
}

proptest! {
    /// What a token sees is what its grants say one by one, and another grant hides nothing.
    #[test]
    fn view_is_the_union_of_grants(
        grants in prop::collection::vec(any_grant(), 0..4), more in any_grant(),
        label in prop::sample::select(&["main", "dev", "other"][..]), artifact in any_artifact(),
    ) {
        let path = format!("/ours/label/{label}/noarch/x");
        let visible = |grants: Vec<Granted>| {
            let (caller, channels) = (standing(grants), channels());
            let target = RequestTarget::parse(&path).unwrap();
            decide(&caller, &channels.locate(&target), NOW)
                .is_ok_and(|permit| permit.view().judge(&artifact, FirstSeen::Unknown, NOW) == Visibility::Visible)
        };
        let expected = is_granted(&grants, label, artifact.name);
        prop_assert_eq!(visible(grants.clone()), expected);
        prop_assert!(visible([grants, vec![more]].concat()) || !expected);
    }

    /// Shadow rules change nothing, views of one id say the same, a whole one hides nothing, and time only lets go.
    #[test]
    fn judgement_follows_from_what_the_id_is_made_of(
        granted in any_patterns(), ruled in prop::collection::vec(any_rule(), 0..5),
        artifact in any_artifact(), seen in any_seen(), later in 0..10_u32,
    ) {
        let granted: Vec<&str> = granted.iter().map(String::as_str).collect();
        let view = View::new(packages(&granted), ruled.clone().into());
        let said = said(view.judge(&artifact, seen, NOW));
        let enforced: Arc<[Rule]> = ruled.into_iter().filter(|rule| rule.mode == Mode::Enforce).collect();
        let without = View::new(packages(&granted), enforced);
        prop_assert_eq!(view.id(), without.id());
        prop_assert_eq!(&said, &self::said(without.judge(&artifact, seen, NOW)));
        prop_assert!(!view.is_whole() || said == "visible");
        prop_assert_eq!(view.is_whole(), view.id() == View::whole().id());
        if let Visibility::Quarantined { rule, until } = view.judge(&artifact, seen, NOW) {
            prop_assert!(view.quarantines() && until > NOW);
            prop_assert!(until <= NOW.plus(view.longest_quarantine().unwrap()));
            prop_assert_eq!(view.deciding_rule(&artifact, seen, NOW).map(|(_, rule)| rule), Some(rule));
            // Another rule may follow, but never this one again.
            if let FirstSeen::At(_) = seen {
                let after = view.judge(&artifact, seen, until.plus(DAY * later));
                let is_same = matches!(after, Visibility::Quarantined { rule: again, .. } if std::ptr::eq(again, rule));
                prop_assert!(!is_same);
            }
        }
    }
}
