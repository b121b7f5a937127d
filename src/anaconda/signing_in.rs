//! People who ask for a token without having one: by what a sign-in in the browser gave their tool, or by their password.

use super::asking::Asking;
use super::keys::{approval, let_in};
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
