//! The operating system and the CPU: the one boundary behind which everything platform-specific sits.
//!
//! `linux` and `portable` offer the same functions. `--cfg diolog_portable` builds the second one on Linux, so that
//! the fallback is tested there too. Callers are above; nothing here knows rings, blocks or records.

#[cfg(all(target_os = "linux", not(diolog_portable)))]
mod linux;
#[cfg(all(target_os = "linux", not(diolog_portable)))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", not(diolog_portable))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(diolog_portable))))]
pub(crate) use portable::*;
