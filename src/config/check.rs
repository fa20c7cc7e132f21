//! Checks the settings as a whole, and computes the values that depend on them. Called once, at open.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::overflow::Overflow;
use super::ring_memory::RingMemory;
use super::settings::Config;
use crate::error::{Error, Result};
use crate::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, GRID_BYTES, NAME_BYTES_MAX, ProducerRow, RECORD_HEADER_BYTES,
    SHARD_HEADER_BYTES, definition_bytes_max, padded,
};
use crate::grouped::{Size, counted};
use crate::level::Level;
use crate::levels::Levels;
use crate::ring::{
    CAPACITY_MAX as RING_BYTES_MAX, CAPACITY_MIN as RING_BYTES_MIN, CHUNK_BYTES, HEAD_BYTES as RING_RECORD_HEAD_BYTES,
};

/// The smallest reserve.
const RESERVE_BYTES_MIN: usize = CHUNK_BYTES as usize;

/// The ring of a producer by default.
pub(crate) const RING_BYTES: usize = 1 << 20;

/// The ring of a producer that waits for space, by default. It holds eight blocks of 512 KiB that are on their way to
/// the disk. A larger ring would exceed the L2 cache. With 1 MiB, such a producer is woken for each block or two, and
/// reaches two thirds of the rate.
pub(crate) const WAITING_RING_BYTES: usize = 4 << 20;

/// Producers that wait get a large ring until all rings use one part in this many of their memory.
pub(crate) const PART_FOR_LARGE_RINGS: usize = 4;

/// The ring of a thread that logs through [`Logger::log`](crate::Logger::log), by default.
const THREAD_RING_BYTES: usize = 64 << 10;

/// The longest message by default. One stray dump must not fill a ring that thousands of records need.
const MESSAGE_BYTES_DEFAULT_MAX: usize = 64 << 10;

/// The size of the first segment by default. A short run reserves little, and after a few doublings segments have their
/// full size.
const FIRST_SEGMENT_BYTES: u64 = 16 << 20;

/// The largest segment. File systems allow larger ones, but preparing one would take too long.
const SEGMENT_BYTES_MAX: u64 = 1 << 40;

/// An idle writer sleeps for up to a quarter of the interval, so a shorter interval would keep it awake.
const FLUSH_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The lowest age at which a segment ends or is removed: each new segment costs the preparation of a file.
const AGE_MIN: Duration = Duration::from_secs(1);

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest path that a system call takes: `PATH_MAX` without the NUL at its end.
const PATH_BYTES_MAX: usize = 4095;

/// The longest name in a path: `NAME_MAX`.
pub(crate) const FILE_NAME_BYTES_MAX: usize = 255;

/// How much of an invalid path an error shows.
const PATH_SHOWN_CHARACTERS: usize = 500;

/// The environment variable that overrides the level.
const LEVEL_VARIABLE: &str = "DIOLOG_LEVEL";

/// Valid settings that fit each other, and the values that depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validated {
    /// The settings, with the level from `DIOLOG_LEVEL`.
    pub(crate) config: Config,
    pub(crate) ring_bytes: usize,
    /// The ring of a producer when all rings together use much of their memory.
    pub(crate) crowded_ring_bytes: usize,
    pub(crate) thread_ring_bytes: usize,
    /// The longest message in any ring. See [`Validated::message_bytes_max_in`].
    pub(crate) message_bytes_max: usize,
    pub(crate) first_segment_bytes: u64,
}

impl Validated {
    /// The longest message of a producer with a ring of `ring_bytes`. Longer ones are cut.
    pub(crate) fn message_bytes_max_in(&self, ring_bytes: usize) -> usize {
        self.message_bytes_max.min(message_bytes_in_ring(ring_bytes))
    }

    /// Checks the size of one producer's own ring.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if it is invalid, or too small for a `message_bytes_max` that was set.
    pub(crate) fn check_producer_ring(&self, bytes: usize) -> Result<usize> {
        check_ring("the producer's ring_bytes", bytes)?;
        check_carries("the producer's ring_bytes", bytes, self.config.message_bytes_max)?;
        Ok(bytes)
    }
}

impl Validated {
    /// The default settings, for a logger without a log. `path` is shown in place of a path.
    pub(crate) fn without_log(path: &str) -> Validated {
        Config::new(path).validate_with(None).expect("the defaults are valid")
    }
}

