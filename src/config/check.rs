//! The settings checked as a whole, and the numbers that follow from them. Called once, by open.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Overflow};
use crate::device::DevicePreference;
use crate::error::{Error, Result};
use crate::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, GRID_BYTES, NAME_BYTES_MAX, ProducerRow, RECORD_HEADER_BYTES,
    SHARD_HEADER_BYTES, padded,
};
use crate::level::Level;
use crate::ring::{
    CAPACITY_MAX as RING_BYTES_MAX, CAPACITY_MIN as RING_BYTES_MIN, HEAD_BYTES as RING_RECORD_HEAD_BYTES,
};

/// The ring of a thread that logs by the convenience, where nothing is said.
const THREAD_RING_BYTES: usize = 64 << 10;

/// The longest message where nothing is said: a stray dump must not push thousands of records out of a ring.
const MESSAGE_BYTES_DEFAULT_MAX: usize = 64 << 10;

/// The first segment's size: a short run leaves little behind, and doubling soon reaches the full size.
const FIRST_SEGMENT_BYTES: u64 = 16 << 20;

/// The largest segment; file systems go further, but no preparation ends in useful time.
const SEGMENT_BYTES_MAX: u64 = 1 << 40;

/// Idle, the writer sleeps for up to a quarter of the interval: shorter ones would keep it awake.
const FLUSH_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The least age that ends or removes a segment: each one costs the preparation of a file.
const AGE_MIN: Duration = Duration::from_secs(1);

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The environment variable that overrides the level.
const LEVEL_VARIABLE: &str = "DIOLOG_LEVEL";

/// Settings that fit each other, with every default resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validated {
    pub(crate) path: PathBuf,
    pub(crate) ring_bytes: usize,
    pub(crate) thread_ring_bytes: usize,
    pub(crate) rings_bytes_max: usize,
    /// The longest message in any ring: what [`Validated::message_bytes_max_in`] gives for the larger one.
    pub(crate) message_bytes_max: usize,
    pub(crate) block_bytes: usize,
    pub(crate) blocks_in_flight: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) segment_bytes: u64,
    pub(crate) first_segment_bytes: u64,
    pub(crate) rotate_after: Option<Duration>,
    pub(crate) retain_bytes: Option<u64>,
    pub(crate) retain_segments: Option<u64>,
    pub(crate) retain_for: Option<Duration>,
    /// After `DIOLOG_LEVEL`.
    pub(crate) level: Level,
    pub(crate) overflow: Overflow,
    pub(crate) writer_core: Option<usize>,
    pub(crate) close_deadline: Duration,
    pub(crate) service: String,
    pub(crate) device: DevicePreference,
}

impl Validated {
    /// The longest message of a producer whose ring has `ring_bytes`: longer ones are cut to it.
    pub(crate) fn message_bytes_max_in(&self, ring_bytes: usize) -> usize {
        self.message_bytes_max.min(message_bytes_in_ring(ring_bytes))
    }
}

impl Config {
    /// Checks everything together, and resolves what was left to its default.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first setting that cannot be, or does not fit another.
    pub(crate) fn validate(&self) -> Result<Validated> {
        self.validate_with(env::var_os(LEVEL_VARIABLE).as_deref())
    }

