//! The state that one log's handles, producers and writer share.
//!
//! Everything here is immutable, atomic, or behind a lock. The README lists the appends that take one.

use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::admission::Admission;
use crate::appendable::Destination;
use crate::callsite::Callsite;
use crate::clock::Clock;
use crate::config::{Overflow, PART_FOR_LARGE_RINGS, Validated};
use crate::error::{Error, Result};
use crate::flush::FlushQueue;
use crate::gate::{Gate, Refusal};
use crate::level::Level;
use crate::listen::Listening;
use crate::own_thread::{self, Role, WriterId};
use crate::recorder::{Recorder, RecorderEnd, RecorderRings, RecorderRules, TriggerRules};
use crate::recovery::Recovery;
use crate::registry::{Registry, RingRules};
use crate::ring::{Budget, ProducerEnd, RingMaker, Slots};
use crate::sink::Sink;
use crate::stats::{CloseReport, Published, RefusedBy, Stats};
use crate::sync::lock;

/// State shared by one log's handles, producers and writer.
pub(crate) struct Shared {
    pub(crate) settings: Validated,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate,
    /// The levels by target.
    pub(crate) admission: Admission,
    pub(crate) registry: Registry,
    pub(crate) flushes: FlushQueue,
    pub(crate) closing: Closing,
    /// Written by the log's writer alone, through its [`Publisher`](crate::stats::Publisher).
    pub(crate) published: Arc<Published>,
    /// Where records go.
    pub(crate) sink: Sink,
    /// The log's flight recorder, if it has one.
    pub(crate) recorder: Option<Recorder>,
    /// The log's listeners.
    pub(crate) listening: Listening,
    /// What opening the log has recovered of runs that died.
    pub(crate) recovered: Vec<Recovery>,
    /// The producer of the common ring, if it was made. Only `common_ring` uses it.
    pub(crate) common: Mutex<Option<CommonProducer>>,
    /// Whether producers give up waiting for room. The writer alone changes it.
    gives_up_waiting: AtomicBool,
    /// A caller has asked for a rotation. The writer clears it.
    rotation_asked: AtomicBool,
    /// A record that asks for a flush was accepted. The writer clears it.
    flush_asked: AtomicBool,
    refusals: Refusals,
    /// Records that a callsite's limit has hidden.
    hidden: AtomicU64,
    /// The writer thread, after it has begun to serve this log.
    writer: OnceLock<OwnWriter>,
}

/// The writer thread of a log.
pub(crate) struct OwnWriter {
    /// Woken for a flush, a rotation or a close.
    pub(crate) thread: Thread,
    pub(crate) id: WriterId,
    /// A record of any of its logs has asked for a flush or a snapshot. The thread looks here while it sleeps, and
    /// clears it.
    pub(crate) asked: Arc<AtomicBool>,
}

/// The producer of the common ring.
pub(crate) struct CommonProducer {
    pub(crate) end: ProducerEnd,
    pub(crate) recorder_end: RecorderEnd,
}

/// Where the rings of a log get their memory.
#[derive(Default)]
pub(crate) struct RingResources {
    /// The budget of the engine.
    pub(crate) budget: Option<Arc<Budget>>,
    /// The slots in which the rings are; `None` for private memory.
    pub(crate) slots: Option<Arc<dyn Slots>>,
    /// The same for the rings of the flight recorder.
    pub(crate) recorder_slots: Option<Arc<dyn Slots>>,
}

impl Shared {
    /// The state of a log that nobody writes to yet.
    pub(crate) fn new(
        settings: Validated,
        clock: Clock,
        gate: Gate,
        producers_max: usize,
        published: Arc<Published>,
        memory: RingResources,
    ) -> Shared {
        let config = &settings.config;
        let (drops, overwrite) = match config.overflow {
            Overflow::DropNewest | Overflow::BlockFor(_) => (true, false),
            Overflow::Block => (false, false),
            Overflow::OverwriteOldest => (false, true),
        };
        let rings = RingRules {
            overwrite,
            reserve_bytes: if drops { config.reserve_bytes } else { 0 },
            severe_only_eighths: if drops { config.severe_only_eighths } else { 0 },
            largest_bytes: settings.crowded_ring_bytes.max(settings.thread_ring_bytes),
            bytes_max: config.rings_bytes_max,
        };
        let registry = Registry::new(config.path.clone(), rings, producers_max, memory.slots, memory.budget);
        let recorder = (config.flight_recorder > 0)
            .then(|| new_recorder(&settings, clock, memory.recorder_slots, Arc::clone(registry.budget())));
        let recorded = recorder.as_ref().map(|_| config.flight_recorder_level);
        Shared {
            registry,
            recorder,
            admission: Admission::new(&gate, config.level.clone(), recorded),
            settings,
            clock,
            gate,
            flushes: FlushQueue::default(),
            closing: Closing::default(),
            published,
            sink: Sink::Files,
            listening: Listening::default(),
            recovered: Vec::new(),
            common: Mutex::new(None),
            gives_up_waiting: AtomicBool::new(false),
            rotation_asked: AtomicBool::new(false),
            flush_asked: AtomicBool::new(false),
            refusals: Refusals::default(),
            hidden: AtomicU64::new(0),
            writer: OnceLock::new(),
        }
    }

