//! `channelgate explain`: the decision on one request, by the code that serves.
//!
//! [`explain`] sends the request through [`admission::admit`], as the data plane does, and tells what came of it: the decision, the rule it
//! rests on, and the steps to it. The steps are the very questions that [`policy::decide`](crate::policy::decide) asks, in its order.

mod package;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use self::package::{Judgement, Package};
use super::UsageError;
use super::args::Output;
use super::group::narrowing;
use super::output;
use super::session::{Session, read_line};
use super::view::details;
use crate::app;
use crate::clock::Timestamp;
use crate::conda::{DEFAULT_LABEL, RequestTarget, Resource, UpstreamPath, redact};
use crate::config::Config;
use crate::face::view::TokenView;
use crate::gateway::admission::{self, Admission};
use crate::gateway::{Refusal, verdict};
use crate::metrics::Metrics;
use crate::policy::{
    Access, Asked, Basis, Caller, Channel, Channels, DenyReason, Granted, Permit, Question, Right, Standing,
};
use crate::token::TokenState;
use crate::verify::{Meters, Verifier};

/// What becomes of a request, and why. No member can hold the token's value.
#[derive(Debug, Serialize)]
pub struct Explanation {
    path: String,
    asked_channel: String,
    channel: Option<ChannelView>,
    label: Option<String>,
    resource: &'static str,
    upstream_path: Option<String>,
    carrier: Option<&'static str>,
    credential: &'static str,
    token: Option<Known>,
    steps: Vec<Step>,
    /// The one rule that the decision rests on. It tells apart what clients must not be able to.
    rule: &'static str,
    /// The group whose grant it rests on, and the permission.
    grant: Option<GrantView>,
    /// What the view of the channel says of the package file, if it is one and something may be hidden.
    package: Option<Package>,
    /// `permit`, or the code of the refusal. A permitted package may be refused while it is new.
    pub decision: &'static str,
    /// The status of the response; a permitted file that the upstream does not have is 404 all the same.
    pub status: u16,
    detail: String,
}

/// One question on the way to the decision.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    /// `null` where it was not asked any more, or does not matter.
    passes: Option<bool>,
    detail: String,
}

/// A token as it stands at a moment.
#[derive(Debug)]
struct Known(Arc<Standing>, Timestamp);

impl Known {
    fn view(&self) -> TokenView<'_> {
        TokenView::new(&self.0.token, self.1)
    }
}

impl Serialize for Known {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.view().serialize(serializer)
    }
}

/// A grant that opens a channel.
#[derive(Debug, Serialize)]
struct GrantView {
    group: String,
    permission: &'static str,
    packages: Vec<String>,
    labels: Vec<String>,
}

/// The channel that the path leads to.
#[derive(Debug, Serialize)]
struct ChannelView {
    name: String,
    access: &'static str,
    /// The organizations that may read it; empty for any.
    orgs: Vec<String>,
}

/// The request to explain.
#[derive(Clone, Debug)]
pub struct Request {
    path: String,
    headers: HeaderMap,
}