    /// [`Config::validate`] with the value of `DIOLOG_LEVEL`, so that tests need not touch the environment.
    fn validate_with(&self, level_variable: Option<&OsStr>) -> Result<Validated> {
        if self.path.as_os_str().is_empty() {
            return Err(invalid("path", "empty", "name the log's directory"));
        }
        check_ring("ring_bytes", self.ring_bytes)?;
        check_block(self.block_bytes)?;
        if let Some(bytes) = self.message_bytes_max {
            check_message(bytes, self.ring_bytes, self.block_bytes)?;
        }
        let thread_ring_bytes = self.check_thread_ring()?;
        let largest_ring = self.ring_bytes.max(thread_ring_bytes);
        if self.rings_bytes_max < largest_ring {
            let remedy = format!("one ring takes {largest_ring}; use at least that, for all rings together");
            return Err(invalid("rings_bytes_max", self.rings_bytes_max, remedy));
        }
        if !(1..=64).contains(&self.blocks_in_flight) {
            return Err(invalid("blocks_in_flight", self.blocks_in_flight, "use 1 to 64 blocks"));
        }
        if !(FLUSH_INTERVAL_MIN..=HOUR).contains(&self.flush_interval) {
            return Err(invalid("flush_interval", format!("{:?}", self.flush_interval), "use 1 ms to 1 hour"));
        }
        self.check_segments()?;
        self.check_retention()?;
        if let Overflow::BlockFor(wait) = self.overflow
            && (wait.is_zero() || wait > HOUR)
        {
            let remedy = "wait more than zero and at most 1 hour, or use DropNewest or Block";
            return Err(invalid("overflow", format!("BlockFor({wait:?})"), remedy));
        }
        if self.close_deadline > DAY {
            return Err(invalid("close_deadline", format!("{:?}", self.close_deadline), "use at most 1 day"));
        }
        if self.service.len() > NAME_BYTES_MAX {
            let value = format!("{} bytes long", self.service.len());
            return Err(invalid("service", value, format!("use a name of at most {NAME_BYTES_MAX} bytes")));
        }
        let message_bytes_max = self.message_bytes_max.unwrap_or_else(|| {
            let fits = message_bytes_in_ring(largest_ring).min(message_bytes_in_block(self.block_bytes));
            fits.min(MESSAGE_BYTES_DEFAULT_MAX)
        });
        Ok(Validated {
            path: self.path.clone(),
            ring_bytes: self.ring_bytes,
            thread_ring_bytes,
            rings_bytes_max: self.rings_bytes_max,
            message_bytes_max,
            block_bytes: self.block_bytes,
            blocks_in_flight: self.blocks_in_flight,
            flush_interval: self.flush_interval,
            segment_bytes: self.segment_bytes,
            first_segment_bytes: self.resolved_first_segment_bytes(),
            rotate_after: self.rotate_after,
            retain_bytes: self.retain_bytes,
            retain_segments: self.retain_segments,
            retain_for: self.retain_for,
            level: resolve_level(self.level, level_variable)?,
            overflow: self.overflow,
            writer_core: self.writer_core,
            close_deadline: self.close_deadline,
            service: self.service.clone(),
            device: self.device,
        })
    }

    /// The thread rings' size: the explicit one, if the explicit message fits it; else one that fits both wishes.
    fn check_thread_ring(&self) -> Result<usize> {
        let needed = self.message_bytes_max.map_or(0, ring_bytes_for);
        let Some(bytes) = self.thread_ring_bytes else { return Ok(THREAD_RING_BYTES.max(needed)) };
        check_ring("thread_ring_bytes", bytes)?;
        if bytes < needed {
            let remedy =
                format!("a message of message_bytes_max must fit half of it; use {needed}, or lower message_bytes_max");
            return Err(invalid("thread_ring_bytes", bytes, remedy));
        }
        Ok(bytes)
    }

    fn check_segments(&self) -> Result<()> {
        self.check_segment("segment_bytes", self.segment_bytes)?;
        self.first_segment_bytes.map_or(Ok(()), |bytes| self.check_segment("first_segment_bytes", bytes))
    }

    /// When segments end, and when they go: what is kept is never less than a segment.
    fn check_retention(&self) -> Result<()> {
        for (setting, age) in [("rotate_after", self.rotate_after), ("retain_for", self.retain_for)] {
            if let Some(age) = age.filter(|age| *age < AGE_MIN) {
                return Err(invalid(setting, format!("{age:?}"), "use at least 1 s, or leave it out"));
            }
        }
        if let Some(bytes) = self.retain_bytes.filter(|bytes| *bytes < self.segment_bytes) {
            let segment = self.segment_bytes;
            let remedy =
                format!("a segment takes up to segment_bytes, {segment}; use at least that, or smaller segment_bytes");
            return Err(invalid("retain_bytes", bytes, remedy));
        }
        if self.retain_segments == Some(0) {
            return Err(invalid(
                "retain_segments",
                0,
                "use at least 1, the present segment, or leave it out to keep all",
            ));
        }
        Ok(())
    }

