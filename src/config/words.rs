//! Values as people write them in a configuration file: "256 KiB", "100 ms", "warn", "drop-newest".
//!
//! Each function reads one value; `settings` names it beside the setting.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

use super::overflow::Overflow;
use crate::level::Level;

/// A number of bytes: plain, or with a unit.
pub(super) fn bytes<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let bytes = deserializer.deserialize_any(Bytes)?;
    T::try_from(bytes).map_err(|_| de::Error::invalid_value(Unexpected::Unsigned(bytes), &Bytes))
}

/// [`bytes`], of a setting that may be left out.
pub(super) fn some_bytes<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    bytes(deserializer).map(Some)
}

/// A time with its unit.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Time)
}

/// [`time`], of a setting that may be left out.
pub(super) fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    time(deserializer).map(Some)
}

/// A level by its name, in any case.
pub(super) fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// A policy by its name, or with its time.
pub(super) fn overflow<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Overflow, D::Error> {
    deserializer.deserialize_any(Policy)
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

/// The time of `block-for`.
#[derive(serde::Deserialize)]
struct Wait(#[serde(deserialize_with = "time")] Duration);

struct Policy;

impl<'de> Visitor<'de> for Policy {
    type Value = Overflow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"drop-newest\", \"block\", \"overwrite-oldest\" or { block-for = \"5 ms\" }")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Overflow, E> {
        match name {
            "drop-newest" => Ok(Overflow::DropNewest),
            "block" => Ok(Overflow::Block),
            "overwrite-oldest" => Ok(Overflow::OverwriteOldest),
            _ => Err(E::invalid_value(Unexpected::Str(name), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Overflow, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("block-for") => {}
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
