//! `notices.json` (CEP 6) for somebody whose token ends soon: the upstream's notices, with one that says so before them.
//!
//! conda fetches the file again when one of the notices in it has expired, and shows each id once (`conda/notices/cache.py`). So the gate's own
//! notice has an id of the token and the day, and expires with the day: the token's holder is told once a day. It stands first, since conda shows a few only. conda goes by `expired_at`, the CEP calls it `expires_at`: both are there.
//!
//! Whoever is not to be told gets the upstream's file as it is. An upstream that has none, does not answer, or sends what is no list of
//! notices, does not keep anybody from being told: then there is the gate's own notice alone.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::Routing;
use super::fetch::fetch;
use super::served::{Asked, Served};
use crate::clock::Timestamp;
use crate::face::Ending;
use crate::metrics::Metrics;
use crate::policy::Permit;

/// The end of the permit's token, if it is near and this is where its holder is told.
pub(super) fn due(permit: &Permit<'_>, now: Timestamp) -> Option<Ending> {
    let standing = permit.token().filter(|standing| Ending::is_near(standing, now))?;
    if permit.location().is_notices() { Ending::of(standing, now) } else { None }
}

/// The upstream's notices with the gate's own before them.
pub(super) async fn merged(
    ending: &Ending,
    asked: Asked<'_>,
    routing: &Routing,
    now: Timestamp,
    metrics: &Metrics,
) -> Box<Served> {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let whole = Asked { method: &method, headers: &headers, ..asked };
    let theirs = match fetch(whole, routing, now, metrics).await {
        Ok(served) => served.content.collect(BYTES_MAX).await.ok(),
        Err(_) => None,
    };
    let day = Day::of(now);
    let own = asked.permit.token().map(|standing| notice(ending, &standing.token.id.to_string(), &day));
    let body = Bytes::from(document(theirs.as_deref(), own).to_string());
    Served::made(body, now, asked)
}

/// The whole document: what the upstream says besides its notices is kept, and of those what conda can read.
fn document(theirs: Option<&[u8]>, own: Option<Value>) -> Value {
    let mut document: Map<String, Value> =
        theirs.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let theirs = match document.remove("notices") {
        Some(Value::Array(notices)) => notices,
        _ => Vec::new(),
    };
    let notices = own.into_iter().chain(theirs.into_iter().filter(Value::is_object)).collect();
    document.insert("notices".to_owned(), Value::Array(notices));
    Value::Object(document)
}

fn notice(ending: &Ending, token: &str, day: &Day) -> Value {
    let level = if ending.days < CRITICAL_DAYS { "critical" } else { "warning" };
    let expires = day.ends.min(ending.at).to_string();
    // Python reads a Z from 3.11 on only.
    let zoned = |time: String| time.replace('Z', "+00:00");
    json!({
        "id": format!("channelgate-{token}-{}", day.name),
        "message": ending.sentence,
        "level": level,
        "created_at": zoned(day.begins.to_string()),
        "expires_at": zoned(expires.clone()),
        "expired_at": zoned(expires),
    })
}

/// A day in UTC.
struct Day {
    begins: Timestamp,
    ends: Timestamp,
    /// `2027-01-31`.
    name: String,
}

impl Day {
    fn of(now: Timestamp) -> Self {
        let begins = Timestamp::from_millis(now.as_millis() - now.as_millis().rem_euclid(DAY_MILLIS));
        let name = begins.to_string().chars().take_while(|&c| c != 'T').collect();
        Self { begins, ends: begins.plus(Duration::from_millis(DAY_MILLIS.unsigned_abs())), name }
    }
}

/// A token's holder is told with emphasis when it ends in fewer days.
const CRITICAL_DAYS: u64 = 3;

/// More than any channel has to say; what is longer is left out.
const BYTES_MAX: usize = 256 * 1024;

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;
