//! Lines of the access log, written past [`tracing`].
//!
//! One line a request is most of what a gate logs, so it is put together here by hand: the same bytes that the log's subscriber would make
//! of the event (`access/tests.rs` holds the two against each other) at less than its price: in a profile of `benches/side_by_side`, S, it is
//! 0.7 percent of the process's time. What needs escaping or colours goes the event's way, and so does
//! everything in a process whose log was not started.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{ACCESS, Format, Level, Log, log};

/// What is told of a request whose response is over. All of it is either the gate's own word or parsed; none of it is a credential.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The method, if it is one that is served.
    pub method: &'static str,
    /// The redacted path.
    pub path: &'a str,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// The code of the problem body, or `ok`.
    pub code: &'static str,
    /// How the request ended.
    pub outcome: &'static str,
    /// The id of the token that was shown, if it is known.
    pub token: Option<Uuid>,
    /// The token's organization.
    pub org: Option<&'a str>,
    /// Where the credential stood.
    pub carrier: Option<&'static str>,
    /// The channel that was read.
    pub channel: Option<&'a str>,
    /// Bytes of the body.
    pub bytes: u64,
    /// Microseconds until the head went out.
    pub first_byte_micros: u64,
    /// Microseconds until the body was over.
    pub total_micros: u64,
    /// What the cache did.
    pub cache: &'static str,
    /// The client's address.
    pub client: IpAddr,
    /// The request's id.
    pub request_id: &'a str,
}

impl Access<'_> {
    /// Writes the line.
    pub fn tell(&self) {
        match log() {
            Some(log) => self.tell_in(log),
            None => self.event(),
        }
    }

    pub(super) fn tell_in(&self, log: &Log) {
        if log.is_coloured || !self.is_plain() {
            return self.event();
        }
        if log.config.level < Level::Info {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            match log.config.format {
                Format::Human => self.human(line),
                Format::Json => self.json(line),
            }
            log.writer.push(line.as_bytes());
        });
    }

    /// The same as an event, for whoever listens.
    fn event(&self) {
        tracing::info!(
            target: ACCESS,
            method = self.method,
            path = %self.path,
            status = self.status,
            code = self.code,
            outcome = self.outcome,
            token = self.token.as_ref().map(tracing::field::display),
            org = self.org.as_ref().map(tracing::field::display),
            carrier = self.carrier,
            channel = self.channel,
            bytes = self.bytes,
            first_byte_ms = millis(self.first_byte_micros),
            total_ms = millis(self.total_micros),
            cache = self.cache,
            client = %self.client,
            request_id = %self.request_id,
        );
    }

    /// True if nothing in it has to be escaped.
    fn is_plain(&self) -> bool {
        let words = [Some(self.path), self.org, self.channel, Some(self.request_id)];
        // One loop without branches, which the compiler makes vectors of.
        let is_odd = |byte: u8| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\';
        words.into_iter().flatten().all(|word| !word.bytes().fold(false, |any, byte| any | is_odd(byte)))
    }

    fn human(&self, line: &mut String) {
        push_time(line);
        push(line, &["  INFO ", ACCESS, ": method=\"", self.method, "\" path=", self.path]);
        if let Some(status) = self.status {
            push(line, &[" status=", itoa::Buffer::new().format(status)]);
        }
        push(line, &[" code=\"", self.code, "\" outcome=\"", self.outcome, "\""]);
        if let Some(token) = self.token {
            push(line, &[" token=", token.hyphenated().encode_lower(&mut Uuid::encode_buffer())]);
        }
        if let Some(org) = self.org {
            push(line, &[" org=", org]);
        }
        if let Some(carrier) = self.carrier {
            push(line, &[" carrier=\"", carrier, "\""]);
        }
        if let Some(channel) = self.channel {
            push(line, &[" channel=\"", channel, "\""]);
        }
        push(line, &[" bytes=", itoa::Buffer::new().format(self.bytes), " first_byte_ms="]);
        push_millis(line, self.first_byte_micros);
        line.push_str(" total_ms=");
        push_millis(line, self.total_micros);
        push(line, &[" cache=\"", self.cache, "\" client="]);
        push_address(line, self.client);
        push(line, &[" request_id=", self.request_id, "\n"]);
    }

    fn json(&self, line: &mut String) {
        line.push_str("{\"timestamp\":\"");
        push_time(line);
        push(line, &["\",\"level\":\"INFO\",\"method\":\"", self.method, "\",\"path\":\"", self.path, "\""]);
        if let Some(status) = self.status {
            push(line, &[",\"status\":", itoa::Buffer::new().format(status)]);
        }
        push(line, &[",\"code\":\"", self.code, "\",\"outcome\":\"", self.outcome, "\""]);
        if let Some(token) = self.token {
            push(line, &[",\"token\":\"", token.hyphenated().encode_lower(&mut Uuid::encode_buffer()), "\""]);
        }
        if let Some(org) = self.org {
            push(line, &[",\"org\":\"", org, "\""]);
        }
        if let Some(carrier) = self.carrier {
            push(line, &[",\"carrier\":\"", carrier, "\""]);
        }
        if let Some(channel) = self.channel {
            push(line, &[",\"channel\":\"", channel, "\""]);
        }
        push(line, &[",\"bytes\":", itoa::Buffer::new().format(self.bytes), ",\"first_byte_ms\":"]);
        push_millis(line, self.first_byte_micros);
        line.push_str(",\"total_ms\":");
        push_millis(line, self.total_micros);
        push(line, &[",\"cache\":\"", self.cache, "\",\"client\":\""]);
        push_address(line, self.client);
        push(line, &["\",\"request_id\":\"", self.request_id, "\",\"target\":\"", ACCESS, "\"}\n"]);
    }
}

