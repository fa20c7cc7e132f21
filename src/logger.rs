//! The logger: open a log, give out producers, flush, close.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::{Config, Validated};
use crate::device;
use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::level::Level;
use crate::outcome::Outcome;
use crate::producer::Producer;
use crate::segment::{Directory, FIRST_FILL_PATIENCE, Limits, Rules, Segments, Sizes};
use crate::shared::{CloseSummary, Shared};
use crate::stats::{Published, State, Stats};
use crate::sync::lock;
use crate::thread_local;
use crate::writer::{Begin, WrapDevice, Writer};

/// What `close` waits beyond its deadline for the writer's word, before it gives the writer thread up: the writer ends
/// by itself at the deadline, unless the kernel holds it in a call.
const WRITER_GRACE: Duration = Duration::from_millis(500);

/// A log, open for writing. Clones are handles to the same log; dropping the last one closes it.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-doc-{}", std::process::id()));
/// use diolog::{Config, Level, Logger};
///
/// let logger = Logger::open(Config::new(&directory))?;
/// let producer = logger.producer()?; // this thread's ring
/// producer.log(Level::Info, "order 42 filled");
/// logger.flush()?; // on the disk now
/// logger.close()?;
///
/// assert_eq!(logger.stats().durable_records, 1);
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Logger {
    handle: Arc<Handle>,
}

/// Replacements for parts of a log, for tests and measurements: set and documented in `unstable`, empty otherwise.
#[derive(Default)]
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
pub struct Hooks {
    pub(crate) wrap_device: Option<WrapDevice>,
    pub(crate) clock: Option<Clock>,
    pub(crate) first_fill_patience: Option<Duration>,
}

