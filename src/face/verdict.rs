//! What is told of a credential that does not serve: the same on every face, whatever was asked for.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::auth::CredentialError;
use crate::clock::Timestamp;
use crate::policy::Standing;
use crate::token::EndCause;
use crate::verify::LookupError;

/// What a refusal is told as.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The status.
    pub status: StatusCode,
    /// The code of the problem body.
    pub code: &'static str,
    /// The same in words.
    pub title: &'static str,
    /// What happened, to which token, and what to do next.
    pub detail: String,
    /// When to try again.
    pub retry_after_seconds: Option<u64>,
}

impl Verdict {
    /// A refusal for good.
    pub fn plain(status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        Self { status, code, title, detail, retry_after_seconds: None }
    }

    /// A refusal for the moment.
    pub fn passing(code: &'static str, title: &'static str, detail: String, seconds: u64) -> Self {
        let retry_after_seconds = Some(seconds);
        Self { retry_after_seconds, ..Self::plain(StatusCode::SERVICE_UNAVAILABLE, code, title, detail) }
    }

    /// Too many came from one place.
    pub fn limited(title: &'static str, detail: String, seconds: u64) -> Self {
        let retry_after_seconds = Some(seconds);
        Self {
            retry_after_seconds,
            ..Self::plain(StatusCode::TOO_MANY_REQUESTS, "rate_limited", title, detail)
        }
    }

    /// There is more to do than can be done.
    pub fn overloaded(seconds: u64) -> Self {
        let detail = "The gate has more to do than it can take at once. Try again shortly.".to_owned();
        Self::passing("overloaded", "Gate overloaded", detail, seconds)
    }

    /// A request whose credentials contradict the protocol.
    pub fn of_contradiction(error: CredentialError) -> Self {
        Self::plain(
            StatusCode::BAD_REQUEST,
            "request_invalid",
            "Contradictory request",
            format!("The request contradicts itself: {error}. Send one credential once."),
        )
    }

    /// Nobody could say what the token is.
    pub fn of_lookup(error: LookupError) -> Self {
        match error {
            LookupError::StoreUnavailable { retry_after } => Self::passing(
                "store_unavailable",
                "Token store unavailable",
                "The token could not be checked because the gate's token store does not answer. Your token is not at fault; try again shortly.".to_owned(),
                retry_after.as_secs().max(1),
            ),
            LookupError::Overloaded { retry_after } => Self::overloaded(retry_after.as_secs().max(1)),
            LookupError::TooManyWrong { retry_after } => Self::limited(
                "Too many wrong tokens",
                "Too many tokens that this gate does not know were sent from your address lately, so it does not look up further ones for the moment. If yours is right, try again shortly.".to_owned(),
                retry_after.as_secs().max(1),
            ),
        }
    }

    /// No token where one is needed.
    pub fn of_missing(detail: String) -> Self {
        Self::unauthorized("token_missing", "Token missing", detail)
    }

    /// A placeholder where a token is needed.
    pub fn of_masked(detail: String) -> Self {
        Self::unauthorized("token_missing", "Token masked", detail)
    }

    /// A token that is malformed or that nobody was issued.
    pub fn of_unknown() -> Self {
        Self::unauthorized(
            "token_unknown",
            "Token unknown",
            "This gate does not know the token that was sent. Check that it was copied whole, or ask your administrator for a new one.".to_owned(),
        )
    }

    /// A token whose time is over.
    pub fn of_expired(token: &Standing, at: Timestamp) -> Self {
        let detail = format!("The {token} expired on {at}. Ask your administrator for a new one.");
        Self::unauthorized("token_expired", "Token expired", detail)
    }

    /// A token that somebody ended.
    pub fn of_ended(token: &Standing, cause: EndCause) -> Self {
        let (code, title, story) = match cause {
            EndCause::Revoked => ("token_revoked", "Token revoked", "was revoked"),
            EndCause::Replaced => ("token_replaced", "Token replaced", "was replaced by a newer one"),
            EndCause::SubscriptionEnded => {
                ("subscription_ended", "Subscription ended", "ended with the organization's subscription")
            }
            EndCause::SeatRemoved => ("seat_removed", "Seat removed", "ended with its user's seat"),
            EndCause::UserDisabled => ("token_revoked", "Token revoked", "ended when its user was disabled"),
        };
        let when = token.token.end.as_ref().map(|end| format!(" on {}", end.at)).unwrap_or_default();
        let next = match cause {
            EndCause::Replaced => "Install the newer token",
            EndCause::SubscriptionEnded => "Ask your administrator about the subscription",
            EndCause::Revoked | EndCause::SeatRemoved => "Ask your administrator for a new one",
            EndCause::UserDisabled => "Ask your administrator why",
        };
        Self::unauthorized(code, title, format!("The {token} {story}{when}. {next}."))
    }

    /// The headers that go with the status: the schemes for a 401, and when to try again.
    pub fn extend(&self, headers: &mut HeaderMap) {
        if self.status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    fn unauthorized(code: &'static str, title: &'static str, detail: String) -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, code, title, detail)
    }
}

const CHALLENGES: [&str; 3] = [
    "Basic realm=\"channelgate\", charset=\"UTF-8\"",
    "Bearer realm=\"channelgate\"",
    "token realm=\"channelgate\"",
];
