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
mod lock_thread;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod shared_memory;
pub(crate) mod signal_mask;
#[cfg(feature = "signals")]
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod time;

// The io-uring crate has the kernel's structures for these architectures alone.
#[cfg_attr(
    not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "powerpc64"
    )),
    path = "../portable/uring.rs"
)]
pub(crate) mod uring;
