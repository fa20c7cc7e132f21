//! At a panic, makes the records that led to it durable, as far as a short wait allows, and takes snapshots.
//!
//! The hook runs on the thread that panics. That may be any thread: one of the library, one inside an append, or one
//! that has just panicked a thousand times. It waits only for the disk, and never long.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::open_logs::OpenLogs;
use crate::own_thread::{self, Role};
use crate::shared::Shared;
use crate::sys;

/// How long a panic waits for the disk by default.
const LIMIT: Duration = Duration::from_millis(100);

/// A panic that follows a saving one within this time does not save the logs: a server that survives panics must not
/// wait for the disk at each.
const ONCE_IN_NS: u64 = 1_000_000_000;

static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether panics flush.
static FLUSHES: AtomicBool = AtomicBool::new(false);
static LIMIT_NS: AtomicU64 = AtomicU64::new(LIMIT.as_nanos() as u64);
/// When a panic last saved the logs, by a flush or by snapshots, on the monotonic clock; 0 if none did.
static FLUSHED_NS: AtomicU64 = AtomicU64::new(0);

/// Makes every panic of the process flush its open logs, waiting for at most 100 ms in all: see
/// [`flush_on_panic_within`].
pub fn flush_on_panic() {
    flush_on_panic_within(LIMIT);
}

/// Makes every panic of the process flush its open logs, waiting for at most `limit` in all, before the stack is
/// unwound or the process aborts.
///
/// It installs a panic hook that first calls the hook installed before. So what that hook prints is not delayed, and
/// what it logs is flushed too. A panic less than a second after a flush does not flush again. The hook does nothing on
/// a thread of the library, in a forked child, or on a thread that may be inside an append to a producer that it has
/// made. Records that are not durable after `limit` stay accepted, and are written as usual if the process goes on.
///
/// Later calls only change the limit. So does a call from a thread that is panicking.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-panic-doc-{}", std::process::id()));
/// use diolog::{Config, Level, Logger};
///
/// diolog::flush_on_panic();
/// let logger = Logger::open(Config::new(&directory))?;
/// logger.log(Level::Error, "order 42 has no price");
/// let caught = std::panic::catch_unwind(|| panic!("a bug"));
/// assert!(caught.is_err());
/// # logger.close()?;
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
pub fn flush_on_panic_within(limit: Duration) {
    LIMIT_NS.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    FLUSHES.store(true, Relaxed);
    install();
}

/// Makes every panic of the process take a snapshot of each open log that is set to do so. It waits for as long as for
/// a flush.
pub(crate) fn snapshot_on_panic() {
    install();
}

/// Installs the hook, once.
fn install() {
    // A thread that is panicking may not change the hook.
    if thread::panicking() || INSTALLED.swap(true, Relaxed) {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        previous(info);
        save_all(Duration::from_nanos(LIMIT_NS.load(Relaxed)));
    }));
}

/// Flushes all open logs together, if that is asked for, and takes snapshots of those that are set to do so. Waits for
/// at most `limit` in all. Does nothing if this thread must not wait, or another panic has just done so.
fn save_all(limit: Duration) {
    // The order matters: this checks that the process is not a forked child, before the list is locked.
    let Some(open_logs) = OpenLogs::of_this_process() else { return };
    if own_thread::role() != Role::Host {
        return;
    }
    let logs = open_logs.all();
    let flushes = FLUSHES.load(Relaxed);
    if !flushes && !logs.iter().any(|log| log.settings.config.snapshot_on_panic) {
        return;
    }
    let tid = sys::cpu::thread_id();
    if logs.iter().any(|log| log.registry.may_be_inside_append(tid)) || !take_turn() {
        return;
    }
    let begun = Instant::now();
    let left = || limit.saturating_sub(begun.elapsed());
    // All are asked before the first is waited for. Nobody here could use their results.
    let ask = |log: &Arc<Shared>| {
        let asked = log.recorder.as_ref()?.triggers.ask_for_panic()?;
        log.wake_writer();
        Some((Arc::clone(log), asked))
    };
    let snapshots: Vec<_> = logs.iter().filter_map(ask).collect();
    let flushed = logs.iter().filter(|_| flushes).filter_map(|log| log.flushes.ask(|| log.wake_writer()).ok());
    let tickets: Vec<_> = flushed.collect();
    for ticket in tickets {
        let _ = ticket.wait(Some(left()));
    }
    for (log, asked) in snapshots {
        if let Some(recorder) = &log.recorder {
            recorder.triggers.wait_for_panic(asked, left());
        }
    }
}

/// Takes this second's turn, if no other panic has.
fn take_turn() -> bool {
    let now_ns = sys::time::monotonic_ns();
    let flushed_ns = FLUSHED_NS.load(Relaxed);
    let is_due = flushed_ns == 0 || now_ns.saturating_sub(flushed_ns) >= ONCE_IN_NS;
    is_due && FLUSHED_NS.compare_exchange(flushed_ns, now_ns, Relaxed, Relaxed).is_ok()
}
