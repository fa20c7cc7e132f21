//! Event logs: one log for each kind of event, opened by the first record of that kind.
//!
//! Users call it. It opens logs on an [`Engine`], and closes them. Records go through `thread_local`, as for a
//! [`Logger`]. A thread finds a log that it has used before without a lock (`known`); otherwise it looks among all
//! events (`Events`).

mod known;
mod name;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::appendable::Message;
use crate::clock::Clock;
use crate::config::Config;
use crate::ends;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::level::Level;
use crate::logger::Logger;
use crate::outcome::Outcome;
use crate::own_thread::{self, Role};
use crate::recovery::{Recovery, recover_below};
use crate::segment::Owner;
use crate::stats::{CloseReport, EventStats, LogCounts};
use crate::sync::{Inside, lock};
use crate::thread_local;

use name::directory_of;

/// How many logs may be open at once, unless [`EventLogs::events_max`] sets another number.
const EVENTS_MAX: usize = 1_000;

/// After a log could not be opened, records do not try again for this long, because a try may write to the disk.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many events are remembered although their logs could never be opened.
const UNOPENED_MAX: usize = 1_000;

std::thread_local! {
    /// Whether this thread holds the lock on the events, or opens a log. A signal handler on this thread must do
    /// neither then.
    static INSIDE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The number of the next set of event logs.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A log for each kind of event, all on one [`Engine`]: `base_directory/payment` holds the records of "payment". The
/// first record of an event opens its log, on any thread. Clones are handles to the same logs; dropping the last one
/// closes them.
///
/// After a thread's first record of an event, [`log`](EventLogs::log) takes no lock and allocates nothing. Each thread
/// gets a ring of [`thread_ring_bytes`](Config::thread_ring_bytes) (64 KiB) for each event that it logs. While the log
/// of an event is opened, `log` of that event waits on the other threads. A record that races
/// [`close_event`](EventLogs::close_event) is in the files, or it is refused as [`Outcome::Closed`] and counted.
///
/// The directory has the event's name. In it, separators, control characters, white space, invisible characters,
/// `*?"<>|:`, and a `-` or `.` at the beginning become `_`. A name is refused if it is empty, `.`, `..` or longer than
/// 255 bytes, or if another event has the same directory: two events never share a log, not even in other `EventLogs`
/// or after a restart. If a name had to be changed, the file `event` in the directory holds the original. Without that
/// file, directory and event have the same name.
///
/// Each event that ever had a log is remembered until the last handle is gone, with what its closed logs have counted:
/// about 1 KiB and three times its name. [`events_max`](EventLogs::events_max) limits the open ones only, so do not
/// open and close logs by names that never come again.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-events-doc-{}", std::process::id()));
/// # std::fs::create_dir(&directory).expect("writable");
/// use diolog::{Config, Engine, EngineConfig, EventLogs, Level, Outcome};
///
/// let engine = Engine::start(EngineConfig::new())?;
/// // All logs have these settings, but for the path.
/// let events = EventLogs::new(&engine, directory.join("events"), Config::new("").retain_bytes(1 << 30))?;
///
/// assert_eq!(events.log("payment", Level::Info, "order 42 paid"), Outcome::Written);
/// let shipping = events.open("shipping")?; // a `Logger`, for the macros
/// diolog::info!(shipping, "order {order} sent", order = 42_u64);
///
/// assert_eq!(events.names(), ["payment", "shipping"]);
/// assert_eq!(events.stats().sum.attempted, 2);
/// assert_eq!(events.close()?.durable, 2);
/// assert_eq!(events.log("payment", Level::Info, "late"), Outcome::Closed);
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventLogs {
    inner: Arc<Inner>,
}

/// The state that all handles share.
struct Inner {
    /// The set's number in this process.
    number: u64,
    engine: Engine,
    base_directory: PathBuf,
    /// The settings of each log, except for the path.
    config: Config,
    /// Only records of this level or a more severe one open a log.
    first_level: Level,
    events_max: AtomicUsize,
    events: Mutex<Events>,
    refused: AtomicU64,
    recovery: Vec<(PathBuf, Result<Vec<Recovery>>)>,
}

/// All events that have or had a log.
#[derive(Default)]
struct Events {
    by_name: BTreeMap<String, Event>,
    /// How many logs are open or being opened.
    open: usize,
    is_closed: bool,
}

struct Event {
    directory: String,
    /// Held while the event's log is opened or closed.
    turn: Arc<Mutex<()>>,
    logger: Option<Logger>,
    /// How often the event's log was closed, and what it had counted until then.
    closed: (u64, LogCounts),
    /// Whether the event's log has ever been open.
    was_opened: bool,
    /// When to try again, if the last try to open the log failed.
    again_at: Option<Instant>,
}

impl Event {
    /// The logger, if the log is open.
    fn open_logger(&self) -> Option<&Logger> {
        self.logger.as_ref().filter(|logger| !logger.shared().gate.is_shut())
    }
}

/// The least severe level that a log with these settings, or its flight recorder, takes.
fn most_verbose(config: &Config) -> Level {
    let recorded = (config.flight_recorder > 0).then_some(config.flight_recorder_level);
    config.level.level().max(recorded.unwrap_or(Level::Off))
}

impl EventLogs {
    /// Event logs in `base_directory`, on `engine`, with the settings of `config`, whose path is not used. This opens
    /// no log and creates none. Missing parents of a log's directory are created with the log.
    ///
    /// If processes have died and left records of logs in `base_directory` in [shared rings](crate::RingMemory), this
    /// recovers them, so that they do not wait for the next record of their event:
    /// [`recovery`](EventLogs::recovery) says what became of them. It waits up to five seconds in all for writes of the
    /// dead processes that are under way. Meanwhile nobody else can open the log that is being recovered.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an invalid setting, with the value and a remedy.
    pub fn new(engine: &Engine, base_directory: impl AsRef<Path>, config: Config) -> Result<EventLogs> {
        let base_directory = base_directory.as_ref();
        // Absolute, so that a later change of the working directory has no effect.
        let base_directory = std::path::absolute(base_directory)
            .map_err(|source| Error::io("find the directory", base_directory, source))?;
        let config = config.create_parents(true);
        let checked = engine.check(&at(&config, base_directory.join("event")))?;
        let recovery = recover_below(&base_directory, config.snapshots_max, Clock::detect().unix_ns());
        let inner = Inner {
            recovery,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            engine: engine.clone(),
            base_directory,
            config,
            first_level: most_verbose(&checked),
            events_max: AtomicUsize::new(EVENTS_MAX),
            events: Mutex::default(),
            refused: AtomicU64::new(0),
        };
        Ok(EventLogs { inner: Arc::new(inner) })
    }

    /// The logs for which processes had left records in shared rings when these `EventLogs` were made, and what became
    /// of the records, as [`Logger::recovery`] says it. Logs that were open elsewhere are left out: whoever opened them
    /// has recovered them. So are directories that this user may not open. If the base directory could not be listed,
    /// the list has that error, with the directory's path.
    pub fn recovery(&self) -> &[(PathBuf, Result<Vec<Recovery>>)] {
        &self.inner.recovery
    }

    /// Sets how many logs may be open at once: at least 1; 1,000 by default. A record of one more event is refused as
    /// [`Outcome::NoLog`]. So event names that come from outside the program cannot fill the disk with directories. The
    /// limit holds for all handles. If more logs are open already, they stay open.
    ///
    /// There is no upper bound, but each open log may take two blocks, 1 MiB by default, and has two to four
    /// descriptors, of which a process often has 1,024 (`ulimit -n`). If the engine has a
    /// [`blocks_bytes_max`](crate::EngineConfig::blocks_bytes_max), the records of an event whose log would not get its
    /// two blocks are refused as [`Outcome::NoLog`].
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for 0, with which no event would have a log.
    pub fn events_max(self, events: usize) -> Result<EventLogs> {
        if events == 0 {
            return Err(Error::invalid("events_max", events, "use at least 1: each record needs a log"));
        }
        self.inner.events_max.store(events, Ordering::Relaxed);
        Ok(self)
    }

    /// Appends a record to the log of event `name`, through the calling thread's own producer, as [`Logger::log`] does.
    ///
    /// The first record of an event opens its log, which takes some milliseconds. The first record of a thread makes
    /// its ring. If the log cannot be opened, the record is refused as [`Outcome::NoLog`] and counted;
    /// [`open`](EventLogs::open) returns the reason. For a second after that, records of the event are refused without
    /// another try. A record after [`close_event`](EventLogs::close_event) opens the log again.
    #[inline]
    pub fn log(&self, name: &str, level: Level, message: impl AsRef<[u8]>) -> Outcome {
        let message = Message::new(message.as_ref());
        if !level.is_compiled_in() {
            return Outcome::Filtered;
        }
        match known::append(self.inner.number, name, level, message) {
            Some(outcome) => outcome,
            None => self.log_first(name, level, message),
        }
    }

    /// Appends a record of an event whose log the thread does not know. Opens the log, unless the log would not take
    /// the record.
    #[cold]
    fn log_first(&self, name: &str, level: Level, message: Message<'_>) -> Outcome {
        if level > self.inner.first_level && !self.contains(name) {
            return Outcome::Filtered;
        }
        match self.find_or_open(name, true) {
            Ok(logger) => {
                known::remember(self.inner.number, name, logger.shared());
                thread_local::append(logger.shared(), level, message)
            }
            Err(refusal) => {
                self.inner.refused.fetch_add(1, Ordering::Relaxed);
                match refusal {
                    Error::Closed => Outcome::Closed,
                    Error::Forked => Outcome::Forked,
                    Error::Io { source, .. } if source.kind() == io::ErrorKind::Deadlock => Outcome::Reentrant,
                    _ => Outcome::NoLog,
                }
            }
        }
    }

    /// The logger of event `name`, for the macros, for producers, and for `flush` and `rotate`. If the log is not open,
    /// this opens it. The logger does not keep the log open after [`close`](EventLogs::close) or
    /// [`close_event`](EventLogs::close_event).
    ///
    /// # Errors
    /// The errors of [`Engine::open`]; [`Error::InvalidConfig`] for a name that is refused, and beyond
    /// [`events_max`](EventLogs::events_max); [`Error::Closed`] after [`close`](EventLogs::close).
    pub fn open(&self, name: &str) -> Result<Logger> {
        self.find_or_open(name, false)
    }

    /// Closes the log of event `name`, as [`Logger::close`] does. The event's next record opens it again. If it is not
    /// open, the report is empty.
    ///
    /// # Errors
    /// The errors of [`Logger::close`]; [`Error::Io`] in a callback of the library and in a signal handler.
    pub fn close_event(&self, name: &str) -> Result<CloseReport> {
        let _inside = self.enter()?;
        let turn = lock(&self.inner.events).by_name.get(name).map(|event| Arc::clone(&event.turn));
        let Some(turn) = turn else { return Ok(CloseReport::default()) };
        let _turn = lock(&turn);
        let logger = lock(&self.inner.events).by_name.get(name).and_then(|event| event.logger.clone());
        let Some(logger) = logger else { return Ok(CloseReport::default()) };
        let report = logger.close();
        lock(&self.inner.events).end(name);
        report
    }

    /// Whether the log of event `name` is open.
    pub fn contains(&self, name: &str) -> bool {
        self.when_here(|events| events.by_name.get(name).is_some_and(|event| event.open_logger().is_some()))
    }

    /// The names of the events whose logs are open, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        self.when_here(|events| {
            let open = events.by_name.iter().filter(|(_, event)| event.open_logger().is_some());
            open.map(|(name, _)| name.clone()).collect()
        })
    }

    /// The figures of all logs, also after [`close`](EventLogs::close). No sum is lower than in an earlier call. It
    /// takes some microseconds for each open log, and may wait for another thread that looks for an event.
    pub fn stats(&self) -> EventStats {
        let mut stats = self.when_here(|events| {
            let mut stats = EventStats::default();
            for (name, Event { logger, closed: (logs, counts), .. }) in &events.by_name {
                if *logs > 0 {
                    stats.add_closed(name, *logs, *counts);
                }
                if let Some(logger) = logger {
                    stats.add_open(name, logger.stats());
                }
            }
            stats
        });
        stats.refused_without_log = self.inner.refused.load(Ordering::Relaxed);
        stats
    }

    /// Closes all logs at the same time, and opens none again. Later records are refused as [`Outcome::Closed`], and
    /// counted. The engine goes on. The report is the sum over these logs. Later calls find no open logs.
    ///
    /// # Errors
    /// [`Error::CloseIncomplete`] with the sums, and with the path of each log that has not ended cleanly, and why;
    /// [`Error::Forked`].
    pub fn close(&self) -> Result<CloseReport> {
        self.inner.close()
    }

    /// Calls `look` with the events. Returns the default in a forked child, and in a signal handler that interrupted a
    /// thread inside.
    fn when_here<R: Default>(&self, look: impl FnOnce(&Events) -> R) -> R {
        if self.inner.engine.is_forked() {
            return R::default();
        }
        let Some(_inside) = Inside::enter(&INSIDE) else { return R::default() };
        look(&lock(&self.inner.events))
    }

    /// Marks the thread as inside. Fails if it is inside already, because it may hold the locks, or if it is a writer
    /// thread, for which others wait.
    fn enter(&self) -> Result<Inside> {
        if self.inner.engine.is_forked() {
            return Err(Error::Forked);
        }
        let is_writer = matches!(own_thread::role(), Role::Writer(_));
        let inside = Inside::enter(&INSIDE).filter(|_| !is_writer);
        inside.ok_or_else(|| {
            let who = "a callback on a writer thread, or a signal handler here,";
            Error::waits_for_itself(who, "open or close a log in", &self.inner.base_directory)
        })
    }

    /// The logger of event `name`. With `rarely`, does not try again soon after a failure.
    fn find_or_open(&self, name: &str, rarely: bool) -> Result<Logger> {
        let _inside = self.enter()?;
        let inner = &*self.inner;
        loop {
            let (turn, directory) = match lock(&inner.events).find(name, inner.events_max())? {
                Found::Open(logger) => return Ok(logger),
                Found::Unopened(turn, directory) => (turn, directory),
            };
            let _turn = lock(&turn);
            let begun = lock(&inner.events).begin_opening(name, inner.events_max(), rarely)?;
            match begun {
                Begun::Open(logger) => return Ok(logger),
                Begun::Left(logger) => {
                    // Somebody else has closed the log. Wait for its end.
                    let _ = logger.close();
                    lock(&inner.events).end(name);
                    continue;
                }
                Begun::Forgotten => continue,
                Begun::Opening => {}
            }
            let config = at(&inner.config, inner.base_directory.join(&directory));
            let opened = inner.engine.open_event(config, Owner { event: name.to_owned(), directory });
            let is_closed = lock(&inner.events).finish_opening(name, opened.as_ref().ok());
            let logger = opened?;
            if is_closed {
                let _ = logger.close();
                lock(&inner.events).end(name);
                return Err(Error::Closed);
            }
            return Ok(logger);
        }
    }
}

