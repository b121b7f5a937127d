//! The conditions of a request (RFC 9110 section 13) and its Idempotency-Key (draft-ietf-httpapi-idempotency-key-header).
//!
//! An entity tag is `"<version>"`, or `"<version>.<use>"` for a token, whose last use changes without anybody changing the token. A change
//! looks at the version alone: using a token does not stand in the way of revoking it.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;
use crate::store::{Expected, Version};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The strong entity tag of what has this version.
pub(super) fn entity_tag(version: Version, last_use: Option<&str>) -> HeaderValue {
    let version = version.to_hex();
    let tag =
        last_use.map_or_else(|| format!("\"{version}\""), |last_use| format!("\"{version}.{last_use}\""));
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// True if the client of a GET has what this tag stands for.
pub(super) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let bare = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    members(headers, &IF_NONE_MATCH).any(|member| member == b"*" || bare(member) == bare(tag.as_bytes()))
}

/// What a change expects to find.
///
/// # Errors
///
/// Conditions that no change can have.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Refusal> {
    let (matches, none) = (headers.contains_key(IF_MATCH), headers.contains_key(IF_NONE_MATCH));
    if none {
        if !members(headers, &IF_NONE_MATCH).eq([b"*"]) {
            return Err(Refusal::Header(
                "If-None-Match",
                "of a change has to be *: that there is nothing yet",
            ));
        }
        // That there is nothing and that there is something: never both.
        return Ok(Some(if matches { Expected::OneOf(Vec::new()) } else { Expected::Nothing }));
    }
    if !matches {
        return Ok(None);
    }
    if members(headers, &IF_MATCH).any(|member| member == b"*") {
        return Ok(Some(Expected::Something));
    }
    // A weak tag never matches, and neither does one that is not ours.
    Ok(Some(Expected::OneOf(members(headers, &IF_MATCH).filter_map(version).collect())))
}

/// The request's Idempotency-Key, quoted (as the draft has it) or bare (as clients send it).
///
/// # Errors
///
/// One that cannot be, or several.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.as_bytes().trim_ascii();
    let inner = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
    let good = (1..=255).contains(&inner.len())
        && inner.iter().all(|&byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'\\'));
    if values.next().is_some() {
        Err(Refusal::Header("Idempotency-Key", "occurs more than once"))
    } else if good {
        Ok(Some(inner))
    } else {
        Err(Refusal::Header("Idempotency-Key", "has to be 1 to 255 visible ASCII characters, such as a UUID"))
    }
}

fn version(tag: &[u8]) -> Option<Version> {
    let opaque = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let version = opaque.split(|&byte| byte == b'.').next()?;
    Version::from_hex(std::str::from_utf8(version).ok()?)
}

/// The members of a list of entity tags; a comma may stand inside the quotes.
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| {
            let mut quoted = false;
            value.as_bytes().split(move |&byte| {
                quoted ^= byte == b'"';
                byte == b',' && !quoted
            })
        })
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests;