impl Config {
    /// Checks all settings together, and fills in those that were left out.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first setting that is invalid or does not fit another.
    pub(crate) fn validate(self) -> Result<Validated> {
        self.validate_with(env::var_os(LEVEL_VARIABLE).as_deref())
    }

    /// [`Config::validate`] with the value of `DIOLOG_LEVEL`, so that tests need not change the environment.
    fn validate_with(mut self, level_variable: Option<&OsStr>) -> Result<Validated> {
        check_path(&self.path)?;
        let crowded_ring_bytes = self.ring_bytes.unwrap_or(RING_BYTES);
        check_ring("ring_bytes", crowded_ring_bytes)?;
        check_reserve(self.reserve_bytes)?;
        require(self.severe_only_eighths <= 4, "severe_only_eighths", self.severe_only_eighths, "use 0 to 4 eighths")?;
        check_block(self.block_bytes)?;
        if let Some(bytes) = self.message_bytes_max {
            check_message(bytes, crowded_ring_bytes, self.block_bytes)?;
        }
        let thread_ring_bytes = self.resolve_thread_ring()?;
        let largest_ring = crowded_ring_bytes.max(thread_ring_bytes);
        let remedy = format!("one ring takes {}; use at least that, for all rings together", size(largest_ring));
        require(self.rings_bytes_max >= largest_ring, "rings_bytes_max", size(self.rings_bytes_max), remedy)?;
        self.check_writer()?;
        check_file_mode(self.file_mode)?;
        self.check_segments()?;
        self.check_retention()?;
        self.check_overflow()?;
        check_ring_memory(&self.ring_memory)?;
        self.check_recorder(largest_ring)?;
        self.level = resolve_levels(self.level, level_variable)?;
        Ok(Validated {
            ring_bytes: self.resolve_ring(),
            crowded_ring_bytes,
            thread_ring_bytes,
            message_bytes_max: self.resolve_message(largest_ring),
            first_segment_bytes: self.resolve_first_segment(),
            config: self,
        })
    }

    /// The size of a producer's ring: as set, or by the overflow policy.
    fn resolve_ring(&self) -> usize {
        let waits = matches!(self.overflow, Overflow::Block);
        let default = if waits { WAITING_RING_BYTES } else { RING_BYTES };
        self.ring_bytes.unwrap_or(default)
    }

    /// The size of a thread's ring: as set, or large enough for a `message_bytes_max` that was set.
    fn resolve_thread_ring(&self) -> Result<usize> {
        let Some(bytes) = self.thread_ring_bytes else {
            return Ok(THREAD_RING_BYTES.max(self.message_bytes_max.map_or(0, ring_bytes_for)));
        };
        check_ring("thread_ring_bytes", bytes)?;
        check_carries("thread_ring_bytes", bytes, self.message_bytes_max)?;
        Ok(bytes)
    }

    /// The longest message: as set, or the longest that fits the largest ring and a block, up to the default maximum.
    fn resolve_message(&self, largest_ring: usize) -> usize {
        let fits = message_bytes_in_ring(largest_ring).min(message_bytes_in_block(self.block_bytes));
        self.message_bytes_max.unwrap_or(fits.min(MESSAGE_BYTES_DEFAULT_MAX))
    }

    /// The size of the first segment: as set, or the default, or enough for a block; at most that of a segment.
    fn resolve_first_segment(&self) -> u64 {
        let default = FIRST_SEGMENT_BYTES.max(self.smallest_segment());
        self.first_segment_bytes.unwrap_or(default).min(self.segment_bytes)
    }

    fn check_writer(&self) -> Result<()> {
        let blocks = self.blocks_in_flight;
        require((1..=64).contains(&blocks), "blocks_in_flight", blocks, "use 1 to 64 blocks")?;
        let interval = self.flush_interval;
        let is_valid = (FLUSH_INTERVAL_MIN..=HOUR).contains(&interval);
        require(is_valid, "flush_interval", format_args!("{interval:?}"), "use 1 ms to 1 hour")?;
        let queue = self.listener_queue_bytes;
        let is_valid = (64 << 10..=1 << 30).contains(&queue);
        require(is_valid, "listener_queue_bytes", size(queue), "use 64 KiB to 1 GiB")?;
        let deadline = self.close_deadline;
        require(deadline <= DAY, "close_deadline", format_args!("{deadline:?}"), "use at most 1 day")?;
        let (length, remedy) = (self.service.len(), format!("use a name of at most {NAME_BYTES_MAX} bytes"));
        require(length <= NAME_BYTES_MAX, "service", format_args!("{} long", counted(length as u64, "byte")), remedy)
    }

