//! conda's vocabulary and the grammar of request paths: what a URL names, before anybody asks whether it may be read.
//!
//! ```text
//! /t/<TOKEN>/<channel>[/label/<label>]/<subdir>/<file>
//! /<channel-prefix>/t/<TOKEN>/<rest of channel>[/label/<label>]/<subdir>/<file>
//! /<channel>[/label/<label>]/<subdir>/<file>
//! ```
//!
//! Reading a path has two halves. [`RequestTarget::parse`] needs nothing but the bytes: it finds the token position, decodes and
//! checks every segment and yields the rest. Which part of the rest is the channel depends on the configured names (the longest
//! that is a prefix wins), so [`RequestTarget::prefixes`] offers the candidates and [`Location::parse`] reads what follows.
//!
//! This module is pure and must never know what a token means; it only knows where one stands, so that it can be left out of
//! [`redact`]ed paths and of [`UpstreamPath`]s. Read [`crate::auth`] next.

mod channel_name;
mod glob;
mod location;
mod lock_file;
mod match_spec;
mod package_file;
pub mod redact;
mod segment;
mod subdir;
mod target;
mod upstream_path;

pub use channel_name::{ChannelName, ChannelNameError};
pub use glob::Glob;
pub use location::{DEFAULT_LABEL, FileKind, FileName, Location, Resource};
pub use lock_file::{LockFile, LockFileError, LockedPackage, PackageUrl};
pub use match_spec::{MatchSpec, MatchSpecError};
pub use package_file::{Archive, PackageFile};
pub use segment::PathError;
pub use subdir::Subdir;
pub(crate) use target::is_masked;
pub use target::{PathToken, RequestTarget};
pub use upstream_path::UpstreamPath;

#[cfg(test)]
mod tests;
