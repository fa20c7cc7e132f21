//! Huge pages for large allocations. Called by `buffer` and `memory`.
//!
//! Invariants that the unsafe code rests on:
//! 1. The advice given here changes which pages back the memory, never its contents or whether it is mapped.
#![allow(unsafe_code, reason = "calls the C library")]

/// Bytes of a huge page of the smallest kind, on x86-64 and on arm64 with 4 KiB pages.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for huge pages for `bytes` bytes from `memory`, which begins on a page. After a refusal the pages stay small:
/// slower, but not wrong.
pub(crate) fn advise_huge_pages(memory: *mut u8, bytes: usize) {
    // SAFETY: invariant 1 holds for any mapping; the kernel refuses a range that is not mapped.
    let _ = unsafe { rustix::mm::madvise(memory.cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
}

/// While this exists, the process gets no new huge pages: for measurements of memory without them.
#[cfg(feature = "unstable")]
pub(crate) struct WithoutHugePages(());

#[cfg(feature = "unstable")]
impl WithoutHugePages {
    /// A refusal leaves huge pages as they are.
    pub(crate) fn new() -> WithoutHugePages {
        set_disabled(true);
        WithoutHugePages(())
    }
}

#[cfg(feature = "unstable")]
impl Drop for WithoutHugePages {
    fn drop(&mut self) {
        set_disabled(false);
    }
}

#[cfg(feature = "unstable")]
fn set_disabled(disabled: bool) {
    // SAFETY: takes numbers, and concerns pages that are not there yet.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(disabled), 0, 0, 0) };
}
