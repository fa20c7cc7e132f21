//! The gate that every append passes: which levels are admitted, and whether the log is open at all.
//!
//! The answers stand in five words on one cache line, which appends only read. Each but the second is a threshold: the
//! most verbose level that is admitted, or -1 for none ([`OFF`]), or 0 once the log is closed.
//!
//! | word | read | admits |
//! |---|---|---|
//! | [`ENTER`] | to enter, without a target | what the log takes |
//! | [`PROCESS`] | for the reason of a refusal | holds [`HERE`] in the process that opened the log |
//! | [`LOOK`] | first, without a target | what the log or its flight recorder takes |
//! | [`LOOK_TARGET`] | first, with a target | what the log takes of any target, or its recorder; has a [`MARK`] if targets have levels of their own: then `admission` decides |
//! | [`ENTER_TARGET`] | to enter, with a target | up to which level the log takes every target that has passed the first look. Without a recorder that is any level: then the word says only that the log is open |
//!
//! In a forked child all words are 0, because the kernel wipes its copy of the page. (The writer runs only in the
//! parent.) A record that passes its first look and does not enter takes the slow path, which finds out whether the
//! recorder takes it.
//!
//! # Appends that race close
//!
//! A record reaches the files, or its append is refused: it is never `Written` and lost. An append raises its
//! producer's flag, then reads the word by which it enters; close sets the words to 0, then reads the flags until each
//! is lowered. One of the two sees the other, provided that neither's write is still in a store buffer when it reads.
//! Close pays for that with one barrier executed on all threads (`membarrier`), so that an append pays nothing. If the
//! platform has none, both use sequentially consistent accesses.
//!
//! The same flag detects an append within an append: a signal handler that logs while its own thread was logging.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | append done | `Entered`'s drop lowers the flag | `Gate::is_outside`, after close | the append's commit and counts |

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

use std::io;
use std::sync::atomic::compiler_fence;

use crate::ring::AppendFlag;
use crate::sync::AtomicU32;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sys::memory::{WipedOnFork, barrier_all_threads, register_barrier};

/// Why an append did not pass. None of these takes a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The level is not admitted.
    Filtered,
    /// The log is closed.
    Closed,
    /// This process is a fork of the one that opened the log.
    Forked,
    /// The thread is inside another append of the same producer.
    Reentrant,
    /// The thread has no ring and cannot get one. Found before the gate is asked.
    NoRing,
}

/// Shared by all producers of a log. It has a pair of cache lines to itself, which appends only read.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Gate {
    words: GateWords,
    /// Close executes a barrier on all threads, so appends need none of their own.
    barrier_at_close: bool,
    /// The id of the process that opened the log, for platforms that do not wipe pages.
    process: u32,
}

/// The number of the threshold that admits no level, while the log is open. As the number of a record's level it is
/// larger than every threshold; as the threshold it becomes -1, smaller than every level and not 0.
const OFF: u8 = 7;

/// The word for the threshold `level`. [`OFF`] becomes -1, so that it admits nothing and differs from a closed log.
const fn word_of(level: u8) -> u32 {
    if level == OFF { (-1_i32).cast_unsigned() } else { level as u32 }
}

const _: () = assert!(word_of(OFF) != 0 && !admits(word_of(OFF), 1) && !admits(5, OFF) && !admits(0, 1));

/// Whether a record at `level` passes the threshold `word`.
#[inline(always)]
const fn admits(word: u32, level: u8) -> bool {
    level as i32 <= word.cast_signed()
}

/// The indexes of the words.
const ENTER: usize = 0;
const PROCESS: usize = 1;
const LOOK_TARGET: usize = 2;
const LOOK: usize = 3;
const ENTER_TARGET: usize = 4;

/// The word [`PROCESS`] in the process that opened the log.
const HERE: u32 = 1;

/// The most verbose level.
const ANY: u8 = 5;

/// The thresholds of a log and of its recorder, as numbers of levels; [`OFF`] admits none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// The threshold for all records.
    pub(crate) all: u8,
    /// The most and the least verbose threshold, including those of targets.
    pub(crate) most_verbose: u8,
    pub(crate) least_verbose: u8,
    /// Whether targets have thresholds of their own.
    pub(crate) has_targets: bool,
    /// The recorder's threshold; `None` without a recorder.
    pub(crate) recorded: Option<u8>,
}

impl Thresholds {
    /// One threshold for all records, without a recorder.
    pub(crate) const fn of(level: u8) -> Thresholds {
        Thresholds { all: level, most_verbose: level, least_verbose: level, has_targets: false, recorded: None }
    }

    /// The words, each with its index.
    fn words(self) -> [(usize, u32); 4] {
        let Thresholds { all, most_verbose, least_verbose, has_targets, recorded } = self;
        let or_recorded = |level: u8| match (level, recorded) {
            (OFF, Some(recorded)) => recorded,
            (level, Some(recorded)) if recorded != OFF => level.max(recorded),
            (level, _) => level,
        };
        let of_targets = or_recorded(most_verbose);
        let mark = if has_targets && of_targets != OFF { MARK.cast_unsigned() } else { 0 };
        let of_every_target = if recorded.is_some() { least_verbose } else { ANY };
        [
            (ENTER, word_of(all)),
            (LOOK, word_of(or_recorded(all))),
            (LOOK_TARGET, word_of(of_targets) + mark),
            (ENTER_TARGET, word_of(of_every_target)),
        ]
    }
}

