//! The life of organizations, seats and their tokens.

use super::*;

async fn organization(store: &Store, ends_at: Timestamp) {
    store.create_organization("acme", "Acme", Subscription::until(Some(ends_at)), &by(), NOW).await.unwrap();
}

async fn seat(store: &Store, user: &str) {
    store.assign_seat("acme", user, Role::Member, &by(), NOW).await.unwrap();
}

fn acting_as(name: &str, acts_as: ActsAs) -> NewToken {
    NewToken { purpose: Purpose::Scoped { name: name.into(), acts_as: Some(acts_as) }, ..site("acme") }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3_600)
}

pub(crate) async fn token(store: &Store, id: TokenId) -> TokenRecord {
    store.token(id).await.unwrap().unwrap()
}

pub(super) async fn site_and_individual_tokens_expire_thirty_days_after_the_subscription(config: &Config) {
    let store = open(config).await;
    organization(&store, later(1)).await;
    seat(&store, "ann").await;
    for (new, value) in [(site("acme"), "s"), (NewToken::individual("acme", "ann"), "i")] {
        let record = insert(&store, &new, value).await.record;
        assert_eq!(record.expires_at, Some(later(1).plus(days(30))));
        assert_eq!(record.scopes, Scopes::of(&[Scope::Repos]));
        let almost = later(1).plus(days(30)).minus(Duration::from_millis(1));
        assert_eq!(record.state(almost), TokenState::Live);
        assert!(matches!(record.state(later(1).plus(days(30))), TokenState::Expired(_)));
    }
    // An ended subscription gives tokens for as long as one of them would live.
    let at = later(1).plus(days(29));
    store.insert_token(&site("acme"), &digest("late"), &by(), at, Duration::ZERO).await.unwrap();
    let at = later(1).plus(days(30));
    for new in [site("acme"), NewToken::individual("acme", "ann"), scoped("acme", "ci")] {
        let late =
            store.insert_token(&new, &digest("too late"), &by(), at, Duration::ZERO).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Conflict, "{late}");
    }
}

pub(super) async fn individual_tokens_need_a_seat_and_site_tokens_do_not(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    store.assign_seat("zoo", "ann", Role::Admin, &by(), NOW).await.unwrap();
    insert(&store, &site("acme"), "site").await;
    for new in [NewToken::individual("acme", "ann"), acting_as("ci", ActsAs::User("ann".into()))] {
        let refused = store.insert_token(&new, &digest("a"), &by(), NOW, Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
        assert!(refused.to_string().contains("\"ann\" has no seat in organization \"acme\""), "{refused}");
    }
    let nobody = acting_as("ci", ActsAs::Group("none".into()));
    let refused = store.insert_token(&nobody, &digest("a"), &by(), NOW, Duration::ZERO).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    seat(&store, "ann").await;
    let record = insert(&store, &NewToken::individual("acme", "ann"), "a").await.record;
    assert_eq!((record.kind, record.user.as_deref()), (TokenKind::Individual, Some("ann")));
}

pub(super) async fn individual_token_issued_again_ends_the_users_previous_one(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    for user in ["ann", "bob"] {
        seat(&store, user).await;
    }
    let individual = |user| NewToken::individual("acme", user);
    let site_token = insert(&store, &site("acme"), "site").await.record;
    let bob = insert(&store, &individual("bob"), "bob").await.record;
    let first = insert(&store, &individual("ann"), "1").await.record;
    let second = store.insert_token(&individual("ann"), &digest("2"), &by(), NOW, days(1)).await.unwrap();
    assert_eq!(second.replaced.unwrap().id, first.id);
    assert_eq!(token(&store, first.id).await.state(NOW), TokenState::Live, "in its grace");
    let third = insert(&store, &individual("ann"), "3").await;
    assert_eq!(third.replaced.unwrap().id, second.record.id);
    assert!(matches!(token(&store, second.record.id).await.state(NOW), TokenState::Ended(_)));
    assert_eq!(token(&store, first.id).await.end.as_ref().unwrap().at, NOW.plus(days(1)));
    let generations = [first.generation, second.record.generation, third.record.generation];
    assert_eq!(generations, [1, 2, 3]);
    for living in [&site_token, &bob, &third.record] {
        assert_eq!(token(&store, living.id).await, *living, "others are not concerned");
        let found = store.living_token("acme", living.user.as_deref(), NOW).await.unwrap();
        assert_eq!(found.as_ref(), Some(living));
    }
    assert_eq!(store.living_token("acme", Some("eve"), NOW).await.unwrap(), None);
}

pub(super) async fn generations_count_what_was_issued(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    insert(&store, &site("zoo"), "z").await;
    for (value, expected) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(insert(&store, &site("acme"), value).await.record.generation, expected);
    }
    for (value, expected) in [("d", 1), ("e", 2)] {
        let record = insert(&store, &scoped("acme", "ci"), value).await.record;
        assert_eq!(record.generation, expected);
        store.end_token(record.id, &revoked(NOW), &by(), NOW).await.unwrap();
    }
}

