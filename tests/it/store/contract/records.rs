//! The audit, and the last use of tokens.

use std::net::{IpAddr, Ipv6Addr};

use channelgate::account::{Grant, Permission};
use channelgate::auth::Carrier;
use channelgate::store::{
    AuditFilter, AuditHash, AuditHead, AuditRecord, AuditVerdict, LastUse, Refused, Use, Used,
};

use super::*;

async fn all(store: &Store) -> Vec<AuditRecord> {
    store.audit(&AuditFilter::default()).await.unwrap()
}

/// One of every change, each by somebody else at another time.
async fn a_life(store: &Store) -> Vec<&'static str> {
    let at = |step: u64| later(step);
    let who =
        |step: u64| Actor { name: format!("actor {step}"), from: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)) };
    let grant = Grant::whole("x", Permission::Read);
    store.create_organization("acme", "Acme", Subscription::default(), &who(1), at(1)).await.unwrap();
    store.assign_seat("acme", "ann", Role::Member, &who(2), at(2)).await.unwrap();
    let site_token = store.insert_token(&site("acme"), &digest("s"), &who(3), at(3), Duration::ZERO).await;
    store
        .insert_token(&NewToken::individual("acme", "ann"), &digest("a"), &who(4), at(4), Duration::ZERO)
        .await
        .unwrap();
    store.insert_token(&scoped("acme", "ci"), &digest("c"), &who(5), at(5), Duration::ZERO).await.unwrap();
    let imported = NewToken { imported: true, ..scoped("acme", "legacy") };
    store.insert_token(&imported, &digest("l"), &who(6), at(6), Duration::ZERO).await.unwrap();
    store.renew_organization("acme", later(1_000), &who(7), at(7)).await.unwrap();
    store.sync_tokens("acme", &Which::All, &who(8), at(8)).await.unwrap();
    store.create_group("acme", "dev", &who(9), at(9)).await.unwrap();
    store.add_member("acme", "dev", "ann", &who(10), at(10)).await.unwrap();
    store.grant("acme", "dev", &grant, &who(11), at(11)).await.unwrap();
    store.ungrant("acme", "dev", "x", &who(12), at(12)).await.unwrap();
    store.unrestrict("acme", "x", &who(13), at(13)).await.unwrap();
    store.remove_member("acme", "dev", "ann", &who(14), at(14)).await.unwrap();
    store.end_token(site_token.unwrap().record.id, &revoked(at(15)), &who(15), at(15)).await.unwrap();
    store.remove_seat("acme", "ann", &who(16), at(16)).await.unwrap();
    store.cancel_organization("acme", &who(17), at(17)).await.unwrap();
    vec![
        "org.create",
        "seat.assign",
        "token.issue",
        "token.issue",
        "token.create",
        "token.import",
        "org.renew",
        "token.sync",
        "group.create",
        "group.add",
        "group.grant",
        "group.ungrant",
        "group.unrestrict",
        "group.remove",
        "token.revoke",
        "seat.remove",
        "org.cancel",
    ]
}

