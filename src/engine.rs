//! The engine: one writer thread for many logs.
//!
//! Users call it. It opens each log as `logger` opens one of its own, on the writer thread that all share.

use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, ENGINE_BLOCKS_BYTES, EngineConfig, RingMemory};
use crate::crash::RingFiles;
use crate::ends;
use crate::error::{Error, Result};
use crate::logger::Logger;
use crate::opening::{EngineRings, Hooks, Opening};
use crate::own_thread::{self, Role};
use crate::ring::Budget;
use crate::segment::{Owner, PreparingThreads};
use crate::stats::CloseReport;
use crate::writer::{BlockMemory, Serves, Writer};

/// One writer thread that serves any number of logs, each with its own directory, policy, retention and level. Clones
/// are handles to the same engine.
///
/// A log of an engine is a [`Logger`] like any other. A log whose disk is slow or full, that closes, or that a bug ends
/// does not stop the others. But all callbacks run on the writer thread, so a slow callback delays all logs.
///
/// However many logs there are, the engine has one thread `diolog-writer`, and one thread `diolog-segments` for each
/// file system. Where the kernel does not allow io_uring, a thread for each file system helps the writer. The process
/// has one thread `diolog-lock`, which holds the locks of all its logs, a thread `diolog-listener` for each listener,
/// and one thread `diolog-signals` with `drain_on_signals` or `rotate_on_hangup`.
///
/// Dropping the last handle closes no log. The thread ends when no handle is left and the last log has ended.
/// [`close`](Engine::close) closes all logs. An exit of the process drains them together: see [`Logger`].
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-engine-doc-{}", std::process::id()));
/// use diolog::{Config, Engine, EngineConfig, Level};
///
/// let engine = Engine::start(EngineConfig::new())?;
/// let orders = engine.open(Config::new(directory.join("orders")).create_parents(true))?;
/// let audit = engine.open(Config::new(directory.join("audit")))?; // on the same thread
/// orders.log(Level::Info, "order 42 filled");
/// audit.log(Level::Info, "order 42 filled by desk 7");
/// assert_eq!(engine.close()?.durable, 2);
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// The state that all handles share.
struct Inner {
    config: EngineConfig,
    writer: Writer,
    threads: PreparingThreads,
    /// The memory of all logs' rings.
    rings: Arc<Budget>,
    /// The files of their rings; `None` for private memory.
    ring_files: Option<Arc<RingFiles>>,
}

impl Engine {
    /// Starts the writer thread, pinned if [`writer_core`](EngineConfig::writer_core) is set. It sleeps until there is
    /// a log.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an invalid setting, with the value and a remedy; [`Error::Io`] if no thread can be
    /// started.
    pub fn start(config: EngineConfig) -> Result<Engine> {
        config.check()?;
        let rings = Arc::new(Budget::within_group(config.rings_bytes_max as u64, 0, 0));
        let blocks = config.blocks_bytes_max.map_or(BlockMemory::Growing(ENGINE_BLOCKS_BYTES), BlockMemory::Fixed);
        let writer = Writer::start(Serves::Engine(blocks), config.writer_core)?;
        let ring_files = match &config.ring_memory {
            RingMemory::Private => None,
            RingMemory::Shared(directory) => Some(Arc::new(RingFiles::new(directory, Clock::detect()))),
        };
        Ok(Engine {
            inner: Arc::new(Inner { config, writer, threads: PreparingThreads::default(), rings, ring_files }),
        })
    }

    /// Opens a log on the engine's writer thread, as [`Logger::open`] opens one on a thread of its own.
    ///
    /// # Errors
    /// The errors of [`Logger::open`]; [`Error::InvalidConfig`] for a [`writer_core`](Config::writer_core) other than
    /// the engine's; [`Error::Closed`] after [`close`](Engine::close); [`Error::Forked`]; [`Error::Io`] in a callback
    /// on the engine's writer thread, because the open would wait for itself.
    pub fn open(&self, config: Config) -> Result<Logger> {
        self.open_with(config, Hooks::default(), None)
    }

    /// Opens the log of an event, as [`open`](Engine::open) does.
    ///
    /// # Errors
    /// The errors of [`open`](Engine::open); [`Error::InvalidConfig`] if the directory belongs to another event.
    pub(crate) fn open_event(&self, config: Config, owner: Owner) -> Result<Logger> {
        self.open_with(config, Hooks::default(), Some(owner))
    }

    /// The settings that a log opened with `config` now would have, without a look at the disk.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub(crate) fn check(&self, config: &Config) -> Result<Config> {
        self.inner.config.check_log(config)?;
        Ok(Opening::new(config.clone(), Hooks::default())?.config().clone())
    }

    /// Whether the calling process is a fork of the one that has the engine.
    pub(crate) fn is_forked(&self) -> bool {
        self.inner.writer.is_forked()
    }

    /// Opens a log, that of an event if `owner` is one, with the parts replaced that `hooks` name.
    pub(crate) fn open_with(&self, config: Config, hooks: Hooks, owner: Option<Owner>) -> Result<Logger> {
        let Inner { config: own, writer, threads, rings, ring_files } = &*self.inner;
        if writer.is_forked() {
            return Err(Error::Forked);
        }
        if writer.is_closed() {
            return Err(Error::Closed);
        }
        own.check_log(&config)?;
        if own_thread::role() == Role::Writer(writer.id()) {
            return Err(Error::waits_for_itself("a callback on the writer thread", "open a log in", &config.path));
        }
        let rings = EngineRings { budget: Arc::clone(rings), files: ring_files.clone() };
        let shared = Opening::new(config, hooks)?.with_owner(owner).open_on(writer, threads, Some(rings))?;
        let logger = Logger::of(shared, None);
        // The log is in the list now. Either this sees that the engine was closed, or the engine's close finds the log.
        if writer.is_closed() {
            let _ = logger.close();
            return Err(Error::Closed);
        }
        Ok(logger)
    }

    /// Closes all open logs of the engine, as [`Logger::close`] does, and ends the engine: it opens no more logs.
    ///
    /// It first asks all logs to end, and then waits. So together they take as long as the slowest: at most the longest
    /// [`close_deadline`](Config::close_deadline), or half a second more. The report is the sum over these logs;
    /// [`Logger::close`] of each log returns its own report. Later calls find no open logs.
    ///
    /// # Errors
    /// [`Error::CloseIncomplete`] with the sums, and with the path of each log that has not ended cleanly, and why;
    /// [`Error::Forked`].
    pub fn close(&self) -> Result<CloseReport> {
        let writer = &self.inner.writer;
        if writer.is_forked() {
            return Err(Error::Forked);
        }
        let thread = writer.take_no_more_logs();
        let logs: Vec<_> = ends::open_logs().into_iter().filter(|log| log.is_served_by(writer.id())).collect();
        let result = ends::close_all(&logs).into_result();
        // As for a single log: only after a clean end, and not in a callback on that thread.
        if let Some(thread) = thread.filter(|_| result.is_ok() && own_thread::role() != Role::Writer(writer.id())) {
            let _ = thread.join();
            self.inner.threads.join_ended();
        }
        result
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
