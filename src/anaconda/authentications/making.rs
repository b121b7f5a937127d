//! Tokens are made by the user's password, by their API key, by what a device was let in with, or by a token of theirs that is no narrower.
//!
//! Rights are the model's: [`check_mint`] says what may be given away, whoever asks. Without scopes the caller's own are meant, but nothing of
//! the admin API. `strength` makes no difference: every token has the same 190 random bits, which is more than either asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account::{Organization, Seat};
use crate::anaconda::asking::{Asking, settle};
use crate::anaconda::member::seat_in;
use crate::anaconda::parts::Json;
use crate::anaconda::refusal::Refusal;
use crate::anaconda::signing_in::{by_access, by_password};
use crate::anaconda::{Shared, reply};
use crate::auth::Carrier;
use crate::policy::{
    Caller, Deed, Holder, Mint, Minter, Person, PersonDenial, Standing, check_mint, decide_api,
};
use crate::store::{Actor, ActsAs, Approval, Conflict, NewToken, Purpose, StoreError};
use crate::token::{Minted, Scope, Scopes, TokenDigest, check_token_name, scoped_expiry};

/// What anaconda-client sends. It sends more (`note_url`, `hostname`), which is for nobody here.
#[derive(Deserialize)]
pub(super) struct Wish {
    /// The token's name.
    note: Option<String>,
    scopes: Option<Vec<String>>,
    /// The organization that it is to belong to.
    user: Option<String>,
    /// How long it lives, in seconds.
    #[serde(rename = "max-age")]
    max_age: Option<i64>,
    strength: Option<String>,
    #[serde(rename = "fail-if-exists", default)]
    fail_if_exists: bool,
}

/// Who makes a token.
enum Maker {
    /// A person, by a token of theirs.
    Person(Person, Vec<(Organization, Seat)>),
    /// A person who signed in, with the organization they signed in for, if that was said.
    SignedIn {
        user: String,
        organization: Option<String>,
        /// The digest of the access token that their sign-in gave them, if they come with one.
        access: Option<TokenDigest>,
        seats: Vec<(Organization, Seat)>,
    },
    /// A token that acts as nobody, for its organization.
    Token(Arc<Standing>),
}

/// `POST /authentications`.
pub(super) async fn create(
    State(shared): State<Shared>,
    asking: Asking,
    headers: HeaderMap,
    Json(wish): Json<Wish>,
) -> Result<Response, Refusal> {
    let name = wish.note.as_deref().unwrap_or_default();
    check_token_name(name).map_err(|error| Refusal::Value(error.to_string()))?;
    check_strength(wish.strength.as_deref())?;
    let maker = maker(&asking, &headers).await?;
    let organization = maker.organization(wish.user.as_deref())?;
    let scopes = match scopes(wish.scopes.as_deref())? {
        Some(scopes) => scopes,
        None => maker.own_scopes(),
    };
    let channels = maker.channels();
    let wanted = Mint { scopes, channels: channels.as_deref(), holder: maker.holder() };
    check_mint(maker.minter(&organization), &wanted).map_err(Refusal::Overreach)?;
    let life = wish.max_age.map(life).transpose()?;
    let token = NewToken {
        organization: organization.clone(),
        purpose: Purpose::Scoped {
            name: name.to_owned(),
            acts_as: maker.user().map(|user| ActsAs::User(user.to_owned())),
        },
        scopes,
        channels: channels.clone(),
        expires_at: Some(
            scoped_expiry(None, life, asking.now).map_err(|error| Refusal::Value(error.to_string()))?,
        ),
        imported: false,
        api_key: None,
        replaces_namesake: !wish.fail_if_exists,
    };
    maker.spend(&asking).await?;
    let minted = Minted::random().map_err(Refusal::of_random)?;
    let inserted = shared
        .store
        .insert_token(&token, &minted.digest(), &maker.by(&asking), asking.now, Duration::ZERO)
        .await
        .map_err(|error| match error {
            StoreError::Conflict(Conflict::TokenName { .. }) => {
                Refusal::NameTaken { name: name.to_owned(), organization, is_asked_for: wish.fail_if_exists }
            }
            error => error.into(),
        })?;
    settle(&shared).await?;
    asking.used();
    let record = inserted.record;
    let view = serde_json::json!({
        "token": minted.expose(),
        "id": record.id.0,
        "application": name,
        "scopes": record.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "expires": record.ends_at().map(|at| at.to_string()),
        "org": &*record.organization,
    });
    Ok(reply::json(StatusCode::OK, &view))
}

