//! What the faces have in common: who asks, what a problem looks like, and the objects that people and programs are shown.
//!
//! | file | owns |
//! | --- | --- |
//! | `asker` | from a credential to whoever shows it |
//! | `client_address` | the client's address behind proxies |
//! | `ending` | that a token ends soon |
//! | `package_entry` | a file of a package |
//! | `problem` | problem bodies |
//! | `request_id` | ids of requests |
//! | `verdict` | what is told of a credential that does not serve |
//! | `view` | organizations, seats, groups, tokens and the audit, as the command line prints and the admin API sends them |
//!
//! No status is chosen here but those of credentials, and nothing is decided: that is each face's own. Read [`crate::gateway`] or [`crate::admin`] next.

mod asker;
mod client_address;
mod ending;
mod package_entry;
mod problem;
mod request_id;
mod verdict;
pub mod view;

pub use asker::{Asker, Shown};
pub use client_address::{X_FORWARDED_FOR, client_address, network};
pub use ending::Ending;
pub use package_entry::PackageEntry;
pub use problem::{MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem};
pub use request_id::{RequestId, RequestIds, shown_method};
pub use verdict::Verdict;
