//! The pages that people see in a browser: one frame, plain HTML, no script, nothing from elsewhere.
//!
//! Pure: a page is made of what it shows. Whatever comes from a person or a program is escaped by `maud`, which has no other way to put text
//! into a page but a marked one that only [`STYLE`] uses. The headers that go with every page ([`respond`]) let a browser load nothing, run
//! nothing, frame nothing and send forms to the gate alone. A page whose form has a mistake says so first, in words, with a link to the field.

mod device;
mod notice;
mod sign_in;
mod words;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use device::{Answered, Consent, Entry, Person, Requester, answered, consent, entry};
pub(super) use notice::{Notice, notice};
pub(super) use sign_in::{SignIn, SignedIn, sign_in, signed_in};
pub(super) use words::{ago, lasting};

/// A page, whole.
pub(super) struct Page {
    title: String,
    main: Markup,
}

/// Something wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The id of the field that it is in, if it is in one.
    pub(super) field: Option<&'static str>,
    /// What is wrong, and what to do.
    pub(super) words: String,
}

impl Mistake {
    /// A mistake in a field.
    pub(super) fn at(field: &'static str, words: impl Into<String>) -> Self {
        Self { field: Some(field), words: words.into() }
    }

    /// A mistake of the whole form.
    pub(super) fn of_form(words: impl Into<String>) -> Self {
        Self { field: None, words: words.into() }
    }
}

impl Page {
    /// A page with this heading.
    fn new(heading: &str, mistake: Option<&Mistake>, content: &Markup) -> Self {
        let title = if mistake.is_some() { format!("Error: {heading}") } else { heading.to_owned() };
        let main = html! {
            @if let Some(mistake) = mistake { (summary(mistake)) }
            h1 { (heading) }
            (content)
        };
        Self { title, main }
    }

    /// The page as a browser reads it. `place` is the name by which the gate is reached.
    pub(super) fn render(&self, place: &str) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    // No icon, so that no browser asks a channel for one.
                    link rel="icon" href="data:,";
                    title { (self.title) " · channelgate" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        p class="mark" { "channelgate" }
                        p class="place" { (place) }
                    }
                    main { (self.main) }
                }
            }
        };
        page.into_string()
    }
}

/// What is wrong, before everything else, with the way to it.
fn summary(mistake: &Mistake) -> Markup {
    html! {
        div class="summary" role="alert" aria-labelledby="summary-title" {
            h2 id="summary-title" { "There is a problem" }
            @match mistake.field {
                Some(field) => p { a href={ "#" (field) } { (mistake.words) } },
                None => p { (mistake.words) },
            }
        }
    }
}

/// What is wrong with a field, beside it.
fn beside(mistake: Option<&Mistake>, field: &str) -> Markup {
    html! {
        @if let Some(mistake) = mistake.filter(|mistake| mistake.field == Some(field)) {
            p class="mistake" id={ (field) "-mistake" } { span class="unseen" { "Error: " } (mistake.words) }
        }
    }
}

/// True if a field has the mistake.
fn is_wrong(mistake: Option<&Mistake>, field: &str) -> bool {
    mistake.is_some_and(|mistake| mistake.field == Some(field))
}

/// A page as an answer. `form_target`: where else than at the gate a form's answer may lead.
pub(super) fn respond(
    status: StatusCode,
    page: &Page,
    place: &str,
    form_target: Option<&str>,
) -> Response<Body> {
    let mut response = Response::new(Body::from(page.render(place)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    dress(response.headers_mut(), form_target);
    response
}

/// Adds the headers that go with every page.
pub(super) fn dress(headers: &mut HeaderMap, form_target: Option<&str>) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_FRAME_OPTIONS, "DENY"),
        // Without any, a browser would call the origin of the gate's own forms `null`.
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy(form_target)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

fn policy(form_target: Option<&str>) -> String {
    let target = form_target.map(|target| format!(" {target}")).unwrap_or_default();
    format!(
        "default-src 'none'; style-src '{}'; img-src data:; form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    )
}

/// How pages look.
const STYLE: &str = include_str!("pages/style.css");

/// The only style that a browser applies to them.
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))));

#[cfg(test)]
mod tests;