pub(super) async fn every_change_leaves_one_record(config: &Config) {
    let store = open(config).await;
    assert_eq!(store.audit_head().await.unwrap(), AuditHead::EMPTY);
    let intact = |head| AuditVerdict::Intact { head };
    assert_eq!(store.verify_audit(None).await.unwrap(), intact(AuditHead::EMPTY));
    let expected = a_life(&store).await;
    let records = all(&store).await;
    assert_eq!(records.iter().map(|record| record.action.as_str()).collect::<Vec<_>>(), expected);
    let mut previous = AuditHead::EMPTY.hash;
    for (number, record) in (1_i64..).zip(&records) {
        assert_eq!((record.seq, record.at), (number, later(number.unsigned_abs())), "{}", record.action);
        assert_eq!(record.actor.name, format!("actor {number}"));
        assert_eq!(record.actor.from, Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(record.organization.as_deref(), Some("acme"));
        assert_eq!(record.previous, previous);
        assert_ne!(record.before, record.after, "{}", record.action);
        previous = record.hash;
    }
    let head = store.audit_head().await.unwrap();
    assert_eq!(head, AuditHead { seq: 17, hash: previous });
    assert_eq!(store.verify_audit(Some(head.hash)).await.unwrap(), intact(head));
    assert_eq!(store.verify_audit(Some(records[3].hash)).await.unwrap(), intact(head), "it went on since");
    let foreign = AuditHash([7; 32]);
    assert_eq!(store.verify_audit(Some(foreign)).await.unwrap(), AuditVerdict::Cut { head });
    let told =
        serde_json::to_string(&records.iter().map(|r| (&r.before, &r.after)).collect::<Vec<_>>()).unwrap();
    let groups = records[15].before.as_ref().map(|b| b["groups"].to_string());
    assert_eq!(groups.unwrap_or_default(), "[]");
    assert!(!told.contains("digest"), "{told}");
    let by_command = ["user", "target"].map(|_| records[9].user.clone());
    assert_eq!((by_command[0].as_deref(), records[9].target.as_deref()), (Some("ann"), Some("dev")));
}

pub(super) async fn refused_and_empty_changes_leave_no_record(config: &Config) {
    let store = open(config).await;
    a_life(&store).await;
    let head = store.audit_head().await.unwrap();
    store.create_organization("acme", "", Subscription::default(), &by(), NOW).await.unwrap_err();
    store.insert_token(&site("acme"), &digest("x"), &by(), later(99), Duration::ZERO).await.unwrap_err();
    store.cancel_organization("acme", &by(), later(99)).await.unwrap();
    let dead = store.tokens("acme", None, 1).await.unwrap().remove(0).record;
    store.end_token(dead.id, &revoked(NOW), &by(), later(99)).await.unwrap();
    assert_eq!(store.audit_head().await.unwrap(), head);
}

pub(super) async fn audit_is_read_by_organization_time_and_page(config: &Config) {
    let store = open(config).await;
    create(&store, "zoo").await;
    a_life(&store).await;
    insert(&store, &site("zoo"), "z").await;
    let read = |filter: AuditFilter| {
        let store = store.clone();
        async move { store.audit(&filter).await.unwrap().iter().map(|record| record.seq).collect::<Vec<_>>() }
    };
    let filter = AuditFilter::default();
    assert_eq!(read(filter.clone()).await, (1..=19).collect::<Vec<_>>());
    assert_eq!(read(AuditFilter { organization: Some("zoo".into()), ..filter.clone() }).await, [1, 19]);
    assert_eq!(
        read(AuditFilter { organization: Some("none".into()), ..filter.clone() }).await,
        Vec::<i64>::new()
    );
    assert_eq!(read(AuditFilter { since: Some(later(16)), ..filter.clone() }).await, [17, 18]);
    assert_eq!(read(AuditFilter { after: 5, limit: 3, ..filter.clone() }).await, [6, 7, 8]);
    let both = AuditFilter { organization: Some("acme".into()), since: Some(later(3)), after: 4, limit: 2 };
    assert_eq!(read(both).await, [5, 6]);
}

pub(super) async fn audit_since_a_moment_is_complete_though_a_clock_was_set_back(config: &Config) {
    let store = open(config).await;
    // By number: 1 to 6.
    for (number, step) in [10, 30, 20, 20, 5, 40].into_iter().enumerate() {
        let name = format!("o{number}");
        store.create_organization(&name, "", Subscription::default(), &by(), later(step)).await.unwrap();
    }
    let pages = |since, organization: Option<&str>, limit| {
        let (store, organization) = (store.clone(), organization.map(str::to_owned));
        async move {
            let mut filter = AuditFilter { organization, since: Some(later(since)), after: 0, limit };
            let mut found = Vec::new();
            loop {
                let page = store.audit(&filter).await.unwrap();
                let Some(last) = page.last() else { return found };
                filter.after = last.seq;
                found.extend(page.iter().map(|record| record.seq));
            }
        }
    };
    for limit in [1, 2, 100] {
        assert_eq!(pages(20, None, limit).await, [3, 4, 2, 6], "{limit}");
        assert_eq!(pages(0, None, limit).await, [5, 1, 3, 4, 2, 6], "{limit}");
        assert_eq!(pages(20, Some("o2"), limit).await, [3], "{limit}");
        assert!(pages(21, Some("o2"), limit).await.is_empty(), "{limit}");
    }
    let beyond = AuditFilter { since: Some(later(0)), after: 99, ..AuditFilter::default() };
    assert_eq!(store.audit(&beyond).await.unwrap(), []);
}

pub(super) async fn last_use_is_kept_with_its_token(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let a = insert(&store, &scoped("acme", "a"), "a").await.record.id;
    let b = insert(&store, &scoped("acme", "b"), "b").await.record.id;
    let (position, head) = (store.position().await.unwrap(), store.audit_head().await.unwrap());
    let used =
        |seconds, carrier| Used { at: later(seconds), carrier, address: IpAddr::V6(Ipv6Addr::LOCALHOST) };
    let refused = |seconds, count| Refused { at: later(seconds), code: format!("code {seconds}"), count };
    let nobody = TokenId(uuid::Uuid::nil());
    let use_of = |token, used, refused| Use { token, news: LastUse { used, refused } };
    store.record_uses(&[]).await.unwrap();
    let batch = [
        use_of(a, Some(used(5, Carrier::Path)), None),
        use_of(b, None, Some(refused(6, 2))),
        use_of(nobody, Some(used(5, Carrier::Path)), None),
    ];
    store.record_uses(&batch).await.unwrap();
    assert_eq!(store.last_use(a).await.unwrap(), batch[0].news);
    assert_eq!(store.last_use(b).await.unwrap(), batch[1].news);
    assert_eq!(store.last_use(nobody).await.unwrap(), LastUse::default());
    // The later one stays, whatever comes first; counts add up.
    let batch = [
        use_of(a, Some(used(4, Carrier::Basic)), Some(refused(4, 1))),
        use_of(b, Some(used(9, Carrier::XAuth)), Some(refused(3, 5))),
    ];
    store.record_uses(&batch).await.unwrap();
    let expected = [
        (a, LastUse { used: Some(used(5, Carrier::Path)), refused: Some(refused(4, 1)) }),
        (b, LastUse { used: Some(used(9, Carrier::XAuth)), refused: Some(refused(6, 7)) }),
    ];
    for carrier in Carrier::EVERY {
        store.record_uses(&[use_of(b, Some(used(10, carrier)), None)]).await.unwrap();
        assert_eq!(store.last_use(b).await.unwrap().used, Some(used(10, carrier)));
    }
    let expected = expected.map(|(id, last)| {
        if id == b { (b, LastUse { used: Some(used(10, Carrier::XAuth)), ..last }) } else { (id, last) }
    });
    for listed in store.tokens("acme", None, 10).await.unwrap() {
        let last_use = &expected.iter().find(|(id, _)| *id == listed.record.id).unwrap().1;
        assert_eq!(listed.last_use, *last_use);
        assert_eq!(store.last_use(listed.record.id).await.unwrap(), *last_use);
    }
    // No verdict depends on it, and nobody changed anything.
    assert_eq!((store.position().await.unwrap(), store.audit_head().await.unwrap()), (position, head));
}
