//! Reads a [`Config`] or an [`EngineConfig`] from TOML, and writes it: keys are the setters' names.
//!
//! [`Config`] defines the keys and their types; `words` reads sizes, times and policies. This file adds the position
//! and the file's path to an error.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::EngineConfig;
use super::settings::Config;
use crate::error::{Error, Result};

impl Config {
    /// Reads a configuration from TOML text. A setting that it does not name keeps its default.
    ///
    /// Keys are the setters' names. A size is a number of bytes or a text such as `"256 KiB"`, a time is a text such as
    /// `"100 ms"`, a level is its name in any case. All other names have one spelling, that of the keys: `overflow` is
    /// `"drop_newest"`, `"block"`, `"overwrite_oldest"` or `{ block_for = "5 ms" }`, `device` is `"auto"`, `"direct"`,
    /// `"io_uring"`, `"pwrite"` or `"buffered"`, `rotate_at` is `"hourly"`, `"daily"` or, with the feature
    /// `time-zones`, `"hourly_local"` or `"daily_local"`, `ring_memory` is `"private"`, `"shared"` for
    /// [`RingMemory::shared`](crate::RingMemory::shared), or a path with a slash in it. A level may have directives, as
    /// `"info,my_service::net=debug"`; permission bits are octal, `0o640` or `"0640"`. [Listeners](Config::listener)
    /// have no key. Whether the values are valid and fit each other is checked at open.
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// use std::time::Duration;
    ///
    /// use diolog::{Config, Level, Overflow};
    ///
    /// let read = Config::from_toml(
    ///     r#"
    ///     path = "/var/log/app/orders"
    ///     ring_bytes = "2 MiB"
    ///     flush_interval = "20 ms"
    ///     overflow = { block_for = "5 ms" }
    ///     level = "debug"
    ///     "#,
    /// )?;
    /// let set = Config::new("/var/log/app/orders")
    ///     .ring_bytes(2 << 20)
    ///     .flush_interval(Duration::from_millis(20))
    ///     .overflow(Overflow::BlockFor(Duration::from_millis(5)))
    ///     .level(Level::Debug);
    /// assert_eq!(read, set);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with the line, the key and a remedy, if the text is not TOML, a key is not a setting,
    /// or a value is not understood.
    pub fn from_toml(text: &str) -> Result<Config> {
        from_text(text)
    }

    /// Reads a configuration from a TOML file: see [`from_toml`](Config::from_toml).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, and those of [`from_toml`](Config::from_toml), with the path.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Config> {
        from_file(path.as_ref())
    }
}

impl Config {
    /// Writes all settings as TOML, except those that were left out. [`from_toml`](Config::from_toml) reads it back.
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// use diolog::{Config, Level};
    ///
    /// let config = Config::new("/var/log/app/orders").level(Level::Debug).retain_bytes(40 << 30);
    /// let text = config.to_toml()?;
    /// assert!(text.contains("level = \"debug\"\n") && text.contains("retain_bytes = \"40 GiB\"\n"));
    /// assert_eq!(Config::from_toml(&text)?, config);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the path is not UTF-8, or a number is too large for TOML.
    pub fn to_toml(&self) -> Result<String> {
        to_text(self)
    }
}

impl EngineConfig {
    /// Reads a configuration from TOML text, as [`Config::from_toml`] does. Keys are the setters' names.
    ///
    /// ```
    /// use diolog::EngineConfig;
    ///
    /// let read = EngineConfig::from_toml("writer_core = 3\nblocks_bytes_max = \"64 MiB\"")?;
    /// assert_eq!(read, EngineConfig::new().writer_core(3).blocks_bytes_max(64 << 20));
    /// let error = EngineConfig::from_toml("blocks = 7").unwrap_err();
    /// assert!(error.to_string().contains("unknown field `blocks`"), "{error}");
    /// # Ok::<(), diolog::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Config::from_toml`].
    pub fn from_toml(text: &str) -> Result<EngineConfig> {
        from_text(text)
    }

