//! The whole life of organizations, seats, groups, tokens, users and their keys, as a small model in memory, beside the real store: whatever people do in
//! whatever order, both say the same of every token at every moment. A divergence shrinks to the shortest sequence that shows it.
//!
//! The model knows rules and nothing of how the store keeps them: lists that are searched from end to end. Times are steps of an hour, so
//! that graces, expiries and subscriptions end in the middle of sequences.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use channelgate::account::{Grant, NewUser, PasswordHash, Permission, Role, Subscription};
use channelgate::clock::Timestamp;
use channelgate::policy::{Right, Rights, Standing};
use channelgate::store::{
    Actor, ActsAs, AuditVerdict, Changes, ErrorKind, FeedPosition, NewToken, Purpose, SignIn, Store,
    StoreError, Subject, Which,
};
use channelgate::token::{End, EndCause, TokenDigest, TokenId, TokenState};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::store::contract::NOW;
use crate::store::embedded::Temporary;

const HOUR: u64 = 3_600;
/// How long tokens outlive the subscription, in hours.
const AFTERLIFE: u64 = 30 * 24;
const ORGANIZATIONS: [&str; 2] = ["acme", "zoo"];
const USERS: [&str; 2] = ["ann", "bob"];
const GROUPS: [&str; 2] = ["dev", "ops"];
const CHANNELS: [&str; 2] = ["x", "y"];
const NAMES: [&str; 2] = ["ci", "cd"];
const SOME_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const PACKAGES: [&str; 2] = ["numpy", "scipy"];
/// The last is one that no grant names.
const LABELS: [&str; 3] = ["main", "dev", "rc"];

/// Something that somebody does. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Wait { hours: u64 },
    Renew { org: usize, hours: u64 },
    Cancel { org: usize },
    Seat { org: usize, user: usize },
    Unseat { org: usize, user: usize },
    Issue { org: usize, user: Option<usize>, grace: u64 },
    Create { org: usize, name: usize, acts_as: Acts, hours: Option<u64>, replaces: bool },
    Key { org: usize, user: usize, hours: u64 },
    Enroll { user: usize },
    SetPassword { user: usize },
    SignIn { user: usize },
    Disable { user: usize },
    Enable { user: usize },
    Revoke { token: usize },
    Sync { org: usize, which: Whose },
    Group { org: usize, group: usize },
    Join { org: usize, group: usize, user: usize },
    Leave { org: usize, group: usize, user: usize },
    Grant { org: usize, group: usize, channel: usize, terms: Terms },
    Ungrant { org: usize, group: usize, channel: usize },
    Unrestrict { org: usize, channel: usize },
}

/// A permission, and which of [`PACKAGES`] and [`LABELS`] it is for: bits, none for all.
type Terms = (Permission, u8, u8);

#[derive(Clone, Copy, Debug)]
enum Acts {
    Nobody,
    User(usize),
    Group(usize),
}

#[derive(Clone, Copy, Debug)]
enum Whose {
    Site,
    User(usize),
    All,
}