impl fmt::Debug for EventLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLogs").field("base_directory", &self.inner.base_directory).finish_non_exhaustive()
    }
}

impl Inner {
    fn events_max(&self) -> usize {
        self.events_max.load(Ordering::Relaxed)
    }

    fn close(&self) -> Result<CloseReport> {
        if self.engine.is_forked() {
            return Err(Error::Forked);
        }
        let open: Vec<_> = {
            let mut events = lock(&self.events);
            events.is_closed = true;
            let open = events.by_name.iter().filter_map(|(name, event)| Some((name.clone(), event.logger.clone()?)));
            open.collect()
        };
        let logs: Vec<_> = open.iter().map(|(_, logger)| Arc::clone(logger.shared())).collect();
        let summary = ends::close_all(&logs);
        let mut events = lock(&self.events);
        open.iter().for_each(|(name, _)| events.end(name));
        summary.into_result()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody gets the error here: a caller who wants it calls `close` first.
        let _ = self.close();
    }
}

/// The result of looking for an event.
enum Found {
    Open(Logger),
    /// The log is not open. The lock of the event's turn, and the event's directory.
    Unopened(Arc<Mutex<()>>, String),
}

/// The event's state for the thread that has its turn.
enum Begun {
    /// Another thread has opened it first.
    Open(Logger),
    /// The log was closed by its own logger, or with the engine.
    Left(Logger),
    /// The event was removed.
    Forgotten,
    /// The log is to be opened now. It counts as open.
    Opening,
}