pub(super) async fn renewing_moves_no_token_and_sync_does(config: &Config) {
    let store = open(config).await;
    organization(&store, later(10)).await;
    for user in ["ann", "bob"] {
        seat(&store, user).await;
    }
    let individual = |user| NewToken::individual("acme", user);
    let graced = insert(&store, &site("acme"), "graced").await.record;
    let issued = store.insert_token(&site("acme"), &digest("s"), &by(), NOW, days(1)).await.unwrap().record;
    let ann = insert(&store, &individual("ann"), "a").await.record;
    let bob = insert(&store, &individual("bob"), "b").await.record;
    let ci = insert(&store, &scoped("acme", "ci"), "c").await.record;
    let (old, new) = (later(10).plus(days(30)), later(99).plus(days(30)));
    let nothing = store.sync_tokens("acme", &Which::All, &by(), NOW).await.unwrap().synced;
    assert_eq!(nothing, [], "nothing to move");
    let position = store.position().await.unwrap();
    let renewed = store.renew_organization("acme", later(99), &by(), later(20)).await.unwrap();
    assert_eq!(renewed.subscription, Subscription::until(Some(later(99))));
    assert_eq!(store.organization("acme").await.unwrap(), Some(renewed));
    assert_eq!(store.position().await.unwrap(), position, "no verdict changes");
    for record in [&issued, &ann, &bob] {
        assert_eq!(token(&store, record.id).await.expires_at, Some(old));
    }
    let sync = |which| {
        let store = store.clone();
        async move { store.sync_tokens("acme", &which, &by(), later(20)).await.unwrap().synced }
    };
    let synced = sync(Which::Site).await;
    assert_eq!(
        synced.iter().map(|synced| (synced.record.id, synced.before)).collect::<Vec<_>>(),
        [(issued.id, Some(old))]
    );
    assert_eq!(synced[0].record, token(&store, issued.id).await);
    assert_eq!(sync(Which::User("ann".into())).await[0].record.id, ann.id);
    assert_eq!(sync(Which::User("eve".into())).await, []);
    assert_eq!(sync(Which::All).await.len(), 1, "bob's is left");
    for record in [&issued, &ann, &bob] {
        assert_eq!(token(&store, record.id).await.expires_at, Some(new));
    }
    assert_eq!(token(&store, graced.id).await.expires_at, Some(old), "its end is set");
    assert_eq!(token(&store, ci.id).await.expires_at, None);
    // A subscription can be made shorter, too; but not over.
    store.renew_organization("acme", later(50), &by(), later(21)).await.unwrap();
    assert_eq!(sync(Which::All).await.len(), 3);
    let past = store.renew_organization("acme", later(21), &by(), later(21)).await.unwrap_err();
    assert_eq!(past.kind(), ErrorKind::Invalid, "{past}");
}

