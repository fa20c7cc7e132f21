//! The gate that every append passes: which levels are admitted, and whether the engine is open at all.
//!
//! One word says both: the most verbose level admitted, or 0, which admits nothing. It is 0 once the engine is closed, and
//! in a forked child, where the kernel has wiped the page that it lies on (the writer lives only in the parent).
//!
//! # Appends that race close
//!
//! A record is on its way to the files, or its append is refused: never both `Written` and lost. An append shows its
//! producer's flag, then reads the gate *again*; close sets the gate to 0, then reads the flags until each is down. One of
//! the two sees the other, provided that neither's write can still be on its way when it reads. Close pays for that with
//! one barrier executed on all threads (`membarrier`), so that an append pays nothing. Where the platform has none, both
//! use sequentially consistent accesses.
//!
//! The same flag finds appends within an append: a signal handler that logs while its own thread was logging.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | append done | `Entered`'s drop lowers the flag | `Gate::is_outside`, after close | the append's commit |

use std::io;
use std::sync::atomic::compiler_fence;

use crate::sync::AtomicU32;
use crate::sync::Ordering::{Relaxed, Release, SeqCst};
use crate::sys::memory::{WipedOnFork, barrier_all_threads, register_barrier};

/// Why an append did not pass. None of these takes a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The level is not admitted.
    Filtered,
    /// The engine is closed.
    Closed,
    /// This process is a fork of the one that opened the engine.
    Forked,
    /// The thread is inside another append of the same producer.
    Reentrant,
}

/// Shared by all producers of an engine. Alone on its line, which after the beginning is only read.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Gate {
    threshold: Threshold,
    /// Close has `membarrier`, so that appends need no barrier of their own.
    barrier_at_close: bool,
    /// For platforms that wipe nothing.
    process: u32,
}

/// What stands in the second word, except in a forked child.
const HERE: u32 = 1;

impl Gate {
    /// An open gate that admits `level` (1 to 5, most verbose last) and the less verbose ones.
    ///
    /// # Errors
    ///
    /// No memory for its page.
    pub(crate) fn new(level: u8) -> io::Result<Gate> {
        let words = WipedOnFork::new()?;
        words.words()[0].store(u32::from(level), Relaxed);
        words.words()[1].store(HERE, Relaxed);
        Ok(Gate { threshold: Threshold { words }, barrier_at_close: register_barrier(), process: std::process::id() })
    }

    /// What decides, to be copied to where it is asked.
    pub(crate) fn threshold(&self) -> &Threshold {
        &self.threshold
    }

