//! API keys: tokens whose value says whose it is and until when, as clients of Anaconda's expect of one (anaconda-auth reads `exp`).
//!
//! A value is a JSON Web Token (RFC 7519) in its compact form, signed by HMAC-SHA-256. What it says opens nothing: like every token it is
//! known by its digest, and what it may is in the store. The signature lets the gate refuse garbage without asking anybody. Algorithm, issuer
//! and audience are pinned: what was signed for something else is no API key.
//!
//! Pure: whoever keeps the keys and asks the store is `keys`.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mint::Minted;
use super::record::TokenId;
use super::secret::Secret;
use crate::clock::Timestamp;

/// What an API key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyClaims {
    /// Its id.
    pub id: TokenId,
    /// The user it acts as.
    pub user: String,
    /// The organization it acts in, by name.
    pub organization: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// From when on it no longer serves.
    pub expires_at: Timestamp,
}

/// A key that signs API keys and verifies them.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// An API key that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The library refused.
    #[error("the API key could not be signed: {0}")]
    Signature(#[from] jsonwebtoken::errors::Error),
    /// Names so long that no client would carry it.
    #[error("the API key would have {0} bytes, and may have {max}", max = Secret::API_KEY_BYTES_MAX)]
    TooLong(usize),
}

/// What verifies API keys, at one moment.
#[derive(Clone, Default)]
pub struct ApiKeySet {
    issuer: String,
    keys: Vec<SigningKey>,
}

/// What a value in the form of an API key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiKeyCheck {
    /// One that was signed here.
    Genuine(ApiKeyClaims),
    /// Signed by a key that is not known here, maybe by another gate over the same store a moment ago.
    Unknown,
    /// No API key of this gate, whoever signs: another algorithm, issuer or audience, or a wrong signature.
    Forged,
    /// One that was signed here and has expired.
    Expired,
}

/// What stands in the value.
#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    aud: String,
    sub: String,
    org: String,
    jti: Uuid,
    iat: i64,
    exp: i64,
}

impl SigningKey {
    /// The key of this name.
    ///
    /// # Errors
    ///
    /// The library's, for a key that it cannot use.
    pub fn new(kid: String, secret: &[u8; 32]) -> Result<Self, SignError> {
        Ok(Self {
            kid,
            encoding: EncodingKey::from_secret(secret)?,
            decoding: DecodingKey::from_secret(secret)?,
        })
    }

    /// Its name in what it signs.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Makes the value of an API key.
    ///
    /// # Errors
    ///
    /// It would be too long, or the library fails.
    pub fn sign(&self, issuer: &str, claims: &ApiKeyClaims) -> Result<Minted, SignError> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        let wire = Wire {
            iss: issuer.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claims.user.clone(),
            org: claims.organization.clone(),
            jti: claims.id.0,
            iat: seconds(claims.issued_at),
            exp: seconds(claims.expires_at),
        };
        let value = encode(&header, &wire, &self.encoding)?;
        if value.len() > Secret::API_KEY_BYTES_MAX {
            return Err(SignError::TooLong(value.len()));
        }
        Ok(Minted::signed(value))
    }
}

/// Without the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl ApiKeySet {
    /// What verifies the API keys that `issuer` signed by one of these.
    pub fn new(issuer: String, keys: Vec<SigningKey>) -> Self {
        Self { issuer, keys }
    }

    /// Looks at a value in the form of an API key, as [`Secret::is_plausible`] tells it.
    pub fn check(&self, secret: &Secret<'_>, now: Timestamp) -> ApiKeyCheck {
        let value = secret.bytes();
        let Ok(header) = decode_header(value) else { return ApiKeyCheck::Forged };
        let kid = header.kid.filter(|_| header.alg == Algorithm::HS256);
        let Some(kid) = kid else { return ApiKeyCheck::Forged };
        let Some(key) = self.keys.iter().find(|key| key.kid == kid) else { return ApiKeyCheck::Unknown };
        let mut pinned = Validation::new(Algorithm::HS256);
        pinned.set_audience(&[AUDIENCE]);
        pinned.set_issuer(&[&self.issuer]);
        pinned.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the machine's clock.
        pinned.validate_exp = false;
        let Ok(found) = decode::<Wire>(value, &key.decoding, &pinned) else { return ApiKeyCheck::Forged };
        let expires_at = Timestamp::from_millis(found.claims.exp.saturating_mul(1_000));
        if expires_at <= now {
            return ApiKeyCheck::Expired;
        }
        ApiKeyCheck::Genuine(ApiKeyClaims {
            id: TokenId(found.claims.jti),
            user: found.claims.sub,
            organization: found.claims.org,
            issued_at: Timestamp::from_millis(found.claims.iat.saturating_mul(1_000)),
            expires_at,
        })
    }
}

/// Without the keys.
impl fmt::Debug for ApiKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeySet").field("issuer", &self.issuer).field("keys", &self.keys).finish()
    }
}

/// Whole seconds, rounded down: what it says is never later than what the store says.
fn seconds(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1_000)
}

/// For whom they are.
const AUDIENCE: &str = "channelgate";

#[cfg(test)]
mod tests;
