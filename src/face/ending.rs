//! That a token ends soon, told to whoever shows it while there is time.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::policy::Standing;
use crate::token::{EndCause, TokenKind};

/// How long before a token's end its holder is told: 30 days.
const NOTICE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The end of a token that is near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When it comes.
    pub at: Timestamp,
    /// Whole days until then.
    pub days: u64,
    /// A sentence for the token's holder, with what to do.
    pub sentence: String,
}

impl Ending {
    /// True if a token that serves at `now` ends within 30 days. It costs two comparisons.
    pub fn is_near(standing: &Standing, now: Timestamp) -> bool {
        standing.token.ends_at().is_some_and(|at| at > now && at <= now.plus(NOTICE))
    }

    /// The end of a token that serves at `now`, if it is near.
    pub fn of(standing: &Standing, now: Timestamp) -> Option<Self> {
        let at = standing.token.ends_at().filter(|_| Self::is_near(standing, now))?;
        let days = at.since(now).as_secs() / DAY_SECONDS;
        let left = match days {
            0 => "in less than a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        let token = &standing.token;
        let is_replaced =
            token.end.as_ref().is_some_and(|end| end.cause == EndCause::Replaced && end.at == at);
        let next = match (token.kind, &token.user) {
            _ if is_replaced => "A newer one was issued in its place: install that one.".to_owned(),
            (TokenKind::Individual | TokenKind::Site, _) => {
                "It ends with the organization's subscription: ask your administrator to renew it.".to_owned()
            }
            (TokenKind::Scoped, _) if token.api_key => {
                "Run `anaconda login` to get a new API key.".to_owned()
            }
            (TokenKind::Scoped, Some(_)) => {
                "Make a new one with `anaconda auth --create`, or ask your administrator.".to_owned()
            }
            (TokenKind::Scoped, None) => "Ask your administrator for a new one.".to_owned(),
        };
        Some(Self { at, days, sentence: format!("The {token} ends {left}, on {at}. {next}") })
    }
}

const DAY_SECONDS: u64 = 24 * 3_600;
