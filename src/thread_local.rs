//! The producers of threads that log through the [`Logger`](crate::Logger) itself.
//!
//! Each thread keeps a short list of its producers, one for each open log that it has used. A thread that is ending or
//! cannot get a ring appends through the common ring (`common_ring`).

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::appendable::{Appendable, Message};
use crate::attempt;
use crate::common_ring;
use crate::error::{Error, Result};
use crate::fields::{self, Scratch, ScratchCell};
use crate::format::NAME_BYTES_MAX;
use crate::gate::Refusal;
use crate::level::Level;
use crate::outcome::Outcome;
use crate::producer::Producer;
use crate::shared::Shared;
use crate::sink::Sink;
use crate::sys;

thread_local! {
    static PRODUCERS: RefCell<Vec<Producer>> = const { RefCell::new(Vec::new()) };
}

/// Makes a producer with a ring of `ring_bytes`.
///
/// # Errors
/// See [`Logger::producer_named`](crate::Logger::producer_named).
pub(crate) fn new_producer(shared: &Arc<Shared>, ring_bytes: usize, name: &str) -> Result<Producer> {
    let without_ring = match &shared.sink {
        Sink::Files => None,
        _ if shared.gate.is_shut() => return Err(Error::Closed),
        Sink::Nowhere => Some(0),
        // A thread that does not exist in the child may hold the lock on the records.
        Sink::Memory(_) if shared.gate.is_forked() => return Err(Error::Forked),
        Sink::Memory(memory) => Some(memory.add_producer(name)),
    };
    if let Some(id) = without_ring {
        return Ok(Producer::without_ring(Arc::clone(shared), id));
    }
    if shared.gate.is_forked() {
        return Err(Error::Forked);
    }
    if name.len() > NAME_BYTES_MAX {
        let remedy = format!("use at most {NAME_BYTES_MAX} bytes, this has {}", name.len());
        return Err(Error::invalid("producer name", format_args!("{name:?}"), remedy));
    }
    let register = || shared.registry.register(ring_bytes, name.to_owned(), sys::cpu::thread_id());
    let (id, end) = loop {
        match register() {
            // A ring that ended threads have left to the recorder makes room.
            Err(Error::RingMemory { .. })
                if shared.recorder.as_ref().is_some_and(|recorder| recorder.rings.give_up_ended()) => {}
            registered => break registered?,
        }
    };
    Ok(Producer::new(Arc::clone(shared), id, end))
}

/// Appends a message through the thread's producer for the log. The first call makes it.
#[inline]
pub(crate) fn append(shared: &Arc<Shared>, level: Level, mut message: Message<'_>) -> Outcome {
    with_producer(shared, |producer| match producer {
        Ok(producer) => producer.append_message(level, message),
        Err(refusal) => append_without(shared, refusal, level, &mut message),
    })
}

/// [`append`], for a caller that remembers the index of the producer in the thread's list, so that a thread with a
/// hundred logs need not search it.
#[inline]
pub(crate) fn append_at(at: &Cell<usize>, shared: &Arc<Shared>, level: Level, message: Message<'_>) -> Outcome {
    let appended = PRODUCERS.try_with(|producers| {
        let list = producers.try_borrow().ok()?;
        let producer = match list.get(at.get()) {
            Some(producer) if producer.serves(shared) => producer,
            _ => {
                at.set(list.iter().position(|producer| producer.serves(shared))?);
                &list[at.get()]
            }
        };
        Some(producer.append_message(level, message))
    });
    appended.ok().flatten().unwrap_or_else(|| append(shared, level, message))
}