    /// Bytes of the ring of a producer that has no size of its own.
    pub(crate) fn ring_bytes(&self) -> usize {
        let Validated { ring_bytes, crowded_ring_bytes, .. } = self.settings;
        let large_max = self.settings.config.rings_bytes_max / PART_FOR_LARGE_RINGS;
        if self.registry.has_room_for(ring_bytes, large_max) { ring_bytes } else { crowded_ring_bytes }
    }

    /// Counts an append that was refused without a sequence number. A filtered one is not counted.
    pub(crate) fn count_refusal(&self, refusal: Refusal) {
        let Refusals { closed, forked, reentrant, no_ring } = &self.refusals;
        let count = match refusal {
            Refusal::Filtered => return,
            Refusal::Closed => closed,
            Refusal::Forked => forked,
            Refusal::Reentrant => reentrant,
            Refusal::NoRing => no_ring,
        };
        count.fetch_add(1, Relaxed);
    }

    /// Counts a record that its callsite's limit hides.
    pub(crate) fn count_hidden(&self) {
        self.hidden.fetch_add(1, Relaxed);
    }

    /// The appends refused so far.
    pub(crate) fn refused_by(&self) -> RefusedBy {
        let Refusals { closed, forked, reentrant, no_ring } = &self.refusals;
        let [closed, forked, reentrant, no_ring] =
            [closed, forked, reentrant, no_ring].map(|count| count.load(Relaxed));
        RefusedBy { closed, forked, reentrant, no_ring }
    }

    /// Notes whether producers should give up waiting for room, because the disk refuses new segments too.
    pub(crate) fn set_gives_up_waiting(&self, gives_up: bool) {
        // Relaxed: the value is all that is needed, and producers that wait read it repeatedly.
        self.gives_up_waiting.store(gives_up, Relaxed);
    }

    /// Whether producers should give up waiting for room: a new segment has failed too, or none can be had.
    pub(crate) fn gives_up_waiting(&self) -> bool {
        self.gives_up_waiting.load(Relaxed)
    }

    /// The log's figures now.
    pub(crate) fn stats(&self) -> Stats {
        let producers = || self.registry.recent_counts();
        let mut stats = Stats::collect(&self.published, producers, self.refused_by(), self.hidden.load(Relaxed));
        stats.listeners = self.listening.stats();
        stats.recorder = self.recorder.as_ref().map(Recorder::stats);
        if let Sink::Memory(memory) = &self.sink {
            stats.attempted = memory.appended();
        }
        stats
    }

    /// Asks the writer to begin the next segment.
    pub(crate) fn ask_for_rotation(&self) {
        // Relaxed: the value is all that is needed.
        self.rotation_asked.store(true, Relaxed);
        self.wake_writer();
    }

    /// Takes the request for a rotation, if there is one. Called by the writer, once a turn.
    pub(crate) fn take_rotation(&self) -> bool {
        self.rotation_asked.load(Relaxed) && self.rotation_asked.swap(false, Relaxed)
    }

    /// Whether the log's levels let a record of the callsite pass.
    pub(crate) fn passes_its_target(&self, level: Level, callsite: &Callsite) -> bool {
        match callsite.number_or_assign() {
            Some(number) => self.admission.passes(&self.gate, number, || (level, callsite.target())),
            None => self.admission.passes_target(&self.gate, level, callsite.target()),
        }
    }

    /// The log's recorder, if there is one and the log does not take the record. The recorder may not take it either.
    pub(crate) fn recorder_instead_of_log(&self, level: Level, destination: Destination<'_>) -> Option<&Recorder> {
        let recorder = self.recorder.as_ref()?;
        let takes = match destination {
            Destination::ByLevel => self.gate.takes(level as u8),
            Destination::Log => true,
            Destination::Recorder => false,
            Destination::OfCallsite(callsite) => self.passes_its_target(level, callsite),
        };
        (!takes).then_some(recorder)
    }

