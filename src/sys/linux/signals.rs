//! What signals do to this process. Called by `ends`.

#![allow(unsafe_code, reason = "calls the C library")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use signal_hook::low_level::{emulate_default_handler, register};

/// Whether `signal` has its default effect on this process: it is neither ignored nor handled.
///
/// # Errors
/// There is no such signal.
pub(crate) fn is_default(signal: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call changes nothing; `action` outlives it.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeros are a valid value, and the kernel has written one.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL)
}

/// Gives `signal`, which this process handles, its default effect in forked children: they inherit the handler, and not
/// the thread that it tells.
///
/// # Errors
/// The system refuses the handler.
pub(crate) fn keep_default_in_children(signal: i32) -> io::Result<()> {
    let process = std::process::id();
    let action = move || {
        if std::process::id() != process {
            // Known: `is_default` has been asked about it.
            let _ = emulate_default_handler(signal);
        }
    };
    // SAFETY: the action asks for the process's id and changes a signal's action, both async-signal-safe.
    unsafe { register(signal, action) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unused_signal_is_default_and_no_signal_is_an_error() {
        assert!(is_default(libc::SIGTTIN).expect("a signal"));
        assert!(!is_default(libc::SIGPIPE).expect("a signal"), "Rust's runtime ignores it");
        assert!(is_default(4711).is_err());
    }
}
