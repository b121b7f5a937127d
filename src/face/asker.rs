//! From a credential to whoever shows it.
//!
//! For a token in memory nothing here awaits, allocates or holds a lock across calls (`tests/alloc.rs`, `benches/admit.rs`).

use std::net::IpAddr;

use super::network;
use crate::auth::{Carrier, Credential};
use crate::policy::Caller;
use crate::token::TokenDigest;
use crate::verify::{Lookup, LookupError, Verifier};

/// Who asks, as far as it is known.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Where the credential stood, if there was one.
    pub carrier: Option<Carrier>,
    /// Who it makes them.
    pub caller: Caller,
    /// The digest of what they showed.
    pub digest: Option<TokenDigest>,
}

/// A credential once its secret is out of scope.
pub struct Shown {
    carrier: Option<Carrier>,
    digest: Option<TokenDigest>,
    what: What,
}

enum What {
    Nothing { masked: bool },
    Nonsense,
    Remembered(Lookup),
    Forgotten(TokenDigest),
}

impl Shown {
    /// The part that sees the secret; it ends before anything can await.
    pub fn new(credential: Credential<'_>, verifier: &Verifier) -> Self {
        let (secret, carrier) = match credential {
            Credential::Absent { masked } => {
                return Self { carrier: None, digest: None, what: What::Nothing { masked } };
            }
            Credential::Presented { secret, carrier } => (secret, carrier),
        };
        let digest = secret.digest();
        let what = match verifier.recall(&digest) {
            Some(lookup) => What::Remembered(lookup),
            // Only what memory does not know is screened: the checksum, or the signature, costs further digests.
            None if verifier.is_plausible(&secret) => What::Forgotten(digest),
            None => What::Nonsense,
        };
        Self { carrier: Some(carrier), digest: Some(digest), what }
    }

    /// Who shows it, from this address.
    ///
    /// # Errors
    ///
    /// The token is not in memory and the store does not answer or is not asked, whether it has a token's form or not.
    pub async fn asker(self, verifier: &Verifier, client: Option<IpAddr>) -> Result<Asker, LookupError> {
        let caller = match self.what {
            What::Nothing { masked } => Caller::Anonymous { masked },
            What::Nonsense => caller(verifier.lookup_implausible()?),
            What::Remembered(lookup) => caller(lookup),
            // Boxed, as all that seldom happens on a request's way: its room would be moved about with every request.
            What::Forgotten(digest) => caller(Box::pin(verifier.lookup(&digest, client.map(network))).await?),
        };
        Ok(Asker { carrier: self.carrier, caller, digest: self.digest })
    }
}

fn caller(lookup: Lookup) -> Caller {
    match lookup {
        Lookup::Known(token) => Caller::Known(token),
        Lookup::Unknown => Caller::Unknown,
    }
}