pub(super) async fn cancelling_ends_all_tokens_at_once_and_for_good(config: &Config) {
    let store = open(config).await;
    organization(&store, later(1_000)).await;
    create(&store, "zoo").await;
    seat(&store, "ann").await;
    let elsewhere = insert(&store, &site("zoo"), "zoo").await.record;
    let graced = insert(&store, &site("acme"), "g").await.record;
    let again = store.insert_token(&site("acme"), &digest("s"), &by(), NOW, days(1)).await.unwrap().record;
    let ann = insert(&store, &NewToken::individual("acme", "ann"), "a").await.record;
    let ci = insert(&store, &scoped("acme", "ci"), "c").await.record;
    let dead = insert(&store, &scoped("acme", "dead"), "d").await.record;
    store.end_token(dead.id, &revoked(NOW), &by(), NOW).await.unwrap();
    let short = NewToken { expires_at: Some(later(1)), ..scoped("acme", "short") };
    let expired = insert(&store, &short, "e").await.record;
    let position = store.position().await.unwrap();
    let cancelled = store.cancel_organization("acme", &by(), later(2)).await.unwrap();
    assert_eq!(cancelled.tokens_ended, 4);
    assert_eq!(cancelled.organization.subscription.cancelled_at, Some(later(2)));
    for record in [&graced, &again, &ann, &ci] {
        let end = token(&store, record.id).await.end.clone().unwrap();
        assert_eq!((end.cause, end.at), (EndCause::SubscriptionEnded, later(2)));
    }
    assert_eq!(token(&store, dead.id).await.end.as_deref(), Some(&revoked(NOW)));
    assert_eq!(token(&store, expired.id).await, expired);
    assert_eq!(token(&store, elsewhere.id).await, elsewhere);
    let read = store.changes_since(position, 10).await.unwrap();
    let Changes::Read { changes, .. } = read else { panic!("{read:?}") };
    let told: Vec<_> = changes.iter().map(|change| change.subject).collect();
    assert_eq!(told, [Subject::Organization(cancelled.organization.id)], "one row, however many tokens");
    // Again: nothing happens.
    let twice = store.cancel_organization("acme", &by(), later(3)).await.unwrap();
    assert_eq!((twice.tokens_ended, &twice.organization), (0, &cancelled.organization));
    for new in [site("acme"), NewToken::individual("acme", "ann"), scoped("acme", "new")] {
        let refused =
            store.insert_token(&new, &digest("n"), &by(), later(3), Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    }
    let refused = store.sync_tokens("acme", &Which::All, &by(), later(3)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    // Renewed: the dead stay dead, new ones can be issued.
    store.renew_organization("acme", later(9_000), &by(), later(4)).await.unwrap();
    assert_eq!(store.sync_tokens("acme", &Which::All, &by(), later(4)).await.unwrap().synced, []);
    for record in [&graced, &again, &ann, &ci, &dead] {
        assert_ne!(token(&store, record.id).await.state(later(4)), TokenState::Live);
    }
    let fresh =
        store.insert_token(&site("acme"), &digest("f"), &by(), later(4), Duration::ZERO).await.unwrap();
    assert_eq!((fresh.record.generation, fresh.replaced), (3, None));
}

pub(super) async fn each_cancellation_ends_the_tokens_of_its_own_subscription(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    seat(&store, "ann").await;
    let mut issued = Vec::new();
    // In the same moment: what belongs to which subscription does not hang on clocks.
    for round in ["a", "b", "c"] {
        let renewed = store.renew_organization("acme", later(9_000), &by(), NOW).await.unwrap();
        assert_eq!(renewed.subscription.cancelled_at, None);
        for new in [site("acme"), NewToken::individual("acme", "ann"), scoped("acme", "ci")] {
            let value = format!("{round} {}", new.purpose.kind().as_str());
            let new = insert(&store, &new, &value).await;
            assert_eq!((new.record.state(NOW), new.replaced), (TokenState::Live, None), "{value}");
            issued.push(new.record);
        }
        let at = |record: &TokenRecord| (record.id, record.state(NOW) == TokenState::Live);
        let (dead, living) = issued.split_at(issued.len() - 3);
        for record in dead {
            assert_eq!(at(&token(&store, record.id).await), (record.id, false), "{round}");
        }
        for record in living {
            assert_eq!(token(&store, record.id).await, *record, "{round}");
        }
        assert_eq!(store.cancel_organization("acme", &by(), NOW).await.unwrap().tokens_ended, 3, "{round}");
    }
    assert_eq!(store.remove_seat("acme", "ann", &by(), later(1)).await.unwrap().ended, [], "none lived");
    for record in &issued {
        let end = End { cause: EndCause::SubscriptionEnded, at: NOW, reason: None };
        assert_eq!(token(&store, record.id).await.end.as_deref(), Some(&end));
        let again = store.end_token(record.id, &revoked(later(1)), &by(), later(1)).await.unwrap();
        assert!(again.was_dead);
    }
    assert_eq!(store.living_token("acme", None, NOW).await.unwrap(), None);
}

pub(super) async fn tokens_that_end_soon_are_listed_by_their_end(config: &Config) {
    let store = open(config).await;
    for name in ["acme", "zoo"] {
        create(&store, name).await;
    }
    let expiring =
        |org: &str, name: &str, step| NewToken { expires_at: Some(later(step)), ..scoped(org, name) };
    for (name, step) in [("c", 30), ("b", 20), ("a", 20), ("past", 1), ("late", 200_000)] {
        insert(&store, &expiring("acme", name, step), name).await;
    }
    insert(&store, &scoped("acme", "never"), "never").await;
    insert(&store, &expiring("zoo", "theirs", 20), "theirs").await;
    let revoked_one = insert(&store, &expiring("acme", "revoked", 20), "revoked").await.record;
    store.end_token(revoked_one.id, &revoked(later(2)), &by(), later(2)).await.unwrap();
    // Issued again with a grace: the previous one ends with the grace.
    insert(&store, &site("acme"), "graced").await;
    store.insert_token(&site("acme"), &digest("again"), &by(), NOW, days(1)).await.unwrap();
    let until = later(30).max(NOW.plus(days(1)));
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|record: &TokenRecord| (record.ends_at().unwrap(), record.id));
        let page = store.expiring_tokens("acme", until, after, 2, later(2)).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|listed| listed.record));
    }
    let mut expected: Vec<_> =
        ["a", "b", "c"].map(|name| (later(if name == "c" { 30 } else { 20 }), Some(name))).into();
    expected.push((NOW.plus(days(1)), None));
    let mut told: Vec<_> =
        found.iter().map(|record| (record.ends_at().unwrap(), record.name.as_deref())).collect();
    assert!(told.is_sorted_by_key(|(at, _)| *at), "{told:?}");
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    store.cancel_organization("acme", &by(), later(3)).await.unwrap();
    assert_eq!(store.expiring_tokens("acme", until, None, 9, later(2)).await.unwrap(), [], "none lives");
    let missing = store.expiring_tokens("none", until, None, 9, NOW).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}

