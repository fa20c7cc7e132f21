//! Ctrl-C and SIGTERM, received by a thread of its own.

use std::io;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A signal that follows so soon counts as the same request: `timeout` and other parents send two.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Calls `stop` at the first signal, and `give_up` at the next one that comes later than [`SAME_REQUEST`], because
/// `stop` may wait for a disk that hangs. One more ends the process at once.
pub(crate) fn on_stop(stop: impl FnOnce() + Send + 'static, give_up: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        let mut signals = signals.forever();
        let mut next =
            |since: Option<Instant>| signals.any(|_| since.is_none_or(|since| since.elapsed() > SAME_REQUEST));
        // On threads of their own, so that the next signal is received even if `stop` hangs.
        let spawn =
            |name: &str, call: Box<dyn FnOnce() + Send>| drop(thread::Builder::new().name(name.into()).spawn(call));
        if next(None) {
            spawn("diolog-stop", Box::new(stop));
        }
        if next(Some(Instant::now())) {
            spawn("diolog-give-up", Box::new(give_up));
        }
        if next(Some(Instant::now())) {
            exit();
        }
    };
    thread::Builder::new().name("diolog-signals".into()).spawn(listen)?;
    Ok(())
}

/// Ends the process with the status of an interrupted one.
pub(crate) fn exit() {
    process::exit(130);
}
