//! Every setting in one table: name, documentation, type and default. It generates the setters, the getters and the
//! TOML keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::overflow::Overflow;
use super::ring_memory::RingMemory;
#[cfg(feature = "serde")]
use super::words;
use crate::device::DevicePreference;
use crate::level::Level;
use crate::levels::Levels;
use crate::listen::{Listener, Listeners};
use crate::rotate_at::RotateAt;

/// Defines [`Config`] by its settings. Each is written as `setter(argument: type) -> stored type = default;`.
///
/// `read by "words::…"` names the module that reads and writes the value in TOML, if it has a special form. `got as
/// type` makes the getter return a reference to that type; otherwise it returns a copy of the stored value.
macro_rules! config {
    ($(#[$about:meta])* { $(
        $(#[$doc:meta])*
        $name:ident($argument:ident: $given:ty) -> $kept:ty = $default:expr
            $(, read by $words:tt)? $(, got as $got:ty)?;
    )* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[must_use = "a configuration does nothing until a logger is opened with it"]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        #[cfg_attr(feature = "serde", serde(deny_unknown_fields, default = "Config::without_path"))]
        pub struct Config { $(
            $(#[cfg_attr(feature = "serde", serde(with = $words))])?
            pub(crate) $name: $kept,
        )*
            #[cfg_attr(feature = "serde", serde(skip))]
            pub(crate) listeners: Listeners,
        }

        impl Config {
            /// The default settings. The path has no default and is empty.
            fn without_path() -> Config {
                Config { $($name: $default,)* listeners: Listeners::default() }
            }

            $(
                $(#[$doc])*
                pub fn $name(mut self, $argument: $given) -> Config {
                    self.$name = $argument.into();
                    self
                }
            )*
        }

        impl<'a> Settings<'a> {
            $(
                #[doc = concat!("[`", stringify!($name), "`](Config::", stringify!($name), "), as it was set.")]
                #[inline]
                pub fn $name(self) -> config!(@got 'a, $kept $(, $got)?) {
                    config!(@get self.config.$name $(, $got)?)
                }
            )*
        }
    };
    (@got $life:lifetime, $kept:ty) => { $kept };
    (@got $life:lifetime, $kept:ty, $got:ty) => { & $life $got };
    (@get $field:expr) => { $field };
    (@get $field:expr, $got:ty) => { &$field };
}

/// The values of a [`Config`], each under its setter's name.
///
/// A setting that was left out, and whose default follows from others, is `None`.
///
/// ```
/// use diolog::{Config, Level};
///
/// let config = Config::new("/var/log/app/orders").ring_bytes(2 << 20);
/// let settings = config.settings();
/// assert_eq!(settings.path(), "/var/log/app/orders");
/// assert_eq!((settings.ring_bytes(), settings.level().level()), (Some(2 << 20), Level::Info));
/// assert_eq!(settings.retain_bytes(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    config: &'a Config,
}

impl<'a> Settings<'a> {
    /// The [listeners](Config::listener), each with the least severe level that it gets.
    pub fn listeners(self) -> impl ExactSizeIterator<Item = (Level, &'a Arc<dyn Listener>)> {
        self.config.listeners.iter()
    }
}

impl Config {
    /// The default settings, for a log in the directory `path`. [`Logger::open`](crate::Logger::open) creates the
    /// directory if it does not exist; its parent must exist.
    pub fn new(path: impl Into<PathBuf>) -> Config {
        Config::without_path().path(path)
    }

    /// Adds a [`Listener`]. While the log is written, it gets each record of `level` or a more severe one that the log
    /// admits; with [`Level::Off`] it gets none.
    ///
    /// You may add several. A listener that is given to several logs gets the records of all of them, on one thread.
    /// An append of a level that some listener gets takes about 2 ns more: records that are logged on a listener's own
    /// thread are not given to listeners, and each append checks that. Listeners are not part of a configuration that
    /// is written to TOML.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use diolog::{Config, Level, StderrListener};
    ///
    /// let config = Config::new("/var/log/app/orders").listener(Level::Warn, Arc::new(StderrListener::new()));
    /// ```
    pub fn listener(mut self, level: Level, listener: Arc<dyn Listener>) -> Config {
        self.listeners.add(level, listener);
        self
    }

    /// A view of the settings' values. The getters have the same names as the setters, so they are methods of the view.
    pub fn settings(&self) -> Settings<'_> {
        Settings { config: self }
    }
}

config! {
    /// The settings with which a log is opened. All except the path have a default.
    ///
    /// Each setter takes the value and returns it, so that calls can be chained. [`Logger::open`](crate::Logger::open)
    /// checks all settings together: if one is invalid, or does not fit another, it creates nothing and returns
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) with the value and a remedy. The environment variable
    /// `DIOLOG_LEVEL`, if it is set and not empty, overrides [`level`](Config::level).
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("diolog-config-doc-{}", std::process::id()));
    /// use std::time::Duration;
    ///
    /// use diolog::{Config, Level, Logger, Overflow};
    ///
    /// let config = Config::new(&directory)
    ///     .service("orders")
    ///     .ring_bytes(2 << 20) // longer bursts
    ///     .overflow(Overflow::BlockFor(Duration::from_millis(5)))
    ///     .flush_interval(Duration::from_millis(20))
    ///     .retain_bytes(1 << 30) // the oldest segments go
    ///     .level(Level::Debug);
    /// let logger = Logger::open(config)?;
    /// logger.close()?;
    ///
    /// let refusal = Logger::open(Config::new(&directory).ring_bytes(5000)).expect_err("not a power of two");
    /// assert_eq!(
    ///     refusal.to_string(),
    ///     "ring_bytes is 5,000 bytes: use a power of two from 4 KiB to 1 GiB, such as 8 KiB",
    /// );
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With the feature `serde` a configuration can also be read from TOML and written: see `Config::from_toml` and
    /// `Config::to_toml`.
    {
        /// The log's directory. Replaces the one given to [`new`](Config::new) or in TOML.
        path(path: impl Into<PathBuf>) -> PathBuf = PathBuf::new(), got as Path;

        /// Bytes of the ring of each [`Producer`](crate::Producer): a power of two from 4 KiB to 1 GiB; 1 MiB by
        /// default, or 4 MiB under [`Overflow::Block`].
        ///
        /// This is the ring's *window*, which the producer uses while the writer keeps up. It holds the records that a
        /// thread appends while the writer sleeps, for up to 10 ms (40 ms if it serves hundreds of logs): 1 MiB holds
        /// some 12,000 records of 64 bytes. Longer bursts continue in the reserve, at some ten nanoseconds more for
        /// each record: see [`reserve_bytes`](Config::reserve_bytes). The memory is allocated and faulted in when the
        /// producer is made. From 1 MiB up it consists of huge pages; two windows of 1 MiB share one.
        ///
        /// Too small: bursts soon leave the window (or make callers wait), and blocks are sealed early, because a block
        /// is sealed when it holds a quarter of the window. Larger than the L2 cache: the tail latency of appends
        /// grows.
        ///
        /// Under [`Overflow::Block`] there is no reserve, and a producer should not have to wait for each block to
        /// reach the disk. So the default is larger than all blocks in flight. When all rings together take a quarter
        /// of [`rings_bytes_max`](Config::rings_bytes_max), the default is 1 MiB there too.
        // Half of a usual L2 cache: a ring larger than that costs 100 ns and more at p99.
        ring_bytes(bytes: usize) -> Option<usize> = None, read by "words::some_bytes";

        /// Bytes of the ring that [`Logger::log`](crate::Logger::log) makes for a thread: a power of two from 4 KiB to
        /// 1 GiB.
        ///
        /// By default 64 KiB, or enough for a [`message_bytes_max`](Config::message_bytes_max) that was set if that is
        /// more. It is smaller than [`ring_bytes`](Config::ring_bytes), because any number of threads may log now and
        /// then. Too small: bursts soon continue in the reserve, or make callers wait. Too large: each live thread that
        /// has ever logged takes this memory.
        thread_ring_bytes(bytes: usize) -> Option<usize> = None, read by "words::some_bytes";

        /// Bytes of each ring's reserve: a power of two from 64 KiB to 1 GiB, or 0 for none; 16 MiB by default.
        ///
        /// The reserve is the part of a ring that a producer uses while its window is full: in a burst, or while the
        /// disk stalls. 16 MiB hold some 190,000 records of 64 bytes. Only the policies that drop the newest record use
        /// it: [`DropNewest`](Overflow::DropNewest) and [`BlockFor`](Overflow::BlockFor).
        ///
        /// It begins as address space only. It takes memory in chunks of 64 KiB when records enter it, and gives the
        /// memory back after it has been empty for a quarter of a second. The memory counts in
        /// [`rings_bytes_max`](Config::rings_bytes_max). If the system refuses address space, rings have no reserve,
        /// and [`RingMemoryStats::without_reserve`](crate::RingMemoryStats::without_reserve) says why. If this
        /// process's address space is limited, reserves take at most an eighth of it.
        ///
        /// Too small: bursts drop records. Too large: a long stall of the disk costs memory before records are dropped.
        reserve_bytes(bytes: usize) -> usize = 16 << 20, read by "words::bytes";

        /// Eighths of each ring's room that only records of level Warn and above may take: 0 to 4; 1 by default.
        ///
        /// These records are called severe. A ring that is full of others still takes the few that say what went wrong.
        /// The kept room is the end of the reserve and of [`rings_bytes_max`](Config::rings_bytes_max). If there is no
        /// reserve, or no memory left for it, it is the end of the window. An empty ring takes any record. The policies
        /// [`Block`](Overflow::Block) and [`OverwriteOldest`](Overflow::OverwriteOldest) keep no room. 0: a full ring
        /// drops warnings and errors like any other record. Too many: ordinary records are dropped early.
        severe_only_eighths(eighths: u32) -> u32 = 1;

        /// Bytes of memory for all rings of the log together: at least one ring; 256 MiB by default.
        ///
        /// Windows count in full, reserves only as far as records have reached. Beyond the limit:
        ///
        /// - A producer is refused if its window would exceed it.
        /// - A thread that logs through the [`Logger`](crate::Logger) shares one more ring, of
        ///   [`thread_ring_bytes`](Config::thread_ring_bytes), with all other threads that have none.
        /// - A record that needs a new chunk of a reserve is dropped, and counted as
        ///   [`RingMemory`](crate::LossCause::RingMemory).
        ///
        /// In a control group with a memory limit, the rings take at most a quarter of it, so that the kernel does not
        /// kill the process in a burst. [`Stats::ring_memory`](crate::Stats::ring_memory) shows the limit in effect.
        /// Two windows of 1 MiB share a huge page, so a single one occupies twice its size.
        ///
        /// Too small: threads share a ring, and bursts are dropped. Too large: a service that keeps starting threads
        /// keeps taking memory.
        rings_bytes_max(bytes: usize) -> usize = 256 << 20, read by "words::bytes";

        /// Where the rings are: in [memory of the process](RingMemory::Private) by default, or in a
        /// [file that outlives it](RingMemory::Shared).
        ///
        /// Choose [`RingMemory::shared`] for a process that may be killed, crash or abort, and whose last records must
        /// survive because they explain why. Each accepted record then survives the process, and the next open of the
        /// log, or `diolog recover`, writes the records that are not in the log yet. So with a longer
        /// [`flush_interval`](Config::flush_interval), a crash of the process does not lose more. When the machine
        /// crashes or loses power, the rings are lost, and with them all records that are not durable: use
        /// [`flush`](crate::Logger::flush) against that.
        ///
        /// Records in a ring have no checksum, because an append would have to compute it. If a process writes through
        /// a stray pointer before it dies, it can change the bytes of a record, and recovery writes them to the log.
        /// Impossible positions, lengths and sequence numbers are detected, and reported as damage.
        ///
        /// If the directory is missing, it is created for this user only; its parent must exist. A directory that
        /// belongs to somebody else, that others may change, or that is a symbolic link, is refused. The file in it
        /// exists while the log is open, and is removed at a clean end; so is the file `….rings` in the log's
        /// directory, which names it. After an end that is not clean, both stay until the log is recovered. In a
        /// container, only a volume keeps them. The next open with this directory removes files that no log needs any
        /// more, also after a restart of the machine. If a log's directory was removed before its recovery, the file
        /// stays until the machine is restarted, since what it holds was accepted.
        ///
        /// Opening the log, and `diolog recover`, wait up to 5 s for a write of the dead process that is still in
        /// progress: the kernel keeps the locks on its segments that long. A forked child that has not closed the
        /// segments keeps the locks too, and the two cases look the same: until the child ends, each open waits 5 s,
        /// and leaves the rings as they are. Both also wait up to 2 s for the ring file while another log's rings are
        /// recovered from it. They wait no longer than 5 s in all, however many runs there are to recover. If the
        /// engine that made the file still runs with other logs, nobody waits: the rings are recovered after it has
        /// ended.
        ///
        /// If the directory is on tmpfs, appends take as long as in private memory. On another file system, the system
        /// writes the file to the disk from time to time, and an append may wait for that:
        /// [`Stats::ring_memory`](crate::Stats::ring_memory) says where it is. All memory of a ring is allocated before
        /// it is used. So if the tmpfs is full, producers are refused and records that need a reserve are dropped; both
        /// are counted. An append that enters the reserve makes one system call for each 64 KiB. The rings use small
        /// pages, and each has its own mapping: raise `vm.max_map_count` for more than some ten thousand producers.
        /// Shared rings need Linux.
        ///
        /// systemd removes the files of an ordinary user in `/dev/shm` when that user logs out, unless `RemoveIPC=no`
        /// is set: [`RingMemoryStats::place`](crate::RingMemoryStats::place) says if somebody has deleted the file.
        ring_memory(memory: RingMemory) -> RingMemory = RingMemory::Private, read by "words::ring_memory",
            got as RingMemory;

        /// Bytes of the longest message: at least 1, and it must fit half a ring and a block.
        ///
        /// Longer messages are cut and flagged as truncated. In a structured record, the texts are cut, the last ones
        /// first. By default it is the longest message that fits the producer's ring and a block, at most 64 KiB; in a
        /// thread's 64 KiB ring that is a little less than 32 KiB. A value that is set applies to every ring, and may
        /// exceed 64 KiB. Too small: messages are cut. Too large: rings and blocks must be large too.
        message_bytes_max(bytes: usize) -> Option<usize> = None, read by "words::some_bytes";

        /// Bytes of a block, the largest write: a multiple of 4096 from 4 KiB to 16 MiB; 512 KiB by default.
        ///
        /// A block that is sealed early is written only as far as it is filled. Too small: a write costs the disk as
        /// much as a larger one, and the rate falls (blocks of 4 KiB reach about a thirtieth of the rate of 512 KiB).
        /// Too large: a record waits until its whole block is written, and each block in flight takes this much memory.
        // Measured by `sustained` with 4 producers, against rings of 4 MiB and blocks of 1 MiB: with eight blocks in
        // flight 512 KiB reach 0.96 of that rate, 256 KiB 0.77. Larger ones add latency first.
        block_bytes(bytes: usize) -> usize = 512 << 10, read by "words::bytes";

        /// Whether records with fields, which the macros log, are packed in blocks: yes by default.
        ///
        /// In a packed record, an integer takes as few bytes as it needs, and a time is stored as the difference from
        /// the one before. Level and types are stored only in the callsite's definition. So two integers and a price
        /// take some 14 bytes instead of 48. The writer thread packs, which costs it some 3 ns more for each record; an
        /// append costs the same either way. Messages are not packed, except those right after a packed record of the
        /// same producer. Readers read both forms. Off: a value takes as many bytes as in memory, and each record takes
        /// 16 more, and is padded to a multiple of 8.
        packing(pack: bool) -> bool = true;

        /// Blocks that may be on their way to the disk at once: 1 to 64; 8 by default.
        ///
        /// Each takes [`block_bytes`](Config::block_bytes) of memory. 1: the disk idles until the next block is
        /// submitted (without io_uring, 1 counts as 2). Too many: no more throughput, longer waits for a flush, and
        /// more unconfirmed blocks after a crash.
        // Measured as for `block_bytes`: 4 reach 0.87 of that rate.
        blocks_in_flight(blocks: usize) -> usize = 8;

        /// The longest time that a record waits in memory for its block to fill: 1 ms to 1 hour; 100 ms by default.
        ///
        /// Too short: a log with a low rate writes at least 4 KiB for each interval that has a record. Too long: a
        /// power cut loses more, and so does a crash of the process unless rings are [shared](Config::ring_memory);
        /// readers of a live log see records later. [`flush`](crate::Logger::flush) does not wait for it.
        flush_interval(interval: Duration) -> Duration = Duration::from_millis(100), read by "words::time";

        /// Records of this level, and of more severe ones, ask for a flush. None by default.
        ///
        /// Such a record is on its way to the disk about a millisecond after its append, together with everything
        /// accepted before it, however long [`flush_interval`](Config::flush_interval) is. The append does not wait,
        /// and makes no system call. It costs some nanoseconds more; appends of less severe records cost the same.
        /// Records that come during one such flush share the next. The price: an idle writer wakes a thousand times a
        /// second instead of a hundred, and takes two to five times the CPU time. Too verbose a level: small blocks, as
        /// many as the disk can write. Only [`flush`](crate::Logger::flush) tells when records are durable.
        flush_on(level: Level) -> Option<Level> = None;

        /// Bytes of a segment file: a multiple of 4096, at least a block and 4096 more, at most 1 TiB; 256 MiB by
        /// default.
        ///
        /// The first segments are smaller and grow to this size. If the next one is not prepared yet (its zeros are
        /// still being written, or the disk refuses it), the writer continues in the present one, which then exceeds
        /// this size. Too small: many files, and the work of preparing each. Too large: disk space is reserved long
        /// before its use, and retention removes old records in larger steps.
        segment_bytes(bytes: u64) -> u64 = 256 << 20, read by "words::bytes";

        /// Bytes of a run's first segment file, with the bounds of [`segment_bytes`](Config::segment_bytes), and never
        /// more than that; by default 16 MiB, or enough for a block if that is more.
        ///
        /// If a segment was filled, and did not end early, the next one has twice its size, up to `segment_bytes`. No
        /// segment takes more than an eighth of the free space. Too small: a busy start prepares several small files.
        /// Too large: [`open`](crate::Logger::open) waits up to 100 ms for it to be filled with zeros, and a short run
        /// occupies that much of the disk until it ends.
        first_segment_bytes(bytes: u64) -> Option<u64> = None, read by "words::some_bytes";

        /// The age, counted from its first block, at which a segment ends and the next begins: at least 1 s; without
        /// limit by default.
        ///
        /// A segment without a block does not age. An old one ends only when the next block comes, so while nothing is
        /// logged, no segments begin. See [`rotate`](crate::Logger::rotate) for the moment of the change, and
        /// [`segment_bytes`](Config::segment_bytes) for the size at which a segment ends in any case. Too short: many
        /// files, and the work of preparing each. Too long: [`retain_for`](Config::retain_for) works in larger steps.
        rotate_after(age: Duration) -> Option<Duration> = None, read by "words::some_time";

        /// The times of the wall clock at which a segment ends and the next begins, such as [`RotateAt::Daily`]: never
        /// by default. [`rotate_after`](Config::rotate_after) and [`segment_bytes`](Config::segment_bytes) apply too:
        /// whichever comes first ends a segment.
        ///
        /// At such a time, the next file is prepared, which takes a moment. The next block after that is the new
        /// segment's first. So a segment may begin with records from right before the time, and end with some from
        /// right after it. While nothing is logged, no segments begin. If the clock is set forward past several times,
        /// one segment ends. If it is set back, the segment ends at the next time by the new clock. After a small
        /// correction it ends at its original time.
        rotate_at(at: RotateAt) -> Option<RotateAt> = None, read by "words::some_rotate_at";

        /// Whether SIGHUP makes the log begin the next segment, as [`rotate`](crate::Logger::rotate) does: no by
        /// default.
        ///
        /// After a log was opened with it, SIGHUP never ends the process again, not even after that log is closed, nor
        /// with `drain_on_signals`. If the program handles SIGHUP itself, or ignores it (as `nohup` does), open changes
        /// nothing. In a forked child the signal has its default effect. This needs the feature `signals` and Linux;
        /// without them open refuses it.
        rotate_on_hangup(rotate: bool) -> bool = false;

        /// Bytes that the log's segment files may take together, including those of earlier runs: at least
        /// [`segment_bytes`](Config::segment_bytes); no limit by default.
        ///
        /// The sizes of the files count. So the present segment and the prepared one count in full, used or not. The
        /// oldest segments are removed first: before the next file is prepared, and whenever a segment ends. The
        /// present and the prepared segment are never removed, so a limit below these two is exceeded. Too small: the
        /// reserved space takes a large part of the limit, and leaves little for older records; use four times
        /// `segment_bytes` or more.
        ///
        /// All limits of retention apply together: a segment that exceeds one of them is removed. Retention counts and
        /// removes only files that are segments of this log, by name and by content, and removes a segment only after
        /// all older ones. It also applies the limits at open, when the run's first block is durable, and when the disk
        /// is full.
        retain_bytes(bytes: u64) -> Option<u64> = None, read by "words::some_bytes";

        /// How many segments are kept, including the present one and those of earlier runs: at least 1; all by default.
        ///
        /// The prepared segment does not count, because it holds nothing yet. With 1, only the present segment is kept.
        /// [`retain_bytes`](Config::retain_bytes) says which ones are removed, and when.
        retain_segments(segments: u64) -> Option<u64> = None;

        /// How long a segment is kept after the last write to it: at least 1 s; for ever by default.
        ///
        /// The time of the last write is the file's modification time, by the wall clock. For a copy without its
        /// original times, the time starts again; and a clock that is set back lengthens the time.
        ///
        /// A clock that is ahead does not empty the log. A pause before open that is longer than this setting and
        /// longer than a day does not count, and a note in the log says so. A step of the clock by more than a day
        /// while the log is open does not count either. So a log that was closed for long keeps its segments for up to
        /// this time more.
        ///
        /// The age is checked once a minute, and when a segment ends. The present segment is kept however old it is:
        /// limit its age by [`rotate_after`](Config::rotate_after). [`retain_bytes`](Config::retain_bytes) says which
        /// segments are removed.
        retain_for(age: Duration) -> Option<Duration> = None, read by "words::some_time";

        /// The least severe level that is logged, in general and for single targets: `Info` by default. `DIOLOG_LEVEL`
        /// in the environment overrides it.
        ///
        /// It is a [`Level`], or directives as text, such as `"info,my_service::net=debug,hyper=off"`: see [`Levels`].
        /// `DIOLOG_LEVEL` and TOML take both too. If the variable names only targets, the threshold for all other
        /// records is the one set here.
        ///
        /// With [`Level::Off`] nothing is logged until [`set_level`](crate::Logger::set_level) changes that. A record
        /// that is less severe than the level costs one relaxed load, and does not count as an attempt. If targets have
        /// thresholds, records of the macros cost three loads more.
        level(level: impl Into<Levels>) -> Levels = Levels::from(Level::Info), got as Levels;

        /// Bytes of memory in which each thread keeps its most recent records that [`level`](Config::level) does not
        /// admit: a power of two from 4 KiB to 1 GiB, or 0 for no flight recorder; 0 by default.
        ///
        /// Such records go to no file until a *snapshot* is taken. A snapshot writes the records that all threads have
        /// kept. [`Logger::snapshot`](crate::Logger::snapshot) takes one. One is also taken after an error with
        /// [`snapshot_on`](Config::snapshot_on), at a panic with [`snapshot_on_panic`](Config::snapshot_on_panic), and
        /// at intervals with [`snapshot_every`](Config::snapshot_every). So a service can log at `Info`, and still see
        /// the `Debug` and `Trace` records that led to an error. 64 KiB hold some 700 records of 64 bytes.
        ///
        /// **Memory.** A producer gets this ring with its first such record. The ring counts in
        /// [`rings_bytes_max`](Config::rings_bytes_max), and overwrites its oldest records when it is full. If there is
        /// no memory for it, its records are not kept, but counted in [`Stats::recorder`](crate::Stats::recorder).
        /// Threads that log through the common ring ([`Logger::log`](crate::Logger::log)) share one such ring. When a
        /// thread ends, its ring stays until the next snapshot, as long as all such rings together take at most a
        /// quarter of `rings_bytes_max`. Meanwhile, bursts cannot use their memory.
        ///
        /// **Cost.** A record that the recorder takes is [`Outcome::Recorded`](crate::Outcome::Recorded). It takes the
        /// slow path, so it costs more than one that the log takes. All other records cost the same as without a
        /// recorder. A producer's first recorded record takes locks and allocates: log one before signal handlers can
        /// run, or before the thread has deadlines.
        ///
        /// **Crash.** With shared rings ([`ring_memory`](Config::ring_memory)), the next open of the log writes the
        /// recorder's records of a dead process to a snapshot.
        ///
        /// Too small: a snapshot goes back only a few milliseconds. Too large: memory for each thread.
        ///
        /// ```
        /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// # let directory = tempfile::tempdir()?;
        /// # let path = directory.path().join("log");
        /// use diolog::{Config, Logger, Outcome, Reader, debug, info};
        ///
        /// let logger = Logger::open(Config::new(&path).flight_recorder(64 << 10))?;
        /// assert_eq!(info!(logger, "order {id} came", id = 42), Outcome::Written);
        /// assert_eq!(debug!(logger, "price {price}", price = 17.3), Outcome::Recorded);
        /// let snapshot = logger.snapshot("no fill")?;
        /// logger.close()?;
        ///
        /// let record = Reader::open(snapshot)?.next().ok_or("no record")??;
        /// assert_eq!(record.message(), b"price 17.3");
        /// # Ok(())
        /// # }
        /// ```
        flight_recorder(bytes: usize) -> usize = 0, read by "words::bytes";

        /// The least severe level that the flight recorder keeps, whatever the target is: `Trace` by default.
        ///
        /// Records that the log's levels admit go to the log, and not to the recorder. Too verbose: a snapshot goes
        /// back less far.
        flight_recorder_level(level: Level) -> Level = Level::Trace;

        /// Records of this level, and of more severe ones, ask for a snapshot. None by default.
        ///
        /// The append only sets a flag. Within some ten milliseconds the thread `diolog-segments` takes the snapshot,
        /// whose name has the level as its reason. So it also holds the records right after this one. At most one a
        /// second is taken; a record that comes sooner gets its snapshot later, or at close. None is taken if the
        /// recorder holds nothing new. Records of these levels cost some nanoseconds more. This needs a
        /// [`flight_recorder`](Config::flight_recorder). Too verbose: a snapshot each second, and with the default
        /// [`snapshots_max`](Config::snapshots_max) the first ones of a crisis are removed after two minutes.
        snapshot_on(level: Level) -> Option<Level> = None;

        /// Whether a panic of any thread of the process takes a snapshot: no by default.
        ///
        /// Opening such a log installs a panic hook, which first calls the previous hook. The thread that panics then
        /// waits for the snapshots of all such logs, for at most 100 ms, or the limit given to
        /// [`flush_on_panic_within`](crate::flush_on_panic_within). A panic less than a second after one that waited
        /// takes none. This needs a [`flight_recorder`](Config::flight_recorder).
        snapshot_on_panic(take: bool) -> bool = false;

        /// The interval of periodic snapshots: at least 1 s; none by default. It begins with each snapshot, except
        /// those of [`Logger::snapshot`](crate::Logger::snapshot).
        ///
        /// None is taken if the recorder holds nothing new, nor when the log is closed. This needs a
        /// [`flight_recorder`](Config::flight_recorder). Too short: files that nobody reads; a more verbose
        /// [`level`](Config::level) may be better. Too long: threads overwrite records in between.
        snapshot_every(interval: Duration) -> Option<Duration> = None, read by "words::some_time";

        /// How many snapshots are kept, the newest ones: at least 1; 100 by default.
        ///
        /// Each takes about [`flight_recorder`](Config::flight_recorder) bytes for each thread, including threads that
        /// have ended since the last snapshot. After a failed write it takes up to twice that. Too few: the one that
        /// matters may be removed before somebody looks. Too many: disk space.
        snapshots_max(snapshots: u64) -> u64 = 100;

        /// How a producer handles a full ring: [`Overflow::DropNewest`] by default.
        overflow(overflow: Overflow) -> Overflow = Overflow::DropNewest, read by "words::overflow";

        /// The CPU, by the kernel's number, to which the writer thread is pinned: not pinned by default.
        ///
        /// If the CPU does not exist or the kernel refuses it, open fails and lists the possible ones. On a CPU that it
        /// shares with a producer, the writer adds to the tail latency of appends. The CPU that serves the disk's
        /// interrupts works well, because the writer yields while writes are in flight.
        writer_core(cpu: usize) -> Option<usize> = None;

        /// How long `close` waits for the disk: 0 to 1 day; 5 s by default.
        ///
        /// Records that are not durable by then are given up, counted and reported. Too short: `close` loses records
        /// that a slow disk would have taken. Too long: a service hangs at its end when the disk does.
        close_deadline(deadline: Duration) -> Duration = Duration::from_secs(5), read by "words::time";

        /// Bytes of the queue between the writer and each [listener](Config::listener): 64 KiB to 1 GiB; 1 MiB by
        /// default.
        ///
        /// It holds the records that a listener has not got yet. It takes memory only as records come, at most about
        /// twice this size. Records that do not fit are in the log, but the listener does not get them. A record that
        /// is longer than the queue is passed on by itself. Too small: the listener misses bursts. Too large: memory,
        /// and a listener that is far behind.
        listener_queue_bytes(bytes: usize) -> usize = 1 << 20, read by "words::bytes";

        /// The name of the service that logs, stored in every segment: at most 255 bytes; empty by default.
        service(name: impl Into<String>) -> String = String::new(), got as str;

        /// Whether missing parents of the log's directory are created too: no by default, so that a wrong path is an
        /// error.
        create_parents(create: bool) -> bool = false;

        /// The permission bits of the log's files, such as `0o640`: only bits for reading and writing, and both for the
        /// owner; `0o600` by default.
        ///
        /// Those who may read the files may also search the directories that the log creates: with `0o640`, a directory
        /// gets `0o750`. The umask has no effect. A file never has more bits than these. Existing files and directories
        /// keep theirs. Too few: a log collector cannot read the log. Too many: everybody can read what the service
        /// logs.
        file_mode(mode: u32) -> u32 = 0o600, read by "words::mode";

        /// The group, by its number, of the files and directories that the log creates: by default the system's choice.
        ///
        /// With a [`file_mode`](Config::file_mode) such as `0o640`, its members can read the log. This process must
        /// belong to the group, or have permission to change owners; otherwise open fails.
        group(id: u32) -> Option<u32> = None;

        /// How blocks are written: by default, by the best device that works in the log's directory.
        ///
        /// If the chosen device does not work there, open fails; it does not take a slower one.
        device(preference: DevicePreference) -> DevicePreference = DevicePreference::Auto;
    }
}