/// What the last clone takes down with it.
struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Logger {
    /// Opens the log in the directory that `config` names, which is made if its parent exists. Each open is a run of
    /// its own, in new segments.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a setting that cannot be, with the value and the remedy; [`Error::InUse`] while
    /// another logger has the log; [`Error::NotALog`] and [`Error::Io`] for a path that cannot be used. Nothing is left
    /// behind then.
    pub fn open(config: Config) -> Result<Logger> {
        Logger::open_with(config, Hooks::default())
    }

    /// Opens a log with the device wrapped and the clock replaced as `hooks` say.
    pub(crate) fn open_with(config: Config, hooks: Hooks) -> Result<Logger> {
        let settings = config.validate()?;
        // What can fail without the directory comes first: a refused core, say, must leave nothing behind.
        let writer = Writer::start(settings.config.writer_core, &settings.config.path)?;
        let gate = Gate::new(settings.config.level as u8)
            .map_err(|source| Error::io("map a page for", &settings.config.path, source))?;
        let directory = Directory::open(&settings.config.path)?;
        let clock = hooks.clock.unwrap_or_else(Clock::detect);
        let patience = hooks.first_fill_patience.unwrap_or(FIRST_FILL_PATIENCE);
        let rules = segment_rules(&settings, patience);
        let begun = device::probe(directory.path(), settings.config.device).and_then(|report| {
            let direct = report.kind.is_direct();
            Ok((report, Segments::begin(&directory, direct, rules, clock)?))
        });
        let (device, segments) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                directory.undo();
                return Err(error);
            }
        };
        let (published, publisher) = Published::new(device.clone());
        let shared = Arc::new(Shared::new(settings, clock, gate, segments.producers_max(), published));
        let writer = writer.begin(Begin {
            shared: Arc::clone(&shared),
            publisher,
            device,
            directory,
            segments,
            wrap_device: hooks.wrap_device,
        })?;
        Ok(Logger { handle: Arc::new(Handle { shared, writer: Mutex::new(Some(writer)) }) })
    }

    /// Makes a producer named after the calling thread: the fastest way to log. Allocates its ring of `ring_bytes`.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Forked`]; [`Error::RingMemory`] beyond `rings_bytes_max`; [`Error::TooManyProducers`]
    /// beyond 40,000 at once, or fewer under a limit on file sizes; [`Error::Io`] where memory is refused.
    pub fn producer(&self) -> Result<Producer> {
        self.producer_named(std::thread::current().name().unwrap_or_default())
    }

    /// Makes a producer with a name of its own, at most 255 bytes of UTF-8.
    ///
    /// # Errors
    /// As [`Logger::producer`], and [`Error::InvalidConfig`] for a name that is too long: names are not cut.
    pub fn producer_named(&self, name: &str) -> Result<Producer> {
        thread_local::new_producer(self.shared(), self.shared().settings.config.ring_bytes, name)
    }

    /// Appends a record through the calling thread's own producer, which the first call makes, with a ring of
    /// `thread_ring_bytes`. Slower than a [`Producer`] by finding that; for the rest, see [`Producer::log`].
    ///
    /// That first call takes a lock and memory, as signal handlers must not: a thread that may be interrupted by one that
    /// logs should log something before.
    #[inline]
    pub fn log(&self, level: Level, message: impl AsRef<[u8]>) -> Outcome {
        let message = message.as_ref();
        if !self.shared().gate.admits(level as u8) {
            return thread_local::refuse(self.shared());
        }
        thread_local::with_producer(self.shared(), |producer| producer.log(level, message))
    }

    /// Whether a record of `level` would pass the threshold now.
    #[inline]
    pub fn is_enabled(&self, level: Level) -> bool {
        self.shared().gate.admits(level as u8)
    }

    /// Changes the threshold, for all producers, from their next append on.
    pub fn set_level(&self, level: Level) {
        self.shared().gate.set_level(level as u8);
    }

    /// Calls `callback` whenever the device's [`State`] changes, in place of an earlier callback.
    ///
    /// It runs on the writer thread, which does nothing else meanwhile: set a flag or send a message, and return. Waiting
    /// for the log there, by a flush or by `close`, would wait for itself. A `Logger` that the callback holds keeps the log
    /// open until it is closed.
    pub fn on_state_change(&self, callback: impl Fn(State) + Send + Sync + 'static) {
        self.shared().published.on_state_change(callback);
    }

    /// Waits until everything accepted before this call is durable.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`], or [`Error::Io`] while the device fails: the records stay in the rings.
    pub fn flush(&self) -> Result<()> {
        self.flush_in(None)
    }

    /// As [`Logger::flush`], for at most `limit`.
    ///
    /// # Errors
    /// Those, and [`Error::FlushTimeout`].
    pub fn flush_within(&self, limit: Duration) -> Result<()> {
        self.flush_in(Some(limit))
    }

    fn flush_in(&self, limit: Option<Duration>) -> Result<()> {
        if self.shared().gate.is_forked() {
            return Err(Error::Forked);
        }
        self.shared().flushes.flush(limit, || self.shared().wake_writer())
    }

    /// Has the log go on in a new segment: what the present one holds can then be copied away as a finished file.
    ///
    /// Returns at once; the writer does it. It prepares the next file, which takes a moment (16 MiB to
    /// [`segment_bytes`](Config::segment_bytes) of zeros are written), while blocks go on into the present one. Then
    /// the next block is the new segment's first, and the present one ends before it: without anything to log it stays
    /// as it is. A present segment that holds no block yet is not left, since the next block is its first. Several
    /// calls before the change are one. Whether it has come can be seen in [`Stats::segments`].
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`]. A file that cannot be prepared is no error here: the log says so, goes on
    /// in the present segment, and tries again.
    pub fn rotate(&self) -> Result<()> {
        let shared = self.shared();
        if shared.gate.is_forked() {
            return Err(Error::Forked);
        }
        if shared.gate.level() == 0 {
            return Err(Error::Closed);
        }
        shared.ask_for_rotation();
        Ok(())
    }

    /// What the log has done so far.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Refuses further appends, writes what was accepted, and ends the log cleanly, within `close_deadline`, or half a second
    /// more where the kernel holds the writer thread. Every call gives the same answer.
    ///
    /// # Errors
    /// [`Error::CloseIncomplete`] with what was accepted and is not known to be durable; [`Error::Forked`].
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("path", &self.shared().settings.config.path).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.gate.is_forked() {
            return Err(Error::Forked);
        }
        let limit = shared.settings.config.close_deadline;
        let now = Instant::now();
        // A deadline too far to be represented is a year.
        let deadline = now.checked_add(limit).unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        shared.registry.close();
        // From here on each append either was under way, and the writer waits for it, or returns `Closed`.
        shared.gate.close();
        let deadline = shared.closing.request(deadline);
        shared.wake_writer();
        // Not longer than the first call has waited: dropping the log after it must not take as long again.
        let left = deadline.saturating_duration_since(Instant::now());
        let summary = shared.closing.wait(left.saturating_add(WRITER_GRACE)).unwrap_or_else(|| {
            let reason = "the writer thread does not answer: the kernel holds it in a call";
            shared.closing.finish(shared.close_summary(Some(reason.into())))
        });
        // The writer has published its last word. With writes under way, the kernel may not let its thread go before they
        // are done: then nobody waits for it.
        if let Some(writer) = lock(&self.writer).take().filter(|_| summary.reason.is_none()) {
            let _ = writer.join();
        }
        incomplete(summary)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to be told; `stats` and `close` are for those who ask before.
        let _ = self.close();
    }
}

/// What the settings say of segments.
fn segment_rules(settings: &Validated, first_fill_patience: Duration) -> Rules {
    let config = &settings.config;
    Rules {
        sizes: Sizes { first: settings.first_segment_bytes, max: config.segment_bytes, block: config.block_bytes },
        first_fill_patience,
        rotate_after: config.rotate_after,
        keep: Limits { bytes: config.retain_bytes, segments: config.retain_segments, age: config.retain_for },
    }
}

/// The answer of close.
fn incomplete(summary: CloseSummary) -> Result<()> {
    match summary.reason {
        None => Ok(()),
        Some(reason) => {
            Err(Error::CloseIncomplete { unconfirmed: summary.unconfirmed, dropped: summary.dropped, reason })
        }
    }
}
