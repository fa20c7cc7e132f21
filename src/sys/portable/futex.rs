//! Sleeping until a word changes: here by polling.

use std::time::Duration;

use crate::sync::AtomicU32;
use crate::sync::Ordering::Relaxed;

/// The time between two polls.
const NAP: Duration = Duration::from_micros(50);

/// Sleeps for a short time, at most `time`, if `word` is `value`.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, time: Duration) {
    if word.load(Relaxed) == value {
        std::thread::sleep(NAP.min(time));
    }
}

/// Does nothing: sleepers wake up by themselves.
pub(crate) fn wake(_word: &AtomicU32) {}
