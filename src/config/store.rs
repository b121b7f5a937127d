//! What `[store]` means. Knows no SQL.

use std::path::{Path, PathBuf};

use super::{Findings, raw};

/// Where organizations and tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its URL, wherever that was written. `sqlite:<data_dir>/channelgate.db`.
    pub url: StoreUrl,
    /// The file that the URL was read from.
    pub url_file: Option<PathBuf>,
}

/// A store that this version can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A database file of SQLite.
    Sqlite(PathBuf),
}

impl Store {
    pub(super) fn of(raw: raw::Store, data_dir: &Path, findings: &mut Findings<'_>) -> Self {
        let by_default = StoreUrl::Sqlite(data_dir.join("channelgate.db"));
        let (url, key) = match (&raw.url, &raw.url_file) {
            (Some(_), Some(file)) => {
                findings.add("store.url_file", file.to_str(), "expected either this or store.url, not both");
                (None, "store.url")
            }
            (Some(url), None) => (Some(url.clone()), "store.url"),
            (None, Some(file)) => (read_url(file, findings), "store.url_file"),
            (None, None) => (None, "store.url"),
        };
        let url = url.and_then(|url| {
            StoreUrl::parse(&url)
                .map_err(|problem| {
                    // A file is used to keep the URL secret.
                    let shown = raw.url_file.is_none().then_some(url.as_str());
                    findings.add(key, shown, problem);
                })
                .ok()
        });
        Self { url: url.unwrap_or(by_default), url_file: raw.url_file }
    }

    pub(super) fn raw(&self) -> raw::Store {
        match &self.url_file {
            Some(file) => raw::Store { url: None, url_file: Some(file.clone()) },
            None => raw::Store { url: Some(self.url.to_string()), url_file: None },
        }
    }
}

impl StoreUrl {
    fn parse(url: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected sqlite:PATH, such as \"sqlite:var/channelgate.db\"";
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return Err("this version keeps its store in SQLite only; expected sqlite:PATH");
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

/// As in the configuration.
impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

fn read_url(file: &Path, findings: &mut Findings<'_>) -> Option<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            findings.add("store.url_file", file.to_str(), format!("this file cannot be read: {error}"));
            None
        }
    }
}
