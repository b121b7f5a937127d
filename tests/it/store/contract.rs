//! What every store does. A backend adds one line to [`every_backend`].

mod gates;
mod groups;
pub(crate) mod life;
mod people;
mod records;
mod seen;

use std::collections::HashSet;
use std::time::Duration;

use gates::*;
use groups::*;
use life::*;
use people::*;
use records::*;
use seen::*;

use channelgate::account::{AFTER_SUBSCRIPTION, Role, Subscription};
use channelgate::clock::Timestamp;
use channelgate::store::{
    Actor, ActsAs, Change, Changes, Config, ErrorKind, FeedPosition, Listed, NewToken, Place, Purpose, Store,
    Subject, Which,
};
use channelgate::token::{
    End, EndCause, Scope, Scopes, TokenDigest, TokenId, TokenKind, TokenRecord, TokenState,
};

/// Runs each part of the contract on an empty store of the backend, opened with few changes kept.
macro_rules! every_backend {
    ($($backend:ident => $open:path;)*) => {$(
        mod $backend {
            every_backend!(@ $open: organizations_are_created_once_and_listed_by_name);
            every_backend!(@ $open: site_token_issued_again_ends_the_previous_one);
            every_backend!(@ $open: site_token_issued_again_with_grace_lets_both_live);
            every_backend!(@ $open: scoped_names_are_unique_among_the_living);
            every_backend!(@ $open: token_values_are_used_once);
            every_backend!(@ $open: ended_tokens_stay_as_they_died);
            every_backend!(@ $open: records_come_back_as_they_went_in);
            every_backend!(@ $open: tokens_are_listed_in_pages);
            every_backend!(@ $open: readings_carry_the_position_of_their_snapshot);
            every_backend!(@ $open: feed_tells_every_change_in_order);
            every_backend!(@ $open: feed_tells_a_reader_who_fell_behind);
            every_backend!(@ $open: feed_tells_a_reader_of_another_one);
            every_backend!(@ $open: feed_is_silent_about_refused_changes);
            every_backend!(@ $open: watch_hears_of_changes_by_another_process);
            every_backend!(@ $open: concurrent_writers_lose_nothing);
            every_backend!(@ $open: bootstrap_happens_once);
            every_backend!(@ $open: bootstrap_dropped_is_undone);
            every_backend!(@ $open: bootstrap_of_many_starts_happens_once);
            every_backend!(@ $open: bootstrap_spares_a_living_site_token);
            every_backend!(@ $open: site_and_individual_tokens_expire_thirty_days_after_the_subscription);
            every_backend!(@ $open: individual_tokens_need_a_seat_and_site_tokens_do_not);
            every_backend!(@ $open: individual_token_issued_again_ends_the_users_previous_one);
            every_backend!(@ $open: generations_count_what_was_issued);
            every_backend!(@ $open: renewing_moves_no_token_and_sync_does);
            every_backend!(@ $open: cancelling_ends_all_tokens_at_once_and_for_good);
            every_backend!(@ $open: each_cancellation_ends_the_tokens_of_its_own_subscription);
            every_backend!(@ $open: tokens_that_end_soon_are_listed_by_their_end);
            every_backend!(@ $open: seats_are_assigned_changed_and_listed);
            every_backend!(@ $open: seat_removed_takes_tokens_and_groups_with_it);
            every_backend!(@ $open: groups_are_kept_with_members_and_grants);
            every_backend!(@ $open: grants_are_kept_with_packages_and_labels);
            every_backend!(@ $open: tokens_have_the_rights_of_their_groups);
            every_backend!(@ $open: feed_tells_whom_a_change_of_rights_concerns);
            every_backend!(@ $open: every_change_leaves_one_record);
            every_backend!(@ $open: refused_and_empty_changes_leave_no_record);
            every_backend!(@ $open: audit_is_read_by_organization_time_and_page);
            every_backend!(@ $open: audit_since_a_moment_is_complete_though_a_clock_was_set_back);
            every_backend!(@ $open: last_use_is_kept_with_its_token);
            every_backend!(@ $open: users_are_created_once_and_listed_by_name);
            every_backend!(@ $open: password_set_takes_the_place_of_the_former_and_ends_sessions);
            every_backend!(@ $open: sessions_end_by_time_by_hand_and_by_number);
            every_backend!(@ $open: user_disabled_loses_keys_sessions_and_approvals_at_once);
            every_backend!(@ $open: identities_are_bound_to_one_user_each);
            every_backend!(@ $open: seats_of_a_user_are_listed_oldest_first);
            every_backend!(@ $open: device_is_let_in_by_a_person_once);
            every_backend!(@ $open: device_that_is_denied_or_forgotten_stays_out);
            every_backend!(@ $open: devices_that_wait_are_bounded);
            every_backend!(@ $open: namesakes_of_one_user_take_each_others_place);
            every_backend!(@ $open: tokens_of_a_user_are_those_that_live_and_act_as_them);
            every_backend!(@ $open: signing_key_is_added_by_one_gate_of_many);
            every_backend!(@ $open: gates_are_listed_as_they_last_said_of_themselves);
            every_backend!(@ $open: gates_that_are_dead_are_forgotten);
            every_backend!(@ $open: first_recorded_artifacts_are_the_baseline);
            every_backend!(@ $open: baseline_half_recorded_is_completed_by_another_gate);
            every_backend!(@ $open: gates_agree_on_when_an_artifact_was_first_seen);
            every_backend!(@ $open: artifacts_keep_their_age_under_another_label);
            every_backend!(@ $open: artifacts_no_longer_listed_are_dropped);
            every_backend!(@ $open: first_sightings_are_neither_in_the_feed_nor_in_the_audit);
        }
    )*};
    (@ $open:path: $test:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let backend = $open().await;
            super::$test(&backend.config).await;
        }
    };
}

