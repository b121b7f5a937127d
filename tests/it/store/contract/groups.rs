//! Groups, grants, restrictions, and what tokens get of them.

use channelgate::account::{Grant, Permission};
use channelgate::policy::{Granted, Right, Rights};

use super::*;

fn grant(channel: &str, permission: Permission) -> Grant {
    Grant::whole(channel, permission)
}

fn right(group: &str, permission: Permission) -> Vec<Granted> {
    vec![Granted { group: group.into(), permission, packages: Vec::new(), labels: Vec::new() }]
}

async fn rights(store: &Store, value: &str) -> Rights {
    store.token_by_digest(&digest(value)).await.unwrap().standing.unwrap().rights
}

pub(super) async fn groups_are_kept_with_members_and_grants(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    let dev = store.create_group("acme", "dev", &by(), NOW).await.unwrap();
    store.create_group("zoo", "dev", &by(), NOW).await.unwrap();
    assert_eq!((dev.members.len(), dev.grants.len(), dev.created_at), (0, 0, NOW));
    let taken = store.create_group("acme", "dev", &by(), NOW).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken}");
    let bad = store.create_group("acme", "Dev", &by(), NOW).await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid, "{bad}");
    for user in ["zed", "ann"] {
        store.assign_seat("acme", user, Role::Member, &by(), NOW).await.unwrap();
        assert!(store.add_member("acme", "dev", user, &by(), NOW).await.unwrap().is_new);
    }
    assert!(store.grant("acme", "dev", &grant("z", Permission::Read), &by(), NOW).await.unwrap().is_new);
    store.grant("acme", "dev", &grant("a/b", Permission::Write), &by(), NOW).await.unwrap();
    let raised = store.grant("acme", "dev", &grant("z", Permission::Admin), &by(), NOW).await.unwrap();
    assert!(!raised.is_new, "the grant was there, and is another now");
    let (again, raised) = (raised.clone(), raised.present);
    assert_eq!(raised.members, ["ann", "zed"]);
    assert_eq!(raised.grants, [grant("a/b", Permission::Write), grant("z", Permission::Admin)]);
    assert_eq!(store.group("acme", "dev").await.unwrap(), Some(raised.clone()));
    assert_eq!(store.groups("acme", None, 100).await.unwrap(), std::slice::from_ref(&raised));
    assert_eq!(store.group("acme", "none").await.unwrap(), None);
    let restricted = ["a/b", "z"].map(|channel| channelgate::store::Restriction {
        channel: channel.to_owned(),
        groups: vec!["dev".to_owned()],
    });
    assert_eq!(store.restrictions("acme", None, 100).await.unwrap(), restricted);
    assert_eq!(store.restriction("acme", "z").await.unwrap().as_ref(), restricted.last());
    assert_eq!(store.restrictions("zoo", None, 100).await.unwrap(), []);
    // What is so already is no change.
    let (position, head) = (store.position().await.unwrap(), store.audit_head().await.unwrap());
    assert_eq!(store.add_member("acme", "dev", "ann", &by(), NOW).await.unwrap(), again);
    assert_eq!(store.grant("acme", "dev", &grant("z", Permission::Admin), &by(), NOW).await.unwrap(), again);
    assert_eq!((store.position().await.unwrap(), store.audit_head().await.unwrap()), (position, head));
    let fewer = store.remove_member("acme", "dev", "zed", &by(), NOW).await.unwrap();
    assert_eq!(fewer.members, ["ann"]);
    let fewer = store.ungrant("acme", "dev", "z", &by(), NOW).await.unwrap();
    assert_eq!(fewer.grants, [grant("a/b", Permission::Write)]);
    for missing in [
        store.add_member("acme", "dev", "eve", &by(), NOW).await.unwrap_err(),
        store.add_member("acme", "none", "ann", &by(), NOW).await.unwrap_err(),
        store.add_member("none", "dev", "ann", &by(), NOW).await.unwrap_err(),
        store.remove_member("acme", "dev", "zed", &by(), NOW).await.unwrap_err(),
        store.ungrant("acme", "dev", "z", &by(), NOW).await.unwrap_err(),
        store.grant("acme", "none", &grant("z", Permission::Read), &by(), NOW).await.unwrap_err(),
        store.unrestrict("acme", "none", &by(), NOW).await.unwrap_err(),
        store.unrestrict("zoo", "z", &by(), NOW).await.unwrap_err(),
        store.groups("none", None, 100).await.unwrap_err(),
        store.restrictions("none", None, 100).await.unwrap_err(),
    ] {
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    }
}

