//! Which files are one document.

use super::super::family::{Family, beside, split};

#[test]
fn files_of_one_document_are_a_family() {
    for (path, family) in [
        ("noarch/repodata.json", Some("noarch/repodata.json")),
        ("noarch/repodata.json.zst", Some("noarch/repodata.json")),
        ("label/dev/linux-64/repodata.json.bz2", Some("label/dev/linux-64/repodata.json")),
        ("noarch/current_repodata.json.zst", Some("noarch/current_repodata.json")),
        ("noarch/repodata_from_packages.json", Some("noarch/repodata_from_packages.json")),
        ("noarch/repodata.json.gz", None),
        ("noarch/repodata.jlap", None),
        ("noarch/repodata_shards.msgpack.zst", None),
        ("noarch/x-1-0.conda", None),
    ] {
        let found = Family::of(path);
        assert_eq!(found.map(|family| family.name()).as_deref(), family, "{path}");
        let members: Vec<_> = found.iter().flat_map(Family::members).collect();
        assert_eq!(members.len(), if family.is_some() { 3 } else { 0 }, "{path}");
        assert!(members.iter().all(|member| Family::of(member.decoded()) == found), "{path}");
        assert_eq!(found.is_some(), members.iter().any(|member| member.decoded() == path), "{path}");
    }
}

#[test]
fn path_is_its_directory_and_its_file() {
    for path in ["noarch/repodata.json", "label/a b/linux-64/x+1-0.conda", "channeldata.json"] {
        let (directory, file) = split(path);
        assert_eq!(format!("{directory}{file}"), path);
        assert_eq!(beside(directory, file).unwrap().decoded(), path);
    }
    assert!(beside("nowhere/at/all/", "x.conda").is_none());
}
