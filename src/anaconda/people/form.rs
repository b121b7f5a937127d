//! Forms as browsers and OAuth clients send them: `application/x-www-form-urlencoded`, each field once, and few of them. Pure.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use url::form_urlencoded;

/// The fields of a form or of a query.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

/// Why a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is something else.
    #[error("the body has to be a form (application/x-www-form-urlencoded)")]
    MediaType,
    /// It is longer than any form of the gate's.
    #[error("the form is longer than {BYTES_MAX} bytes")]
    TooLong,
    /// It has more fields than any form of the gate's.
    #[error("the form has more than {FIELDS_MAX} fields")]
    TooMany,
    /// A field stands in it twice, so that it says two things (RFC 6749 section 3.1).
    #[error("the form has a field twice")]
    Twice,
    /// It is not text.
    #[error("the form is not UTF-8")]
    Encoding,
}

impl Fields {
    /// The fields of a body that came with these headers.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, FormError> {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(FormError::MediaType);
        }
        Self::parse(body)
    }

    /// The fields of a query; none without one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of_query(query: Option<&str>) -> Result<Self, FormError> {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// The fields that are written so.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn parse(text: &[u8]) -> Result<Self, FormError> {
        if text.len() > BYTES_MAX {
            return Err(FormError::TooLong);
        }
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            // The parser puts this where there was no text; no field of the gate's has it.
            if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(FormError::Encoding);
            }
            if fields.len() == FIELDS_MAX {
                return Err(FormError::TooMany);
            }
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(FormError::Twice);
            }
        }
        Ok(Self(fields))
    }

    /// The value of a field; `None` where it is absent or empty (RFC 6749 section 3.1: the same).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The longest form.
const BYTES_MAX: usize = 8 * 1024;

/// The most fields.
const FIELDS_MAX: usize = 32;

#[cfg(test)]
mod tests;