    fn check_overflow(&self) -> Result<()> {
        let Overflow::BlockFor(wait) = self.overflow else { return Ok(()) };
        let remedy = "wait more than zero and at most 1 hour, or use DropNewest or Block";
        require(!wait.is_zero() && wait <= HOUR, "overflow", format_args!("BlockFor({wait:?})"), remedy)
    }

    fn check_recorder(&self, largest_ring: usize) -> Result<()> {
        let bytes = self.flight_recorder;
        if bytes > 0 {
            check_power_of_two("flight_recorder", bytes, RING_BYTES_MIN, ", or 0 for none")?;
            check_carries("flight_recorder", bytes, self.message_bytes_max)?;
            let left = self.rings_bytes_max - largest_ring;
            let remedy =
                format!("rings_bytes_max leaves {} beside one ring; use at most that, or raise it", size(left));
            require(bytes <= left, "flight_recorder", size(bytes), remedy)?;
        }
        let level = self.flight_recorder_level;
        let remedy = "use a level that records have, or leave flight_recorder out for no recorder";
        require(level != Level::Off, "flight_recorder_level", level, remedy)?;
        require(self.snapshots_max > 0, "snapshots_max", 0, "use at least 1")?;
        let every = self.snapshot_every.unwrap_or(AGE_MIN);
        require(every >= AGE_MIN, "snapshot_every", format_args!("{every:?}"), "use at least 1 s, or leave it out")?;
        let asked = [
            ("snapshot_on", self.snapshot_on.is_some()),
            ("snapshot_on_panic", self.snapshot_on_panic),
            ("snapshot_every", self.snapshot_every.is_some()),
        ];
        let remedy =
            "there is no flight recorder to take one of; set flight_recorder too, such as 64 KiB, or leave it out";
        asked.into_iter().try_for_each(|(setting, is_set)| require(bytes > 0 || !is_set, setting, "set", remedy))
    }

    fn check_segments(&self) -> Result<()> {
        self.check_segment("segment_bytes", self.segment_bytes)?;
        self.first_segment_bytes.map_or(Ok(()), |bytes| self.check_segment("first_segment_bytes", bytes))
    }

    fn check_segment(&self, setting: &'static str, bytes: u64) -> Result<()> {
        let (smallest, grid) = (self.smallest_segment(), size(GRID_BYTES));
        let remedy = format!("a segment holds a header of {grid} and a block; use at least {}", Size(smallest));
        require(bytes >= smallest, setting, Size(bytes), remedy)?;
        let remedy = format!("use at most {}", Size(SEGMENT_BYTES_MAX));
        require(bytes <= SEGMENT_BYTES_MAX, setting, Size(bytes), remedy)?;
        let next = bytes.next_multiple_of(GRID_BYTES as u64);
        require(bytes == next, setting, Size(bytes), format!("use a multiple of {grid}, such as {}", Size(next)))
    }

    fn smallest_segment(&self) -> u64 {
        (GRID_BYTES + self.block_bytes) as u64
    }

    /// Checks when segments end and when they are removed. At least one segment is always kept.
    fn check_retention(&self) -> Result<()> {
        for (setting, age) in [("rotate_after", self.rotate_after), ("retain_for", self.retain_for)] {
            let age = age.unwrap_or(AGE_MIN);
            require(age >= AGE_MIN, setting, format_args!("{age:?}"), "use at least 1 s, or leave it out")?;
        }
        let is_possible = cfg!(all(feature = "signals", target_os = "linux", not(diolog_portable)));
        let remedy = "it needs diolog's feature signals, and Linux; leave it out";
        require(is_possible || !self.rotate_on_hangup, "rotate_on_hangup", self.rotate_on_hangup, remedy)?;
        let (segment, bytes) = (self.segment_bytes, self.retain_bytes.unwrap_or(u64::MAX));
        let remedy = format!(
            "a segment takes up to segment_bytes, {}; use at least that, or smaller segment_bytes",
            Size(segment)
        );
        require(bytes >= segment, "retain_bytes", Size(bytes), remedy)?;
        let remedy = "use at least 1, the present segment, or leave it out to keep all";
        require(self.retain_segments != Some(0), "retain_segments", 0, remedy)
    }
}

