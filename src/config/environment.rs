//! The process's environment, as far as it configures the gate.
//!
//! `CHANNELGATE_<SECTION>__<KEY>` sets a key of a section, `CHANNELGATE_<KEY>` one outside of sections, further `__` lead into nested
//! tables. A variable with `__` that sets nothing is a mistake: a misspelt one would otherwise be obeyed by nobody and missed by nobody.
//! One without may well be somebody else's, such as a script's `CHANNELGATE_BIN`: it is told of and does no harm. The environment is
//! passed in as a value, so that two gates in one process can have two. It must never be printed: it has no `Debug`.

use std::collections::BTreeMap;

/// Environment variables by name.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// A variable that sets a key.
pub(super) struct Variable {
    /// As in the environment.
    pub(super) name: String,
    /// The key: section, nested tables, key.
    pub(super) path: Vec<String>,
    /// The value.
    pub(super) text: String,
}

impl Environment {
    /// That of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    /// The value of a variable; `None` if it is not set or empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The variables that set keys, whether there are such keys or not.
    pub(super) fn settings(&self) -> impl Iterator<Item = Variable> {
        self.0.iter().filter_map(|(name, text)| {
            let key = name.strip_prefix(PREFIX)?;
            if name == CONFIG || is_of_kubernetes(key) {
                return None;
            }
            let path = key.split("__").map(str::to_ascii_lowercase).collect();
            Some(Variable { name: name.clone(), path, text: text.clone() })
        })
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Kubernetes gives every pod `CHANNELGATE_SERVICE_HOST`, `CHANNELGATE_PORT_8480_TCP` and more of the kind if a service beside it is
/// called `channelgate`. No section begins so.
fn is_of_kubernetes(key: &str) -> bool {
    !key.contains("__") && (key == "PORT" || key.starts_with("PORT_") || key.starts_with("SERVICE_"))
}

/// Names the configuration file.
pub(super) const CONFIG: &str = "CHANNELGATE_CONFIG";

const PREFIX: &str = "CHANNELGATE_";
