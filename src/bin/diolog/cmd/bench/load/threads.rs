//! The threads of a load: each logs when its next message is due, whatever became of the one before.
//!
//! A message's append is timed twice: from the moment at which it was due, and from the call. If an append takes long,
//! the messages that become due meanwhile are late, and their times from the first say so. A load that began each
//! message only after the last one would leave them out.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use diolog::Outcome;
use diolog::unstable::measure::random::Random;
use hdrhistogram::Histogram;

use super::target::Target;
use crate::args::Sizes;

/// A thread that waits for longer than this sleeps. For less, it yields its CPU to others again and again, because a
/// sleep may end later than the message after next is due.
const SLEEP_FROM: Duration = Duration::from_micros(100);

/// The longest sleep: a thread notices so soon that the load is to end.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Messages that were due in time are still begun so long after the end. A thread that is later than this cannot keep
/// its rate, and the messages that it has not begun are counted.
const LATE_MAX: Duration = Duration::from_secs(1);

/// When messages are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Messages a second, all threads together; `None`: whenever the one before is done.
    pub(super) rate: Option<f64>,
    pub(super) threads: u64,
}

impl Pace {
    /// When the thread's message `number` is due, after the beginning. The threads take turns.
    fn due(self, thread: u64, number: u64) -> Duration {
        let place = number * self.threads + thread;
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(place as f64 / rate))
    }
}

/// What became of messages.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    /// Dropped or refused.
    pub(super) lost: u64,
    /// Bytes of the accepted messages.
    pub(super) bytes: u64,
    /// From the moment at which it was due to the end of its append, in nanoseconds. Without a rate, as `call`.
    pub(super) append: Histogram<u64>,
    /// From the beginning of its append to the end.
    pub(super) call: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        // Two digits, less than 1 % of error: three would take half a megabyte of each thread's cache.
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000_000, 2).expect("constant bounds are valid");
        Tally { accepted: 0, lost: 0, bytes: 0, append: histogram(), call: histogram() }
    }

    pub(super) fn add(&mut self, other: &Tally) {
        self.accepted += other.accepted;
        self.lost += other.lost;
        self.bytes += other.bytes;
        // Cannot fail: all have the same bounds.
        let _ = self.append.add(&other.append);
        let _ = self.call.add(&other.call);
    }

    fn clear(&mut self) {
        (self.accepted, self.lost, self.bytes) = (0, 0, 0);
        self.append.reset();
        self.call.reset();
    }
}

/// What all threads share.
pub(super) struct Threads<'a> {
    pace: Pace,
    start: Instant,
    time: Duration,
    sizes: &'a Sizes,
    noise: &'a [u8],
    /// Of each thread, since they were last taken.
    tallies: Vec<Mutex<Tally>>,
    stop: AtomicBool,
}

