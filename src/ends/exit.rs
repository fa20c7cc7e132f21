//! The exit of the process: every log that is still open is drained.
//!
//! One handler of `atexit` for the whole process, registered when the first log is opened. All logs are asked to close
//! first, and then waited for, so that together they take as long as the slowest: each ends by its own
//! `close_deadline`, counted from the exit. It takes nothing for granted: it may run in a forked child, on a thread of
//! the library, or on a thread that is inside an append and never comes back to it.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::closing::{begin_close_all, wait_until_all_closed};
use super::open_logs::OpenLogs;
use crate::own_thread::{self, Role};
use crate::shared::Shared;
use crate::sys;

/// How long the writer waits at exit for an append of another thread that is under way. It ends within microseconds,
/// once its thread gets a CPU: a container that has used up its share of CPU may have to wait for 100 ms. It never ends
/// if that thread wants to exit too, from a signal handler. For an append of the exiting thread itself the writer does
/// not wait, if the system says where that thread's stack is.
const APPENDS_END_WITHIN: Duration = Duration::from_millis(250);

/// Whether a handler is registered that has not run yet. A forked child inherits both.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Drains `shared`, a log that has just been opened, when the process exits, unless it is closed before.
pub(crate) fn drain_at_exit(shared: &Arc<Shared>) {
    OpenLogs::add(shared);
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        // The system has no memory: the log then ends as if killed, and a reader calls it unconfirmed. The next open
        // tries again.
        if !sys::exit::at_exit(handler) {
            REGISTERED.store(false, Ordering::Relaxed);
        }
    }
}

extern "C" fn handler() {
    // A later handler may open a log again. (The C library also calls handlers that are registered during the exit.)
    REGISTERED.store(false, Ordering::Relaxed);
    // C calls this function, so a panic must not leave it.
    let _ = catch_unwind(|| {
        if let Some(open_logs) = OpenLogs::of_this_process() {
            close_at_exit(&open_logs.all());
        }
    });
}

/// Closes all `logs`, and waits for each, unless this thread is its writer.
fn close_at_exit(logs: &[Arc<Shared>]) {
    let begun = Instant::now();
    let stack = sys::stack::own().unwrap_or_default();
    for log in logs {
        log.closing.wait_for_appends_until(begun + APPENDS_END_WITHIN, stack.clone());
    }
    let asked = begin_close_all(logs, begun);
    if own_thread::role() != Role::Helper {
        wait_until_all_closed(&asked);
    }
}
