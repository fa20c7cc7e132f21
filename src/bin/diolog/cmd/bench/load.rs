//! Threads that append to a log, at full speed or at a steady rate, and time what that costs them.
//!
//! For [`disk`](super::disk). A record is never dropped: a full ring makes its thread wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diolog::{Level, Logger, Outcome, Producer};
use hdrhistogram::Histogram;

use crate::measure::Failure;

/// One append of so many is timed: reading the clock twice would cost more than a short append itself.
const TIMED_OF: u64 = 16;

/// How long a thread at a steady rate sleeps before it appends what has become due.
const PACE: Duration = Duration::from_millis(1);

/// How often the one who watches is called.
const WATCH: Duration = Duration::from_secs(1);

/// What the threads are to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) producers: u64,
    pub(super) message_bytes: usize,
    /// Of each producer.
    pub(super) records: u64,
    /// No record is begun after this time.
    pub(super) time: Duration,
    /// Of each producer; `None` for no limit.
    pub(super) records_per_second: Option<f64>,
    /// A flush after each record, timed together with it.
    pub(super) flush_each: bool,
}

/// Nanoseconds, of each thread, until somebody takes them.
type Latencies = Mutex<Histogram<u64>>;

impl Load {
    /// Runs it until all records are appended or the time is up, and then until all are durable. `watch` is called each
    /// second with the latencies since its last call, and once more at the end. The time from the first append until
    /// all was durable.
    pub(super) fn run(&self, logger: &Logger, watch: &mut dyn FnMut(&Histogram<u64>)) -> Result<Duration, Failure> {
        let message = noise(self.message_bytes);
        let latencies: Vec<_> = (0..self.producers).map(|_| Mutex::new(new_histogram())).collect();
        let producers: diolog::Result<Vec<_>> = latencies.iter().map(|_| logger.producer_named("load")).collect();
        let ready = Barrier::new(latencies.len() + 1);
        let stop = AtomicBool::new(false);
        let (ended, has_ended) = channel();
        thread::scope(|scope| {
            for (producer, latencies) in producers?.into_iter().zip(&latencies) {
                let thread = Thread { load: self, logger, producer, message: &message, latencies, stop: &stop };
                let (ready, ended) = (&ready, ended.clone());
                scope.spawn(move || thread.run(ready, &ended));
            }
            drop(ended);
            ready.wait();
            let start = Instant::now();
            let mut watch_at = start + WATCH;
            loop {
                let stop_at = if stop.load(Ordering::Relaxed) { watch_at } else { start + self.time };
                match has_ended.recv_timeout(watch_at.min(stop_at).saturating_duration_since(Instant::now())) {
                    Ok(Ok(())) => {}
                    Ok(Err(message)) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(message.into());
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if start.elapsed() >= self.time {
                    stop.store(true, Ordering::Relaxed);
                }
                if Instant::now() >= watch_at {
                    watch_at += WATCH;
                    watch(&take_all(&latencies));
                }
            }
            logger.flush()?;
            let elapsed = start.elapsed();
            watch(&take_all(&latencies));
            Ok(elapsed)
        })
    }
}

/// One of the threads.
struct Thread<'a> {
    load: &'a Load,
    logger: &'a Logger,
    producer: Producer,
    message: &'a [u8],
    latencies: &'a Latencies,
    stop: &'a AtomicBool,
}

impl Thread<'_> {
    fn run(self, ready: &Barrier, ended: &Sender<Result<(), String>>) {
        ready.wait();
        // The receiver is there until the last thread has ended, or it has heard of a failure already.
        let _ = ended.send(self.append_all());
    }

    fn append_all(&self) -> Result<(), String> {
        let start = Instant::now();
        let mut appended = 0;
        while appended < self.load.records && !self.stop.load(Ordering::Relaxed) {
            let due = self.load.records_per_second.map_or(self.load.records, |rate| {
                // Never more than there are.
                ((start.elapsed().as_secs_f64() * rate) as u64).min(self.load.records)
            });
            while appended < due && !self.stop.load(Ordering::Relaxed) {
                self.append(appended)?;
                appended += 1;
            }
            if self.load.records_per_second.is_some() {
                thread::sleep(PACE);
            }
        }
        Ok(())
    }

    fn append(&self, number: u64) -> Result<(), String> {
        let timed = self.load.flush_each || number.is_multiple_of(TIMED_OF);
        let begin = timed.then(Instant::now);
        let outcome = self.producer.log(Level::Info, self.message);
        if outcome != Outcome::Written {
            return Err(format!("a record was not written: {outcome:?}"));
        }
        if self.load.flush_each {
            self.logger.flush().map_err(|error| error.to_string())?;
        }
        if let Some(begin) = begin {
            let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            lock(self.latencies).saturating_record(elapsed);
        }
        Ok(())
    }
}

/// The latencies of all threads since the last call.
fn take_all(latencies: &[Latencies]) -> Histogram<u64> {
    let mut all = new_histogram();
    for latencies in latencies {
        let mut latencies = lock(latencies);
        // Both have the same bounds.
        let _ = all.add(&*latencies);
        latencies.reset();
    }
    all
}

/// Up to a minute, with three digits.
pub(super) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds and three digits are within the crate's")
}

fn lock(latencies: &Latencies) -> MutexGuard<'_, Histogram<u64>> {
    latencies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that no disk can make less of, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}
