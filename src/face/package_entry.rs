//! A file of a package, as an index tells of it.

/// One file of a package in one platform directory of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageEntry {
    /// The platform directory.
    pub subdir: String,
    /// The file's name.
    pub file: String,
    /// The package's version.
    pub version: String,
    /// The build's name.
    pub build: String,
    /// The build's number.
    pub build_number: u64,
    /// How long the file is, in bytes.
    pub size: Option<u64>,
    /// Its MD5, in hexadecimal digits.
    pub md5: Option<String>,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: Option<String>,
    /// When it was built, in milliseconds.
    pub timestamp: Option<i64>,
    /// What it needs.
    pub depends: Vec<String>,
    /// Its license, as its recipe says.
    pub license: Option<String>,
}
