//! The gate that every append passes: which levels are admitted, and whether the log is open at all.
//!
//! One word, the threshold, says both. It is the most verbose level admitted, or a number that admits none. That is 0
//! once the log is closed, and in a forked child, whose copy of the page the kernel wipes (the writer runs only in the
//! parent). It is -1 if the log is open and the threshold is [`OFF`].
//!
//! An append whose record has a target reads another word instead, on the same cache line: the most verbose level that any
//! target admits, with a mark if targets have thresholds of their own. Only then does it look at `admission` too. It enters
//! by the first word, which says whether the log is open, whatever the threshold is.
//!
//! # Appends that race close
//!
//! A record reaches the files, or its append is refused: it is never `Written` and lost. An append raises its
//! producer's flag, then reads the threshold *again*; close sets the threshold to 0, then reads the flags until each is
//! lowered. (Close sets the word for targets to 0 as well, for the sake of the answer: nothing depends on when that is
//! seen.) One of the two sees the other, provided that neither's write is still in a store buffer when it reads.
//! Close pays for that with one barrier executed on all threads (`membarrier`), so that an append pays nothing. If the
//! platform has none, both use sequentially consistent accesses.
//!
//! The same flag detects an append within an append: a signal handler that logs while its own thread was logging.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | append done | `Entered`'s drop lowers the flag | `Gate::is_outside`, after close | the append's commit and counts |

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
    threshold: Threshold,
    /// Close executes a barrier on all threads, so appends need none of their own.
    barrier_at_close: bool,
    /// The id of the process that opened the log, for platforms that do not wipe pages.
    process: u32,
}

/// The number of the threshold that admits no level, while the log is open. As the number of a record's level it is
/// larger than every threshold; as the threshold it becomes -1, smaller than every level and not 0.
const OFF: u8 = 7;

/// The word for the threshold `level`: [`OFF`] becomes -1, so that it admits nothing and is not taken for closed.
const fn word_of(level: u8) -> u32 {
    if level == OFF { (-1_i32).cast_unsigned() } else { level as u32 }
}

const _: () = assert!(word_of(OFF) != 0 && !admits(word_of(OFF), 1) && !admits(5, OFF) && !admits(0, 1));

/// Whether a record at `level` passes the threshold `word`.
#[inline(always)]
const fn admits(word: u32, level: u8) -> bool {
    level as i32 <= word.cast_signed()
}

/// The second word in the opening process. A forked child reads 0.
const HERE: u32 = 1;

/// The places of the words.
const ALL: usize = 0;
const PROCESS: usize = 1;
const TARGETS: usize = 2;

/// Added to the word for targets if some have thresholds of their own, so that the admitted level alone is not enough.
const MARK: i32 = 16;

/// What the word for targets says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByTarget {
    Admitted,
    Refused,
    /// Its target decides.
    Asks,
}

