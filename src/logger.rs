//! The logger: opens a log, makes producers, flushes, closes.
//!
//! Users call it, and so do `engine`, `event_logs` and the bridges. `opening` puts a log's parts together; after that,
//! `producer` and `writer` do the work.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::appendable::Message;
use crate::clock::Clock;
use crate::config::{Config, Validated};
use crate::device::{DeviceKind, DeviceReport};
use crate::ends;
use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::level::Level;
use crate::levels::{Levels, ParseLevelsError};
use crate::opening::{Hooks, Opening};
use crate::outcome::Outcome;
use crate::producer::Producer;
use crate::producer_builder::ProducerBuilder;
use crate::recovery::Recovery;
use crate::segment::PreparingThreads;
use crate::shared::{RingResources, Shared};
use crate::sink::{MemoryLog, Sink};
use crate::stats::{CloseReport, Losses, Published, State, Stats};
use crate::sync::lock;
use crate::thread_local;
use crate::writer::{Serves, Writer};

/// A log, open for writing. Clones are handles to the same log; dropping the last one closes it.
///
/// If the process exits first, by a return from `main` or by [`std::process::exit`], the exit drains and closes the
/// log, even if its handles are in a static, in a thread-local, or leaked. All open logs are closed at the same time;
/// this takes at most the longest [`close_deadline`](Config::close_deadline) of them, and half a second more if the
/// kernel holds a writer. An exit does not report records
/// that a disk did not take in time: call [`close`](Logger::close) to know. On systems other than Unix, always call it.
/// [`ending`](crate::ending) describes the other ends of a process.
///
/// This program has one producer for each thread that logs, and a `close` that says what could not be written:
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-logger-doc-{}", std::process::id()));
/// use std::thread;
///
/// use diolog::{Config, Error, Level, Logger};
///
/// let logger = Logger::open(Config::new(&directory))?;
/// let producer = logger.producer_named("matching")?;
/// let matching = thread::spawn(move || producer.log(Level::Info, "order 42 filled"));
/// logger.log(Level::Info, "started"); // this thread's own producer, made by the first call
/// matching.join().expect("no panic");
///
/// match logger.close() {
///     Ok(report) => assert_eq!(report.to_string(), "2 records durable"),
///     Err(Error::CloseIncomplete { unconfirmed, reason, .. }) => eprintln!("{unconfirmed} records: {reason}"),
///     Err(error) => return Err(error),
/// }
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Logger {
    handle: Arc<Handle>,
}

/// What all clones share; the last one closes the log.
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Option<OwnThreads>>,
}

/// The threads that serve one log alone.
pub(crate) struct OwnThreads {
    writer: JoinHandle<()>,
    segments: PreparingThreads,
}

