//! The provider as the gate knows it: its metadata and keys, asked for anew after an hour and when it signs by a key that is not among them.

use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalClaims, AsyncHttpClient, AuthType, AuthenticationFlow,
    AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdToken,
    IdTokenClaims, IdTokenFields, IdTokenVerifier, IssuerUrl, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, SubjectIdentifier, TokenResponse as _, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Semaphore};

use super::{Claimed, Journey, ProviderConfig, claimed};
use crate::clock::Clock;
use crate::upstream::{Web, WebError};

/// The provider.
pub struct Provider {
    config: ProviderConfig,
    issuer: IssuerUrl,
    http: Asking,
    clock: Clock,
    /// Locked while it is asked for, so that one asks for all.
    memory: Mutex<Memory>,
    /// Places of those who come back and are asked about.
    room: Semaphore,
}

/// What came of asking for the metadata; times are of the uptime.
#[derive(Default)]
struct Memory {
    known: Option<(Arc<CoreProviderMetadata>, Duration)>,
    /// When it failed last, if it did not answer since.
    failed: Option<Duration>,
}

/// A sign-in that begins.
pub(in crate::anaconda::people) struct Started {
    /// Where the browser goes.
    pub(in crate::anaconda::people) url: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// Who the provider says that somebody is.
#[derive(Debug)]
pub(in crate::anaconda::people) struct Identified {
    /// The provider.
    pub(in crate::anaconda::people) issuer: String,
    /// What it calls them, for ever.
    pub(in crate::anaconda::people) subject: String,
    /// Their name, as far as the provider tells it.
    pub(in crate::anaconda::people) name: Claimed,
}

/// Why nobody is identified.
#[derive(Debug, thiserror::Error)]
pub(in crate::anaconda::people) enum ProviderError {
    /// It does not answer, or not as a provider.
    #[error("the OpenID provider cannot be asked")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Too many come back at once.
    #[error("too many people come back from the OpenID provider at once")]
    Overloaded,
    /// It does not take the code, or the gate's own credentials.
    #[error("the OpenID provider refuses the code: {0}")]
    Refused(String),
    /// What it says does not hold.
    #[error("the OpenID provider's answer does not hold: {0}")]
    Invalid(String),
}

/// How `openidconnect` asks.
struct Asking(Web);

impl<'c> AsyncHttpClient<'c> for Asking {
    type Error = WebError;
    // In a box without a lifetime: that it can be sent to another thread is known for one lifetime only otherwise.
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, WebError>> + Send>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        let web = self.0.clone();
        Box::pin(async move { web.send(request).await })
    }
}

/// Claims that OpenID Connect has no name for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct Further(HashMap<String, Value>);

impl AdditionalClaims for Further {}

type Fields = IdTokenFields<
    Further,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Token = IdToken<Further, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

