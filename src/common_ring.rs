//! The common ring, for threads that have no ring: because the budget is used up, because there are too many producers,
//! or because the thread is ending and its list of producers is gone.
//!
//! Each log has one, behind a lock: the README lists this and the other exceptions from the rule that an append takes
//! no lock. It is made when the first such thread logs. It has the size of a thread's ring, and may exceed the budget.
//! The same holds for the common ring in the log's flight recorder. A thread never waits for space while it holds the
//! lock. `thread_local` calls this when a thread has no ring.

use std::cell::Cell;
use std::time::Instant;

use crate::appendable::Appendable;
use crate::attempt::{self, accepted, drop_newest, enter, flags, is_severe, refuse, tag_here};
use crate::config::Overflow;
use crate::error::Error;
use crate::gate::Refusal;
use crate::level::Level;
use crate::outcome::Outcome;
use crate::recorder::{Recorder, RecorderEnd};
use crate::ring::{DropCause, ProducerEnd};
use crate::shared::{CommonProducer, Shared};
use crate::sync::{Inside, lock};
use crate::waiting::{SLEEPS, give_up_cause};

/// The name of the ring's producer.
const NAME: &str = "(common)";

thread_local! {
    /// Whether this thread holds such a lock or waits for it. A signal handler on this thread must not take it then.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Appends a record of a thread without a ring.
#[cold]
pub(crate) fn append(shared: &Shared, level: Level, record: &mut dyn Appendable) -> Outcome {
    if let Some(recorder) = shared.recorder_instead_of_log(level, record.destination()) {
        return append_to_recorder(shared, recorder, level, record);
    }
    let give_up_at = match shared.settings.config.overflow {
        Overflow::BlockFor(limit) => Instant::now().checked_add(limit),
        _ => None,
    };
    // The time of the call, not of the moment when there is room.
    let ticks = shared.clock.ticks();
    let mut attempt = Attempt { shared, level, record, ticks, give_up: None, waits_since: None };
    let mut sleep = SLEEPS.first;
    let outcome = loop {
        if let Some(outcome) = attempt.try_once() {
            break outcome;
        }
        let left = give_up_at.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if shared.gate.is_shut() {
            // No sequence number was taken yet.
            break refuse(shared, shared.gate.refusal());
        }
        attempt.give_up = give_up_cause(shared, left);
        if attempt.give_up.is_none() {
            shared.wake_writer();
            // Several threads may wait, so the writer wakes none of them.
            std::thread::sleep(left.map_or(sleep, |left| left.min(sleep)));
            sleep = SLEEPS.after(sleep);
        }
    };
    if outcome.is_accepted() {
        shared.ask_the_writer(level);
    }
    outcome
}

/// Appends a record that the log does not take, if its recorder takes it.
fn append_to_recorder(shared: &Shared, recorder: &Recorder, level: Level, record: &mut dyn Appendable) -> Outcome {
    let outcome = with_producer(shared, |producer| {
        attempt::append_to_recorder(shared, recorder, &producer.recorder_end, level, record)
    });
    match outcome {
        Ok(outcome) => outcome,
        Err(Refusal::NoRing) => {
            recorder.rings.count_unrecorded();
            Outcome::Filtered
        }
        Err(refusal) => refuse(shared, refusal),
    }
}

/// Calls `work` with the producer of the common ring, under its lock. The first call makes the ring.
///
/// # Errors
/// Why this thread cannot use it now.
fn with_producer<R>(shared: &Shared, work: impl FnOnce(&CommonProducer) -> R) -> Result<R, Refusal> {
    // In a forked child, a thread that does not exist there may hold the lock.
    if shared.gate.is_forked() {
        return Err(Refusal::Forked);
    }
    let _inside = Inside::enter(&INSIDE).ok_or(Refusal::Reentrant)?;
    let mut locked = lock(&shared.common);
    let producer = match &*locked {
        Some(producer) => producer,
        None => locked.insert(make(shared)?),
    };
    Ok(work(producer))
}

/// A record on its way into the ring.
struct Attempt<'a> {
    shared: &'a Shared,
    level: Level,
    record: &'a mut dyn Appendable,
    ticks: u64,
    /// The cause for which the record is dropped if there is no room, once it has waited long enough.
    give_up: Option<DropCause>,
    /// When it began to wait for space.
    waits_since: Option<Instant>,
}

