//! A signal that ends the process: the logs are drained first. And SIGHUP, which makes logs begin a new segment
//! instead, if one of them asks for that.
//!
//! The handlers only tell a thread of the library. It asks for the new segments; or it closes the logs, and then lets
//! the signal have its default effect. Nothing here touches a signal that somebody else handles, or that is ignored.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register_conditional_default, register_conditional_shutdown};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, exit};

use super::closing::{begin_close_all, wait_until_all_closed};
use super::open_logs::open_logs;
use crate::own_thread::{self, Role};
use crate::shared::Shared;
use crate::sync::lock;
use crate::sys::{PerProcess, signals};

/// The signals that ask a process to end.
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// A signal that follows so soon counts as the same request: `timeout` and other parents send two.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// The signal handling of this process.
static STATE: PerProcess<Mutex<State>> = PerProcess::new();

#[derive(Default)]
struct State {
    watcher: Option<Watcher>,
    drains: bool,
    rotates: bool,
}

/// The thread that waits for signals, as seen from others.
struct Watcher {
    signals: Handle,
    orders: Arc<Orders>,
    /// The signals that it waits for.
    watched: Vec<i32>,
}

/// What the thread does at a signal.
#[derive(Default)]
struct Orders {
    hangup_rotates: AtomicBool,
    /// A second signal ends the process at once.
    second_ends: Arc<AtomicBool>,
}

impl State {
    /// The thread, started now if there is none. It does not wait for any signal yet: a handler must not receive one
    /// while no thread can be told.
    fn watcher(&mut self) -> io::Result<&mut Watcher> {
        let watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => Watcher::start()?,
        };
        Ok(self.watcher.insert(watcher))
    }
}

impl Watcher {
    fn start() -> io::Result<Watcher> {
        let mut signals = Signals::new([0_i32; 0])?;
        let (handle, orders) = (signals.handle(), Arc::<Orders>::default());
        let of_thread = Arc::clone(&orders);
        own_thread::spawn("diolog-signals", Role::Helper, move || watch(&mut signals, &of_thread))?;
        Ok(Watcher { signals: handle, orders, watched: Vec::new() })
    }

    fn add(&mut self, signal: i32) -> io::Result<()> {
        self.signals.add_signal(signal)?;
        self.watched.push(signal);
        signals::keep_default_in_children(signal)
    }
}

/// Makes SIGTERM, SIGINT and SIGHUP drain all open logs before they end the process.
///
/// It leaves a signal alone if the signal is ignored now (as `nohup` does with SIGHUP), or if the program handles it.
/// So install your own handlers before you call this.
///
/// At the first signal that it takes over, a thread closes every open log. This takes as long as the slowest log, at
/// most its [`close_deadline`](crate::Config::close_deadline). The other threads run meanwhile, and their appends
/// return [`Outcome::Closed`](crate::Outcome::Closed). Then the signal has its default effect: the process ends with
/// the signal's status, without destructors and exit handlers. (No signal ends the first process of a container by
/// default. It exits with 128 and the signal's number, as shells show it.) A second signal, at least a second later,
/// ends the process at once.
///
/// If a log was opened with [`rotate_on_hangup`](crate::Config::rotate_on_hangup), before or after this call, SIGHUP
/// does not end the process.
///
/// Later calls do nothing. In a forked child the signals have their default effect at once. A program that waits for
/// signals itself, as with tokio's `signal`, does not need this: it returns from `main`, which drains the logs too.
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
/// Linux. Nothing has changed then, as a rule. But if handlers of some signals were installed before another one was
/// refused, these signals no longer end the process.
pub fn drain_on_signals() -> io::Result<()> {
    let mut state = lock(STATE.get_or_make());
    if state.drains {
        return Ok(());
    }
    let mut chosen = Vec::new();
    for signal in ENDING {
        if signals::is_default(signal)? {
            chosen.push(signal);
        }
    }
    let watcher = state.watcher()?;
    for signal in chosen {
        watcher.add(signal)?;
        let ends = Arc::clone(&watcher.orders.second_ends);
        if is_process_1() {
            register_conditional_shutdown(signal, exit_status(signal), ends)?;
        } else {
            register_conditional_default(signal, ends)?;
        }
    }
    state.drains = true;
    Ok(())
}

/// Makes what [`rotate_on_hangup`] needs. Signals have the same effects as before.
///
/// # Errors
/// The system refuses a thread or a pipe.
pub(crate) fn prepare_for_hangup() -> io::Result<()> {
    lock(STATE.get_or_make()).watcher().map(drop)
}

/// Makes SIGHUP rotate the open logs that ask for it, unless the program ignores or handles it.
///
/// # Errors
/// The system refuses the handler, or what was not [prepared](prepare_for_hangup).
pub(crate) fn rotate_on_hangup() -> io::Result<()> {
    let mut state = lock(STATE.get_or_make());
    if state.rotates {
        return Ok(());
    }
    let is_watched = state.watcher.as_ref().is_some_and(|watcher| watcher.watched.contains(&SIGHUP));
    if is_watched || signals::is_default(SIGHUP)? {
        let watcher = state.watcher()?;
        watcher.orders.hangup_rotates.store(true, Ordering::SeqCst);
        if !is_watched {
            watcher.add(SIGHUP)?;
        }
    }
    state.rotates = true;
    Ok(())
}

/// Waits for signals: rotates at SIGHUP if it is to, and ends the process at the first other one.
fn watch(signals: &mut Signals, orders: &Orders) {
    for signal in signals.forever() {
        if signal == SIGHUP && orders.hangup_rotates.load(Ordering::SeqCst) {
            let asks = |log: &Arc<Shared>| log.settings.config.rotate_on_hangup;
            open_logs().iter().filter(|log| asks(log)).for_each(|log| log.ask_for_rotation());
        } else {
            end(signal, &orders.second_ends);
        }
    }
}

/// Drains the logs, and gives the signal its default effect.
fn end(signal: i32, second_ends: &AtomicBool) {
    let begun = Instant::now();
    let logs = open_logs();
    let asked = begin_close_all(&logs, begun);
    for (log, _) in &asked {
        log.closing.wait(SAME_REQUEST.saturating_sub(begun.elapsed()));
    }
    second_ends.store(true, Ordering::SeqCst);
    wait_until_all_closed(&asked);
    if is_process_1() {
        exit(exit_status(signal));
    }
    // The crate knows all three signals, so this does not fail.
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