    /// Whether an append at `level` has a chance to pass.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        self.threshold.admits(level)
    }

    /// Admits `level` and the less verbose ones from now on. Nothing, once closed.
    pub(crate) fn set_level(&self, level: u8) {
        debug_assert!(level > 0, "a gate is closed by close");
        let word = self.threshold.admitted();
        let mut admitted = word.load(Relaxed);
        while admitted != 0 {
            match word.compare_exchange(admitted, u32::from(level), Relaxed, Relaxed) {
                Ok(_) => break,
                Err(now) => admitted = now,
            }
        }
    }

    /// The most verbose level admitted; 0 when closed.
    pub(crate) fn level(&self) -> u8 {
        self.threshold.admitted().load(Relaxed) as u8
    }

    /// Begins an append at `level`, on the producer's own thread.
    ///
    /// # Errors
    ///
    /// Why it may not be.
    pub(crate) fn enter<'a>(&self, flag: &'a AtomicU32, level: u8) -> Result<Entered<'a>, Refusal> {
        if !self.admits(level) {
            return Err(self.refusal());
        }
        if flag.load(Relaxed) != 0 {
            return Err(Refusal::Reentrant);
        }
        if self.barrier_at_close { self.threshold.enter_at_once(flag, level) } else { self.enter_in_order(flag, level) }
            .ok_or_else(|| self.refusal())
    }

    /// Whether [`Threshold::enter_at_once`] is enough.
    pub(crate) fn has_barrier_at_close(&self) -> bool {
        self.barrier_at_close
    }

    /// Where close has no barrier for all threads: a store and a load that keep their order by themselves.
    fn enter_in_order<'a>(&self, flag: &'a AtomicU32, level: u8) -> Option<Entered<'a>> {
        let entered = Entered::raise_in_order(flag);
        // SeqCst: close exchanges this word, then reads the flag, SeqCst both. (loom has the order from fences.)
        let admitted = self.threshold.admitted().load(if cfg!(loom) { Relaxed } else { SeqCst });
        (u32::from(level) <= admitted).then_some(entered)
    }

    /// Why the gate does not admit a level.
    #[cold]
    pub(crate) fn refusal(&self) -> Refusal {
        if self.threshold.words.words()[1].load(Relaxed) != HERE {
            Refusal::Forked
        } else if self.threshold.is_shut() {
            Refusal::Closed
        } else {
            Refusal::Filtered
        }
    }

    /// Whether this process is a fork of the one that made the gate. Asks the kernel too, as not every platform wipes pages.
    pub(crate) fn is_forked(&self) -> bool {
        self.threshold.words.words()[1].load(Relaxed) != HERE || std::process::id() != self.process
    }

    /// Closes: an append that begins after this is refused. One that was under way may still commit; once its producer
    /// [is outside](Self::is_outside), all that was or will be answered with `Written` is in its ring. To catch every producer, close
    /// before looking for them: one that registers later finds the gate closed.
    pub(crate) fn close(&self) {
        // An exchange, as `set_level` is one: of two exchanges one sees the other. SeqCst: see `enter_in_order`.
        self.threshold.admitted().swap(0, SeqCst);
        #[cfg(loom)]
        crate::sync::fence(SeqCst);
        if self.barrier_at_close && !barrier_all_threads() {
            // The barrier was registered, and is refused now: a sandbox has come in between. A store leaves its CPU
            // within microseconds, and any switch of threads flushes it, so that waiting this long does as well.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Whether the producer that shows `flag` is in no append. After [`Gate::close`] that stays true.
    ///
    /// It may stay false for ever: the thread is stopped, or it is this very one, in a signal handler.
    pub(crate) fn is_outside(flag: &AtomicU32) -> bool {
        // SeqCst where close had no barrier; acquire in any case: _append done_.
        flag.load(SeqCst) == 0
    }
}

/// The word that decides, as a quick append asks it: each producer has a clone at hand, which is the same word.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    /// The level admitted, and [`HERE`].
    words: WipedOnFork,
}

impl Threshold {
    #[inline(always)]
    fn admitted(&self) -> &AtomicU32 {
        &self.words.words()[0]
    }

    /// Whether an append at `level` has a chance to pass.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        u32::from(level) <= self.admitted().load(Relaxed)
    }

    /// Whether nothing passes: the engine is closed, or the process is a forked child.
    #[inline(always)]
    pub(crate) fn is_shut(&self) -> bool {
        self.admitted().load(Relaxed) == 0
    }

    /// [`Gate::enter`] without its reasons, and only right where the gate
    /// [has a barrier at close](Gate::has_barrier_at_close).
    #[inline(always)]
    pub(crate) fn enter_at_once<'a>(&self, flag: &'a AtomicU32, level: u8) -> Option<Entered<'a>> {
        // Only this thread writes its own flag. A handler that interrupts between two lines has left before they go on.
        if flag.load(Relaxed) != 0 {
            return None;
        }
        let entered = Entered::raise(flag);
        // Nothing may be moved over this line at compile time; at run time close's barrier sees to it.
        compiler_fence(SeqCst);
        self.admits(level).then_some(entered)
    }
}

/// An append that has begun; its drop ends it.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    /// The producer's flag: 1 inside an append.
    flag: &'a AtomicU32,
}

