//! What any logger must do at least: read the clock, and hand 64 bytes over to another thread. Neither is a logger.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::diolog::unstable::measure::stopwatch::{AppendClock, TickRate, busy_wait};

use crate::message::BYTES;
use crate::rival::{Failure, Rival};

/// Reads the clock that diolog stamps its records with.
pub struct Clock;

impl Rival for Clock {
    type Handle = AppendClock;

    fn start(_: &Path, _: bool) -> Result<Clock, Failure> {
        Ok(Clock)
    }

    fn handle(&self) -> Result<AppendClock, Failure> {
        Ok(AppendClock::detect())
    }

    #[inline]
    fn log(handle: &mut AppendClock, _: &str) {
        black_box(handle.ticks());
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        Ok(0)
    }
}

/// A message with its time.
type Slot = (u64, [u8; BYTES]);

/// Slots of the ring: 1 MiB of them, as much as a ring of diolog.
const SLOTS: usize = (1 << 20) / size_of::<Slot>();

/// How often the consumer looks. If it looked all the time, it would take the ring's positions from the producer's
/// cache at each message.
const LOOK: Duration = Duration::from_micros(20);

/// A ring of slots, and a thread that takes them out.
pub struct Rtrb {
    producer: Mutex<Option<rtrb::Producer<Slot>>>,
    ends: Arc<AtomicBool>,
    consumer: JoinHandle<()>,
}

impl Rival for Rtrb {
    type Handle = (AppendClock, rtrb::Producer<Slot>);

    fn start(_: &Path, _: bool) -> Result<Rtrb, Failure> {
        let (producer, mut consumer) = rtrb::RingBuffer::new(SLOTS);
        let ends = Arc::new(AtomicBool::new(false));
        let is_end = Arc::clone(&ends);
        let consumer = thread::spawn(move || {
            let pause = TickRate::measure().ticks_in(LOOK);
            while !is_end.load(Ordering::Relaxed) {
                let slots = consumer.slots();
                for _ in 0..slots {
                    let _ = black_box(consumer.pop());
                }
                busy_wait(pause);
            }
        });
        Ok(Rtrb { producer: Mutex::new(Some(producer)), ends, consumer })
    }

    fn handle(&self) -> Result<Self::Handle, Failure> {
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((AppendClock::detect(), producer.ok_or("the ring has one producer")?))
    }

    #[inline]
    fn log((clock, producer): &mut Self::Handle, message: &str) {
        let bytes = message.as_bytes().try_into().expect("64 bytes");
        let _ = producer.push((clock.ticks(), bytes));
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        self.ends.store(true, Ordering::Relaxed);
        self.consumer.join().map_err(|_| "the consumer panicked")?;
        Ok(0)
    }
}