    /// Reads a configuration from a TOML file.
    ///
    /// # Errors
    /// As [`Config::from_toml_file`].
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<EngineConfig> {
        from_file(path.as_ref())
    }

    /// Writes all settings as TOML, except one that was left out. [`from_toml`](EngineConfig::from_toml) reads it back.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if a number is too large for TOML.
    pub fn to_toml(&self) -> Result<String> {
        to_text(self)
    }
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T> {
    parse(text).map_err(|wrong| refused(&wrong.line, wrong.remedy))
}

fn from_file<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
    parse(&text).map_err(|wrong| refused(&format!("{}, {}", path.display(), wrong.line), wrong.remedy))
}

fn to_text(config: &impl Serialize) -> Result<String> {
    let remedy = "use a path in UTF-8 and smaller numbers";
    let refused = |error| Error::invalid("the configuration", format_args!("not writable as TOML: {error}"), remedy);
    ::toml::to_string(config).map_err(refused)
}

/// The line of a text that is not understood, and a remedy.
struct NotUnderstood {
    line: String,
    remedy: String,
}

fn parse<T: DeserializeOwned>(text: &str) -> std::result::Result<T, NotUnderstood> {
    ::toml::from_str(text).map_err(|error: ::toml::de::Error| {
        let before = &text[..error.span().map_or(0, |span| span.start)];
        let line = 1 + before.matches('\n').count();
        // If the error is in a value, its key stands before it in its line. Otherwise the message has the key.
        let key = before.rsplit('\n').next().and_then(|line| line.split_once('='));
        let key = key.map(|(key, _)| format!(", in {}", key.trim())).unwrap_or_default();
        NotUnderstood { line: format!("line {line}{key}"), remedy: in_words(&with_suggestion(error.message())) }
    })
}

/// The message with words for the names of Rust's types.
fn in_words(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let words = match expected {
        "usize" | "u64" => "a whole number from 0",
        "u32" => "a whole number from 0 to 4294967295",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        other => other,
    };
    format!("{found}, expected {words}")
}

/// The parser's message. If the unknown key is similar to a setting, the message names that one instead of listing all
/// settings.
fn with_suggestion(message: &str) -> String {
    let suggestion = || {
        let (key, settings) = message.strip_prefix("unknown field `")?.split_once("`, expected one of ")?;
        let likeness = |setting: &&str| strsim::jaro_winkler(key, setting);
        let nearest = settings.split('`').max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&nearest) > 0.9).then(|| format!("unknown field `{key}`: did you mean `{nearest}`?"))
    };
    suggestion().unwrap_or_else(|| message.to_owned())
}