impl Attempt<'_> {
    /// Appends, drops or refuses the record, under the lock. `None` if it must wait for space.
    fn try_once(&mut self) -> Option<Outcome> {
        let shared = self.shared;
        with_producer(shared, |producer| self.append_to(&producer.end))
            .unwrap_or_else(|refusal| Some(refuse(shared, refusal)))
    }

    fn append_to(&mut self, end: &ProducerEnd) -> Option<Outcome> {
        let Attempt { shared, level, ticks, .. } = *self;
        let _entered = match enter(&shared.gate, end, level, self.record) {
            Ok(entered) => entered,
            Err(refusal) => return Some(refuse(shared, refusal)),
        };
        self.record.cut_to(shared.settings.message_bytes_max_in(end.capacity()));
        let record = &*self.record;
        let tag = tag_here(record.kind(), level, flags(record));
        let appended = end
            .append(tag, record, || ticks)
            .or_else(|_| end.append_past_window(is_severe(level), tag, record, || ticks));
        let waits = matches!(shared.settings.config.overflow, Overflow::Block | Overflow::BlockFor(_));
        let outcome = match appended {
            Ok(()) => Some(accepted(record)),
            Err(_) if waits => self.give_up.map(|cause| drop_newest(end, cause)),
            Err(cause) => Some(drop_newest(end, cause)),
        };
        // Under the lock, like all counts of this ring.
        match (&outcome, self.waits_since) {
            (Some(_), Some(begun)) => end.control().count_waited(begun.elapsed()),
            (None, None) => {
                self.waits_since = Some(Instant::now());
                end.control().count_wait();
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        outcome
    }
}

/// Makes the ring, and hands its other end to the writer.
fn make(shared: &Shared) -> Result<CommonProducer, Refusal> {
    let registered = shared.registry.register_common(shared.settings.thread_ring_bytes, NAME);
    let (id, end) = registered.map_err(|error| match error {
        Error::Closed => Refusal::Closed,
        _ => Refusal::NoRing,
    })?;
    Ok(CommonProducer { end, recorder_end: RecorderEnd::of_common_ring(id, NAME) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::appendable::Message;
    use crate::shared::tests::log;

    fn append(shared: &Shared, level: Level, message: &[u8]) -> Outcome {
        super::append(shared, level, &mut Message::new(message))
    }

    #[test]
    fn an_append_within_an_append_of_the_same_thread_is_refused_and_counted() {
        let log = log();
        let outer = Inside::enter(&INSIDE).expect("outside");
        assert_eq!(append(&log, Level::Info, b"in a signal handler"), Outcome::Reentrant);
        assert_eq!(log.refused_by().reentrant, 1);
        let other = Arc::clone(&log);
        let elsewhere = std::thread::spawn(move || append(&other, Level::Info, b"on another thread"));
        assert_eq!(elsewhere.join().expect("no panic"), Outcome::Written);
        drop(outer);
        assert_eq!(append(&log, Level::Info, b"after it"), Outcome::Written);
    }

    #[test]
    fn the_ring_is_made_once_beyond_the_budget_and_counted_in_it() {
        let log = log();
        let before = log.stats().ring_memory.used_bytes;
        assert_eq!(append(&log, Level::Info, b"one"), Outcome::Written);
        assert_eq!(append(&log, Level::Info, b"two"), Outcome::Written);
        let stats = log.stats();
        assert_eq!(stats.ring_memory.used_bytes - before, log.settings.thread_ring_bytes as u64);
        assert_eq!((stats.producers.len(), stats.producers[0].name.as_str(), stats.attempted), (1, NAME, 2));
    }

    #[test]
    fn after_close_it_refuses() {
        let log = log();
        log.registry.close();
        assert_eq!(append(&log, Level::Info, b"no ring yet"), Outcome::Closed);
        log.gate.close();
        assert_eq!(append(&log, Level::Info, b"gate"), Outcome::Closed);
        assert_eq!(log.refused_by().closed, 2);
    }
}