    /// Whether an accepted record of `level` [asks for a flush](crate::Config::flush_on).
    fn asks_for_flush(&self, level: Level) -> bool {
        self.settings.config.flush_on.is_some_and(|least_severe| level <= least_severe)
    }

    /// Whether an accepted record of `level` asks the writer for something.
    pub(crate) fn asks_the_writer(&self, level: Level) -> bool {
        self.asks_for_flush(level)
            || self.recorder.as_ref().is_some_and(|recorder| recorder.triggers.is_asked_by(level))
    }

    /// Whether a listener gets records of `level`.
    pub(crate) fn is_heard(&self, level: Level) -> bool {
        self.settings.config.listeners.iter().any(|(least_severe, _)| level <= least_severe)
    }

    /// Asks the writer for a flush and a snapshot, if an accepted record of `level` [is to do
    /// that](Self::asks_the_writer). Makes no system call: the writer looks for requests a thousand times a second.
    pub(crate) fn ask_the_writer(&self, level: Level) {
        let asks_for_flush = self.asks_for_flush(level);
        if asks_for_flush {
            // Acquire and release: _record flush asked_. An exchange, so that the writer sees the commits of all who
            // have asked before it, not only of the last one.
            self.flush_asked.swap(true, AcqRel);
        }
        let has_asked_for_snapshot = self.recorder.as_ref().is_some_and(|recorder| recorder.triggers.note_level(level));
        if (asks_for_flush || has_asked_for_snapshot)
            && let Some(writer) = self.writer.get()
        {
            // Release: _writer asked_.
            writer.asked.store(true, Release);
        }
    }

    /// Takes the request for a flush for which nobody waits, if there is one. Called by the writer, once a turn.
    pub(crate) fn take_flush_asked(&self) -> bool {
        // Acquire: _record flush asked_.
        self.flush_asked.load(Relaxed) && self.flush_asked.swap(false, AcqRel)
    }

    /// Names the thread that serves this log. Called once.
    pub(crate) fn set_writer(&self, writer: OwnWriter) {
        let first = self.writer.set(writer).is_ok();
        debug_assert!(first, "a log has one writer");
    }

    /// Whether writer `id` serves this log.
    pub(crate) fn is_served_by(&self, id: WriterId) -> bool {
        self.writer.get().is_some_and(|writer| writer.id == id)
    }

    /// Whether the calling thread is this log's writer, in a callback. It would wait for itself.
    pub(crate) fn is_on_own_writer(&self) -> bool {
        matches!(own_thread::role(), Role::Writer(id) if self.is_served_by(id))
    }

    /// Wakes the writer if it sleeps. Never called by an append that does not wait.
    pub(crate) fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.thread.unpark();
        }
    }

    /// The log's end, if it ended now with `durable_records`. Records are unconfirmed if they are neither durable nor
    /// counted as lost.
    pub(crate) fn close_summary(&self, durable_records: u64, reason: Option<String>) -> CloseSummary {
        let totals = self.registry.counts().totals;
        let lost = totals.dropped + totals.overwritten;
        let unconfirmed = totals.attempted.saturating_sub(lost + durable_records);
        let refused_by = self.refused_by();
        let report = CloseReport {
            accepted: totals.attempted.saturating_sub(totals.dropped),
            durable: durable_records,
            dropped: totals.dropped,
            dropped_by: totals.dropped_by,
            overwritten: totals.overwritten,
            refused: refused_by.total(),
            refused_by,
            hidden: self.hidden.load(Relaxed),
        };
        CloseSummary { report, unconfirmed, reason }
    }

    /// The end of a log whose writer does not answer. The figures are the last that the writer has published, for the
    /// message only.
    pub(crate) fn close_summary_without_writer(&self, reason: &str) -> CloseSummary {
        self.close_summary(self.published.durable_records(), Some(reason.to_owned()))
    }

    /// The end of a logger without a log, after its gate was closed.
    pub(crate) fn close_summary_without_log(&self) -> CloseSummary {
        let mut summary = self.close_summary(0, None);
        if let Sink::Memory(memory) = &self.sink {
            // Waits for an append that passed the gate before it was closed.
            summary.report.accepted = memory.appended();
        }
        summary
    }
}

