//! `channelgate explain`: the decision on one request, by the code that serves.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::UsageError;
use super::args::Output;
use super::output;
use super::session::{Session, read_line};
use super::view::{TokenView, details};
use crate::app;
use crate::conda::{PathError, RequestTarget, Resource, UpstreamPath, redact};
use crate::gateway::admission::{self, Admission};
use crate::gateway::{Refusal, verdict};
use crate::metrics::Metrics;
use crate::policy::{Access, Caller, Channels};
use crate::verify::{Meters, Verifier};

/// What `explain` prints. No member can hold the token's value.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    path: String,
    asked_channel: String,
    channel: Option<ChannelView<'a>>,
    label: Option<String>,
    resource: &'static str,
    upstream_path: Option<String>,
    carrier: Option<&'static str>,
    credential: &'static str,
    token: Option<TokenView<'a>>,
    /// `permit`, or the code of the refusal.
    decision: &'static str,
    status: u16,
    detail: String,
}

/// The channel that the path leads to.
#[derive(Debug, Serialize)]
struct ChannelView<'a> {
    name: &'a str,
    access: &'static str,
    /// The organizations that may read it; empty for any.
    orgs: &'a [String],
}

/// The request to explain.
pub(super) struct Request {
    path: String,
    headers: HeaderMap,
}

impl Request {
    /// The request for `url`, or for the URL on standard input, with these headers.
    ///
    /// # Errors
    ///
    /// What is no URL or header, and standard input's.
    pub(super) fn read(url: &str, headers: &[String]) -> anyhow::Result<Self> {
        let headers = headers.iter().map(|header| parse_header(header)).collect::<Result<_, _>>()?;
        let url = if url == "-" { read_line("the URL")? } else { url.to_owned() };
        Ok(Self { path: path_of(&url)?, headers })
    }
}

/// Explains what would become of `request`.
///
/// # Errors
///
/// The store's.
pub(super) async fn run(request: &Request, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
    let Request { path, headers } = request;
    if path == "/" {
        return output::print(output, &Explanation::of_root(), Explanation::to_text);
    }
    let target = match parse(path, session.config.limits.path_bytes_max) {
        Ok(target) => target,
        Err(error) => {
            let refused = verdict(&Refusal::Path(error), "");
            let explanation =
                Explanation::refused_unread(refused.code, refused.status.as_u16(), refused.detail);
            return output::print(output, &explanation, Explanation::to_text);
        }
    };
    let channels = Channels::new(session.config.channels.iter().map(|channel| channel.rules.clone()));
    let meters = Meters::register(Metrics::new()?.registry())?;
    let verifier = Verifier::new(
        session.store.clone(),
        session.clock.clone(),
        app::verify_config(session.config),
        meters,
    );

    let asked = channels.locate(&target);
    let admitted = admission::admit(&target, headers, &channels, &verifier, session.now()).await;
    let (carrier, caller, decision) = match admitted {
        Ok(Admission { carrier, caller, decision }) => {
            (carrier, Some(caller), decision.map(|_permit| ()).map_err(Refusal::Denied))
        }
        Err(error) => (None, None, Err(error.into())),
    };
    let shown = redact::text(target.asked_channel()).into_owned();
    let (code, status, detail) = match decision {
        Ok(()) => ("permit", 200, "The file is fetched from the channel's upstream.".to_owned()),
        Err(refusal) => {
            let refused = verdict(&refusal, &shown);
            (refused.code, refused.status.as_u16(), refused.detail)
        }
    };
    let token = match &caller {
        Some(Caller::Known(token)) => Some(TokenView::new(token, session.now())),
        _ => None,
    };
    let explanation = Explanation {
        path: redact::path(&target),
        asked_channel: shown,
        channel: asked.channel.map(|channel| ChannelView::from(&**channel)),
        label: asked.location.label.map(|label| redact::text(label).into_owned()),
        resource: resource(&asked.location.resource),
        upstream_path: UpstreamPath::of(&asked.location)
            .map(|path| redact::text(path.decoded()).into_owned()),
        carrier: carrier.map(crate::auth::Carrier::as_str),
        credential: credential(caller.as_ref()),
        token,
        decision: code,
        status,
        detail,
    };
    output::print(output, &explanation, Explanation::to_text)
}

