//! Tests of the decision: its table, and that it never gives more to a token that has less.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::conda::{ChannelName, RequestTarget};
use crate::token::{End, EndCause, Scopes, TokenId, TokenKind, TokenRecord, Warrant};

mod people;
mod views;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn channels() -> Channels {
    let private = |organizations: &[&str]| Access::Private {
        organizations: organizations.iter().map(|&name| name.to_owned()).collect(),
    };
    let channel = |name: &str, access| Channel {
        name: ChannelName::parse(name).unwrap(),
        access,
        rules: Arc::default(),
    };
    Channels::new([
        channel("open", Access::Public),
        channel("ours", private(&[])),
        channel("acme", private(&["acme"])),
        channel("ours/nested", private(&["beta"])),
    ])
}

fn token(organization: &str, scopes: &str, allowed: Option<&[&str]>) -> TokenRecord {
    let warrant = Warrant {
        kind: TokenKind::Scoped,
        organization_id: Uuid::nil(),
        organization: organization.into(),
        user: None,
        group: None,
        generation: 1,
        scopes: scopes.parse().unwrap(),
        channels: allowed.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        operator: false,
        api_key: false,
        end: None,
    };
    TokenRecord {
        id: TokenId(Uuid::nil()),
        name: Some("ci".into()),
        created_at: Timestamp::from_millis(0),
        expires_at: None,
        warrant: Arc::new(warrant),
    }
}

fn ended(cause: EndCause) -> TokenRecord {
    token("acme", "repos", None).ended(End { cause, at: NOW, reason: None })
}

fn outcome(caller: &Caller, path: &str) -> String {
    let channels = channels();
    let target = RequestTarget::parse(path).unwrap();
    match decide(caller, &channels.locate(&target), NOW) {
        Ok(permit) => format!("permit {}", permit.channel().name),
        Err(DenyReason::TokenMissing { masked }) => format!("missing{}", if masked { " masked" } else { "" }),
        Err(DenyReason::TokenUnknown) => "unknown".into(),
        Err(DenyReason::TokenExpired(..)) => "expired".into(),
        Err(DenyReason::TokenEnded(_, cause)) => cause.as_str().into(),
        Err(DenyReason::ScopeMissing(_)) => "scope".into(),
        Err(DenyReason::ChannelForbidden(..)) => "forbidden".into(),
        Err(DenyReason::NotFound) => "not found".into(),
    }
}

fn known(record: TokenRecord) -> Caller {
    Caller::Known(Arc::new(record.into()))
}

