//! The functions of this platform, by subject.

pub(crate) mod cpu;
pub(crate) mod directory;
pub(crate) mod exit;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod huge_pages;
pub(crate) mod limits;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod shared_memory;
pub(crate) mod signal_mask;
#[cfg(feature = "signals")]
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod time;
pub(crate) mod uring;
