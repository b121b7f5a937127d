//! A request path taken apart as far as it can be without knowing the configured channels.

use std::borrow::Cow;

use memchr::memrchr_iter;

use super::segment::{self, PathError};
use super::subdir::Subdir;

/// A request path: where its token stands, and the decoded rest.
///
/// Borrows from the path; it copies only where percent-encoding or a token in the middle forces it to.
#[derive(Clone)]
pub struct RequestTarget<'r> {
    token: PathToken<'r>,
    rest: Cow<'r, str>,
}

/// What stands at the token position of a path.
#[derive(Clone, PartialEq, Eq)]
pub enum PathToken<'r> {
    /// There is no token position, or it is empty (`/t//…`).
    Absent,
    /// A placeholder that clients print instead of the token (`/t/*****/`, `/t/<TOKEN>/`): no credential.
    Masked,
    /// A value to be checked.
    Present(Cow<'r, str>),
}

impl<'r> RequestTarget<'r> {
    /// Reads the path of a request (no query), percent-decoding each segment once.
    ///
    /// The first segment equal to `t` in any case is the token position, whatever precedes it: conda puts it first, rattler and
    /// mamba send it where the user wrote it.
    ///
    /// # Errors
    ///
    /// The first rule that the path breaks.
    pub fn parse(path: &'r str) -> Result<Self, PathError> {
        let tail = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        if tail.is_empty() {
            return Ok(Self { token: PathToken::Absent, rest: Cow::Borrowed("") });
        }
        let mut token = None;
        let mut rest = Rest::new(tail);
        let mut segments = segment::segments(tail);
        while let Some(raw) = segments.next() {
            let segment = segment::decode(raw)?;
            if !segment.eq_ignore_ascii_case("t") {
                rest.push(raw, segment);
                continue;
            }
            if token.is_some() {
                return Err(PathError::SecondToken);
            }
            token = Some(match segments.next() {
                None | Some("") => PathToken::Absent,
                Some(raw) => match segment::decode(raw)? {
                    value if is_masked(&value) => PathToken::Masked,
                    value => PathToken::Present(value),
                },
            });
        }
        Ok(Self { token: token.unwrap_or(PathToken::Absent), rest: rest.finish() })
    }

    /// Reads a path of at most `bytes_max` bytes, as [`Self::parse`] does.
    ///
    /// # Errors
    ///
    /// It is longer, or the first rule that it breaks.
    pub fn parse_within(path: &'r str, bytes_max: usize) -> Result<Self, PathError> {
        if path.len() > bytes_max { Err(PathError::TooLong) } else { Self::parse(path) }
    }

    /// The same path without its token position, for whoever keeps it.
    pub fn without_token(&self) -> RequestTarget<'static> {
        RequestTarget { token: PathToken::Absent, rest: Cow::Owned(self.rest.clone().into_owned()) }
    }

    /// What stands at the token position.
    pub fn token(&self) -> &PathToken<'r> {
        &self.token
    }

    /// The decoded path without its token position and without a leading slash; empty for `/`.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Every way to split the rest into a channel name and what follows it, longest name first.
    pub fn prefixes(&self) -> impl Iterator<Item = (&str, &str)> {
        let rest = self.rest();
        let whole = (!rest.is_empty()).then_some((rest, ""));
        let shorter = memrchr_iter(b'/', rest.as_bytes()).filter_map(move |at| {
            let (name, tail) = rest.split_at_checked(at)?;
            Some((name, tail.strip_prefix('/')?))
        });
        whole.into_iter().chain(shorter)
    }

    /// The channel as the client named it, by the grammar alone.
    ///
    /// Refusals speak of this name and never of the configured one: otherwise a refusal for `a/b/c` would tell whether `a/b` exists.
    pub fn asked_channel(&self) -> &str {
        let rest = self.rest();
        let mut end = 0;
        let mut before_last = 0;
        for segment in rest.split('/') {
            if segment == "label" || Subdir::parse(segment).is_some() {
                return rest.get(..end).unwrap_or_default();
            }
            before_last = end;
            end = if end == 0 { segment.len() } else { end + 1 + segment.len() };
        }
        let channel = rest.get(..before_last).unwrap_or_default();
        channel.strip_suffix("/icons").unwrap_or(channel)
    }

    /// What follows [`Self::asked_channel`].
    pub fn tail_by_grammar(&self) -> &str {
        let tail = self.rest().strip_prefix(self.asked_channel()).unwrap_or_default();
        tail.strip_prefix('/').unwrap_or(tail)
    }
}

/// True for what conda, mamba and rattler print in place of a token: `*****`, `********`, `<TOKEN>`.
pub(crate) fn is_masked(value: &str) -> bool {
    (!value.is_empty() && value.bytes().all(|byte| byte == b'*'))
        || (value.starts_with('<') && value.ends_with('>'))
}

/// The segments kept so far: a slice of the path as long as they are contiguous and unescaped, a copy after that.
struct Rest<'r> {
    path: &'r str,
    kept: Option<(usize, usize)>,
    copied: Option<String>,
}

impl<'r> Rest<'r> {
    fn new(path: &'r str) -> Self {
        Self { path, kept: None, copied: None }
    }

    fn push(&mut self, raw: &'r str, segment: Cow<'r, str>) {
        if self.copied.is_none() && matches!(segment, Cow::Borrowed(_)) {
            let start = raw.as_ptr() as usize - self.path.as_ptr() as usize;
            let end = start + raw.len();
            match self.kept {
                None => return self.kept = Some((start, end)),
                Some((first, last)) if last + 1 == start => return self.kept = Some((first, end)),
                Some(_) => {}
            }
        }
        let so_far = self.borrowed().unwrap_or_default();
        let copied = self.copied.get_or_insert_with(|| so_far.to_owned());
        if !copied.is_empty() {
            copied.push('/');
        }
        copied.push_str(&segment);
    }

    fn borrowed(&self) -> Option<&'r str> {
        self.kept.and_then(|(start, end)| self.path.get(start..end))
    }

    fn finish(self) -> Cow<'r, str> {
        match self.copied {
            Some(copied) => Cow::Owned(copied),
            None => Cow::Borrowed(self.borrowed().unwrap_or_default()),
        }
    }
}