impl<'a> Entered<'a> {
    #[inline(always)]
    fn raise(flag: &'a AtomicU32) -> Entered<'a> {
        flag.store(1, Relaxed);
        Entered { flag }
    }

    /// Raises the flag before anything that follows, for all to see.
    fn raise_in_order(flag: &'a AtomicU32) -> Entered<'a> {
        // An exchange rather than a store and a fence, as ThreadSanitizer does not understand fences. SeqCst: see
        // `enter_in_order`.
        #[cfg(not(loom))]
        flag.swap(1, SeqCst);
        // loom understands fences, and of sequentially consistent accesses only half.
        #[cfg(loom)]
        {
            flag.store(1, Relaxed);
            crate::sync::fence(SeqCst);
        }
        Entered { flag }
    }
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: _append done_.
        self.flag.store(0, Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::AtomicU64;

    #[test]
    fn a_gate_admits_its_level_and_the_less_verbose_ones() {
        let gate = Gate::new(3).expect("a page");
        let flag = AtomicU32::new(0);
        assert_eq!([1, 2, 3, 4, 5].map(|level| gate.admits(level)), [true, true, true, false, false]);
        assert_eq!(gate.enter(&flag, 4).err(), Some(Refusal::Filtered));
        gate.set_level(4);
        assert!(gate.enter(&flag, 4).is_ok());
        assert_eq!(gate.level(), 4);
        assert!(!gate.is_forked());
        assert!(!gate.threshold().is_shut());
    }

    #[test]
    fn an_append_within_an_append_is_refused_and_leaves_the_outer_one_inside() {
        let gate = Gate::new(3).expect("a page");
        let flag = AtomicU32::new(0);
        let outer = gate.enter(&flag, 1).expect("open");
        assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Reentrant));
        assert_eq!(gate.enter(&flag, 5).err(), Some(Refusal::Filtered));
        assert!(gate.threshold().enter_at_once(&flag, 1).is_none());
        assert!(!Gate::is_outside(&flag));
        drop(outer);
        assert!(Gate::is_outside(&flag));
        assert!(gate.enter(&flag, 1).is_ok());
    }

    #[test]
    fn a_closed_gate_stays_closed_whatever_level_is_set() {
        let gate = Gate::new(3).expect("a page");
        let flag = AtomicU32::new(0);
        gate.close();
        gate.set_level(5);
        assert!(!gate.admits(1) && gate.threshold().is_shut());
        assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Closed));
        assert!(gate.threshold().enter_at_once(&flag, 1).is_none());
        assert!(Gate::is_outside(&flag), "refused is outside");
        gate.close();
        assert_eq!(gate.refusal(), Refusal::Closed, "closing twice is fine");
    }

    /// What an append stored before it returned `Written` is there after close, in either way of ordering.
    fn appends_race_close(barrier_at_close: bool) {
        for round in 0..200_u64 {
            let mut gate = Gate::new(3).expect("a page");
            gate.barrier_at_close &= barrier_at_close;
            let producers = [0, 1].map(|_| (AtomicU32::new(0), AtomicU64::new(0)));
            std::thread::scope(|scope| {
                let appending = producers.each_ref().map(|(flag, records)| {
                    let gate = &gate;
                    scope.spawn(move || {
                        let mut written = 0;
                        while let Ok(_entered) = gate.enter(flag, 1) {
                            records.store(written + 1, Relaxed);
                            written += 1;
                        }
                        written
                    })
                });
                // A different moment each round, without a clock.
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
    use crate::ring::{ConsumerEnd, Rest, RingOptions, ring};

    fn records_in(consumer: &mut ConsumerEnd) -> u64 {
        consumer.observe();
        consumer.consume(usize::MAX, |_, _| true) as u64
    }

    #[test]
    fn loom_an_append_that_races_close_is_in_the_ring_or_refused() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(3).expect("a gate"));
            let options = RingOptions { capacity_bytes: 64, overwrite: false, start: 0 };
            let (producer, mut consumer) = ring(options, &mut Rest::default()).expect("a ring");
            let ring = Arc::clone(producer.ring());
            let appending = thread::spawn({
                let gate = Arc::clone(&gate);
                move || {
                    let flag = &producer.ring().account.in_append;
                    let written = (0..2).filter(|_| {
                        let Ok(_entered) = gate.enter(flag, 3) else { return false };
                        producer.append(0, &[], || 0).is_ok()
                    });
                    written.count() as u64
                }
            });
            gate.close();
            while !Gate::is_outside(&ring.account.in_append) {
                thread::yield_now();
            }
            let last_drain = records_in(&mut consumer);
            let written = appending.join().expect("appending");
            assert_eq!(last_drain, written);
            assert_eq!(records_in(&mut consumer), 0);
        });
    }

    #[test]
    fn loom_a_level_set_while_closing_does_not_open_the_gate_again() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(3).expect("a gate"));
            let setting = thread::spawn({
                let gate = Arc::clone(&gate);
                move || gate.set_level(5)
            });
            gate.close();
            setting.join().expect("setting");
            assert_eq!(gate.level(), 0);
        });
    }
}
