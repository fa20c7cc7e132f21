//! Rings that outlive their process, in a file that a recovery reads.
//!
//! If a log's [`Config::ring_memory`](crate::Config::ring_memory) is shared, its rings are in a mapped file. Records
//! that were committed are in that file, whatever ends the process. `opening` and `engine` use [`RingFiles`], the
//! writer uses [`LogRings`], and `ring` gets slots for its memory.

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