type ProviderClient = Client<
    Further,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl Provider {
    /// The provider of this configuration; it is not asked yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, as a sentence that begins with the key.
    pub fn new(config: ProviderConfig, clock: Clock) -> Result<Self, String> {
        let issuer = IssuerUrl::new(config.issuer.clone())
            .map_err(|error| format!("sign_in.oidc.issuer is no URL: {error}"))?;
        let web = Web::new(config.ca_file.as_deref())
            .map_err(|problem| format!("sign_in.oidc.ca_file {problem}"))?;
        Ok(Self {
            config,
            issuer,
            http: Asking(web),
            clock,
            memory: Mutex::default(),
            room: Semaphore::new(ROOM),
        })
    }

    /// What the button says.
    pub(in crate::anaconda::people) fn title(&self) -> &str {
        &self.config.title
    }

    /// True for the name of the provider, as it calls itself.
    pub(in crate::anaconda::people) fn is_issuer(&self, issuer: &str) -> bool {
        self.issuer.as_str() == issuer
    }

    /// Begins a sign-in that comes back to `redirect_uri`.
    ///
    /// # Errors
    ///
    /// The provider does not answer.
    pub(in crate::anaconda::people) async fn start(
        &self,
        redirect_uri: String,
    ) -> Result<Started, ProviderError> {
        let client = self.client(&*self.metadata(None).await?, redirect_uri)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = self.config.scopes.iter().filter(|scope| *scope != "openid").cloned();
        let (url, state, nonce) = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(scopes.map(Scope::new))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Started {
            url: url.into(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Who came back with this code, from a journey that this browser began.
    ///
    /// # Errors
    ///
    /// See [`ProviderError`].
    pub(in crate::anaconda::people) async fn finish(
        &self,
        journey: &Journey,
        code: String,
        redirect_uri: String,
    ) -> Result<Identified, ProviderError> {
        let _place = self.room.try_acquire().map_err(|_| ProviderError::Overloaded)?;
        let mut metadata = self.metadata(None).await?;
        let mut client = self.client(&metadata, redirect_uri.clone())?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(invalid)?
            .set_pkce_verifier(PkceCodeVerifier::new(journey.verifier.clone()))
            .request_async(&self.http)
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(said) => ProviderError::Refused(said.error().to_string()),
                RequestTokenError::Request(error) => ProviderError::Unreachable(error.into()),
                other => invalid(other),
            })?;
        let token =
            tokens.id_token().ok_or_else(|| ProviderError::Invalid("there is no ID token".to_owned()))?;
        let nonce = Nonce::new(journey.nonce.clone());
        let verify = |client: &ProviderClient, metadata: &CoreProviderMetadata| {
            let verifier = client.id_token_verifier().set_allowed_algs(algorithms(metadata));
            let claims = token.claims(&verifier, &nonce)?.clone();
            check_access_token(token, &verifier, &claims, tokens.access_token())?;
            Ok(claims)
        };
        let claims = match verify(&client, &metadata) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                // It may sign by a new key.
                metadata = self.metadata(Some(&metadata)).await?;
                client = self.client(&metadata, redirect_uri)?;
                verify(&client, &metadata).map_err(invalid)?
            }
            other => other.map_err(invalid)?,
        };
        let subject = claims.subject().clone();
        let mut name = claimed(&object(&claims), &self.config.user_claim);
        if name == Claimed::Absent {
            name = self.ask(&client, tokens.access_token().clone(), subject.clone()).await?;
        }
        Ok(Identified { issuer: self.issuer.as_str().to_owned(), subject: subject.as_str().to_owned(), name })
    }

    /// What the userinfo endpoint says of the name of this subject, where there is one.
    async fn ask(
        &self,
        client: &ProviderClient,
        token: AccessToken,
        subject: SubjectIdentifier,
    ) -> Result<Claimed, ProviderError> {
        let Ok(asking) = client.user_info(token, Some(subject)) else { return Ok(Claimed::Absent) };
        let claims: UserInfoClaims<Further, CoreGenderClaim> =
            asking.request_async(&self.http).await.map_err(invalid)?;
        Ok(claimed(&object(&claims), &self.config.user_claim))
    }

    /// The metadata, from memory for an hour. `outdated`: not that again, unless it was asked for a moment ago.
    async fn metadata(
        &self,
        outdated: Option<&Arc<CoreProviderMetadata>>,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        let mut memory = self.memory.lock().await;
        let now = self.clock.uptime();
        if let Some((metadata, at)) = &memory.known {
            let age = now.saturating_sub(*at);
            let is_outdated = outdated.is_some_and(|outdated| Arc::ptr_eq(outdated, metadata));
            if age < if is_outdated { AGE_MIN } else { AGE_MAX } {
                return Ok(Arc::clone(metadata));
            }
        }
        // Those who waited while it did not answer do not wait for it one after the other.
        if memory.failed.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return Err(ProviderError::Unreachable("it did not answer a moment ago".into()));
        }
        match CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *memory = Memory { known: Some((Arc::clone(&metadata), now)), failed: None };
                Ok(metadata)
            }
            Err(error) => {
                memory.failed = Some(self.clock.uptime());
                Err(ProviderError::Unreachable(error.into()))
            }
        }
    }

    fn client(
        &self,
        metadata: &CoreProviderMetadata,
        redirect_uri: String,
    ) -> Result<ProviderClient, ProviderError> {
        let secret = self.config.client_secret.clone().map(ClientSecret::new);
        let client_id = ClientId::new(self.config.client_id.clone());
        // RFC 6749 section 2.3.1 wants Basic to be understood; where it is not, the provider says so.
        let takes_basic = metadata
            .token_endpoint_auth_methods_supported()
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let auth = if takes_basic { AuthType::BasicAuth } else { AuthType::RequestBody };
        let redirect = RedirectUrl::new(redirect_uri).map_err(invalid)?;
        Ok(Client::from_provider_metadata(metadata.clone(), client_id, secret)
            .set_auth_type(auth)
            .set_redirect_uri(redirect))
    }
}

/// Finds an access token that is not the one that the ID token came with (OpenID Connect Core section 3.1.3.8).
fn check_access_token(
    token: &Token,
    verifier: &IdTokenVerifier<'_, CoreJsonWebKey>,
    claims: &IdTokenClaims<Further, CoreGenderClaim>,
    access: &AccessToken,
) -> Result<(), ClaimsVerificationError> {
    let Some(expected) = claims.access_token_hash() else { return Ok(()) };
    let of_key = ClaimsVerificationError::SignatureVerification;
    let algorithm = token.signing_alg().map_err(of_key)?;
    let key = token.signing_key(verifier).map_err(of_key)?;
    match AccessTokenHash::from_token(access, algorithm, key) {
        Ok(actual) if actual == *expected => Ok(()),
        _ => Err(ClaimsVerificationError::Other("at_hash is of another access token".to_owned())),
    }
}

/// The algorithms that the provider says it signs by, of those that prove that it was the provider: with a shared secret, whoever can read the
/// gate's configuration could sign, too.
fn algorithms(metadata: &CoreProviderMetadata) -> Vec<CoreJwsSigningAlgorithm> {
    use CoreJwsSigningAlgorithm::{
        EcdsaP256Sha256, EcdsaP384Sha384, EdDsa, RsaSsaPkcs1V15Sha256, RsaSsaPkcs1V15Sha384,
        RsaSsaPkcs1V15Sha512, RsaSsaPssSha256, RsaSsaPssSha384, RsaSsaPssSha512,
    };
    let sound = [
        RsaSsaPkcs1V15Sha256,
        RsaSsaPkcs1V15Sha384,
        RsaSsaPkcs1V15Sha512,
        RsaSsaPssSha256,
        RsaSsaPssSha384,
        RsaSsaPssSha512,
        EcdsaP256Sha256,
        EcdsaP384Sha384,
        EdDsa,
    ];
    let offered = metadata.id_token_signing_alg_values_supported();
    sound.into_iter().filter(|algorithm| offered.contains(algorithm)).collect()
}

/// Claims as an object.
fn object(claims: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn invalid(error: impl Error) -> ProviderError {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    ProviderError::Invalid(told)
}

/// For so long what was asked for is good.
const AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// A key that nobody knows makes it be asked for anew no more often than this.
const AGE_MIN: Duration = Duration::from_secs(30);

/// It is not asked again for so long after it did not answer.
const PAUSE: Duration = Duration::from_secs(3);

/// How many come back at once.
const ROOM: usize = 64;
