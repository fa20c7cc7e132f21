//! The ends of a process, and what happens to the logs that are still open.
//!
//! `open_logs` is the list of open logs; `closing` closes one; `exit` closes all when the process exits; `panic`
//! flushes them when a thread panics; `signals`, with the feature of that name, closes all when a signal ends the
//! process, and rotates them at SIGHUP. `logger` lists each log at open and closes it; `exit` and `panic` run on
//! whichever thread of the program exits or panics. Nothing here takes a lock in a forked child, where its holder may
//! not exist.

mod closing;
mod exit;
mod open_logs;
mod panic;
#[cfg(feature = "signals")]
mod signals;

pub(crate) use closing::{begin_close, close_all, wait_until_closed};
pub(crate) use exit::drain_at_exit;
pub(crate) use open_logs::open_logs;
pub(crate) use panic::snapshot_on_panic;
pub use panic::{flush_on_panic, flush_on_panic_within};
#[cfg(feature = "signals")]
pub use signals::drain_on_signals;
#[cfg(feature = "signals")]
pub(crate) use signals::{prepare_for_hangup, rotate_on_hangup};