/// Added to [`LOOK_TARGET`] if targets have levels of their own, because then the admitted level alone does not decide.
const MARK: i32 = 16;

/// What [`LOOK_TARGET`] says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByTarget {
    Admitted,
    Refused,
    /// Its target decides.
    Asks,
}

/// What [`LOOK_TARGET`] says of a record at `level`.
#[inline(always)]
const fn by_target(word: u32, level: u8) -> ByTarget {
    let (word, level) = (word.cast_signed(), level as i32);
    if word < MARK {
        if level <= word { ByTarget::Admitted } else { ByTarget::Refused }
    } else if level <= word - MARK {
        ByTarget::Asks
    } else {
        ByTarget::Refused
    }
}

impl Gate {
    /// An open gate that admits `level` (1 to 5, most verbose last) and the less verbose ones; none with [`OFF`].
    ///
    /// # Errors
    /// No memory for its page.
    pub(crate) fn new(level: u8) -> io::Result<Gate> {
        Ok(Gate::of(WipedOnFork::by_any_means()?, level, register_barrier()))
    }

    /// A gate like [`Gate::new`]'s for a logger without rings and a writer: nobody enters it on the fast path. A forked
    /// child passes it too, unless it asks [`Gate::is_forked`].
    pub(crate) fn without_rings(level: u8) -> Gate {
        Gate::of(WipedOnFork::never_wiped(), level, false)
    }

    fn of(page: WipedOnFork, level: u8, barrier_at_close: bool) -> Gate {
        let words = GateWords { page };
        for (word, value) in Thresholds::of(level).words() {
            words.word(word).store(value, Relaxed);
        }
        words.word(PROCESS).store(HERE, Relaxed);
        Gate { words, barrier_at_close, process: std::process::id() }
    }

    /// The handle that each producer clones.
    pub(crate) fn words(&self) -> &GateWords {
        &self.words
    }

