//! API keys: what a person's tools get for the access token of a sign-in, and show from then on.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::asking::{Asking, settle};
use super::parts::Json;
use super::refusal::Refusal;
use super::{Shared, reply};
use crate::account::User;
use crate::keys::ApiKeyWish;
use crate::policy::{Caller, Holder, Mint, Minter, check_mint};
use crate::store::{Approval, Device};
use crate::token::{Scope, Scopes, TokenDigest};

/// The routes. anaconda-auth tries the second where the first does not answer 201.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/auth/api-keys", post(create))
        .route("/api/iam/api-keys", post(create))
        .route("/api/auth/oauth2/userinfo", get(userinfo))
}

/// What is asked for. `tags` and `name` are for nobody here: the key's name says whose it is and of which day.
#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    scopes: Vec<String>,
}

/// Makes an API key for what was let in. The access token is spent by it.
async fn create(
    State(shared): State<Shared>,
    asking: Asking,
    Json(wish): Json<Wish>,
) -> Result<Response, Refusal> {
    let (digest, device) = let_in(&asking).await?;
    let Approval { user, organization } = approval(device)?;
    let scopes = scopes(&wish.scopes, &user)?;
    let keys = shared.keys.as_ref().ok_or(Refusal::SignInOff)?;
    // Of several that come with the same one, one gets the key.
    if shared.store.redeem_access(&digest, asking.now).await?.is_none() {
        return Err(Refusal::access_unknown());
    }
    let by = asking.by_user(&user);
    let wish = ApiKeyWish { user, organization, scopes };
    let (issued, minted) = keys.issue(&wish, &by, asking.now).await.map_err(Refusal::of_keyring)?;
    settle(&shared).await?;
    let record = issued.record;
    let view = json!({
        "id": record.id.0,
        "api_key": minted.expose(),
        "name": record.name.as_deref(),
        "org": &*record.organization,
        "scopes": record.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "expires_at": record.ends_at().map(|at| at.to_string()),
    });
    Ok(reply::json(StatusCode::CREATED, &view))
}

/// Who the person is (OpenID Connect Core section 5.3), by an API key or by an access token, which this does not spend.
async fn userinfo(asking: Asking) -> Result<Response, Refusal> {
    let name = match asking.person().await {
        Ok(person) => {
            asking.used();
            person.user().to_owned()
        }
        Err(_) if matches!(asking.caller, Caller::Unknown) => approval(let_in(&asking).await?.1)?.user,
        Err(refusal) => return Err(refusal),
    };
    let user: Option<User> = asking.shared.store.user(&name).await?;
    let email = user.and_then(|user| user.email);
    // Whose address it is, an administrator said; nobody wrote to it.
    let view = json!({"sub": name, "name": name, "preferred_username": name, "email": email, "email_verified": false});
    Ok(reply::json(StatusCode::OK, &view))
}

/// What was let in with the access token that was shown.
pub(super) async fn let_in(asking: &Asking) -> Result<(TokenDigest, Device), Refusal> {
    // What is a token is no access token.
    let digest = match (&asking.caller, asking.digest) {
        (Caller::Unknown, Some(digest)) => digest,
        (Caller::Anonymous { .. }, _) => {
            return Err(asking.person().await.err().unwrap_or_else(Refusal::access_unknown));
        }
        _ => return Err(Refusal::access_unknown()),
    };
    let device = asking.shared.store.device_by_access(&digest, asking.now).await?;
    Ok((digest, device.ok_or_else(Refusal::access_unknown)?))
}

/// Who let it in.
pub(super) fn approval(device: Device) -> Result<Approval, Refusal> {
    device.approved.ok_or_else(Refusal::access_unknown)
}

/// What a key may be used for: the tools ask in anaconda.com's words. `repo:read` is reading channels, `cloud:*` is nothing here.
fn scopes(words: &[String], user: &str) -> Result<Scopes, Refusal> {
    let mut scopes = Vec::new();
    for word in words.iter().flat_map(|words| words.split_whitespace()) {
        match word {
            "repo:read" => scopes.push(Scope::CondaDownload),
            cloud if cloud.starts_with("cloud:") => {}
            word => scopes.push(
                word.parse().map_err(|error: crate::token::ScopeError| Refusal::Value(error.to_string()))?,
            ),
        }
    }
    if scopes.is_empty() {
        scopes.push(Scope::CondaDownload);
    }
    let scopes = Scopes::of(&scopes);
    let wanted = Mint { scopes, channels: None, holder: Holder::User(user) };
    check_mint(Minter::person(user), &wanted).map_err(Refusal::Overreach)?;
    Ok(scopes)
}
