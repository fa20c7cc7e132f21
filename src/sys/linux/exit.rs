//! Calling a function when the process exits. Called by `ends`.

#![allow(unsafe_code, reason = "calls the C library")]

/// Calls `handler` when the process exits by `exit` or a return from `main`, or when the shared object that this code
/// is in is unloaded. The handlers that were registered later are called before it. Returns `false` if the system has
/// no memory for it.
///
/// The thread-local values of the exiting thread are destroyed by then (with glibc). The other threads are running.
pub(crate) fn at_exit(handler: extern "C" fn()) -> bool {
    // SAFETY: the handler can be called on any thread. It lives as long as the object that holds this code: the C
    // library's `atexit` is linked into that object, and registers the handler for it.
    unsafe { libc::atexit(handler) == 0 }
}
