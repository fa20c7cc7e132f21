//! What a log is opened with: one plain value, set by chained calls, checked as a whole when the log is opened.
//!
//! Nothing here opens, allocates or asks the machine: whether a core exists or a directory can be made is found out by
//! [`Logger::open`](crate::Logger::open). It is not a registry either: a running log keeps what it was opened with.

mod check;
#[cfg(feature = "serde")]
mod from_toml;

use std::path::PathBuf;
use std::time::Duration;

use crate::device::DevicePreference;
use crate::level::Level;

pub(crate) use check::Validated;

/// What a producer does when its ring is full.
///
/// Whatever is lost is counted, for each producer and by cause, in the stats and in the log itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The new record is lost; the caller goes on at once. The default: it never makes the service wait.
    #[default]
    DropNewest,
    /// The caller waits until there is room. Loses nothing while the device works, and stalls with it.
    ///
    /// As long as the log's [`State`](crate::State) is `Failed`, and once the logger is closed, the wait ends and the record
    /// is lost, and counted.
    Block,
    /// The caller waits at most this long for room, then the new record is lost. More than zero, at most an hour.
    BlockFor(Duration),
    /// The oldest records that the writer has not copied yet are lost: the last ones before a crash are what counts.
    ///
    /// Not crash-safe: the space of a record is free once it is copied, before it is durable.
    OverwriteOldest,
}

/// What a log is opened with. Everything but the path has a default.
///
/// Setters take and give back the value, so that they chain. Nothing is checked until
/// [`Logger::open`](crate::Logger::open), which checks all of it together and creates nothing if something is wrong.
/// The environment variable `DIOLOG_LEVEL`, where it is set and not empty, overrides [`level`](Config::level).
///
/// With the feature `serde` a configuration can be read from TOML, with the setters' names as keys:
///
/// ```toml
/// path = "/var/log/app/orders"
/// ring_bytes = "1 MiB"            # a plain number is a number of bytes
/// flush_interval = "100 ms"       # a time has a unit
/// overflow = { block-for = "5 ms" } # or "drop-newest", "block", "overwrite-oldest"
/// level = "info"
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a configuration does nothing until a logger is opened with it"]
pub struct Config {
    path: PathBuf,
    ring_bytes: usize,
    thread_ring_bytes: Option<usize>,
    rings_bytes_max: usize,
    message_bytes_max: Option<usize>,
    block_bytes: usize,
    blocks_in_flight: usize,
    flush_interval: Duration,
    segment_bytes: u64,
    first_segment_bytes: Option<u64>,
    rotate_after: Option<Duration>,
    retain_bytes: Option<u64>,
    retain_segments: Option<u64>,
    retain_for: Option<Duration>,
    level: Level,
    overflow: Overflow,
    writer_core: Option<usize>,
    close_deadline: Duration,
    service: String,
    device: DevicePreference,
}

impl Config {
    /// The defaults, for a log in the directory `path`. It is made at open if it is not there; its parent must be.
    pub fn new(path: impl Into<PathBuf>) -> Config {
        Config {
            path: path.into(),
            // Half of a usual L2 cache: a ring larger than that costs 100 ns and more at p99.
            ring_bytes: 1 << 20,
            thread_ring_bytes: None,
            rings_bytes_max: 256 << 20,
            message_bytes_max: None,
            // Four such blocks in flight reach nine tenths of an NVMe disk's rate; larger ones add latency first.
            block_bytes: 256 << 10,
            blocks_in_flight: 4,
            flush_interval: Duration::from_millis(100),
            segment_bytes: 256 << 20,
            first_segment_bytes: None,
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
        }
    }

