//! Any manifest of a bundle: every member that is accepted is a file that a client could ask for, and reads back as itself.

#![no_main]

use channelgate::cache::bundle::{Manifest, Member};
use channelgate::conda::{ChannelName, Location, UpstreamPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines = std::str::from_utf8(bytes).unwrap_or_default().lines();
    let alone = lines.filter_map(|line| Member::parse(line).ok());
    let together = Manifest::read(bytes).map(|manifest| manifest.members).unwrap_or_default();
    for member in alone.chain(together) {
        assert!(ChannelName::parse(member.facts.channel.as_str()).is_ok());
        for segment in member.name().split('/') {
            assert!(!segment.is_empty() && !segment.starts_with('.'), "{}", member.name());
            assert!(!segment.contains(['\\', '%', '\0', '\r', '\n']), "{}", member.name());
        }
        let asked =
            UpstreamPath::of(&Location::parse(&member.facts.path)).expect("a member is a file of a channel");
        assert_eq!(asked, *member.path());
        let line = member.line().expect("a member is a line");
        assert_eq!(Member::parse(&line), Ok(member));
    }
});