#[test]
fn decision_table() {
    let nobody = Caller::Anonymous { masked: false };
    let masked = Caller::Anonymous { masked: true };
    let acme = known(token("acme", "repos", None));
    let beta = known(token("beta", "conda:download", None));
    let narrow = known(token("acme", "repos", Some(&["acme"])));
    let pypi = known(token("acme", "pypi", None));
    let expired = known(TokenRecord { expires_at: Some(NOW), ..token("acme", "repos", None) });
    let file = "noarch/repodata.json";
    for (name, caller, channel, file, expected) in [
        ("public, nobody", &nobody, "open", file, "permit open"),
        ("public, masked", &masked, "open", file, "permit open"),
        ("public, other scope", &pypi, "open", file, "permit open"),
        ("public, other channels", &narrow, "open", file, "permit open"),
        ("public, unknown token", &Caller::Unknown, "open", file, "unknown"),
        ("public, expired token", &expired, "open", file, "expired"),
        ("private, nobody", &nobody, "ours", file, "missing"),
        ("private, masked", &masked, "ours", file, "missing masked"),
        ("private, unknown token", &Caller::Unknown, "ours", file, "unknown"),
        ("private, any organization", &beta, "ours", file, "permit ours"),
        ("private, listed organization", &acme, "acme", file, "permit acme"),
        ("private, other organization", &beta, "acme", file, "forbidden"),
        ("nested name, longest wins", &acme, "ours/nested", file, "forbidden"),
        ("nested name", &beta, "ours/nested", file, "permit ours/nested"),
        ("label", &acme, "acme", "label/dev/noarch/x.conda", "permit acme"),
        ("token for this channel", &narrow, "acme", file, "permit acme"),
        ("token for another channel", &narrow, "ours", file, "forbidden"),
        ("no conda scope", &pypi, "acme", file, "scope"),
        ("no such channel, nobody", &nobody, "none", file, "missing"),
        ("no such channel, token", &acme, "none", file, "forbidden"),
        ("no such channel, no scope", &pypi, "none", file, "scope"),
        ("no such channel, expired", &expired, "none", file, "expired"),
        ("notices, public", &nobody, "open", "notices.json", "permit open"),
        ("below a readable channel, hidden one", &acme, "ours/nested", "linux-64/x.conda", "forbidden"),
        ("below a readable channel, none", &acme, "ours/nastad", "linux-64/x.conda", "forbidden"),
        ("the same, label", &acme, "ours/nastad", "label/dev/noarch/x.conda", "forbidden"),
        ("file of a hidden channel", &acme, "ours/nested", "channeldata.json", "not found"),
        ("file of no channel", &acme, "ours/nastad", "channeldata.json", "not found"),
        ("swapped by conda", &acme, "ours", "repodata_shards.msgpack.zst/linux-64", "not found"),
        ("platform that the gate does not know", &acme, "ours", "linux-new64/repodata.json", "not found"),
        ("below a public channel, none, nobody", &nobody, "open/none", "noarch/x", "missing"),
        ("notices, private", &nobody, "ours", "notices.json", "not found"),
        ("notices, private, masked", &masked, "ours", "notices.json", "not found"),
        ("notices, no such channel", &nobody, "none", "notices.json", "not found"),
        ("notices, nested, no such", &nobody, "none/x", "notices.json", "not found"),
        ("notices, below a channel", &nobody, "ours", "deeper/notices.json", "not found"),
        ("notices, label", &nobody, "ours", "label/dev/notices.json", "not found"),
        ("notices, bad token", &Caller::Unknown, "open", "notices.json", "unknown"),
        ("notices, token", &acme, "ours", "notices.json", "permit ours"),
        ("notices, forbidden", &beta, "acme", "notices.json", "forbidden"),
        ("nothing there, public", &nobody, "open", "noarch/a/b", "not found"),
        ("nothing there, private, nobody", &nobody, "ours", "noarch/a/b", "missing"),
        ("nothing there, private, token", &acme, "ours", "noarch/a/b", "not found"),
    ] {
        assert_eq!(outcome(caller, &format!("/{channel}/{file}")), expected, "{name}");
    }
    for (cause, expected) in [
        (EndCause::Revoked, "revoked"),
        (EndCause::Replaced, "replaced"),
        (EndCause::SubscriptionEnded, "subscription_ended"),
        (EndCause::SeatRemoved, "seat_removed"),
    ] {
        assert_eq!(outcome(&known(ended(cause)), "/open/noarch/repodata.json"), expected);
    }
}

fn any_token() -> impl Strategy<Value = TokenRecord> {
    let scopes = prop::sample::subsequence(crate::token::Scope::EVERY.to_vec(), 1..=11);
    let allowed =
        prop::option::of(prop::sample::subsequence(vec!["open", "ours", "acme", "ours/nested"], 0..=4));
    let organization = prop::sample::select(vec!["acme", "beta"]);
    let expires_at = prop::option::of(999_990i64..1_000_010);
    (scopes, allowed, organization, expires_at).prop_map(|(scopes, allowed, organization, expires_at)| {
        let token = token(organization, "repos", allowed.as_deref());
        let token = TokenRecord { expires_at: expires_at.map(Timestamp::from_millis), ..token };
        token.with(|warrant| warrant.scopes = Scopes::of(&scopes))
    })
}

proptest! {
    /// Taking a scope or a channel away, or shortening the life, never turns a refusal into a permit.
    #[test]
    fn decide_is_monotone(
        full in any_token(), drop_scope in any::<prop::sample::Index>(), drop_channels in any::<bool>(), earlier in 0i64..20,
        path in prop::sample::select(vec!["/open/noarch/x", "/ours/noarch/x", "/acme/noarch/x", "/ours/nested/noarch/x", "/none/noarch/x"]),
    ) {
        let kept: Vec<_> = full.scopes.iter().collect();
        let dropped = drop_scope.index(kept.len());
        let less = TokenRecord {
            expires_at: full.expires_at.map(|at| Timestamp::from_millis(at.as_millis() - earlier)),
            ..full.clone()
        };
        let less = less.with(|warrant| {
            warrant.scopes = Scopes::of(&kept.iter().enumerate().filter(|(at, _)| *at != dropped).map(|(_, scope)| *scope).collect::<Vec<_>>());
            if drop_channels {
                warrant.channels = Some(Box::default());
            }
        });
        let permitted = |record: TokenRecord| outcome(&known(record), path).starts_with("permit");
        prop_assert!(permitted(full) || !permitted(less));
    }
}

/// Everything that the scopes and channels of a token open, as a set.
fn rights(token: &TokenRecord) -> std::collections::BTreeSet<String> {
    let mut rights = std::collections::BTreeSet::new();
    let caller = known(token.clone());
    for path in ["/ours/noarch/x", "/acme/noarch/x", "/ours/nested/noarch/x"] {
        if outcome(&caller, path).starts_with("permit") {
            rights.insert(path.to_owned());
        }
    }
    for deed in Deed::EVERY {
        if decide_api(&caller, deed, Some("acme"), NOW).is_ok() {
            rights.insert(format!("{deed:?}"));
        }
    }
    rights
}