every_backend! {
    embedded => crate::store::embedded::Temporary::new;
    postgres => crate::store::postgres::Fresh::new;
}

const CHANGES_KEPT: u32 = 50;
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

async fn open(config: &Config) -> Store {
    Store::open(&Config { changes_kept: CHANGES_KEPT, ..config.clone() }).await.unwrap()
}

pub(crate) fn digest(value: &str) -> TokenDigest {
    TokenDigest::of(value.as_bytes())
}

pub(crate) fn site(organization: &str) -> NewToken {
    NewToken::site(organization)
}

pub(crate) fn scoped(organization: &str, name: &str) -> NewToken {
    NewToken { purpose: Purpose::Scoped { name: name.into(), acts_as: None }, ..site(organization) }
}

pub(crate) fn revoked(at: Timestamp) -> End {
    End { cause: EndCause::Revoked, at, reason: None }
}

pub(crate) async fn create(store: &Store, organization: &str) {
    store.create_organization(organization, organization, Subscription::default(), &by(), NOW).await.unwrap();
}

async fn insert(store: &Store, token: &NewToken, value: &str) -> channelgate::store::Issued {
    store.insert_token(token, &digest(value), &by(), NOW, Duration::ZERO).await.unwrap()
}

fn records(listed: Vec<Listed>) -> Vec<TokenRecord> {
    listed.into_iter().map(|listed| listed.record).collect()
}

