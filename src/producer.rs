//! One thread's handle to a log: check the level, claim, stamp, copy, commit. `attempt` has the steps that other paths
//! of an append share, and `waiting` the wait for space.

use std::fmt;
use std::sync::Arc;

use crate::appendable::{Appendable, Message};
use crate::attempt::{accepted, append_to_recorder, drop_newest, enter, flags, is_severe, refuse, tag, tag_here};
use crate::clock::Clock;
use crate::config::Overflow;
use crate::fields::{Kept, Scratch, ScratchCell, Structured, with_scratch};
use crate::gate::{ByTarget, Entered, GateWords, Refusal};
use crate::level::Level;
use crate::outcome::Outcome;
use crate::recorder::RecorderEnd;
use crate::ring::{CLASSES, Full, ProducerEnd};
use crate::shared::Shared;
use crate::sink::{Reentrant, Sink};
use crate::waiting::wait_or_drop;

/// One thread's handle to a log, with its own ring.
///
/// `Send` but not `Sync`: move it into the thread that logs. When it is dropped, the records in its ring are still
/// written. It does not keep the log open: after the last [`Logger`](crate::Logger) is dropped, appends return
/// [`Outcome::Closed`].
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-doc-producer-{}", std::process::id()));
/// use diolog::{Config, Level, Logger, Outcome};
///
/// let logger = Logger::open(Config::new(&directory))?;
/// let producer = logger.producer_named("orders")?;
/// let thread = std::thread::spawn(move || {
///     if producer.log(Level::Info, "order 42 filled") == Outcome::Dropped {
///         // The ring was full. The loss is counted, in the stats and in the log itself.
///     }
///     // Below the log's level, which is `Info` by default.
///     assert_eq!(producer.log(Level::Debug, "price of 42: 17.3"), Outcome::Filtered);
/// });
/// thread.join().expect("no panic");
/// logger.close()?;
///
/// assert_eq!(logger.stats().durable_records, 1);
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[repr(C, align(64))]
pub struct Producer {
    /// `None` if the logger writes no log, and after `drop` has taken it.
    end: Option<ProducerEnd>,
    /// A copy, like the next three, so that an append touches fewer cache lines. They are cold for a thread that rarely
    /// logs.
    gate: GateWords,
    clock: Clock,
    message_bytes_max: usize,
    overflow: Overflow,
    id: u32,
    shared: Arc<Shared>,
    /// The buffer for formatters, which run before a record is appended.
    scratch: ScratchCell,
    /// The buffer for claims that find no room in the window. Empty until there was one.
    claim_buffer: Vec<u8>,
    /// The producer's end of its ring in the log's flight recorder.
    recorder_end: RecorderEnd,
}

// The fast path reads one cache line of this struct: it holds the end, and the address of the gate's words.
#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(std::mem::offset_of!(Producer, gate) + size_of::<usize>() <= 64);

impl Producer {
    pub(crate) fn new(shared: Arc<Shared>, id: u32, mut end: ProducerEnd) -> Producer {
        let message_bytes_max = shared.settings.message_bytes_max_in(end.capacity());
        // The fast path reads the CPU's counter, and passes the gate without a barrier.
        let has_fast_path = shared.clock.is_counter() && shared.gate.has_barrier_at_close();
        // A record that asks the writer for something, or that a listener may get, takes the slow path. So the fast
        // path need not compare the level.
        let is_fast = |level: Level| has_fast_path && !shared.asks_the_writer(level) && !shared.is_heard(level);
        let of_class = |of: usize| Level::ALL.into_iter().find(|level| class(*level) == of);
        end.limit_fast_path(|class| of_class(class).is_some_and(is_fast).then_some(message_bytes_max));
        Producer::of(shared, id, Some(end), message_bytes_max)
    }

    /// A producer of a logger whose records go to no log.
    pub(crate) fn without_ring(shared: Arc<Shared>, id: u32) -> Producer {
        let message_bytes_max = shared.settings.message_bytes_max;
        Producer::of(shared, id, None, message_bytes_max)
    }

