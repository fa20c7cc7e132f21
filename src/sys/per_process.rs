//! A value of the process: a forked child gets one of its own, since a lock in its parent's may be held by a thread
//! that the child does not have.
//!
//! 1. `current` is null, or the address of a [`Held`] that was leaked: it is valid for ever and never written again.

#![allow(unsafe_code, reason = "threads find the value by a pointer, without a lock")]

use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::memory::WipedOnFork;
use crate::sync::Ordering::Relaxed;

/// A value that each process makes for itself when it first asks for it. For a static: values are never freed.
pub(crate) struct PerProcess<T: 'static> {
    current: AtomicPtr<Held<T>>,
}

struct Held<T> {
    made_in: MadeIn,
    value: T,
}

/// Which process has made something. A forked child is another one.
#[derive(Debug)]
pub(crate) struct MadeIn {
    process: u32,
    /// Its first word is 1 in the process that made it: two processes of different namespaces may have the same number.
    /// `None` if the system refuses the page.
    here: Option<WipedOnFork>,
}

impl MadeIn {
    /// The calling process.
    pub(crate) fn this_process() -> MadeIn {
        let here = WipedOnFork::new().ok();
        if let Some(page) = &here {
            page.words()[0].store(1, Relaxed);
        }
        MadeIn { process: std::process::id(), here }
    }

    /// Whether that is the calling process. Where the page is there, it makes no system call.
    pub(crate) fn is_this_process(&self) -> bool {
        match &self.here {
            Some(page) if cfg!(all(target_os = "linux", not(any(diolog_portable, loom)))) => {
                page.words()[0].load(Relaxed) == 1
            }
            _ => self.process == std::process::id(),
        }
    }
}

impl<T: Default + Send + Sync> PerProcess<T> {
    /// No process has a value yet.
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// This process's value, if it has made one. Takes no lock and allocates nothing.
    pub(crate) fn get(&'static self) -> Option<&'static T> {
        // Acquire: _value made_, the exchange in `get_or_make`.
        // SAFETY: (1).
        let held = unsafe { self.current.load(Acquire).as_ref() }?;
        held.made_in.is_this_process().then_some(&held.value)
    }

    /// This process's value, made now if it has none.
    pub(crate) fn get_or_make(&'static self) -> &'static T {
        let mut seen = self.current.load(Acquire);
        loop {
            // SAFETY: (1).
            if let Some(held) = unsafe { seen.as_ref() }.filter(|held| held.made_in.is_this_process()) {
                return &held.value;
            }
            let made = Box::into_raw(Box::new(Held { made_in: MadeIn::this_process(), value: T::default() }));
            // Release: _value made_.
            match self.current.compare_exchange(seen, made, AcqRel, Acquire) {
                Ok(_) => seen = made,
                Err(now) => {
                    // SAFETY: just leaked here, and seen by nobody else.
                    drop(unsafe { Box::from_raw(made) });
                    seen = now;
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn all_threads_of_a_process_get_the_same_value() {
        static VALUE: PerProcess<Mutex<u32>> = PerProcess::new();
        assert!(VALUE.get().is_none());
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| ptr::from_ref(VALUE.get_or_make()).addr()));
            let made = ptr::from_ref(VALUE.get_or_make()).addr();
            assert!(threads.into_iter().all(|thread| thread.join().expect("no panic") == made));
        });
        assert!(VALUE.get().is_some());
    }

    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    #[test]
    fn a_forked_child_has_no_value_and_makes_its_own() {
        static VALUE: PerProcess<Mutex<u32>> = PerProcess::new();
        let held = VALUE.get_or_make().lock();
        // SAFETY: the child calls nothing that could wait for another thread but the allocator, which glibc and musl
        // make usable in a child.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_own = VALUE.get().is_none() && VALUE.get_or_make().try_lock().is_ok();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!is_own)) };
        }
        assert!(child > 0, "fork failed");
        let mut status = 0;
        // SAFETY: `status` outlives the call, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        drop(held);
        assert!(VALUE.get().is_some());
    }
}