/// Calls `append` with the thread's producer for the log, which the first call makes, or with the reason why there is
/// none. `append` must not run code of the user.
#[inline]
pub(crate) fn with_producer(
    shared: &Arc<Shared>,
    append: impl FnOnce(std::result::Result<&Producer, Refusal>) -> Outcome,
) -> Outcome {
    let mut append = Some(append);
    let mut call = |producer: std::result::Result<&Producer, Refusal>| append.take().map(|append| append(producer));
    let done = PRODUCERS.try_with(|producers| {
        if let Ok(list) = producers.try_borrow()
            && let Some(producer) = find(&list, shared)
        {
            return call(Ok(producer));
        }
        if let Err(refusal) = make(shared, producers) {
            return call(Err(refusal));
        }
        let Ok(list) = producers.try_borrow() else { return call(Err(Refusal::Reentrant)) };
        // Since `make`, a signal handler may have added another log's producer. It removes this log's only after a
        // close.
        call(find(&list, shared).ok_or_else(|| shared.gate.refusal()))
    });
    // If the thread is ending, its list has been destroyed, and `append` was not called.
    done.ok().flatten().or_else(|| call(Err(Refusal::NoRing))).unwrap_or(Outcome::NoRing)
}

/// Calls `work` with the scratch of the thread's producer for the log, which the first call makes, or with one of its
/// own if the thread can have no producer. The list is not borrowed meanwhile, so `work` may log.
pub(crate) fn with_scratch<R>(shared: &Arc<Shared>, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R {
    let bytes_max = shared.settings.message_bytes_max;
    let take = || {
        let taken = PRODUCERS.try_with(|producers| {
            let own = |list: &[Producer]| find(list, shared).map(|producer| producer.scratch().take());
            if let Some(taken) = producers.try_borrow().ok().and_then(|list| own(&list)) {
                return taken;
            }
            match make(shared, producers) {
                Ok(()) => producers.try_borrow().ok().and_then(|list| own(&list)).flatten(),
                Err(Refusal::NoRing) => ScratchCell::new(bytes_max).take(),
                Err(_) => None,
            }
        });
        // If the thread is ending, its list has been destroyed.
        taken.unwrap_or_else(|_| ScratchCell::new(bytes_max).take())
    };
    let put = |buffer| {
        // If there is no such producer any more, the buffer is freed.
        let _ = PRODUCERS.try_with(|producers| {
            if let Ok(list) = producers.try_borrow()
                && let Some(producer) = find(&list, shared)
            {
                producer.scratch().put(buffer);
            }
        });
    };
    fields::with_scratch(bytes_max, take, put, work)
}

/// Appends a record of a thread that has no producer, through the common ring, or refuses it.
#[cold]
pub(crate) fn append_without(shared: &Shared, refusal: Refusal, level: Level, record: &mut dyn Appendable) -> Outcome {
    if refusal != Refusal::NoRing || !shared.sink.is_files() {
        return attempt::refuse(shared, refusal);
    }
    common_ring::append(shared, level, record)
}

/// The producer in `list` that serves the log.
fn find<'a>(list: &'a [Producer], shared: &Arc<Shared>) -> Option<&'a Producer> {
    list.iter().find(|producer| producer.serves(shared))
}

/// Adds a producer for the log to the thread's list.
#[cold]
fn make(shared: &Arc<Shared>, producers: &RefCell<Vec<Producer>>) -> std::result::Result<(), Refusal> {
    // If a signal handler interrupts this function, it finds the list borrowed, and its append is refused.
    let Ok(mut list) = producers.try_borrow_mut() else { return Err(Refusal::Reentrant) };
    // Drop the producers of logs that have been closed, so that their rings are returned.
    list.retain(Producer::is_open);
    let thread = std::thread::current();
    // A name that is too long is left out: it was not chosen for diolog.
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
    attempt::refuse(shared, shared.gate.refusal())
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
        assert_eq!(append(&log, Level::Info, Message::new(b"a record")), Outcome::Closed);
        assert_eq!(log.stats().refused, 1);
        let producers = RefCell::new(Vec::new());
        let _interrupted = producers.borrow();
        assert_eq!(make(&log, &producers), Err(Refusal::Reentrant));
    }
}