pub(crate) fn by() -> Actor {
    Actor::local("test")
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

async fn organizations_are_created_once_and_listed_by_name(config: &Config) {
    let store = open(config).await;
    let subscription = Subscription::until(Some(later(1)));
    let zoo = store.create_organization("zoo", "The Zoo", subscription, &by(), NOW).await.unwrap();
    create(&store, "acme").await;
    let names: Vec<_> = store.organizations(None, 100).await.unwrap().into_iter().map(|o| o.name).collect();
    assert_eq!(names, ["acme", "zoo"]);
    assert_eq!(store.organization("zoo").await.unwrap(), Some(zoo));
    assert_eq!(store.organization("none").await.unwrap(), None);
    let twice = store.create_organization("zoo", "", subscription, &by(), NOW).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict, "{twice}");
    let bad = store.create_organization("The Zoo", "", subscription, &by(), NOW).await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid, "{bad}");
    let nowhere =
        store.insert_token(&site("none"), &digest("x"), &by(), NOW, Duration::ZERO).await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound, "{nowhere}");
    assert!(nowhere.to_string().contains("\"none\""), "{nowhere}");
}

async fn site_token_issued_again_ends_the_previous_one(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    let other = insert(&store, &site("zoo"), "other").await;
    let first = insert(&store, &site("acme"), "first").await;
    assert_eq!(first.replaced, None);
    let second = insert(&store, &site("acme"), "second").await;
    let replaced = second.replaced.unwrap();
    assert_eq!(replaced.id, first.record.id);
    assert_eq!(replaced.end.as_ref().map(|end| (end.cause, end.at)), Some((EndCause::Replaced, NOW)));
    let stored = store.token(first.record.id).await.unwrap().unwrap();
    assert_eq!(stored, replaced);
    assert!(matches!(stored.state(NOW), TokenState::Ended(_)));
    for living in [second.record.id, other.record.id] {
        assert_eq!(store.token(living).await.unwrap().unwrap().state(NOW), TokenState::Live);
    }
}

async fn site_token_issued_again_with_grace_lets_both_live(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let first = insert(&store, &site("acme"), "first").await.record.id;
    let hour = Duration::from_secs(3_600);
    let second = store.insert_token(&site("acme"), &digest("second"), &by(), NOW, hour).await.unwrap();
    assert_eq!(second.replaced.unwrap().state(later(3_599)), TokenState::Live);
    // The next reissue cuts off the second at once; the first keeps its own date.
    let third =
        store.insert_token(&site("acme"), &digest("third"), &by(), later(60), Duration::ZERO).await.unwrap();
    assert_eq!(third.replaced.unwrap().id, second.record.id);
    let first = store.token(first).await.unwrap().unwrap();
    assert_eq!(first.end.as_ref().unwrap().at, later(3_600));
    // One that expired is replaced without being reported as cut off, and stays expired.
    let ends_at = later(100).minus(AFTER_SUBSCRIPTION);
    store.create_organization("zoo", "", Subscription::until(Some(ends_at)), &by(), NOW).await.unwrap();
    let expired = insert(&store, &site("zoo"), "fourth").await.record;
    assert_eq!(expired.expires_at, Some(later(100)));
    let renewed = store.renew_organization("zoo", later(300), &by(), later(200)).await.unwrap();
    assert_eq!(renewed.subscription, Subscription::until(Some(later(300))));
    let fifth =
        store.insert_token(&site("zoo"), &digest("fifth"), &by(), later(200), Duration::ZERO).await.unwrap();
    assert_eq!(fifth.replaced, None);
    let expired = store.token(expired.id).await.unwrap().unwrap();
    assert_eq!(expired.state(later(300)), TokenState::Expired(later(100)));
}