fn refused(place: &str, remedy: String) -> Error {
    Error::invalid("the configuration", format_args!("not understood at {place}"), remedy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::overflow::Overflow;
    use super::super::ring_memory::RingMemory;
    use super::*;
    use crate::device::DevicePreference;
    use crate::level::Level;

    #[test]
    fn a_file_with_every_setting_equals_the_setters() {
        let text = r#"
            path = "/var/log/app/orders"
            ring_bytes = "2 MiB"
            thread_ring_bytes = 131072
            reserve_bytes = "4 MiB"
            severe_only_eighths = 2
            rings_bytes_max = "0.5 GiB"
            ring_memory = "private"
            message_bytes_max = "32 KiB"
            block_bytes = "128KiB"
            packing = false
            blocks_in_flight = 6
            flush_interval = "20 ms"
            flush_on = "error"
            segment_bytes = "1 GiB"
            first_segment_bytes = "32 MiB"
            rotate_after = "1 h"
            rotate_at = "daily"
            rotate_on_hangup = false
            retain_bytes = "40 GiB"
            retain_segments = 400
            retain_for = "30 days"
            listener_queue_bytes = "2 MiB"
            level = "Debug"
            flight_recorder = "128 KiB"
            flight_recorder_level = "debug"
            snapshots_max = 10
            snapshot_on = "error"
            snapshot_on_panic = true
            snapshot_every = "10 min"
            overflow = { block_for = "5 ms" }
            writer_core = 3
            close_deadline = "1m 30s"
            service = "orders"
            create_parents = true
            file_mode = 0o640
            group = 1000
            device = "io_uring"
        "#;
        let set = Config::new("/var/log/app/orders")
            .ring_bytes(2 << 20)
            .thread_ring_bytes(128 << 10)
            .reserve_bytes(4 << 20)
            .severe_only_eighths(2)
            .rings_bytes_max(512 << 20)
            .ring_memory(RingMemory::Private)
            .message_bytes_max(32 << 10)
            .block_bytes(128 << 10)
            .packing(false)
            .blocks_in_flight(6)
            .flush_interval(Duration::from_millis(20))
            .flush_on(Level::Error)
            .segment_bytes(1 << 30)
            .first_segment_bytes(32 << 20)
            .rotate_after(Duration::from_secs(3600))
            .rotate_at(crate::rotate_at::RotateAt::Daily)
            .listener_queue_bytes(2 << 20)
            .retain_bytes(40 << 30)
            .retain_segments(400)
            .retain_for(Duration::from_secs(30 * 24 * 3600))
            .level(Level::Debug)
            .flight_recorder(128 << 10)
            .flight_recorder_level(Level::Debug)
            .snapshots_max(10)
            .snapshot_on(Level::Error)
            .snapshot_on_panic(true)
            .snapshot_every(Duration::from_secs(600))
            .overflow(Overflow::BlockFor(Duration::from_millis(5)))
            .writer_core(3)
            .close_deadline(Duration::from_secs(90))
            .service("orders")
            .create_parents(true)
            .file_mode(0o640)
            .group(1000)
            .device(DevicePreference::IoUring);
        let read = Config::from_toml(text).expect("understood");
        assert_eq!(read, set);
        read.validate().expect("valid");
    }

    #[test]
    fn a_setting_that_is_left_out_keeps_its_default() {
        assert_eq!(Config::from_toml("path = 'a'").expect("understood"), Config::new("a"));
        assert_eq!(Config::from_toml("").expect("understood").path("b"), Config::new("b"));
    }

    #[test]
    fn each_policy_has_a_name() {
        let wait = Duration::from_secs(1);
        for (text, policy) in [
            ("'drop_newest'", Overflow::DropNewest),
            ("'block'", Overflow::Block),
            ("'overwrite_oldest'", Overflow::OverwriteOldest),
            ("{ block_for = '1 s' }", Overflow::BlockFor(wait)),
        ] {
            let read = Config::from_toml(&format!("overflow = {text}")).expect("understood");
            assert_eq!(read, Config::new("").overflow(policy));
        }
    }

    #[test]
    fn rings_are_private_or_in_the_directory_that_is_named() {
        let read = Config::from_toml("ring_memory = '/dev/shm/orders'").expect("understood");
        assert_eq!(read, Config::new("").ring_memory(RingMemory::Shared("/dev/shm/orders".into())));
        let engine = EngineConfig::from_toml("ring_memory = '/dev/shm/orders'").expect("understood");
        assert_eq!(engine, EngineConfig::new().ring_memory(RingMemory::Shared("/dev/shm/orders".into())));
        // A directory of the word's name.
        let text = Config::new("a").ring_memory(RingMemory::Shared("private".into())).to_toml().expect("written");
        let read = Config::from_toml(&text).expect("understood");
        assert_eq!(read, Config::new("a").ring_memory(RingMemory::Shared("./private".into())));
        let error = Config::from_toml("ring_memory = true").expect_err("a refusal").to_string();
        assert!(error.contains("expected \"private\", \"shared\", or the path of a directory"), "{error}");
    }

    #[test]
    fn shared_rings_without_a_path_are_in_the_directory_for_this_user() {
        let read = Config::from_toml("ring_memory = 'shared'").expect("understood");
        assert_eq!(read, Config::new("").ring_memory(RingMemory::shared()));
        let error = Config::from_toml("ring_memory = 'Shared'").expect_err("no word, and no path").to_string();
        assert!(error.contains("the path of a directory with a slash"), "{error}");
    }

    /// Settings that are hard to write: each must be read back as it is, valid or not.
    fn configurations() -> Vec<Config> {
        let mut configurations = vec![Config::new(""), Config::new("a").service("\"quoted\"\n\u{e9}")];
        for bytes in [0, 1, 1000, 1023, 1024, 1025, 10 << 20, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX] {
            configurations.push(Config::new("a").segment_bytes(bytes).retain_bytes(bytes));
            let shifted = bytes << 10;
            configurations.push(Config::new("a").first_segment_bytes(shifted).ring_bytes(shifted as usize));
        }
        let times = [0, 1, 999, 1_000, 1_500_000, 100_000_000, 90_000_000_000, 86_400_000_000_000, u64::MAX];
        for time in times.map(Duration::from_nanos).into_iter().chain([Duration::MAX, Duration::from_secs(1 << 40)]) {
            configurations.push(Config::new("a").flush_interval(time).retain_for(time));
            configurations.push(Config::new("a").overflow(Overflow::BlockFor(time)).writer_core(3));
        }
        let all = [Level::Off, Level::Error, Level::Trace];
        configurations.extend(all.map(|level| Config::new("a").level(level).flush_on(level).overflow(Overflow::Block)));
        configurations.extend(["a=off", "warn,a::b=trace,c=off"].map(|levels| Config::new("a").level(levels)));
        configurations.push(Config::new("a").device(DevicePreference::IoUring).overflow(Overflow::OverwriteOldest));
        let modes = [0, 0o600, 0o666, 0o1777, u32::MAX];
        configurations.extend(modes.map(|mode| Config::new("a").file_mode(mode).group(mode).create_parents(true)));
        configurations.push(Config::new("a").ring_memory(RingMemory::Shared("/a \"b\"/\u{e9}".into())));
        configurations.push(Config::new("a").retain_segments(7).message_bytes_max(5000).thread_ring_bytes(4096));
        configurations
    }

    #[test]
    fn what_is_written_is_read_back() {
        for config in configurations() {
            let text = config.to_toml().unwrap_or_else(|error| panic!("{error} for {config:?}"));
            let read = Config::from_toml(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
            assert_eq!(read, config, "{text}");
        }
    }

    #[test]
    fn values_are_written_in_words() {
        let config = Config::new("a").retain_for(Duration::from_secs(30 * 24 * 3600)).ring_bytes(4095);
        let text = config.overflow(Overflow::BlockFor(Duration::from_micros(1500))).to_toml().expect("written");
        for line in [
            "path = \"a\"",
            "ring_bytes = 4095",
            "block_bytes = \"512 KiB\"",
            "blocks_in_flight = 8",
            "flush_interval = \"100 ms\"",
            "retain_for = \"30 days\"",
            "level = \"info\"",
            "block_for = \"1500 us\"",
            "close_deadline = \"5 s\"",
            "device = \"auto\"",
            "ring_memory = \"private\"",
            "file_mode = \"0600\"",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in\n{text}");
        }
        assert!(!text.contains("retain_bytes"), "left out:\n{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_no_text_can_hold_is_an_error() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::ffi::OsStr::from_bytes(b"a\xff");
        let error = Config::new(path).to_toml().expect_err("not UTF-8").to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn an_error_names_the_line_and_the_remedy() {
        let cases = [
            ("path = 'a'\nring_byte = 1", "line 2: unknown field `ring_byte`: did you mean `ring_bytes`?"),
            ("blocksize = 1", "line 1: unknown field `blocksize`, expected one of `path`, `ring_bytes`"),
            (
                "ring_bytes = -1",
                "line 1, in ring_bytes: invalid value: integer `-1`, expected a number of bytes or words such as \"256 KiB\"",
            ),
            (
                "\n\nblock_bytes = '256 KiBs'",
                "line 3, in block_bytes: invalid value: string \"256 KiBs\", expected a number of bytes or",
            ),
            (
                "block_bytes = 2.5",
                "line 1, in block_bytes: invalid type: floating point `2.5`, expected a number of bytes or words",
            ),
            (
                "flush_interval = 100",
                "line 1, in flush_interval: invalid type: integer `100`, expected a time with its unit such as \"100 ms\"",
            ),
            (
                "flush_interval = '100 mx'",
                "line 1, in flush_interval: invalid value: string \"100 mx\", expected a time with its unit",
            ),
            (
                "level = 'info,a=loud'",
                "line 1, in level: \"loud\" in \"a=loud\" is not a level; use error, warn, info, debug, trace or off",
            ),
            ("level = 'loud'", "line 1, in level: \"loud\" is not a level; use error, warn, info, debug, trace or off"),
            (
                "overflow = 'drop'",
                "line 1, in overflow: invalid value: string \"drop\", expected \"drop_newest\", \"block\", \"overwrite_oldest\" or { block_for = \"5 ms\" }",
            ),
            (
                "overflow = 'drop-newest'",
                "line 1, in overflow: invalid value: string \"drop-newest\", expected \"drop_newest\"",
            ),
            (
                "overflow = { wait = '1 s' }",
                "line 1, in overflow: invalid value: string \"wait\", expected \"drop_newest\"",
            ),
            ("overflow = {}", "line 1, in overflow: invalid value: map, expected \"drop_newest\""),
            ("writer_core = '3'", "line 1, in writer_core: invalid type: string \"3\", expected a whole number from 0"),
            ("writer_core = -1", "line 1, in writer_core: invalid value: integer `-1`, expected a whole number from 0"),
            (
                "path = 'a'\n  retain_segments = -1",
                "line 2, in retain_segments: invalid value: integer `-1`, expected a whole number from 0",
            ),
            (
                "severe_only_eighths = -1",
                "line 1, in severe_only_eighths: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
            ),
            ("packing = 1", "line 1, in packing: invalid type: integer `1`, expected true or false"),
            ("path = 5", "line 1, in path: invalid type: integer `5`, expected a path in quotes"),
            ("overflow = { block_for = -1 }", "line 1, in overflow: "),
            (
                "file_mode = '0o680'",
                "line 1, in file_mode: invalid value: string \"0o680\", expected permission bits such as 0o640 or",
            ),
            (
                "file_mode = '0680'",
                "line 1, in file_mode: invalid value: string \"0680\", expected permission bits such as 0o640 or",
            ),
            (
                "device = 'fast'",
                "line 1, in device: unknown variant `fast`, expected one of `auto`, `direct`, `io_uring`",
            ),
            ("path = 'a'\nlevel", "line 2: "),
            ("ring_bytes = 4096\nring_bytes = 4096", "line 2: duplicate key"),
        ];
        for (text, message) in cases {
            let refusal = Config::from_toml(text).expect_err("a refusal").to_string();
            let expected = format!("the configuration is not understood at {message}");
            assert!(refusal.starts_with(&expected), "{refusal}\nexpected {expected}");
        }
        let refusal = EngineConfig::from_toml("blocks_bytes_max = '4 KiB'\nwriter_core = -1").expect_err("a refusal");
        let expected = "the configuration is not understood at line 2, in writer_core: invalid value: integer `-1`, \
                        expected a whole number from 0";
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn a_file_is_read_and_an_error_names_its_path() {
        let beside_the_test = std::env::current_exe().expect("a path").with_file_name("");
        let directory = tempfile::tempdir_in(beside_the_test).expect("a directory");
        let path = directory.path().join("log.toml");
        let missing = Config::from_toml_file(&path).expect_err("a refusal").to_string();
        assert!(missing.starts_with(&format!("cannot read {}: ", path.display())), "{missing}");
        fs::write(&path, "path = 'a'\nlevel = 'warn'").expect("written");
        assert_eq!(Config::from_toml_file(&path).expect("understood"), Config::new("a").level(Level::Warn));
        fs::write(&path, "level = 1").expect("written");
        let refusal = Config::from_toml_file(&path).expect_err("a refusal").to_string();
        assert!(refusal.contains(&format!("{}, line 1, in level: invalid type", path.display())), "{refusal}");
    }
}
