//! A signal that ends the process: the logs are drained first.
//!
//! The handlers only tell a thread of the library, which closes the logs and then lets the signal have its default
//! effect. It never touches a signal that somebody else handles, or that is ignored.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register_conditional_default, register_conditional_shutdown};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, exit};

use super::closing::{begin_close, wait_until_closed};
use super::open_logs::OpenLogs;
use crate::own_thread::{self, Role};
use crate::sync::lock;
use crate::sys::{PerProcess, signals};

/// The signals that ask a process to end.
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// A signal that follows so soon counts as the same request: `timeout` and other parents send two.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Whether this process has a thread that waits for signals.
static LISTENS: PerProcess<Mutex<bool>> = PerProcess::new();

/// Makes SIGTERM, SIGINT and SIGHUP drain all open logs before they end the process.
///
/// A signal is left alone if it is ignored now (as `nohup` does for SIGHUP), or if the program handles it: call this
/// after such handlers are installed. At the first of the other signals a thread closes every open log, which takes as
/// long as the slowest, at most its [`close_deadline`](crate::Config::close_deadline); the other threads run meanwhile,
/// and their appends return [`Outcome::Closed`](crate::Outcome::Closed). Then the signal has its default effect: the
/// process ends with its status, without destructors and exit handlers. (The first process of a container, which no
/// signal ends by default, exits with 128 and the signal's number, as shells show it.) A second signal that comes a second later or
/// after that ends the process at once.
///
/// Later calls do nothing. In a forked child the signals have their default effect at once. A program that waits for
/// signals itself, as with tokio's `signal`, needs none of this: it returns from `main`, which drains the logs too.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use diolog::{Config, Level, Logger};
///
/// diolog::drain_on_signals()?;
/// let logger = Logger::open(Config::new("/var/log/app/orders"))?;
/// logger.log(Level::Info, "started"); // durable after a SIGTERM too
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The system refuses a thread, a pipe or a handler; [`Unsupported`](io::ErrorKind::Unsupported) on systems other than
/// Linux. Nothing has changed then, unless handlers of some of the signals were installed before another one was refused:
/// those signals no longer end the process.
pub fn drain_on_signals() -> io::Result<()> {
    let mut listens = lock(LISTENS.get_or_make());
    if *listens {
        return Ok(());
    }
    let mut chosen = Vec::new();
    for signal in ENDING {
        if signals::is_default(signal)? {
            chosen.push(signal);
        }
    }
    // The thread first: a signal must not be received by a handler that has nobody to tell.
    let (send, received) = sync_channel::<Signals>(1);
    let second_ends = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&second_ends);
    thread::Builder::new().name("diolog-signals".into()).spawn(move || {
        own_thread::mark(Role::Helper);
        if let Ok(signals) = received.recv() {
            listen(signals, &armed);
        }
    })?;
    // The thread ends if this fails.
    let all = Signals::new(&chosen)?;
    for signal in chosen {
        signals::keep_default_in_children(signal)?;
        let ends = Arc::clone(&second_ends);
        if is_process_1() {
            register_conditional_shutdown(signal, exit_status(signal), ends)?;
        } else {
            register_conditional_default(signal, ends)?;
        }
    }
    // The thread waits for this.
    let _ = send.send(all);
    *listens = true;
    Ok(())
}

/// Waits for the first signal, drains the logs, and gives the signal its default effect.
fn listen(mut signals: Signals, second_ends: &AtomicBool) {
    let Some(signal) = signals.forever().next() else { return };
    let begun = Instant::now();
    let logs = OpenLogs::of_this_process().map(OpenLogs::all).unwrap_or_default();
    let asked: Vec<_> = logs.iter().map(|log| (log, begin_close(log, begun))).collect();
    for (log, _) in &asked {
        log.closing.wait(SAME_REQUEST.saturating_sub(begun.elapsed()));
    }
    second_ends.store(true, Ordering::SeqCst);
    for (log, deadline) in asked {
        wait_until_closed(log, deadline);
    }
    if is_process_1() {
        exit(exit_status(signal));
    }
    // All three are known to the crate.
    let _ = emulate_default_handler(signal);
}

/// Whether this is the first process of a container, on which the default effect of a signal is none.
fn is_process_1() -> bool {
    std::process::id() == 1
}

/// The exit status that shells give for a process that `signal` ended.
fn exit_status(signal: i32) -> i32 {
    128 + signal
}
