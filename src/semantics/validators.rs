//! Entity tags and modification times (RFC 9110 section 8.8).

use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// An entity tag, with its quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag(HeaderValue);

impl EntityTag {
    /// Reads one entity tag, weak or strong; `None` for what is not one.
    pub fn from_header(value: HeaderValue) -> Option<Self> {
        let text = value.as_bytes();
        let opaque = text.strip_prefix(b"W/").unwrap_or(text);
        let inner = opaque.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        // RFC 9110 section 8.8.3: etagc is %x21 / %x23-7E / obs-text.
        let is_etagc = |&byte: &u8| byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80;
        inner.iter().all(is_etagc).then_some(Self(value))
    }

    /// The same of a value that is needed further.
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        Self::from_header(value.clone())
    }

    /// A strong tag around `opaque`, which must be made of letters, digits and hyphens; other characters are left out.
    pub fn strong(opaque: &str) -> Self {
        let clean: String = opaque.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        Self(
            HeaderValue::try_from(format!("\"{clean}\""))
                .unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
        )
    }

    /// True unless it begins with `W/`.
    pub fn is_strong(&self) -> bool {
        !self.0.as_bytes().starts_with(b"W/")
    }

    /// The header value.
    pub fn into_header(self) -> HeaderValue {
        self.0
    }

    /// The header value.
    pub fn as_header(&self) -> &HeaderValue {
        &self.0
    }

    fn opaque(&self) -> &[u8] {
        self.0.as_bytes().strip_prefix(b"W/").unwrap_or(self.0.as_bytes())
    }

    /// Strong comparison: both strong and equal. For ranges.
    pub fn matches_strongly(&self, other: &[u8]) -> bool {
        self.is_strong() && self.0.as_bytes() == other
    }

    /// Weak comparison: equal but for `W/`. For `If-None-Match`.
    pub fn matches_weakly(&self, other: &[u8]) -> bool {
        self.opaque() == other.strip_prefix(b"W/").unwrap_or(other)
    }
}

/// When a body was last modified, to the second.
#[derive(Clone, Debug)]
pub struct Modified(Form);

#[derive(Clone, Debug)]
enum Form {
    /// As HTTP writes it today. Nearly always it was read so and is passed on so, and nobody asks when that is.
    Written(HeaderValue),
    At(SystemTime),
}

impl Modified {
    /// Reads a date in any of the three forms of RFC 9110 section 5.6.7.
    pub fn from_header(value: HeaderValue) -> Option<Self> {
        if is_fixdate(value.as_bytes()) {
            return Some(Self(Form::Written(value)));
        }
        parse_http_date(&value).map(Self::from)
    }

    /// The same, with its header value at hand for those who need it again and again.
    pub fn written(self) -> Self {
        Self(Form::Written(self.into_header()))
    }

    /// The time; `None` for one that has the form of a date and is none, such as the 31st of February.
    pub fn at(&self) -> Option<SystemTime> {
        match &self.0 {
            Form::Written(value) => parse_http_date(value),
            Form::At(at) => Some(*at),
        }
    }

    /// The header value, in the form of today.
    pub fn into_header(self) -> HeaderValue {
        match self.0 {
            Form::Written(value) => value,
            Form::At(at) => http_date(at),
        }
    }
}

impl From<SystemTime> for Modified {
    fn from(at: SystemTime) -> Self {
        Self(Form::At(at))
    }
}

impl PartialEq for Modified {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Written(one), Form::Written(other)) => one == other,
            _ => self.at() == other.at(),
        }
    }
}

impl Eq for Modified {}

/// Whether a text has the form of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7, IMF-fixdate), whether there was such a day or not.
fn is_fixdate(text: &[u8]) -> bool {
    const FORM: &[u8; 29] = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    text.len() == FORM.len()
        && text.iter().zip(FORM).all(|(byte, form)| match form {
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
}

/// What identifies one version of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<EntityTag>,
    /// `Last-Modified`.
    pub last_modified: Option<Modified>,
}

/// `time` as HTTP writes it (IMF-fixdate).
pub fn http_date(time: SystemTime) -> HeaderValue {
    // Years past 9999 or before 1970 have no IMF-fixdate; httpdate panics on them.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = time.clamp(SystemTime::UNIX_EPOCH, last);
    HeaderValue::try_from(httpdate::fmt_http_date(time)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Reads a date in any of the three forms of RFC 9110 section 5.6.7.
pub fn parse_http_date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}
