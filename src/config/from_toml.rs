//! A [`Config`] from TOML: the setters' names as keys, with sizes and times in words.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

use super::{Config, Overflow};
use crate::device::DevicePreference;
use crate::error::{Error, Result};
use crate::level::Level;

impl Config {
    /// Reads a configuration from TOML text. What it does not name keeps its default.
    ///
    /// Keys are the setters' names. A size is a number of bytes or words such as `"256 KiB"`, a time is words such as
    /// `"100 ms"`, a level is its name; `overflow` is `"drop-newest"`, `"block"`, `"overwrite-oldest"` or
    /// `{ block-for = "5 ms" }`. Whether the values can be, and fit each other, is checked at open, as ever.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with the line and the remedy: text that is no TOML, a key that is no setting, a value
    /// that is not understood.
    pub fn from_toml(text: &str) -> Result<Config> {
        parse(text).map_err(|(place, remedy)| refused(place, remedy))
    }

    /// Reads a configuration from a TOML file: see [`from_toml`](Config::from_toml).
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, else those of [`from_toml`](Config::from_toml), with the path.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Config> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
        parse(&text).map_err(|(place, remedy)| refused(format!("{}, {place}", path.display()), remedy))
    }
}

/// Reads the text, or says where it is wrong, and how to put it right.
fn parse(text: &str) -> std::result::Result<Config, (String, String)> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        (format!("line {line}"), error.message().to_owned())
    })
}

fn refused(place: String, remedy: String) -> Error {
    Error::InvalidConfig { setting: "the configuration", value: format!("not understood at {place}"), remedy }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Config, D::Error> {
        let settings = Settings::deserialize(deserializer)?;
        let mut config = Config::new(settings.path);
        /// Calls the setter of each setting that was given.
        macro_rules! set {
            ($($name:ident),*) => {
                $(if let Some(Worded(value)) = settings.$name { config = config.$name(value); })*
            };
        }
        set!(ring_bytes, thread_ring_bytes, rings_bytes_max, message_bytes_max, block_bytes, segment_bytes);
        set!(first_segment_bytes, rotate_after, retain_bytes, retain_segments, retain_for);
        set!(blocks_in_flight, flush_interval, close_deadline, level, overflow, writer_core, service, device);
        Ok(config)
    }
}

/// The file as it stands: what is missing keeps its default.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// May be left out where the program names the directory; open refuses an empty one.
    #[serde(default)]
    path: PathBuf,
    ring_bytes: Option<Worded<usize>>,
    thread_ring_bytes: Option<Worded<usize>>,
    rings_bytes_max: Option<Worded<usize>>,
    message_bytes_max: Option<Worded<usize>>,
    block_bytes: Option<Worded<usize>>,
    #[serde(default, deserialize_with = "plain")]
    blocks_in_flight: Option<Worded<usize>>,
    flush_interval: Option<Worded<Duration>>,
    segment_bytes: Option<Worded<u64>>,
    first_segment_bytes: Option<Worded<u64>>,
    rotate_after: Option<Worded<Duration>>,
    retain_bytes: Option<Worded<u64>>,
    #[serde(default, deserialize_with = "plain")]
    retain_segments: Option<Worded<u64>>,
    retain_for: Option<Worded<Duration>>,
    level: Option<Worded<Level>>,
    overflow: Option<Worded<Overflow>>,
    #[serde(default, deserialize_with = "plain")]
    writer_core: Option<Worded<usize>>,
    close_deadline: Option<Worded<Duration>>,
    #[serde(default, deserialize_with = "plain")]
    service: Option<Worded<String>>,
    #[serde(default, deserialize_with = "plain")]
    device: Option<Worded<DevicePreference>>,
}

/// A value that a person may have written in words.
struct Worded<T>(T);

/// A value that has no words of its own: a count or a name.
fn plain<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Worded<T>>, D::Error> {
    Ok(Some(Worded(T::deserialize(deserializer)?)))
}

