//! The producers of threads that log through the [`Logger`](crate::Logger) itself.
//!
//! Each thread keeps a short list of its producers, one for each open log that it has used. A thread that is ending or
//! cannot get a ring appends through the `common_ring`.

use std::cell::RefCell;
use std::sync::Arc;

use crate::common_ring;
use crate::elsewhere::Elsewhere;
use crate::error::{Error, Result};
use crate::format::NAME_BYTES_MAX;
use crate::gate::Refusal;
use crate::level::Level;
use crate::outcome::Outcome;
use crate::producer::{self, Producer};
use crate::shared::Shared;
use crate::sys;

thread_local! {
    static PRODUCERS: RefCell<Vec<Producer>> = const { RefCell::new(Vec::new()) };
}

/// Makes a producer with a ring of `ring_bytes`.
///
/// # Errors
/// See [`Logger::producer_named`](crate::Logger::producer_named).
pub(crate) fn new_producer(shared: &Arc<Shared>, ring_bytes: usize, name: &str) -> Result<Producer> {
    if let Some(elsewhere) = &shared.elsewhere {
        let id = match elsewhere {
            _ if shared.gate.is_shut() => return Err(Error::Closed),
            Elsewhere::Nowhere => 0,
            Elsewhere::Memory(memory) => memory.add_producer(name),
        };
        return Ok(Producer::without_ring(Arc::clone(shared), id));
    }
    if shared.gate.is_forked() {
        return Err(Error::Forked);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::InvalidConfig {
            setting: "producer name",
            value: format!("{name:?}"),
            remedy: format!("use at most {NAME_BYTES_MAX} bytes, this has {}", name.len()),
        });
    }
    let (id, end) = shared.registry.register(ring_bytes, name.to_owned(), sys::cpu::thread_id())?;
    Ok(Producer::new(Arc::clone(shared), id, end))
}

/// Appends a record through the thread's producer for the log. The first call makes it.
#[inline]
pub(crate) fn append(shared: &Arc<Shared>, level: Level, message: &[u8]) -> Outcome {
    let outcome = PRODUCERS.try_with(|producers| {
        if let Ok(list) = producers.try_borrow()
            && let Some(producer) = find(&list, shared)
        {
            return producer.log(level, message);
        }
        match make(shared, producers) {
            Ok(()) => {}
            Err(Refusal::NoRing) => return append_without_ring(shared, level, message),
            Err(refusal) => return producer::refuse(shared, refusal),
        }
        let Ok(list) = producers.try_borrow() else { return producer::refuse(shared, Refusal::Reentrant) };
        // Since `make`, a signal handler may have added another log's producer. It removes this log's only after a
        // close.
        find(&list, shared).map_or_else(|| refuse(shared), |producer| producer.log(level, message))
    });
    // If the thread is ending, its list is destroyed.
    outcome.unwrap_or_else(|_| append_without_ring(shared, level, message))
}

/// Appends through the ring that threads share that have none of their own.
#[cold]
fn append_without_ring(shared: &Shared, level: Level, message: &[u8]) -> Outcome {
    if shared.elsewhere.is_some() {
        return producer::refuse(shared, Refusal::NoRing);
    }
    common_ring::append(shared, level, message)
}

/// The producer in `list` that serves the log.
fn find<'a>(list: &'a [Producer], shared: &Arc<Shared>) -> Option<&'a Producer> {
    list.iter().find(|producer| producer.serves(shared))
}

/// Adds a producer for the log to the thread's list.
#[cold]
fn make(shared: &Arc<Shared>, producers: &RefCell<Vec<Producer>>) -> std::result::Result<(), Refusal> {
    // If a signal handler interrupts this very function, it finds the list borrowed, and its append is refused.
    let Ok(mut list) = producers.try_borrow_mut() else { return Err(Refusal::Reentrant) };
    // Drops the producers of logs that were closed meanwhile, so that their rings go back.
    list.retain(Producer::is_open);
    let thread = std::thread::current();
    // A name that is too long is left out: the thread's owner may not know of diolog.
    let name = thread.name().filter(|name| name.len() <= NAME_BYTES_MAX).unwrap_or_default();
    match new_producer(shared, shared.settings.thread_ring_bytes, name) {
        Ok(producer) => {
            list.push(producer);
            Ok(())
        }
        Err(Error::Closed) => Err(Refusal::Closed),
        Err(Error::Forked) => Err(Refusal::Forked),
        Err(_) => Err(Refusal::NoRing),
    }
}

/// Refuses an append that the gate does not admit, before the thread's producer is looked up.
#[cold]
pub(crate) fn refuse(shared: &Shared) -> Outcome {
    producer::refuse(shared, shared.gate.refusal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::tests::log;

    #[test]
    fn a_record_goes_to_its_own_log_whatever_a_signal_handler_has_added_to_the_list() {
        let (own, other) = (log(), log());
        let producers = RefCell::new(Vec::new());
        make(&own, &producers).expect("a producer");
        make(&other, &producers).expect("a producer, as a signal handler makes it");
        let list = producers.borrow();
        assert!(find(&list, &own).expect("still there").serves(&own));
        assert!(find(&list, &other).expect("added").serves(&other));
    }

    #[test]
    fn an_append_that_gets_no_producer_is_counted_as_refused() {
        let log = log();
        log.registry.close();
        assert_eq!(append(&log, Level::Info, b"a record"), Outcome::Closed);
        assert_eq!(log.stats().refused, 1);
        let producers = RefCell::new(Vec::new());
        let _interrupted = producers.borrow();
        assert_eq!(make(&log, &producers), Err(Refusal::Reentrant));
    }
}