/// The longest message that a ring of `ring_bytes` carries. With its head it takes at most half the ring. So it fits at
/// any position, and the writer can copy one while the next is appended.
const fn message_bytes_in_ring(ring_bytes: usize) -> usize {
    // Half a ring and the head are multiples of 8, so the padding needs no rounding.
    (ring_bytes / 2).saturating_sub(RING_RECORD_HEAD_BYTES)
}

/// The smallest ring that carries messages of `message_bytes`.
fn ring_bytes_for(message_bytes: usize) -> usize {
    (2 * (RING_RECORD_HEAD_BYTES + padded(message_bytes))).next_power_of_two().max(RING_BYTES_MIN)
}

/// Bytes of a block that a message cannot use, besides the eighth for a callsite's definition: the headers of the
/// block, of three shards and of the message, and the producer's row.
const BYTES_BESIDE_MESSAGE: usize = BLOCK_HEADER_BYTES
    + 3 * SHARD_HEADER_BYTES
    + RECORD_HEADER_BYTES
    + padded(ProducerRow::BYTES_MAX)
    + RECORD_HEADER_BYTES;

/// The longest message that a block of `block_bytes` carries. A record never spans blocks, and every block can be
/// decoded alone. So a block with a single record also holds its producer's row and its callsite's definition.
const fn message_bytes_in_block(block_bytes: usize) -> usize {
    // All of these are multiples of 8, so the padding needs no rounding.
    block_bytes.saturating_sub(BYTES_BESIDE_MESSAGE + definition_bytes_max(block_bytes))
}

/// The smallest block that carries messages of `message_bytes`.
fn block_bytes_for(message_bytes: usize) -> usize {
    let mut block_bytes = (padded(message_bytes) + BYTES_BESIDE_MESSAGE).next_multiple_of(GRID_BYTES);
    while message_bytes_in_block(block_bytes) < message_bytes {
        block_bytes += GRID_BYTES;
    }
    block_bytes
}

const _: () = assert!(message_bytes_in_ring(RING_BYTES_MIN) > 0 && message_bytes_in_block(GRID_BYTES) > 0);
const _: () = assert!(message_bytes_in_ring(RING_BYTES_MIN).is_multiple_of(8));
const _: () = assert!(message_bytes_in_block(GRID_BYTES).is_multiple_of(8));

fn check_ring(setting: &'static str, bytes: usize) -> Result<()> {
    check_power_of_two(setting, bytes, RING_BYTES_MIN, "")
}

/// Whether a ring may have so many bytes, at least `min`. `or` ends the remedy.
fn check_power_of_two(setting: &'static str, bytes: usize, min: usize, or: &str) -> Result<()> {
    let next = bytes.clamp(min, RING_BYTES_MAX).next_power_of_two();
    let [min, max, such_as] = [min, RING_BYTES_MAX, next].map(size);
    let remedy = format!("use a power of two from {min} to {max}, such as {such_as}{or}");
    require(bytes == next, setting, size(bytes), remedy)
}

/// Checks that a ring carries a `message_bytes_max` that was set.
fn check_carries(setting: &'static str, ring_bytes: usize, message_bytes_max: Option<usize>) -> Result<()> {
    let needed = message_bytes_max.map_or(0, ring_bytes_for);
    let remedy =
        format!("a message of message_bytes_max must fit half of it; use {}, or lower message_bytes_max", size(needed));
    require(ring_bytes >= needed, setting, size(ring_bytes), remedy)
}

fn check_reserve(bytes: usize) -> Result<()> {
    match bytes {
        0 => Ok(()),
        _ => check_power_of_two("reserve_bytes", bytes, RESERVE_BYTES_MIN, ", or 0 for none"),
    }
}

/// Checks that rings can be there, without a look at the file system.
pub(super) fn check_ring_memory(memory: &RingMemory) -> Result<()> {
    let RingMemory::Shared(path) = memory else { return Ok(()) };
    let is_possible = cfg!(all(target_os = "linux", not(any(diolog_portable, loom))));
    require(is_possible, "ring_memory", path.display(), "shared rings need Linux; use RingMemory::Private")?;
    require(!path.as_os_str().is_empty(), "ring_memory", "empty", "name a directory for the rings")
}