impl Events {
    /// Finds an event, or adds it.
    fn find(&mut self, name: &str, events_max: usize) -> Result<Found> {
        if self.is_closed {
            return Err(Error::Closed);
        }
        if let Some(event) = self.by_name.get(name) {
            return Ok(match event.open_logger() {
                Some(logger) => Found::Open(logger.clone()),
                None => Found::Unopened(Arc::clone(&event.turn), event.directory.clone()),
            });
        }
        let directory = directory_of(name)?;
        self.check_limit(name, events_max)?;
        let has_failed = |event: &Event| !event.was_opened && event.again_at.is_some();
        if self.by_name.values().filter(|event| has_failed(event)).count() >= UNOPENED_MAX {
            self.by_name.retain(|_, event| !has_failed(event));
        }
        let turn = Arc::<Mutex<()>>::default();
        let event = Event {
            directory: directory.clone(),
            turn: Arc::clone(&turn),
            logger: None,
            closed: Default::default(),
            was_opened: false,
            again_at: None,
        };
        self.by_name.insert(name.to_owned(), event);
        Ok(Found::Unopened(turn, directory))
    }

    fn check_limit(&self, name: &str, events_max: usize) -> Result<()> {
        if self.open < events_max {
            return Ok(());
        }
        let remedy = format!("the log of {name:?} would be one more: close others by close_event, or raise it");
        Err(Error::invalid("events_max", events_max, remedy))
    }

