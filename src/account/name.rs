//! Names that people give to organizations, groups and users.

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" cannot be {what}: it must match {pattern} and have at most {chars_max} characters")]
pub struct NameError {
    given: String,
    what: &'static str,
    pattern: &'static str,
    chars_max: usize,
}

/// Checks the name of an organization or a group: it stands in URLs and configuration files, so it is as plain as a channel's.
///
/// # Errors
///
/// `what` it cannot be, such as "an organization's name".
pub fn check_name(name: &str, what: &'static str) -> Result<(), NameError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut bytes = name.bytes();
    let good =
        bytes.next().is_some_and(plain) && bytes.all(|byte| plain(byte) || matches!(byte, b'.' | b'-'));
    bounded(
        name,
        good,
        NameError { given: String::new(), what, pattern: "[a-z0-9_][a-z0-9_.-]*", chars_max: 64 },
    )
}

/// Checks the name of a user: a login or an e-mail address.
///
/// # Errors
///
/// It is neither.
pub fn check_user(name: &str) -> Result<(), NameError> {
    let good = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte));
    let error = NameError {
        given: String::new(),
        what: "a user's name",
        pattern: "[A-Za-z0-9_][A-Za-z0-9._@+-]*",
        chars_max: 128,
    };
    bounded(name, good, error)
}

fn bounded(name: &str, good: bool, error: NameError) -> Result<(), NameError> {
    if good && name.len() <= error.chars_max {
        return Ok(());
    }
    // What was given may be anything; it is shown, but not without end.
    Err(NameError {
        given: name.chars().take(error.chars_max).flat_map(char::escape_debug).collect(),
        ..error
    })
}
