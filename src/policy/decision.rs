//! Permits and refusals.

use std::sync::Arc;

use super::channel::{Channel, Channels};
use super::packages::Packages;
use super::standing::{Granted, Right, Standing};
use super::view::View;
use crate::clock::Timestamp;
use crate::conda::{Location, RequestTarget, Resource};
use crate::token::{EndCause, TokenState};

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
    Known(Arc<Standing>),
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

    /// The label under which something is asked for in `channel`, if that is the channel that the path leads to.
    fn label_in(&self, channel: Option<&Arc<Channel>>) -> Option<&'t str> {
        let is_asked = channel.zip(self.channel).is_some_and(|(one, asked)| Arc::ptr_eq(one, asked));
        if is_asked { self.location.label } else { None }
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
    channel: &'t Arc<Channel>,
    location: Location<'t>,
    token: Option<Arc<Standing>>,
    view: View,
}

impl<'t> Permit<'t> {
    /// The channel it is for.
    pub fn channel(&self) -> &'t Arc<Channel> {
        self.channel
    }

    /// The thing it is for.
    pub fn location(&self) -> &Location<'t> {
        &self.location
    }

    /// The one rule that this right rests on.
    pub fn basis(&self) -> Basis<'_> {
        let name = self.channel.name.as_str();
        match self.token.as_ref().map(|standing| standing.rights.of(name)) {
            _ if self.channel.is_public() => Basis::Public,
            Some(Right::Granted(grants)) => {
                grants.strongest_at(self.location.label).map_or(Basis::Organization, Basis::Group)
            }
            _ => Basis::Organization,
        }
    }

    /// What may be seen of the channel under the location's label.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The token that was shown.
    pub fn token(&self) -> Option<&Arc<Standing>> {
        self.token.as_ref()
    }
}

/// The rule that a permit rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis<'p> {
    /// The channel is public.
    Public,
    /// The channel is open to the token's organization, which did not restrict it to groups.
    Organization,
    /// The organization restricted the channel to groups, and of the token's this one was granted it under the label; with the strongest
    /// permission if there are several.
    Group(&'p Granted),
}

impl Basis<'_> {
    /// The rule's name, for whoever runs the gate.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Organization => "organization",
            Self::Group(_) => "group",
        }
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
    TokenExpired(Arc<Standing>, Timestamp),
    /// Somebody ended it.
    TokenEnded(Arc<Standing>, EndCause),
    /// It has no scope that reads conda channels.
    ScopeMissing(Arc<Standing>),
    /// It may not read this channel, or there is no such channel.
    ChannelForbidden(Arc<Standing>, Forbidden),
    /// The path names nothing that the channel has.
    NotFound,
}

/// Why a token may not read a channel. For `explain` only: clients must not be able to tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// No channel of this name is configured.
    NoSuchChannel,
    /// The channel is another organization's.
    OtherOrganization,
    /// The token is confined to other channels.
    OtherChannels,
    /// The organization restricted the channel to groups, and no group of the token's was granted it.
    GroupsOnly,
    /// The token's groups were granted the channel under other labels.
    OtherLabels,
}

impl Forbidden {
    /// The rule's name, for whoever runs the gate.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSuchChannel => "no_such_channel",
            Self::OtherOrganization => "other_organization",
            Self::OtherChannels => "other_channels",
            Self::GroupsOnly => "groups_only",
            Self::OtherLabels => "other_labels",
        }
    }
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
            channel,
            location: asked.location,
            view: view(channel, token, asked.location.label),
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

pub(super) fn serving(standing: &Arc<Standing>, now: Timestamp) -> Result<&Arc<Standing>, DenyReason> {
    match standing.token.state(now) {
        TokenState::Live => Ok(standing),
        TokenState::Expired(at) => Err(DenyReason::TokenExpired(Arc::clone(standing), at)),
        TokenState::Ended(end) => Err(DenyReason::TokenEnded(Arc::clone(standing), end.cause)),
    }
}

