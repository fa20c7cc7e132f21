//! Threads that append to a log, at full speed or at a steady rate, and time their appends.
//!
//! For `diolog bench disk`. The log must wait if a ring is full: a dropped record ends the load with an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Failure;
use super::random::noise;
use crate::{Level, Logger, Outcome, Producer};

/// One of this many appends is timed: reading the clock twice would take longer than a short append itself.
const TIMED_OF: u64 = 16;

/// How long a thread at a steady rate sleeps before it appends the records that have become due.
const PACE: Duration = Duration::from_millis(1);

/// How often the caller's `watch` is called.
const WATCH: Duration = Duration::from_secs(1);

/// The work of the threads.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Threads, each with a producer of its own.
    pub producers: u64,
    /// Bytes of each message.
    pub message_bytes: usize,
    /// Records of each producer.
    pub records: u64,
    /// No record is begun after this time.
    pub time: Duration,
    /// Rate of each producer; `None` for full speed.
    pub records_per_second: Option<f64>,
    /// Whether each append is followed by a flush, and timed together with it.
    pub flush_each: bool,
}

/// Latencies of one thread in nanoseconds, since they were last taken.
type Latencies = Mutex<Histogram<u64>>;

impl Load {
    /// Runs the threads until all records are appended or the time is up, and waits until all are durable. Calls
    /// `watch` each second with the latencies since its last call, and once more at the end. Returns the time from the
    /// first append until everything is durable.
    ///
    /// # Errors
    /// A record that was not written, a flush that failed, no memory for a ring.
    #[inline]
    pub fn run(&self, logger: &Logger, watch: &mut dyn FnMut(&Histogram<u64>)) -> Result<Duration, Failure> {
        let message = noise(self.message_bytes);
        let latencies: Vec<_> = (0..self.producers).map(|_| Mutex::new(new_histogram())).collect();
        let producers: crate::Result<Vec<_>> = latencies.iter().map(|_| logger.producer_named("load")).collect();
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
    #[inline]
    fn run(self, ready: &Barrier, ended: &Sender<Result<(), String>>) {
        ready.wait();
        // The receiver is gone only after another thread has failed, which ends the load anyway.
        let _ = ended.send(self.append_all());
    }

    #[inline]
    fn append_all(&self) -> Result<(), String> {
        let start = Instant::now();
        let mut appended = 0;
        while appended < self.load.records && !self.stop.load(Ordering::Relaxed) {
            let due = self.load.records_per_second.map_or(self.load.records, |rate| {
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

    #[inline]
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

/// Takes the latencies of all threads since the last call.
fn take_all(latencies: &[Latencies]) -> Histogram<u64> {
    let mut all = new_histogram();
    for latencies in latencies {
        let mut latencies = lock(latencies);
        // Cannot fail: both have the same bounds.
        let _ = all.add(&*latencies);
        latencies.reset();
    }
    all
}

/// A histogram of up to a minute in nanoseconds, with three digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds and three digits are within the crate's")
}

fn lock(latencies: &Latencies) -> MutexGuard<'_, Histogram<u64>> {
    latencies.lock().unwrap_or_else(PoisonError::into_inner)
}