    /// Whether an append at `level` may pass: the log or its recorder takes it.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        self.words.admits(level)
    }

    /// Whether the log takes records at `level` that have no target.
    pub(crate) fn takes(&self, level: u8) -> bool {
        self.words.takes(level)
    }

    /// Admits what the thresholds say from now on. Does nothing once the gate is closed.
    pub(crate) fn set_levels(&self, thresholds: Thresholds) {
        debug_assert!(thresholds.all > 0 && thresholds.most_verbose > 0, "only `close` closes a gate");
        for (word, value) in thresholds.words() {
            let word = &self.words.word(word);
            let mut admitted = word.load(Relaxed);
            while admitted != 0 {
                match word.compare_exchange(admitted, value, Relaxed, Relaxed) {
                    Ok(_) => break,
                    Err(now) => admitted = now,
                }
            }
        }
    }

    /// The threshold for all records: 1 to 5, or [`OFF`], also once the gate is closed.
    pub(crate) fn level(&self) -> u8 {
        let word = self.words.word(ENTER).load(Relaxed).cast_signed();
        u8::try_from(word).ok().filter(|level| *level > 0).unwrap_or(OFF)
    }

    /// Whether nothing passes any more: the log is closed, or the process is a forked child.
    pub(crate) fn is_shut(&self) -> bool {
        self.words.is_shut()
    }

    /// Begins an append at `level`, on the producer's own thread.
    ///
    /// # Errors
    /// Why the append is refused.
    pub(crate) fn enter<'a>(&self, flag: &'a AppendFlag, level: u8) -> Result<Entered<'a>, Refusal> {
        self.begin(flag, |word| admits(word, level))
    }

    /// Like [`enter`](Self::enter), for a record that its target admits: only asks whether the gate is open.
    ///
    /// # Errors
    /// Why the append is refused.
    pub(crate) fn enter_target<'a>(&self, flag: &'a AppendFlag) -> Result<Entered<'a>, Refusal> {
        self.begin(flag, |word| word != 0)
    }

    fn begin<'a>(&self, flag: &'a AppendFlag, enters: impl Fn(u32) -> bool) -> Result<Entered<'a>, Refusal> {
        if !enters(self.words.word(ENTER).load(Relaxed)) {
            return Err(self.refusal());
        }
        if flag.is_raised() {
            return Err(Refusal::Reentrant);
        }
        let (entered, word) = if self.barrier_at_close {
            (Entered::fast(flag), self.words.word(ENTER).load(Relaxed))
        } else {
            // With a store and a load that keep their order by themselves. SeqCst: close exchanges this word, then
            // reads the flag, both SeqCst. (In loom's models fences give the order.)
            let entered = Entered::in_order(flag);
            (Some(entered), self.words.word(ENTER).load(if cfg!(loom) { Relaxed } else { SeqCst }))
        };
        entered.filter(|_| enters(word)).ok_or_else(|| self.refusal())
    }

    /// Whether [`GateWords::enter_fast`] is enough.
    pub(crate) fn has_barrier_at_close(&self) -> bool {
        self.barrier_at_close
    }

    /// Why the gate does not admit a level.
    #[cold]
    pub(crate) fn refusal(&self) -> Refusal {
        if self.words.word(PROCESS).load(Relaxed) != HERE {
            Refusal::Forked
        } else if self.words.is_shut() {
            Refusal::Closed
        } else {
            Refusal::Filtered
        }
    }

    /// Whether this process is a fork of the one that made the gate. Asks the kernel too, because not every platform
    /// wipes pages.
    pub(crate) fn is_forked(&self) -> bool {
        self.words.word(PROCESS).load(Relaxed) != HERE || std::process::id() != self.process
    }

    /// Closes the gate: an append that begins after this is refused. An append that was under way may still commit.
    /// When its producer [is outside](Self::is_outside), every record that was or will be reported as `Written` is in
    /// its ring. Close the gate before looking for producers: one that registers later finds it closed.
    pub(crate) fn close(&self) {
        // An exchange, as `set_levels` makes them: of two exchanges one sees the other. SeqCst: see `begin`.
        for word in [ENTER, LOOK, LOOK_TARGET, ENTER_TARGET] {
            self.words.word(word).swap(0, SeqCst);
        }
        #[cfg(loom)]
        crate::sync::fence(SeqCst);
        if self.barrier_at_close && !barrier_all_threads() {
            // The barrier was registered and is now refused: a sandbox was set up in between. A store leaves the store
            // buffer within microseconds, at the latest when threads are switched, so waiting this long is as good.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Whether the producer of this flag is outside every append. After [`Gate::close`] that stays true.
    ///
    /// It may stay false for ever: the thread is stopped, or it is this very one, in a signal handler.
    pub(crate) fn is_outside(flag: &AppendFlag) -> bool {
        // Acquire: _append done_. Sequentially consistent too, for when close had no barrier.
        flag.is_lowered()
    }
}

/// The words as the fast path reads them. Each producer has a clone; cloning shares the page, and does not copy it.
#[derive(Clone, Debug)]
pub(crate) struct GateWords {
    page: WipedOnFork,
}

impl GateWords {
    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU32 {
        &self.page.words()[index]
    }

    /// Whether an append at `level` may pass: the log or its recorder takes it.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        admits(self.word(LOOK).load(Relaxed), level)
    }

    /// Whether the log takes records at `level` that have no target.
    #[inline(always)]
    fn takes(&self, level: u8) -> bool {
        admits(self.word(ENTER).load(Relaxed), level)
    }

    /// What [`LOOK_TARGET`] says of a record at `level`.
    #[inline(always)]
    pub(crate) fn by_target(&self, level: u8) -> ByTarget {
        by_target(self.word(LOOK_TARGET).load(Relaxed), level)
    }

    /// Whether nothing passes: the log is closed, or the process is a forked child.
    #[inline(always)]
    pub(crate) fn is_shut(&self) -> bool {
        self.word(ENTER).load(Relaxed) == 0
    }

    /// [`Gate::enter`] without the reason of a refusal. Correct only if the gate
    /// [has a barrier at close](Gate::has_barrier_at_close).
    #[inline(always)]
    pub(crate) fn enter_fast<'a>(&self, flag: &'a AppendFlag, level: u8) -> Option<Entered<'a>> {
        let entered = Entered::fast(flag)?;
        self.takes(level).then_some(entered)
    }

    /// Like [`enter_fast`](Self::enter_fast), for a record with a target that has passed the first look.
    #[inline(always)]
    pub(crate) fn enter_target_fast<'a>(&self, flag: &'a AppendFlag, level: u8) -> Option<Entered<'a>> {
        let entered = Entered::fast(flag)?;
        admits(self.word(ENTER_TARGET).load(Relaxed), level).then_some(entered)
    }
}

/// An append that has begun; its drop ends it.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    flag: &'a AppendFlag,
}

impl<'a> Entered<'a> {
    /// Raises the flag, if it is not raised. The word by which the append enters has to be read after this.
    #[inline(always)]
    fn fast(flag: &'a AppendFlag) -> Option<Entered<'a>> {
        // Only this thread writes its own flag. A signal handler that interrupts between two lines has returned before
        // the next one.
        if flag.is_raised() {
            return None;
        }
        flag.raise();
        let entered = Entered { flag };
        // Keeps the compiler from moving accesses across this line. At run time, close's barrier keeps the CPU from it.
        compiler_fence(SeqCst);
        Some(entered)
    }

    /// Raises the flag, so that the word by which the append enters can be read in order after this.
    fn in_order(flag: &'a AppendFlag) -> Entered<'a> {
        flag.raise_in_order();
        Entered { flag }
    }
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.flag.lower();
    }
}

#[cfg(test)]
fn with_targets(all: u8, most_verbose: u8) -> Thresholds {
    Thresholds { most_verbose, has_targets: true, ..Thresholds::of(all) }
}
