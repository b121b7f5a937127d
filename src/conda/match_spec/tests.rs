//! Specifications mean what they mean to conda, and what is not understood is refused.

use super::*;

#[test]
fn specification_means_the_packages_that_conda_would_mean() {
    for (spec, name, version, build, expected) in [
        ("numpy", "numpy", "1.26.4", "py311_0", true),
        ("NumPy", "numpy", "1.26.4", "py311_0", true),
        ("numpy", "numpy-base", "1.26.4", "py311_0", false),
        ("numpy*", "numpy-base", "1.26.4", "py311_0", true),
        ("numpy *", "numpy", "1.26.4", "py311_0", true),
        ("numpy>=1.26", "numpy", "1.26.4", "0", true),
        ("numpy >= 1.26 , < 2", "numpy", "1.26.4", "0", true),
        ("numpy>=1.26,<2", "numpy", "2.0", "0", false),
        ("numpy 1.26.*", "numpy", "1.26.4", "0", true),
        ("numpy 1.26", "numpy", "1.26.4", "0", false),
        ("numpy=1.26", "numpy", "1.26.4", "0", true),
        ("numpy==1.26", "numpy", "1.26.4", "0", false),
        ("numpy==1.26", "numpy", "1.26.0", "0", true),
        ("numpy=1.26.4=py311_0", "numpy", "1.26.4", "py311_0", true),
        ("numpy=1.26.4=py311_0", "numpy", "1.26.4", "py312_0", false),
        ("numpy==1.26.4=py311*", "numpy", "1.26.4", "py311_0", true),
        ("numpy 1.26.* py311*", "numpy", "1.26.4", "py311_0", true),
        ("numpy * py311*", "numpy", "1.26.4", "py312_0", false),
        ("numpy 1.25|1.26.4", "numpy", "1.26.4", "0", true),
        ("numpy !=1.26.4", "numpy", "1.26.4", "0", false),
        ("epoch >=2.0", "epoch", "1!2.0", "0", true),
        ("plus 1.0+cu118", "plus", "1.0+cu118", "0", true),
        ("odd", "odd", "not a version", "0", true),
        ("odd >=1", "odd", "not a version", "0", false),
    ] {
        let parsed: MatchSpec = spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"));
        assert_eq!(parsed.matches(name, version, build), expected, "{spec}: {name} {version} {build}");
    }
    let parsed: MatchSpec = "repo/main::numpy>=1".parse().unwrap();
    assert_eq!(parsed.channel.unwrap().as_str(), "repo/main");
}

#[test]
fn what_is_not_understood_is_refused() {
    for (spec, words) in [
        ("", "does not begin with a package's name"),
        (">=1", "does not begin with a package's name"),
        ("numpy[version='>=1']", "has brackets"),
        ("numpy >=x y z", "more than a name, a version and a build"),
        ("numpy >=>1", "no usable version"),
        ("Main::numpy", "cannot be a channel's name"),
    ] {
        let error = spec.parse::<MatchSpec>().unwrap_err().to_string();
        assert!(error.contains(words), "{spec}: {error}");
    }
}
