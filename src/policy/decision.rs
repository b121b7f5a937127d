//! Permits and refusals.

use std::sync::Arc;

use super::channel::Channel;
use crate::clock::Timestamp;
use crate::conda::{Location, RequestTarget};
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

/// What a request asks for.
#[derive(Clone, Copy)]
pub struct Asked<'t> {
    /// The configured channel that the path leads to, if there is one.
    pub channel: Option<&'t Arc<Channel>>,
    /// What the path names in it.
    pub location: Location<'t>,
    /// The whole path.
    pub target: &'t RequestTarget<'t>,
}

impl Asked<'_> {
    /// True if the path by its form asks for a channel's `notices.json`, whichever channels there are.
    fn is_for_notices(&self) -> bool {
        Location::parse(self.target.tail_by_grammar()).is_notices()
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
    let channel = match (asked.channel, token, caller) {
        (Some(channel), ..) if channel.is_public() => channel,
        (channel, Some(token), _) => readable(channel, token)?,
        // conda asks for notices without its token, and a plugin aborts on 401 there.
        (_, None, _) if asked.is_for_notices() => return Err(DenyReason::NotFound),
        (_, None, caller) => {
            return Err(DenyReason::TokenMissing {
                masked: matches!(caller, Caller::Anonymous { masked: true }),
            });
        }
    };
    if asked.location.file().is_none() {
        return Err(DenyReason::NotFound);
    }
    Ok(Permit { channel: Arc::clone(channel), location: asked.location, token: token.map(Arc::clone) })
}

fn serving(token: &Arc<TokenRecord>, now: Timestamp) -> Result<&Arc<TokenRecord>, DenyReason> {
    match token.state(now) {
        TokenState::Live => Ok(token),
        TokenState::Expired(at) => Err(DenyReason::TokenExpired(Arc::clone(token), at)),
        TokenState::Ended(end) => Err(DenyReason::TokenEnded(Arc::clone(token), end.cause)),
    }
}

fn readable<'t>(
    channel: Option<&'t Arc<Channel>>,
    token: &Arc<TokenRecord>,
) -> Result<&'t Arc<Channel>, DenyReason> {
    if !token.scopes.permit_conda_download() {
        return Err(DenyReason::ScopeMissing(Arc::clone(token)));
    }
    channel
        .filter(|channel| {
            channel.admits(&token.organization) && !token.excludes_channel(channel.name.as_str())
        })
        .ok_or_else(|| DenyReason::ChannelForbidden(Arc::clone(token)))
}