/// The flight recorder that the settings ask for. `budget` counts the memory of its rings.
fn new_recorder(settings: &Validated, clock: Clock, slots: Option<Arc<dyn Slots>>, budget: Arc<Budget>) -> Recorder {
    let config = &settings.config;
    let ring_bytes = config.flight_recorder;
    let message_bytes_max = settings.message_bytes_max_in(ring_bytes);
    let rules = RecorderRules { level: config.flight_recorder_level, ring_bytes, message_bytes_max };
    let triggers =
        TriggerRules { on: config.snapshot_on, on_panic: config.snapshot_on_panic, every: config.snapshot_every };
    let maker = RingMaker::new(slots, 0, Arc::clone(&budget));
    Recorder::new(RecorderRings::new(rules, clock, maker, budget), triggers)
}

/// Appends refused without a sequence number.
#[derive(Default)]
struct Refusals {
    closed: AtomicU64,
    forked: AtomicU64,
    reentrant: AtomicU64,
    no_ring: AtomicU64,
}

/// How a log ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct CloseSummary {
    pub(crate) report: CloseReport,
    /// Records accepted but not known durable.
    pub(crate) unconfirmed: u64,
    /// Why records are unconfirmed or the clean end is missing.
    pub(crate) reason: Option<String>,
}

impl CloseSummary {
    /// The result of `close`.
    ///
    /// # Errors
    /// [`Error::CloseIncomplete`] if the log has not ended cleanly.
    pub(crate) fn into_result(self) -> Result<CloseReport> {
        let CloseSummary { report, unconfirmed, reason } = self;
        let dropped = report.dropped + report.overwritten;
        match reason {
            None => Ok(report),
            Some(reason) => Err(Error::CloseIncomplete { unconfirmed, dropped, reason }),
        }
    }
}

/// The appends under way that the writer waits for before the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AwaitedAppends {
    /// None.
    None,
    /// All except those that have begun on this stack. The thread of these never returns to them. The range may be
    /// empty.
    AllBut(Range<u64>),
}

/// A close: when it must end, and how it ended.
#[derive(Default)]
pub(crate) struct Closing {
    inner: Mutex<ClosingState>,
    ended: Condvar,
}

#[derive(Default)]
struct ClosingState {
    deadline: Option<Instant>,
    /// The process is exiting: the writer waits for appends under way only until this time.
    appends_until: Option<Instant>,
    /// The stack of the exiting thread, if it is known.
    exiting_stack: Range<u64>,
    summary: Option<CloseSummary>,
}

impl Closing {
    /// Asks the writer to end by `deadline`. Returns the deadline of the first caller, which counts.
    pub(crate) fn request(&self, deadline: Instant) -> Instant {
        *lock(&self.inner).deadline.get_or_insert(deadline)
    }

    /// Limits how long the writer waits for appends under way, because the process exits. It does not wait at all for
    /// one that has begun on the `stack` of the exiting thread.
    pub(crate) fn wait_for_appends_until(&self, until: Instant, stack: Range<u64>) {
        let mut inner = lock(&self.inner);
        inner.appends_until = Some(until);
        inner.exiting_stack = stack;
    }

    /// The appends under way that the writer waits for at `now`.
    pub(crate) fn awaited_appends(&self, now: Instant) -> AwaitedAppends {
        let inner = lock(&self.inner);
        match inner.appends_until {
            Some(until) if now >= until => AwaitedAppends::None,
            _ => AwaitedAppends::AllBut(inner.exiting_stack.clone()),
        }
    }

    /// Whether the log has ended.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.inner).summary.is_some()
    }

    /// The deadline, once a caller has asked for a close.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        lock(&self.inner).deadline
    }

    /// Publishes how the log ended. Returns the summary that was published first, which counts.
    pub(crate) fn finish(&self, summary: CloseSummary) -> CloseSummary {
        let first = lock(&self.inner).summary.get_or_insert(summary).clone();
        self.ended.notify_all();
        first
    }

    /// Waits until the log has ended, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<CloseSummary> {
        let guard = lock(&self.inner);
        let waited = self.ended.wait_timeout_while(guard, timeout, |state| state.summary.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.summary.clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Config;
    use crate::device::{DeviceKind, DeviceReport};

    /// The state of a log without a writer.
    pub(crate) fn log() -> Arc<Shared> {
        log_with(Config::new("never created"))
    }

    /// The same, with these settings.
    pub(crate) fn log_with(config: Config) -> Arc<Shared> {
        let settings = config.validate().expect("valid");
        let gate = Gate::new(Level::Info as u8).expect("a page");
        let (published, _) = Published::new(DeviceReport { kind: DeviceKind::Pwrite, reasons: Vec::new() });
        Arc::new(Shared::new(settings, Clock::detect(), gate, 2, published, RingResources::default()))
    }
}
