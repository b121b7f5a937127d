//! What a provider says of somebody, and whether it is worth anything. Pure.

use serde_json::{Map, Value};

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::anaconda::people) enum Claimed {
    /// This, and it counts.
    Is(String),
    /// Something that nobody has checked: anybody could have written it.
    Unverified,
    /// Nothing.
    Absent,
}

/// What `name` says among these claims. An e-mail address counts only if the provider says that it has verified it (OpenID Connect Core
/// section 5.1): elsewhere people write into it what they like.
pub(in crate::anaconda::people) fn claimed(claims: &Map<String, Value>, name: &str) -> Claimed {
    match claims.get(name).and_then(Value::as_str).filter(|value| !value.is_empty()) {
        None => Claimed::Absent,
        Some(_) if name == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) => {
            Claimed::Unverified
        }
        Some(value) => Claimed::Is(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Claimed, claimed};

    #[test]
    fn email_counts_only_if_it_is_verified() {
        let of = |claims: serde_json::Value, name| claimed(claims.as_object().unwrap(), name);
        let is = |text: &str| Claimed::Is(text.to_owned());
        for (claims, name, expected) in [
            (json!({"email": "a@b.test", "email_verified": true}), "email", is("a@b.test")),
            (json!({"email": "a@b.test", "email_verified": false}), "email", Claimed::Unverified),
            (json!({"email": "a@b.test"}), "email", Claimed::Unverified),
            (json!({"email": "a@b.test", "email_verified": "true"}), "email", Claimed::Unverified),
            (json!({"email": "", "email_verified": true}), "email", Claimed::Absent),
            (json!({"email": ["a@b.test"], "email_verified": true}), "email", Claimed::Absent),
            (json!({"preferred_username": "alice"}), "preferred_username", is("alice")),
            (json!({"sub": "alice"}), "preferred_username", Claimed::Absent),
            (json!({"preferred_username": null}), "preferred_username", Claimed::Absent),
        ] {
            assert_eq!(of(claims.clone(), name), expected, "{claims}");
        }
    }
}
