//! The ends of a process: what becomes of the logs that are still open.
//!
//! `open_logs` is the list of them; `closing` closes one; `exit` closes all when the process exits.
//! `logger` lists each log at open and closes it; `exit` runs on whichever thread of the program exits. Nothing here takes a lock in a forked child, where its holder may not exist.

mod closing;
mod exit;
mod open_logs;

pub(crate) use closing::{begin_close, wait_until_closed};
pub(crate) use exit::drain_at_exit;
