//! Everything that can be said instead of doing what is asked, and how it is told: the only file that chooses a refusal's status on this face.

use std::error::Error as _;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::people::PasswordRefusal;
use crate::account::SubscriptionOver;
use crate::auth::CredentialError;
use crate::conda::redact;
use crate::face::Verdict;
use crate::keys::KeyringError;
use crate::policy::{ApiDenial, DenyReason, Overreach, PersonDenial, Standing};
use crate::server::RequestBodyError;
use crate::store::{ErrorKind, StoreError};
use crate::token::RandomError;
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
    /// Nobody acts as a person.
    NoPerson(PersonDenial),
    /// The admin API's rules refuse what is done for an organization.
    Api(ApiDenial),
    /// The person has no seat in an organization that they named.
    NoSeat {
        /// The user.
        user: String,
        /// What they named.
        organization: String,
    },
    /// The person has no seat at all.
    NoSeats {
        /// The user.
        user: String,
    },
    /// A token acts for another organization than the one that was named.
    OtherOrganization(String),
    /// The organization's subscription is over.
    Unsubscribed {
        /// Its name.
        organization: String,
        /// Why.
        over: SubscriptionOver,
    },
    /// The token would have more rights than whoever asks.
    Overreach(Overreach),
    /// The token would not be served, so it does not take the place of another one.
    Unusable {
        /// The channel that it was tried on.
        channel: String,
        /// What it would be told.
        verdict: Verdict,
    },
    /// There is no individual token yet: to the tool, no refusal.
    NoTokenYet {
        /// The user.
        user: String,
        /// The organization's name.
        organization: String,
    },
    /// A living token has the name.
    NameTaken {
        /// The name.
        name: String,
        /// The organization's name.
        organization: String,
        /// Whoever asks wanted to be told, rather than to have it replaced.
        is_asked_for: bool,
    },
    /// The caller has no living token of this name.
    NoToken {
        /// The name.
        name: String,
    },
    /// Others use the token, too.
    OfOthers(Arc<Standing>),
    /// The caller may see no file of the package.
    NoPackage {
        /// The channel, as it was named.
        channel: String,
        /// The package.
        name: String,
    },
    /// No access token, or one that is spent or too old.
    Access,
    /// Nobody can sign in at this gate.
    SignInOff,
    /// Nobody signs in by a password here.
    PasswordsOff,
    /// A password that does not let anybody in.
    Password(PasswordRefusal),
    /// What the data plane would say.
    Told(Verdict),
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
    /// The operating system gave no random bytes.
    pub(super) fn of_random(error: RandomError) -> Self {
        tracing::error!(%error, "no token can be made");
        Self::Overloaded
    }

    /// No API key could be made.
    pub(super) fn of_keyring(error: KeyringError) -> Self {
        match error {
            KeyringError::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "no API key can be made");
                Self::Overloaded
            }
        }
    }

    pub(super) fn access_unknown() -> Self {
        Self::Access
    }

    pub(super) fn no_such_token(name: &str) -> Self {
        Self::NoToken { name: name.to_owned() }
    }

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
            Self::NoPerson(denial) => no_person(denial),
            Self::Api(denial) => of_api(denial),
            Self::NoSeat { user, organization } => forbidden(
                "seat_missing",
                "Seat missing",
                format!("User \"{user}\" has no seat in organization \"{}\": ask an administrator of it for one.", redact::sentence(organization)),
            ),
            Self::NoSeats { user } => forbidden(
                "seat_missing",
                "Seat missing",
                format!("User \"{user}\" has no seat in any organization: ask your administrator for one."),
            ),
            Self::OtherOrganization(organization) => forbidden(
                "organization_forbidden",
                "Another organization",
                format!("The token that was sent acts for its own organization only, not for \"{}\".", redact::sentence(organization)),
            ),
            Self::Unsubscribed { organization, over } => forbidden(
                "subscription_ended",
                "Subscription ended",
                match over {
                    SubscriptionOver::Cancelled(at) => format!("The subscription of organization \"{organization}\" was cancelled on {at}: no token can be issued until it is renewed. Ask your administrator."),
                    SubscriptionOver::LongEnded(at) => format!("The subscription of organization \"{organization}\" ended on {at}, more than 30 days ago: no token can be issued until it is renewed. Ask your administrator."),
                },
            ),
            Self::Overreach(overreach) => forbidden(
                "scope_missing",
                "Beyond your rights",
                format!("A token can do nothing that whoever makes it cannot do: {overreach}. Ask for less, or ask your administrator."),
            ),
            Self::Unusable { channel, verdict } => unusable(channel, verdict),
            Self::NoTokenYet { user, organization } => {
                missing(&format!("User \"{user}\" has no living token of organization \"{organization}\" yet."))
            }
            Self::NameTaken { name, organization, is_asked_for: true } => Verdict::plain(
                StatusCode::BAD_REQUEST,
                "conflict",
                "Name taken",
                format!("Organization \"{organization}\" has a living token named \"{}\" already: remove it first, or choose another name.", redact::sentence(name)),
            ),
            Self::NameTaken { name, organization, is_asked_for: false } => Verdict::plain(
                StatusCode::BAD_REQUEST,
                "conflict",
                "Name taken",
                format!("Organization \"{organization}\" has a living token named \"{}\" which is not yours, so it cannot be replaced: choose another name.", redact::sentence(name)),
            ),
            Self::NoToken { name } => missing(&format!(
                "You have no living token named \"{}\". `anaconda auth --list` shows those you have.",
                redact::sentence(name)
            )),
            Self::OfOthers(standing) => forbidden(
                "scope_missing",
                "Token of others",
                format!("The {standing} is not a person's own: whoever administers the organization can end it, or forget it where it is installed."),
            ),
            Self::NoPackage { channel, name } => missing(&format!(
                "Channel \"{}\" has no package \"{}\".",
                redact::text(channel),
                redact::text(name)
            )),
            Self::Access => Verdict::plain(
                StatusCode::UNAUTHORIZED,
                "token_unknown",
                "Access token unknown",
                "This gate does not know the access token that was sent: it was used before, or it is too old. Run `anaconda login` again.".to_owned(),
            ),
            Self::SignInOff => Verdict::passing(
                "sign_in_unavailable",
                "Sign-in unavailable",
                "Nobody can sign in at this gate for the moment; its administrator finds the reason in the log.".to_owned(),
                60,
            ),
            Self::PasswordsOff => forbidden(
                "password_refused",
                "Passwords not accepted",
                "Nobody signs in by a password at this gate: run `anaconda login`.".to_owned(),
            ),
            Self::Password(refusal) => of_password(refusal),
            Self::Told(verdict) => verdict.clone(),
        }
    }
}