    /// Looks at the event again, after the caller has got its turn.
    fn begin_opening(&mut self, name: &str, events_max: usize, rarely: bool) -> Result<Begun> {
        if self.is_closed {
            return Err(Error::Closed);
        }
        let Some(event) = self.by_name.get(name) else { return Ok(Begun::Forgotten) };
        if let Some(logger) = event.open_logger() {
            return Ok(Begun::Open(logger.clone()));
        }
        if let Some(logger) = &event.logger {
            return Ok(Begun::Left(logger.clone()));
        }
        if rarely && event.again_at.is_some_and(|again_at| Instant::now() < again_at) {
            let source = io::Error::other("it failed less than a second ago");
            return Err(Error::io("open the log in", Path::new(&event.directory), source));
        }
        self.check_limit(name, events_max)?;
        self.open += 1;
        Ok(Begun::Opening)
    }

    /// Stores the logger of a log that was opened, or notes that it could not be. Returns whether all logs have been
    /// closed meanwhile.
    fn finish_opening(&mut self, name: &str, opened: Option<&Logger>) -> bool {
        if let Some(event) = self.by_name.get_mut(name) {
            event.was_opened |= opened.is_some();
            event.again_at = opened.is_none().then(|| Instant::now() + RETRY_AFTER);
            event.logger = opened.cloned();
        }
        self.open -= usize::from(opened.is_none());
        self.is_closed
    }

    /// Keeps the counts of a log that has ended, unless that was done.
    fn end(&mut self, name: &str) {
        let Some(event) = self.by_name.get_mut(name) else { return };
        if let Some(logger) = event.logger.take() {
            event.closed.0 += 1;
            event.closed.1.add(&LogCounts::from(&logger.stats()));
            self.open -= 1;
        }
    }
}

/// `config` for a log in `path`.
fn at(config: &Config, path: PathBuf) -> Config {
    let mut config = config.clone();
    config.path = path;
    config
}