fn step() -> impl Strategy<Value = Step> {
    let (org, user, group, channel) = (0..2_usize, 0..2_usize, 0..2_usize, 0..2_usize);
    let acts_as = prop_oneof![
        2 => Just(Acts::Nobody),
        2 => user.clone().prop_map(Acts::User),
        1 => group.clone().prop_map(Acts::Group),
    ];
    let whose = prop_oneof![Just(Whose::Site), user.clone().prop_map(Whose::User), Just(Whose::All)];
    let permission = prop_oneof![Just(Permission::Read), Just(Permission::Write), Just(Permission::Admin)];
    let terms = (permission, 0..4_u8, 0..4_u8);
    prop_oneof![
        4 => prop_oneof![1..4_u64, 20..30_u64, 300..800_u64].prop_map(|hours| Step::Wait { hours }),
        2 => (org.clone(), prop_oneof![1..30_u64, 700..2_000_u64]).prop_map(|(org, hours)| Step::Renew { org, hours }),
        1 => org.clone().prop_map(|org| Step::Cancel { org }),
        5 => (org.clone(), user.clone()).prop_map(|(org, user)| Step::Seat { org, user }),
        2 => (org.clone(), user.clone()).prop_map(|(org, user)| Step::Unseat { org, user }),
        8 => (org.clone(), proptest::option::weighted(0.7, user.clone()), prop_oneof![Just(0), 1..30_u64])
            .prop_map(|(org, user, grace)| Step::Issue { org, user, grace }),
        5 => (org.clone(), 0..2_usize, acts_as, proptest::option::of(1..50_u64), any::<bool>())
            .prop_map(|(org, name, acts_as, hours, replaces)| Step::Create { org, name, acts_as, hours, replaces }),
        4 => (org.clone(), user.clone(), 1..50_u64).prop_map(|(org, user, hours)| Step::Key { org, user, hours }),
        3 => user.clone().prop_map(|user| Step::Enroll { user }),
        1 => user.clone().prop_map(|user| Step::SetPassword { user }),
        3 => user.clone().prop_map(|user| Step::SignIn { user }),
        2 => user.clone().prop_map(|user| Step::Disable { user }),
        2 => user.clone().prop_map(|user| Step::Enable { user }),
        2 => (0..100_usize).prop_map(|token| Step::Revoke { token }),
        3 => (org.clone(), whose).prop_map(|(org, which)| Step::Sync { org, which }),
        3 => (org.clone(), group.clone()).prop_map(|(org, group)| Step::Group { org, group }),
        4 => (org.clone(), group.clone(), user.clone()).prop_map(|(org, group, user)| Step::Join { org, group, user }),
        2 => (org.clone(), group.clone(), user).prop_map(|(org, group, user)| Step::Leave { org, group, user }),
        4 => (org.clone(), group.clone(), channel.clone(), terms)
            .prop_map(|(org, group, channel, terms)| Step::Grant { org, group, channel, terms }),
        2 => (org.clone(), group, channel.clone()).prop_map(|(org, group, channel)| Step::Ungrant { org, group, channel }),
        1 => (org, channel).prop_map(|(org, channel)| Step::Unrestrict { org, channel }),
    ]
}

/// What the model says of everything; times are hours since the beginning.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    organizations: [Organization; 2],
    tokens: Vec<Token>,
    /// Whether each user is disabled, of those that are known.
    users: BTreeMap<usize, bool>,
    /// Whose each browser is, and whether it is signed in.
    sessions: Vec<(usize, bool)>,
}

#[derive(Debug, Default)]
struct Organization {
    ends: Option<u64>,
    cancelled: bool,
    seats: BTreeSet<usize>,
    /// Members of each group that there is.
    groups: BTreeMap<usize, BTreeSet<usize>>,
    /// Of each restricted channel: what each granted group is granted.
    restricted: BTreeMap<usize, BTreeMap<usize, Terms>>,
}

#[derive(Debug)]
struct Token {
    org: usize,
    kind: Kind,
    expires: Option<u64>,
    end: Option<(u64, EndCause)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Site,
    Individual(usize),
    Scoped { name: usize, user: Option<usize>, group: Option<usize> },
    Key(usize),
}

impl Token {
    fn state(&self, now: u64) -> &'static str {
        let expired = self.expires.filter(|at| *at <= now);
        match self.end.filter(|(at, _)| *at <= now) {
            Some((at, cause)) if expired.is_none_or(|expiry| expiry >= at) => cause.as_str(),
            _ if expired.is_some() => "expired",
            _ => "live",
        }
    }

    fn user(&self) -> Option<usize> {
        match self.kind {
            Kind::Site => None,
            Kind::Individual(user) | Kind::Key(user) => Some(user),
            Kind::Scoped { user, .. } => user,
        }
    }
}

impl Organization {
    /// The expiry of a token issued now; `Err` where there can be none.
    fn expiry(&self, now: u64) -> Result<Option<u64>, ErrorKind> {
        match self.ends.map(|ends| ends + AFTERLIFE) {
            _ if self.cancelled => Err(ErrorKind::Conflict),
            Some(expiry) if expiry <= now => Err(ErrorKind::Conflict),
            expiry => Ok(expiry),
        }
    }