impl Logger {
    /// Opens the log in the directory that `config` names. If the directory is missing, it is created; its parent must
    /// exist, unless [`create_parents`](Config::create_parents) is set. Each open is a run of its own, in new segments.
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("diolog-open-doc-{}", std::process::id()));
    /// use diolog::{Config, Error, Logger};
    ///
    /// let logger = Logger::open(Config::new(&directory))?;
    /// match Logger::open(Config::new(&directory)) {
    ///     Err(Error::InUse { path, .. }) => assert_eq!(path, directory), // one writer at a time
    ///     other => panic!("{other:?}"),
    /// }
    /// logger.close()?;
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an invalid setting, with the value and a remedy; [`Error::InUse`] while another
    /// logger has the log open; [`Error::NoParent`], [`Error::NotALog`] and [`Error::Io`] if the path cannot be used.
    /// Also [`Error::Io`] if there are segments of which none can be read: a new log beside them would hide them. An
    /// open that fails leaves nothing behind.
    pub fn open(config: Config) -> Result<Logger> {
        Logger::open_with(config, Hooks::default())
    }

    /// A logger that logs nothing: no directory, no thread, no rings. For libraries and tests that need a logger and no
    /// log.
    ///
    /// Every append returns [`Outcome::Filtered`]. [`is_enabled`](Logger::is_enabled) is false for each level, so
    /// callers need not compose a message. [`set_level`](Logger::set_level) changes neither. You can make producers,
    /// and `flush`, `rotate` and `close` succeed. After `close`, appends return [`Outcome::Closed`], as with every
    /// logger.
    ///
    /// ```
    /// use diolog::{Level, Logger, Outcome};
    ///
    /// let logger = Logger::disabled();
    /// assert_eq!(logger.log(Level::Error, "to nowhere"), Outcome::Filtered);
    /// let producer = logger.producer()?;
    /// assert!(!producer.is_enabled(Level::Error));
    /// logger.close()?;
    /// # Ok::<(), diolog::Error>(())
    /// ```
    pub fn disabled() -> Logger {
        Logger::without_log(Level::Off, "disabled", Sink::Nowhere)
    }

    /// A logger into memory, for tests of code that logs: no directory and no thread. The [`MemoryLog`] shows what was
    /// logged, in order.
    ///
    /// It admits every level; [`set_level`](Logger::set_level) can restrict that. Messages are cut at 64 KiB. Nothing
    /// is ever dropped: the records stay in memory until they are [taken](MemoryLog::take).
    ///
    /// An append takes a lock and allocates. So its speed says nothing about a log on disk, and a signal handler must
    /// not log to it. Nothing is ever durable, but `flush`, `rotate` and `close` succeed. Of [`stats`](Logger::stats)
    /// only `attempted` and `refused` count.
    ///
    /// ```
    /// use diolog::{Level, Logger, Outcome};
    ///
    /// let (logger, log) = Logger::in_memory();
    /// let producer = logger.producer_named("orders")?;
    /// assert_eq!(diolog::warn!(producer, "order {id} rejected", id = 42_u64), Outcome::Written);
    /// logger.log(Level::Info, "done");
    ///
    /// assert_eq!(log.messages(), ["order 42 rejected", "done"]);
    /// let first = &log.records()[0];
    /// assert_eq!((first.level(), first.producer_name()), (Level::Warn, "orders"));
    /// assert_eq!(first.field("id"), Some(diolog::Value::Unsigned(42)));
    /// # Ok::<(), diolog::Error>(())
    /// ```
    pub fn in_memory() -> (Logger, MemoryLog) {
        let memory = MemoryLog::default();
        (Logger::without_log(Level::Trace, "in memory", Sink::Memory(memory.clone())), memory)
    }

    /// A logger without a log; `path` is shown in place of one.
    fn without_log(level: Level, path: &str, sink: Sink) -> Logger {
        let gate = Gate::without_rings(level as u8);
        let mut settings = Validated::without_log(path);
        settings.config.level = level.into();
        let (published, _) = Published::new(DeviceReport { kind: DeviceKind::None, reasons: Vec::new() });
        let mut shared = Shared::new(settings, Clock::detect(), gate, 0, published, RingResources::default());
        shared.sink = sink;
        Logger::of(Arc::new(shared), None)
    }

    /// Opens a log with a writer of its own, with the parts replaced that `hooks` name.
    pub(crate) fn open_with(config: Config, hooks: Hooks) -> Result<Logger> {
        let opening = Opening::new(config, hooks)?;
        // Before the directory, so that a refused core creates nothing.
        let writer = Writer::start(Serves::OneLog(&opening.config().path), opening.config().writer_core)?;
        let segments = PreparingThreads::default();
        let shared = opening.open_on(&writer, &segments, None)?;
        Ok(Logger::of(shared, writer.take_no_more_logs().map(|writer| OwnThreads { writer, segments })))
    }

    /// The logger of a log that is open, and its threads, if they serve it alone.
    pub(crate) fn of(shared: Arc<Shared>, threads: Option<OwnThreads>) -> Logger {
        Logger { handle: Arc::new(Handle { shared, threads: Mutex::new(threads) }) }
    }

    /// Makes a producer named after the calling thread: the fastest way to log. Allocates its ring of `ring_bytes`.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Forked`]; [`Error::RingMemory`] beyond `rings_bytes_max`;
    /// [`Error::TooManyProducers`] beyond 40,000 at once, or fewer under a limit on file sizes; [`Error::Io`] if the
    /// system has no memory for it.
    pub fn producer(&self) -> Result<Producer> {
        self.producer_named(std::thread::current().name().unwrap_or_default())
    }

    /// Makes a producer with the given name, at most 255 bytes of UTF-8. Several producers may have the same one.
    ///
    /// # Errors
    /// As [`Logger::producer`], and [`Error::InvalidConfig`] for a name that is too long: names are not cut.
    pub fn producer_named(&self, name: &str) -> Result<Producer> {
        thread_local::new_producer(self.shared(), self.shared().ring_bytes(), name)
    }

    /// Makes a producer whose ring has another size than [`Config::ring_bytes`] says.
    pub fn producer_builder(&self) -> ProducerBuilder<'_> {
        ProducerBuilder::new(self.shared())
    }

    /// Appends a record through the calling thread's own producer. The thread's first call makes this producer, with a
    /// ring of `thread_ring_bytes`. Later calls look it up, and otherwise cost what [`Producer::log`] costs.
    ///
    /// The first call takes a lock and allocates, which a signal handler must not do. If a thread's signal handlers
    /// log, the thread should log once before they can run.
    ///
    /// A thread gets no ring of its own if [`rings_bytes_max`](Config::rings_bytes_max) is reached, if there are 40,000
    /// producers, or if the thread is ending. All such threads log through the common ring, behind a lock. Its producer
    /// is named "(common)". This is slower, but drops nothing as long as that ring has room.
    #[inline]
    pub fn log(&self, level: Level, message: impl AsRef<[u8]>) -> Outcome {
        let message = message.as_ref();
        if !level.is_compiled_in() {
            return Outcome::Filtered;
        }
        if !self.shared().gate.admits(level as u8) {
            return thread_local::refuse(self.shared());
        }
        thread_local::append(self.shared(), level, Message::new(message))
    }

    /// [`Producer::log_args`], through the calling thread's own producer.
    pub fn log_args(&self, level: Level, arguments: fmt::Arguments<'_>) -> Outcome {
        if let Some(text) = arguments.as_str() {
            return self.log(level, text);
        }
        if !self.is_enabled(level) {
            return thread_local::refuse(self.shared());
        }
        thread_local::with_scratch(self.shared(), |scratch| {
            let cut = scratch.format(arguments).is_cut();
            thread_local::append(self.shared(), level, Message { bytes: scratch.bytes(), cut })
        })
    }

    /// Whether a record of `level` without a target would pass now, or be kept by the
    /// [flight recorder](Config::flight_recorder).
    #[inline]
    #[must_use]
    pub fn is_enabled(&self, level: Level) -> bool {
        level.is_compiled_in() && self.shared().gate.admits(level as u8)
    }

    /// Whether a record of `level` and `target` would pass now, or be kept by the flight recorder. If targets have
    /// thresholds of their own, this takes a lock and compares names. The macros remember the answer for each place
    /// that logs.
    #[must_use]
    pub fn is_enabled_for(&self, level: Level, target: &str) -> bool {
        let Shared { gate, admission, .. } = &**self.shared();
        level.is_compiled_in() && admission.admits_target(gate, level, target)
    }

    /// The threshold for all records; [`Level::Off`] once the log is closed.
    pub fn level(&self) -> Level {
        Level::from_u8(self.shared().gate.level()).unwrap_or(Level::Off)
    }

    /// The threshold for all records and those of targets, as they were set last.
    pub fn levels(&self) -> Levels {
        self.shared().admission.levels(&self.shared().gate)
    }

    /// Changes the threshold for all producers, from their next append on. Targets with a threshold of their own keep
    /// it. With [`Level::Off`] only the records of such targets are logged until the next change. The log stays open.
    ///
    /// The crates `log` and `tracing` remember what was admitted before. If a bridge is installed, tell them after this
    /// method, and after those below, when more is admitted: call `LogBridge::update_max_level`, and
    /// `tracing::callsite::rebuild_interest_cache`.
    pub fn set_level(&self, level: Level) {
        let Ok(()) = self.change_levels(|levels| {
            levels.set_all(level);
            Ok::<(), Infallible>(())
        });
    }

    /// Replaces all thresholds by directives such as `"info,my_service::net=debug,hyper=off"`, for all producers from
    /// their next append on. [`Levels`] describes directives. If all of them name targets, the threshold for all other
    /// records stays.
    ///
    /// ```
    /// use diolog::{Level, Logger};
    ///
    /// let (logger, _log) = Logger::in_memory();
    /// logger.set_levels("info,my_service::net=debug")?;
    /// logger.set_target_level("hyper", Level::Off)?;
    /// assert_eq!(logger.levels().to_string(), "info,hyper=off,my_service::net=debug");
    /// assert!(logger.is_enabled_for(Level::Debug, "my_service::net"));
    /// assert!(!logger.is_enabled_for(Level::Error, "hyper::client") && !logger.is_enabled(Level::Debug));
    ///
    /// let error = logger.set_levels("info,hyper=loud").unwrap_err();
    /// assert!(error.to_string().contains("\"loud\" in \"hyper=loud\" is not a level"));
    /// # Ok::<(), diolog::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with the directive that is not understood; nothing is changed then.
    pub fn set_levels(&self, levels: impl Into<Levels>) -> Result<()> {
        let new = levels.into();
        if let Some((text, error)) = new.fault() {
            return Err(invalid_levels("levels", text, error));
        }
        let Ok(()) = self.change_levels(|levels| {
            *levels = new.over(levels);
            Ok::<(), Infallible>(())
        });
        Ok(())
    }

    /// Changes the threshold of the records of one target and of those below it, for all producers from their next
    /// append on. It may be more verbose than the one for all records, or less.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a target that no directive could name: an empty one, or one with spaces or
    /// any of `,`, `;`, `=` and `*`.
    pub fn set_target_level(&self, target: &str, level: Level) -> Result<()> {
        let changed = self.change_levels(|levels| levels.set_target(target, level));
        changed.map_err(|error| invalid_levels("target", target, &error))
    }

    /// Changes the levels under their lock. A disabled logger ignores the change.
    fn change_levels<E>(
        &self,
        change: impl FnOnce(&mut Levels) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Shared { gate, admission, sink, .. } = &**self.shared();
        if matches!(sink, Sink::Nowhere) { Ok(()) } else { admission.change(gate, change) }
    }

    /// Calls `callback` whenever the device's [`State`] changes, in place of an earlier callback.
    ///
    /// It runs on the writer thread, which does nothing else meanwhile: set a flag or send a message, and return. In
    /// the callback, a flush of this log, or of another log of the same [`Engine`](crate::Engine), would wait for
    /// itself, so it returns an error. A `close` there does not wait. A `Logger` that the callback holds keeps the log
    /// open until somebody closes it. On Linux that thread blocks all signals but those of faults, and so would a
    /// process that the callback starts.
    pub fn on_state_change(&self, callback: impl Fn(State) + Send + Sync + 'static) {
        self.shared().published.on_state_change(callback);
    }

    /// Calls `callback` with what was lost since its last call: at most once a second, and once more at close. It is
    /// not called if nothing was lost. It replaces an earlier callback. Its first call includes what live producers had
    /// lost before.
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("diolog-loss-doc-{}", std::process::id()));
    /// # let logger = diolog::Logger::open(diolog::Config::new(&directory))?;
    /// logger.on_loss(|losses| {
    ///     eprintln!("log records lost: {losses}"); // such as "3,374 dropped (ring full)"
    ///     for producer in &losses.producers {
    ///         eprintln!("  {}: {}", producer.name, producer.dropped_by.total());
    ///     }
    /// });
    /// # logger.close()?;
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It costs an append nothing, because the writer compares the producers' counts. It runs on the writer thread,
    /// under the rules of [`on_state_change`](Logger::on_state_change).
    pub fn on_loss(&self, callback: impl Fn(&Losses) + Send + Sync + 'static) {
        self.shared().published.on_loss(callback);
    }

    /// Waits until everything accepted before this call, from any thread, is durable.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Forked`]; [`Error::Io`] while the device fails. The records are kept then, and the
    /// writer goes on trying. Also [`Error::Io`], once, if somebody has deleted, renamed or replaced the log's present
    /// file while it held durable records: they are gone, or in a file that no reader finds. [`close`](Logger::close)
    /// reports it too.
    pub fn flush(&self) -> Result<()> {
        self.flush_in(None)
    }

    /// [`Logger::flush`], waiting at most for `limit`.
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("diolog-flush-doc-{}", std::process::id()));
    /// # let logger = diolog::Logger::open(diolog::Config::new(&directory))?;
    /// use std::time::Duration;
    ///
    /// use diolog::{Error, Level};
    ///
    /// logger.log(Level::Info, "order 42 filled");
    /// match logger.flush_within(Duration::from_secs(10)) {
    ///     Ok(()) => {} // a power cut cannot take it any more
    ///     Err(Error::FlushTimeout { .. }) => {} // accepted, and still on its way
    ///     Err(error) => return Err(error), // the disk fails, or the log is closed
    /// }
    /// # logger.close()?;
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`Logger::flush`], and [`Error::FlushTimeout`].
    pub fn flush_within(&self, limit: Duration) -> Result<()> {
        self.flush_in(Some(limit))
    }

    fn flush_in(&self, limit: Option<Duration>) -> Result<()> {
        if !self.shared().sink.is_files() {
            return if self.shared().gate.is_shut() { Err(Error::Closed) } else { Ok(()) };
        }
        if self.shared().gate.is_forked() {
            return Err(Error::Forked);
        }
        if self.shared().is_on_own_writer() {
            let path = &self.shared().settings.config.path;
            return Err(Error::waits_for_itself("a callback on the writer thread", "flush", path));
        }
        self.shared().flushes.flush(limit, || self.shared().wake_writer())
    }

    /// Asks the writer to begin a new segment, so that the present one becomes a finished file that you can copy away.
    ///
    /// It returns at once. Preparing the next file takes a moment (16 MiB to [`segment_bytes`](Config::segment_bytes)
    /// of zeros are written); the writer goes on in the present segment meanwhile. Then the next block begins the new
    /// segment. So while nothing is logged, the present segment stays. The writer does not leave a segment that holds
    /// no block. Several calls before the change count as one. [`Stats::segments`] grows with the change.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Forked`]. It is no error if the next file cannot be prepared: the writer notes that
    /// in the log, goes on in the present segment, and tries again.
    pub fn rotate(&self) -> Result<()> {
        self.open_shared()?.ask_for_rotation();
        Ok(())
    }

    /// Writes the records that the log's [flight recorder](Config::flight_recorder) has kept of all threads to a file,
    /// and returns its path. The file is durable then.
    ///
    /// It is in the folder `snapshots` of the log's directory. Its name has the time and the reason, such as
    /// `20261126T153415.123Z-no-price.dlog`. Characters that do not suit a name become dashes, and a long reason is
    /// cut. [`Reader`](crate::Reader), [`verify`](crate::verify()) and the command line read the file like a log;
    /// `diolog cat LOG LOG/snapshots` merges both by time. Each record is in one snapshot at most. If there was nothing
    /// new, the file holds no record.
    ///
    /// It runs on the calling thread, which waits for the disk. While it writes, it takes up to three times the memory
    /// of the rings. Threads that log do not wait, with one exception: a thread that logs its first such record, or
    /// ends, while the rings are being copied. A record that comes while its ring is being copied may be missing, and
    /// the snapshot says so. Until the file is durable, no new segment is prepared, and `close` waits. Do not call it
    /// in a signal handler, nor in a callback of the log.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the log has no flight recorder; [`Error::Closed`]; [`Error::Forked`]; [`Error::Io`].
    pub fn snapshot(&self, reason: &str) -> Result<PathBuf> {
        let recorder = self.open_shared()?.recorder.as_ref();
        let remedy = "a snapshot needs a log that was opened with one, such as 64 KiB";
        recorder.ok_or_else(|| Error::invalid("flight_recorder", "0 bytes", remedy))?.snapshot(reason)
    }

    fn open_shared(&self) -> Result<&Shared> {
        let shared = self.shared();
        if shared.sink.is_files() && shared.gate.is_forked() {
            return Err(Error::Forked);
        }
        if shared.gate.is_shut() { Err(Error::Closed) } else { Ok(shared) }
    }

    /// The runs with shared rings that had not closed the log, and what this open did with each: see
    /// [`Recovery::outcome`].
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("diolog-recovery-doc-{}", std::process::id()));
    /// let logger = diolog::Logger::open(diolog::Config::new(&directory))?;
    /// for recovery in logger.recovery() {
    ///     eprintln!("{recovery}");
    /// }
    /// # logger.close()?;
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok(())
    /// # }
    /// ```
    pub fn recovery(&self) -> &[Recovery] {
        &self.handle.shared.recovered
    }

    /// The log's figures now, also after `close`.
    ///
    /// ```
    /// # fn main() -> diolog::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("diolog-stats-doc-{}", std::process::id()));
    /// # let logger = diolog::Logger::open(diolog::Config::new(&directory))?;
    /// use diolog::{Level, State};
    ///
    /// logger.log(Level::Info, "order 42 filled");
    /// logger.flush()?;
    ///
    /// let stats = logger.stats();
    /// assert_eq!((stats.accepted(), stats.dropped, stats.durable_records), (1, 0, 1));
    /// assert_eq!(stats.state, State::Ok);
    /// println!("{}: p99 of a write is {} ns", stats.device, stats.write_latency_ns.p99);
    /// # logger.close()?;
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Refuses further appends, writes what was accepted, and ends the log cleanly.
    ///
    /// It takes at most `close_deadline`, or half a second more if the kernel holds the writer thread in a system call.
    /// Every call returns the same answer. The exception is a call in a callback on the log's writer thread: it does
    /// not wait, and returns an error that says so. Dropped, overwritten and refused records are no error: look at
    /// [`CloseReport::lost`], or print the report.
    ///
    /// # Errors
    /// [`Error::CloseIncomplete`] with the number of records that were accepted and are not known to be durable. It is
    /// 0 if all were written, and a file with some of them was deleted, renamed or replaced meanwhile.
    /// [`Error::Forked`].
    pub fn close(&self) -> Result<CloseReport> {
        self.handle.close()
    }

    /// The state of its log.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("path", &self.shared().settings.config.path).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) -> Result<CloseReport> {
        let shared = &self.shared;
        if !shared.sink.is_files() {
            shared.gate.close();
            return Ok(shared.closing.finish(shared.close_summary_without_log()).report);
        }
        if shared.gate.is_forked() {
            return Err(Error::Forked);
        }
        // The first call's deadline counts: dropping the log after a `close` must not wait as long again.
        let deadline = ends::begin_close(shared, Instant::now());
        let summary = ends::wait_until_closed(shared, deadline);
        // The summary is published. If writes are still in flight, the kernel may hold the threads until they are done;
        // so only a clean end is joined.
        let threads = lock(&self.threads).take().filter(|_| summary.reason.is_none());
        if let Some(OwnThreads { writer, segments }) = threads {
            let _ = writer.join();
            segments.join_ended();
        }
        summary.into_result()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to take the error: a caller who wants it calls `close` first.
        let _ = self.close();
    }
}

/// The error for levels that are not understood.
fn invalid_levels(setting: &'static str, text: &str, error: &ParseLevelsError) -> Error {
    Error::invalid(setting, format_args!("{text:?}"), error.to_string())
}
