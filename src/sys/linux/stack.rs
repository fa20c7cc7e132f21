//! Where a thread's stack is. Called by `ends`.

#![allow(unsafe_code, reason = "calls the C library")]

use std::mem::MaybeUninit;
use std::ops::Range;

/// The addresses of the stack that the calling thread began on. It may run on another one now, such as one for signal
/// handlers. `None` if the system does not say.
pub(crate) fn own() -> Option<Range<u64>> {
    let mut attributes = MaybeUninit::uninit();
    let (mut base, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the first call fills the attributes, which the second reads and the third frees; the other places are
    // on this stack.
    let result = unsafe {
        match libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) {
            0 => {
                let result = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut base, &raw mut bytes);
                libc::pthread_attr_destroy(attributes.as_mut_ptr());
                result
            }
            error => error,
        }
    };
    let base = base.addr() as u64;
    (result == 0).then(|| base..base.saturating_add(bytes as u64))
}
