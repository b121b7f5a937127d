//! The audit: who did what. Its records, and the chain that holds them together.
//!
//! Each record's hash is the SHA-256 of the previous record's hash and of its own fields, each with its length before it, so that no two
//! different records have the same bytes. Whoever alters, removes or inserts a record breaks the chain there, unless they write all
//! records from there on anew; whoever does that, or cuts the chain's end off, loses the hash that somebody noted before: that is what
//! [`Store::verify_audit`](super::Store::verify_audit) takes it for. The gate logs its head every hour.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;

use super::record::Actor;
use crate::clock::Timestamp;

/// One change that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// Its number, without gaps from 1 on.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What, in the command's words: `org.cancel`, `token.issue`.
    pub action: String,
    /// The organization concerned, by name.
    pub organization: Option<String>,
    /// What was changed: a token's id, a group's or a channel's name.
    pub target: Option<String>,
    /// The user concerned.
    pub user: Option<String>,
    /// What it was before; `None` for what was not there.
    pub before: Option<Value>,
    /// What it is since then; `None` for what is no longer there.
    pub after: Option<Value>,
    /// The hash of the record before it.
    pub previous: AuditHash,
    /// Its own.
    pub hash: AuditHash,
}

/// Which records to read: those that meet every condition, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this organization.
    pub organization: Option<String>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Behind the record of this number.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

impl Default for AuditFilter {
    fn default() -> Self {
        Self { organization: None, since: None, after: 0, limit: 1_000 }
    }
}

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// The number of its last record; 0 where there is none.
    pub seq: i64,
    /// That record's hash.
    pub hash: AuditHash,
}

impl AuditHead {
    /// The end of an empty chain.
    pub const EMPTY: Self = Self { seq: 0, hash: AuditHash([0; 32]) };
}

/// The hash of a record and, by it, of all records before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditHash(pub [u8; 32]);

/// What became of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// The chain is whole, and holds the head that was asked for.
    Intact {
        /// Its end.
        head: AuditHead,
    },
    /// It was tampered with.
    Tampered {
        /// The first record that is not as it was written.
        seq: i64,
        /// What is wrong with it.
        how: Tampering,
    },
    /// The chain is whole in itself, but no record has the hash that was asked for: its end was cut off, or written anew.
    Cut {
        /// Its end now.
        head: AuditHead,
    },
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// It is not there, though later ones are.
    Missing,
    /// It does not continue the record before it.
    Unchained,
    /// Its fields are not those that were hashed.
    Altered,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is missing",
            Self::Unchained => "it does not continue the record before it",
            Self::Altered => "its content is not what was written",
        })
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHash({self})")
    }
}

impl serde::Serialize for AuditHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is not the hash of an audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash of the audit has 64 hexadecimal digits")]
pub struct AuditHashError;

impl FromStr for AuditHash {
    type Err = AuditHashError;

    fn from_str(text: &str) -> Result<Self, AuditHashError> {
        let digits = text.trim().as_bytes();
        if digits.len() != 64 {
            return Err(AuditHashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit =
                |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let [Some(high), Some(low)] = [pair.first().and_then(digit), pair.last().and_then(digit)] else {
                return Err(AuditHashError);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

/// A record's fields as they are kept, which is what is hashed: JSON by its text, an address by its words.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Fields {
    pub(in crate::store) seq: i64,
    pub(in crate::store) at: i64,
    pub(in crate::store) actor: String,
    pub(in crate::store) origin: Option<String>,
    pub(in crate::store) action: String,
    pub(in crate::store) organization: Option<String>,
    pub(in crate::store) target: Option<String>,
    pub(in crate::store) user: Option<String>,
    pub(in crate::store) before: Option<String>,
    pub(in crate::store) after: Option<String>,
}

impl Fields {
    /// The hash of a record with these fields behind the record of the hash `previous`.
    pub(in crate::store) fn hash(&self, previous: &AuditHash) -> AuditHash {
        let mut context = Context::new(&SHA256);
        context.update(b"channelgate audit 1\0");
        context.update(&previous.0);
        context.update(&self.seq.to_be_bytes());
        context.update(&self.at.to_be_bytes());
        let texts = [
            Some(&self.actor),
            self.origin.as_ref(),
            Some(&self.action),
            self.organization.as_ref(),
            self.target.as_ref(),
            self.user.as_ref(),
            self.before.as_ref(),
            self.after.as_ref(),
        ];
        for text in texts {
            // Nothing is not the empty text.
            let length = text.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX - 1));
            context.update(&length.to_be_bytes());
            context.update(text.map(String::as_bytes).unwrap_or_default());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        AuditHash(hash)
    }
}

#[cfg(test)]
mod tests;
