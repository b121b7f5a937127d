//! Where a package is from, without what a URL may hold besides: user, password, token, query.

use std::fmt;

use url::Url;

use crate::conda::redact;

/// A URL of a package or channel, or a path where a lock file gives one. Knows no credential: a token position (`/t/<TOKEN>`) is cut out
/// where it is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackageUrl {
    /// `https://host:port`, `file://`, or nothing for a path.
    origin: String,
    /// As written, percent-encoded; no empty ones.
    segments: Vec<String>,
}

impl PackageUrl {
    /// Reads an absolute URL, or a path; `None` for what is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (origin, path) = match Url::parse(text) {
            Ok(url) => {
                let host = match (url.scheme(), url.host_str(), url.port_or_known_default()) {
                    ("file", _, _) => String::new(),
                    (_, Some(host), Some(port)) => format!("{host}:{port}"),
                    _ => return None,
                };
                (format!("{}://{host}", url.scheme()), url.path().to_owned())
            }
            Err(url::ParseError::RelativeUrlWithoutBase) if !text.is_empty() => {
                (String::new(), text.split(['?', '#']).next().unwrap_or_default().to_owned())
            }
            Err(_) => return None,
        };
        let mut segments = Vec::new();
        let mut rest = path.split('/').filter(|segment| !segment.is_empty());
        let mut has_token = false;
        while let Some(segment) = rest.next() {
            if segment.eq_ignore_ascii_case("t") && !has_token {
                has_token = true;
                rest.next();
            } else {
                segments.push(segment.to_owned());
            }
        }
        Some(Self { origin, segments })
    }

    /// What follows `base` here, without a leading slash; `None` where it is not below it.
    pub fn below(&self, base: &Self) -> Option<String> {
        let rest = self.segments.strip_prefix(base.segments.as_slice())?;
        (self.origin == base.origin && !rest.is_empty()).then(|| rest.join("/"))
    }

    /// How many segments its path has.
    pub fn depth(&self) -> usize {
        self.segments.len()
    }
}

/// For people: without credentials, and with whatever else could be a token masked.
impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        for (at, segment) in self.segments.iter().enumerate() {
            let separator = if at > 0 || !self.origin.is_empty() { "/" } else { "" };
            write!(f, "{separator}{}", redact::text(segment))?;
        }
        Ok(())
    }
}
