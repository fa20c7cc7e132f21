//! The gate that every append passes: which levels are admitted, and whether the engine is open at all.
//!
//! One word says both: the most verbose level admitted, or 0, which admits nothing. It is 0 once the engine is closed, and
//! in a forked child, where the kernel has wiped the page that it lies on (the writer lives only in the parent).
//!
//! # Appends that race close
//!
//! A record is on its way to the files, or its append is refused: never both `Written` and lost. An append sets its
//! producer's in-append flag, then reads the gate *again*; close sets the gate to 0, then reads the flags and waits until
//! each is 0. One of the two sees the other, provided that neither's write can still be on its way when it reads. Close
//! pays for that with one barrier executed on all threads (`membarrier`), so that an append pays nothing. Where the
//! platform has none, both use sequentially consistent accesses.
//!
//! The same flag finds appends within an append: a signal handler that logs while its own thread was logging.
//!
//! | name | release | acquire | carries |
//! |---|---|---|---|
//! | outside | `Entered`'s drop clears the flag | `Gate::close_and_wait` reads 0 | the append's commit |

use std::io;
use std::sync::atomic::compiler_fence;
use std::time::Instant;

use crate::sync::Ordering::{Relaxed, Release, SeqCst};
use crate::sync::{AtomicU32, yield_now};
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

/// Shared by all producers of an engine.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The level admitted, and [`HERE`].
    words: WipedOnFork,
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
        Ok(Gate { words, barrier_at_close: register_barrier(), process: std::process::id() })
    }

    #[inline(always)]
    fn admitted(&self) -> &AtomicU32 {
        &self.words.words()[0]
    }

    /// Whether an append at `level` has a chance to pass.
    #[inline(always)]
    pub(crate) fn admits(&self, level: u8) -> bool {
        u32::from(level) <= self.admitted().load(Relaxed)
    }

    /// Admits `level` and the less verbose ones from now on. Nothing, once closed.
    pub(crate) fn set_level(&self, level: u8) {
        debug_assert!(level > 0, "a gate is closed by close");
        let mut admitted = self.admitted().load(Relaxed);
        while admitted != 0 {
            match self.admitted().compare_exchange(admitted, u32::from(level), Relaxed, Relaxed) {
                Ok(_) => break,
                Err(now) => admitted = now,
            }
        }
    }

    /// The most verbose level admitted; 0 when closed.
    pub(crate) fn level(&self) -> u8 {
        self.admitted().load(Relaxed) as u8
    }

    /// Begins an append at `level` of the producer whose in-append flag is `flag`, on its own thread.
    ///
    /// # Errors
    ///
    /// Why it may not be.
    #[inline(always)]
    pub(crate) fn enter<'a>(&self, flag: &'a AtomicU32, level: u8) -> Result<Entered<'a>, Refusal> {
        if !self.admits(level) {
            return Err(self.refusal());
        }
        // Only this thread writes the flag: a handler that interrupted between the two lines has left before they go on.
        if flag.load(Relaxed) != 0 {
            return Err(Refusal::Reentrant);
        }
        let open = if self.barrier_at_close {
            flag.store(1, Relaxed);
            // Nothing may be moved over this line at compile time; at run time close's barrier sees to it.
            compiler_fence(SeqCst);
            self.admits(level)
        } else {
            self.raise_and_recheck(flag, level)
        };
        let entered = Entered { flag };
        if open { Ok(entered) } else { Err(self.refusal()) }
    }

    /// Where close has no barrier for all threads: a store and a load that keep their order by themselves.
    #[cfg(not(loom))]
    fn raise_and_recheck(&self, flag: &AtomicU32, level: u8) -> bool {
        // An exchange rather than a fence, as ThreadSanitizer does not understand fences.
        flag.swap(1, SeqCst);
        u32::from(level) <= self.admitted().load(SeqCst)
    }

    /// The same for loom, which understands fences, and of sequentially consistent accesses only half.
    #[cfg(loom)]
    fn raise_and_recheck(&self, flag: &AtomicU32, level: u8) -> bool {
        flag.store(1, Relaxed);
        crate::sync::fence(SeqCst);
        self.admits(level)
    }

    /// Why the gate does not admit a level.
    #[cold]
    #[inline(never)]
    pub(crate) fn refusal(&self) -> Refusal {
        if self.words.words()[1].load(Relaxed) != HERE {
            Refusal::Forked
        } else if self.admitted().load(Relaxed) == 0 {
            Refusal::Closed
        } else {
            Refusal::Filtered
        }
    }

    /// Whether this process is a fork of the one that made the gate. A system call where the platform wipes nothing.
    pub(crate) fn is_forked(&self) -> bool {
        self.words.words()[1].load(Relaxed) != HERE || std::process::id() != self.process
    }

    /// Closes: an append that begins after this is refused. Those that were under way may still be: see
    /// [`close_and_wait`](Self::close_and_wait).
    pub(crate) fn close(&self) {
        self.admitted().store(0, SeqCst);
        #[cfg(loom)]
        crate::sync::fence(SeqCst);
        if self.barrier_at_close && !barrier_all_threads() {
            // The barrier was registered, and is refused now: a sandbox has come in between. A store leaves its CPU
            // within microseconds, and any switch of threads flushes it, so that waiting this long does as well.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Closes, then waits until no producer is inside an append: all that was or will be answered with `Written` is in its
    /// ring then. To catch every producer, [`close`](Self::close) before collecting `flags`: a producer registered later
    /// finds the gate closed.
    ///
    /// Returns `false` if one was still inside at `deadline` (its thread is stopped, or it is this very thread, in a
    /// signal handler).
    pub(crate) fn close_and_wait<'a>(&self, flags: impl IntoIterator<Item = &'a AtomicU32>, deadline: Instant) -> bool {
        self.close();
        flags.into_iter().all(|flag| {
            // SeqCst where there was no barrier, acquire in any case: _outside_.
            while flag.load(SeqCst) != 0 {
                if !cfg!(loom) && Instant::now() >= deadline {
                    return false;
                }
                yield_now();
            }
            true
        })
    }
}

/// An append that has begun; its drop ends it.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    flag: &'a AtomicU32,
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: _outside_.
        self.flag.store(0, Release);
    }
}