    fn needs_seat(&self, user: Option<usize>) -> Result<(), ErrorKind> {
        if user.is_none_or(|user| self.seats.contains(&user)) { Ok(()) } else { Err(ErrorKind::NotFound) }
    }
}

impl Model {
    fn needs_enabled(&self, user: Option<usize>) -> Result<(), ErrorKind> {
        match user.and_then(|user| self.users.get(&user)) {
            Some(true) => Err(ErrorKind::Conflict),
            _ => Ok(()),
        }
    }

    fn sign_out(&mut self, user: usize) {
        self.sessions.iter_mut().filter(|(whose, _)| *whose == user).for_each(|(_, is_in)| *is_in = false);
    }

    /// What becomes of a step: a refusal changes nothing.
    fn take(&mut self, step: &Step) -> Result<(), ErrorKind> {
        let now = self.now;
        let end_all = |tokens: &mut Vec<Token>, cause, concerns: &dyn Fn(&Token) -> bool| {
            for token in tokens.iter_mut().filter(|token| token.state(now) == "live" && concerns(token)) {
                token.end = Some((now, cause));
            }
        };
        match *step {
            Step::Wait { hours } => self.now += hours,
            Step::Renew { org, hours } => {
                self.organizations[org].ends = Some(now + hours);
                self.organizations[org].cancelled = false;
            }
            Step::Cancel { org } => {
                self.organizations[org].cancelled = true;
                end_all(&mut self.tokens, EndCause::SubscriptionEnded, &|token| token.org == org);
            }
            Step::Seat { org, user } => drop(self.organizations[org].seats.insert(user)),
            Step::Unseat { org, user } => {
                if !self.organizations[org].seats.remove(&user) {
                    return Err(ErrorKind::NotFound);
                }
                for members in self.organizations[org].groups.values_mut() {
                    members.remove(&user);
                }
                end_all(&mut self.tokens, EndCause::SeatRemoved, &|token| {
                    token.org == org && token.user() == Some(user)
                });
            }
            Step::Issue { org, user, grace } => {
                let organization = &self.organizations[org];
                organization.needs_seat(user)?;
                self.needs_enabled(user)?;
                let expires = organization.expiry(now)?;
                let kind = user.map_or(Kind::Site, Kind::Individual);
                for token in self
                    .tokens
                    .iter_mut()
                    .filter(|token| token.org == org && token.kind == kind && token.end.is_none())
                {
                    token.end = Some((now + grace, EndCause::Replaced));
                }
                self.tokens.push(Token { org, kind, expires, end: None });
            }
            Step::Create { org, name, acts_as, hours, replaces } => {
                let organization = &self.organizations[org];
                let (user, group) = match acts_as {
                    Acts::Nobody => (None, None),
                    Acts::User(user) => (Some(user), None),
                    Acts::Group(group) => (None, Some(group)),
                };
                organization.needs_seat(user)?;
                self.needs_enabled(user)?;
                organization.expiry(now)?;
                let is_namesake =
                    |token: &Token| matches!(token.kind, Kind::Scoped { name: other, .. } if other == name);
                let is_living =
                    |token: &Token| token.org == org && is_namesake(token) && token.state(now) == "live";
                if let Some(living) = self.tokens.iter_mut().find(|token| is_living(token)) {
                    if !replaces || user.is_none() || living.user() != user {
                        return Err(ErrorKind::Conflict);
                    }
                    living.end = Some((now, EndCause::Replaced));
                }
                if group.is_some_and(|group| !organization.groups.contains_key(&group)) {
                    return Err(ErrorKind::NotFound);
                }
                let expires = hours.map(|hours| now + hours);
                self.tokens.push(Token { org, kind: Kind::Scoped { name, user, group }, expires, end: None });
            }
            Step::Key { org, user, hours } => {
                let organization = &self.organizations[org];
                organization.needs_seat(Some(user))?;
                self.needs_enabled(Some(user))?;
                organization.expiry(now)?;
                self.tokens.push(Token { org, kind: Kind::Key(user), expires: Some(now + hours), end: None });
            }
            Step::Enroll { user } => {
                if self.users.contains_key(&user) {
                    return Err(ErrorKind::Conflict);
                }
                self.users.insert(user, false);
            }
            Step::SetPassword { user } => {
                self.users.get(&user).ok_or(ErrorKind::NotFound)?;
                self.sign_out(user);
            }
            Step::SignIn { user } => {
                self.users.get(&user).ok_or(ErrorKind::NotFound)?;
                self.needs_enabled(Some(user))?;
                self.sessions.push((user, true));
            }
            Step::Disable { user } => {
                *self.users.get_mut(&user).ok_or(ErrorKind::NotFound)? = true;
                self.sign_out(user);
                end_all(&mut self.tokens, EndCause::UserDisabled, &|token| token.kind == Kind::Key(user));
            }
            Step::Enable { user } => *self.users.get_mut(&user).ok_or(ErrorKind::NotFound)? = false,
            Step::Revoke { token } => {
                let index = token.checked_rem(self.tokens.len()).ok_or(ErrorKind::NotFound)?;
                let token = &mut self.tokens[index];
                if token.state(now) == "live" {
                    token.end = Some((now, EndCause::Revoked));
                }
            }
            Step::Sync { org, which } => {
                let expires = self.organizations[org].expiry(now)?;
                let is_meant = |kind| match which {
                    Whose::Site => kind == Kind::Site,
                    Whose::User(user) => kind == Kind::Individual(user),
                    Whose::All => matches!(kind, Kind::Site | Kind::Individual(_)),
                };
                for token in self.tokens.iter_mut().filter(|token| token.org == org && is_meant(token.kind)) {
                    if token.state(now) == "live" && token.end.is_none() {
                        token.expires = expires;
                    }
                }
            }
            Step::Group { org, group } => {
                if self.organizations[org].groups.contains_key(&group) {
                    return Err(ErrorKind::Conflict);
                }
                self.organizations[org].groups.insert(group, BTreeSet::new());
            }
            Step::Join { org, group, user } => {
                let organization = &mut self.organizations[org];
                organization.needs_seat(Some(user))?;
                organization.groups.get_mut(&group).ok_or(ErrorKind::NotFound)?.insert(user);
            }
            Step::Leave { org, group, user } => {
                let members = self.organizations[org].groups.get_mut(&group).ok_or(ErrorKind::NotFound)?;
                members.remove(&user).then_some(()).ok_or(ErrorKind::NotFound)?;
            }
            Step::Grant { org, group, channel, terms } => {
                let organization = &mut self.organizations[org];
                organization.groups.get(&group).ok_or(ErrorKind::NotFound)?;
                organization.restricted.entry(channel).or_default().insert(group, terms);
            }
            Step::Ungrant { org, group, channel } => {
                let grants =
                    self.organizations[org].restricted.get_mut(&channel).ok_or(ErrorKind::NotFound)?;
                grants.remove(&group).ok_or(ErrorKind::NotFound)?;
            }
            Step::Unrestrict { org, channel } => {
                self.organizations[org].restricted.remove(&channel).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(())
    }

    /// What a token may do in a channel, in words.
    fn right(&self, token: &Token, channel: usize) -> String {
        let organization = &self.organizations[token.org];
        let Some(granted) = organization.restricted.get(&channel) else { return "unrestricted".into() };
        let is_of = |group: &usize| match token.kind {
            Kind::Scoped { group: Some(own), .. } => own == *group,
            _ => token.user().is_some_and(|user| organization.groups[group].contains(&user)),
        };
        let own: Vec<&Terms> =
            granted.iter().filter(|(group, _)| is_of(group)).map(|(_, terms)| terms).collect();
        let Some((strongest, ..)) = own.iter().max() else { return "withheld".into() };
        let is_among = |bits: u8, index: usize| bits == 0 || bits & (1 << index) != 0;
        let mut words = format!("granted {}", strongest.as_str());
        for (label, name) in LABELS.iter().enumerate() {
            let of_label: Vec<_> = own.iter().filter(|(_, _, labels)| is_among(*labels, label)).collect();
            let is_granted =
                |package: usize| of_label.iter().any(|(_, packages, _)| is_among(*packages, package));
            let packages =
                (0..PACKAGES.len()).filter(|&package| is_granted(package)).map(|package| PACKAGES[package]);
            let packages = packages.collect::<Vec<_>>().join(" ");
            words += &if of_label.is_empty() {
                format!(", {name} withheld")
            } else {
                format!(", {name}: {packages}")
            };
        }
        words
    }
}

fn right(rights: &Rights, channel: &str) -> String {
    match rights.of(channel) {
        Right::Unrestricted => "unrestricted".into(),
        Right::Withheld => "withheld".into(),
        Right::Granted(grants) => {
            let mut words = format!("granted {}", grants.strongest().unwrap().permission.as_str());
            for label in LABELS {
                // What is asked for without a label is under `main`.
                let packages = grants.packages((label != "main").then_some(label));
                assert_eq!(grants.strongest_at(Some(label)).is_some(), packages.is_some());
                words += &match packages {
                    None => format!(", {label} withheld"),
                    Some(packages) => {
                        let included: Vec<_> =
                            PACKAGES.into_iter().filter(|name| packages.include(name)).collect();
                        format!(", {label}: {}", included.join(" "))
                    }
                };
            }
            words
        }
    }
}

/// The real thing, told the same steps.
struct Real {
    store: Store,
    ids: Vec<TokenId>,
    /// Organizations and users of this sequence: one database serves all sequences, each with some of its own.
    organizations: [String; 2],
    users: [String; 2],
    /// How many browsers have signed in.
    sessions: usize,
    password: PasswordHash,
    sequence: usize,
}

fn at(hour: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(hour * HOUR))
}

impl Real {
    fn digest(&self, token: usize) -> TokenDigest {
        TokenDigest::of(format!("{} {token}", self.sequence).as_bytes())
    }

