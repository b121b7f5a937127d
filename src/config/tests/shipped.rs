//! Tests of `config/channelgate.toml`: it is the documentation of every key, so it must be true.

use super::*;
use crate::config::leaf::Problem;
use crate::config::reading::{self, Step};

const SHIPPED: &str = include_str!("../../../config/channelgate.toml");

#[test]
fn shipped_file_is_the_default_and_the_public_channels() {
    let config = parse(SHIPPED).unwrap();
    let channels: Vec<_> = config
        .channels
        .iter()
        .map(|channel| {
            assert_eq!(channel.rules.access, Access::Private { organizations: Vec::new() });
            let [Source { location, ca_file: None, auth: None, .. }] = channel.upstreams.as_slice() else {
                panic!("{channel:?}")
            };
            (channel.rules.name.to_string(), location.to_string())
        })
        .collect();
    let expected = [
        ("conda-forge", "https://conda.anaconda.org/conda-forge"),
        ("repo/main", "https://repo.anaconda.com/pkgs/main"),
        ("repo/r", "https://repo.anaconda.com/pkgs/r"),
        ("repo/msys2", "https://repo.anaconda.com/pkgs/msys2"),
    ];
    assert_eq!(channels, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    assert_eq!(Config { channels: Vec::new(), ..config }, Config::default());
}

#[test]
fn shipped_file_names_every_key() {
    let keys = keys_below(&[]);
    assert!(
        keys.len() > 50 && keys.contains(&"channels[0].upstreams[0].upstream_auth.env".to_owned()),
        "{keys:?}"
    );
    for key in keys {
        let section = key.split(['.', '[']).next().filter(|section| key.len() > section.len());
        let name = key.rsplit('.').next().unwrap().trim_end_matches("[0]");
        let text = match section {
            None => SHIPPED,
            Some("channels") => SHIPPED.split_once("# Channels.").unwrap().1,
            Some(section) => {
                let after =
                    SHIPPED.split_once(&format!("\n[{section}]")).unwrap_or_else(|| panic!("[{section}]")).1;
                after.split_once("\n[").unwrap().0
            }
        };
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        assert!(words.any(|word| word == name), "config/channelgate.toml does not name {key}");
    }
}

/// The keys that can be set below `path`, as far as tables go: asks for one that cannot exist and reads which could.
fn keys_below(path: &[Step]) -> Vec<String> {
    let below = |step| [path, &[step]].concat();
    let known = |path: &[Step]| match reading::try_alone(&[path, &[Step::Key("?".into())]].concat(), 0.into())
    {
        Err(Problem::UnknownKey { known, .. }) => known,
        _ => &[],
    };
    if let [_, ..] = known(&below(Step::Index(0))) {
        return keys_below(&below(Step::Index(0)));
    }
    match known(path) {
        [] => vec![reading::name(path)],
        keys => keys.iter().flat_map(|key| keys_below(&below(Step::Key((*key).into())))).collect(),
    }
}
