//! The writer: one thread that serves a list of logs, and never waits for the disk while rings fill.
//!
//! `thread` is its handle, and `command` what it is asked for; `serve` is its loop. `log` serves one log, which `begin`
//! makes; `source` is one of its rings, and `buffers` what its blocks are filled in; `pipeline` brings its blocks to the disk; `schedule` decides which rings come
//! next and when the thread sleeps. `engine` and `logger` start the thread, which pins itself to `writer_core` if that is
//! set, and then hand it logs.

mod thread;
mod command;
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

pub(crate) use callsites::define;
pub(crate) use command::{Begin, WrapDevice};
pub(crate) use thread::Writer;
