//! Responses. The only file that chooses a status on the data plane.
//!
//! Headers towards clients are made here, from an allow-list: nothing of an upstream's response passes but its validators, its length
//! and its freshness.

use http::header::{
    ACCEPT_RANGES, AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::body::{Body, Content};
use super::refusal::Refusal;
use super::served::{Extent, Served};
use crate::conda::redact;
use crate::face::{PROBLEM_MEDIA_TYPE, Problem, Verdict};
use crate::policy::DenyReason;
use crate::semantics::Fields;
use crate::server::Reply;
use crate::upstream::FetchError;
use crate::verify::LookupError;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A served file, or the news that the client has it already.
pub(super) fn ok(served: Box<Served>, method: &Method, mut body: Body) -> Reply<Body> {
    let mut headers = Fields::with_capacity(12);
    let status = match served.extent {
        Extent::Whole => StatusCode::OK,
        Extent::Part(..) => StatusCode::PARTIAL_CONTENT,
        Extent::NotModified => StatusCode::NOT_MODIFIED,
        Extent::NotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    if let Some(etag) = served.validators.etag {
        headers.push(ETAG, etag.into_header());
    }
    if let Some(modified) = served.validators.last_modified {
        headers.push(LAST_MODIFIED, modified.into_header());
    }
    if let Extent::NotSatisfiable(_) = served.extent {
        // It answers the range, not the file: under the upstream's max-age a cache could keep it in the file's place.
        headers.push(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    } else if let Some(cache_control) = served.cache_control {
        headers.push(CACHE_CONTROL, cache_control);
    }
    if let Some(age) = served.age {
        headers.push(AGE, HeaderValue::from(age.as_secs()));
    }
    let length = match served.extent {
        Extent::Whole => served.length,
        Extent::Part(span, total) => {
            push_text(&mut headers, CONTENT_RANGE, span.content_range(total));
            Some(span.length())
        }
        Extent::NotModified => None,
        Extent::NotSatisfiable(total) => {
            if let Some(total) = total {
                push_text(&mut headers, CONTENT_RANGE, format!("bytes */{total}"));
            }
            Some(0)
        }
    };
    if matches!(served.extent, Extent::Whole | Extent::Part(..)) {
        headers.push(CONTENT_TYPE, served.content_type);
        if served.length.is_some() || matches!(served.extent, Extent::Part(..)) {
            headers.push(ACCEPT_RANGES, const { HeaderValue::from_static("bytes") });
        }
    }
    let has_body = *method == Method::GET && matches!(served.extent, Extent::Whole | Extent::Part(..));
    let content = if has_body { served.content } else { Content::Empty };
    // Of a body that says how long it is, that is written with the head.
    let is_told = |length| length > 0 && content.length() == Some(length);
    if let Some(length) = length.filter(|&length| !is_told(length)) {
        headers.push(CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.push(CACHE_STATUS, HeaderValue::from_static(served.cache_status));
    body.receipt().answered(status, "ok", served.cache_status);
    finish(status, headers, content, body)
}

/// The page at `/`: something lives here.
pub(super) fn root(method: &Method, mut body: Body) -> Reply<Body> {
    const TEXT: &str = "channelgate: conda channels are served below this address.\n";
    let mut headers = Fields::with_capacity(8);
    headers.push(CONTENT_TYPE, const { HeaderValue::from_static("text/plain; charset=utf-8") });
    headers.push(CONTENT_LENGTH, HeaderValue::from(TEXT.len()));
    body.receipt().answered(StatusCode::OK, "ok", "-");
    let content = if *method == Method::GET { Content::Own(TEXT.into()) } else { Content::Empty };
    finish(StatusCode::OK, headers, content, body)
}

/// A refusal or fault, as a problem body. `asked` is the channel as the client named it.
pub(super) fn refuse(refusal: &Refusal, asked: &str, method: &Method, mut body: Body) -> Reply<Body> {
    let verdict = verdict(refusal, &redact::text(asked));
    let json = Problem::new(
        verdict.status.as_u16(),
        verdict.code,
        verdict.title,
        &verdict.detail,
        body.receipt().request_id().as_str(),
    )
    .to_json();
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, PROBLEM_MEDIA_TYPE);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
    // A refusal ends with its reason: nobody may serve it to the next request.
    headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    verdict.extend(&mut headers);
    if verdict.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, const { HeaderValue::from_static("GET, HEAD") });
    }
    body.receipt().answered(verdict.status, verdict.code, "-");
    let content = if *method == Method::HEAD { Content::Empty } else { Content::Own(json.into()) };
    finish(verdict.status, headers.into(), content, body)
}

fn finish(status: StatusCode, mut fields: Fields, content: Content, mut body: Body) -> Reply<Body> {
    // A channel's HTML and SVG are an upstream's: a browser that opens them must run nothing in this origin.
    fields.push(CONTENT_SECURITY_POLICY, const { HeaderValue::from_static("sandbox; default-src 'none'") });
    fields.push(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    if let Some(id) = body.receipt().request_id().to_header() {
        fields.push(X_REQUEST_ID, id);
    }
    Reply { status, fields, body: body.of(content) }
}

fn push_text(fields: &mut Fields, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        fields.push(name, value);
    }
}

/// What `refusal` is told as. `asked` is the channel as the client named it, fit to be shown.
pub fn verdict(refusal: &Refusal, asked: &str) -> Verdict {
    let plain = Verdict::plain;
    let passing = Verdict::passing;
    match refusal {
        Refusal::Unparsable => plain(
            StatusCode::BAD_REQUEST,
            "request_invalid",
            "Malformed request",
            "The request is malformed: its head is not valid HTTP. Look for spaces or control characters in the channel URL and in the headers your client sends.".to_owned(),
        ),
        Refusal::HeadTooLong => plain(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "request_invalid",
            "Request head too long",
            "The request is malformed: its head is longer, or has more fields, than this gate reads. Look at the channel URL and the headers your client sends.".to_owned(),
        ),
        Refusal::Host(error) => plain(
            StatusCode::BAD_REQUEST,
            "request_invalid",
            "Malformed request",
            format!("The request is malformed: it {error}. Something between your client and the gate may have changed it."),
        ),
        Refusal::Method => plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "Channels are read with GET and HEAD only.".to_owned(),
        ),
        Refusal::Path(error) => plain(
            StatusCode::BAD_REQUEST,
            "path_invalid",
            "Path not acceptable",
            format!("The path of this request is not acceptable: {error}. Check the channel URL in your client's configuration."),
        ),
        Refusal::Credential(error) => Verdict::of_contradiction(*error),
        Refusal::Denied(reason) => denial(reason, asked),
        Refusal::Missing => denial(&DenyReason::NotFound, asked),
        Refusal::Blocked { reason } => withheld(
            "package_blocked",
            "Package blocked",
            format!("A rule of this gate blocks this package of channel \"{asked}\"{}", because(reason)),
            "Choose another version, or ask the gate's administrator.",
        ),
        Refusal::Quarantined { reason, until } => withheld(
            "package_quarantined",
            "Package quarantined",
            format!(
                "A rule of this gate holds this package of channel \"{asked}\" back until {until}, because it is new{}",
                because(reason)
            ),
            "Choose an older version, wait, or ask the gate's administrator.",
        ),
        Refusal::Unsettled => passing(
            "store_unavailable",
            "Gate's store unavailable",
            format!("A rule of this gate holds new packages of channel \"{asked}\" back, and which are new cannot be told because the gate's store does not answer. Your token is not at fault; try again shortly."),
            5,
        ),
        Refusal::Lookup(error) => Verdict::of_lookup(*error),
        Refusal::Overloaded => Verdict::overloaded(1),
        Refusal::TooManyWrong { retry_after } => {
            let limited = Verdict::of_lookup(LookupError::TooManyWrong { retry_after: *retry_after });
            Verdict { status: StatusCode::SERVICE_UNAVAILABLE, code: "overloaded", ..limited }
        }
        Refusal::Spool => passing(
            "overloaded",
            "Gate overloaded",
            "The gate could not keep the index while inspecting it (its disk may be full); its administrator finds the reason in the log. Try again later.".to_owned(),
            30,
        ),
        Refusal::Offline => passing(
            "upstream_unavailable",
            "Gate offline",
            format!("This gate is offline by its configuration (network = \"offline\") and its cache does not hold this file of channel \"{asked}\". Your token is not at fault; ask the gate's administrator to import or warm the file, or to put the gate online."),
            60,
        ),
        Refusal::Corrupt => plain(
            StatusCode::BAD_GATEWAY,
            "upstream_invalid",
            "Upstream sends another file",
            format!("The repository behind channel \"{asked}\" sends a file that does not have the digest or size that its index promises. Nothing of it was kept; tell the gate's administrator."),
        ),
        Refusal::Broken => passing(
            "upstream_unavailable",
            "Upstream broke off",
            format!("The repository behind channel \"{asked}\" broke off in the middle of this file, and the rest could not be had. Your token is not at fault; try again shortly."),
            5,
        ),
        Refusal::Inspection(refused) => plain(
            StatusCode::BAD_GATEWAY,
            "upstream_invalid",
            "Index not acceptable",
            format!("The index of channel \"{asked}\" is not served, because clients would be misled by it: {refused}. Retrying will not help; tell the gate's administrator."),
        ),
        Refusal::Fetch(FetchError::Missing) => denial(&DenyReason::NotFound, asked),
        Refusal::Fetch(FetchError::Invalid(reason)) => plain(
            StatusCode::BAD_GATEWAY,
            "upstream_invalid",
            "Upstream answers wrongly",
            format!("The repository behind channel \"{asked}\" answered wrongly: it {reason}. Retrying will not help; tell the gate's administrator."),
        ),
        Refusal::Fetch(FetchError::Unavailable(_)) => passing(
            "upstream_unavailable",
            "Upstream unavailable",
            format!("The repository behind channel \"{asked}\" does not answer at the moment. Your token is not at fault; try again shortly."),
            5,
        ),
        Refusal::Index(fault) => plain(
            StatusCode::BAD_GATEWAY,
            "upstream_invalid",
            "Index not acceptable",
            format!("The index of channel \"{asked}\" is not served, because clients would be misled by it: {fault}. Retrying will not help; tell the gate's administrator."),
        ),
    }
}

/// A package that the channel's rules withhold. Neither 401 nor 403: no client may tell its user to install the token anew.
fn withheld(code: &'static str, title: &'static str, story: String, next: &str) -> Verdict {
    let detail = format!("{story}. Your token is not at fault. {next}");
    Verdict::plain(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, code, title, detail)
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default()
}

fn denial(reason: &DenyReason, asked: &str) -> Verdict {
    // A path of one segment names no channel by the grammar, whichever channels there are.
    let (subject, object, below) = if asked.is_empty() {
        ("This address".to_owned(), "this address".to_owned(), "<channel>")
    } else {
        (format!("Channel \"{asked}\""), format!("channel \"{asked}\""), asked)
    };
    match reason {
        DenyReason::TokenMissing { masked: false } => Verdict::of_missing(format!(
            "{subject} is not served without a token. Put yours into the channel URL (/t/<TOKEN>/{below}) or send it in an Authorization header."
        )),
        DenyReason::TokenMissing { masked: true } => Verdict::of_masked(format!(
            "Your client sent a masked token (such as ***** or <TOKEN>) instead of the real one, so {object} is not served. Configure the token as a credential of this host instead of writing it into the channel URL, or update the client."
        )),
        DenyReason::TokenUnknown => Verdict::of_unknown(),
        DenyReason::TokenExpired(token, at) => Verdict::of_expired(token, *at),
        DenyReason::TokenEnded(token, cause) => Verdict::of_ended(token, *cause),
        DenyReason::ScopeMissing(token) => Verdict::plain(
            StatusCode::FORBIDDEN,
            "scope_missing",
            "Scope missing",
            format!(
                "The {token} has the scopes \"{}\", none of which reads conda channels (all, repos, conda, conda:download). Ask your administrator for a token with one of them.",
                token.token.scopes
            ),
        ),
        DenyReason::ChannelForbidden(token, _) => Verdict::plain(
            StatusCode::FORBIDDEN,
            "channel_forbidden",
            "Channel forbidden",
            format!(
                "The {token} may not read {object}. Check the channel's name, or ask your administrator for access."
            ),
        ),
        DenyReason::NotFound => Verdict::plain(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            if asked.is_empty() {
                "This address is no file of a channel.".to_owned()
            } else {
                format!("{subject} has no such file.")
            },
        ),
    }
}

#[cfg(test)]
mod tests;