/// A number of bytes, plain or in words.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes or words such as \"256 KiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> std::result::Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> std::result::Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, words: &str) -> std::result::Result<u64, E> {
        let bytes: ByteSize = words.parse().map_err(|_| E::invalid_value(Unexpected::Str(words), &self))?;
        Ok(bytes.as_u64())
    }
}

impl<'de> Deserialize<'de> for Worded<u64> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Worded<u64>, D::Error> {
        deserializer.deserialize_any(Bytes).map(Worded)
    }
}

impl<'de> Deserialize<'de> for Worded<usize> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Worded<usize>, D::Error> {
        let bytes = deserializer.deserialize_any(Bytes)?;
        let fits = usize::try_from(bytes);
        fits.map(Worded).map_err(|_| de::Error::invalid_value(Unexpected::Unsigned(bytes), &Bytes))
    }
}

/// A time in words.
struct Time;

impl Visitor<'_> for Time {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit such as \"100 ms\"")
    }

    fn visit_str<E: de::Error>(self, words: &str) -> std::result::Result<Duration, E> {
        humantime::parse_duration(words).map_err(|_| E::invalid_value(Unexpected::Str(words), &self))
    }
}

impl<'de> Deserialize<'de> for Worded<Duration> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Worded<Duration>, D::Error> {
        deserializer.deserialize_any(Time).map(Worded)
    }
}

impl<'de> Deserialize<'de> for Worded<Level> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Worded<Level>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Worded).map_err(de::Error::custom)
    }
}

/// What a full ring does, by name, or with its time.
struct Policy;

