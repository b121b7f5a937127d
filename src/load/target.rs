//! The channel that is asked, and the credential it is asked with. The only file that sees the token: what is shown of a target has none,
//! and nothing that holds one can be printed.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, HeaderName, Uri};
use url::Url;

use crate::conda::redact;

/// A token's value. No `Debug`, no `Display`.
#[derive(Clone)]
pub struct Token(String);

/// Where a token stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// `/t/<TOKEN>/` in the path, as conda sends it.
    Path,
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: token`, as anaconda-auth sends it.
    Token,
    /// `Authorization: Basic`, with the token as password.
    Basic,
    /// `X-API-Key`.
    ApiKey,
}

/// A channel at a server.
#[derive(Clone)]
pub struct Target {
    is_https: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// As in the URL, for `Host`.
    authority: String,
    /// The path before the token position; empty, or with a slash in front.
    before: String,
    /// The path behind it.
    after: String,
    credential: Option<(Carrier, Token)>,
    carrier: Carrier,
}

/// A request without its method, ready to be sent often.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// Why there is no such target. Repeats nothing of the URL, which may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It is no URL, or of another scheme.
    #[error("the URL of a channel is expected, such as https://conda.example.org/conda-forge")]
    Url,
    /// What a channel's URL does not have.
    #[error("the channel's URL must have neither query nor fragment")]
    Extra,
    /// More than one.
    #[error("there are two tokens: one in the URL and one besides; leave one out")]
    TwoTokens,
    /// The placeholder without what it stands for.
    #[error("the URL has a masked token (/t/<TOKEN>/): say the real one with --token-file")]
    Masked,
    /// A value that cannot be sent.
    #[error(
        "the token cannot stand in {0}: it must have up to 8192 characters, without blanks or control characters, and in a path only \
         letters, digits and -._~"
    )]
    Token(&'static str),
}

impl Token {
    const BYTES_MAX: usize = 8_192;

    /// Wraps a token's value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    fn check(&self, carrier: Carrier) -> Result<(), BadTarget> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let fits = (1..=Self::BYTES_MAX).contains(&self.0.len())
            && self.0.bytes().all(|byte| byte.is_ascii_graphic())
            && (carrier != Carrier::Path || self.0.bytes().all(is_plain));
        if fits { Ok(()) } else { Err(BadTarget::Token(carrier.as_str())) }
    }
}

impl Carrier {
    /// Its name in options and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Bearer => "bearer",
            Self::Token => "token",
            Self::Basic => "basic",
            Self::ApiKey => "x-api-key",
        }
    }

    fn header(self, value: &str) -> Option<(HeaderName, HeaderValue)> {
        let (name, text) = match self {
            Self::Path => return None,
            Self::Bearer => (AUTHORIZATION, format!("Bearer {value}")),
            Self::Token => (AUTHORIZATION, format!("token {value}")),
            Self::Basic => (AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(format!("x:{value}")))),
            Self::ApiKey => (HeaderName::from_static("x-api-key"), value.to_owned()),
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

impl Target {
    /// The channel at `url`, read with `token`, or with the token that the URL holds.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(url: &str, token: Option<Token>, carrier: Carrier) -> Result<Self, BadTarget> {
        let url = Url::parse(url.trim()).map_err(|_| BadTarget::Url)?;
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadTarget::Url),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(BadTarget::Url);
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadTarget::Extra);
        }
        let (before, after, of_path) = split(url.path());
        let of_user = match (url.username(), url.password()) {
            ("", None) => None,
            (user, None | Some("")) => Some(user),
            (_, Some(password)) => Some(password),
        };
        let given = [
            token.map(|token| (carrier, token)),
            of_path
                .as_ref()
                .filter(|token| !is_placeholder(token))
                .map(|token| (Carrier::Path, Token(token.clone()))),
            of_user.map(|token| {
                let decoded = percent_encoding::percent_decode_str(token).decode_utf8_lossy().into_owned();
                (Carrier::Basic, Token(decoded))
            }),
        ];
        let mut given = given.into_iter().flatten();
        let credential = given.next();
        if given.next().is_some() {
            return Err(BadTarget::TwoTokens);
        }
        if credential.is_none() && of_path.is_some() {
            return Err(BadTarget::Masked);
        }
        if let Some((carrier, token)) = &credential {
            token.check(*carrier)?;
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let authority = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let carrier = credential.as_ref().map_or(carrier, |(carrier, _)| *carrier);
        Ok(Self { is_https, host, port, authority, before, after, credential, carrier })
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How it is asked, if with a token.
    pub fn carrier(&self) -> Option<Carrier> {
        self.credential.as_ref().map(|(carrier, _)| *carrier)
    }

    /// The channel's last segment.
    pub(super) fn channel(&self) -> &str {
        self.after.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or_default()
    }

    /// The channel's URL without any credential; a slash at its end.
    pub(super) fn base(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}{}/", self.authority, self.before, self.after)
    }

    /// The request for a file of the channel, with the target's own credential.
    pub(super) fn prepare(&self, file: &str) -> Option<Prepared> {
        match &self.credential {
            Some((carrier, token)) => self.with(file, *carrier, &token.0),
            None => self.build(format!("{}{}/{file}", self.before, self.after), None),
        }
    }

    /// The same with a credential that nobody was given.
    pub(super) fn prepare_garbage(&self, file: &str, garbage: &str) -> Option<Prepared> {
        self.with(file, self.carrier, garbage)
    }

    fn with(&self, file: &str, carrier: Carrier, token: &str) -> Option<Prepared> {
        if carrier == Carrier::Path {
            return self.build(format!("{}/t/{token}{}/{file}", self.before, self.after), None);
        }
        self.build(format!("{}{}/{file}", self.before, self.after), carrier.header(token))
    }

    fn build(&self, path: String, credential: Option<(HeaderName, HeaderValue)>) -> Option<Prepared> {
        let uri = Uri::builder()
            .scheme(if self.is_https { "https" } else { "http" })
            .authority(self.authority.as_str())
            .path_and_query(path)
            .build()
            .ok()?;
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(HOST, HeaderValue::try_from(&self.authority).ok()?);
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("channelgate-bench/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(credential);
        Some(Prepared { uri, headers })
    }

    /// `text`, which a target sent, unless it repeats the token.
    pub(super) fn without_token(&self, text: String) -> String {
        match &self.credential {
            Some((_, Token(token))) if text.contains(token.as_str()) => redact::MASK.to_owned(),
            _ => redact::sentence(&text).into_owned(),
        }
    }
}

/// For people and reports: without the token, and with whatever else could be one masked.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        let path = format!("{}{}", self.before, self.after);
        write!(f, "{scheme}://{}{}", self.authority, redact::text(&path))
    }
}

/// A channel's path before and behind its token position, and what stands there. Segments stay as written; empty ones fall out.
fn split(path: &str) -> (String, String, Option<String>) {
    let (mut before, mut after, mut token) = (String::new(), String::new(), None);
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    while let Some(segment) = segments.next() {
        if token.is_none() && segment.eq_ignore_ascii_case("t") {
            // The parts so far precede the token.
            std::mem::swap(&mut before, &mut after);
            token = Some(segments.next().unwrap_or_default().to_owned());
        } else {
            after.push('/');
            after.push_str(segment);
        }
    }
    (before, after, token)
}

/// What clients print in place of a token, as a URL has it.
fn is_placeholder(token: &str) -> bool {
    token.is_empty()
        || token.bytes().all(|byte| byte == b'*')
        || (token.starts_with("%3C") && token.ends_with("%3E"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "cg-0123456789abcdefghijklmnopqrstuvwxyzABCD";

    fn target(url: &str, token: Option<&str>, carrier: Carrier) -> Result<Target, BadTarget> {
        Target::new(url, token.map(|token| Token::new(token.to_owned())), carrier)
    }

    #[test]
    fn requests_have_the_token_where_its_carrier_has_it() {
        let header = |prepared: &Prepared, name: &str| {
            prepared.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        for (name, url, token, carrier, uri, authorization) in [
            ("none", "http://h:1/c", None, Carrier::Path, "http://h:1/c/f", None),
            ("path", "http://h/a/c/", Some("T-1"), Carrier::Path, "http://h/t/T-1/a/c/f", None),
            ("in the URL", "http://h/t/T-1/c", None, Carrier::Bearer, "http://h/t/T-1/c/f", None),
            ("in the middle", "http://h/a/t/T-1/c", None, Carrier::Path, "http://h/a/t/T-1/c/f", None),
            ("placeholder", "https://h/a/t/<TOKEN>/c", Some("T"), Carrier::Path, "https://h/a/t/T/c/f", None),
            ("bearer", "http://h/c", Some("T"), Carrier::Bearer, "http://h/c/f", Some("Bearer T")),
            ("token", "http://h/c", Some("T"), Carrier::Token, "http://h/c/f", Some("token T")),
            ("basic", "http://h/c", Some("T"), Carrier::Basic, "http://h/c/f", Some("Basic eDpU")),
            ("user", "http://x:T@h/c", None, Carrier::Path, "http://h/c/f", Some("Basic eDpU")),
        ] {
            let target = target(url, token, carrier).unwrap();
            let prepared = target.prepare("f").unwrap();
            assert_eq!(prepared.uri.to_string(), uri, "{name}");
            assert_eq!(header(&prepared, "authorization").as_deref(), authorization, "{name}");
        }
        let key = target("http://h/c", Some("T"), Carrier::ApiKey).unwrap();
        assert_eq!(header(&key.prepare("f").unwrap(), "x-api-key").as_deref(), Some("T"));
        let garbage = key.prepare_garbage("f", "G").unwrap();
        assert_eq!(header(&garbage, "x-api-key").as_deref(), Some("G"));
    }

    #[test]
    fn mistakes_are_told() {
        for (url, token, carrier, expected) in [
            ("main", None, Carrier::Path, BadTarget::Url),
            ("ftp://h/c", None, Carrier::Path, BadTarget::Url),
            ("file:///srv/c", None, Carrier::Path, BadTarget::Url),
            ("http://h/c?x=1", None, Carrier::Path, BadTarget::Extra),
            ("http://h/t/A/c", Some("B"), Carrier::Path, BadTarget::TwoTokens),
            ("http://u:A@h/t/B/c", None, Carrier::Path, BadTarget::TwoTokens),
            ("http://h/t/*****/c", None, Carrier::Path, BadTarget::Masked),
            ("http://h/c", Some("a/b"), Carrier::Path, BadTarget::Token("path")),
            ("http://h/c", Some("a b"), Carrier::Bearer, BadTarget::Token("bearer")),
            ("http://h/c", Some(""), Carrier::Basic, BadTarget::Token("basic")),
        ] {
            assert_eq!(target(url, token, carrier).err(), Some(expected), "{url}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_of_a_target_has_no_token(
            // `t` is the place of a token.
            prefix in "(/[a-su-z][a-z]{0,7}){0,2}",
            channel in "[a-su-z][a-z]{0,8}",
            place in 0..3,
        ) {
            let url = match place {
                0 => format!("https://h.test{prefix}/t/{TOKEN}/{channel}"),
                1 => format!("https://u:{TOKEN}@h.test{prefix}/{channel}"),
                _ => format!("https://h.test/{TOKEN}/{channel}"),
            };
            let target = target(&url, None, Carrier::Path).unwrap();
            prop_assert!(!target.to_string().contains(TOKEN));
            let tail = format!("/{channel}");
            prop_assert!(target.to_string().ends_with(&tail));
            if place < 2 {
                prop_assert_eq!(target.to_string(), format!("https://h.test{prefix}/{channel}"));
                prop_assert!(!target.base().contains(TOKEN));
            }
            prop_assert_eq!(target.without_token(format!("no token {TOKEN} here")).contains(TOKEN), false);
        }
    }
}