pub(super) async fn tokens_have_the_rights_of_their_groups(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    for user in ["ann", "bob"] {
        store.assign_seat("acme", user, Role::Member, &by(), NOW).await.unwrap();
    }
    for group in ["dev", "ops"] {
        store.create_group("acme", group, &by(), NOW).await.unwrap();
        store.add_member("acme", group, "ann", &by(), NOW).await.unwrap();
    }
    let acting = |name: &str, acts_as| NewToken {
        purpose: Purpose::Scoped { name: name.into(), acts_as: Some(acts_as) },
        ..site("acme")
    };
    for (new, value) in [
        (site("acme"), "site"),
        (site("zoo"), "zoo"),
        (NewToken::individual("acme", "ann"), "ann"),
        (NewToken::individual("acme", "bob"), "bob"),
        (scoped("acme", "ci"), "ci"),
        (acting("as-ann", ActsAs::User("ann".into())), "as ann"),
        (acting("as-ops", ActsAs::Group("ops".into())), "as ops"),
    ] {
        insert(&store, &new, value).await;
        assert_eq!(rights(&store, value).await, Rights::default(), "{value}: nothing is restricted");
    }
    store.grant("acme", "dev", &grant("x", Permission::Write), &by(), NOW).await.unwrap();
    store.grant("acme", "ops", &grant("x", Permission::Read), &by(), NOW).await.unwrap();
    store.grant("acme", "ops", &grant("y", Permission::Read), &by(), NOW).await.unwrap();
    store.ungrant("acme", "ops", "y", &by(), NOW).await.unwrap();
    let withheld = || ("y".to_owned(), Vec::new());
    let x = |granted| Rights::new([("x".to_owned(), granted), withheld()]);
    let none = x(Vec::new());
    for (value, expected) in [
        ("site", &none),
        ("zoo", &Rights::default()),
        ("ann", &x(right("dev", Permission::Write))),
        ("bob", &none),
        ("ci", &none),
        ("as ann", &x(right("dev", Permission::Write))),
        ("as ops", &x(right("ops", Permission::Read))),
    ] {
        assert_eq!(rights(&store, value).await, *expected, "{value}");
    }
    store.add_member("acme", "ops", "bob", &by(), NOW).await.unwrap();
    store.remove_member("acme", "dev", "ann", &by(), NOW).await.unwrap();
    for value in ["ann", "bob", "as ann"] {
        assert_eq!(rights(&store, value).await, x(right("ops", Permission::Read)), "{value}");
    }
    assert_eq!(store.unrestrict("acme", "x", &by(), NOW).await.unwrap().groups, ["dev", "ops"]);
    assert_eq!(store.unrestrict("acme", "y", &by(), NOW).await.unwrap().groups, Vec::<String>::new());
    for value in ["site", "ann", "as ops"] {
        assert_eq!(rights(&store, value).await.of("x"), Right::Unrestricted, "{value}");
    }
    // No grant of the past comes back with the next one.
    store.grant("acme", "dev", &grant("x", Permission::Read), &by(), NOW).await.unwrap();
    assert_eq!(rights(&store, "as ops").await.of("x"), Right::Withheld);
}

