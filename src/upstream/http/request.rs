//! Requests to HTTP upstreams, built from nothing: no header of a client goes upstream unless this file names it.

use http::header::{ACCEPT, ACCEPT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::{ByteRange, Conditions, EntityTag, http_date, parse_http_date};
use crate::upstream::{Ask, Method};

const USER_AGENT_VALUE: &str = concat!("channelgate/", env!("CARGO_PKG_VERSION"));

/// What every request says. A body is passed on, kept and held against its digest as it is stored there, so no coding is wanted.
pub(super) static ALWAYS: [(HeaderName, &str); 3] =
    [(USER_AGENT, USER_AGENT_VALUE), (ACCEPT, "*/*"), (ACCEPT_ENCODING, "identity")];

/// The same as HTTP/1.1 writes it (a test holds both against each other).
pub(super) const ALWAYS_WRITTEN: &str = concat!(
    "user-agent: channelgate/",
    env!("CARGO_PKG_VERSION"),
    "\r\naccept: */*\r\naccept-encoding: identity\r\n"
);

/// What was asked, as far as the answer has to fit it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// 304 is an answer only to a condition.
    pub(super) is_conditional: bool,
    /// 206 and 416 are answers only to a range, 206 only to this one.
    pub(super) range: Option<ByteRange>,
}

/// The headers for `ask` besides [`ALWAYS`], without credentials, and what they ask. Nearly always there are none.
pub(super) fn headers(ask: &Ask<'_>) -> (HeaderMap, Asked) {
    let mut headers = HeaderMap::new();
    let mut asked = Asked { method: ask.method, is_conditional: false, range: None };
    if let Some(client) = ask.conditions {
        for value in client.get_all(IF_NONE_MATCH) {
            headers.append(IF_NONE_MATCH, value.clone());
            asked.is_conditional = true;
        }
        if let Some(since) = client.get(IF_MODIFIED_SINCE).and_then(parse_http_date) {
            headers.insert(IF_MODIFIED_SINCE, http_date(since));
            asked.is_conditional = true;
        }
        // RFC 9110 section 14.2: a range means something for GET only.
        if ask.method == Method::Get {
            asked.range = add_range(client, &mut headers);
        }
    }
    (headers, asked)
}

/// Adds `Range` and `If-Range`. A range whose `If-Range` cannot hold (weak, or neither tag nor date) is not asked for at all.
fn add_range(client: &HeaderMap, headers: &mut HeaderMap) -> Option<ByteRange> {
    let range = Conditions::of(client).range()?;
    if let Some(validator) = client.get(IF_RANGE) {
        let validator = match EntityTag::parse(validator) {
            Some(etag) if etag.is_strong() => validator.clone(),
            Some(_) => return None,
            None => http_date(parse_http_date(validator)?),
        };
        headers.insert(IF_RANGE, validator);
    }
    headers.insert(RANGE, HeaderValue::try_from(range.to_string()).ok()?);
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_request_says_is_written_as_it_is_said() {
        let written: String =
            ALWAYS.iter().map(|(name, value)| format!("{}: {value}\r\n", name.as_str())).collect();
        assert_eq!(ALWAYS_WRITTEN, written);
    }
}