    /// The first segment's size: the explicit one or the default, between what a block needs and the largest.
    fn resolved_first_segment_bytes(&self) -> u64 {
        let smallest = (self.block_bytes + GRID_BYTES) as u64;
        self.first_segment_bytes.unwrap_or(FIRST_SEGMENT_BYTES.max(smallest)).min(self.segment_bytes)
    }

    fn check_segment(&self, setting: &'static str, bytes: u64) -> Result<()> {
        let smallest = (self.block_bytes + GRID_BYTES) as u64;
        if bytes < smallest {
            let remedy = format!("a segment holds a header of {GRID_BYTES} and a block; use at least {smallest}");
            return Err(invalid(setting, bytes, remedy));
        }
        if bytes > SEGMENT_BYTES_MAX {
            let remedy = format!("use at most {SEGMENT_BYTES_MAX} (1 TiB)");
            return Err(invalid(setting, bytes, remedy));
        }
        if !bytes.is_multiple_of(GRID_BYTES as u64) {
            let next = bytes.next_multiple_of(GRID_BYTES as u64);
            return Err(invalid(setting, bytes, format!("use a multiple of 4096, such as {next}")));
        }
        Ok(())
    }
}

/// The longest message that a ring of `ring_bytes` carries: with its head it takes at most half the ring, so that a
/// record always fits somewhere, whatever its position, and the writer can copy one while the next is appended.
pub(crate) const fn message_bytes_in_ring(ring_bytes: usize) -> usize {
    // Half a ring is a multiple of 8, and so is the head: what is left needs no further rounding for the padding.
    (ring_bytes / 2).saturating_sub(RING_RECORD_HEAD_BYTES)
}

/// The smallest ring that carries messages of `message_bytes`.
fn ring_bytes_for(message_bytes: usize) -> usize {
    (2 * (RING_RECORD_HEAD_BYTES + padded(message_bytes))).next_power_of_two().max(RING_BYTES_MIN)
}

/// The longest message that a block of `block_bytes` carries: a record never spans blocks, and every block decodes
/// alone, so that the first record of a producer in it is preceded by that producer's row.
pub(crate) const fn message_bytes_in_block(block_bytes: usize) -> usize {
    let row = SHARD_HEADER_BYTES + RECORD_HEADER_BYTES + padded(ProducerRow::BYTES_MAX);
    let record = SHARD_HEADER_BYTES + RECORD_HEADER_BYTES;
    // All of these are multiples of 8: what is left needs no further rounding for the padding.
    block_bytes.saturating_sub(BLOCK_HEADER_BYTES + row + record)
}

const _: () = assert!(message_bytes_in_ring(RING_BYTES_MIN) > 0 && message_bytes_in_block(GRID_BYTES) > 0);
const _: () = assert!(message_bytes_in_ring(RING_BYTES_MIN).is_multiple_of(8));
const _: () = assert!(message_bytes_in_block(GRID_BYTES).is_multiple_of(8));

fn check_ring(setting: &'static str, bytes: usize) -> Result<()> {
    if bytes.is_power_of_two() && (RING_BYTES_MIN..=RING_BYTES_MAX).contains(&bytes) {
        return Ok(());
    }
    let next = bytes.clamp(RING_BYTES_MIN, RING_BYTES_MAX).next_power_of_two();
    Err(invalid(
        setting,
        bytes,
        format!("use a power of two from {RING_BYTES_MIN} to {RING_BYTES_MAX} (1 GiB), such as {next}"),
    ))
}

