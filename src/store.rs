//! The token store: what survives the process.
//!
//! [`Store`] is the port; [`Embedded`] keeps it in one SQLite file on a local disk, for one machine. A second backend is a variant here,
//! a file beside `embedded.rs`, and one line in the contract suite (`tests/it/store.rs`), which says what every backend must do.
//!
//! What holds for all of them:
//!
//! - Only digests of tokens are kept, never values. Tokens are never deleted: a dead one is refused by name, not as unknown.
//! - A change is one transaction; when the call returns `Ok`, it survives a power failure. When it returns
//!   [`ErrorKind::Unavailable`], it may or may not have been made: ending a token again is harmless, inserting one again is a conflict.
//! - Whatever can alter a verdict appends to the **change feed** in the same transaction, in the order of commits. A reader that
//!   remembers verdicts follows the feed by a [`Watch`] and forgets what changed. The feed keeps a bounded number of changes; a reader
//!   that fell behind them is told so ([`Changes::Lost`]).
//! - Every change also appends one record to the **audit** ([`AuditRecord`]), in the same transaction: who, what, before, after. A call that
//!   changes nothing leaves none.
//! - A token never comes back to life: no call moves an end, and none moves the expiry of a token that is dead.
//! - What is not a change, because no verdict on a token depends on it, is neither in the feed nor in the audit: the last use of tokens, and
//!   when artifacts were first seen.
//! - Every call has a timeout ([`Config::query_timeout`]). `now` is an argument: a store reads no clock.
//!
//! This module never caches, decides or logs. Read [`crate::verify`] next.

mod audit;
mod embedded;
mod error;
mod record;
mod seen;
mod terms;

use std::time::Duration;

pub use audit::{AuditFilter, AuditHash, AuditHashError, AuditHead, AuditRecord, AuditVerdict, Tampering};
pub use embedded::Embedded;
pub use error::{Conflict, ErrorKind, Sought, StoreError};
pub use record::{
    Actor, ActsAs, Cancelled, Change, Changes, Ended, FeedPosition, Issued, LastUse, Listed, NewToken,
    Placed, Purpose, Reading, Refused, RemovedSeat, Restriction, Subject, Synced, SyncedTokens, Use, Used,
    Which,
};
pub use seen::{SeenDigest, SeenDirectory, Sighting};
pub use terms::{Expected, RequestKey, Terms, Version};

use crate::account::{Grant, Group, Organization, Role, Seat, Subscription};
use crate::clock::Timestamp;
use crate::token::{End, TokenDigest, TokenId, TokenRecord};

/// Where the store is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `sqlite:PATH`; a relative path is relative to the working directory. Default `sqlite:var/channelgate.db`.
    pub url: String,
    /// Longest time for one call, waiting for a connection included. Default 2 s.
    pub query_timeout: Duration,
    /// How long a change waits for another process's change to end before it gives up; below `query_timeout`. Default 1 s.
    pub busy_timeout: Duration,
    /// Connections for reading; each is a thread. Changes have one of their own. Default 4.
    pub connections_max: u32,
    /// How often the change feed is looked at. Default 100 ms.
    pub poll_interval: Duration,
    /// How many changes the feed keeps. Default 100,000, some 6 MB.
    pub changes_kept: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:var/channelgate.db".to_owned(),
            query_timeout: Duration::from_secs(2),
            busy_timeout: Duration::from_secs(1),
            connections_max: 4,
            poll_interval: Duration::from_millis(100),
            changes_kept: 100_000,
        }
    }
}

/// A token store. Clones share their connections.
#[derive(Clone, Debug)]
pub enum Store {
    /// One SQLite file.
    Embedded(Embedded),
}

