//! Ctrl-C and SIGTERM, heard by a thread of its own.

use std::io;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Signals that come so soon after the first are the same wish: `timeout` sends two, and so do other parents.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Calls `stop` at the first signal. One that comes later than [`SAME_WISH`] ends the process at once, since the first
/// may wait for a disk that hangs.
pub(crate) fn on_stop(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            // In a thread of its own, so that the second signal is heard even if the first cannot be told.
            let _ = thread::Builder::new().name("diolog-stop".into()).spawn(stop);
        }
        let first = Instant::now();
        if signals.any(|_| first.elapsed() > SAME_WISH) {
            process::exit(130);
        }
    };
    thread::Builder::new().name("diolog-signals".into()).spawn(listen)?;
    Ok(())
}
