//! Which signals a new thread of the library blocks. Called before one is started.
//!
//! Invariant that the unsafe code rests on:
//! 1. A set given to the C library lives on this stack, or in the caller's value, for the whole call.
#![allow(unsafe_code, reason = "calls the C library")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};

/// The signals of a fault. The kernel ends a process whose thread blocks the one that it raises, and no handler of the
/// program would write its report.
const OF_FAULTS: [libc::c_int; 7] = [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP];

/// While this lives, the calling thread blocks all signals but those of faults, and those that the C library keeps for
/// itself. A thread that it starts meanwhile does so for good.
pub(crate) struct BlockedSignals {
    before: libc::sigset_t,
    /// It stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl BlockedSignals {
    pub(crate) fn new() -> BlockedSignals {
        let (mut blocked, mut before) = (MaybeUninit::zeroed(), MaybeUninit::zeroed());
        // SAFETY: (1). Zeros are a valid set; the first call fills `blocked`, and the last one reads it and writes
        // `before`. All arguments are valid, so no call fails.
        let before = unsafe {
            libc::sigfillset(blocked.as_mut_ptr());
            for signal in OF_FAULTS {
                libc::sigdelset(blocked.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        BlockedSignals { before, _thread: PhantomData }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: (1); the set is one that the C library has returned.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}