/// What the word for targets says of a record at `level`.
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

    fn of(words: WipedOnFork, level: u8, barrier_at_close: bool) -> Gate {
        words.words()[ALL].store(word_of(level), Relaxed);
        words.words()[TARGETS].store(word_of(level), Relaxed);
        words.words()[PROCESS].store(HERE, Relaxed);
        Gate { threshold: Threshold { words }, barrier_at_close, process: std::process::id() }
    }

    /// The handle that each producer clones.
    pub(crate) fn threshold(&self) -> &Threshold {
        &self.threshold
    }

    /// Whether an append at `level` has a chance to pass.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        self.threshold.admits(level)
    }

    /// Admits `level` and the less verbose ones from now on, none with [`OFF`]; of records with a target, those up to
    /// `most_verbose`, and if `has_targets` only those that their target admits. Does nothing once the gate is closed.
    pub(crate) fn set_levels(&self, level: u8, most_verbose: u8, has_targets: bool) {
        debug_assert!(level > 0 && most_verbose > 0, "only `close` closes a gate");
        let mark = if has_targets && most_verbose != OFF { MARK.cast_unsigned() } else { 0 };
        for (word, value) in [(ALL, word_of(level)), (TARGETS, word_of(most_verbose) + mark)] {
            let word = &self.threshold.words.words()[word];
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
        let word = self.threshold.admitted().load(Relaxed).cast_signed();
        u8::try_from(word).ok().filter(|level| *level > 0).unwrap_or(OFF)
    }

    /// Whether nothing passes any more: the log is closed, or the process is a forked child.
    pub(crate) fn is_shut(&self) -> bool {
        self.threshold.is_shut()
    }

    /// Begins an append at `level`, on the producer's own thread.
    ///
    /// # Errors
    /// Why the append is refused.
    pub(crate) fn enter<'a>(&self, flag: &'a AppendFlag, level: u8) -> Result<Entered<'a>, Refusal> {
        if !self.admits(level) {
            return Err(self.refusal());
        }
        if flag.is_raised() {
            return Err(Refusal::Reentrant);
        }
        if self.barrier_at_close { self.threshold.enter_fast(flag, level) } else { self.enter_in_order(flag, level) }
            .ok_or_else(|| self.refusal())
    }

    /// As [`enter`](Self::enter) if the gate is open, whatever its threshold is: for a record that its target admits.
    ///
    /// # Errors
    /// Why the append is refused.
    pub(crate) fn enter_open<'a>(&self, flag: &'a AppendFlag) -> Result<Entered<'a>, Refusal> {
        if self.is_shut() {
            return Err(self.refusal());
        }
        if flag.is_raised() {
            return Err(Refusal::Reentrant);
        }
        if self.barrier_at_close {
            self.threshold.enter_open_fast(flag)
        } else {
            let entered = Entered::in_order(flag);
            (self.threshold.admitted_in_order() != 0).then_some(entered)
        }
        .ok_or_else(|| self.refusal())
    }

    /// Whether [`Threshold::enter_fast`] is enough.
    pub(crate) fn has_barrier_at_close(&self) -> bool {
        self.barrier_at_close
    }

    /// Enters if close has no barrier for all threads: with a store and a load that keep their order by themselves.
    fn enter_in_order<'a>(&self, flag: &'a AppendFlag, level: u8) -> Option<Entered<'a>> {
        let entered = Entered::in_order(flag);
        admits(self.threshold.admitted_in_order(), level).then_some(entered)
    }

    /// Why the gate does not admit a level.
    #[cold]
    pub(crate) fn refusal(&self) -> Refusal {
        if self.threshold.words.words()[PROCESS].load(Relaxed) != HERE {
            Refusal::Forked
        } else if self.threshold.is_shut() {
            Refusal::Closed
        } else {
            Refusal::Filtered
        }
    }

    /// Whether this process is a fork of the one that made the gate. Asks the kernel too, because not every platform
    /// wipes pages.
    pub(crate) fn is_forked(&self) -> bool {
        self.threshold.words.words()[PROCESS].load(Relaxed) != HERE || std::process::id() != self.process
    }

    /// Closes: an append that begins after this is refused. One that was under way may still commit; once its producer
    /// [is outside](Self::is_outside), every record that was or will be reported as `Written` is in its ring. Close the
    /// gate before looking for producers: one that registers later finds it closed.
    pub(crate) fn close(&self) {
        // An exchange, as `set_level` is one: of two exchanges one sees the other. SeqCst: see `enter_in_order`.
        self.threshold.admitted().swap(0, SeqCst);
        self.threshold.words.words()[TARGETS].swap(0, SeqCst);
        #[cfg(loom)]
        crate::sync::fence(SeqCst);
        if self.barrier_at_close && !barrier_all_threads() {
            // The barrier was registered, and is refused now: a sandbox was set up in between. A store leaves the store
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

/// The threshold as the fast path reads it. Each producer has a clone; cloning shares the word, and does not copy it.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    /// The level admitted, and [`HERE`].
    words: WipedOnFork,
}

impl Threshold {
    #[inline(always)]
    fn admitted(&self) -> &AtomicU32 {
        &self.words.words()[ALL]
    }

    /// Whether an append at `level` has a chance to pass.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        admits(self.admitted().load(Relaxed), level)
    }

    /// What the word for targets says of a record at `level`.
    #[inline(always)]
    pub(crate) fn by_target(&self, level: u8) -> ByTarget {
        by_target(self.words.words()[TARGETS].load(Relaxed), level)
    }

    /// Whether nothing passes: the log is closed, or the process is a forked child.
    #[inline(always)]
    pub(crate) fn is_shut(&self) -> bool {
        self.admitted().load(Relaxed) == 0
    }

    /// The threshold, read after the append flag was raised in order.
    #[inline(always)]
    fn admitted_in_order(&self) -> u32 {
        // SeqCst: close exchanges this word, then reads the flag, both SeqCst. (In loom's models fences give the
        // order.)
        self.admitted().load(if cfg!(loom) { Relaxed } else { SeqCst })
    }

    /// [`Gate::enter`] without the reason of a refusal. Correct only if the gate
    /// [has a barrier at close](Gate::has_barrier_at_close).
    #[inline(always)]
    pub(crate) fn enter_fast<'a>(&self, flag: &'a AppendFlag, level: u8) -> Option<Entered<'a>> {
        let entered = Entered::fast(flag)?;
        self.admits(level).then_some(entered)
    }

    /// As [`enter_fast`](Self::enter_fast) if the gate is open, whatever its threshold is.
    #[inline(always)]
    pub(crate) fn enter_open_fast<'a>(&self, flag: &'a AppendFlag) -> Option<Entered<'a>> {
        let entered = Entered::fast(flag)?;
        (!self.is_shut()).then_some(entered)
    }
}

