//! What people sign in by, from the configuration: the organization's OpenID provider, and the secret that the gates over one store share.

use crate::anaconda::people::{self, Meters, People, Place, Provider, ProviderConfig};
use crate::clock::Clock;
use crate::config::{Config, Oidc};
use crate::keys::GateSecret;
use crate::store::Store;

/// The OpenID provider, if there is one; it is not asked yet.
///
/// # Errors
///
/// What of its configuration cannot be used, as a sentence that begins with the key.
pub(super) fn provider(config: &Config, clock: &Clock) -> Result<Option<Provider>, String> {
    let Some(oidc) = &config.sign_in.oidc else { return Ok(None) };
    let Oidc { issuer, client_id, client_secret, user_claim, scopes, ca_file, title } = oidc;
    let client_secret = client_secret.as_ref().map(|source| super::parts::secret(source).read()).transpose();
    let host = issuer.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(issuer);
    let config = ProviderConfig {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret: client_secret.map_err(|problem| format!("sign_in.oidc.client_secret {problem}"))?,
        user_claim: user_claim.clone(),
        scopes: scopes.clone(),
        ca_file: ca_file.clone(),
        title: format!("Sign in with {}", title.as_deref().unwrap_or(host)),
    };
    Provider::new(config, clock.clone()).map(Some)
}

/// What signing in needs; `None`, after a word in the log, where the secret cannot be used: channels go on.
///
/// # Errors
///
/// No key can be made of the secret.
pub(super) fn people(
    config: &Config,
    secret: Option<GateSecret>,
    provider: Option<Provider>,
    store: &Store,
    meters: Meters,
) -> anyhow::Result<Option<People>> {
    let Some(secret) = secret else { return Ok(None) };
    let config = people::Config {
        passwords: config.sign_in.password,
        session_life: config.sign_in.session_life,
        api_key_life: config.sign_in.api_key_life,
        secret,
        provider,
    };
    Ok(Some(People::new(config, store, meters)?))
}

/// The secret that the gates over one store share, made if there is none; `None` where nobody is to sign in, and, after a word in the log, if it
/// cannot be used.
pub(super) fn secret(config: &Config) -> Option<GateSecret> {
    if !config.sign_in.password && config.sign_in.oidc.is_none() {
        return None;
    }
    let made = GateSecret::load_or_make(&config.sign_in.secret_file);
    made.inspect_err(|error| tracing::error!("nobody can sign in: {error}")).ok()
}

/// How browsers reach the gate.
pub(super) fn place(config: &Config) -> Place {
    Place { public_url: config.listen.public_url.clone(), tls: config.listen.tls.is_some() }
}
