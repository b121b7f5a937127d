//! The walk through an index document: knows the place it is in, and judges each key and string by the place. The same walk
//! serves JSON and MessagePack. Never keeps a value; what a reference may say is `reference.rs`'s, what it costs `meter.rs`'s.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::fault::IndexFault;
use super::leads::Role;
use super::meter::Scan;
use super::patch;
use super::reference::Reach;
use super::repeats::{KEYS_MAX, Repeated, Seen};

/// What the value about to be read is, by the keys above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A whole repodata, shard index or shard: they share one grammar.
    Root,
    /// The value of `info`.
    Description,
    /// Anything inside `info` that has no place of its own.
    DescriptionDetail,
    /// `info.channel_relations` (CEP 42): a map whose every string names a channel.
    Relations,
    /// `v3` and its successors: maps of package maps.
    PackageGroups,
    /// File name to record.
    Packages,
    /// A record.
    Record,
    /// The map of a shard index: package name to digest. A package may well be named `url`.
    Shards,
    /// A string that clients resolve as a reference, or null. What some client may make of another type, nobody can judge.
    Reference(Reach),
    /// Something whose every string clients may resolve as a reference.
    References(Reach),
    /// Anything that has no place of its own.
    Elsewhere,
    /// One line of a `.jlap` file.
    PatchLine,
    /// The `patch` of a line: operations (RFC 6902).
    PatchList,
    /// One operation.
    PatchOperation,
    /// An operation's `path` or `from` (RFC 6901).
    PatchPointer,
    /// An operation's `value`, or something inside it: may become any part of the document.
    PatchValue,
}

/// The type a place must have, where clients would read another one differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Map,
    MapOrNull,
    Array,
    Text,
    TextOrNull,
    Anything,
}

impl Place {
    fn expected(self) -> Expected {
        match self {
            Self::Root | Self::PatchLine | Self::PatchOperation => Expected::Map,
            Self::Description | Self::Relations | Self::PackageGroups | Self::Packages | Self::Record => {
                Expected::MapOrNull
            }
            Self::PatchList => Expected::Array,
            Self::PatchPointer => Expected::Text,
            Self::Reference(_) => Expected::TextOrNull,
            Self::DescriptionDetail
            | Self::Shards
            | Self::References(_)
            | Self::Elsewhere
            | Self::PatchValue => Expected::Anything,
        }
    }

    /// Where the value of `key` stands.
    fn below(self, key: &str) -> Self {
        match self {
            Self::Root => match key {
                "info" => Self::Description,
                "packages" | "packages.conda" => Self::Packages,
                "shards" => Self::Shards,
                _ if is_revision(key) => Self::PackageGroups,
                _ if is_reference(key) => Self::Reference(Reach::Below),
                _ => Self::Elsewhere,
            },
            Self::Description if key == "channel_relations" => Self::Relations,
            Self::Description if key == "base_url" => Self::Reference(Reach::Led(Role::Base)),
            Self::Description if key == "shards_base_url" => Self::Reference(Reach::Led(Role::Shards)),
            Self::Description | Self::DescriptionDetail => match key {
                "base_url" => Self::Reference(Reach::Here),
                "shards_base_url" | "subdir" => Self::Reference(Reach::Below),
                _ => Self::DescriptionDetail,
            },
            Self::Relations => Self::References(Reach::Beside),
            Self::PackageGroups => Self::Packages,
            Self::Packages => Self::Record,
            Self::Shards => Self::Elsewhere,
            Self::Record if key == "url" => Self::Reference(Reach::Led(Role::File)),
            Self::Record if is_reference(key) => Self::Reference(Reach::Below),
            Self::PatchLine if key == "patch" => Self::PatchList,
            Self::Record
            | Self::Elsewhere
            | Self::Reference(_)
            | Self::References(_)
            | Self::PatchLine
            | Self::PatchList
            | Self::PatchPointer => elsewhere(key, Self::Elsewhere),
            Self::PatchOperation => match key {
                "path" | "from" => Self::PatchPointer,
                "value" => Self::PatchValue,
                _ => Self::Elsewhere,
            },
            Self::PatchValue => match key {
                "info" => Self::Description,
                "channel_relations" => Self::Relations,
                "base_url" => Self::Reference(Reach::Here),
                "shards_base_url" => Self::Reference(Reach::Below),
                _ => elsewhere(key, Self::PatchValue),
            },
        }
    }