/// What may be seen of a channel that may be read. Grants concern only channels that are not public.
fn view(channel: &Channel, token: Option<&Arc<Standing>>, label: Option<&str>) -> View {
    let right =
        token.filter(|_| !channel.is_public()).map(|standing| standing.rights.of(channel.name.as_str()));
    let packages = match right {
        Some(Right::Granted(grants)) => grants.packages(label).cloned(),
        _ => Some(Packages::ALL),
    };
    // Without a grant of the label nothing is permitted: should that change, nothing is shown.
    let packages = packages.unwrap_or_else(|| Packages::of([""; 0]));
    if channel.rules.is_empty() {
        View::unruled(packages)
    } else {
        View::new(packages, Arc::clone(&channel.rules))
    }
}

/// Whether `channel` may be read, whatever is asked for in it. A channel that does not exist may not.
fn access(
    caller: &Caller,
    token: Option<&Arc<Standing>>,
    asked: &Asked<'_>,
    channel: Option<&Arc<Channel>>,
) -> Result<(), DenyReason> {
    if channel.is_some_and(|channel| channel.is_public()) {
        return Ok(());
    }
    let Some(standing) = token else {
        // conda asks for notices without its token, and a plugin aborts on 401 there.
        if asked.location_by_grammar().is_notices() {
            return Err(DenyReason::NotFound);
        }
        return Err(DenyReason::TokenMissing {
            masked: matches!(caller, Caller::Anonymous { masked: true }),
        });
    };
    let forbidden = |reason| DenyReason::ChannelForbidden(Arc::clone(standing), reason);
    match Question::ALL.into_iter().find(|question| {
        !question.passes(standing, channel.map(|channel| &**channel), asked.label_in(channel))
    }) {
        None => Ok(()),
        Some(Question::Scope) => Err(DenyReason::ScopeMissing(Arc::clone(standing))),
        Some(Question::Channel) => Err(forbidden(Forbidden::NoSuchChannel)),
        Some(Question::Organization) => Err(forbidden(Forbidden::OtherOrganization)),
        Some(Question::TokenChannels) => Err(forbidden(Forbidden::OtherChannels)),
        Some(Question::Groups) => Err(forbidden(Forbidden::GroupsOnly)),
        Some(Question::Labels) => Err(forbidden(Forbidden::OtherLabels)),
    }
}

/// What is asked of a living token before it reads a channel that is not public. The first question that is not answered with yes is the
/// reason to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Has it a scope that reads conda channels?
    Scope,
    /// Is there such a channel?
    Channel,
    /// Is the channel open to its organization?
    Organization,
    /// Is the token confined to no channels, or to this one among them?
    TokenChannels,
    /// Did its organization restrict the channel to no groups, or to one of the token's among them?
    Groups,
    /// If it did, is the label among those that were granted to the token's groups?
    Labels,
}

impl Question {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 6] =
        [Self::Scope, Self::Channel, Self::Organization, Self::TokenChannels, Self::Groups, Self::Labels];

    /// The answer, for what is asked for under `label` of the channel.
    pub fn passes(self, standing: &Standing, channel: Option<&Channel>, label: Option<&str>) -> bool {
        let token = &standing.token;
        let Some(channel) = channel else {
            return self == Self::Scope && token.scopes.permit_conda_download();
        };
        match self {
            Self::Scope => token.scopes.permit_conda_download(),
            Self::Channel => true,
            Self::Organization => channel.admits(&token.organization),
            Self::TokenChannels => !token.excludes_channel(channel.name.as_str()),
            Self::Groups => standing.rights.of(channel.name.as_str()) != Right::Withheld,
            Self::Labels => match standing.rights.of(channel.name.as_str()) {
                Right::Granted(grants) => grants.packages(label).is_some(),
                Right::Unrestricted | Right::Withheld => true,
            },
        }
    }
}
