//! Ctrl-C and SIGTERM, heard by a thread of its own.

use std::io;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Signals that come so soon after the first are the same wish: `timeout` sends two, and so do other parents.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Calls `stop` at the first signal. One that comes later than [`SAME_WISH`] calls `give_up`, since the first may wait for
/// a disk that hangs; and one more ends the process at once.
pub(crate) fn on_stop(stop: impl FnOnce() + Send + 'static, give_up: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        let mut signals = signals.forever();
        let mut next = |since: Option<Instant>| signals.any(|_| since.is_none_or(|since| since.elapsed() > SAME_WISH));
        // In threads of their own, so that the next signal is heard even if an earlier one cannot be obeyed.
        let apart =
            |name: &str, obey: Box<dyn FnOnce() + Send>| drop(thread::Builder::new().name(name.into()).spawn(obey));
        if next(None) {
            apart("diolog-stop", Box::new(stop));
        }
        if next(Some(Instant::now())) {
            apart("diolog-give-up", Box::new(give_up));
        }
        if next(Some(Instant::now())) {
            exit();
        }
    };
    thread::Builder::new().name("diolog-signals".into()).spawn(listen)?;
    Ok(())
}

/// Ends the process, as one that was interrupted.
pub(crate) fn exit() {
    process::exit(130);
}