impl Store {
    /// Opens the store that `config` names; creates it, readable by its owner only, where there is none.
    ///
    /// The time this takes does not depend on how much the store holds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a URL that means nothing, [`ErrorKind::Unsupported`] for a network file system, another program's
    /// database or one of a newer version, [`ErrorKind::Corrupt`] for a damaged one, [`ErrorKind::Unavailable`] otherwise.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        Embedded::open(config).await.map(Self::Embedded)
    }

    /// The same store, by which changes are made on these terms only. Reading is as before.
    ///
    /// A change through it fails with [`ErrorKind::Outdated`] if what it would overwrite is not what is expected. One with a key that was
    /// carried out before fails with [`StoreError::Repeated`], or, if it was another request then, with [`StoreError::KeyReused`]. In all
    /// three cases nothing is changed.
    #[must_use]
    pub fn on(&self, terms: Terms) -> Self {
        match self {
            Self::Embedded(embedded) => Self::Embedded(embedded.on(terms)),
        }
    }

    /// Ends all connections after the calls in progress.
    pub async fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close().await,
        }
    }

    /// Creates an organization.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a name that cannot be or a title that holds a token's value, [`ErrorKind::Conflict`] for a name that is taken.
    pub async fn create_organization(
        &self,
        name: &str,
        title: &str,
        subscription: Subscription,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        match self {
            Self::Embedded(embedded) => {
                embedded.create_organization(name, title, subscription, by, now).await
            }
        }
    }

    /// At most `limit` organizations by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn organizations(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Organization>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.organizations(after, limit).await,
        }
    }

    /// The organization of this name.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn organization(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.organization(name).await,
        }
    }

    /// Renews an organization's subscription until `until`; one that was cancelled begins anew. No token's expiry moves, and none that ended comes back:
    /// [`sync_tokens`](Self::sync_tokens) moves the expiry of the living, and the dead are issued again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, [`ErrorKind::Invalid`] for an end that has passed.
    pub async fn renew_organization(
        &self,
        name: &str,
        until: Timestamp,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Organization, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.renew_organization(name, until, by, now).await,
        }
    }

    /// Cancels an organization's subscription: every living token of it ends now. Cancelling again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn cancel_organization(
        &self,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.cancel_organization(name, by, now).await,
        }
    }

    /// Gives a user a seat; one who has it gets the role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, [`ErrorKind::Invalid`] for a user's name that cannot be or holds a token's value.
    pub async fn assign_seat(
        &self,
        organization: &str,
        user: &str,
        role: Role,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Seat>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.assign_seat(organization, user, role, by, now).await,
        }
    }

    /// Takes a user's seat away: their individual token and every token that acts as them end now, and they leave all groups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization or the seat.
    pub async fn remove_seat(
        &self,
        organization: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<RemovedSeat, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.remove_seat(organization, user, by, now).await,
        }
    }

    /// At most `limit` seats of an organization by user, beginning behind the user `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn seats(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Seat>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.seats(organization, after, limit).await,
        }
    }

    /// A user's seat.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn seat(&self, organization: &str, user: &str) -> Result<Option<Seat>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.seat(organization, user).await,
        }
    }

    /// Keeps a new token under its digest.
    ///
    /// A site or individual token takes the place of the previous one of its organization or user, which ends
    /// ([`Replaced`](crate::token::EndCause::Replaced)) at `now` plus `grace`; one before it, still in its own grace, ends by its own date.
    /// Its expiry is what the subscription gives at this moment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, or the seat or group that it needs; [`ErrorKind::Conflict`] for a scoped token whose
    /// name a living token has, any token whose value is known, and any token of an organization whose subscription is cancelled or over
    /// for too long; [`ErrorKind::Invalid`] for a name that cannot be or holds a token's value.
    pub async fn insert_token(
        &self,
        token: &NewToken,
        digest: &TokenDigest,
        by: &Actor,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Issued, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.insert_token(token, digest, by, now, grace).await,
        }
    }

    /// Ends a token. A dead token stays as it died, and an end never moves to a later time. Values of tokens in the reason are masked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without such a token.
    pub async fn end_token(
        &self,
        id: TokenId,
        end: &End,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.end_token(id, end, by, now).await,
        }
    }

    /// Sets the expiry of living site and individual tokens to what the subscription gives now. One that was issued again and is in its grace is
    /// left alone. Returns those whose expiry moved.
    ///
    /// One call looks at a bounded number of tokens, so that nobody waits long for it; [`SyncedTokens::next`] tells where to go on. Each call is
    /// one change.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, [`ErrorKind::Conflict`] if its subscription is cancelled or over for too long.
    pub async fn sync_tokens(
        &self,
        organization: &str,
        which: &Which,
        by: &Actor,
        now: Timestamp,
    ) -> Result<SyncedTokens, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.sync_tokens(organization, which, by, now).await,
        }
    }

    /// The token of this id.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token(id).await,
        }
    }

    /// The digest of a token's value, under which [`token_by_digest`](Self::token_by_digest) knows all of it.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_digest(&self, id: TokenId) -> Result<Option<TokenDigest>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token_digest(id).await,
        }
    }

    /// The organization's latest token of this name. If one lives, it is this one: a name is given again only when its bearer is dead.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_by_name(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token_by_name(organization, name).await,
        }
    }

    /// The token whose place a new one would take: the living site token, or the living individual one of `user`. Not one in its grace.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn living_token(
        &self,
        organization: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.living_token(organization, user, now).await,
        }
    }

    /// At most `limit` tokens of an organization, oldest first, beginning behind the token `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization or the token to begin behind.
    pub async fn tokens(
        &self,
        organization: &str,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Listed>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.tokens(organization, after, limit).await,
        }
    }

    /// At most `limit` living tokens of an organization that end at `until` or before, the soonest first, beginning behind the token of
    /// the id that ends at the moment in `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn expiring_tokens(
        &self,
        organization: &str,
        until: Timestamp,
        after: Option<(Timestamp, TokenId)>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        match self {
            Self::Embedded(embedded) => {
                embedded.expiring_tokens(organization, until, after, limit, now).await
            }
        }
    }

    /// The token of this digest, what groups make of it, and the feed's position, all of one moment.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn token_by_digest(&self, digest: &TokenDigest) -> Result<Reading, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.token_by_digest(digest).await,
        }
    }

    /// When a token was last shown.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn last_use(&self, id: TokenId) -> Result<LastUse, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.last_use(id).await,
        }
    }

    /// Writes down when tokens were last shown, all in one transaction. Tokens that there are not are passed over.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn record_uses(&self, batch: &[Use]) -> Result<(), StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.record_uses(batch).await,
        }
    }

    /// Creates a group without members or grants.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, [`ErrorKind::Invalid`] for a name that cannot be, [`ErrorKind::Conflict`]
    /// for one that is taken.
    pub async fn create_group(
        &self,
        organization: &str,
        name: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.create_group(organization, name, by, now).await,
        }
    }

    /// At most `limit` groups of an organization by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn groups(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.groups(organization, after, limit).await,
        }
    }

    /// A group of an organization.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn group(&self, organization: &str, name: &str) -> Result<Option<Group>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.group(organization, name).await,
        }
    }

    /// Puts a user, who has a seat, into a group. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, the group or the seat.
    pub async fn add_member(
        &self,
        organization: &str,
        group: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Group>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.add_member(organization, group, user, by, now).await,
        }
    }

    /// Takes a user out of a group. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, the group or the user in it.
    pub async fn remove_member(
        &self,
        organization: &str,
        group: &str,
        user: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.remove_member(organization, group, user, by, now).await,
        }
    }

    /// Grants a channel, or some packages and labels of it, to a group, in place of the grant that it had there, and restricts the channel to
    /// the organization's granted groups. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization or the group, [`ErrorKind::Conflict`] if the organization restricts 1,000 other channels,
    /// [`ErrorKind::Invalid`] for packages and labels that nothing can have.
    pub async fn grant(
        &self,
        organization: &str,
        group: &str,
        grant: &Grant,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Placed<Group>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.grant(organization, group, grant, by, now).await,
        }
    }

    /// Takes a grant away. The channel stays restricted. Returns the group as it is then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization, the group or the grant.
    pub async fn ungrant(
        &self,
        organization: &str,
        group: &str,
        channel: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Group, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.ungrant(organization, group, channel, by, now).await,
        }
    }

    /// At most `limit` channels that an organization restricted to groups, by name, beginning behind the name `after`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn restrictions(
        &self,
        organization: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Restriction>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.restrictions(organization, after, limit).await,
        }
    }

    /// The restriction of a channel to groups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization.
    pub async fn restriction(
        &self,
        organization: &str,
        channel: &str,
    ) -> Result<Option<Restriction>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.restriction(organization, channel).await,
        }
    }

    /// Lifts the restriction of a channel to groups, and takes the organization's grants of it away with it. Returns it as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] without the organization or the restriction.
    pub async fn unrestrict(
        &self,
        organization: &str,
        channel: &str,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Restriction, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.unrestrict(organization, channel, by, now).await,
        }
    }

    /// The records of the audit that `filter` selects, oldest first: in the chain's order, and since some moment in the order of time, which
    /// is another one where a clock was set back.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.audit(filter).await,
        }
    }

    /// The end of the audit's chain.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.audit_head().await,
        }
    }

    /// Reads the whole audit and checks its chain, and that a record has the hash `head` if one is given.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn verify_audit(&self, head: Option<AuditHash>) -> Result<AuditVerdict, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.verify_audit(head).await,
        }
    }

    /// What is recorded of a channel's directory (`linux-64/`, `label/dev/noarch/`); `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn seen_directory(
        &self,
        channel: &str,
        path: &str,
    ) -> Result<Option<SeenDirectory>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.seen_directory(channel, path).await,
        }
    }

    /// Begins a directory's baseline, unless that was done before: then it is as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if the store keeps as many directories as it can.
    pub async fn begin_baseline(
        &self,
        channel: &str,
        path: &str,
        now: Timestamp,
    ) -> Result<SeenDirectory, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.begin_baseline(channel, path, now).await,
        }
    }

    /// Ends a directory's baseline: what is recorded from now on is new. Doing so again changes nothing.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn complete_baseline(
        &self,
        directory: &SeenDirectory,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.complete_baseline(directory, now).await,
        }
    }

    /// What is recorded of each of a page of artifacts, in their order; records nothing.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn sightings(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
    ) -> Result<Vec<Option<Sighting>>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.sightings(directory, digests).await,
        }
    }

    /// Records those of a page of artifacts that were not seen before, as part of the baseline or as first seen `now`, and returns what is
    /// recorded of each, in their order. What the same subdirectory knows of one under another label counts here too, as
    /// [`Sighting::elsewhere`] says. However many gates record one, it is recorded once.
    ///
    /// Takes the write lock for as long as a page takes: pause between pages.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn record_seen(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
        now: Timestamp,
    ) -> Result<Vec<Sighting>, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.record_seen(directory, digests, now).await,
        }
    }

    /// Takes it upon the caller to mark all that a directory lists and to drop what it no longer lists; false if somebody did so after
    /// `not_since`, or if the baseline is not complete.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn begin_count(
        &self,
        directory: &SeenDirectory,
        not_since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.begin_count(directory, not_since, now).await,
        }
    }

    /// Marks a page of artifacts as listed `now`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn mark_listed(
        &self,
        directory: &SeenDirectory,
        digests: &[SeenDigest],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.mark_listed(directory, digests, now).await,
        }
    }

    /// Drops those of a page of a directory's artifacts, beginning behind `after`, that were last marked before `before`. Returns how many
    /// it dropped, and behind which the next page begins; `None` if there was none left.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn drop_unlisted(
        &self,
        directory: &SeenDirectory,
        after: Option<&SeenDigest>,
        before: Timestamp,
    ) -> Result<(u64, Option<SeenDigest>), StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.drop_unlisted(directory, after, before).await,
        }
    }

    /// The change feed's end.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn position(&self) -> Result<FeedPosition, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.position().await,
        }
    }

    /// At most `limit` changes behind `position`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn changes_since(&self, position: FeedPosition, limit: u32) -> Result<Changes, StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.changes_since(position, limit).await,
        }
    }

    /// Follows the change feed from `position` on.
    pub fn watch(&self, position: FeedPosition) -> Watch {
        match self {
            Self::Embedded(embedded) => Watch(Source::Embedded(embedded.watch(position))),
        }
    }

    /// Begins what happens once in a store's life: organization `default` and its site token. `None` if it happened, or if `default`
    /// has a living site token or no subscription already.
    ///
    /// Until the [`Bootstrap`] is committed or dropped, it holds the store's write lock: other changes wait, so be quick.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn begin_bootstrap(&self, now: Timestamp) -> Result<Option<Bootstrap>, StoreError> {
        match self {
            Self::Embedded(embedded) => {
                Ok(embedded.begin_bootstrap(now).await?.map(|begun| Bootstrap(Begun::Embedded(begun))))
            }
        }
    }
}