    fn of(shared: Arc<Shared>, id: u32, end: Option<ProducerEnd>, message_bytes_max: usize) -> Producer {
        Producer {
            end,
            gate: shared.gate.words().clone(),
            clock: shared.clock,
            message_bytes_max,
            overflow: shared.settings.config.overflow,
            id,
            scratch: ScratchCell::new(message_bytes_max),
            claim_buffer: Vec::new(),
            recorder_end: RecorderEnd::of(id),
            shared,
        }
    }

    /// The producer's id, unique within the run. The files and the reader show the same one.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The sequence number of the next attempt: the number of attempts so far.
    pub fn next_sequence(&self) -> u64 {
        match (&self.end, &self.shared.sink) {
            (Some(end), _) => end.next_sequence(),
            (None, Sink::Memory(memory)) => memory.next_sequence(self.id),
            (None, _) => 0,
        }
    }

    /// The longest message, in bytes, that is appended whole. Longer ones are cut to it.
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Whether the log, or its flight recorder, wants a record of `level` without a target now.
    #[inline]
    #[must_use]
    pub fn is_enabled(&self, level: Level) -> bool {
        level.is_compiled_in() && self.gate.admits(level as u8)
    }

    /// Appends a record. This takes about as long as reading the clock, and does not wait for the disk. But with
    /// [`Overflow::Block`] it waits while the ring is full, for hours if the disk is full; with
    /// [`Overflow::BlockFor`], up to its limit.
    ///
    /// It returns [`Outcome::Written`] if the record is in the ring; [`Outcome::Truncated`] if the record is in the
    /// ring, cut to [`message_bytes_max`](Self::message_bytes_max); and [`Outcome::Dropped`] if it is lost, and
    /// counted. [`Outcome`] has the others, which take no sequence number.
    ///
    /// A signal handler may log, with two exceptions. If it interrupts an append of this very producer, it gets
    /// [`Outcome::Reentrant`]. And it must not log a producer's first record for the flight recorder.
    #[inline]
    pub fn log(&self, level: Level, message: impl AsRef<[u8]>) -> Outcome {
        if !level.is_compiled_in() {
            return Outcome::Filtered;
        }
        // The caller's `as_ref` runs before the append begins, so it may log too.
        self.append_message(level, Message::new(message.as_ref()))
    }

    /// Appends the text of `arguments`, which `format_args!` makes, as a message without fields. The text is formatted
    /// before the append begins, into a buffer of the producer's, so nothing is allocated. If `level` is not admitted,
    /// nothing is formatted.
    ///
    /// Returns what [`log`](Self::log) returns. A text longer than [`message_bytes_max`](Self::message_bytes_max) is
    /// cut. If a formatter of the arguments itself logs through this producer, that record comes first, and a text that
    /// is formatted for it is cut to 1 KiB.
    ///
    /// ```
    /// # let (logger, log) = diolog::Logger::in_memory();
    /// # let producer = logger.producer()?;
    /// use diolog::Level;
    ///
    /// producer.log_args(Level::Info, format_args!("order {} filled", 42));
    /// # assert_eq!(log.messages(), ["order 42 filled"]);
    /// # Ok::<(), diolog::Error>(())
    /// ```
    pub fn log_args(&self, level: Level, arguments: fmt::Arguments<'_>) -> Outcome {
        if let Some(text) = arguments.as_str()
            && level.is_compiled_in()
        {
            return self.append_message(level, Message::new(text.as_bytes()));
        }
        if !self.is_enabled(level) {
            return self.refuse();
        }
        self.with_scratch(|scratch| {
            let cut = scratch.format(arguments).is_cut();
            self.append_message(level, Message { bytes: scratch.bytes(), cut })
        })
    }

    /// The outcome of an append whose level is not admitted.
    #[inline(always)]
    pub(crate) fn refuse(&self) -> Outcome {
        if self.gate.is_shut() { self.refuse_shut() } else { Outcome::Filtered }
    }

    #[cold]
    #[inline(never)]
    fn refuse_shut(&self) -> Outcome {
        refuse(&self.shared, self.shared.gate.refusal())
    }

    /// Appends a message of `level`, if that is admitted.
    #[inline(always)]
    pub(crate) fn append_message(&self, level: Level, message: Message<'_>) -> Outcome {
        let gate = &self.gate;
        if !gate.admits(level as u8) && !gate.is_shut() {
            return Outcome::Filtered;
        }
        self.append_admitted(level, message, Producer::append_slow)
    }

