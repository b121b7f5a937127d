//! Preconditions (RFC 9110 section 13), in the order of section 13.2.2.

use http::HeaderMap;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

use super::range::{ByteRange, Span};
use super::validators::{Validators, parse_http_date};

/// What a GET or HEAD request asks under conditions. Other conditional headers have no meaning for reads of a channel.
#[derive(Clone, Copy)]
pub struct Conditions<'r> {
    headers: &'r HeaderMap,
}

/// What the conditions say of a body with known validators and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Send all of it (200).
    Whole,
    /// Send this part (206).
    Part(Span),
    /// The client has it already (304).
    NotModified,
    /// The range lies behind the end (416).
    NotSatisfiable,
}

impl<'r> Conditions<'r> {
    /// The conditions in the headers of a request.
    pub fn of(headers: &'r HeaderMap) -> Self {
        Self { headers }
    }

    /// The single byte range asked for; `None` where there is none, or one that is to be ignored.
    pub fn range(&self) -> Option<ByteRange> {
        let mut values = self.headers.get_all(RANGE).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        value.to_str().ok()?.parse().ok()
    }

    /// Holds the conditions against a body. `length` is `None` where it is not known: then there are no ranges.
    pub fn evaluate(&self, validators: &Validators, length: Option<u64>) -> Precondition {
        if self.is_unmodified(validators) {
            return Precondition::NotModified;
        }
        let (Some(range), Some(length)) = (self.range(), length) else { return Precondition::Whole };
        if !self.if_range_holds(validators) {
            return Precondition::Whole;
        }
        range.of(length).map_or(Precondition::NotSatisfiable, Precondition::Part)
    }

    fn is_unmodified(&self, validators: &Validators) -> bool {
        if self.headers.contains_key(IF_NONE_MATCH) {
            let matches = |candidate: &[u8]| {
                candidate == b"*"
                    || validators.etag.as_ref().is_some_and(|etag| etag.matches_weakly(candidate))
            };
            return self
                .headers
                .get_all(IF_NONE_MATCH)
                .iter()
                .any(|value| entity_tags(value.as_bytes()).any(matches));
        }
        let since = self.headers.get(IF_MODIFIED_SINCE).and_then(parse_http_date);
        match (since, &validators.last_modified) {
            (Some(since), Some(modified)) => modified.at().is_some_and(|at| at <= since),
            _ => false,
        }
    }

    /// True unless `If-Range` names another version (RFC 9110 section 13.1.5): a range counts only if the body is still the one that the
    /// client has a part of.
    pub fn if_range_holds(&self, validators: &Validators) -> bool {
        let Some(value) = self.headers.get(IF_RANGE) else { return true };
        if value.as_bytes().ends_with(b"\"") {
            return validators.etag.as_ref().is_some_and(|etag| etag.matches_strongly(value.as_bytes()));
        }
        match (parse_http_date(value), &validators.last_modified) {
            (Some(date), Some(modified)) => modified.at() == Some(date),
            _ => false,
        }
    }
}

/// The members of an `If-None-Match` list. A comma may stand inside the quotes.
fn entity_tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    list.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
}