/// Who asks for a token.
async fn maker(asking: &Asking, headers: &HeaderMap) -> Result<Maker, Refusal> {
    let store = &asking.shared.store;
    if matches!((&asking.caller, asking.carrier), (Caller::Unknown, Some(Carrier::Basic))) {
        let user = by_password(asking, headers).await?;
        let seats = store.seats_of(&user).await?;
        return Ok(Maker::SignedIn { user, organization: None, access: None, seats });
    }
    if matches!((&asking.caller, asking.carrier), (Caller::Unknown, Some(Carrier::Bearer))) {
        // What is no access token either is told so as any unknown token.
        if let Ok((Approval { user, organization }, access)) = by_access(asking).await {
            let seats = store.seats_of(&user).await?;
            return Ok(Maker::SignedIn {
                user,
                organization: Some(organization),
                access: Some(access),
                seats,
            });
        }
    }
    match asking.person().await {
        Ok(person) => {
            let seats = store.seats_of(person.user()).await?;
            Ok(Maker::Person(person, seats))
        }
        Err(Refusal::NoPerson(PersonDenial::Nobodys(standing))) => {
            // Without the right to it, the person is told whose token it is rather than which scope it lacks.
            match decide_api(&asking.caller, Deed::Write, None, asking.now) {
                Ok(permit) => Ok(Maker::Token(Arc::clone(permit.standing()))),
                Err(_) => Err(Refusal::NoPerson(PersonDenial::Nobodys(standing))),
            }
        }
        Err(refusal) => Err(refusal),
    }
}

impl Maker {
    fn user(&self) -> Option<&str> {
        match self {
            Self::Person(person, _) => Some(person.user()),
            Self::SignedIn { user, .. } => Some(user),
            Self::Token(_) => None,
        }
    }

    /// The organization that the token is to belong to, by name.
    fn organization(&self, named: Option<&str>) -> Result<String, Refusal> {
        let (user, seats, own) = match self {
            Self::Person(person, seats) => (person.user(), seats, Some(person.organization())),
            Self::SignedIn { user, organization, seats, .. } => {
                (user.as_str(), seats, organization.as_deref())
            }
            Self::Token(standing) => {
                let own = &standing.token.organization;
                return match named {
                    Some(named) if *named != **own => Err(Refusal::OtherOrganization(named.to_owned())),
                    _ => Ok(own.to_string()),
                };
            }
        };
        match (named.or(own), seats.first()) {
            (Some(organization), _) => Ok(seat_in(seats, user, organization)?.name.clone()),
            (None, Some((oldest, _))) => Ok(oldest.name.clone()),
            (None, None) => Err(Refusal::NoSeats { user: user.to_owned() }),
        }
    }

    fn minter(&self, organization: &str) -> Minter<'_> {
        match self {
            Self::Person(person, _) if person.organization() == organization => person.minter(),
            Self::Person(person, _) => person.minter_elsewhere(),
            Self::SignedIn { user, .. } => Minter::person(user),
            Self::Token(standing) => Minter::from(&standing.token),
        }
    }

    /// What is meant by no scopes: the caller's own, but nothing of the admin API, which is asked for by name.
    fn own_scopes(&self) -> Scopes {
        match self {
            Self::Person(person, _) => person.own_scopes(),
            Self::SignedIn { .. } => Scopes::of(&[Scope::Repos]),
            Self::Token(standing) => {
                let own = standing.token.scopes;
                let plain: Vec<_> = own
                    .iter()
                    .filter_map(|scope| match scope {
                        Scope::All => Some(Scope::Repos),
                        Scope::Api | Scope::ApiRead | Scope::ApiWrite | Scope::ApiModifyGroup => None,
                        scope => Some(scope),
                    })
                    .collect();
                Scopes::of(&plain)
            }
        }
    }

    /// The channels that the token is confined to: those of the token that makes it.
    fn channels(&self) -> Option<Vec<String>> {
        match self {
            Self::Token(standing) => standing.token.channels.as_deref().map(<[_]>::to_vec),
            Self::Person(..) | Self::SignedIn { .. } => None,
        }
    }

    /// An access token makes one thing.
    async fn spend(&self, asking: &Asking) -> Result<(), Refusal> {
        let Self::SignedIn { access: Some(access), .. } = self else { return Ok(()) };
        let spent = asking.shared.store.redeem_access(access, asking.now).await?;
        spent.map(drop).ok_or_else(Refusal::access_unknown)
    }

    fn holder(&self) -> Holder<'_> {
        self.user().map_or(Holder::Nobody, Holder::User)
    }

    fn by(&self, asking: &Asking) -> Actor {
        self.user().map_or_else(|| asking.by_token(), |user| asking.by_user(user))
    }
}

/// The scopes that were asked for, each a word or several; `None` if there are none.
fn scopes(words: Option<&[String]>) -> Result<Option<Scopes>, Refusal> {
    let mut scopes = Vec::new();
    for word in words.unwrap_or_default().iter().flat_map(|words| words.split_whitespace()) {
        scopes.push(word.parse::<Scope>().map_err(|error| Refusal::Value(error.to_string()))?);
    }
    Ok((!scopes.is_empty()).then(|| Scopes::of(&scopes)))
}

fn check_strength(strength: Option<&str>) -> Result<(), Refusal> {
    match strength {
        None | Some("strong" | "weak") => Ok(()),
        Some(_) => Err(Refusal::Value(
            "strength has to be \"strong\" or \"weak\"; every token is as strong as the stronger".to_owned(),
        )),
    }
}

fn life(seconds: i64) -> Result<Duration, Refusal> {
    u64::try_from(seconds).ok().filter(|&seconds| seconds > 0).map(Duration::from_secs).ok_or_else(|| {
        Refusal::Value("max-age has to be the seconds that the token is to live, at least 1".to_owned())
    })
}
