//! Who may do what through the admin API.
//!
//! 1. A token is needed, and it has to serve, as everywhere.
//! 2. Its scopes have to cover the deed. `api:write` covers neither reading nor groups.
//! 3. What belongs to another organization looks as if it did not exist, whatever the deed, unless the token is an operator's.
//! 4. Organizations themselves are changed by operators only.

use std::sync::Arc;

use super::decision::{Caller, DenyReason, serving};
use super::standing::Standing;
use crate::clock::Timestamp;
use crate::token::{Scope, TokenRecord};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Look at something.
    Read,
    /// Change seats or tokens.
    Write,
    /// Change groups, what they are granted, and which channels are restricted to them.
    ModifyGroups,
    /// Create, renew or cancel an organization.
    Operate,
}

impl Deed {
    /// All of them.
    pub const EVERY: [Self; 4] = [Self::Read, Self::Write, Self::ModifyGroups, Self::Operate];

    /// The least scope that covers it.
    pub fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::ApiRead,
            Self::Write | Self::Operate => Scope::ApiWrite,
            Self::ModifyGroups => Scope::ApiModifyGroup,
        }
    }
}

/// The right to do one deed. Only [`decide_api`] makes one.
#[derive(Clone, Debug)]
pub struct ApiPermit {
    standing: Arc<Standing>,
}

impl ApiPermit {
    /// The token that was shown.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// The organization that all it does is confined to, by name; `None` for an operator.
    pub fn organization(&self) -> Option<&str> {
        let token = &self.standing.token;
        (!token.operator).then_some(&*token.organization)
    }
}

/// Why something may not be done.
#[derive(Clone, Debug)]
pub enum ApiDenial {
    /// No token, or one that does not serve.
    Token(DenyReason),
    /// No scope of the token covers the deed.
    ScopeMissing(Arc<Standing>, Deed),
    /// It is an organization that the token is not of: it must look as if it did not exist.
    OtherOrganization,
    /// It is an operator's deed, and the token is not one's.
    OperatorsOnly(Arc<Standing>),
}

/// Decides whether `caller` may do `deed` at `now`, in the organization of this name if it is one's.
///
/// # Errors
///
/// Why not.
pub fn decide_api(
    caller: &Caller,
    deed: Deed,
    organization: Option<&str>,
    now: Timestamp,
) -> Result<ApiPermit, ApiDenial> {
    let standing = match caller {
        Caller::Anonymous { masked } => {
            return Err(ApiDenial::Token(DenyReason::TokenMissing { masked: *masked }));
        }
        Caller::Unknown => return Err(ApiDenial::Token(DenyReason::TokenUnknown)),
        Caller::Known(standing) => serving(standing, now).map_err(ApiDenial::Token)?,
    };
    let token: &TokenRecord = &standing.token;
    if !token.scopes.cover(deed.scope()) {
        return Err(ApiDenial::ScopeMissing(Arc::clone(standing), deed));
    }
    if !token.operator && organization.is_some_and(|name| *name != *token.organization) {
        return Err(ApiDenial::OtherOrganization);
    }
    if deed == Deed::Operate && !token.operator {
        return Err(ApiDenial::OperatorsOnly(Arc::clone(standing)));
    }
    Ok(ApiPermit { standing: Arc::clone(standing) })
}
