//! Paths as logs and error bodies may show them: without the token, wherever a client put it.
//!
//! Only parsed pieces are ever shown. People also put tokens where none belongs (`/<TOKEN>/channel`, a file name), so besides the
//! token position everything that looks like a token is masked.

use std::borrow::Cow;

use memchr::memchr_iter;

use super::target::{PathToken, RequestTarget};
use crate::byte_set::ByteSet;

/// Stands where a token stood, in the form that conda prints.
pub const MASK: &str = "<TOKEN>";

/// Shown for a path that could not be parsed: its raw bytes may hold anything.
pub const UNPARSABLE: &str = "<unparsable>";

/// A whole segment of at least this many token characters is masked: it is no file (those have a dot) and no usual name.
const SEGMENT_BYTES_MIN: usize = 20;

/// Inside a longer segment, such as a file name, a run of token characters this long is masked; package names stay below it.
const RUN_BYTES_MIN: usize = 36;

/// How every JSON Web Token begins, and so every API key: `{"` in base64url.
pub const SIGNED_PREFIX: &str = "eyJ";
const SIGNED_PREFIX_END: u8 = match SIGNED_PREFIX.as_bytes() {
    [.., last] => *last,
    [] => 0,
};

/// No header, no claims and no signature are shorter.
pub const SIGNED_PART_CHARS_MIN: usize = 10;

/// The path of `target` for display: `/t/<TOKEN>/channel/noarch/repodata.json`.
pub fn path(target: &RequestTarget<'_>) -> String {
    let rest = text(target.rest());
    let mut shown = String::with_capacity(rest.len() + 12);
    if *target.token() != PathToken::Absent {
        shown.push_str("/t/");
        shown.push_str(MASK);
    }
    if !rest.is_empty() || shown.is_empty() {
        shown.push('/');
        shown.push_str(&rest);
    }
    shown
}

/// The path in `raw` for display, [`UNPARSABLE`] if it does not parse. A query is dropped.
pub fn raw_path(raw: &str) -> String {
    let without_query = raw.split(['?', '#']).next().unwrap_or_default();
    RequestTarget::parse(without_query).map_or_else(|_| UNPARSABLE.to_owned(), |target| path(&target))
}

/// `text`, segment by segment, with everything masked that could be a token: whole segments and long runs of `[A-Za-z0-9-]` that mix
/// two of small letters, capitals and digits, and are not a hexadecimal digest (shards are named by one, and knowing a digest opens nothing);
/// and API keys.
pub fn text(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    match without_signed(text) {
        Cow::Borrowed(text) => plain_text(text),
        Cow::Owned(text) => Cow::Owned(plain_text(&text).into_owned()),
    }
}

fn plain_text(text: &str) -> Cow<'_, str> {
    let runs = || text.split(|c| !is_token_char(c));
    if !text
        .split('/')
        .any(|segment| segment.chars().all(is_token_char) && is_suspect(segment, SEGMENT_BYTES_MIN))
        && !runs().any(|run| is_suspect(run, RUN_BYTES_MIN))
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for (index, segment) in text.split('/').enumerate() {
        if index > 0 {
            shown.push('/');
        }
        let bytes_min = if segment.chars().all(is_token_char) { SEGMENT_BYTES_MIN } else { RUN_BYTES_MIN };
        mask_runs(segment, bytes_min, &mut shown);
    }
    Cow::Owned(shown)
}

/// True for what is neither long enough for a token nor has the beginning of an API key in it: nearly every path. A run of so many token
/// characters has one of them at each place that is a multiple of that number, so only around those is looked.
fn is_harmless(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_run = |at: usize| {
        let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        let is_part = |byte: &&u8| TOKEN.has(**byte);
        let behind = after.iter().take_while(is_part).count();
        behind > 0 && before.iter().rev().take_while(is_part).count() + behind >= SEGMENT_BYTES_MIN
    };
    let has_run = (SEGMENT_BYTES_MIN - 1..bytes.len()).step_by(SEGMENT_BYTES_MIN).any(is_run);
    // Its last letter is rare.
    let ends_prefix = |at: usize| text.get(..=at).is_some_and(|text| text.ends_with(SIGNED_PREFIX));
    !has_run && !memchr_iter(SIGNED_PREFIX_END, bytes).any(ends_prefix)
}

static TOKEN: ByteSet = ByteSet::alphanumeric_and(b"-");

/// A sentence that quotes what a client sent, with every word masked that could be a token, however it is quoted. Unlike a file's name, no
/// word of a sentence is that long and mixes these.
pub fn sentence(text: &str) -> Cow<'_, str> {
    match without_signed(text) {
        Cow::Borrowed(text) => plain_sentence(text),
        Cow::Owned(text) => Cow::Owned(plain_sentence(&text).into_owned()),
    }
}

fn plain_sentence(text: &str) -> Cow<'_, str> {
    if !text.split(|c| !is_token_char(c)).any(|run| is_suspect(run, SEGMENT_BYTES_MIN)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    mask_runs(text, SEGMENT_BYTES_MIN, &mut shown);
    Cow::Owned(shown)
}

/// Adds `text` to `shown`, with every run of token characters masked that has `bytes_min` and could be a token.
fn mask_runs(text: &str, bytes_min: usize, shown: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let (run, after) = split_where(rest, |c| !is_token_char(c));
        shown.push_str(if is_suspect(run, bytes_min) { MASK } else { run });
        let (between, after) = split_where(after, is_token_char);
        shown.push_str(between);
        rest = after;
    }
}

/// The first JSON Web Token in a text, whoever signed it. Words of which only the beginning is like one have shorter parts.
pub fn signed_in(text: &str) -> Option<&str> {
    text.match_indices(SIGNED_PREFIX).find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let mut end = 0;
        for (part, text) in rest.splitn(3, '.').enumerate() {
            let chars =
                text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte)).count();
            // The last part ends where its alphabet does; the others must end at their full stop.
            if chars < SIGNED_PART_CHARS_MIN || (part < 2 && chars < text.len()) {
                return None;
            }
            end += chars + usize::from(part < 2);
            if part == 2 {
                return rest.get(..end);
            }
        }
        None
    })
}

/// `text` without any JSON Web Token.
fn without_signed(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    while let Some(value) = signed_in(&shown).map(str::to_owned) {
        shown = Cow::Owned(shown.replace(&value, MASK));
    }
    shown
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(stop).unwrap_or(text.len())).unwrap_or((text, ""))
}

fn is_token_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(|byte| TOKEN.has(byte))
}

fn is_suspect(run: &str, bytes_min: usize) -> bool {
    run.len() >= bytes_min && could_be_token(run)
}

fn could_be_token(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.as_bytes().iter().any(test);
    let is_digest = matches!(run.len(), 32 | 40 | 64)
        && run.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    // Of random characters of all three kinds one kind may well be missing: every eight hundredth token has no digit.
    let kinds = [has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit)];
    kinds.into_iter().filter(|&kind| kind).count() >= 2 && !is_digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_wherever_it_stands() {
        for before in 0..2 * SEGMENT_BYTES_MIN {
            for run in 0..2 * SEGMENT_BYTES_MIN {
                let text = format!(
                    "{}{}.conda",
                    "./".repeat(before).split_at(before).0,
                    "x-1".repeat(run).split_at(run).0
                );
                assert_eq!(is_harmless(&text), run < SEGMENT_BYTES_MIN, "{text}");
            }
        }
    }
}
