//! Reads a password that somebody chooses: twice and unseen on a terminal, one line of standard input elsewhere.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::UsageError;
use crate::account::{PASSWORD_CHARS_MAX, check_password};
use crate::token::mask_values;

/// The password that somebody chooses for a user.
///
/// # Errors
///
/// One that cannot be, two that differ, and the input's failures.
pub(super) fn choose(user: &str) -> anyhow::Result<String> {
    let password = if io::stdin().is_terminal() && io::stderr().is_terminal() {
        let password = unseen(&format!("Password of user \"{user}\": "))?;
        check(&password)?;
        if unseen("The same again: ")? != password {
            bail!("the two passwords differ; nothing was changed");
        }
        password
    } else {
        line()?
    };
    check(&password)?;
    Ok(password)
}

fn check(password: &str) -> anyhow::Result<()> {
    check_password(password).map_err(|error| UsageError(error.to_string()))?;
    if mask_values(password) != password {
        let problem = "a token is no password: whoever sees the one knows the other. Choose another password";
        return Err(UsageError(problem.to_owned()).into());
    }
    Ok(())
}

/// A line that is typed without being shown.
fn unseen(prompt: &str) -> anyhow::Result<String> {
    let _hidden = Hidden::begin()?;
    let _ = write!(io::stderr(), "{prompt}");
    let line = line();
    let _ = writeln!(io::stderr());
    line
}

/// A line of standard input without its end; spaces belong to it.
fn line() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let stdin = io::stdin();
    let mut input = stdin.lock().take(LINE_BYTES_MAX);
    input.read_until(b'\n', &mut bytes).context("standard input cannot be read")?;
    let text = String::from_utf8(bytes).map_err(|_| UsageError("the password is not UTF-8".to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(UsageError("a password is expected on standard input".to_owned()).into());
    }
    Ok(line.to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> anyhow::Result<Self> {
        let shown = tcgetattr(io::stdin()).context("the terminal cannot be asked")?;
        let mut hidden = shown.clone();
        hidden.local_modes -= LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)
            .context("the terminal would show the password")?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The longest password in its longest form, and the end of its line.
const LINE_BYTES_MAX: u64 = PASSWORD_CHARS_MAX as u64 * 4 + 3;