async fn scoped_names_are_unique_among_the_living(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    let first = insert(&store, &scoped("acme", "ci"), "a").await.record;
    insert(&store, &scoped("zoo", "ci"), "b").await;
    let taken = store
        .insert_token(&scoped("acme", "ci"), &digest("c"), &by(), NOW, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert!(taken.to_string().contains("\"acme\" has a living token \"ci\""), "{taken}");
    store.end_token(first.id, &revoked(later(1)), &by(), later(1)).await.unwrap();
    let second = NewToken { expires_at: Some(later(10)), ..scoped("acme", "ci") };
    let second =
        store.insert_token(&second, &digest("c"), &by(), later(2), Duration::ZERO).await.unwrap().record;
    let found = || {
        let store = store.clone();
        async move { store.token_by_name("acme", "ci").await.unwrap().unwrap().id }
    };
    assert_eq!(found().await, second.id);
    // The name is free again after the expiry; the latest of it is found.
    let third =
        store.insert_token(&scoped("acme", "ci"), &digest("d"), &by(), later(10), Duration::ZERO).await;
    assert_eq!(found().await, third.unwrap().record.id);
    assert_eq!(store.token_by_name("acme", "none").await.unwrap(), None);
    assert_eq!(store.token_by_name("none", "ci").await.unwrap(), None);
    let bad = store
        .insert_token(&scoped("acme", "C\nI"), &digest("e"), &by(), NOW, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid, "{bad}");
}

async fn token_values_are_used_once(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let id = insert(&store, &scoped("acme", "ci"), "value").await.record.id;
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    for again in [scoped("acme", "other"), site("acme")] {
        let known =
            store.insert_token(&again, &digest("value"), &by(), NOW, Duration::ZERO).await.unwrap_err();
        assert_eq!(known.kind(), ErrorKind::Conflict, "{known}");
    }
}

async fn ended_tokens_stay_as_they_died(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let id = insert(&store, &scoped("acme", "ci"), "a").await.record.id;
    let end = End { reason: Some("leaked".into()), ..revoked(NOW) };
    let ended = store.end_token(id, &end, &by(), NOW).await.unwrap();
    assert!(!ended.was_dead);
    assert_eq!(ended.record.end.as_deref(), Some(&end));
    let again = store.end_token(id, &revoked(later(5)), &by(), later(5)).await.unwrap();
    assert!(again.was_dead);
    assert_eq!(again.record.end.as_deref(), Some(&end));
    // An expired one is dead too, and stays expired.
    let expiring = NewToken { expires_at: Some(later(1)), ..scoped("acme", "short") };
    let expired = insert(&store, &expiring, "b").await.record.id;
    let ended = store.end_token(expired, &revoked(later(2)), &by(), later(2)).await.unwrap();
    assert!(ended.was_dead && ended.record.end.is_none());
    // One in its grace is alive; its end moves nearer, never away.
    let site_id = insert(&store, &site("acme"), "c").await.record.id;
    store.insert_token(&site("acme"), &digest("d"), &by(), NOW, Duration::from_secs(60)).await.unwrap();
    let kept = store.end_token(site_id, &revoked(later(90)), &by(), later(1)).await.unwrap();
    assert_eq!((kept.was_dead, kept.record.end.as_ref().unwrap().at), (false, later(60)));
    let nearer = store.end_token(site_id, &revoked(later(2)), &by(), later(2)).await.unwrap();
    assert_eq!(nearer.record, store.token(site_id).await.unwrap().unwrap());
    assert_eq!(nearer.record.end.as_deref(), Some(&revoked(later(2))));
    let nobody = channelgate::token::TokenId(uuid::Uuid::nil());
    let missing = store.end_token(nobody, &revoked(NOW), &by(), NOW).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}

async fn records_come_back_as_they_went_in(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let full = NewToken {
        scopes: Scopes::of(&[Scope::CondaDownload, Scope::ApiRead]),
        channels: Some(vec!["repo/main".into(), "x".into()]),
        expires_at: Some(later(9)),
        ..scoped("acme", "ci")
    };
    let none = NewToken { channels: Some(Vec::new()), ..scoped("acme", "none") };
    for (token, value) in [(full, "a"), (none, "b"), (site("acme"), "c")] {
        let issued = insert(&store, &token, value).await.record;
        let reopened = open(config).await;
        assert_eq!(reopened.token(issued.id).await.unwrap(), Some(issued.clone()));
        assert_eq!(
            reopened.token_by_digest(&digest(value)).await.unwrap().standing,
            Some(issued.clone().into())
        );
        assert_eq!(issued.kind, token.purpose.kind());
        assert_eq!(issued.name.as_deref(), token.purpose.name());
        assert_eq!((issued.scopes, issued.channels.as_deref()), (token.scopes, token.channels.as_deref()));
        assert_eq!((issued.created_at, issued.expires_at), (NOW, token.expires_at));
        assert_eq!(&*issued.organization, "acme");
    }
}

async fn tokens_are_listed_in_pages(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    create(&store, "zoo").await;
    insert(&store, &site("zoo"), "z").await;
    let mut issued = Vec::new();
    for number in 0..25 {
        // Several of one moment, so that the id decides.
        let token = scoped("acme", &format!("t{number}"));
        let at = later(number / 10);
        let inserted =
            store.insert_token(&token, &digest(&number.to_string()), &by(), at, Duration::ZERO).await;
        issued.push(inserted.unwrap().record);
    }
    issued.sort_by_key(|record| (record.created_at, record.id));
    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|record: &channelgate::token::TokenRecord| record.id);
        let page = records(store.tokens("acme", after, 7).await.unwrap());
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, issued);
    assert_eq!(store.tokens("none", None, 7).await.unwrap_err().kind(), ErrorKind::NotFound);
    let nobody = channelgate::token::TokenId(uuid::Uuid::nil());
    assert_eq!(store.tokens("acme", Some(nobody), 7).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn readings_carry_the_position_of_their_snapshot(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let before = store.token_by_digest(&digest("a")).await.unwrap();
    assert_eq!((before.standing, before.position), (None, FeedPosition::START));
    let id = insert(&store, &site("acme"), "a").await.record.id;
    let alive = store.token_by_digest(&digest("a")).await.unwrap();
    assert_eq!(alive.position, store.position().await.unwrap());
    assert!(alive.position > before.position);
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    let dead = store.token_by_digest(&digest("a")).await.unwrap();
    assert!(dead.position > alive.position);
    assert_eq!(dead.standing.unwrap().token.end.as_deref(), Some(&revoked(NOW)));
}

async fn feed_tells_every_change_in_order(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let first = insert(&store, &site("acme"), "a").await.record.id;
    insert(&store, &site("acme"), "b").await;
    let third =
        store.insert_token(&scoped("acme", "ci"), &digest("c"), &by(), later(1), Duration::ZERO).await;
    store.end_token(third.unwrap().record.id, &revoked(later(2)), &by(), later(2)).await.unwrap();
    store.end_token(first, &revoked(later(3)), &by(), later(3)).await.unwrap();
    let read = store.changes_since(FeedPosition::START, 100).await.unwrap();
    let Changes::Read { changes, position, more: false } = read else { panic!("{read:?}") };
    let told: Vec<_> = changes.iter().map(|change| (change.subject, change.at)).collect();
    let expected = [("a", NOW), ("a", NOW), ("b", NOW), ("c", later(1)), ("c", later(2))]
        .map(|(v, at)| (Subject::Token(digest(v)), at));
    assert_eq!(told, expected);
    assert_eq!(position, store.position().await.unwrap());
    assert!(changes.is_sorted_by_key(|change| change.position));
    // The same in pages.
    let (mut from, mut paged) = (FeedPosition::START, Vec::new());
    loop {
        let page = store.changes_since(from, 2).await.unwrap();
        let Changes::Read { changes, position, more } = page else { panic!("{page:?}") };
        paged.extend(changes);
        from = position;
        if !more {
            break;
        }
    }
    assert_eq!(paged, changes);
    let end = store.changes_since(from, 2).await.unwrap();
    assert_eq!(end, Changes::Read { changes: vec![], position: from, more: false });
}

async fn feed_tells_a_reader_who_fell_behind(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    for number in 0..CHANGES_KEPT + 10 {
        insert(&store, &scoped("acme", &format!("t{number}")), &number.to_string()).await;
    }
    let end = store.position().await.unwrap();
    assert_eq!(end.as_number(), i64::from(CHANGES_KEPT) + 10);
    let lost = Changes::Lost { position: end };
    for behind in [0, 9] {
        assert_eq!(store.changes_since(FeedPosition::from_number(behind), 5).await.unwrap(), lost);
    }
    let kept = store.changes_since(FeedPosition::from_number(10), 1_000).await.unwrap();
    assert!(matches!(kept, Changes::Read { changes, .. } if changes.len() == 50));
    // A store that was put back to an earlier state.
    let ahead = FeedPosition::from_number(end.as_number() + 1);
    assert_eq!(store.changes_since(ahead, 5).await.unwrap(), lost);
}

/// As after a standby was promoted that had not heard of the latest changes, and as many others were made.
async fn feed_tells_a_reader_of_another_one(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    insert(&store, &site("acme"), "a").await;
    insert(&store, &scoped("acme", "b"), "b").await;
    let reading = store.token_by_digest(&digest("a")).await.unwrap();
    let last = reading.last.unwrap();
    assert_eq!((last.position, last.subject), (reading.position, Subject::Token(digest("b"))));
    let lost = Change { at: later(9), ..last };
    for inserted in [None, Some("c")] {
        if let Some(value) = inserted {
            insert(&store, &scoped("acme", value), value).await;
        }
        let position = store.position().await.unwrap();
        let known = store.changes_since(Place::behind(last), 5).await.unwrap();
        assert!(matches!(known, Changes::Read { changes, .. } if changes.len() == inserted.iter().len()));
        let other = store.changes_since(Place::behind(lost), 5).await.unwrap();
        assert_eq!(other, Changes::Lost { position });
        let mut watch = store.watch(Place::behind(lost));
        assert_eq!(watch.poll().await.unwrap(), Changes::Lost { position });
        assert_eq!(watch.place().position(), position);
    }
}

async fn feed_is_silent_about_refused_changes(config: &Config) {
    let store = open(config).await;
    create(&store, "acme").await;
    let id = insert(&store, &scoped("acme", "ci"), "a").await.record.id;
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    let position = store.position().await.unwrap();
    store.end_token(id, &revoked(NOW), &by(), NOW).await.unwrap();
    store.insert_token(&site("acme"), &digest("a"), &by(), NOW, Duration::ZERO).await.unwrap_err();
    assert_eq!(store.position().await.unwrap(), position);
}

async fn watch_hears_of_changes_by_another_process(config: &Config) {
    let (gate, command) = (open(config).await, open(config).await);
    create(&command, "acme").await;
    let mut watch = gate.watch(gate.position().await.unwrap());
    watch.ready().await;
    let silent = watch.poll().await.unwrap();
    assert!(matches!(silent, Changes::Read { changes, .. } if changes.is_empty()));
    for number in 0..3 {
        let value = number.to_string();
        insert(&command, &scoped("acme", &format!("t{number}")), &value).await;
        let heard = watch.poll().await.unwrap();
        let Changes::Read { changes, position, more: false } = heard else { panic!("{heard:?}") };
        assert_eq!(
            changes.iter().map(|change| change.subject).collect::<Vec<_>>(),
            [Subject::Token(digest(&value))]
        );
        assert_eq!(position, command.position().await.unwrap());
        let silent = watch.poll().await.unwrap();
        assert!(matches!(silent, Changes::Read { changes, .. } if changes.is_empty()));
    }
    for number in 0..CHANGES_KEPT + 5 {
        insert(&command, &scoped("acme", &format!("u{number}")), &format!("u{number}")).await;
    }
    let position = command.position().await.unwrap();
    assert_eq!(watch.poll().await.unwrap(), Changes::Lost { position });
    let silent = Changes::Read { changes: vec![], position, more: false };
    assert_eq!(watch.poll().await.unwrap(), silent);
}

async fn concurrent_writers_lose_nothing(config: &Config) {
    const WRITERS: usize = 8;
    const TOKENS: usize = 25;
    let config = Config {
        query_timeout: Duration::from_secs(30),
        busy_timeout: Duration::from_secs(20),
        ..config.clone()
    };
    let stores = [open(&config).await, open(&config).await];
    create(&stores[0], "acme").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = stores[writer % 2].clone();
            tokio::spawn(async move {
                for number in 0..TOKENS {
                    let value = format!("{writer}-{number}");
                    let token = if number % 5 == 0 { site("acme") } else { scoped("acme", &value) };
                    insert(&store, &token, &value).await;
                    assert!(store.token_by_digest(&digest(&value)).await.unwrap().standing.is_some());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let tokens = records(stores[1].tokens("acme", None, 1_000).await.unwrap());
    assert_eq!(tokens.len(), WRITERS * TOKENS);
    assert_eq!(tokens.iter().map(|token| token.id).collect::<HashSet<_>>().len(), WRITERS * TOKENS);
    let living_sites = tokens.iter().filter(|token| token.name.is_none() && token.end.is_none());
    assert_eq!(living_sites.count(), 1);
    let replaced = tokens.iter().filter(|token| token.end.is_some()).count();
    let changes = i64::try_from(WRITERS * TOKENS + replaced).unwrap();
    assert_eq!(stores[0].position().await.unwrap().as_number(), changes);
}

async fn bootstrap_happens_once(config: &Config) {
    let store = open(config).await;
    // A command touched the store before.
    create(&store, "acme").await;
    let begun = store.begin_bootstrap(NOW).await.unwrap().unwrap();
    let record = begun.commit(&digest("boot")).await.unwrap();
    assert_eq!((&*record.organization, record.scopes), ("default", Scopes::of(&[Scope::Repos])));
    assert_eq!(store.token_by_digest(&digest("boot")).await.unwrap().standing, Some(record.clone().into()));
    assert_eq!(records(store.tokens("default", None, 10).await.unwrap()), [record]);
    assert!(store.begin_bootstrap(NOW).await.unwrap().is_none());
    assert!(open(config).await.begin_bootstrap(NOW).await.unwrap().is_none());
}

async fn bootstrap_dropped_is_undone(config: &Config) {
    let store = open(config).await;
    drop(store.begin_bootstrap(NOW).await.unwrap().unwrap());
    assert_eq!(store.organizations(None, 100).await.unwrap(), []);
    // The lock is free again, and the next start does it.
    create(&store, "acme").await;
    let begun = open(config).await.begin_bootstrap(NOW).await.unwrap().unwrap();
    begun.commit(&digest("boot")).await.unwrap();
}

async fn bootstrap_of_many_starts_happens_once(config: &Config) {
    let config = Config {
        query_timeout: Duration::from_secs(20),
        busy_timeout: Duration::from_secs(10),
        ..config.clone()
    };
    let starts: Vec<_> = (0..6)
        .map(|start| {
            let config = config.clone();
            tokio::spawn(async move {
                let begun = open(&config).await.begin_bootstrap(NOW).await.unwrap()?;
                Some(begun.commit(&digest(&start.to_string())).await.unwrap())
            })
        })
        .collect();
    let mut issued = Vec::new();
    for start in starts {
        issued.extend(start.await.unwrap());
    }
    assert_eq!(issued.len(), 1);
    assert_eq!(records(open(&config).await.tokens("default", None, 10).await.unwrap()), issued);
}

async fn bootstrap_spares_a_living_site_token(config: &Config) {
    let store = open(config).await;
    create(&store, "default").await;
    let issued = insert(&store, &site("default"), "handed out").await.record;
    assert!(store.begin_bootstrap(NOW).await.unwrap().is_none());
    assert_eq!(store.token(issued.id).await.unwrap().unwrap().state(NOW), TokenState::Live);
    store.end_token(issued.id, &revoked(NOW), &by(), NOW).await.unwrap();
    assert!(store.begin_bootstrap(NOW).await.unwrap().is_none(), "it is done for good");
}