impl<'de> Visitor<'de> for Policy {
    type Value = Overflow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"drop-newest\", \"block\", \"overwrite-oldest\" or { block-for = \"5 ms\" }")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Overflow, E> {
        match name {
            "drop-newest" => Ok(Overflow::DropNewest),
            "block" => Ok(Overflow::Block),
            "overwrite-oldest" => Ok(Overflow::OverwriteOldest),
            _ => Err(E::invalid_value(Unexpected::Str(name), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Overflow, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("block-for") => {}
            Some(name) => return Err(de::Error::invalid_value(Unexpected::Str(name), &self)),
            None => return Err(de::Error::invalid_value(Unexpected::Map, &self)),
        }
        let Worded(wait) = map.next_value::<Worded<Duration>>()?;
        match map.next_key::<String>()? {
            None => Ok(Overflow::BlockFor(wait)),
            Some(name) => Err(de::Error::invalid_value(Unexpected::Str(&name), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Worded<Overflow> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Worded<Overflow>, D::Error> {
        deserializer.deserialize_any(Policy).map(Worded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_every_setting_is_what_the_setters_give() {
        let text = r#"
            path = "/var/log/app/orders"
            ring_bytes = "2 MiB"
            thread_ring_bytes = 131072
            rings_bytes_max = "0.5 GiB"
            message_bytes_max = "32 KiB"
            block_bytes = "128KiB"
            blocks_in_flight = 8
            flush_interval = "20 ms"
            segment_bytes = "1 GiB"
            first_segment_bytes = "32 MiB"
            rotate_after = "1 h"
            retain_bytes = "40 GiB"
            retain_segments = 400
            retain_for = "30 days"
            level = "Debug"
            overflow = { block-for = "5 ms" }
            writer_core = 3
            close_deadline = "1m 30s"
            service = "orders"
            device = "io_uring"
        "#;
        let set = Config::new("/var/log/app/orders")
            .ring_bytes(2 << 20)
            .thread_ring_bytes(128 << 10)
            .rings_bytes_max(512 << 20)
            .message_bytes_max(32 << 10)
            .block_bytes(128 << 10)
            .blocks_in_flight(8)
            .flush_interval(Duration::from_millis(20))
            .segment_bytes(1 << 30)
            .first_segment_bytes(32 << 20)
            .rotate_after(Duration::from_secs(3600))
            .retain_bytes(40 << 30)
            .retain_segments(400)
            .retain_for(Duration::from_secs(30 * 24 * 3600))
            .level(Level::Debug)
            .overflow(Overflow::BlockFor(Duration::from_millis(5)))
            .writer_core(3)
            .close_deadline(Duration::from_secs(90))
            .service("orders")
            .device(DevicePreference::IoUring);
        let read = Config::from_toml(text).expect("understood");
        assert_eq!(read, set);
        read.validate().expect("valid");
    }

    #[test]
    fn what_a_file_leaves_out_keeps_its_default() {
        assert_eq!(Config::from_toml("path = 'a'").expect("understood"), Config::new("a"));
        assert_eq!(Config::from_toml("").expect("understood").path("b"), Config::new("b"));
    }

    #[test]
    fn each_policy_has_a_name() {
        let wait = Duration::from_secs(1);
        for (text, policy) in [
            ("'drop-newest'", Overflow::DropNewest),
            ("'block'", Overflow::Block),
            ("'overwrite-oldest'", Overflow::OverwriteOldest),
            ("{ block-for = '1 s' }", Overflow::BlockFor(wait)),
        ] {
            let read = Config::from_toml(&format!("overflow = {text}")).expect("understood");
            assert_eq!(read, Config::new("").overflow(policy));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line_and_the_remedy() {
        let cases = [
            ("path = 'a'\nring_byte = 1", "line 2: unknown field `ring_byte`, expected one of `path`, `ring_bytes`"),
            (
                "ring_bytes = -1",
                "line 1: invalid value: integer `-1`, expected a number of bytes or words such as \"256 KiB\"",
            ),
            (
                "\n\nblock_bytes = '256 KiBs'",
                "line 3: invalid value: string \"256 KiBs\", expected a number of bytes or",
            ),
            ("block_bytes = 2.5", "line 1: invalid type: floating point `2.5`, expected a number of bytes or words"),
            (
                "flush_interval = 100",
                "line 1: invalid type: integer `100`, expected a time with its unit such as \"100 ms\"",
            ),
            ("flush_interval = '100 mx'", "line 1: invalid value: string \"100 mx\", expected a time with its unit"),
            ("level = 'loud'", "line 1: \"loud\" is no level; use error, warn, info, debug or trace"),
            (
                "overflow = 'drop'",
                "line 1: invalid value: string \"drop\", expected \"drop-newest\", \"block\", \"overwrite-oldest\" or { block-for = \"5 ms\" }",
            ),
            ("overflow = { wait = '1 s' }", "line 1: invalid value: string \"wait\", expected \"drop-newest\""),
            ("overflow = {}", "line 1: invalid value: map, expected \"drop-newest\""),
            ("writer_core = '3'", "line 1: invalid type: string \"3\", expected usize"),
            ("device = 'fast'", "line 1: unknown variant `fast`, expected one of `auto`, `direct`, `io_uring`"),
            ("path = 'a'\nlevel", "line 2: "),
            ("ring_bytes = 4096\nring_bytes = 4096", "line 2: duplicate key"),
        ];
        for (text, message) in cases {
            let refusal = Config::from_toml(text).expect_err("a refusal").to_string();
            let expected = format!("the configuration is not understood at {message}");
            assert!(refusal.starts_with(&expected), "{refusal}\nexpected {expected}");
        }
    }

    #[test]
    fn a_file_is_read_and_its_path_stands_in_the_refusal() {
        let beside_the_test = std::env::current_exe().expect("a path").with_file_name("");
        let directory = tempfile::tempdir_in(beside_the_test).expect("a directory");
        let path = directory.path().join("log.toml");
        let missing = Config::from_toml_file(&path).expect_err("a refusal").to_string();
        assert!(missing.starts_with(&format!("cannot read {}: ", path.display())), "{missing}");
        fs::write(&path, "path = 'a'\nlevel = 'warn'").expect("written");
        assert_eq!(Config::from_toml_file(&path).expect("understood"), Config::new("a").level(Level::Warn));
        fs::write(&path, "level = 1").expect("written");
        let refusal = Config::from_toml_file(&path).expect_err("a refusal").to_string();
        assert!(refusal.contains(&format!("{}, line 1: invalid type", path.display())), "{refusal}");
    }
}