impl Explanation<'_> {
    /// `GET /` is answered by the gate itself, whoever asks.
    fn of_root() -> Self {
        let detail = "The gate itself answers, without looking at any credential.".to_owned();
        Self {
            path: "/".to_owned(),
            resource: "the gate's own page",
            ..Self::refused_unread("permit", 200, detail)
        }
    }

    fn refused_unread(decision: &'static str, status: u16, detail: String) -> Self {
        Self {
            path: redact::UNPARSABLE.to_owned(),
            asked_channel: String::new(),
            channel: None,
            label: None,
            resource: "nothing",
            upstream_path: None,
            carrier: None,
            credential: "not looked at",
            token: None,
            decision,
            status,
            detail,
        }
    }

    fn to_text(&self) -> String {
        let mut lines = vec![("path", self.path.clone())];
        if let Some(channel) = &self.channel {
            lines.push(("channel", channel.to_line()));
        } else if !self.asked_channel.is_empty() {
            lines.push(("channel", format!("none is configured for \"{}\"", self.asked_channel)));
        }
        lines.extend(self.label.clone().map(|label| ("label", label)));
        lines.push(("resource", self.resource.to_owned()));
        lines.extend(self.upstream_path.clone().map(|path| ("upstream", path)));
        lines.push(("carrier", self.carrier.unwrap_or("none").to_owned()));
        lines.push(("credential", self.credential.to_owned()));
        lines.extend(self.token.as_ref().map(|token| ("token", token.to_line())));
        lines.push(("decision", format!("{} ({})", self.decision, self.status)));
        lines.push(("", self.detail.clone()));
        details(&lines)
    }
}

impl ChannelView<'_> {
    fn to_line(&self) -> String {
        let Self { name, access, orgs } = self;
        match orgs {
            [] => format!("{name} ({access})"),
            orgs => format!("{name} ({access}, organizations {})", orgs.join(", ")),
        }
    }
}

impl<'a> From<&'a crate::policy::Channel> for ChannelView<'a> {
    fn from(channel: &'a crate::policy::Channel) -> Self {
        let (access, orgs) = match &channel.access {
            Access::Public => ("public", [].as_slice()),
            Access::Private { organizations } => ("private", organizations.as_slice()),
        };
        Self { name: channel.name.as_str(), access, orgs }
    }
}

fn credential(caller: Option<&Caller>) -> &'static str {
    match caller {
        None => "could not be checked",
        Some(Caller::Anonymous { masked: false }) => "none",
        Some(Caller::Anonymous { masked: true }) => "a placeholder instead of a token",
        Some(Caller::Unknown) => "unknown",
        Some(Caller::Known(_)) => "known",
    }
}

fn resource(resource: &Resource<'_>) -> &'static str {
    match resource {
        Resource::ChannelFile(_) => "a file of the channel",
        Resource::Icon(_) => "an icon of the channel",
        Resource::SubdirFile(..) => "a file of a platform directory",
        Resource::Shard(..) => "a shard of an index",
        Resource::Nowhere => "nothing",
    }
}

/// As the data plane does it.
fn parse(path: &str, path_bytes_max: usize) -> Result<RequestTarget<'_>, PathError> {
    if path.len() > path_bytes_max { Err(PathError::TooLong) } else { RequestTarget::parse(path) }
}

/// The path of a URL as a client sends it, before anything decodes it.
fn path_of(url: &str) -> Result<String, UsageError> {
    let after_origin = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"),
        None => url,
    };
    let path = after_origin.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err(UsageError(
            "explain expects a URL (https://gate/…) or a path that begins with a slash".to_owned(),
        ))
    }
}

/// `Name: value`. The value is a secret most of the time: no error repeats it.
fn parse_header(header: &str) -> Result<(HeaderName, HeaderValue), UsageError> {
    let error = || UsageError("--header expects 'Name: value'".to_owned());
    let (name, value) = header.split_once(':').ok_or_else(error)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| error())?;
    let mut value = HeaderValue::try_from(value.trim()).map_err(|_| error())?;
    value.set_sensitive(true);
    Ok((name, value))
}
