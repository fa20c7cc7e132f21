//! The forms of values in a configuration file: "256 KiB", "100 ms", "drop_newest".
//!
//! Each module reads and writes one kind of value; `settings` names the module beside the setting. Names are spelled as
//! the settings are: in lower case, with underscores. A value that is left out is absent in TOML, and null in JSON.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::overflow::Overflow;
use super::ring_memory::RingMemory;
use crate::grouped::in_units;
use crate::rotate_at::RotateAt;

/// A number of bytes: plain, or with a unit.
pub(super) mod bytes {
    use super::*;

    pub(in super::super) fn deserialize<'de, T: TryFrom<u64>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        from.deserialize_any(Bytes).and_then(fitting)
    }

    pub(in super::super) fn serialize<T: Copy + TryInto<u64>, S: Serializer>(
        bytes: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        // A `usize` always fits a `u64`.
        ByteWords((*bytes).try_into().unwrap_or(u64::MAX)).serialize(to)
    }
}

/// [`bytes`], for a setting that may be left out.
pub(super) mod some_bytes {
    use super::*;

    pub(in super::super) fn deserialize<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        from.deserialize_any(LeftOut(Bytes))?.map(fitting).transpose()
    }

    pub(in super::super) fn serialize<T: Copy + TryInto<u64>, S: Serializer>(
        bytes: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.map(|bytes| ByteWords(bytes.try_into().unwrap_or(u64::MAX))).serialize(to)
    }
}

/// A time with its unit.
pub(super) mod time {
    use super::*;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(Time)
    }

    pub(in super::super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        TimeWords(*time).serialize(to)
    }
}

/// [`time`], for a setting that may be left out.
pub(super) mod some_time {
    use super::*;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        from.deserialize_any(LeftOut(Time))
    }

    pub(in super::super) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(TimeWords).serialize(to)
    }
}

/// Times of the wall clock by name, for a setting that may be left out.
pub(super) mod some_rotate_at {
    use super::*;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RotateAt>, D::Error> {
        from.deserialize_any(LeftOut(Times))
    }

    pub(in super::super) fn serialize<S: Serializer>(at: &Option<RotateAt>, to: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.to_string()).serialize(to)
    }
}

/// Permission bits: a number, or octal digits.
pub(super) mod mode {
    use super::*;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        from.deserialize_any(Mode)
    }

    pub(in super::super) fn serialize<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{mode:04o}"))
    }
}

/// A policy by its name, or with its time.
pub(super) mod overflow {
    use super::*;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Overflow, D::Error> {
        from.deserialize_any(Policy)
    }

    pub(in super::super) fn serialize<S: Serializer>(overflow: &Overflow, to: S) -> Result<S::Ok, S::Error> {
        match *overflow {
            Overflow::DropNewest => to.serialize_str(DROP_NEWEST),
            Overflow::Block => to.serialize_str(BLOCK),
            Overflow::OverwriteOldest => to.serialize_str(OVERWRITE_OLDEST),
            Overflow::BlockFor(wait) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry(BLOCK_FOR, &TimeWords(wait))?;
                map.end()
            }
        }
    }
}

/// Where rings are: a keyword, or a path.
pub(super) mod ring_memory {
    use super::*;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RingMemory, D::Error> {
        from.deserialize_str(Place)
    }

    pub(in super::super) fn serialize<S: Serializer>(memory: &RingMemory, to: S) -> Result<S::Ok, S::Error> {
        match memory {
            RingMemory::Private => to.serialize_str(PRIVATE),
            shared if *shared == RingMemory::shared() => to.serialize_str(SHARED),
            // A path of one component could be mistaken for a keyword.
            RingMemory::Shared(path) if path.components().count() == 1 && path.is_relative() => {
                Path::new(".").join(path).serialize(to)
            }
            RingMemory::Shared(path) => path.serialize(to),
        }
    }
}

fn fitting<T: TryFrom<u64>, E: de::Error>(bytes: u64) -> Result<T, E> {
    T::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Unsigned(bytes), &Bytes))
}

/// Writes a number of bytes with the largest unit of which it is a multiple.
struct ByteWords(u64);

impl Serialize for ByteWords {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Sizes with a unit are parsed as floating point, which is exact up to here. So are numbers in JSON.
        let is_exact = |number: u64| number < 1 << 53;
        match in_units(self.0) {
            Some((number, unit)) if is_exact(number) => to.collect_str(&format_args!("{number} {unit}")),
            _ if is_exact(self.0) => to.serialize_u64(self.0),
            _ => to.collect_str(&self.0),
        }
    }
}

/// Writes a time with the largest unit of which it is a multiple.
struct TimeWords(Duration);

