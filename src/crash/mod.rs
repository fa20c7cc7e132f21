//! Rings that outlive their process: the file that they share with whoever recovers them.
//!
//! A log whose [`Config::ring_memory`](crate::Config::ring_memory) is shared has its rings in a file that is mapped: what
//! was committed there is in the file, whatever ends the process. [`RingFiles`] is what `opening` and `engine` see of it,
//! and [`LogRings`] what the writer does; `ring` gets slots for its memory.

pub(crate) mod layout;
pub(crate) mod link;

// A model's rings are on the heap.
#[cfg_attr(loom, allow(dead_code))]
mod contents;
mod definitions;
mod slot;
mod ring_file;
#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
mod tests;

pub(crate) use contents::NewLog;
#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
pub(crate) use ring_file::slots_for_tests;
pub(crate) use ring_file::{LogRings, RingFiles, is_ring_file_of_this_process};