/// An append that has begun; its drop ends it.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    flag: &'a AppendFlag,
}

impl<'a> Entered<'a> {
    /// Raises the flag, if it is not raised. The threshold has to be read after this.
    #[inline(always)]
    fn fast(flag: &'a AppendFlag) -> Option<Entered<'a>> {
        // Only this thread writes its own flag. A signal handler that interrupts between two lines has returned before
        // the next one.
        if flag.is_raised() {
            return None;
        }
        flag.raise();
        let entered = Entered { flag };
        // Keeps the compiler from moving anything over this line. At run time close's barrier keeps the CPU from it.
        compiler_fence(SeqCst);
        Some(entered)
    }

    /// Raises the flag, so that the threshold can be read in order after this.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::AtomicU64;

    #[test]
    fn a_gate_admits_its_level_and_the_less_verbose_ones() {
        let gate = Gate::new(3).expect("a page");
        let flag = AppendFlag::default();
        assert_eq!([1, 2, 3, 4, 5].map(|level| gate.admits(level)), [true, true, true, false, false]);
        assert_eq!(gate.enter(&flag, 4).err(), Some(Refusal::Filtered));
        gate.set_levels(4, 4, false);
        assert!(gate.enter(&flag, 4).is_ok());
        assert!(!gate.is_forked());
        assert!(!gate.is_shut());
    }

    #[test]
    fn a_gate_that_is_off_admits_nothing_and_is_not_closed() {
        let gate = Gate::new(OFF).expect("a page");
        let flag = AppendFlag::default();
        assert!([1, 2, 3, 4, 5, OFF].iter().all(|level| !gate.admits(*level)));
        assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Filtered));
        assert!(gate.threshold().enter_fast(&flag, 1).is_none());
        assert!(!gate.is_shut() && Gate::is_outside(&flag));
        gate.set_levels(5, 5, false);
        assert!(gate.enter(&flag, 5).is_ok());
        assert_eq!(gate.enter(&flag, OFF).err(), Some(Refusal::Filtered), "no record is at this level");
        gate.set_levels(OFF, OFF, false);
        assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Filtered));
        gate.close();
        assert_eq!(gate.enter(&flag, OFF).err(), Some(Refusal::Closed));
        assert!(gate.is_shut());
    }

    #[test]
    fn targets_have_a_word_of_their_own() {
        let gate = Gate::new(3).expect("a page");
        let flag = AppendFlag::default();
        let threshold = gate.threshold();
        let all = |gate: &Gate| [1, 2, 3, 4, 5, OFF].map(|level| gate.threshold().by_target(level));
        use ByTarget::{Admitted, Asks, Refused};
        assert_eq!(all(&gate), [Admitted, Admitted, Admitted, Refused, Refused, Refused]);
        gate.set_levels(OFF, 4, true);
        assert_eq!(all(&gate), [Asks, Asks, Asks, Asks, Refused, Refused]);
        assert!(!gate.admits(1) && gate.enter(&flag, 1).is_err());
        assert!(gate.enter_open(&flag).is_ok() && threshold.enter_open_fast(&flag).is_some());
        let outer = gate.enter_open(&flag).expect("open");
        assert_eq!(gate.enter_open(&flag).err(), Some(Refusal::Reentrant));
        assert!(threshold.enter_open_fast(&flag).is_none());
        drop(outer);
        gate.set_levels(2, OFF, true);
        assert_eq!(all(&gate), [Refused; 6]);
        assert_eq!(gate.level(), 2);
        gate.close();
        gate.set_levels(5, 5, true);
        assert_eq!((all(&gate), gate.level()), ([Refused; 6], OFF));
        assert_eq!(gate.enter_open(&flag).err(), Some(Refusal::Closed));
        assert!(threshold.enter_open_fast(&flag).is_none());
        assert!(Gate::is_outside(&flag), "refused is outside");
    }

    #[test]
    fn an_append_within_an_append_is_refused_and_leaves_the_outer_one_inside() {
        let gate = Gate::new(3).expect("a page");
        let flag = AppendFlag::default();
        let outer = gate.enter(&flag, 1).expect("open");
        assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Reentrant));
        assert_eq!(gate.enter(&flag, 5).err(), Some(Refusal::Filtered));
        assert!(gate.threshold().enter_fast(&flag, 1).is_none());
        assert!(!Gate::is_outside(&flag));
        drop(outer);
        assert!(Gate::is_outside(&flag));
        assert!(gate.enter(&flag, 1).is_ok());
    }

    #[test]
    fn a_closed_gate_stays_closed_whatever_level_is_set() {
        let gate = Gate::new(3).expect("a page");
        let flag = AppendFlag::default();
        gate.close();
        gate.set_levels(5, 5, false);
        assert!(!gate.admits(1) && gate.threshold().is_shut());
        assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Closed));
        assert!(gate.threshold().enter_fast(&flag, 1).is_none());
        assert!(Gate::is_outside(&flag), "refused is outside");
        gate.close();
        assert_eq!(gate.refusal(), Refusal::Closed, "closing twice is fine");
    }

    /// After close, all that an append stored before it returned `Written` is visible, with either ordering.
    fn appends_race_close(barrier_at_close: bool) {
        for round in 0..200_u64 {
            let mut gate = Gate::new(3).expect("a page");
            gate.barrier_at_close &= barrier_at_close;
            let producers = [0, 1].map(|_| (AppendFlag::default(), AtomicU64::new(0)));
            std::thread::scope(|scope| {
                let appending = producers.each_ref().map(|(flag, records)| {
                    let gate = &gate;
                    scope.spawn(move || {
                        let mut written = 0;
                        // By turns a record without a target and one with a target.
                        let enter = |number| if number % 2 == 0 { gate.enter(flag, 1) } else { gate.enter_open(flag) };
                        while let Ok(_entered) = enter(written) {
                            records.store(written + 1, Relaxed);
                            written += 1;
                        }
                        written
                    })
                });
                // Close comes at a different moment in each round.
                for _ in 0..round * 50 {
                    std::hint::spin_loop();
                }
                gate.close();
                for (flag, _) in &producers {
                    while !Gate::is_outside(flag) {
                        std::thread::yield_now();
                    }
                }
                let seen = producers.each_ref().map(|(_, records)| records.load(Relaxed));
                assert_eq!(seen, appending.map(|thread| thread.join().expect("appending")));
            });
        }
    }

    #[test]
    fn an_append_that_races_close_is_there_or_refused() {
        appends_race_close(true);
    }

    #[test]
    fn an_append_that_races_close_is_there_or_refused_without_a_barrier_for_all_threads() {
        appends_race_close(false);
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test --release --lib loom`
#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;

    use loom::thread;

    use super::*;
    use crate::ring::{ConsumerEnd, RingOptions, ring};

    fn records_in(consumer: &mut ConsumerEnd) -> u64 {
        consumer.observe();
        consumer.consume(usize::MAX, |_, _| true) as u64
    }

    #[test]
    fn loom_an_append_that_races_close_is_in_the_ring_or_refused() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(3).expect("a gate"));
            let options = RingOptions::window(64);
            let (producer, mut consumer) = ring(options).expect("a ring");
            let ring = Arc::clone(producer.ring());
            let appending = thread::spawn({
                let gate = Arc::clone(&gate);
                move || {
                    let flag = producer.control().append_flag();
                    let written = (0..2).filter(|_| {
                        let Ok(_entered) = gate.enter(flag, 3) else { return false };
                        producer.append(0, &[], || 0).is_ok()
                    });
                    written.count() as u64
                }
            });
            gate.close();
            while !Gate::is_outside(ring.control().append_flag()) {
                thread::yield_now();
            }
            let last_drain = records_in(&mut consumer);
            let written = appending.join().expect("appending");
            assert_eq!(last_drain, written);
            assert_eq!(records_in(&mut consumer), 0);
        });
    }

    #[test]
    fn loom_an_append_with_a_target_that_races_close_and_new_levels_is_in_the_ring_or_refused() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(3).expect("a gate"));
            let (producer, mut consumer) = ring(RingOptions::window(64)).expect("a ring");
            let ring = Arc::clone(producer.ring());
            let appending = thread::spawn({
                let gate = Arc::clone(&gate);
                move || {
                    gate.set_levels(OFF, 5, true);
                    let flag = producer.control().append_flag();
                    if gate.threshold().by_target(4) == ByTarget::Refused {
                        return 0;
                    }
                    let Ok(_entered) = gate.enter_open(flag) else { return 0 };
                    u64::from(producer.append(0, &[], || 0).is_ok())
                }
            });
            gate.close();
            while !Gate::is_outside(ring.control().append_flag()) {
                thread::yield_now();
            }
            let last_drain = records_in(&mut consumer);
            assert_eq!(last_drain, appending.join().expect("appending"));
            assert_eq!(gate.threshold().by_target(1), ByTarget::Refused);
        });
    }

    #[test]
    fn loom_a_level_set_while_closing_does_not_open_the_gate_again() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(3).expect("a gate"));
            let setting = thread::spawn({
                let gate = Arc::clone(&gate);
                move || gate.set_levels(5, 5, true)
            });
            gate.close();
            setting.join().expect("setting");
            assert!(gate.is_shut());
        });
    }
}