    /// Where an array's elements stand.
    fn element(self) -> Self {
        match self {
            Self::PatchList => Self::PatchOperation,
            Self::Shards => Self::Elsewhere,
            other => other,
        }
    }

    /// Whether each key of this map is a file, or in a shard index a package, that the value speaks of.
    fn holds_records(self) -> bool {
        matches!(self, Self::Packages | Self::Shards)
    }

    /// Whether clients make a URL of this map's keys.
    fn has_references_for_keys(self) -> bool {
        matches!(self, Self::Packages | Self::PatchValue)
    }
}

/// The depth of a file's name in `packages`, `packages.conda` and `shards`; in the groups of `v3` it is one more.
const PACKAGE_DEPTH: usize = 2;

/// Keys whose strings clients resolve wherever a record or something like it may stand: conda downloads `fn` of v3 records
/// and joins `url`, rattler's `into_repo_data_records` joins `subdir`, libsolv reads locations from `fn` and `subdir`.
fn is_reference(key: &str) -> bool {
    matches!(key, "url" | "base_url" | "shards_base_url" | "fn" | "subdir")
}

/// Where nobody knows what the map is, such a key may also be a name of something else (a record's `extra_depends` has lists by names
/// that people choose), so any type may follow it.
fn elsewhere(key: &str, other: Place) -> Place {
    if is_reference(key) { Place::References(Reach::Below) } else { other }
}

/// `v3` (CEP 48) and whatever follows it.
pub(super) fn is_revision(key: &str) -> bool {
    key.strip_prefix('v')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The seed and visitor of one value.
pub(super) struct Walk<'s> {
    scan: &'s Scan,
    place: Place,
    /// Keys and array positions above the value.
    depth: usize,
}

impl<'s> Walk<'s> {
    pub(super) fn new(scan: &'s Scan, place: Place) -> Self {
        Self { scan, place, depth: 0 }
    }

    fn refuse<T, E: Error>(&self, fault: IndexFault) -> Result<T, E> {
        self.scan.note(fault);
        Err(E::custom("refused"))
    }

    fn expect(&self, found: Expected) -> Result<(), IndexFault> {
        let expected = match self.place.expected() {
            Expected::Map | Expected::MapOrNull if found != Expected::Map => "a map",
            Expected::Array if found != Expected::Array => "an array",
            Expected::Text | Expected::TextOrNull if found != Expected::Text => "a string",
            _ => return Ok(()),
        };
        Err(IndexFault::Shape { place: self.scan.place(self.depth), expected })
    }

    fn scalar<E: Error>(&self) -> Result<(), E> {
        self.scan.saw_token();
        self.expect(Expected::Anything).or_else(|fault| self.refuse(fault))
    }

    fn null<E: Error>(&self) -> Result<(), E> {
        match self.place.expected() {
            Expected::MapOrNull | Expected::TextOrNull | Expected::Array => {
                self.scan.saw_token();
                Ok(())
            }
            _ => self.scalar(),
        }
    }

    fn text<E: Error>(&self, text: &str) -> Result<(), E> {
        self.scan.saw_token();
        self.scan.read_value(self.depth, |records, key| records.text(self.depth, key, text));
        if let Err(fault) = self.expect(Expected::Text) {
            return self.refuse(fault);
        }
        match self.place {
            Place::Reference(reach @ Reach::Led(role)) if self.scan.may_lead() => {
                if reach.is_in_place(text) {
                    return Ok(());
                }
                self.scan.follow(role, text, self.depth).or_else(|fault| self.refuse(fault))
            }
            Place::Reference(reach) | Place::References(reach) if !reach.permits(text) => {
                self.refuse(IndexFault::leads_elsewhere(self.scan.place(self.depth), text))
            }
            Place::PatchPointer if !patch::leaves_references_alone(text) => {
                self.refuse(IndexFault::patch_repoints(self.scan.line(), text))
            }
            _ => Ok(()),
        }
    }