    /// The log's directory, in place of the one given to [`new`](Config::new) or in TOML.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Config {
        self.path = path.into();
        self
    }

    /// Bytes of the ring of each [`Producer`](crate::Producer): a power of two from 4 KiB to 1 GiB; 1 MiB by default.
    ///
    /// It is what a thread can append while the disk stalls, or within the 8 ms that the writer may sleep after it has
    /// found little: 1 MiB holds some 12,000 records of 64 bytes. The memory is taken and touched when the producer is
    /// made, from 1 MiB up on huge pages, of which two rings of 1 MiB share one. Too small: records are dropped (or
    /// callers wait) in bursts, and blocks are sealed early, since each is sealed when it holds a quarter of a ring.
    /// Larger than the L2 cache: appending gets slower at the tail.
    pub fn ring_bytes(mut self, bytes: usize) -> Config {
        self.ring_bytes = bytes;
        self
    }

    /// Bytes of the ring that a thread gets by [`Logger::log`](crate::Logger::log): a power of two from 4 KiB to
    /// 1 GiB.
    ///
    /// By default 64 KiB, or what an explicit [`message_bytes_max`](Config::message_bytes_max) needs if that is more.
    /// Smaller than [`ring_bytes`](Config::ring_bytes), because any number of threads may log now and then. Too small:
    /// records are dropped in bursts. Too large: memory for each thread that has ever logged and still lives.
    pub fn thread_ring_bytes(mut self, bytes: usize) -> Config {
        self.thread_ring_bytes = Some(bytes);
        self
    }

    /// Bytes of all rings together, for one engine: at least one ring; 256 MiB by default.
    ///
    /// A producer whose ring would exceed it is refused. It bounds the rings' sizes; as two rings of 1 MiB share a huge
    /// page, a single one takes as much again. Too small: threads that cannot log. Too large: a service that starts
    /// threads without end takes memory without end.
    pub fn rings_bytes_max(mut self, bytes: usize) -> Config {
        self.rings_bytes_max = bytes;
        self
    }

    /// Bytes of the longest message: at least 1, and it must fit half a ring and a block.
    ///
    /// Longer messages are cut to it and flagged as truncated. By default what fits the producer's ring and a block,
    /// at most 64 KiB: in a thread's 64 KiB ring that is somewhat less than 32 KiB. An explicit value holds in every
    /// ring, and may be larger than 64 KiB. Too small: messages are cut. Too large: rings and blocks must be large too.
    pub fn message_bytes_max(mut self, bytes: usize) -> Config {
        self.message_bytes_max = Some(bytes);
        self
    }

    /// Bytes of a block, which is the largest write: a multiple of 4096 from 4 KiB to 16 MiB; 256 KiB by default.
    ///
    /// A block that is sealed early is written only as far as it is filled. Too small: each write costs the disk as
    /// much as a larger one, and the rate falls (4 KiB reaches about a thirtieth of 256 KiB). Too large: a record waits
    /// for the write of all that stands in its block, and the memory is held for each block in flight.
    pub fn block_bytes(mut self, bytes: usize) -> Config {
        self.block_bytes = bytes;
        self
    }

    /// Blocks that may be on their way to the disk at once: 1 to 64; 4 by default.
    ///
    /// Each takes [`block_bytes`](Config::block_bytes) of memory. 1: the disk idles while the next block is handed to
    /// it (below io_uring, 1 is taken as 2). Too many: no more throughput, longer waits for a flush, and a longer window of
    /// unconfirmed blocks to examine after a crash.
    pub fn blocks_in_flight(mut self, blocks: usize) -> Config {
        self.blocks_in_flight = blocks;
        self
    }

    /// The longest that a record waits in memory for its block to fill: 1 ms to 1 hour; 100 ms by default.
    ///
    /// Too short: a slow log writes at least 4 KiB for each interval with a record in it. Too long: more is lost with
    /// the power, and readers of a live log see records later. [`flush`](crate::Logger::flush) does not wait for it.
    pub fn flush_interval(mut self, interval: Duration) -> Config {
        self.flush_interval = interval;
        self
    }

    /// Bytes of a segment file: a multiple of 4096, at least a block and 4096 more, at most 1 TiB; 256 MiB by default.
    ///
    /// Segments start smaller and grow to this size. While the next one is not ready (its zeros are still being written, or
    /// the disk refuses it), blocks go on into the present one, which then becomes larger than this. Too small: many files,
    /// and the work of preparing each. Too large: disk held in advance, and old records leave in larger steps.
    pub fn segment_bytes(mut self, bytes: u64) -> Config {
        self.segment_bytes = bytes;
        self
    }

    /// Bytes of a run's first segment file, with the bounds of [`segment_bytes`](Config::segment_bytes), and never more
    /// than that; 16 MiB by default, or what a block needs if that is more. Each further one is twice the one before, if
    /// that was filled and not left early, up to `segment_bytes`; none takes more than an eighth of the free space.
    ///
    /// Too small: a busy start prepares several small files. Too large: [`open`](crate::Logger::open) waits up to
    /// 100 ms for it to be filled, and a short run holds that much disk until it ends.
    pub fn first_segment_bytes(mut self, bytes: u64) -> Config {
        self.first_segment_bytes = Some(bytes);
        self
    }

    /// How old a segment gets, counted from its first block, before the log goes on in the next: at least 1 s; by
    /// default any age.
    ///
    /// A segment without a block does not age, and one that has grown old ends with the next block: while nothing is
    /// logged, segments do not multiply. See [`rotate`](crate::Logger::rotate) for the moment of the change, and
    /// [`segment_bytes`](Config::segment_bytes) for the size at which a segment ends in any case. Too short: many
    /// files, and the work of preparing each. Too long: nothing is lost by it, [`retain_for`](Config::retain_for) only
    /// has larger steps.
    pub fn rotate_after(mut self, age: Duration) -> Config {
        self.rotate_after = Some(age);
        self
    }

    /// Bytes that the log's segment files may take together, those of earlier runs included: at least
    /// [`segment_bytes`](Config::segment_bytes); without limit by default.
    ///
    /// What counts is the files' size on disk, so the present segment and the one prepared behind it count in full,
    /// used or not. The oldest segments are removed first: before the next file is prepared, and whenever a segment has
    /// been left. The present and the prepared segment are never removed, so the files of a limit below those two take
    /// more than it. Too small: history is short by as much as is held in advance; use four times `segment_bytes` and
    /// more.
    ///
    /// This and the other limits of retention apply together, a segment that exceeds one of them is removed. Only files
    /// that are segments of this log, by name and by content, are ever removed or counted; a segment in the middle of
    /// the log is never removed before those older than it. Removed at open, too, once the run's first block is
    /// durable, and when the disk is full.
    pub fn retain_bytes(mut self, bytes: u64) -> Config {
        self.retain_bytes = Some(bytes);
        self
    }

    /// How many segments are kept, the present one and those of earlier runs included: at least 1; all by default.
    ///
    /// The one prepared behind the present segment does not count, since nothing stands in it yet. With 1 only the
    /// present segment stays. The rest is said at [`retain_bytes`](Config::retain_bytes).
    pub fn retain_segments(mut self, segments: u64) -> Config {
        self.retain_segments = Some(segments);
        self
    }

    /// How long a segment is kept after the last write to it: at least 1 s; for ever by default.
    ///
    /// The last write is the file's time of modification, by the wall clock: a copy made without its times starts anew,
    /// and a clock set back lengthens the time. Looked at once a minute, and when a segment is left. The present
    /// segment stays however old it is: give it an end by [`rotate_after`](Config::rotate_after). The rest is said at
    /// [`retain_bytes`](Config::retain_bytes).
    pub fn retain_for(mut self, age: Duration) -> Config {
        self.retain_for = Some(age);
        self
    }

    /// The least severe level that is logged: `Info` by default. `DIOLOG_LEVEL` in the environment overrides it.
    ///
    /// Records below it cost one relaxed load and are not counted as attempts.
    pub fn level(mut self, level: Level) -> Config {
        self.level = level;
        self
    }

    /// What a producer does when its ring is full: [`Overflow::DropNewest`] by default.
    pub fn overflow(mut self, overflow: Overflow) -> Config {
        self.overflow = overflow;
        self
    }

    /// The CPU, by the kernel's number, to which the writer thread is pinned: not pinned by default.
    ///
    /// A CPU that does not exist, or that the kernel refuses, is an error at open, which lists those that are possible.
    /// A CPU shared with a producer: appending gets slower at the tail. The CPU that takes the disk's interrupts: it
    /// works, since the writer yields while writes are under way.
    pub fn writer_core(mut self, cpu: usize) -> Config {
        self.writer_core = Some(cpu);
        self
    }

    /// How long closing waits for the disk: 0 to 1 day; 5 s by default.
    ///
    /// What is not durable by then is counted, reported, and given up. Too short: records are lost that a slow disk
    /// would have taken. Too long: a service hangs at its end when the disk does.
    pub fn close_deadline(mut self, deadline: Duration) -> Config {
        self.close_deadline = deadline;
        self
    }

    /// The name of the service that logs, kept in every segment: at most 255 bytes; empty by default.
    pub fn service(mut self, name: impl Into<String>) -> Config {
        self.service = name.into();
        self
    }

    /// Which way to the disk is taken, or demanded: the best that works in the log's directory by default.
    ///
    /// Demanding one makes open fail where it cannot be, instead of writing by a slower one.
    pub fn device(mut self, preference: DevicePreference) -> Config {
        self.device = preference;
        self
    }
}