/// A reader of the change feed that hears of new changes. Losing the store loses nothing: it goes on from its position.
#[derive(Debug)]
pub struct Watch(Source);

#[derive(Debug)]
enum Source {
    Embedded(embedded::Watch),
}

impl Watch {
    /// Returns when it is time to [`poll`](Self::poll). Cancelling it loses nothing.
    pub async fn ready(&mut self) {
        match &mut self.0 {
            Source::Embedded(watch) => watch.ready().await,
        }
    }

    /// The changes since the last poll, every one that was committed before this call unless there are `more`. An answer without
    /// changes proves that the store is alive and that nothing changed.
    ///
    /// # Errors
    ///
    /// The store's failures; the next poll tries anew from the same position.
    pub async fn poll(&mut self) -> Result<Changes, StoreError> {
        match &mut self.0 {
            Source::Embedded(watch) => watch.poll().await,
        }
    }
}

/// A store's first moments, begun and not yet committed; dropping it undoes them.
///
/// Mint a token, write it where its owner finds it (flushed to the disk), then commit. If writing fails, drop this: the next start tries
/// again. If the process dies between the two, the next start mints another token and overwrites the file. Once committed, the file is
/// written and its token known.
#[derive(Debug)]
pub struct Bootstrap(Begun);

#[derive(Debug)]
enum Begun {
    Embedded(embedded::Bootstrap),
}

impl Bootstrap {
    /// Creates organization `default`, where it is missing, and keeps its site token under `digest`.
    ///
    /// # Errors
    ///
    /// The store's failures.
    pub async fn commit(self, digest: &TokenDigest) -> Result<TokenRecord, StoreError> {
        match self.0 {
            Begun::Embedded(begun) => begun.commit(digest).await,
        }
    }
}
