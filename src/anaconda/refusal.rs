//! Everything that can be said instead of doing what is asked, and how it is told: the only file that chooses a refusal's status on this face.

use std::error::Error as _;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::auth::CredentialError;
use crate::conda::redact;
use crate::face::Verdict;
use crate::server::RequestBodyError;
use crate::store::{ErrorKind, StoreError};
use crate::verify::LookupError;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A request that contradicts itself.
    Credential(CredentialError),
    /// The token could not be checked.
    Lookup(LookupError),
    /// There is no such route.
    Route,
    /// The route has other methods.
    Method,
    /// A path that cannot be decoded.
    Path,
    /// A body that claims to be JSON and is not.
    Syntax(String),
    /// A body that does not mean what it has to mean.
    Value(String),
    /// A body that did not come as it should.
    Body(Option<RequestBodyError>),
    /// The store refused, or failed.
    Store(StoreError),
    /// The change was made, and could not be applied to what this gate remembers.
    Unsettled,
    /// More is asked for than is done at once.
    Overloaded,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Unsupported) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the store failed a person's request");
        }
        Self::Store(error)
    }
}

/// The verdict goes along; whoever has the request's id makes a body of it.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let verdict = self.verdict();
        let mut response = verdict.status.into_response();
        response.extensions_mut().insert(Arc::new(verdict));
        response
    }
}

impl Refusal {
    /// What it is told as.
    pub(super) fn verdict(&self) -> Verdict {
        let bad_request =
            |title, detail| Verdict::plain(StatusCode::BAD_REQUEST, "request_invalid", title, detail);
        match self {
            Self::Credential(error) => Verdict::of_contradiction(*error),
            Self::Lookup(error) => Verdict::of_lookup(*error),
            Self::Route => missing("This gate has nothing at this address. It serves what the anaconda tools need to sign in, to manage tokens and to download packages; uploading and managing packages is not among it."),
            Self::Method => Verdict::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This address has other methods: the header Allow lists them.".to_owned(),
            ),
            Self::Path => bad_request(
                "Path not acceptable",
                "The path of this request cannot be decoded: its escapes have to be UTF-8.".to_owned(),
            ),
            Self::Syntax(problem) => bad_request(
                "Body not acceptable",
                format!("The body of this request is not valid JSON: {}.", redact::sentence(problem)),
            ),
            Self::Value(problem) => value_invalid(problem),
            Self::Body(error) => of_body(error.as_ref()),
            Self::Store(error) => of_store(error),
            Self::Unsettled => Verdict::passing(
                "store_unavailable",
                "Store unavailable",
                "The change was made, but the store did not answer when the gate wanted to act on it: requests under way may still be decided as before. Look again shortly.".to_owned(),
                2,
            ),
            Self::Overloaded => Verdict::overloaded(5),
        }
    }
}

fn missing(detail: &str) -> Verdict {
    Verdict::plain(StatusCode::NOT_FOUND, "not_found", "Not found", detail.to_owned())
}

/// anaconda-client shows what it is told with 400 and 422 alike.
fn value_invalid(problem: &str) -> Verdict {
    Verdict::plain(
        StatusCode::UNPROCESSABLE_ENTITY,
        "value_invalid",
        "Value not acceptable",
        format!("The request cannot be carried out as it stands: {}.", redact::sentence(problem)),
    )
}

fn of_body(error: Option<&RequestBodyError>) -> Verdict {
    match error {
        Some(RequestBodyError::TooLong { max }) => Verdict::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            "Body too long",
            format!("The body of this request is longer than {max} bytes."),
        ),
        Some(RequestBodyError::TimedOut { timeout }) => Verdict::plain(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "Body too slow",
            format!("The body of this request did not arrive within {} s.", timeout.as_secs_f64()),
        ),
        Some(RequestBodyError::Broken(_)) | None => Verdict::plain(
            StatusCode::BAD_REQUEST,
            "request_invalid",
            "Body broken off",
            "The body of this request broke off.".to_owned(),
        ),
    }
}

fn of_store(error: &StoreError) -> Verdict {
    let told = redact::sentence(&error.to_string()).into_owned();
    match error.kind() {
        ErrorKind::NotFound => missing(&format!("{told}.")),
        ErrorKind::Conflict | ErrorKind::Repeated | ErrorKind::Outdated => {
            Verdict::plain(StatusCode::CONFLICT, "conflict", "Conflict", format!("{told}."))
        }
        ErrorKind::Invalid => value_invalid(&told),
        ErrorKind::Unavailable => Verdict::passing(
            "store_unavailable",
            "Store unavailable",
            "The gate's store does not answer. If this was a change, it may or may not have been made: look again before you repeat it.".to_owned(),
            2,
        ),
        // What the store holds is for the gate's administrator, who finds it in the log.
        ErrorKind::Corrupt | ErrorKind::Unsupported => Verdict::passing(
            "store_unavailable",
            "Store unavailable",
            "The gate's store cannot be read; its administrator finds the reason in the log.".to_owned(),
            60,
        ),
    }
}
