//! Tokens are removed by the name that the list shows, or by id. The client takes no other status than 201 for done.

use axum::response::Response;
use http::StatusCode;

use super::view::name_of;
use super::{is_living, own};
use crate::anaconda::asking::{Asking, settle};
use crate::anaconda::parts::At;
use crate::anaconda::refusal::Refusal;
use crate::anaconda::reply;
use crate::policy::{Deed, PersonDenial, decide_api};
use crate::store::Actor;
use crate::token::{End, EndCause, TokenId, TokenRecord};

/// Ends the token that was shown: `anaconda org logout`.
pub(super) async fn current(asking: Asking) -> Result<Response, Refusal> {
    match asking.person().await {
        Ok(person) => end(&asking, person.standing().token.clone(), &asking.by_user(person.user())).await,
        // A person's token with fewer rights can end itself all the same.
        Err(Refusal::NoPerson(PersonDenial::ScopeMissing(standing))) => {
            end(&asking, standing.token.clone(), &asking.by_token()).await
        }
        // What others use is ended by whoever may.
        Err(Refusal::NoPerson(PersonDenial::Nobodys(standing))) => {
            if decide_api(&asking.caller, Deed::Write, None, asking.now).is_err() {
                return Err(Refusal::OfOthers(standing));
            }
            end(&asking, standing.token.clone(), &asking.by_token()).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// `DELETE /authentications/name/{name}`: the caller's own token of this name, or with `api:write` its organization's.
pub(super) async fn by_name(asking: Asking, at: At) -> Result<Response, Refusal> {
    let name = at.named("name");
    let person = match asking.person().await {
        Err(Refusal::NoPerson(PersonDenial::Nobodys(standing) | PersonDenial::ScopeMissing(standing))) => {
            return of_its_organization(&asking, &standing.token.organization, name).await;
        }
        person => person?,
    };
    let tokens = own(&asking, person.user(), None).await?.into_iter().map(|listed| listed.record);
    let mut matching: Vec<_> = tokens.filter(|record| is_called(record, name)).collect();
    // A name is unique in an organization: of two, the one of the organization that the person acts in is meant.
    if matching.len() > 1 {
        matching.retain(|record| *record.organization == *person.organization());
    }
    let record = matching.pop().ok_or_else(|| Refusal::no_such_token(name))?;
    asking.used();
    end(&asking, record, &asking.by_user(person.user())).await
}

/// `DELETE /authentications/org/{org}/name/{name}`: the caller's own there, or with `api:write` any of its organization.
pub(super) async fn of_organization(asking: Asking, at: At) -> Result<Response, Refusal> {
    let name = at.named("name");
    let organization = at.named("org");
    match asking.member().await {
        Err(Refusal::NoPerson(PersonDenial::Nobodys(_) | PersonDenial::ScopeMissing(_))) => {}
        Err(refusal) => return Err(refusal),
        Ok(member) => {
            let (organization, user) = (member.seat_in(organization)?, member.person.user());
            let tokens = own(&asking, user, Some(&organization.name)).await?;
            let found = tokens.into_iter().map(|listed| listed.record).find(|record| is_called(record, name));
            if let Some(record) = found {
                return end(&asking, record, &asking.by_user(user)).await;
            }
            if decide_api(&asking.caller, Deed::Write, Some(&organization.name), asking.now).is_err() {
                return Err(Refusal::no_such_token(name));
            }
        }
    }
    of_its_organization(&asking, organization, name).await
}

/// Ends any token of the organization whose token was shown, if that may.
async fn of_its_organization(asking: &Asking, organization: &str, name: &str) -> Result<Response, Refusal> {
    decide_api(&asking.caller, Deed::Write, Some(organization), asking.now).map_err(Refusal::Api)?;
    asking.used();
    let store = &asking.shared.store;
    let found = match name.parse().map(TokenId) {
        Ok(id) => store.token(id).await?.filter(|record| *record.organization == *organization),
        Err(_) => store.token_by_name(organization, name).await?,
    };
    let record = found.filter(|record| is_living(record, asking));
    end(asking, record.ok_or_else(|| Refusal::no_such_token(name))?, &asking.by_token()).await
}

fn is_called(record: &TokenRecord, name: &str) -> bool {
    name_of(record) == name || record.id.to_string() == name
}

async fn end(asking: &Asking, record: TokenRecord, by: &Actor) -> Result<Response, Refusal> {
    let end = End { cause: EndCause::Revoked, at: asking.now, reason: None };
    let ended = asking.shared.store.end_token(record.id, &end, by, asking.now).await?;
    settle(&asking.shared).await?;
    let view = serde_json::json!({"id": ended.record.id.0, "application": name_of(&ended.record)});
    Ok(reply::json(StatusCode::CREATED, &view))
}