pub(super) async fn grants_are_kept_with_packages_and_labels(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    for group in ["dev", "ops"] {
        store.create_group("acme", group, &by(), NOW).await.unwrap();
    }
    let acting = NewToken {
        purpose: Purpose::Scoped { name: "dev".into(), acts_as: Some(ActsAs::Group("dev".into())) },
        ..site("acme")
    };
    insert(&store, &acting, "as dev").await;
    let narrow = |packages: &[&str], labels: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Grant { packages: owned(packages), labels: owned(labels), ..grant("x", Permission::Read) }
    };
    let kept = narrow(&["numpy*", "scipy"], &["dev", "main"]);
    let given = narrow(&["Scipy", "numpy*", "scipy"], &["main", "dev", "main"]);
    let placed = store.grant("acme", "dev", &given, &by(), NOW).await.unwrap();
    assert!(placed.is_new);
    assert_eq!(placed.present.grants, std::slice::from_ref(&kept), "in the one form that means it");
    assert_eq!(store.group("acme", "dev").await.unwrap().unwrap().grants, std::slice::from_ref(&kept));
    let granted = |grant: &Grant| Granted {
        group: "dev".into(),
        permission: grant.permission,
        packages: grant.packages.clone(),
        labels: grant.labels.clone(),
    };
    let expected = Rights::new([("x".to_owned(), vec![granted(&kept)])]);
    assert_eq!(rights(&store, "as dev").await, expected);
    // The same in other words is no change.
    let (position, head) = (store.position().await.unwrap(), store.audit_head().await.unwrap());
    assert!(!store.grant("acme", "dev", &given, &by(), NOW).await.unwrap().is_new);
    assert_eq!((store.position().await.unwrap(), store.audit_head().await.unwrap()), (position, head));
    // Another one takes its place, as a whole, and is told of.
    for (given, kept) in [
        (narrow(&["numpy"], &[]), narrow(&["numpy"], &[])),
        (narrow(&[], &["dev"]), narrow(&[], &["dev"])),
        (narrow(&["numpy", "*"], &[]), grant("x", Permission::Read)),
    ] {
        let position = store.position().await.unwrap();
        let placed = store.grant("acme", "dev", &given, &by(), NOW).await.unwrap();
        assert_eq!(placed.present.grants, std::slice::from_ref(&kept));
        assert_ne!(store.position().await.unwrap(), position, "{kept:?}");
        let expected = Rights::new([("x".to_owned(), vec![granted(&kept)])]);
        assert_eq!(rights(&store, "as dev").await, expected, "{kept:?}");
    }
    // Each group's grant is its own, and goes alone.
    store.grant("acme", "ops", &narrow(&["numpy"], &[]), &by(), NOW).await.unwrap();
    store.ungrant("acme", "dev", "x", &by(), NOW).await.unwrap();
    assert_eq!(rights(&store, "as dev").await.of("x"), Right::Withheld);
    let head = store.audit_head().await.unwrap();
    let minted = channelgate::token::Minted::random().unwrap();
    for refused in [
        narrow(&[""], &[]),
        narrow(&["a b"], &[]),
        narrow(&["numpy>=1"], &[]),
        narrow(&[&"a".repeat(129)], &[]),
        narrow(&[], &[""]),
        narrow(&[], &["a/b"]),
        narrow(&[], &[".a"]),
        narrow(&[], &["a%2Fb"]),
        narrow(&[], &["a\nb"]),
        narrow(&[minted.expose()], &[]),
        narrow(&[], &[minted.expose()]),
        Grant { packages: (0..101).map(|number| format!("p{number}")).collect(), ..narrow(&[], &[]) },
        Grant { labels: (0..33).map(|number| format!("l{number}")).collect(), ..narrow(&[], &[]) },
    ] {
        let error = store.grant("acme", "ops", &refused, &by(), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(store.audit_head().await.unwrap(), head);
}

pub(super) async fn feed_tells_whom_a_change_of_rights_concerns(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let id = store.organization("acme").await.unwrap().unwrap().id;
    store.assign_seat("acme", "ann", Role::Member, &by(), NOW).await.unwrap();
    store.create_group("acme", "dev", &by(), NOW).await.unwrap();
    insert(&store, &site("acme"), "site").await;
    insert(&store, &NewToken::individual("acme", "ann"), "ann").await;
    let mut position = store.position().await.unwrap();
    let ann = Subject::Token(digest("ann"));
    let everybody = Subject::Organization(id);
    for (change, expected) in [
        ("grant", everybody),
        ("add", ann),
        ("remove", ann),
        ("ungrant", everybody),
        ("unrestrict", everybody),
    ] {
        let x = grant("x", Permission::Read);
        match change {
            "grant" => drop(store.grant("acme", "dev", &x, &by(), NOW).await.unwrap()),
            "add" => drop(store.add_member("acme", "dev", "ann", &by(), NOW).await.unwrap()),
            "remove" => drop(store.remove_member("acme", "dev", "ann", &by(), NOW).await.unwrap()),
            "ungrant" => drop(store.ungrant("acme", "dev", "x", &by(), NOW).await.unwrap()),
            _ => drop(store.unrestrict("acme", "x", &by(), NOW).await.unwrap()),
        }
        let read = store.changes_since(position, 10).await.unwrap();
        let Changes::Read { changes, position: end, .. } = read else { panic!("{read:?}") };
        assert_eq!(changes.iter().map(|change| change.subject).collect::<Vec<_>>(), [expected], "{change}");
        position = end;
    }
}