impl Request {
    /// The request for `url`, or for the URL on standard input, with these headers.
    ///
    /// # Errors
    ///
    /// What is no URL or header, and standard input's.
    pub fn read(url: &str, headers: &[String]) -> anyhow::Result<Self> {
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
    let meters = Meters::register(Metrics::new()?.registry())?;
    let verifier = Verifier::new(
        session.store.clone(),
        session.clock.clone(),
        app::verify_config(session.config),
        meters,
    );
    let explanation = explain(request, session.config, &verifier, session.now()).await;
    output::print(output, &explanation, Explanation::to_text)
}

/// What becomes of `request` at a gate of this configuration at `now`.
pub async fn explain(request: &Request, config: &Config, verifier: &Verifier, now: Timestamp) -> Explanation {
    let Request { path, headers } = request;
    if path == "/" {
        return Explanation::of_root();
    }
    let target = match RequestTarget::parse_within(path, config.limits.path_bytes_max) {
        Ok(target) => target,
        Err(error) => {
            let refused = verdict(&Refusal::Path(error), "");
            return Explanation::refused_unread(refused.code, refused.status.as_u16(), refused.detail);
        }
    };
    let channels = Channels::new(config.channels.iter().map(|channel| channel.rules.clone()));
    let asked = channels.locate(&target);
    let shown = redact::text(target.asked_channel()).into_owned();
    let mut explanation = Explanation {
        path: redact::path(&target),
        asked_channel: shown.clone(),
        channel: asked.channel.map(|channel| ChannelView::from(&**channel)),
        label: asked.location.label.map(|label| redact::text(label).into_owned()),
        resource: resource(&asked.location.resource),
        upstream_path: UpstreamPath::of(&asked.location)
            .map(|path| redact::text(path.decoded()).into_owned()),
        ..Explanation::refused_unread(
            "permit",
            200,
            "The file is fetched from the channel's upstream.".to_owned(),
        )
    };
    let refusal = match admission::admit(&target, headers, &channels, verifier, None, now).await {
        Ok(admission) => {
            explanation.admit(&admission, &asked, now);
            match admission.decision {
                Ok(permit) => explanation.judge(&permit, now),
                Err(reason) => Some(Refusal::Denied(reason)),
            }
        }
        Err(error) => {
            explanation.credential = credential(None);
            Some(error.into())
        }
    };
    if let Some(refusal) = refusal {
        let refused = verdict(&refusal, &shown);
        explanation.decision = refused.code;
        explanation.status = refused.status.as_u16();
        explanation.detail = refused.detail;
    }
    if explanation.rule.is_empty() {
        explanation.rule = explanation.decision;
    }
    explanation
}

impl Explanation {
    /// Takes up what came of the credential, and the way to the decision.
    fn admit(&mut self, admission: &Admission<'_>, asked: &Asked<'_>, now: Timestamp) {
        let Admission { carrier, caller, decision, .. } = admission;
        self.carrier = carrier.map(crate::auth::Carrier::as_str);
        self.credential = credential(Some(caller));
        self.rule = rule(decision);
        if let Ok(permit) = decision
            && let Basis::Group(granted) = permit.basis()
        {
            self.grant = Some(GrantView {
                group: granted.group.clone(),
                permission: granted.permission.as_str(),
                packages: granted.packages.clone(),
                labels: granted.labels.clone(),
            });
        }
        self.steps = steps(caller, asked, now);
        if let Caller::Known(standing) = caller {
            self.token = Some(Known(Arc::clone(standing), now));
        }
    }

    /// Takes up what the view says of a package file; returns why it is refused, if it is.
    fn judge(&mut self, permit: &Permit<'_>, now: Timestamp) -> Option<Refusal> {
        if !permit.view().is_whole() {
            self.detail = "What the channel's view shows of it is served.".to_owned();
        }
        let Judgement { package, refusal } = Judgement::of(permit, now)?;
        let detail = match &package {
            Some(package) => package.to_line(),
            None => "its name tells neither package nor version".to_owned(),
        };
        self.steps.push(Step { step: "package", passes: Some(refusal.is_none()), detail });
        self.package = package;
        let (refusal, rule) = refusal?;
        self.rule = rule;
        Some(refusal)
    }