fn check_block(bytes: usize) -> Result<()> {
    if bytes.is_multiple_of(GRID_BYTES) && (GRID_BYTES..=BLOCK_BYTES_MAX).contains(&bytes) {
        return Ok(());
    }
    let next = bytes.clamp(GRID_BYTES, BLOCK_BYTES_MAX).next_multiple_of(GRID_BYTES);
    let remedy = format!("use a multiple of 4096 from 4096 to {BLOCK_BYTES_MAX} (16 MiB), such as {next}");
    Err(invalid("block_bytes", bytes, remedy))
}

/// An explicit longest message against the ring and the block that must carry it.
fn check_message(bytes: usize, ring_bytes: usize, block_bytes: usize) -> Result<()> {
    let (in_ring, in_block) = (message_bytes_in_ring(ring_bytes), message_bytes_in_block(block_bytes));
    let (largest_ring, largest_block) =
        (message_bytes_in_ring(RING_BYTES_MAX), message_bytes_in_block(BLOCK_BYTES_MAX));
    let remedy = if bytes == 0 {
        "use at least 1".to_owned()
    } else if bytes > largest_ring.min(largest_block) {
        format!("use at most {}: a record never spans blocks", largest_ring.min(largest_block))
    } else if bytes > in_ring {
        let ring = ring_bytes_for(bytes);
        format!("half a ring_bytes of {ring_bytes} holds {in_ring}; use at most that, or a ring_bytes of {ring}")
    } else if bytes > in_block {
        let block = (block_bytes - in_block + padded(bytes)).next_multiple_of(GRID_BYTES);
        format!("a block_bytes of {block_bytes} holds {in_block}; use at most that, or a block_bytes of {block}")
    } else {
        return Ok(());
    };
    Err(invalid("message_bytes_max", bytes, remedy))
}

/// The configured level, or the one in `DIOLOG_LEVEL` where that is set and not empty.
fn resolve_level(configured: Level, variable: Option<&OsStr>) -> Result<Level> {
    let Some(word) = variable.filter(|word| !word.is_empty()) else { return Ok(configured) };
    let level = word.to_str().and_then(|word| word.parse().ok());
    level.ok_or_else(|| {
        invalid(LEVEL_VARIABLE, format!("{word:?}"), "set it to error, warn, info, debug or trace, or unset it")
    })
}

