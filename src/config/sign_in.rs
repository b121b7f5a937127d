//! What `[sign_in]` means.
//!
//! No secret is part of it: the client's secret at the OpenID provider is in a file or variable that it names, and the gate's own in a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::{Findings, SecretSource, raw};
use crate::conda::ChannelName;

/// How people sign in, and what their tools get by it.
#[derive(Clone, Debug, PartialEq)]
pub struct SignIn {
    /// Whether users may sign in by a password. They may.
    pub password: bool,
    /// How long a browser stays signed in. 12 h.
    pub session_life: Duration,
    /// How long an API key serves. 90 days.
    pub api_key_life: Duration,
    /// How long a key signs API keys before another one does. 90 days.
    pub signing_key_life: Duration,
    /// The file with the secret from which everything that gates over one store must agree on is derived. `<data_dir>/sign-in-secret`.
    pub secret_file: PathBuf,
    /// The channel that a token must be able to read before `anaconda token install` is given it. `repo/main`.
    pub default_channel: String,
    /// The organization's OpenID provider, if it has one.
    pub oidc: Option<Oidc>,
}

/// An OpenID provider, and what the gate is to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Oidc {
    /// What it calls itself; below it is `.well-known/openid-configuration`. As it was written: a slash at the end matters.
    pub issuer: String,
    /// What it calls the gate.
    pub client_id: String,
    /// What proves that it is the gate; a public client has none.
    pub client_secret: Option<SecretSource>,
    /// The claim that says which user somebody is, when they come for the first time. `email`.
    pub user_claim: String,
    /// What it is asked for. `openid email profile`.
    pub scopes: Vec<String>,
    /// PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What people know it by; without, by its host.
    pub title: Option<String>,
}

impl SignIn {
    pub(super) fn of(raw: raw::SignIn, data_dir: &Path, findings: &mut Findings<'_>) -> Self {
        if let Err(error) = ChannelName::parse(&raw.default_channel) {
            findings.add("sign_in.default_channel", Some(&raw.default_channel), error.to_string());
        }
        Self {
            password: raw.password,
            session_life: raw.session_life,
            api_key_life: raw.api_key_life,
            signing_key_life: raw.signing_key_life,
            secret_file: raw.secret_file.unwrap_or_else(|| data_dir.join("sign-in-secret")),
            default_channel: raw.default_channel,
            oidc: oidc(raw.oidc, findings),
        }
    }

    pub(super) fn raw(&self) -> raw::SignIn {
        let Self {
            password,
            session_life,
            api_key_life,
            signing_key_life,
            secret_file,
            default_channel,
            oidc,
        } = self;
        raw::SignIn {
            password: *password,
            session_life: *session_life,
            api_key_life: *api_key_life,
            signing_key_life: *signing_key_life,
            secret_file: Some(secret_file.clone()),
            default_channel: default_channel.clone(),
            oidc: oidc.as_ref().map(Oidc::raw).unwrap_or_default(),
        }
    }
}

impl Oidc {
    fn raw(&self) -> raw::Oidc {
        let client_secret = self.client_secret.as_ref().map(|source| match source {
            SecretSource::File(file) => raw::ClientSecret { file: Some(file.clone()), env: None },
            SecretSource::Variable(name) => raw::ClientSecret { file: None, env: Some(name.clone()) },
        });
        raw::Oidc {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret,
            user_claim: self.user_claim.clone(),
            scopes: self.scopes.join(" "),
            ca_file: self.ca_file.clone().unwrap_or_default(),
            title: self.title.clone().unwrap_or_default(),
        }
    }
}

fn oidc(raw: raw::Oidc, findings: &mut Findings<'_>) -> Option<Oidc> {
    if raw.issuer.is_empty() {
        if !raw.client_id.is_empty() || raw.client_secret.is_some() {
            let problem = "expected the provider's URL, as the gate's client at it is given; or neither";
            findings.add("sign_in.oidc.issuer", Some(""), problem);
        }
        return None;
    }
    if let Err(problem) = check_issuer(&raw.issuer) {
        findings.add("sign_in.oidc.issuer", Some(&raw.issuer), problem);
    }
    if raw.client_id.is_empty() {
        findings.add("sign_in.oidc.client_id", Some(""), "expected what the provider calls this gate");
    }
    if raw.user_claim.is_empty() {
        findings.add(
            "sign_in.oidc.user_claim",
            Some(""),
            "expected a claim, such as \"email\" or \"preferred_username\"",
        );
    }
    let scopes: Vec<_> = raw.scopes.split_ascii_whitespace().map(str::to_owned).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        let problem = "expected scopes of which one is \"openid\", such as \"openid email profile\"";
        findings.add("sign_in.oidc.scopes", Some(&raw.scopes), problem);
    }
    if raw.title.contains(char::is_control) || raw.title.chars().count() > TITLE_CHARS_MAX {
        let problem = "expected at most 64 characters on one line, such as \"Example Corp\"";
        findings.add("sign_in.oidc.title", Some(&raw.title), problem);
    }
    let ca_file = Some(raw.ca_file).filter(|file| !file.as_os_str().is_empty());
    if let Some(file) = &ca_file {
        findings.check_file("sign_in.oidc.ca_file", file);
    }
    Some(Oidc {
        issuer: raw.issuer,
        client_id: raw.client_id,
        client_secret: raw.client_secret.and_then(|raw| client_secret(raw, findings)),
        user_claim: raw.user_claim,
        scopes,
        ca_file,
        title: Some(raw.title).filter(|title| !title.is_empty()),
    })
}

/// OpenID Connect Discovery 1.0, section 3: `https`, a host, no query, no fragment. On this machine itself plaintext harms nobody.
fn check_issuer(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("expected https://host, such as \"https://login.example.org\"")?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("expected a URL without user, password, query and fragment");
    }
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || is_local {
        Ok(())
    } else {
        Err("expected https: what the provider says decides who somebody is")
    }
}

fn client_secret(raw: raw::ClientSecret, findings: &mut Findings<'_>) -> Option<SecretSource> {
    const KEY: &str = "sign_in.oidc.client_secret";
    match (raw.file, raw.env) {
        (Some(file), None) => {
            findings.check_file(format!("{KEY}.file"), &file);
            Some(SecretSource::File(file))
        }
        (None, Some(name)) => {
            if findings.environment.variable(&name).is_none() {
                findings.add(format!("{KEY}.env"), Some(&name), "this environment variable is not set");
            }
            Some(SecretSource::Variable(name))
        }
        (Some(_), Some(_)) | (None, None) => {
            findings.add(KEY, None, format!("expected either {KEY}.file or {KEY}.env"));
            None
        }
    }
}

const TITLE_CHARS_MAX: usize = 64;