/// Adds each word. One loop for all of them, and never a part of whoever calls it: a line written out word by word was 3 KB of code, which a
/// request runs through once, and which pushed other code out of the cache.
#[inline(never)]
fn push(line: &mut String, words: &[&str]) {
    for word in words {
        line.push_str(word);
    }
}

/// Microseconds, told in milliseconds as a float is shown: without trailing zeros, with at least one decimal.
fn push_millis(line: &mut String, micros: u64) {
    push(line, &[itoa::Buffer::new().format(micros / 1_000), "."]);
    let decimals = micros % 1_000;
    push_digit(line, decimals / 100);
    if !decimals.is_multiple_of(100) {
        push_digit(line, decimals / 10);
    }
    if !decimals.is_multiple_of(10) {
        push_digit(line, decimals);
    }
}

/// The last digit of a number.
fn push_digit(line: &mut String, number: u64) {
    line.push(char::from(b'0' + u8::try_from(number % 10).unwrap_or(0)));
}

fn push_address(line: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().map(u64::from).into_iter().enumerate() {
                if place > 0 {
                    line.push('.');
                }
                if octet >= 100 {
                    push_digit(line, octet / 100);
                }
                if octet >= 10 {
                    push_digit(line, octet / 10);
                }
                push_digit(line, octet);
            }
        }
        // Writing into a string cannot fail.
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

/// The time as the subscriber writes it, in UTC to the microsecond. Of most lines only that differs from the one before.
fn push_time(line: &mut String) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    SECOND.with_borrow_mut(|(second, shown)| {
        if *second != now.as_secs() || shown.is_empty() {
            let time = i64::try_from(now.as_secs()).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
            *shown = time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S").to_string();
            *second = now.as_secs();
        }
        line.push_str(shown);
    });
    line.push('.');
    let mut place = 100_000;
    while place > 0 {
        push_digit(line, u64::from(now.subsec_micros() / place));
        place /= 10;
    }
    line.push('Z');
}

thread_local! {
    /// The second of this thread's latest line, and how it is shown.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };

    /// Where this thread puts its lines together.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Microseconds, told in milliseconds: three decimals are what separates a hit in memory from a store query.
#[expect(clippy::cast_precision_loss, reason = "exact for some hundred years")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