    /// `GET /` is answered by the gate itself, whoever asks.
    fn of_root() -> Self {
        let detail = "The gate itself answers, without looking at any credential.".to_owned();
        Self {
            path: "/".to_owned(),
            resource: "the gate's own page",
            rule: "public",
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
            steps: Vec::new(),
            rule: "",
            grant: None,
            package: None,
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
        lines.extend(self.token.as_ref().map(|token| ("token", token.view().to_line())));
        for Step { step, passes, detail } in &self.steps {
            let answer = match passes {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not asked",
            };
            lines.push((step, format!("{answer}: {detail}")));
        }
        lines.extend(self.grant.as_ref().map(|grant| ("grant", grant.to_line())));
        lines.push(("rule", self.rule.to_owned()));
        lines.push(("decision", format!("{} ({})", self.decision, self.status)));
        lines.push(("", self.detail.clone()));
        details(&lines)
    }
}

impl GrantView {
    fn to_line(&self) -> String {
        let Self { group, permission, packages, labels } = self;
        format!("{permission} to group {group}{}", narrowing(packages, labels))
    }
}

impl ChannelView {
    fn to_line(&self) -> String {
        let Self { name, access, orgs } = self;
        match orgs.as_slice() {
            [] => format!("{name} ({access})"),
            orgs => format!("{name} ({access}, organizations {})", orgs.join(", ")),
        }
    }
}

impl From<&Channel> for ChannelView {
    fn from(channel: &Channel) -> Self {
        let (access, orgs) = match &channel.access {
            Access::Public => ("public", Vec::new()),
            Access::Private { organizations } => ("private", organizations.clone()),
        };
        Self { name: channel.name.to_string(), access, orgs }
    }
}

/// The rule that a decision rests on.
fn rule(decision: &Result<Permit<'_>, DenyReason>) -> &'static str {
    match decision {
        Ok(permit) => permit.basis().as_str(),
        Err(DenyReason::ChannelForbidden(_, forbidden)) => forbidden.as_str(),
        // Its code says it.
        Err(_) => "",
    }
}

/// The questions on the way to the decision, each with its answer.
fn steps(caller: &Caller, asked: &Asked<'_>, now: Timestamp) -> Vec<Step> {
    let channel = asked.channel.map(|channel| &**channel);
    let is_public = channel.is_some_and(Channel::is_public);
    let known = match caller {
        Caller::Known(standing) => Some(standing),
        Caller::Anonymous { .. } | Caller::Unknown => None,
    };
    let (serves, detail) = match (caller, known.map(|standing| standing.token.state(now))) {
        (Caller::Unknown, _) => (Some(false), "nobody was issued it".to_owned()),
        (_, None) => (None, "none was shown".to_owned()),
        (_, Some(TokenState::Live)) => (Some(true), "it serves".to_owned()),
        (_, Some(TokenState::Expired(at))) => (Some(false), format!("it expired on {at}")),
        (_, Some(TokenState::Ended(end))) => (Some(false), format!("{} on {}", end.cause.as_str(), end.at)),
    };
    let mut goes_on = serves != Some(false);
    let mut steps = vec![Step { step: "token serves", passes: serves, detail }];
    if goes_on {
        let detail = if is_public { "everybody reads it" } else { "it needs a token" };
        steps.push(Step { step: "public", passes: Some(is_public), detail: detail.to_owned() });
    }
    for question in Question::ALL {
        let (Some(standing), false) = (known, is_public) else { break };
        let passes = goes_on.then(|| question.passes(standing, channel, asked.location.label));
        goes_on = passes == Some(true);
        let detail = if passes.is_some() { fact(question, standing, asked) } else { String::new() };
        steps.push(Step { step: name(question), passes, detail });
    }
    let has_file = asked.channel.is_some() && asked.location.file().is_some();
    if goes_on && (is_public || known.is_some()) {
        let detail = if has_file { "it names a file" } else { "it names nothing that a channel has" };
        steps.push(Step { step: "path", passes: Some(has_file), detail: detail.to_owned() });
    }
    steps
}

fn grant_in_words(granted: &Granted) -> String {
    let Granted { group, permission, packages, labels } = granted;
    format!("group {group} ({}{})", permission.as_str(), narrowing(packages, labels))
}

/// A question in a word.
fn name(question: Question) -> &'static str {
    match question {
        Question::Scope => "scope",
        Question::Channel => "channel exists",
        Question::Organization => "organization",
        Question::TokenChannels => "token's channels",
        Question::Groups => "groups",
        Question::Labels => "labels",
    }
}

/// What the answer to a question rests on.
fn fact(question: Question, standing: &Standing, asked: &Asked<'_>) -> String {
    let (token, channel) = (&standing.token, asked.channel.map(|channel| &**channel));
    let Some(channel) = channel.filter(|_| question != Question::Scope) else {
        return match question {
            Question::Scope => {
                format!("it has {}; all, repos, conda or conda:download read channels", token.scopes)
            }
            _ => "none of this name is configured".to_owned(),
        };
    };
    match question {
        Question::Scope | Question::Channel => format!("{} is configured", channel.name),
        Question::Organization => format!("the token is of {}", token.organization),
        Question::TokenChannels => match &token.channels {
            None => "it is not confined to channels".to_owned(),
            Some(channels) => format!("it is confined to {}", channels.join(", ")),
        },
        Question::Groups => match standing.rights.of(channel.name.as_str()) {
            Right::Unrestricted => "the organization restricted the channel to no groups".to_owned(),
            Right::Granted(grants) => {
                let grants: Vec<_> = grants.iter().map(grant_in_words).collect();
                format!("granted to {}", grants.join("; "))
            }
            Right::Withheld => "the channel is restricted to groups, none of them the token's".to_owned(),
        },
        Question::Labels => {
            let label = asked.location.label.unwrap_or(DEFAULT_LABEL);
            match standing.rights.of(channel.name.as_str()) {
                Right::Granted(grants) => match grants.strongest_at(asked.location.label) {
                    Some(granted) => format!("label {label} is granted to group {}", granted.group),
                    None => format!("no grant is for label {label}"),
                },
                Right::Unrestricted | Right::Withheld => "no grant is needed".to_owned(),
            }
        }
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