    fn session_digest(&self, session: usize) -> TokenDigest {
        TokenDigest::of(format!("session {} {session}", self.sequence).as_bytes())
    }

    async fn take(&mut self, step: &Step, hour: u64) -> Result<(), StoreError> {
        let (store, by, now) = (self.store.clone(), &Actor::local("model"), at(hour));
        let names = self.organizations.clone();
        let name = |org: usize| names[org].as_str();
        let users = self.users.clone();
        match *step {
            Step::Wait { .. } => {}
            Step::Renew { org, hours } => {
                drop(store.renew_organization(name(org), at(hour + hours), by, now).await?)
            }
            Step::Cancel { org } => drop(store.cancel_organization(name(org), by, now).await?),
            Step::Seat { org, user } => {
                drop(store.assign_seat(name(org), &users[user], Role::Member, by, now).await?)
            }
            Step::Unseat { org, user } => drop(store.remove_seat(name(org), &users[user], by, now).await?),
            Step::Issue { org, user, grace } => {
                let token = match user {
                    None => NewToken::site(name(org)),
                    Some(user) => NewToken::individual(name(org), &*users[user]),
                };
                let grace = Duration::from_secs(grace * HOUR);
                let issued = store.insert_token(&token, &self.digest(self.ids.len()), by, now, grace).await?;
                self.ids.push(issued.record.id);
            }
            Step::Create { org, name: token_name, acts_as, hours, replaces } => {
                let acts_as = match acts_as {
                    Acts::Nobody => None,
                    Acts::User(user) => Some(ActsAs::User(users[user].clone())),
                    Acts::Group(group) => Some(ActsAs::Group(GROUPS[group].into())),
                };
                let purpose = Purpose::Scoped { name: NAMES[token_name].into(), acts_as };
                let expires_at = hours.map(|hours| at(hour + hours));
                let token = NewToken {
                    purpose,
                    expires_at,
                    replaces_namesake: replaces,
                    ..NewToken::site(name(org))
                };
                let digest = self.digest(self.ids.len());
                let issued = store.insert_token(&token, &digest, by, now, Duration::ZERO).await?;
                self.ids.push(issued.record.id);
            }
            Step::Key { org, user, hours } => {
                let id = TokenId(uuid::Uuid::new_v4());
                let token_name = format!("api-key {}", id.0);
                let acts_as = Some(ActsAs::User(users[user].clone()));
                let token = NewToken {
                    purpose: Purpose::Scoped { name: token_name, acts_as },
                    expires_at: Some(at(hour + hours)),
                    api_key: Some(id),
                    ..NewToken::site(name(org))
                };
                let digest = self.digest(self.ids.len());
                store.insert_token(&token, &digest, by, now, Duration::ZERO).await?;
                self.ids.push(id);
            }
            Step::Enroll { user } => {
                let new = NewUser { name: users[user].clone(), email: None, password_hash: None };
                store.create_user(&new, by, now).await?;
            }
            Step::SetPassword { user } => {
                drop(store.set_password(&users[user], &self.password, by, now).await?)
            }
            Step::SignIn { user } => {
                let (digest, address) = (self.session_digest(self.sessions), Ipv4Addr::LOCALHOST.into());
                let until = at(hour + 1_000_000);
                store.begin_session(&digest, &users[user], SignIn::Password, address, until, by, now).await?;
                self.sessions += 1;
            }
            Step::Disable { user } => drop(store.disable_user(&users[user], by, now).await?),
            Step::Enable { user } => drop(store.enable_user(&users[user], by, now).await?),
            Step::Revoke { token } => {
                let id = token
                    .checked_rem(self.ids.len())
                    .map_or(TokenId(uuid::Uuid::nil()), |index| self.ids[index]);
                let end = End { cause: EndCause::Revoked, at: now, reason: None };
                store.end_token(id, &end, by, now).await?;
            }
            Step::Sync { org, which } => {
                let which = match which {
                    Whose::Site => Which::Site,
                    Whose::User(user) => Which::User(users[user].clone()),
                    Whose::All => Which::All,
                };
                store.sync_tokens(name(org), &which, by, now).await?;
            }
            Step::Group { org, group } => drop(store.create_group(name(org), GROUPS[group], by, now).await?),
            Step::Join { org, group, user } => {
                store.add_member(name(org), GROUPS[group], &users[user], by, now).await?;
            }
            Step::Leave { org, group, user } => {
                store.remove_member(name(org), GROUPS[group], &users[user], by, now).await?;
            }
            Step::Grant { org, group, channel, terms: (permission, packages, labels) } => {
                let named = |names: &[&str], bits: u8| {
                    let chosen = names.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
                    chosen.map(|(_, &name)| name.to_owned()).collect()
                };
                let grant = Grant {
                    channel: CHANNELS[channel].into(),
                    permission,
                    packages: named(&PACKAGES, packages),
                    labels: named(&LABELS, labels),
                };
                store.grant(name(org), GROUPS[group], &grant, by, now).await?;
            }
            Step::Ungrant { org, group, channel } => {
                store.ungrant(name(org), GROUPS[group], CHANNELS[channel], by, now).await?;
            }
            Step::Unrestrict { org, channel } => {
                drop(store.unrestrict(name(org), CHANNELS[channel], by, now).await?)
            }
        }
        Ok(())
    }