    /// A map or array begins: one level down, if there is one.
    fn descend(&self, found: Expected) -> Result<(), IndexFault> {
        self.scan.saw_token();
        self.expect(found)?;
        if self.scan.admits_depth(self.depth + 1) { Ok(()) } else { Err(self.scan.too_deep(self.depth)) }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.scan.read_value(self.depth, |records, key| records.number(self.depth, key, number));
        self.scalar()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.null()
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    /// serde reads a string out of bytes too, so they are judged as one.
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.scan.read_value(self.depth, |records, key| records.bytes(self.depth, key, bytes));
        match (self.place, std::str::from_utf8(bytes)) {
            (Place::Reference(_) | Place::References(_), Err(_)) => {
                self.refuse(IndexFault::Shape { place: self.scan.place(self.depth), expected: "a string" })
            }
            (Place::Reference(_) | Place::References(_) | Place::PatchPointer, Ok(text)) => self.text(text),
            _ => self.scalar(),
        }
    }

    /// A MessagePack extension value, as of a timestamp: opaque to every client.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.scalar::<D::Error>()?;
        IgnoredAny::deserialize(deserializer).map(|_| ())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if let Err(fault) = self.descend(Expected::Array) {
            return self.refuse(fault);
        }
        let depth = self.depth + 1;
        self.scan.entered(depth, "");
        while elements
            .next_element_seed(Walk { scan: self.scan, place: self.place.element(), depth })?
            .is_some()
        {}
        self.scan.saw_token();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if let Err(fault) = self.descend(Expected::Map) {
            return self.refuse(fault);
        }
        let depth = self.depth + 1;
        let seen = RefCell::new(Seen::of(self.place));
        while let Some(place) = entries.next_key_seed(Key { map: &self, depth, seen: &seen })? {
            entries.next_value_seed(Walk { scan: self.scan, place, depth })?;
            if self.place.holds_records() {
                self.scan.ended_record();
            }
        }
        self.scan.saw_token();
        Ok(())
    }
}

/// The seed and visitor of one key; yields the place of its value.
struct Key<'m, 's> {
    map: &'m Walk<'s>,
    depth: usize,
    seen: &'m RefCell<Seen>,
}

impl Key<'_, '_> {
    fn not_a_string<E: Error>(&self) -> Result<Place, E> {
        self.map.scan.entered(self.depth, "");
        let place = format!("a key of {}", self.map.scan.place(self.map.depth));
        self.map.refuse(IndexFault::Shape { place, expected: "a string" })
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Place;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Place, E> {
        self.map.scan.saw_token();
        self.map.scan.entered(self.depth, key);
        if self.map.place.has_references_for_keys() && !Reach::Below.permits(key) {
            let place = format!("a file name in {}", self.map.scan.place(self.map.depth));
            return self.map.refuse(IndexFault::leads_elsewhere(place, key));
        }
        let place = || self.map.scan.place(self.map.depth);
        if let Err(repeated) = self.seen.borrow_mut().note(key) {
            return self.map.refuse(match repeated {
                Repeated::Key => IndexFault::duplicate(place(), key),
                Repeated::TooMany => IndexFault::TooManyKeys { place: place(), keys_max: KEYS_MAX },
            });
        }
        if self.map.place.holds_records() {
            let is_shard = self.map.place == Place::Shards;
            let begun = self.map.scan.began_record(self.depth, key, self.depth > PACKAGE_DEPTH, is_shard);
            if let Err(fault) = begun {
                return self.map.refuse(fault);
            }
        }
        Ok(self.map.place.below(key))
    }

    /// serde matches a field's name by bytes too.
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Place, E> {
        match std::str::from_utf8(bytes) {
            Ok(key) => self.visit_str(key),
            Err(_) => self.not_a_string(),
        }
    }

    /// serde matches a field by its number too: `{1: "https://…"}` would be a `base_url` to rattler.
    fn visit_u64<E: Error>(self, _: u64) -> Result<Place, E> {
        self.not_a_string()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Place, E> {
        self.not_a_string()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Place, E> {
        self.not_a_string()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Place, E> {
        self.not_a_string()
    }

    fn visit_unit<E: Error>(self) -> Result<Place, E> {
        self.not_a_string()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Place, A::Error> {
        self.not_a_string()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Place, A::Error> {
        self.not_a_string()
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Place, D::Error> {
        self.not_a_string()
    }
}