impl<'a> Threads<'a> {
    /// Threads that begin at `start` and log for `time`, unless they are stopped. `noise` is at least as long as the
    /// longest message.
    pub(super) fn new(pace: Pace, start: Instant, time: Duration, sizes: &'a Sizes, noise: &'a [u8]) -> Threads<'a> {
        let tallies = (0..pace.threads).map(|_| Mutex::new(Tally::new())).collect();
        Threads { pace, start, time, sizes, noise, tallies, stop: AtomicBool::new(false) }
    }

    /// Starts a thread for each target, which it sends to `ended` at its end: a producer's figures are there as long as
    /// it lives. When the last one has ended, `ended` is disconnected.
    pub(super) fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        targets: Vec<Target<'scope>>,
        ended: Sender<Target<'scope>>,
    ) -> io::Result<()> {
        for (thread, target) in (0..).zip(targets) {
            let ended = ended.clone();
            let work = move || {
                self.run(thread, &target);
                // If nobody receives it, it is not needed.
                let _ = ended.send(target);
            };
            let spawned = thread::Builder::new().name(format!("load-{thread}")).spawn_scoped(scope, work);
            spawned.inspect_err(|_| self.stop())?;
        }
        Ok(())
    }

    /// Asks the threads to end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What became of the messages since the last call, of all threads.
    pub(super) fn take(&self) -> Tally {
        let mut all = Tally::new();
        for tally in &self.tallies {
            let mut tally = lock(tally);
            all.add(&tally);
            tally.clear();
        }
        all
    }

    fn run(&self, thread: u64, target: &Target<'_>) {
        let mut pick = Pick::new(self.sizes, thread);
        let tally = &self.tallies[thread as usize];
        for number in 0.. {
            let due = self.pace.due(thread, number);
            if due >= self.time || !self.wait_until(self.start + due) {
                return;
            }
            let message = &self.noise[..pick.next_size()];
            let begin = Instant::now();
            // Without a rate, no message is late.
            let last = self.time + self.pace.rate.map_or(Duration::ZERO, |_| LATE_MAX);
            if begin >= self.start + last {
                return;
            }
            let outcome = target.log(number + thread, message);
            let end = Instant::now();
            let due = self.pace.rate.map_or(begin, |_| self.start + due);
            let mut tally = lock(tally);
            match outcome {
                Outcome::Written | Outcome::Truncated => {
                    tally.accepted += 1;
                    tally.bytes += message.len() as u64;
                }
                _ => tally.lost += 1,
            }
            tally.append.saturating_record(nanoseconds(end - due));
            tally.call.saturating_record(nanoseconds(end - begin));
        }
    }

    /// Returns false if the threads were asked to end.
    fn wait_until(&self, due: Instant) -> bool {
        while !self.stop.load(Ordering::Relaxed) {
            match due.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return true,
                wait if wait >= SLEEP_FROM => thread::sleep(wait.min(SLEEP_MAX)),
                _ => thread::yield_now(),
            }
        }
        false
    }
}

/// Picks the sizes of a thread's messages: at random, and the same ones in each run.
struct Pick<'a> {
    sizes: &'a Sizes,
    weights: u64,
    random: Random,
}

impl<'a> Pick<'a> {
    fn new(sizes: &'a Sizes, thread: u64) -> Pick<'a> {
        let weights = sizes.0.iter().map(|range| u64::from(range.weight)).sum();
        Pick { sizes, weights, random: Random::of(thread as u32) }
    }

    fn next_size(&mut self) -> usize {
        let mut place = self.below(self.weights);
        for range in &self.sizes.0 {
            let weight = u64::from(range.weight);
            if place < weight {
                return range.smallest + self.below((range.largest - range.smallest) as u64 + 1) as usize;
            }
            place -= weight;
        }
        0
    }

    /// A random number below `limit`, which is at least 1.
    fn below(&mut self, limit: u64) -> u64 {
        self.random.draw() % limit
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns_at_the_rate_of_all() {
        let pace = Pace { rate: Some(1000.0), threads: 4 };
        assert_eq!(pace.due(0, 0), Duration::ZERO);
        assert_eq!(pace.due(3, 0), Duration::from_millis(3));
        assert_eq!(pace.due(1, 2), Duration::from_millis(9));
        assert_eq!(Pace { rate: None, ..pace }.due(3, 1000), Duration::ZERO);
    }

    #[test]
    fn sizes_come_as_often_as_they_weigh_and_from_end_to_end() {
        let sizes: Sizes = "10..12:9,500:1".parse().expect("sizes");
        let mut pick = Pick::new(&sizes, 7);
        let picked: Vec<_> = (0..10_000).map(|_| pick.next_size()).collect();
        let count = |size| picked.iter().filter(|picked| **picked == size).count();
        assert!([10, 11, 12].iter().all(|&size| (2_700..3_300).contains(&count(size))), "{:?}", count(10));
        assert!((800..1_200).contains(&count(500)), "{}", count(500));
        assert_eq!(count(10) + count(11) + count(12) + count(500), picked.len());
    }
}
