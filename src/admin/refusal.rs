//! Everything that can be said instead of carrying a request out, and how it is told: the only file that chooses a refusal's status on the
//! admin API.

use std::error::Error as _;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::auth::CredentialError;
use crate::conda::redact;
use crate::face::Verdict;
use crate::policy::{ApiDenial, Deed, DenyReason, Overreach, Standing};
use crate::server::RequestBodyError;
use crate::store::{ErrorKind, Sought, StoreError};
use crate::verify::LookupError;

/// Why a request gets a problem body.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The decision.
    Denied(ApiDenial),
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
    /// A query that cannot be understood.
    Query(String),
    /// A header that cannot be understood.
    Header(&'static str, &'static str),
    /// A body that is not JSON.
    MediaType,
    /// A body that claims to be JSON and is not.
    Syntax(String),
    /// A body that does not mean what it has to mean.
    Value(String),
    /// A body that did not come as it should.
    Body(Option<RequestBodyError>),
    /// There is no such thing.
    Missing(&'static str),
    /// A token that would have more rights than the one that asks for it.
    Overreach(Arc<Standing>, Overreach),
    /// A request with this key is being carried out.
    KeyInUse,
    /// The store refused, or failed.
    Store(StoreError),
    /// The change was made, and could not be applied to what this gate remembers.
    Unsettled,
    /// More is asked for than is done at once.
    Overloaded,
}

impl From<Sought> for Refusal {
    fn from(sought: Sought) -> Self {
        Self::Store(sought.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Unsupported) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the store failed a request to the admin API");
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
            Self::Denied(denial) => denied(denial),
            Self::Credential(error) => Verdict::of_contradiction(*error),
            Self::Lookup(error) => Verdict::of_lookup(*error),
            Self::Route => missing("The admin plane has nothing at this address: /api/v1/openapi.json describes the API, and /healthz, /readyz and /metrics are there."),
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
            Self::Query(problem) => bad_request(
                "Query not acceptable",
                format!("The query of this request is not acceptable: {}.", redact::sentence(problem)),
            ),
            Self::Header(name, problem) => {
                bad_request("Header not acceptable", format!("The header {name} {problem}."))
            }
            Self::MediaType => Verdict::plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type_unsupported",
                "Media type not supported",
                "The body of this request has to be JSON: send it with Content-Type: application/json.".to_owned(),
            ),
            Self::Syntax(problem) => bad_request(
                "Body not acceptable",
                format!("The body of this request is not valid JSON: {}.", redact::sentence(problem)),
            ),
            Self::Value(problem) => value_invalid(problem),
            Self::Body(error) => of_body(error.as_ref()),
            Self::Missing(detail) => missing(detail),
            Self::Overreach(minter, overreach) => Verdict::plain(
                StatusCode::FORBIDDEN,
                "scope_missing",
                "Beyond the token's rights",
                format!("The {minter} can make only tokens that can do nothing it cannot do itself: {overreach}. Ask for less, or use a token with more rights."),
            ),
            Self::KeyInUse => Verdict::plain(
                StatusCode::CONFLICT,
                "idempotency_key_in_use",
                "Request under way",
                "A request with this Idempotency-Key is being carried out. Wait for its answer, or repeat it later.".to_owned(),
            ),
            Self::Store(error) => of_store(error),
            Self::Unsettled => Verdict::passing(
                "store_unavailable",
                "Store unavailable",
                "The change was made, but the store did not answer when the gate wanted to act on it: requests under way may still be decided as before. Read the thing again.".to_owned(),
                2,
            ),
            Self::Overloaded => Verdict::overloaded(5),
        }
    }
}

