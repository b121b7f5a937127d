//! Who is a person, and what they may make.

use super::*;
use crate::account::User;

fn person(record: TokenRecord, user: Option<&User>) -> String {
    match decide_person(&known(record), user, NOW) {
        Ok(person) => format!("{} of {}", person.user(), person.organization()),
        Err(PersonDenial::Token(DenyReason::TokenExpired(..))) => "expired".into(),
        Err(PersonDenial::Token(DenyReason::TokenEnded(_, cause))) => cause.as_str().into(),
        Err(PersonDenial::Token(reason)) => panic!("{reason:?}"),
        Err(PersonDenial::ScopeMissing(_)) => "scope".into(),
        Err(PersonDenial::Nobodys(_)) => "nobody's".into(),
        Err(PersonDenial::UserDisabled(name)) => format!("{name} is disabled"),
    }
}

fn of_ann(scopes: &str) -> TokenRecord {
    token("acme", scopes, None).with(|warrant| warrant.user = Some("ann".into()))
}

fn user(name: &str, disabled: bool) -> User {
    User {
        name: name.into(),
        email: None,
        has_password: false,
        created_at: NOW,
        disabled_at: disabled.then_some(NOW),
    }
}

#[test]
fn person_decision_table() {
    let api_key = of_ann("conda:download").with(|warrant| warrant.api_key = true);
    let individual =
        TokenRecord { name: None, ..of_ann("repos") }.with(|warrant| warrant.kind = TokenKind::Individual);
    let (ann, disabled, other) = (user("ann", false), user("ann", true), user("bob", true));
    let confined = |channels: &[&str]| {
        let channels = channels.iter().map(|&name| name.to_owned()).collect();
        of_ann("repos").with(|warrant| warrant.channels = Some(channels))
    };
    for (name, record, user, expected) in [
        ("API key", api_key.clone(), Some(&ann), "ann of acme"),
        ("API key of one with a seat only", api_key.clone(), None, "ann of acme"),
        ("API key of one who is disabled", api_key.clone(), Some(&disabled), "ann is disabled"),
        ("somebody else is disabled", api_key.clone(), Some(&other), "ann of acme"),
        ("individual token", individual.clone(), None, "ann of acme"),
        ("individual token of one who is disabled", individual, Some(&disabled), "ann is disabled"),
        ("token of all repositories", of_ann("repos"), None, "ann of acme"),
        ("token of everything", of_ann("all"), None, "ann of acme"),
        ("narrower token", of_ann("conda"), None, "scope"),
        ("token for the admin API only", of_ann("api"), None, "scope"),
        ("confined token", confined(&["acme"]), None, "scope"),
        ("token confined to nothing", confined(&[]), None, "scope"),
        (
            "site token",
            TokenRecord { name: None, ..token("acme", "repos", None) }
                .with(|warrant| warrant.kind = TokenKind::Site),
            None,
            "nobody's",
        ),
        ("machine's token", token("acme", "all", None), None, "nobody's"),
        (
            "group's token",
            token("acme", "repos", None).with(|warrant| warrant.group = Some("dev".into())),
            None,
            "nobody's",
        ),
        (
            "operator's token",
            token("acme", "all", None).with(|warrant| warrant.operator = true),
            None,
            "nobody's",
        ),
        ("expired API key", TokenRecord { expires_at: Some(NOW), ..api_key.clone() }, Some(&ann), "expired"),
        (
            "ended",
            ended(EndCause::UserDisabled).with(|warrant| warrant.user = Some("ann".into())),
            Some(&disabled),
            "user_disabled",
        ),
    ] {
        assert_eq!(person(record, user), expected, "{name}");
    }
    for (caller, expected) in [
        (Caller::Unknown, DenyReason::TokenUnknown),
        (Caller::Anonymous { masked: true }, DenyReason::TokenMissing { masked: true }),
    ] {
        let denied = decide_person(&caller, None, NOW).unwrap_err();
        assert!(caller.user().is_none());
        assert_eq!(format!("{denied:?}"), format!("{:?}", PersonDenial::Token(expected)));
    }
    assert_eq!(known(api_key).user(), Some("ann"));
}

#[test]
fn person_mints_what_they_are_and_no_more() {
    let api_key = of_ann("conda:download").with(|warrant| warrant.api_key = true);
    let person = decide_person(&known(api_key), None, NOW).unwrap();
    let mint = |scopes: &str, holder| Mint { scopes: scopes.parse().unwrap(), channels: None, holder };
    assert_eq!(person.own_scopes(), "repos".parse().unwrap());
    for minter in [person.minter(), person.minter_elsewhere()] {
        assert_eq!(check_mint(minter, &Mint::individual("ann")), Ok(()));
        assert_eq!(check_mint(minter, &mint("conda:download", Holder::Nobody)), Ok(()));
        for scopes in ["all", "api", "api:read", "repos api:write"] {
            assert!(matches!(
                check_mint(minter, &mint(scopes, Holder::User("ann"))),
                Err(Overreach::Scopes(_))
            ));
        }
        for holder in [Holder::User("bob"), Holder::Group("dev")] {
            assert!(matches!(check_mint(minter, &mint("repos", holder)), Err(Overreach::Groups(_))));
        }
    }
    // A token that can do more gives away what it can, in its own organization.
    let person = decide_person(&known(of_ann("all")), None, NOW).unwrap();
    assert_eq!(check_mint(person.minter(), &mint("api:read", Holder::User("ann"))), Ok(()));
    assert!(check_mint(person.minter_elsewhere(), &mint("api:read", Holder::User("ann"))).is_err());
    assert_eq!(person.own_scopes(), "repos".parse().unwrap(), "not what nobody asked for");
}

proptest! {
    /// Whatever a person makes reads nothing that their own individual token would not, unless the token that they showed does.
    #[test]
    fn persons_gain_nothing_by_minting(shown in any_minter(), made in any_minter(), is_key in any::<bool>()) {
        let shown = shown.with(|warrant| warrant.api_key = is_key && warrant.user.is_some());
        if let Ok(person) = decide_person(&known(shown.clone()), None, NOW)
            && check_mint(person.minter(), &as_wish(&made)).is_ok()
        {
            let own = shown.clone().with(|warrant| {
                warrant.scopes = "repos".parse().unwrap();
                warrant.channels = None;
            });
            let mut within = rights(&own);
            if !shown.api_key {
                within.extend(rights(&shown));
            }
            prop_assert!(rights(&made).is_subset(&within));
        }
    }
}
