//! Finding the credential that decides.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use super::credential::{Carrier, Credential, CredentialError, Scratch};
use crate::conda::{PathToken, RequestTarget, is_masked};
use crate::token::Secret;

/// Carries a token.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Carries a token.
pub const X_AUTH: HeaderName = HeaderName::from_static("x-auth");

/// Clients disagree about padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credential that decides for a request.
///
/// # Errors
///
/// A credential header that occurs twice, whichever carrier would have decided.
pub fn extract<'r>(
    target: &'r RequestTarget<'_>,
    headers: &'r HeaderMap,
    scratch: &'r mut Scratch,
) -> Result<Credential<'r>, CredentialError> {
    first_of(target.token(), headers, scratch)
}

/// The same for a request whose path has no place for a token.
///
/// # Errors
///
/// A credential header that occurs twice, whichever carrier would have decided.
pub fn extract_from_headers<'r>(
    headers: &'r HeaderMap,
    scratch: &'r mut Scratch,
) -> Result<Credential<'r>, CredentialError> {
    first_of(&PathToken::Absent, headers, scratch)
}

fn first_of<'r>(
    path: &'r PathToken<'_>,
    headers: &'r HeaderMap,
    scratch: &'r mut Scratch,
) -> Result<Credential<'r>, CredentialError> {
    let authorization = only(headers, &AUTHORIZATION, "Authorization")?;
    let api_key = only(headers, &X_API_KEY, "X-API-Key")?;
    let x_auth = only(headers, &X_AUTH, "X-Auth")?;
    let mut masked = false;

    match path {
        PathToken::Present(value) => {
            return Ok(Credential::Presented {
                secret: Secret::new(value.as_bytes()),
                carrier: Carrier::Path,
            });
        }
        PathToken::Masked => masked = true,
        PathToken::Absent => {}
    }
    if let Some(value) = authorization {
        let (carrier, bytes) = authorization_secret(value, scratch);
        if !is_mask(bytes) {
            return Ok(Credential::Presented { secret: Secret::new(bytes), carrier });
        }
        masked = true;
    }
    for (value, carrier) in [(api_key, Carrier::ApiKey), (x_auth, Carrier::XAuth)] {
        let Some(bytes) = value else { continue };
        if !is_mask(bytes) {
            return Ok(Credential::Presented { secret: Secret::new(bytes), carrier });
        }
        masked = true;
    }
    Ok(Credential::Absent { masked })
}

/// The header's value, trimmed; `None` for a blank one too, as scripts send it whose variable is not set.
fn only<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'r [u8]>, CredentialError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(CredentialError::Repeated(shown));
    }
    Ok(first.map(|value| value.as_bytes().trim_ascii()).filter(|value| !value.is_empty()))
}

/// What an `Authorization` header with this trimmed value carries. An unreadable one carries nothing that anybody was issued: the empty secret.
fn authorization_secret<'r>(value: &'r [u8], scratch: &'r mut Scratch) -> (Carrier, &'r [u8]) {
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end).unwrap_or((value, b""));
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"token") {
        (Carrier::Token, rest)
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        (Carrier::Bearer, rest)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        (Carrier::Basic, basic_secret(rest, scratch).unwrap_or_default())
    } else {
        (Carrier::OtherScheme, b"")
    }
}

/// The token in `user:password`: the password with any user, or the user where the password is empty or `x-oauth-basic`.
fn basic_secret<'r>(encoded: &[u8], scratch: &'r mut Scratch) -> Option<&'r [u8]> {
    let buffer = scratch.bytes();
    let length = BASE64.decode_slice(encoded, buffer).ok()?;
    let decoded = buffer.get(..length)?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let (user, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
    Some(if password.is_empty() || password == b"x-oauth-basic" { user } else { password })
}

fn is_mask(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(is_masked)
}