pub(super) async fn seats_are_assigned_changed_and_listed(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let assign = |user: &'static str, role, at| {
        let store = store.clone();
        async move { store.assign_seat("acme", user, role, &by(), at).await.unwrap() }
    };
    let bob = assign("bob", Role::Member, NOW).await;
    let ann = assign("ann@example.org", Role::Admin, later(1)).await;
    assert!(bob.is_new && ann.is_new);
    let (bob, ann) = (bob.present, ann.present);
    let same = assign("bob", Role::Member, later(2)).await;
    assert_eq!((same.present, same.is_new), (bob, false), "nothing changes");
    let admin = assign("bob", Role::Admin, later(3)).await;
    assert!(!admin.is_new);
    let admin = admin.present;
    assert_eq!((admin.role, admin.assigned_at), (Role::Admin, NOW));
    assert_eq!(store.seats("acme", None, 100).await.unwrap(), [ann, admin.clone()]);
    assert_eq!(store.seat("acme", "bob").await.unwrap(), Some(admin));
    assert_eq!(store.seat("acme", "eve").await.unwrap(), None);
    let bad = store.assign_seat("acme", "a b", Role::Member, &by(), NOW).await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid, "{bad}");
    for missing in [
        store.assign_seat("none", "ann", Role::Member, &by(), NOW).await.unwrap_err(),
        store.seats("none", None, 100).await.unwrap_err(),
        store.remove_seat("none", "bob", &by(), NOW).await.unwrap_err(),
        store.remove_seat("acme", "eve", &by(), NOW).await.unwrap_err(),
        store.cancel_organization("none", &by(), NOW).await.unwrap_err(),
        store.renew_organization("none", later(1), &by(), NOW).await.unwrap_err(),
        store.sync_tokens("none", &Which::All, &by(), NOW).await.unwrap_err(),
        store.living_token("none", None, NOW).await.unwrap_err(),
    ] {
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    }
}

