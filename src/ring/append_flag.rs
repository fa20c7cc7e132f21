//! The flag that shows that a producing thread is inside an append.
//!
//! It is part of the ring's [control lines](super::control). The gate raises and lowers it, and documents when. The
//! writer reads it when the log is closed.

use std::ops::Range;
use std::ptr;

use crate::sync::AtomicU64;
use crate::sync::Ordering::{Relaxed, Release, SeqCst};

/// Raised while the producing thread is inside an append. Only the producing thread changes it. `gate` documents when,
/// and what another thread may conclude from it.
///
/// Its value is an address on that thread's stack, or 0 if it is lowered. So an exiting thread can recognise its own
/// append, which will never end, whichever thread made the producer.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct AppendFlag(AtomicU64);

impl AppendFlag {
    /// Whether it is raised. Only for the producing thread.
    #[inline(always)]
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Raises the flag, without ordering later accesses.
    #[inline(always)]
    pub(crate) fn raise(&self) {
        self.0.store(stack_address(), Relaxed);
    }

    /// Raises the flag before all later accesses, in the single order of sequentially consistent accesses.
    pub(crate) fn raise_in_order(&self) {
        // An exchange, not a store and a fence: ThreadSanitizer does not understand fences.
        #[cfg(not(loom))]
        self.0.swap(stack_address(), SeqCst);
        // loom treats SeqCst accesses as AcqRel, so a fence is used there.
        #[cfg(loom)]
        {
            self.0.store(stack_address(), Relaxed);
            crate::sync::fence(SeqCst);
        }
    }

    /// Lowers the flag after all earlier accesses.
    #[inline(always)]
    pub(crate) fn lower(&self) {
        // Release: _append done_.
        self.0.store(0, Release);
    }

    /// Whether it is lowered. For other threads: if so, they see all stores of the append.
    pub(crate) fn is_lowered(&self) -> bool {
        // Acquire: _append done_. SeqCst: the order of `raise_in_order`.
        self.0.load(SeqCst) == 0
    }

    /// Whether the thread whose stack is at these addresses has raised it. For other threads.
    pub(crate) fn is_raised_on(&self, stack: &Range<u64>) -> bool {
        // Relaxed: the value is all that is needed.
        stack.contains(&self.0.load(Relaxed))
    }
}

/// An address on the calling thread's stack. Never 0.
#[inline(always)]
fn stack_address() -> u64 {
    let here = 0_u8;
    ptr::from_ref(&here).addr() as u64
}

#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_says_on_which_threads_stack() {
        let flag = AppendFlag::default();
        let own = crate::sys::stack::own().expect("known");
        assert!(!flag.is_raised_on(&own));
        for raise in [AppendFlag::raise, AppendFlag::raise_in_order] {
            raise(&flag);
            assert!(flag.is_raised() && !flag.is_lowered() && flag.is_raised_on(&own));
            flag.lower();
            assert!(!flag.is_raised() && flag.is_lowered() && !flag.is_raised_on(&own));
            std::thread::scope(|scope| {
                scope.spawn(|| raise(&flag));
            });
            assert!(flag.is_raised() && !flag.is_raised_on(&own), "by another thread");
            flag.lower();
        }
    }
}
