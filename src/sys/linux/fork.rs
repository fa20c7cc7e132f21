//! Words that a forked child sets to zero itself, for kernels that cannot wipe pages at a fork. Used by
//! [`memory`](super::memory).
//!
//! 1. A [`Node`] is leaked when it is added: it and its words are valid for ever, and its fields never change.

#![allow(unsafe_code)]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr};

use crate::sync::AtomicU32;
use crate::sync::Ordering::Relaxed;
use crate::sys::WIPED_WORDS;

struct Node {
    words: NonNull<[AtomicU32; WIPED_WORDS]>,
    next: *mut Node,
}

/// The words of this process, the newest first. A list, because a lock may be held by a thread that the child does not
/// have.
static WORDS: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());

/// Lets every child that is forked by the C library from now on set `words` to zero. A child that is made by the
/// kernel's call alone does not.
///
/// # Errors
/// The C library has no memory for its list of handlers.
///
/// # Safety
/// `words` is valid for ever.
pub(super) unsafe fn wipe_in_children(words: NonNull<[AtomicU32; WIPED_WORDS]>) -> io::Result<()> {
    // Without a lock, as above. A handler that is registered twice does no harm.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Relaxed) {
        // SAFETY: the handler lives as long as the program, or as the library that it is part of, which takes it along.
        let errno = unsafe { libc::pthread_atfork(None, None, Some(wipe)) };
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        REGISTERED.store(true, Relaxed);
    }
    let node = Box::into_raw(Box::new(Node { words, next: WORDS.load(Acquire) }));
    // SAFETY: (1), and nobody else has the node before the exchange succeeds.
    while let Err(first) = WORDS.compare_exchange(unsafe { (*node).next }, node, Release, Acquire) {
        // SAFETY: as above.
        unsafe { (*node).next = first };
    }
    Ok(())
}

/// Runs in the child, whose only thread it is on. It makes no system call and takes no lock.
unsafe extern "C" fn wipe() {
    // SAFETY: (1).
    let mut node = unsafe { WORDS.load(Acquire).as_ref() };
    while let Some(Node { words, next }) = node {
        // SAFETY: (1).
        unsafe { words.as_ref() }.iter().for_each(|word| word.store(0, Relaxed));
        // SAFETY: (1).
        node = unsafe { next.as_ref() };
    }
}
