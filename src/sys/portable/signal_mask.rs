//! Which signals a new thread of the library blocks: as many as its starter.

/// Does nothing.
pub(crate) struct BlockedSignals;

impl BlockedSignals {
    pub(crate) fn new() -> BlockedSignals {
        BlockedSignals
    }
}

// So that it is dropped at the same place on each platform.
impl Drop for BlockedSignals {
    fn drop(&mut self) {}
}
