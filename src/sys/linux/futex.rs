//! Sleeping until a word changes.

use std::time::Duration;

use rustix::thread::futex::{self, Flags, Timespec};

use crate::sync::AtomicU32;

/// Sleeps while `word` is `value`, until woken, for at most `time`. A signal ends the sleep too, and it may end without
/// a reason.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, time: Duration) {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    // The reason why the sleep ended does not matter: the caller checks its condition again.
    let _ = futex::wait(word, Flags::PRIVATE, value, Some(&time));
}

/// Wakes the thread that sleeps on `word`, if there is one.
pub(crate) fn wake(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::PRIVATE, 1);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    #[test]
    fn a_sleeper_is_woken_after_a_change_and_does_not_sleep_after_one() {
        let word = AtomicU32::new(1);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while word.load(SeqCst) == 1 {
                    wait_while(&word, 1, Duration::from_secs(600));
                }
            });
            word.store(0, SeqCst);
            wake(&word);
            sleeper.join().expect("awake");
        });
        wait_while(&word, 1, Duration::from_secs(600));
    }
}
