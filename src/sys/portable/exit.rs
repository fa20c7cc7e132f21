//! Calling a function when the process exits. Called by `ends`.

#![allow(unsafe_code, reason = "calls the C library")]

/// Calls `handler` when the process exits by `exit` or a return from `main`. The handlers that were registered later
/// are called before it. Returns `false` if the system has no memory for it.
#[cfg(unix)]
pub(crate) fn at_exit(handler: extern "C" fn()) -> bool {
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
    }
    // SAFETY: the declaration is that of the C standard, and the handler can be called on any thread. The system calls
    // it before it unloads the object that holds this code, if it unloads that at all.
    unsafe { atexit(handler) == 0 }
}

/// Does nothing, and returns `false`: when a process exits here, its other threads have been ended before the handlers
/// run, so no log could be drained.
#[cfg(not(unix))]
pub(crate) fn at_exit(_handler: extern "C" fn()) -> bool {
    false
}
