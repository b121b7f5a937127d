//! What `[store]` means. Knows no SQL.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::{Findings, raw};
use crate::store::check_postgres_url;

/// Where organizations and tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its URL, wherever that was written. `sqlite:<data_dir>/channelgate.db`.
    pub url: StoreUrl,
    /// The file that the URL was read from.
    pub url_file: Option<PathBuf>,
    /// The URL of a standby that may answer lookups of tokens; of PostgreSQL only.
    pub read_url: Option<StoreUrl>,
    /// The file that it was read from.
    pub read_url_file: Option<PathBuf>,
}

/// A store that this version can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A database file of SQLite.
    Sqlite(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(PostgresUrl),
}

/// The URL of a database on a server. It may hold a password, and is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Url);

/// The two keys of a URL, and where their values are from.
struct Source<'r> {
    key: &'static str,
    file_key: &'static str,
    url: &'r Option<String>,
    file: &'r Option<PathBuf>,
}

impl Store {
    pub(super) fn of(raw: raw::Store, data_dir: &Path, findings: &mut Findings<'_>) -> Self {
        let source =
            Source { key: "store.url", file_key: "store.url_file", url: &raw.url, file: &raw.url_file };
        let given = source.is_given();
        let url = source.read(findings);
        let source = Source {
            key: "store.read_url",
            file_key: "store.read_url_file",
            url: &raw.read_url,
            file: &raw.read_url_file,
        };
        let read_url = source.read(findings);
        let is_server = matches!(&url, Some(StoreUrl::Postgres(_))) || (url.is_none() && given);
        if read_url.is_some() && !(is_server && matches!(&read_url, Some(StoreUrl::Postgres(_)))) {
            let problem =
                "expected the URL of a standby of the PostgreSQL server that store.url names, or nothing";
            findings.add("store.read_url", None, problem);
        }
        let by_default = StoreUrl::Sqlite(data_dir.join("channelgate.db"));
        Self {
            url: url.unwrap_or(by_default),
            url_file: raw.url_file,
            read_url,
            read_url_file: raw.read_url_file,
        }
    }

    pub(super) fn raw(&self) -> raw::Store {
        let shown = |file: &Option<PathBuf>, url: Option<&StoreUrl>| {
            if file.is_some() { None } else { url.map(StoreUrl::to_string) }
        };
        raw::Store {
            url: shown(&self.url_file, Some(&self.url)),
            url_file: self.url_file.clone(),
            read_url: shown(&self.read_url_file, self.read_url.as_ref()),
            read_url_file: self.read_url_file.clone(),
        }
    }
}

impl Source<'_> {
    fn is_given(&self) -> bool {
        self.url.is_some() || self.file.is_some()
    }

    /// The URL, if there is one and it means something.
    fn read(&self, findings: &mut Findings<'_>) -> Option<StoreUrl> {
        let (text, key) = match (self.url, self.file) {
            (Some(_), Some(file)) => {
                let problem = format!("expected either this or {}, not both", self.key);
                findings.add(self.file_key, file.to_str(), problem);
                return None;
            }
            (Some(url), None) => (url.clone(), self.key),
            (None, Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) => (text.trim().to_owned(), self.file_key),
                Err(error) => {
                    findings.add(self.file_key, file.to_str(), format!("this file cannot be read: {error}"));
                    return None;
                }
            },
            (None, None) => return None,
        };
        // A file of its own is used to keep the URL secret, and so is the environment; the configuration is shown around.
        let may_hold_secrets = self.file.is_some() || findings.variables.contains_key(self.key);
        StoreUrl::parse(&text, may_hold_secrets)
            .map_err(|problem| findings.add(key, self.file.is_none().then_some(text.as_str()), problem))
            .ok()
    }
}

impl StoreUrl {
    /// As the store opens it, with its password.
    pub fn with_password(&self) -> String {
        match self {
            Self::Sqlite(_) => self.to_string(),
            Self::Postgres(url) => url.0.to_string(),
        }
    }

    fn parse(url: &str, may_hold_secrets: bool) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected sqlite:PATH, such as \"sqlite:var/channelgate.db\", or postgres://USER@HOST/DATABASE";
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return PostgresUrl::parse(url, may_hold_secrets).map(Self::Postgres);
        }
        let path = url.strip_prefix("sqlite:").ok_or(EXPECTED)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(['?', '#']) {
            return Err(EXPECTED);
        }
        if path == ":memory:" {
            return Err("expected a file, which the command line can open beside the gate");
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl PostgresUrl {
    fn parse(text: &str, may_hold_secrets: bool) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "expected postgres://USER@HOST/DATABASE")?;
        let names_secret = url.password().is_some() || url.query_pairs().any(|(name, _)| name == PASSWORD);
        if names_secret && !may_hold_secrets {
            return Err(
                "expected a URL without a password; keep one in the file that store.url_file names, or in the environment (PGPASSWORD)",
            );
        }
        if url.fragment().is_some() {
            return Err("expected a URL without a fragment");
        }
        check_postgres_url(text)?;
        Ok(Self(url))
    }
}

/// As in the configuration, without passwords.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Without its password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Fails where there is no host to have one.
        let _ = shown.set_password(None);
        let rest: Vec<_> = self.0.query_pairs().filter(|(name, _)| name != PASSWORD).collect();
        shown.set_query(None);
        if !rest.is_empty() {
            shown.query_pairs_mut().extend_pairs(rest);
        }
        shown.fmt(f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

const PASSWORD: &str = "password";