fn invalid(setting: &'static str, value: impl Display, remedy: impl Into<String>) -> Error {
    Error::InvalidConfig { setting, value: value.to_string(), remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("a/log")
    }

    fn refusal(config: Config) -> String {
        config.validate_with(None).expect_err("a refusal").to_string()
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let settings = config().validate_with(None).expect("valid");
        let expected = Validated {
            path: "a/log".into(),
            ring_bytes: 1 << 20,
            thread_ring_bytes: 64 << 10,
            rings_bytes_max: 256 << 20,
            message_bytes_max: 64 << 10,
            block_bytes: 256 << 10,
            blocks_in_flight: 4,
            flush_interval: Duration::from_millis(100),
            segment_bytes: 256 << 20,
            first_segment_bytes: 16 << 20,
            rotate_after: None,
            retain_bytes: None,
            retain_segments: None,
            retain_for: None,
            level: Level::Info,
            overflow: Overflow::DropNewest,
            writer_core: None,
            close_deadline: Duration::from_secs(5),
            service: String::new(),
            device: DevicePreference::Auto,
        };
        assert_eq!(settings, expected);
        assert_eq!(settings.message_bytes_max_in(settings.ring_bytes), 64 << 10);
        assert_eq!(settings.message_bytes_max_in(settings.thread_ring_bytes), (32 << 10) - 24);
    }

    #[test]
    fn each_setting_that_cannot_be_is_refused_with_its_name_its_value_and_the_remedy() {
        let ms = Duration::from_millis;
        let cases: [(Config, &str); 33] = [
            (Config::new(""), "path is empty: name the log's directory"),
            (
                config().ring_bytes(0),
                "ring_bytes is 0: use a power of two from 4096 to 1073741824 (1 GiB), such as 4096",
            ),
            (
                config().ring_bytes(5000),
                "ring_bytes is 5000: use a power of two from 4096 to 1073741824 (1 GiB), such as 8192",
            ),
            (config().ring_bytes(2048), "ring_bytes is 2048: use a power of two from 4096"),
            (
                config().ring_bytes(1 << 31),
                "ring_bytes is 2147483648: use a power of two from 4096 to 1073741824 (1 GiB), such as 1073741824",
            ),
            (config().ring_bytes(usize::MAX), "ring_bytes is 18446744073709551615: use a power of two"),
            (config().thread_ring_bytes(0), "thread_ring_bytes is 0: use a power of two"),
            (
                config().thread_ring_bytes(65_535),
                "thread_ring_bytes is 65535: use a power of two from 4096 to 1073741824 (1 GiB), such as 65536",
            ),
            (
                config().thread_ring_bytes(65_536).message_bytes_max(40_000),
                "thread_ring_bytes is 65536: a message of message_bytes_max must fit half of it; use 131072, or lower message_bytes_max",
            ),
            (config().rings_bytes_max(0), "rings_bytes_max is 0: one ring takes 1048576; use at least that"),
            (config().ring_bytes(4096).rings_bytes_max(4096), "rings_bytes_max is 4096: one ring takes 65536"),
            (config().message_bytes_max(0), "message_bytes_max is 0: use at least 1"),
            (
                config().message_bytes_max((512 << 10) - 23),
                "message_bytes_max is 524265: half a ring_bytes of 1048576 holds 524264; use at most that, or a ring_bytes of 2097152",
            ),
            (
                config().message_bytes_max((256 << 10) - 471),
                "message_bytes_max is 261673: a block_bytes of 262144 holds 261672; use at most that, or a block_bytes of 266240",
            ),
            (
                config().message_bytes_max(16 << 20),
                "message_bytes_max is 16777216: use at most 16776744: a record never spans blocks",
            ),
            (config().message_bytes_max(usize::MAX), "message_bytes_max is 18446744073709551615: use at most"),
            (
                config().block_bytes(0),
                "block_bytes is 0: use a multiple of 4096 from 4096 to 16777216 (16 MiB), such as 4096",
            ),
            (
                config().block_bytes(10_000),
                "block_bytes is 10000: use a multiple of 4096 from 4096 to 16777216 (16 MiB), such as 12288",
            ),
            (
                config().block_bytes(32 << 20),
                "block_bytes is 33554432: use a multiple of 4096 from 4096 to 16777216 (16 MiB), such as 16777216",
            ),
            (config().blocks_in_flight(0), "blocks_in_flight is 0: use 1 to 64 blocks"),
            (config().blocks_in_flight(65), "blocks_in_flight is 65: use 1 to 64 blocks"),
            (config().flush_interval(Duration::ZERO), "flush_interval is 0ns: use 1 ms to 1 hour"),
            (
                config().segment_bytes(256 << 10),
                "segment_bytes is 262144: a segment holds a header of 4096 and a block; use at least 266240",
            ),
            (
                config().segment_bytes((1 << 20) + 1),
                "segment_bytes is 1048577: use a multiple of 4096, such as 1052672",
            ),
            (
                config().segment_bytes(u64::MAX),
                "segment_bytes is 18446744073709551615: use at most 1099511627776 (1 TiB)",
            ),
            (config().rotate_after(Duration::ZERO), "rotate_after is 0ns: use at least 1 s, or leave it out"),
            (config().rotate_after(ms(999)), "rotate_after is 999ms: use at least 1 s, or leave it out"),
            (config().retain_for(Duration::ZERO), "retain_for is 0ns: use at least 1 s, or leave it out"),
            (config().retain_segments(0), "retain_segments is 0: use at least 1, the present segment, or leave it out"),
            (
                config().retain_bytes(255 << 20),
                "retain_bytes is 267386880: a segment takes up to segment_bytes, 268435456; use at least that, or smaller",
            ),
            (
                config().segment_bytes(2 << 20).first_segment_bytes(1 << 20).retain_bytes(1 << 20),
                "retain_bytes is 1048576: a segment takes up to segment_bytes, 2097152; use at least that",
            ),
            (
                config().overflow(Overflow::BlockFor(ms(0))),
                "overflow is BlockFor(0ns): wait more than zero and at most 1 hour, or use",
            ),
            (config().service("x".repeat(256)), "service is 256 bytes long: use a name of at most 255 bytes"),
        ];
        for (config, message) in cases {
            let refusal = refusal(config.clone());
            assert!(refusal.starts_with(message), "{refusal}\nexpected {message}\nfrom {config:?}");
        }
        assert!(refusal(config().flush_interval(Duration::MAX)).contains("1 hour"));
        assert!(refusal(config().overflow(Overflow::BlockFor(Duration::MAX))).contains("1 hour"));
        assert!(refusal(config().close_deadline(Duration::MAX)).contains("1 day"));
    }

    #[test]
    fn what_a_refusal_advises_is_accepted() {
        for config in [
            config().message_bytes_max(524_265).ring_bytes(2 << 20).block_bytes(1 << 20),
            config().message_bytes_max(261_673).block_bytes(266_240),
            config().message_bytes_max(16_776_744).ring_bytes(64 << 20).block_bytes(16 << 20),
            config().message_bytes_max(40_000).thread_ring_bytes(131_072),
            config().segment_bytes(266_240),
            config().segment_bytes(266_240).retain_bytes(266_240),
            config().retain_segments(1).retain_for(Duration::from_secs(1)).rotate_after(Duration::from_secs(1)),
            config().retain_segments(u64::MAX).retain_for(Duration::MAX).rotate_after(Duration::MAX),
        ] {
            config.validate_with(None).unwrap_or_else(|error| panic!("{error} from {config:?}"));
        }
    }

    #[test]
    fn the_smallest_of_everything_is_accepted_and_gives_the_largest_message_that_fits() {
        let smallest = config().ring_bytes(4096).thread_ring_bytes(4096).block_bytes(4096).segment_bytes(8192);
        let settings = smallest.clone().rings_bytes_max(4096).validate_with(None).expect("valid");
        assert_eq!(settings.message_bytes_max, 2048 - 24);
        let settings = smallest.ring_bytes(1 << 20).validate_with(None).expect("valid");
        assert_eq!(settings.message_bytes_max, 4096 - (64 + 32 + 16 + 312 + 32 + 16));
        assert_eq!(settings.message_bytes_max_in(4096), 2048 - 24);
    }

    #[test]
    fn an_explicit_message_longer_than_the_default_is_accepted_and_holds_in_a_threads_ring_too() {
        let wide = config().message_bytes_max(1 << 20).ring_bytes(4 << 20).block_bytes(2 << 20);
        let settings = wide.validate_with(None).expect("valid");
        assert_eq!((settings.message_bytes_max, settings.thread_ring_bytes), (1 << 20, 4 << 20));
        assert_eq!(settings.message_bytes_max_in(settings.thread_ring_bytes), 1 << 20);
    }

    #[test]
    fn the_environment_overrides_the_level_and_a_word_that_is_none_is_refused() {
        let level = |word: &str| config().level(Level::Warn).validate_with(Some(OsStr::new(word)));
        assert_eq!(level("TRACE").expect("a level").level, Level::Trace);
        assert_eq!(level("").expect("as configured").level, Level::Warn);
        assert_eq!(config().level(Level::Debug).validate_with(None).expect("valid").level, Level::Debug);
        assert_eq!(
            level("loud").expect_err("a refusal").to_string(),
            "DIOLOG_LEVEL is \"loud\": set it to error, warn, info, debug or trace, or unset it"
        );
    }
}
