//! The fields of a message's head as a list: there are few of them, and going through those is less than hashing a name.

use std::vec;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// None yet, with room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// Adds one.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// Whether there is one of this name.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// The first of this name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.get_all(name).next()
    }

    /// All of this name.
    pub fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter().filter(move |(one, _)| one == name).map(|(_, value)| value)
    }

    /// Takes the first of this name out.
    pub fn take(&mut self, name: &HeaderName) -> Option<HeaderValue> {
        let at = self.0.iter().position(|(one, _)| one == name)?;
        Some(self.0.remove(at).1)
    }
}

impl From<HeaderMap> for Fields {
    fn from(headers: HeaderMap) -> Self {
        let mut fields = Self::with_capacity(headers.len());
        let mut last = None;
        for (name, value) in headers {
            // Further values of one name come without it.
            last = name.or(last);
            if let Some(name) = &last {
                fields.push(name.clone(), value);
            }
        }
        fields
    }
}

impl IntoIterator for Fields {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
