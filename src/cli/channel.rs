//! What the configuration has to say of a channel that somebody names.

use super::output::tell;
use crate::conda::ChannelName;
use crate::config::Config;

/// Tells why nobody of `org` can read the channel, if nobody can.
///
/// A channel may be configured, or opened to an organization, after a token or a grant was made for it; but a typing mistake opens nothing,
/// so it is told.
pub(super) fn warn_if_closed(config: &Config, org: &str, name: &ChannelName, subject: &str) {
    match config.channels.iter().find(|channel| channel.rules.name == *name) {
        Some(channel) if channel.rules.admits(org) => {}
        Some(_) => tell(format_args!(
            "channelgate: channel \"{name}\" is not open to organization \"{org}\": until its `orgs` names it, {subject} cannot read it"
        )),
        None => {
            let names: Vec<_> = config.channels.iter().map(|channel| channel.rules.name.as_str()).collect();
            let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
            tell(format_args!(
                "channelgate: there is no channel \"{name}\" in the configuration ({known}): until there is, {subject} cannot read it"
            ));
        }
    }
}