fn denied(denial: &ApiDenial) -> Verdict {
    match denial {
        ApiDenial::Token(DenyReason::TokenMissing { masked: true }) => Verdict::of_masked(
            "Your client sent a masked token (such as ***** or <TOKEN>) instead of the real one. Send the real one in an Authorization header.".to_owned(),
        ),
        ApiDenial::Token(DenyReason::TokenExpired(token, at)) => Verdict::of_expired(token, *at),
        ApiDenial::Token(DenyReason::TokenEnded(token, cause)) => Verdict::of_ended(token, *cause),
        ApiDenial::Token(DenyReason::TokenUnknown) => Verdict::of_unknown(),
        // Of the reasons not to read a channel, the others do not come up here.
        ApiDenial::Token(_) => Verdict::of_missing(
            "The admin API needs a token. Send one with the scope api (or api:read, api:write, api:modify-group) in an Authorization header.".to_owned(),
        ),
        ApiDenial::ScopeMissing(token, deed) => {
            let deed = match deed {
                Deed::Read => "reads through the admin API (api:read, api, all)",
                Deed::Write => "changes seats or tokens through the admin API (api:write, api, all)",
                Deed::ModifyGroups => "changes groups through the admin API (api:modify-group, api, all)",
                Deed::Operate => "changes organizations through the admin API (api:write, api, all)",
            };
            forbidden(
                "Scope missing",
                format!("The {token} has the scopes \"{}\", none of which {deed}. Ask your administrator for a token with one of them.", token.token.scopes),
            )
        }
        ApiDenial::OtherOrganization => missing(NO_ORGANIZATION),
        ApiDenial::OperatorsOnly(token) => Verdict::plain(
            StatusCode::FORBIDDEN,
            "operator_required",
            "Operator required",
            format!("The {token} is not an operator's: organizations are created, renewed and cancelled by whoever runs the gate, with `channelgate org` or with a token made by `channelgate token create --operator`."),
        ),
    }
}

fn forbidden(title: &'static str, detail: String) -> Verdict {
    Verdict::plain(StatusCode::FORBIDDEN, "scope_missing", title, detail)
}

fn missing(detail: &str) -> Verdict {
    Verdict::plain(StatusCode::NOT_FOUND, "not_found", "Not found", detail.to_owned())
}

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
    match (error, error.kind()) {
        (StoreError::NotFound(sought), _) => missing(&not_found(sought)),
        (StoreError::KeyReused, _) => Verdict::plain(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Key used before",
            "Another request was carried out with this Idempotency-Key. Choose a new key for each request.".to_owned(),
        ),
        (_, ErrorKind::Conflict | ErrorKind::Repeated) => {
            Verdict::plain(StatusCode::CONFLICT, "conflict", "Conflict", format!("{told}."))
        }
        (_, ErrorKind::Outdated) => Verdict::plain(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "Precondition failed",
            "What this request would change is not what If-Match or If-None-Match says. Read it again and decide anew.".to_owned(),
        ),
        (_, ErrorKind::Invalid) => value_invalid(&told),
        (_, ErrorKind::Unavailable) => Verdict::passing(
            "store_unavailable",
            "Store unavailable",
            "The gate's store does not answer. If this was a change, it may or may not have been made: read the thing again, or repeat the request with its Idempotency-Key.".to_owned(),
            2,
        ),
        // What the store holds is for the gate's administrator, who finds it in the log.
        (_, ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Unsupported) => Verdict::passing(
            "store_unavailable",
            "Store unavailable",
            "The gate's store cannot be read; its administrator finds the reason in the log.".to_owned(),
            60,
        ),
    }
}

/// What was looked for in vain, for somebody who has no command line. A name is the client's word: a token among them is not repeated.
fn not_found(sought: &Sought) -> String {
    let shown = redact::sentence;
    match sought {
        Sought::Organization(_) => NO_ORGANIZATION.to_owned(),
        Sought::Token(_) => NO_TOKEN.to_owned(),
        Sought::Seat { organization, user } => {
            format!("User \"{}\" has no seat in organization \"{organization}\".", shown(user))
        }
        Sought::User(user) | Sought::AnySeat(user) => format!("There is no user \"{}\".", shown(user)),
        Sought::Device => "No device waits with this code.".to_owned(),
        Sought::Group { organization, name } => {
            format!("Organization \"{organization}\" has no group \"{}\".", shown(name))
        }
        Sought::Member { group, user } => {
            format!("User \"{}\" is not in group \"{group}\".", shown(user))
        }
        Sought::Grant { group, channel } => {
            format!("Group \"{group}\" was not granted channel \"{}\".", shown(channel))
        }
        Sought::Restriction { organization, channel } => {
            let channel = shown(channel);
            format!("Organization \"{organization}\" has not restricted channel \"{channel}\" to groups.")
        }
    }
}

/// What is told of an organization that the token is not of, and of one that does not exist.
const NO_ORGANIZATION: &str = "There is no such organization.";

/// A token of another organization looks like one that does not exist.
const NO_TOKEN: &str = "The organization has no such token.";
