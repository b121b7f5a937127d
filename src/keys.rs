//! The keys that API keys are signed with.
//!
//! They are in the store, sealed under the secret that the gates over it share ([`GateSecret`]): whoever reads the store can sign nothing. Each
//! signs for [`Config::signing_key_life`], and verifies until the last API key that it signed has expired. A gate that is to sign reads them
//! first, so that of several gates each verifies what another one signed; until it has read a new one, it asks the store for what that signed,
//! as for any token.
//!
//! Nothing here decides: an API key is a token, and what it may is [`crate::policy`]'s question.

mod secret;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use uuid::Uuid;

pub use secret::{GateSecret, SecretError};

use crate::clock::Timestamp;
use crate::store::{Actor, ActsAs, Issued, NewToken, Purpose, SealedKey, Store, StoreError};
use crate::token::{ApiKeyClaims, ApiKeySet, Minted, Scopes, SignError, SigningKey, TokenId};

/// For how long keys serve, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who says that it signs; API keys of another issuer are none.
    pub issuer: String,
    /// How long a key signs before another one does. Default 90 days.
    pub signing_key_life: Duration,
    /// How long an API key serves. Default 90 days.
    pub api_key_life: Duration,
}

impl Default for Config {
    fn default() -> Self {
        const DAYS_90: Duration = Duration::from_secs(90 * 24 * 3_600);
        Self { issuer: "channelgate".to_owned(), signing_key_life: DAYS_90, api_key_life: DAYS_90 }
    }
}

/// Signs API keys. Clones share everything.
#[derive(Clone, Debug)]
pub struct Keyring {
    store: Store,
    secret: GateSecret,
    config: Arc<Config>,
    verifying: Arc<ArcSwap<ApiKeySet>>,
}

/// An API key that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyWish {
    /// The user it acts as.
    pub user: String,
    /// The organization it acts in, by name.
    pub organization: String,
    /// What it may be used for.
    pub scopes: Scopes,
}

/// An API key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store's refusal or failure.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key in the store is not sealed under this gate's secret.
    #[error(
        "the signing key {0} in the store was sealed by another secret than this gate's; all gates over one store need the same file (sign_in.secret_file)"
    )]
    OtherSecret(String),
    /// The random source, while a new one was made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What signs.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Other gates made keys all the time.
    #[error("no signing key could be made, as other gates were making one; try again")]
    Contended,
}

impl Keyring {
    /// A keyring that has read no key yet.
    pub fn new(store: Store, secret: GateSecret, config: Config) -> Self {
        let verifying = ApiKeySet::new(config.issuer.clone(), Vec::new());
        Self {
            store,
            secret,
            config: Arc::new(config),
            verifying: Arc::new(ArcSwap::from_pointee(verifying)),
        }
    }

    /// What verifies API keys, as far as it was read; it changes as keys are read.
    pub fn verifying(&self) -> Arc<ArcSwap<ApiKeySet>> {
        Arc::clone(&self.verifying)
    }

    /// The secret, for what else must be derived from it.
    pub fn secret(&self) -> &GateSecret {
        &self.secret
    }

    /// For how long keys serve, and in whose name.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads the keys that there are.
    ///
    /// # Errors
    ///
    /// The store's failures, and keys that were sealed by another secret.
    pub async fn load(&self, now: Timestamp) -> Result<(), KeyringError> {
        self.read(now).await.map(drop)
    }

    /// Makes an API key and keeps it, in the name of its user.
    ///
    /// # Errors
    ///
    /// The store's, as for any token ([`Store::insert_token`]); that it cannot be signed.
    pub async fn issue(
        &self,
        wish: &ApiKeyWish,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(Issued, Minted), KeyringError> {
        let id = TokenId(Uuid::new_v4());
        // What it says has whole seconds, and so has what is kept.
        let expires_at =
            Timestamp::from_millis(now.plus(self.config.api_key_life).as_millis() / 1_000 * 1_000);
        let claims = ApiKeyClaims {
            id,
            user: wish.user.clone(),
            organization: wish.organization.clone(),
            issued_at: now,
            expires_at,
        };
        let key = self.signing(now).await?;
        let minted = key.sign(&self.config.issuer, &claims)?;
        self.store.touch_verifies_until(key.kid(), expires_at).await?;
        let mark: String = id.0.simple().to_string().chars().take(MARK_CHARS).collect();
        let day: String = now.to_string().chars().take(DAY_CHARS).collect();
        let user: String = wish.user.chars().take(USER_CHARS_SHOWN).collect();
        let new = NewToken {
            purpose: Purpose::Scoped {
                name: format!("api-key {user} {day} {mark}"),
                acts_as: Some(ActsAs::User(wish.user.clone())),
            },
            scopes: wish.scopes,
            expires_at: Some(expires_at),
            api_key: Some(id),
            ..NewToken::site(&*wish.organization)
        };
        let issued = self.store.insert_token(&new, &minted.digest(), by, now, Duration::ZERO).await?;
        Ok((issued, minted))
    }

    /// The key that signs now; made if there is none.
    async fn signing(&self, now: Timestamp) -> Result<SigningKey, KeyringError> {
        for _ in 0..ATTEMPTS {
            let kept = self.read(now).await?;
            let newest = kept.first().map(|(sealed, _)| sealed.kid.clone());
            if let Some((sealed, key)) = kept.into_iter().next()
                && now < sealed.signs_until
            {
                return Ok(key);
            }
            let kid = Uuid::new_v4().simple().to_string();
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|_| SecretError::Random)?;
            let signs_until = now.plus(self.config.signing_key_life);
            let sealed = SealedKey {
                sealed: self.secret.seal(PURPOSE, &kid, &bytes)?,
                kid,
                created_at: now,
                signs_until,
                verifies_until: signs_until,
            };
            // Whoever was faster made the one that signs.
            self.store.add_signing_key(&sealed, newest.as_deref(), now).await?;
        }
        Err(KeyringError::Contended)
    }

    /// The keys in the store, the newest first; they verify from now on.
    async fn read(&self, now: Timestamp) -> Result<Vec<(SealedKey, SigningKey)>, KeyringError> {
        let sealed = self.store.signing_keys(now).await?;
        let mut keys = Vec::with_capacity(sealed.len());
        for sealed in sealed {
            let opened = self.secret.open(PURPOSE, &sealed.kid, &sealed.sealed);
            let bytes: Option<[u8; 32]> = opened.and_then(|bytes| bytes.try_into().ok());
            let Some(bytes) = bytes else { return Err(KeyringError::OtherSecret(sealed.kid)) };
            let key = SigningKey::new(sealed.kid.clone(), &bytes)?;
            keys.push((sealed, key));
        }
        let verifying = keys.iter().map(|(_, key)| key.clone()).collect();
        self.verifying.store(Arc::new(ApiKeySet::new(self.config.issuer.clone(), verifying)));
        Ok(keys)
    }
}

/// What signing keys are sealed for.
const PURPOSE: &str = "signing keys";

/// How often a gate tries to make a key while others do.
const ATTEMPTS: u32 = 3;

/// Of an API key's name: of its id, of its date, of its user's name at most.
const MARK_CHARS: usize = 8;
const DAY_CHARS: usize = 10;
const USER_CHARS_SHOWN: usize = 90;

#[cfg(test)]
mod tests;