/// Refuses a path that no system call takes. The message shows its beginning, with escapes.
fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    require(!bytes.is_empty(), "path", "empty", "name the log's directory")?;
    let text = path.to_string_lossy();
    let begin: String = text.chars().take(PATH_SHOWN_CHARACTERS).collect();
    let rest = if begin.len() < text.len() { "…" } else { "" };
    let shown = format!("{begin:?}{rest}, {} long", counted(bytes.len() as u64, "byte"));
    require(
        !bytes.contains(&0),
        "path",
        &shown,
        "it has a NUL character (\\0), which no file name has: leave that out",
    )?;
    require(bytes.len() <= PATH_BYTES_MAX, "path", &shown, format!("use a path of at most {PATH_BYTES_MAX} bytes"))?;
    let longest = path.iter().map(|name| name.len()).max().unwrap_or(0);
    let remedy = format!("use directory names of at most {FILE_NAME_BYTES_MAX} bytes each");
    require(longest <= FILE_NAME_BYTES_MAX, "path", shown, remedy)
}

fn check_block(bytes: usize) -> Result<()> {
    let next = bytes.clamp(GRID_BYTES, BLOCK_BYTES_MAX).next_multiple_of(GRID_BYTES);
    let [grid, max, such_as] = [GRID_BYTES, BLOCK_BYTES_MAX, next].map(size);
    let remedy = format!("use a multiple of {grid} from {grid} to {max}, such as {such_as}");
    require(bytes == next, "block_bytes", size(bytes), remedy)
}

/// Checks that the ring and the block carry a `message_bytes_max` that was set.
fn check_message(bytes: usize, ring_bytes: usize, block_bytes: usize) -> Result<()> {
    let (in_ring, in_block) = (message_bytes_in_ring(ring_bytes), message_bytes_in_block(block_bytes));
    let (largest_ring, largest_block) =
        (message_bytes_in_ring(RING_BYTES_MAX), message_bytes_in_block(BLOCK_BYTES_MAX));
    let remedy = if bytes == 0 {
        "use at least 1".to_owned()
    } else if bytes > largest_ring.min(largest_block) {
        format!("use at most {}: a record never spans blocks", size(largest_ring.min(largest_block)))
    } else if bytes > in_ring {
        let [has, holds, needed] = [ring_bytes, in_ring, ring_bytes_for(bytes)].map(size);
        format!("half a ring_bytes of {has} holds {holds}; use at most that, or a ring_bytes of {needed}")
    } else if bytes > in_block {
        let [has, holds, needed] = [block_bytes, in_block, block_bytes_for(bytes)].map(size);
        format!("a block_bytes of {has} holds {holds}; use at most that, or a block_bytes of {needed}")
    } else {
        return Ok(());
    };
    Err(Error::invalid("message_bytes_max", size(bytes), remedy))
}

/// Whether files may have this mode. One whose digits in decimal are a valid mode in octal was meant as such.
fn check_file_mode(mode: u32) -> Result<()> {
    let is_valid = |mode: u32| mode & 0o600 == 0o600 && mode & !0o666 == 0;
    let meant = u32::from_str_radix(&mode.to_string(), 8).ok().filter(|&meant| is_valid(meant));
    let (value, remedy) = match meant {
        Some(meant) => (format!("{mode}, which is {mode:#o} in octal"), format!("did you mean {meant:#o}?")),
        None => {
            let remedy = "use 0o600, 0o640, 0o644, 0o660 or another one of reading and writing, both for the owner";
            (format!("{mode:#o}"), remedy.to_owned())
        }
    };
    require(is_valid(mode), "file_mode", value, remedy)
}

/// The configured levels, or those in `DIOLOG_LEVEL` if it is set and not empty.
fn resolve_levels(configured: Levels, variable: Option<&OsStr>) -> Result<Levels> {
    if let Some((text, error)) = configured.fault() {
        return Err(Error::invalid("level", format_args!("{text:?}"), error.to_string()));
    }
    let Some(text) = variable.filter(|text| !text.is_empty()) else { return Ok(configured) };
    // Text that is not Unicode is not a level, and is refused as such.
    let levels: std::result::Result<Levels, _> = text.to_string_lossy().parse();
    match levels {
        Ok(levels) => Ok(levels.over(&configured)),
        Err(error) => Err(Error::invalid(LEVEL_VARIABLE, format_args!("{text:?}"), format!("{error}; or unset it"))),
    }
}

fn size(bytes: usize) -> Size {
    Size(bytes as u64)
}

/// Refuses `setting` unless `holds`.
fn require(holds: bool, setting: &'static str, value: impl Display, remedy: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(setting, value, remedy)) }
}

#[cfg(test)]
mod tests;