    async fn standing(&self, token: usize) -> Standing {
        self.store.token_by_digest(&self.digest(token)).await.unwrap().standing.unwrap()
    }
}

/// Does `steps` with both, and compares after each: what was refused, every token, every right; and that the feed tells of every token
/// whose standing is not what it was, or a verifier would go on with the old one.
async fn run(store: &Store, sequence: usize, steps: &[Step]) -> Result<(), TestCaseError> {
    let organizations = ORGANIZATIONS.map(|name| format!("{name}-{sequence}"));
    let mut ids = Vec::new();
    for name in &organizations {
        let made =
            store.create_organization(name, name, Subscription::default(), &Actor::local("model"), NOW).await;
        ids.push(made.unwrap().id);
    }
    let mut real = Real {
        store: store.clone(),
        ids: Vec::new(),
        organizations,
        users: USERS.map(|name| format!("{name}-{sequence}")),
        sessions: 0,
        password: PasswordHash::parse(SOME_HASH).unwrap(),
        sequence,
    };
    let mut model = Model::default();
    let mut remembered: Vec<Standing> = Vec::new();
    let mut position = store.position().await.unwrap();
    for (number, step) in steps.iter().enumerate() {
        let before: Vec<_> = model.tokens.iter().map(|token| token.state(model.now)).collect();
        let expected = model.take(step);
        let head = store.audit_head().await.unwrap();
        let outcome = real.take(step, model.now).await;
        prop_assert_eq!(outcome.map_err(|error| error.kind()), expected, "step {}: {:?}", number, step);
        let written = store.audit_head().await.unwrap().seq - head.seq;
        prop_assert!(written <= i64::from(expected.is_ok()), "step {}: {} records", number, written);

        for (session, (user, is_in)) in model.sessions.iter().enumerate() {
            let found = store.session(&real.session_digest(session), at(model.now)).await.unwrap();
            let expected = is_in.then_some(&real.users[*user]);
            let name = found.map(|found| found.user.name);
            prop_assert_eq!(name.as_ref(), expected, "step {}: browser {}", number, session);
        }
        let told = told(store, &mut position).await;
        for (index, token) in model.tokens.iter().enumerate() {
            let standing = real.standing(index).await;
            let state = match standing.token.state(at(model.now)) {
                TokenState::Live => "live",
                TokenState::Expired(_) => "expired",
                TokenState::Ended(end) => end.cause.as_str(),
            };
            prop_assert_eq!(
                state,
                token.state(model.now),
                "step {}: token {} after {:?}",
                number,
                index,
                step
            );
            prop_assert_eq!(
                standing.token.expires_at,
                token.expires.map(at),
                "step {}: token {}",
                number,
                index
            );
            prop_assert!(
                state != "live" || before.get(index).is_none_or(|state| *state == "live"),
                "token {} came back",
                index
            );
            for (channel, name) in CHANNELS.iter().enumerate() {
                let expected = model.right(token, channel);
                prop_assert_eq!(
                    right(&standing.rights, name),
                    expected,
                    "step {}: token {} in {}",
                    number,
                    index,
                    name
                );
            }
            let was = remembered.get(index);
            if was.is_some_and(|was| *was != standing) && state == "live"
                || was.is_some_and(|was| was.token != standing.token)
            {
                let subjects = [Subject::Token(real.digest(index)), Subject::Organization(ids[token.org])];
                prop_assert!(
                    subjects.iter().any(|subject| told.contains(subject)),
                    "step {}: {:?} changed token {} and the feed is silent",
                    number,
                    step,
                    index
                );
            }
            if was.is_some() {
                remembered[index] = standing;
            } else {
                remembered.push(standing);
            }
        }
    }
    Ok(())
}

/// What the feed told since `position`.
async fn told(store: &Store, position: &mut FeedPosition) -> Vec<Subject> {
    match store.changes_since(*position, 1_000).await.unwrap() {
        Changes::Read { changes, position: end, .. } => {
            *position = end;
            changes.iter().map(|change| change.subject).collect()
        }
        lost @ Changes::Lost { .. } => panic!("{lost:?}"),
    }
}

#[test]
fn store_and_model_agree_whatever_happens() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let place = runtime.block_on(Temporary::new());
    let store = runtime.block_on(place.open());
    let (began, steps_done, sequences) = (Instant::now(), Cell::new(0), Cell::new(0));
    let config =
        Config { cases: 150, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(step(), 1..60), |steps| {
        sequences.set(sequences.get() + 1);
        steps_done.set(steps_done.get() + steps.len());
        runtime.block_on(run(&store, sequences.get(), &steps))
    });
    println!("{} steps in {} sequences took {:?}", steps_done.get(), sequences.get(), began.elapsed());
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // And whatever happened, the audit holds together.
    let verdict = runtime.block_on(store.verify_audit(None)).unwrap();
    assert!(matches!(verdict, AuditVerdict::Intact { head } if head.seq > 1_000), "{verdict:?}");
}
