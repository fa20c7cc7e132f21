//! The writer: one thread that serves a list of logs, and never waits for the disk while rings fill.
//!
//! `thread` is its handle, `new_log` what it gets for each log, and `serve` its loop. `begin` makes a log, and `log`
//! serves it. `source` is one ring of a log, `buffers` has the memory of its blocks, and `pipeline` brings the blocks
//! to the disk. `schedule` decides which rings come next, and when the thread sleeps. `engine` and `logger` start the
//! thread and then give it logs. The thread pins itself to `writer_core` if that is set.

mod thread;
mod new_log;
mod serve;
mod begin;
mod buffers;
mod log;
mod source;
mod callsites;
mod contents;
mod gap_causes;
mod pipeline;
mod schedule;

#[cfg(all(test, not(loom)))]
mod packing_tests;

pub(crate) use buffers::BlockMemory;
pub(crate) use callsites::define;
pub(crate) use new_log::{Begin, WrapDevice};
pub(crate) use thread::{Serves, Writer};