pub(super) async fn seat_removed_takes_tokens_and_groups_with_it(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    for user in ["ann", "bob"] {
        seat(&store, user).await;
    }
    for group in ["dev", "ops"] {
        store.create_group("acme", group, &by(), NOW).await.unwrap();
        store.add_member("acme", group, "ann", &by(), NOW).await.unwrap();
    }
    let site_token = insert(&store, &site("acme"), "site").await.record;
    let bob = insert(&store, &NewToken::individual("acme", "bob"), "bob").await.record;
    let as_group = insert(&store, &acting_as("group", ActsAs::Group("dev".into())), "g").await.record;
    assert_eq!(as_group.group.as_deref(), Some("dev"));
    let graced = insert(&store, &NewToken::individual("acme", "ann"), "1").await.record;
    let own =
        store.insert_token(&NewToken::individual("acme", "ann"), &digest("2"), &by(), NOW, days(1)).await;
    let own = own.unwrap().record;
    let as_ann = insert(&store, &acting_as("ann", ActsAs::User("ann".into())), "3").await.record;
    let position = store.position().await.unwrap();
    let removed = store.remove_seat("acme", "ann", &by(), later(5)).await.unwrap();
    assert_eq!((removed.seat.user.as_str(), removed.left), ("ann", vec!["dev".to_owned(), "ops".to_owned()]));
    let mut ended: Vec<_> = removed.ended.iter().map(|record| record.id).collect();
    let mut expected = [graced.id, own.id, as_ann.id];
    ended.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ended, expected);
    for record in &removed.ended {
        assert_eq!(token(&store, record.id).await, *record);
        let end = record.end.as_ref().unwrap();
        assert_eq!((end.cause, end.at), (EndCause::SeatRemoved, later(5)));
    }
    assert_eq!(store.position().await.unwrap().as_number(), position.as_number() + 3);
    for record in [&site_token, &bob, &as_group] {
        assert_eq!(token(&store, record.id).await, *record, "others are not concerned");
    }
    for group in store.groups("acme", None, 100).await.unwrap() {
        assert_eq!(group.members, Vec::<String>::new());
    }
    assert_eq!(store.seat("acme", "ann").await.unwrap(), None);
    // A new seat brings nothing back.
    store.assign_seat("acme", "ann", Role::Member, &by(), later(6)).await.unwrap();
    for record in &removed.ended {
        assert_ne!(token(&store, record.id).await.state(later(6)), TokenState::Live);
    }
    let again = insert(&store, &NewToken::individual("acme", "ann"), "4").await;
    assert_eq!(again.replaced, None);
}
