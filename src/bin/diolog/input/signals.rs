//! Signals that ask this process to end, received by a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::exit::Failure;
use crate::text::output::say;

/// A signal that follows so soon counts as the same request: `timeout` and service managers send two at once, and
/// nobody presses a key twice so fast.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// How long the last message may wait for a standard error that takes nothing.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The signals that [`listen`] receives, unless this process was started with them ignored, as `nohup` does.
const ENDING: [i32; 4] = [SIGINT, SIGHUP, SIGTERM, SIGQUIT];

/// A signal that asked this process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// Whether the sender still lets the input end by itself: Ctrl-C and a closed terminal reach the program that
    /// writes the input too, and its last lines come after the signal.
    pub(crate) fn lets_input_end(self) -> bool {
        matches!(self.0, SIGINT | SIGHUP)
    }

    /// The exit status that shells give for a process that this signal ended: 128 and its number.
    pub(crate) fn exit_status(self) -> u8 {
        128 + self.0 as u8
    }
}

/// The first signal, once one has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// 0 if none was noted yet.
    first: Arc<AtomicUsize>,
    /// The last signal that a handler got. The thread that receives signals may get a CPU much later, and a program
    /// that feeds the input may end it meanwhile.
    caught: Arc<AtomicUsize>,
}

impl Asked {
    pub(crate) fn get(&self) -> Option<Signal> {
        match self.first.load(Ordering::Relaxed) {
            0 => match self.caught.load(Ordering::Relaxed) {
                0 => None,
                caught => Some(self.note(caught)),
            },
            first => Some(Signal(first as i32)),
        }
    }

    /// Notes a signal, unless there was one before. Returns the first.
    fn note(&self, signal: usize) -> Signal {
        let noted = self.first.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
        Signal(noted.map_or_else(|first| first, |_| signal) as i32)
    }
}

/// Notes the first signal in what it returns, and calls `wake`, which must not wait. The second signal ends the process
/// at once, after it has printed `last_words`, if there are any.
pub(crate) fn listen(
    wake: impl FnOnce(Signal) + Send + 'static,
    last_words: impl FnOnce() -> Option<String> + Send + 'static,
) -> Result<Asked, Failure> {
    let ignored = ignored_signals();
    let received = || ENDING.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(received()).map_err(Failure::cannot("listen for signals"))?;
    let asked = Asked::default();
    for signal in received() {
        let caught = flag::register_usize(signal, Arc::clone(&asked.caught), signal as usize);
        caught.map_err(Failure::cannot("listen for signals"))?;
    }
    let noted = asked.clone();
    let listen = move || {
        let mut signals = signals.forever();
        let Some(first) = signals.next() else { return };
        let since = Instant::now();
        wake(noted.note(first as usize));
        if let Some(second) = signals.find(|_| since.elapsed() > SAME_REQUEST) {
            end_at_once(Signal(second), last_words);
        }
    };
    let started = thread::Builder::new().name("diolog-signals".into()).spawn(listen);
    started.map_err(Failure::cannot("listen for signals"))?;
    Ok(asked)
}

/// Ends the process without another wait for the disk or a reader.
fn end_at_once(signal: Signal, last_words: impl FnOnce() -> Option<String> + Send + 'static) {
    let (said, is_said) = std::sync::mpsc::channel();
    let say_it = move || {
        last_words().into_iter().for_each(say);
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(say_it).is_ok() {
        let _ = is_said.recv_timeout(LAST_WORDS);
    }
    exit(signal);
}

/// Ends the process at once with the status for `signal`. Not as `std::process::exit`, at which an open log is drained.
pub(crate) fn exit(signal: Signal) -> ! {
    signal_hook::low_level::exit(signal.exit_status().into())
}

/// The signals that this process was started with as ignored, as a mask; none if the system does not say.
pub(crate) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
