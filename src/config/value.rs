//! How single values are written in the file: one module for each kind, for `#[serde(with = "…")]`.
//!
//! Each reads what it prints, and says in one phrase what it expects. Read `config/raw.rs` next.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

/// Durations above zero: `500ms`, `10s`, `5m`, `24h`.
pub(super) mod duration {
    use std::time::Duration;

    use super::{Deserializer, Serializer, text};
    use crate::clock;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let expected =
            "a duration above zero and of at most 365 days, such as \"500ms\", \"10s\", \"5m\" or \"24h\"";
        text(deserializer, expected, |text| {
            clock::parse_duration(text).ok().filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        })
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&clock::format_duration(*duration))
    }

    /// Far longer than anybody waits, and far from the end of representable time.
    pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);
}

/// Durations above zero that need not be given.
pub(super) mod some_duration {
    use std::time::Duration;

    use super::{Deserializer, Serializer, duration};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }

    pub(crate) fn serialize<S: Serializer>(
        given: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match given {
            Some(given) => duration::serialize(given, serializer),
            None => serializer.serialize_none(),
        }
    }
}

/// Durations of which zero has a meaning, too.
pub(super) mod duration_or_zero {
    use std::time::Duration;

    use super::duration::LONGEST;
    pub(crate) use super::duration::serialize;
    use super::{Deserializer, text};
    use crate::clock;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        text(deserializer, "a duration of at most 365 days, such as \"0s\", \"10s\" or \"5m\"", |text| {
            clock::parse_duration(text).ok().filter(|duration| *duration <= LONGEST)
        })
    }
}

/// Sizes of which zero has a meaning, too.
pub(super) mod size_or_zero {
    use bytesize::ByteSize;

    pub(crate) use super::size::serialize;
    use super::{Deserializer, text};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        text(deserializer, "a size, such as \"0 B\", \"64 KiB\" or \"20 GiB\"", |text| {
            text.trim().parse().ok().map(|ByteSize(bytes)| bytes)
        })
    }
}

/// Sizes in bytes, above zero: `64 KiB`, `20 GiB`.
pub(super) mod size {
    use bytesize::ByteSize;

    use super::{Deserializer, Serializer, text};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, N: TryFrom<u64>>(
        deserializer: D,
    ) -> Result<N, D::Error> {
        text(deserializer, "a size above zero, such as \"64 KiB\" or \"20 GiB\"", |text| {
            let ByteSize(bytes) = text.trim().parse().ok()?;
            if bytes == 0 { None } else { N::try_from(bytes).ok() }
        })
    }

    pub(crate) fn serialize<S: Serializer, N: Copy + TryInto<u64>>(
        bytes: &N,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&print((*bytes).try_into().unwrap_or(u64::MAX)))
    }

    /// In the largest unit that divides it: what is printed is read back exactly.
    fn print(bytes: u64) -> String {
        for (unit, size) in [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if bytes >= size && bytes.is_multiple_of(size) {
                return format!("{} {unit}", bytes / size);
            }
        }
        format!("{bytes} B")
    }
}

/// Whole numbers from 1.
pub(super) mod count {
    use super::{Count, Deserializer, PhantomData, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, N: TryFrom<u64>>(
        deserializer: D,
    ) -> Result<N, D::Error> {
        deserializer.deserialize_u64(Count(PhantomData))
    }

    pub(crate) fn serialize<S: Serializer, N: Copy + TryInto<u64>>(
        count: &N,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64((*count).try_into().unwrap_or(u64::MAX))
    }
}

/// An address to listen on.
pub(super) mod address {
    use std::net::SocketAddr;

    use super::{Deserializer, Serializer, text};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        text(deserializer, "an IP address and a port, such as \"127.0.0.1:8480\" or \"[::]:8480\"", |text| {
            text.parse().ok()
        })
    }

    pub(crate) fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }
}

/// A list of networks; a plain address is a network of one.
pub(super) mod networks {
    use std::net::IpAddr;

    use ipnet::IpNet;
    use serde::de::{Deserialize, Error, Unexpected};

    use super::{Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .into_iter()
            .map(|text| {
                let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
                network.map_err(|_| {
                    Error::invalid_value(
                        Unexpected::Str(&text),
                        &"a network such as \"10.0.0.0/8\" or an IP address",
                    )
                })
            })
            .collect()
    }

    pub(crate) fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks)
    }
}

/// Reads a text by `parse`, which is `None` for what is not `expected`.
fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Text { expected, parse })
}

struct Text<P> {
    expected: &'static str,
    parse: P,
}

impl<T, P: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self.expected))
    }
}

struct Count<N>(PhantomData<N>);

impl<N: TryFrom<u64>> Visitor<'_> for Count<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One bit of the largest type goes: TOML's integers are signed.
        let bits = (size_of::<N>() * 8).min(63);
        write!(f, "a whole number from 1 to {}", u64::MAX >> (64 - bits))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<N, E> {
        let count = u64::try_from(number).ok().filter(|&count| count > 0);
        count
            .and_then(|count| N::try_from(count).ok())
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}
