//! Huge pages for large memory. Called by `buffer` and `memory`.
//!
//! Invariants that the unsafe code rests on:
//! 1. The advice given here changes how memory is backed, never what it holds or whether it is there.
#![allow(unsafe_code)]

/// Bytes of a huge page of the smallest kind, on x86-64 and on arm64 with 4 KiB pages.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for huge pages behind `bytes` bytes from `memory`, which begins on a page. A refusal leaves small ones: slower,
/// but not wrong.
pub(crate) fn advise_huge_pages(memory: *mut u8, bytes: usize) {
    // SAFETY: invariant 1, for whatever is mapped there; the kernel refuses what is not.
    let _ = unsafe { rustix::mm::madvise(memory.cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
}
