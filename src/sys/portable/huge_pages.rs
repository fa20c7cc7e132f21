//! Huge pages for large buffers: left to the system. Called by `buffer`.

/// The alignment with which the system can use a huge page.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Does nothing: there is no portable way.
pub(crate) fn advise_huge_pages(_memory: *mut u8, _bytes: usize) {}

/// Nothing: there is no portable way.
#[cfg(feature = "unstable")]
pub(crate) struct WithoutHugePages(());

#[cfg(feature = "unstable")]
impl WithoutHugePages {
    /// Changes nothing.
    pub(crate) fn new() -> WithoutHugePages {
        WithoutHugePages(())
    }
}
