//! The operating system and the CPU: the one boundary behind which everything platform-specific sits.
//!
//! `linux` and `portable` offer the same functions. `--cfg diolog_portable` builds the second one on Linux, so that
//! the fallback is tested there too (and `--cfg loom` uses it, as a model has no kernel). Callers are above; nothing
//! here knows rings, blocks or records.

#[cfg(all(target_os = "linux", not(any(diolog_portable, loom))))]
mod linux;
#[cfg(all(target_os = "linux", not(any(diolog_portable, loom))))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", not(any(diolog_portable, loom)))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(any(diolog_portable, loom)))))]
pub(crate) use portable::*;
