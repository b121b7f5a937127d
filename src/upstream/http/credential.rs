//! The gate's own credentials for an upstream: read once, never printed, sent to one origin.

use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::upstream::config::{Auth, SecretSource};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// No credential is longer; a longer file is the wrong one.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// What may stand in a path segment as it is: RFC 3986 unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A credential as it goes on the wire. Has neither `Debug` nor `Display`, and must not get them.
pub(super) enum Credential {
    None,
    /// Marked sensitive, so that HTTP/2 does not index it and nothing prints it.
    Header(HeaderName, HeaderValue),
    /// `/t/<secret>`.
    Path(String),
}

impl Credential {
    /// Reads the secret and shapes the credential; the error follows the key `auth` in a sentence.
    pub(super) fn load(auth: Option<&Auth>) -> Result<Self, String> {
        let header = |name, value: String| {
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| "has a secret with characters that a header cannot carry".to_owned())?;
            value.set_sensitive(true);
            Ok(Self::Header(name, value))
        };
        match auth {
            None => Ok(Self::None),
            Some(Auth::Bearer(source)) => header(AUTHORIZATION, format!("Bearer {}", read(source)?)),
            Some(Auth::Token(source)) => header(AUTHORIZATION, format!("token {}", read(source)?)),
            Some(Auth::ApiKey(source)) => header(X_API_KEY, read(source)?),
            Some(Auth::Basic { user, password }) => {
                if user.contains(':') || user.chars().any(char::is_control) {
                    return Err("has a user name with a colon or a control character".to_owned());
                }
                let pair = format!("{user}:{}", read(password)?);
                header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
            }
            Some(Auth::Path(source)) => {
                Ok(Self::Path(format!("/t/{}", utf8_percent_encode(&read(source)?, ESCAPED))))
            }
        }
    }

    /// The header that it is, if it is one.
    pub(super) fn header(&self) -> Option<(&HeaderName, &HeaderValue)> {
        if let Self::Header(name, value) = self { Some((name, value)) } else { None }
    }

    /// What goes between the origin and the base path.
    pub(super) fn path(&self) -> &str {
        if let Self::Path(path) = self { path } else { "" }
    }

    /// Adds the header, if it is one.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if let Self::Header(name, value) = self {
            headers.insert(name, value.clone());
        }
    }
}

pub(in crate::upstream) fn read(source: &SecretSource) -> Result<String, String> {
    let (text, place) = match source {
        SecretSource::File(path) => {
            let mut text = String::new();
            File::open(path)
                .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
                .map_err(|error| {
                    format!("names the file {}, which cannot be read: {error}", path.display())
                })?;
            (text, format!("file {}", path.display()))
        }
        SecretSource::Environment(name) => {
            let text = std::env::var(name).map_err(|_| {
                format!("names the environment variable {name}, which is not set or not UTF-8")
            })?;
            (text, format!("environment variable {name}"))
        }
    };
    let secret = text.trim_end_matches(['\r', '\n']);
    let is_sound = !secret.is_empty()
        && secret.len() as u64 <= SECRET_BYTES_MAX
        && !secret.chars().any(char::is_control);
    if is_sound {
        Ok(secret.to_owned())
    } else {
        Err(format!(
            "names the {place}, which must hold one line of 1 to {SECRET_BYTES_MAX} bytes and nothing else"
        ))
    }
}
