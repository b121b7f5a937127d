//! What the name of a package file says: which package, of which version and build.

use std::borrow::Cow;

/// The facts in a package file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile<'f> {
    /// The package's name as the file has it; of a wheel as PEP 503 normalizes it.
    pub name: Cow<'f, str>,
    /// Its version.
    pub version: &'f str,
    /// Its build; of a wheel the build tag and the compatibility tags, as the file has them.
    pub build: &'f str,
    /// The format.
    pub archive: Archive,
}

/// The format of a package file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Archive {
    /// `.conda`.
    Conda,
    /// `.tar.bz2`.
    TarBz2,
    /// `.whl`, of a v3 index.
    Wheel,
}

impl<'f> PackageFile<'f> {
    /// Reads a file's name: `name-version-build.conda` or `.tar.bz2`, where the name may have dashes and the rest has none;
    /// `name-version[-build]-python-abi-platform.whl` (PEP 427). `None` for every other name.
    pub fn parse(file: &'f str) -> Option<Self> {
        if let Some(stem) = file.strip_suffix(".whl") {
            return Self::parse_wheel(stem);
        }
        let (stem, archive) = match file.strip_suffix(".conda") {
            Some(stem) => (stem, Archive::Conda),
            None => (file.strip_suffix(".tar.bz2")?, Archive::TarBz2),
        };
        let (rest, build) = stem.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        let is_whole = !name.is_empty() && !version.is_empty() && !build.is_empty();
        is_whole.then_some(Self { name: Cow::Borrowed(name), version, build, archive })
    }

    fn parse_wheel(stem: &'f str) -> Option<Self> {
        let (name, rest) = stem.split_once('-')?;
        let (version, build) = rest.split_once('-')?;
        let tags = build.split('-');
        let is_whole = !name.is_empty() && !version.is_empty() && tags.clone().all(|tag| !tag.is_empty());
        let is_wheel = is_whole && matches!(tags.count(), 3 | 4);
        is_wheel.then(|| Self { name: normalized(name), version, build, archive: Archive::Wheel })
    }

    /// Whether a record with these facts can be that of this file. Names are compared without case; the build of a wheel's record follows
    /// from its tags by rules of others and is not compared.
    pub fn is_of(&self, name: &str, version: &str, build: &str) -> bool {
        match self.archive {
            Archive::Conda | Archive::TarBz2 => {
                self.name.eq_ignore_ascii_case(name) && self.version == version && self.build == build
            }
            Archive::Wheel => self.name == normalized(name) && self.version == version,
        }
    }
}

/// A name as PEP 503 normalizes it: in small letters, every run of `-`, `_` and `.` one dash.
fn normalized(name: &str) -> Cow<'_, str> {
    let is_separator = |letter: char| matches!(letter, '-' | '_' | '.');
    let is_normal = name.chars().all(|letter| !letter.is_ascii_uppercase() && !matches!(letter, '_' | '.'))
        && !name.contains("--");
    if is_normal {
        return Cow::Borrowed(name);
    }
    let mut normal = String::with_capacity(name.len());
    for letter in name.chars() {
        match is_separator(letter) {
            true if normal.ends_with('-') => {}
            true => normal.push('-'),
            false => normal.push(letter.to_ascii_lowercase()),
        }
    }
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::{Archive, PackageFile};

    #[test]
    fn file_name_tells_package_version_and_build() {
        for (file, name, version, build, archive) in [
            ("numpy-1.26.4-py311_0.conda", "numpy", "1.26.4", "py311_0", Archive::Conda),
            ("ca-certificates-2024.2.2-0.tar.bz2", "ca-certificates", "2024.2.2", "0", Archive::TarBz2),
            ("_x_-1!2.0+cu118-h_1.conda", "_x_", "1!2.0+cu118", "h_1", Archive::Conda),
            ("Big-1-0.conda", "Big", "1", "0", Archive::Conda),
            ("requests-2.32.3-py3-none-any.whl", "requests", "2.32.3", "py3-none-any", Archive::Wheel),
            (
                "My_Pack.age-1-1x-cp311-cp311-linux.whl",
                "my-pack-age",
                "1",
                "1x-cp311-cp311-linux",
                Archive::Wheel,
            ),
        ] {
            let parsed = PackageFile::parse(file).unwrap_or_else(|| panic!("{file}"));
            assert_eq!((&*parsed.name, parsed.version, parsed.build), (name, version, build), "{file}");
            assert_eq!(parsed.archive, archive, "{file}");
        }
    }

    #[test]
    fn other_names_tell_nothing() {
        for file in [
            "",
            ".conda",
            "--.conda",
            "numpy.conda",
            "numpy-1.conda",
            "numpy-1-.conda",
            "-1-0.tar.bz2",
            "numpy--0.conda",
            "numpy-1-0.CONDA",
            "numpy-1-0.zip",
            "repodata.json",
            "requests-2.whl",
            "requests-2-none-any.whl",
            "requests-2-1-2-py3-none-any.whl",
            "requests-2--none-any.whl",
        ] {
            assert_eq!(PackageFile::parse(file), None, "{file}");
        }
    }

    #[test]
    fn record_is_of_a_file_only_with_its_facts() {
        for (file, name, version, build, expected) in [
            ("numpy-1-0.conda", "numpy", "1", "0", true),
            ("NumPy-1-0.conda", "numpy", "1", "0", true),
            ("numpy-1-0.conda", "numba", "1", "0", false),
            ("numpy-1-0.conda", "numpy", "1.0", "0", false),
            ("numpy-1-0.conda", "numpy", "1", "1", false),
            ("numpy-base-1-0.conda", "numpy", "base-1", "0", false),
            ("a_b-1-py3-none-any.whl", "a-b", "1", "py3_none_any_0", true),
            ("a_b-1-py3-none-any.whl", "A.B", "1", "", true),
            ("a_b-1-py3-none-any.whl", "ab", "1", "", false),
            ("a_b-1-py3-none-any.whl", "a-b", "2", "", false),
        ] {
            let parsed = PackageFile::parse(file).unwrap();
            assert_eq!(parsed.is_of(name, version, build), expected, "{file} {name} {version} {build}");
        }
    }
}
