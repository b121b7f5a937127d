//! Values of requests that are written as text: read by the rules of their own types, and described by the same rules.

use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::account::{Permission, Role, check_label, check_name, check_pattern, check_user};
use crate::clock::{Timestamp, parse_duration};
use crate::conda::ChannelName;
use crate::store::AuditHash;
use crate::token::{Scope, check_token_name};

/// A value that is written as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

// The macros that describe requests look at a type's name, and would take what is between the brackets for a schema of its own.
pub(super) type ScopeWord = Word<Scope>;
pub(super) type RoleWord = Word<Role>;
pub(super) type PermissionWord = Word<Permission>;
pub(super) type Moment = Word<Timestamp>;
pub(super) type SpanWord = Word<Span>;
pub(super) type ChannelWord = Word<ChannelName>;
pub(super) type HashWord = Word<AuditHash>;
pub(super) type NameWord = Word<PlainName>;
pub(super) type UserWord = Word<UserName>;
pub(super) type TokenNameWord = Word<TokenName>;
pub(super) type LineWord = Word<Line>;
pub(super) type PatternWord = Word<Pattern>;
pub(super) type LabelWord = Word<LabelName>;

/// What can be written as text.
pub(super) trait Worded: Sized {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// A sentence that says what it has to be.
    fn read(text: &str) -> Result<Self, String>;

    /// What it looks like.
    fn describe(schema: ObjectBuilder) -> ObjectBuilder;
}

impl<'de, T: Worded> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl<T: Worded> PartialSchema for Word<T> {
    fn schema() -> RefOr<Schema> {
        let object: Object = T::describe(ObjectBuilder::new().schema_type(Type::String)).build();
        object.into()
    }
}

impl<T: Worded> ToSchema for Word<T> {}

impl Worded for Scope {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.enum_values(Some(Self::EVERY.map(Self::as_str)))
    }
}

impl Worded for Role {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.enum_values(Some([Self::Member, Self::Admin].map(Self::as_str)))
    }
}

impl Worded for Permission {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.enum_values(Some([Self::Read, Self::Write, Self::Admin].map(Self::as_str)))
    }
}

impl Worded for Timestamp {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, or a plain date, which means its first moment in UTC."))
            .examples(["2027-01-31T12:00:00Z"])
    }
}

/// A duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl Worded for Span {
    fn read(text: &str) -> Result<Self, String> {
        // One number and one unit, as it is described; people may write more at the command line.
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = text.get(digits..).unwrap_or_default();
        if !(1..=6).contains(&digits) || !matches!(unit, "ms" | "s" | "m" | "h" | "d") {
            return Err(format!("\"{text}\" is not a duration such as 90s, 24h or 365d"));
        }
        parse_duration(text).map(Self).map_err(|error| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema
            .pattern(Some("^[0-9]{1,6}(ms|s|m|h|d)$"))
            .description(Some("A duration, such as 90s, 24h or 365d."))
            .examples(["24h"])
    }
}

impl Worded for ChannelName {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.pattern(Some("^[a-z0-9_][a-z0-9_.-]*(/[a-z0-9_][a-z0-9_.-]*)*$")).examples(["team/main"])
    }
}

impl Worded for AuditHash {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: <Self as FromStr>::Err| error.to_string())
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.pattern(Some("^[0-9a-f]{64}$"))
    }
}

/// The name of an organization or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainName(pub(super) String);

impl Worded for PlainName {
    fn read(text: &str) -> Result<Self, String> {
        check_name(text, "a name here").map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.pattern(Some("^[a-z0-9_][a-z0-9_.-]*$")).max_length(Some(64)).examples(["builders"])
    }
}

/// The name of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserName(pub(super) String);

impl Worded for UserName {
    fn read(text: &str) -> Result<Self, String> {
        check_user(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.pattern(Some("^[A-Za-z0-9_][A-Za-z0-9._@+-]*$")).max_length(Some(128)).examples(["alice"])
    }
}

/// A glob of package names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) String);

impl Worded for Pattern {
    fn read(text: &str) -> Result<Self, String> {
        check_pattern(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.pattern(Some("^[A-Za-z0-9_.*?-]+$")).max_length(Some(128)).examples(["numpy*"])
    }
}

/// A label of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelName(pub(super) String);

impl Worded for LabelName {
    fn read(text: &str) -> Result<Self, String> {
        check_label(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        let pattern = r"^[^\x00-\x1f\x7f-\x9f./\\%][^\x00-\x1f\x7f-\x9f/\\%]*$";
        schema.pattern(Some(pattern)).max_length(Some(128)).examples(["dev"])
    }
}

/// The name of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenName(pub(super) String);

impl Worded for TokenName {
    fn read(text: &str) -> Result<Self, String> {
        check_token_name(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema
            .pattern(Some(r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"))
            .min_length(Some(1))
            .max_length(Some(128))
            .examples(["ci"])
    }
}

/// Words for people, in one line: a title, a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) String);

impl Worded for Line {
    fn read(text: &str) -> Result<Self, String> {
        let good =
            (1..=LINE_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "words for people have 1 to {LINE_CHARS_MAX} characters, none of them a control character"
            ))
        }
    }

    fn describe(schema: ObjectBuilder) -> ObjectBuilder {
        schema.pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$")).min_length(Some(1)).max_length(Some(LINE_CHARS_MAX))
    }
}

/// Longest title or reason.
const LINE_CHARS_MAX: usize = 1_000;