fn no_person(denial: &PersonDenial) -> Verdict {
    match denial {
        PersonDenial::Token(DenyReason::TokenMissing { masked: true }) => Verdict::of_masked(
            "Your client sent a masked token (such as ***** or <TOKEN>) instead of the real one. Run `anaconda login` again.".to_owned(),
        ),
        PersonDenial::Token(DenyReason::TokenExpired(token, at)) => Verdict::of_expired(token, *at),
        PersonDenial::Token(DenyReason::TokenEnded(token, cause)) => Verdict::of_ended(token, *cause),
        PersonDenial::Token(DenyReason::TokenUnknown) => Verdict::of_unknown(),
        // Of the reasons not to read a channel, the others do not come up here.
        PersonDenial::Token(_) => {
            Verdict::of_missing("You have to sign in for this: run `anaconda login`.".to_owned())
        }
        PersonDenial::ScopeMissing(token) => forbidden(
            "scope_missing",
            "Scope missing",
            format!("The {token} can do less than you may, so nothing is done by it: run `anaconda login` and try again."),
        ),
        PersonDenial::Nobodys(token) => forbidden(
            "person_required",
            "Person required",
            format!("The {token} is nobody's in particular, and this is for persons: run `anaconda login`, or ask your administrator."),
        ),
        PersonDenial::UserDisabled(user) => Verdict::plain(
            StatusCode::UNAUTHORIZED,
            "user_disabled",
            "User disabled",
            format!("User \"{user}\" is disabled at this gate. Ask your administrator why."),
        ),
    }
}

fn of_api(denial: &ApiDenial) -> Verdict {
    match denial {
        ApiDenial::Token(reason) => no_person(&PersonDenial::Token(reason.clone())),
        ApiDenial::ScopeMissing(token, deed) => forbidden(
            "scope_missing",
            "Scope missing",
            format!(
                "The {token} is nobody's in particular, and has no scope ({}) to do this for its organization: run `anaconda login`, or ask your administrator.",
                deed.scope().as_str()
            ),
        ),
        ApiDenial::OtherOrganization => missing("There is no such organization."),
        ApiDenial::OperatorsOnly(token) => {
            forbidden("operator_required", "Operator required", format!("The {token} is not an operator's."))
        }
    }
}

fn of_password(refusal: &PasswordRefusal) -> Verdict {
    let unauthorized =
        |code, title, detail: &str| Verdict::plain(StatusCode::UNAUTHORIZED, code, title, detail.to_owned());
    match refusal {
        PasswordRefusal::Wrong => unauthorized(
            "password_refused",
            "Password refused",
            "The user name or the password is not right.",
        ),
        PasswordRefusal::Disabled => unauthorized(
            "user_disabled",
            "User disabled",
            "This user is disabled at this gate. Ask your administrator why.",
        ),
        PasswordRefusal::Throttled(wait) => {
            let seconds = wait.as_secs().max(1);
            let detail = format!("There were too many attempts to sign in. Try again in {seconds} s.");
            Verdict::limited("Too many attempts", detail, seconds)
        }
        PasswordRefusal::Overloaded => Verdict::overloaded(5),
        PasswordRefusal::Store(error) => of_store(error),
    }
}

/// Why a token is not issued: it would not be served. 404 would say that there is none yet, and 401 that a login helps.
fn unusable(channel: &str, verdict: &Verdict) -> Verdict {
    let why = verdict.detail.trim_end_matches('.');
    let detail = format!(
        "No token was issued and none was ended, because a new one could not be used on \"{channel}\": {why}."
    );
    match verdict.status {
        status if status.is_server_error() => Verdict { detail, ..verdict.clone() },
        _ => forbidden("channel_forbidden", "Token would not serve", detail),
    }
}

fn forbidden(code: &'static str, title: &'static str, detail: String) -> Verdict {
    Verdict::plain(StatusCode::FORBIDDEN, code, title, detail)
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
