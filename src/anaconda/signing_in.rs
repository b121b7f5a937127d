//! People who ask for a token without having one: by what a sign-in in the browser gave their tool, or by their password.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::asking::Asking;
use super::keys::{approval, let_in};
use super::people::PasswordRefusal;
use super::refusal::Refusal;
use crate::store::Approval;
use crate::token::TokenDigest;

/// Who let in what shows this access token, and the token's digest: it is spent when something is made by it.
///
/// # Errors
///
/// It is none, or no longer.
pub(super) async fn by_access(asking: &Asking) -> Result<(Approval, TokenDigest), Refusal> {
    let (digest, device) = let_in(asking).await?;
    Ok((approval(device)?, digest))
}

/// The user whose password came in the header `Authorization: Basic`.
///
/// # Errors
///
/// It is not theirs, or cannot be checked now.
pub(super) async fn by_password(asking: &Asking, headers: &HeaderMap) -> Result<String, Refusal> {
    let people = asking.shared.people.as_ref().ok_or(Refusal::SignInOff)?;
    let passwords = people.passwords.as_ref().ok_or(Refusal::PasswordsOff)?;
    let (user, password) = basic(headers).ok_or(Refusal::Password(PasswordRefusal::Wrong))?;
    let checked = passwords.check(&user, password, asking.arrival.client, asking.now).await;
    checked.map(|user| user.name).map_err(|refusal| match refusal {
        PasswordRefusal::Store(error) => error.into(),
        refusal => Refusal::Password(refusal),
    })
}

/// User and password (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (_, encoded) = value.split_once(' ')?;
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Clients disagree about padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