    /// Appends a record whose level was admitted a moment ago. Calls `slow` in rare cases.
    #[inline(always)]
    fn append_admitted<A: Appendable + Copy>(
        &self,
        level: Level,
        record: A,
        slow: impl FnOnce(&Producer, Level, A) -> Outcome,
    ) -> Outcome {
        // The fast path has no calls, so nothing is spilled to the stack; rare cases restart in `slow`. Only a slow
        // claim, once a round of the ring, is called from here: `slow` would touch a dozen cold cache lines.
        if let Some(end) = &self.end
            && end.fits_fast_path(class(level), record.bytes())
            && !record.is_cut()
            && let Some(_entered) = self.enter_fast(end, level, &record)
        {
            match end.append_fast(tag(record.kind(), level, 0), &record, Clock::counter) {
                Ok(()) => return Outcome::Written,
                // Counting a drop touches only lines that are already cached.
                Err(Full) if self.drops_when_full() => return self.append_past_window_or_drop(end, level, record),
                Err(Full) => {}
            }
        }
        slow(self, level, record)
    }

    /// [`enter`] on the fast path.
    #[inline(always)]
    fn enter_fast<'a>(&self, end: &'a ProducerEnd, level: Level, record: &impl Appendable) -> Option<Entered<'a>> {
        let flag = end.control().append_flag();
        if record.has_target() {
            self.gate.enter_target_fast(flag, level as u8)
        } else {
            self.gate.enter_fast(flag, level as u8)
        }
    }

    /// [`append_message`](Self::append_message) on the slow path, for all cases.
    #[inline(never)]
    fn append_slow(&self, level: Level, mut message: Message<'_>) -> Outcome {
        self.append_general(level, &mut message)
    }

    /// Appends a structured record whose level was admitted a moment ago.
    #[inline(always)]
    pub(crate) fn append_structured<K: Kept>(&self, level: Level, record: Structured<'_, K>) -> Outcome {
        self.append_admitted(level, record, Producer::append_structured_slow)
    }

    /// [`append_structured`](Self::append_structured) on the slow path, for all cases.
    #[cold]
    #[inline(never)]
    fn append_structured_slow<K: Kept>(&self, level: Level, mut record: Structured<'_, K>) -> Outcome {
        self.append_dyn(level, &mut record)
    }

    /// Appends a record of any type in all cases. One such function serves all callsites of a program.
    #[inline(never)]
    pub(crate) fn append_dyn(&self, level: Level, record: &mut dyn Appendable) -> Outcome {
        self.append_general(level, record)
    }

    #[inline(always)]
    fn append_general(&self, level: Level, record: &mut (impl Appendable + ?Sized)) -> Outcome {
        let Some(end) = &self.end else { return self.append_without_log(level, record) };
        if let Some(recorder) = self.shared.recorder_instead_of_log(level, record.destination()) {
            return append_to_recorder(&self.shared, recorder, &self.recorder_end, level, record);
        }
        let entered = match enter(&self.shared.gate, end, level, record) {
            Ok(entered) => entered,
            Err(refusal) => return refuse(&self.shared, refusal),
        };
        record.cut_to(self.message_bytes_max);
        let accepted = accepted(record);
        let tag = tag_here(record.kind(), level, flags(record));
        // The clock is read after there is room.
        let outcome = match end.append(tag, record, || self.clock.ticks()) {
            Ok(()) => accepted,
            Err(Full) => self.append_past_window_or_wait(end, level, tag, record),
        };
        drop(entered);
        if outcome == accepted {
            self.shared.ask_the_writer(level);
        }
        outcome
    }

    /// Appends a record of a logger without a log.
    #[cold]
    fn append_without_log(&self, level: Level, record: &mut (impl Appendable + ?Sized)) -> Outcome {
        let gate = &self.shared.gate;
        let Sink::Memory(memory) = &self.shared.sink else {
            return refuse(&self.shared, gate.refusal());
        };
        if gate.is_forked() {
            return refuse(&self.shared, Refusal::Forked);
        }
        record.cut_to(self.message_bytes_max);
        let has_target = record.has_target();
        let admits = || if has_target { !gate.is_shut() } else { gate.admits(level as u8) };
        match memory.append(self.id, level, record, admits) {
            Ok(true) => accepted(record),
            Ok(false) => refuse(&self.shared, gate.refusal()),
            Err(Reentrant) => refuse(&self.shared, Refusal::Reentrant),
        }
    }

    /// Appends a record of the fast path to the reserve or to the room for severe records, or drops it.
    #[cold]
    #[inline(never)]
    fn append_past_window_or_drop<A: Appendable>(&self, end: &ProducerEnd, level: Level, record: A) -> Outcome {
        match end.append_past_window(is_severe(level), tag(record.kind(), level, 0), &record, Clock::counter) {
            Ok(()) => Outcome::Written,
            Err(cause) => drop_newest(end, cause),
        }
    }

    /// Appends a record for which the window has no room to the reserve or to the room for severe records. Without room
    /// there it waits or drops the record, as the policy says.
    #[cold]
    #[inline(never)]
    fn append_past_window_or_wait(
        &self,
        end: &ProducerEnd,
        level: Level,
        tag: u32,
        record: &(impl Appendable + ?Sized),
    ) -> Outcome {
        let severe = is_severe(level);
        let lost = match end.append_past_window(severe, tag, record, || self.clock.ticks()) {
            Ok(()) => None,
            Err(cause) => wait_or_drop(&self.shared, end, cause, |ticks| {
                end.append(tag, record, || ticks).is_ok()
                    || end.append_past_window(severe, tag, record, || ticks).is_ok()
            }),
        };
        lost.unwrap_or_else(|| accepted(record))
    }

    /// Whether the policy drops a record at once if there is no room.
    #[inline(always)]
    fn drops_when_full(&self) -> bool {
        matches!(self.overflow, Overflow::DropNewest | Overflow::OverwriteOldest)
    }

    /// Whether this is a producer of the log of `shared`.
    pub(crate) fn serves(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// Whether the log is neither closed nor that of a parent process.
    pub(crate) fn is_open(&self) -> bool {
        !self.shared.gate.is_shut()
    }

    /// What the gate's word for targets says of a record at `level`.
    #[inline(always)]
    pub(crate) fn by_target(&self, level: Level) -> ByTarget {
        self.gate.by_target(level as u8)
    }

    /// The log that it appends to.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The producer's end of its ring; `None` if the logger writes no log.
    pub(crate) fn end(&self) -> Option<&ProducerEnd> {
        self.end.as_ref()
    }

    /// The parts that a commit needs. It borrows the end exclusively.
    pub(crate) fn parts(&mut self) -> (Option<&mut ProducerEnd>, &Shared, Clock) {
        (self.end.as_mut(), &self.shared, self.clock)
    }

    /// The buffer for claims, which nothing else uses.
    pub(crate) fn claim_buffer(&mut self) -> &mut Vec<u8> {
        &mut self.claim_buffer
    }

    /// The bytes in that buffer.
    pub(crate) fn claimed(&self) -> &[u8] {
        &self.claim_buffer
    }

    /// The buffer for formatters.
    pub(crate) fn scratch(&self) -> &ScratchCell {
        &self.scratch
    }

    /// Calls `work` with the producer's scratch.
    pub(crate) fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R {
        let (take, put) = (|| self.scratch.take(), |buffer| self.scratch.put(buffer));
        with_scratch(self.message_bytes_max, take, put, work)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // In a forked child, a thread that does not exist there may hold the registry's lock.
        if self.shared.gate.is_forked() {
            return;
        }
        if let (Some(recorder), Some(end)) = (&self.shared.recorder, self.recorder_end.take()) {
            recorder.rings.hand_back(self.id, end);
        }
        if let Some(end) = self.end.take() {
            self.shared.registry.hand_back(self.id, end);
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("id", &self.id).field("next_sequence", &self.next_sequence()).finish()
    }
}

/// The class of records of `level` in the ring.
const fn class(level: Level) -> usize {
    level as usize
}

const _: () = assert!(class(Level::Trace) < CLASSES && class(Level::Off) < CLASSES);
