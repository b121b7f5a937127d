//! Permits and refusals.

use std::sync::Arc;

use super::channel::{Channel, Channels};
use crate::clock::Timestamp;
use crate::conda::{Location, RequestTarget, Resource};
use crate::token::{EndCause, TokenRecord, TokenState};

/// What is known of who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// They showed no credential.
    Anonymous {
        /// A client sent a placeholder in place of its token.
        masked: bool,
    },
    /// They showed one that nobody was issued.
    Unknown,
    /// They showed this token.
    Known(Arc<TokenRecord>),
}

/// What a request asks for. [`Channels::locate`] makes it.
#[derive(Clone, Copy)]
pub struct Asked<'t> {
    /// All channels that there are.
    pub(super) channels: &'t Channels,
    /// The configured channel that the path leads to, if there is one.
    pub channel: Option<&'t Arc<Channel>>,
    /// What the path names in it.
    pub location: Location<'t>,
    /// The whole path.
    pub(super) target: &'t RequestTarget<'t>,
}

impl<'t> Asked<'t> {
    /// What the path names by its form alone, whichever channels there are.
    fn location_by_grammar(&self) -> Location<'t> {
        Location::parse(self.target.tail_by_grammar())
    }

    /// True if the path by its form names a file of a platform or label of a channel below the one it leads to.
    fn names_deeper_channel(&self) -> bool {
        let by_grammar = self.location_by_grammar();
        let is_deep = by_grammar.label.is_some()
            || matches!(by_grammar.resource, Resource::SubdirFile(..) | Resource::Shard(..));
        is_deep && by_grammar.file().is_some()
    }
}

/// The right to read one thing. Only [`decide`] makes one; whoever serves bytes demands it.
#[derive(Clone, Debug)]
pub struct Permit<'t> {
    channel: Arc<Channel>,
    location: Location<'t>,
    token: Option<Arc<TokenRecord>>,
}

impl<'t> Permit<'t> {
    /// The channel it is for.
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// The thing it is for.
    pub fn location(&self) -> &Location<'t> {
        &self.location
    }

    /// The token that was shown.
    pub fn token(&self) -> Option<&Arc<TokenRecord>> {
        self.token.as_ref()
    }
}

/// Why something may not be read.
#[derive(Clone, Debug)]
pub enum DenyReason {
    /// No credential where one is needed.
    TokenMissing {
        /// A client sent a placeholder in place of its token.
        masked: bool,
    },
    /// Malformed or unknown.
    TokenUnknown,
    /// Its time is over.
    TokenExpired(Arc<TokenRecord>, Timestamp),
    /// Somebody ended it.
    TokenEnded(Arc<TokenRecord>, EndCause),
    /// It has no scope that reads conda channels.
    ScopeMissing(Arc<TokenRecord>),
    /// It may not read this channel, or there is no such channel.
    ChannelForbidden(Arc<TokenRecord>),
    /// The path names nothing that the channel has.
    NotFound,
}

/// Decides whether `caller` may read what is `asked` for at `now`.
///
/// # Errors
///
/// Why not.
pub fn decide<'t>(caller: &Caller, asked: &Asked<'t>, now: Timestamp) -> Result<Permit<'t>, DenyReason> {
    let token = match caller {
        Caller::Unknown => return Err(DenyReason::TokenUnknown),
        Caller::Anonymous { .. } => None,
        Caller::Known(token) => Some(serving(token, now)?),
    };
    let access = |channel| access(caller, token, asked, channel);
    match (asked.channel, access(asked.channel)) {
        (Some(channel), Ok(())) if asked.location.file().is_some() => Ok(Permit {
            channel: Arc::clone(channel),
            location: asked.location,
            token: token.map(Arc::clone),
        }),
        // Below a channel that may be read, one that may not must look like one that does not exist: `open/secret/…` like `open/secrat/…`.
        // Where the form of the path tells a channel from a file, both are refused as channels; where it does not, both are not found.
        (_, Ok(())) if asked.names_deeper_channel() => access(None).and(Err(DenyReason::NotFound)),
        (_, Ok(())) => Err(DenyReason::NotFound),
        (Some(_), Err(refusal)) if !asked.names_deeper_channel() => {
            let enclosing = asked.channels.prefixes_of(asked.target).nth(1).map(|(channel, _)| channel);
            let is_within_reach = enclosing.is_some_and(|channel| access(Some(channel)).is_ok());
            Err(if is_within_reach { DenyReason::NotFound } else { refusal })
        }
        (_, Err(refusal)) => Err(refusal),
    }
}

fn serving(token: &Arc<TokenRecord>, now: Timestamp) -> Result<&Arc<TokenRecord>, DenyReason> {
    match token.state(now) {
        TokenState::Live => Ok(token),
        TokenState::Expired(at) => Err(DenyReason::TokenExpired(Arc::clone(token), at)),
        TokenState::Ended(end) => Err(DenyReason::TokenEnded(Arc::clone(token), end.cause)),
    }
}

/// Whether `channel` may be read, whatever is asked for in it. A channel that does not exist may not.
fn access(
    caller: &Caller,
    token: Option<&Arc<TokenRecord>>,
    asked: &Asked<'_>,
    channel: Option<&Arc<Channel>>,
) -> Result<(), DenyReason> {
    if channel.is_some_and(|channel| channel.is_public()) {
        return Ok(());
    }
    let Some(token) = token else {
        // conda asks for notices without its token, and a plugin aborts on 401 there.
        if asked.location_by_grammar().is_notices() {
            return Err(DenyReason::NotFound);
        }
        return Err(DenyReason::TokenMissing {
            masked: matches!(caller, Caller::Anonymous { masked: true }),
        });
    };
    if !token.scopes.permit_conda_download() {
        return Err(DenyReason::ScopeMissing(Arc::clone(token)));
    }
    match channel {
        Some(channel)
            if channel.admits(&token.organization) && !token.excludes_channel(channel.name.as_str()) =>
        {
            Ok(())
        }
        _ => Err(DenyReason::ChannelForbidden(Arc::clone(token))),
    }
}