fn any_minter() -> impl Strategy<Value = TokenRecord> {
    let holder = prop::sample::select(vec![
        (None, None),
        (Some("ann"), None),
        (Some("bob"), None),
        (None, Some("dev")),
    ]);
    (any_token(), holder).prop_map(|(token, (user, group))| {
        TokenRecord { expires_at: None, ..token }.with(|warrant| {
            warrant.organization = "acme".into();
            warrant.user = user.map(Box::from);
            warrant.group = group.map(Box::from);
        })
    })
}

fn as_wish(token: &TokenRecord) -> Mint<'_> {
    let holder = match (&token.user, &token.group) {
        (Some(user), _) => Holder::User(user),
        (None, Some(group)) => Holder::Group(group),
        (None, None) => Holder::Nobody,
    };
    Mint { scopes: token.scopes, channels: token.channels.as_deref(), holder }
}

proptest! {
    /// A made token opens nothing that its maker does not, and makes nothing that its maker could not have made.
    #[test]
    fn minting_gives_away_no_more_than_there_is(
        minter in any_minter(), made in any_minter(), grandchild in any_minter(),
    ) {
        if check_mint(&minter, &as_wish(&made)).is_ok() {
            prop_assert!(rights(&made).is_subset(&rights(&minter)));
            if check_mint(&made, &as_wish(&grandchild)).is_ok() {
                prop_assert_eq!(check_mint(&minter, &as_wish(&grandchild)), Ok(()));
            }
            let whose = (made.user.is_some() && made.user != minter.user) || (made.group.is_some() && made.group != minter.group);
            prop_assert!(!whose || rights(&minter).contains("ModifyGroups"));
        }
        // Whatever it is, it can make its like.
        prop_assert_eq!(check_mint(&minter, &as_wish(&minter)), Ok(()));
    }
}

#[test]
fn api_decision_table() {
    let plain = |scopes| known(token("acme", scopes, None));
    let operator = known(token("acme", "api", None).with(|warrant| warrant.operator = true));
    let expired = known(TokenRecord { expires_at: Some(NOW), ..token("acme", "api", None) });
    let nobody = Caller::Anonymous { masked: true };
    let (read, write, groups, operate) = (Deed::Read, Deed::Write, Deed::ModifyGroups, Deed::Operate);
    for (name, caller, deed, organization, expected) in [
        ("nobody", &nobody, read, Some("acme"), "missing"),
        ("unknown", &Caller::Unknown, read, None, "unknown"),
        ("expired", &expired, read, Some("acme"), "expired"),
        ("reads its own", &plain("api:read"), read, Some("acme"), "permit"),
        ("reads what is nobody's", &plain("api:read"), read, None, "permit"),
        ("reads another's", &plain("api:read"), read, Some("zoo"), "other"),
        ("cannot read another's", &plain("repos"), read, Some("zoo"), "scope"),
        ("writing is not reading", &plain("api:write"), read, Some("acme"), "scope"),
        ("writing is not grouping", &plain("api:write"), groups, Some("acme"), "scope"),
        ("grouping is not writing", &plain("api:modify-group"), write, Some("acme"), "scope"),
        ("no operator", &plain("all"), operate, None, "operator"),
        ("no operator, its own", &plain("all"), operate, Some("acme"), "operator"),
        ("no operator, another's", &plain("all"), operate, Some("zoo"), "other"),
        ("operator", &operator, operate, None, "permit"),
        ("operator, another's", &operator, groups, Some("zoo"), "permit"),
    ] {
        let found = match decide_api(caller, deed, organization, NOW) {
            Ok(permit) => {
                let everywhere = permit.organization().is_none();
                assert_eq!(everywhere, permit.standing().token.operator, "{name}");
                "permit"
            }
            Err(ApiDenial::Token(DenyReason::TokenMissing { masked: true })) => "missing",
            Err(ApiDenial::Token(DenyReason::TokenUnknown)) => "unknown",
            Err(ApiDenial::Token(DenyReason::TokenExpired(..))) => "expired",
            Err(ApiDenial::Token(reason)) => panic!("{name}: {reason:?}"),
            Err(ApiDenial::ScopeMissing(..)) => "scope",
            Err(ApiDenial::OtherOrganization) => "other",
            Err(ApiDenial::OperatorsOnly(_)) => "operator",
        };
        assert_eq!(found, expected, "{name}");
    }
}
