//! Huge pages for large buffers: the system's own choice. Called by `buffer`.

/// The alignment that would let the system use a huge page.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for nothing: there is no portable way.
pub(crate) fn advise_huge_pages(_memory: *mut u8, _bytes: usize) {}