impl Serialize for TimeWords {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        const UNITS: [(&str, u64); 7] = [
            ("days", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("min", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
        ];
        let Ok(ns) = u64::try_from(self.0.as_nanos()) else {
            return to.collect_str(&humantime::format_duration(self.0));
        };
        let (unit, of_unit) = match UNITS.into_iter().find(|(_, of_unit)| ns.is_multiple_of(*of_unit)) {
            Some(unit) if ns > 0 => unit,
            _ => ("s", 1),
        };
        to.collect_str(&format_args!("{} {unit}", ns / of_unit))
    }
}

const PRIVATE: &str = "private";
const SHARED: &str = "shared";

struct Place;

impl Visitor<'_> for Place {
    type Value = RingMemory;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{PRIVATE}\", \"{SHARED}\", or the path of a directory with a slash, such as \"/dev/shm/app\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RingMemory, E> {
        match text {
            PRIVATE => Ok(RingMemory::Private),
            SHARED => Ok(RingMemory::shared()),
            path if path.contains('/') => Ok(RingMemory::Shared(path.into())),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes or words such as \"256 KiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, words: &str) -> Result<u64, E> {
        let bytes: ByteSize = words.parse().map_err(|_| E::invalid_value(Unexpected::Str(words), &self))?;
        Ok(bytes.as_u64())
    }
}

struct Time;

impl Visitor<'_> for Time {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit such as \"100 ms\"")
    }

    fn visit_str<E: de::Error>(self, words: &str) -> Result<Duration, E> {
        humantime::parse_duration(words).map_err(|_| E::invalid_value(Unexpected::Str(words), &self))
    }
}

struct Times;

impl Visitor<'_> for Times {
    type Value = RotateAt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"hourly\", \"daily\", \"hourly_local\" or \"daily_local\"")
    }

    fn visit_str<E: de::Error>(self, words: &str) -> Result<RotateAt, E> {
        words.parse().map_err(|error| E::custom(format_args!("invalid value: string {words:?}: {error}")))
    }
}

struct Mode;

impl Visitor<'_> for Mode {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permission bits such as 0o640 or \"0640\"")
    }

    fn visit_u64<E: de::Error>(self, mode: u64) -> Result<u32, E> {
        u32::try_from(mode).map_err(|_| E::invalid_value(Unexpected::Unsigned(mode), &self))
    }

    fn visit_i64<E: de::Error>(self, mode: i64) -> Result<u32, E> {
        u32::try_from(mode).map_err(|_| E::invalid_value(Unexpected::Signed(mode), &self))
    }

    fn visit_str<E: de::Error>(self, digits: &str) -> Result<u32, E> {
        let octal = digits.strip_prefix("0o").unwrap_or(digits);
        u32::from_str_radix(octal, 8).map_err(|_| E::invalid_value(Unexpected::Str(digits), &self))
    }
}

/// Reads what the inner visitor reads, or null.
struct LeftOut<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for LeftOut<V> {
    type Value = Option<V::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.0.visit_u64(number).map(Some)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.0.visit_i64(number).map(Some)
    }

    fn visit_str<E: de::Error>(self, words: &str) -> Result<Self::Value, E> {
        self.0.visit_str(words).map(Some)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

const DROP_NEWEST: &str = "drop_newest";
const BLOCK: &str = "block";
const BLOCK_FOR: &str = "block_for";
const OVERWRITE_OLDEST: &str = "overwrite_oldest";

/// The time of `block_for`.
#[derive(serde::Deserialize)]
struct Wait(#[serde(with = "time")] Duration);

struct Policy;

impl<'de> Visitor<'de> for Policy {
    type Value = Overflow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{DROP_NEWEST}\", \"{BLOCK}\", \"{OVERWRITE_OLDEST}\" or {{ {BLOCK_FOR} = \"5 ms\" }}")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Overflow, E> {
        match name {
            DROP_NEWEST => Ok(Overflow::DropNewest),
            BLOCK => Ok(Overflow::Block),
            OVERWRITE_OLDEST => Ok(Overflow::OverwriteOldest),
            _ => Err(E::invalid_value(Unexpected::Str(name), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Overflow, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some(BLOCK_FOR) => {}
            Some(name) => return Err(de::Error::invalid_value(Unexpected::Str(name), &self)),
            None => return Err(de::Error::invalid_value(Unexpected::Map, &self)),
        }
        let Wait(wait) = map.next_value()?;
        match map.next_key::<String>()? {
            None => Ok(Overflow::BlockFor(wait)),
            Some(name) => Err(de::Error::invalid_value(Unexpected::Str(&name), &self)),
        }
    }
}
