//! The functions that a macro's expansion calls: they ask whether its record is wanted, and append its fields.
//!
//! The expansion of a macro is compiled in the user's crate, and so are the functions here, for the types of its
//! fields. Code that does not depend on these types is not generic: the rare cases of all callsites share one function
//! in [`Producer`].

use crate::appendable::{Appendable, Destination};
use crate::attempt;
use crate::callsite::Callsite;
use crate::fields::{FieldList, Kept, Scratch, Structured};
use crate::format::FieldType;
use crate::gate::{ByTarget, Refusal};
use crate::level::Level;
use crate::limit::Limit;
use crate::logger::Logger;
use crate::outcome::Outcome;
use crate::producer::Producer;
use crate::shared::Shared;
use crate::thread_local;

/// What the macros log to: a [`Producer`] or a [`Logger`]. It is sealed. For code that takes either:
///
/// ```
/// fn fill(log: &impl diolog::Log, id: u64) {
///     diolog::info!(log, "order {id} filled", id);
/// }
///
/// let (logger, log) = diolog::Logger::in_memory();
/// fill(&logger, 41);
/// fill(&logger.producer()?, 42);
/// # assert_eq!(log.records().len(), 2);
/// # Ok::<(), diolog::Error>(())
/// ```
pub trait Log: Target {}

impl Log for Producer {}
impl Log for Logger {}
impl<L: Log + ?Sized> Log for &L {}

/// [`Log`], with what only the expansion of a macro uses.
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait Target: Appends {
    /// The log itself: a macro's first argument may also be a pointer to one, of any kind, or a static made at its
    /// first use.
    #[doc(hidden)]
    #[inline(always)]
    fn __expected_a_producer_or_a_logger(&self) -> &Self {
        self
    }
}

impl<A: Appends + ?Sized> Target for A {}

/// The appends of a producer or a logger.
trait Appends {
    /// Whether a record of the callsite, of this level, is wanted.
    fn admits(&self, level: Level, callsite: &Callsite) -> bool;

    /// The outcome of a record that is not wanted.
    fn refuse(&self) -> Outcome;

    fn shared(&self) -> &Shared;

    /// Calls `work` with a scratch for formatters, which may log.
    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R;

    fn append_structured<K: Kept>(&self, level: Level, record: Structured<'_, K>) -> Outcome;

    /// The same, for any record.
    fn append_dyn(&self, level: Level, record: &mut dyn Appendable) -> Outcome;
}

impl Appends for Producer {
    #[inline(always)]
    fn admits(&self, level: Level, callsite: &Callsite) -> bool {
        passes(self.by_target(level), Producer::shared(self), level, callsite)
    }

    #[inline(always)]
    fn refuse(&self) -> Outcome {
        Producer::refuse(self)
    }

    fn shared(&self) -> &Shared {
        Producer::shared(self)
    }

    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R {
        Producer::with_scratch(self, work)
    }

    #[inline(always)]
    fn append_structured<K: Kept>(&self, level: Level, record: Structured<'_, K>) -> Outcome {
        Producer::append_structured(self, level, record)
    }

    fn append_dyn(&self, level: Level, record: &mut dyn Appendable) -> Outcome {
        Producer::append_dyn(self, level, record)
    }
}

impl Appends for Logger {
    #[inline(always)]
    fn admits(&self, level: Level, callsite: &Callsite) -> bool {
        let shared = Logger::shared(self);
        passes(shared.gate.words().by_target(level as u8), shared, level, callsite)
    }

    fn refuse(&self) -> Outcome {
        thread_local::refuse(Logger::shared(self))
    }

    fn shared(&self) -> &Shared {
        Logger::shared(self)
    }

    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R {
        thread_local::with_scratch(Logger::shared(self), work)
    }

    #[inline]
    fn append_structured<K: Kept>(&self, level: Level, mut record: Structured<'_, K>) -> Outcome {
        let shared = Logger::shared(self);
        thread_local::with_producer(shared, |producer| match producer {
            Ok(producer) => producer.append_structured(level, record),
            Err(refusal) => thread_local::append_without(shared, refusal, level, &mut record),
        })
    }

    fn append_dyn(&self, level: Level, record: &mut dyn Appendable) -> Outcome {
        let shared = Logger::shared(self);
        thread_local::with_producer(shared, |producer| match producer {
            Ok(producer) => producer.append_dyn(level, record),
            Err(refusal) => thread_local::append_without(shared, refusal, level, record),
        })
    }
}

impl<T: Appends + ?Sized> Appends for &T {
    #[inline(always)]
    fn admits(&self, level: Level, callsite: &Callsite) -> bool {
        (**self).admits(level, callsite)
    }

    #[inline(always)]
    fn refuse(&self) -> Outcome {
        (**self).refuse()
    }

    fn shared(&self) -> &Shared {
        (**self).shared()
    }

    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R {
        (**self).with_scratch(work)
    }

    #[inline(always)]
    fn append_structured<K: Kept>(&self, level: Level, record: Structured<'_, K>) -> Outcome {
        (**self).append_structured(level, record)
    }

    fn append_dyn(&self, level: Level, record: &mut dyn Appendable) -> Outcome {
        (**self).append_dyn(level, record)
    }
}

/// Whether a record of the callsite, of this level, is wanted.
#[inline(always)]
pub fn admits(target: &(impl Target + ?Sized), level: Level, callsite: &Callsite) -> bool {
    level.is_compiled_in() && target.admits(level, callsite)
}

/// Whether the record passes, by what the gate says of it.
#[inline(always)]
fn passes(gate: ByTarget, shared: &Shared, level: Level, callsite: &Callsite) -> bool {
    match gate {
        ByTarget::Admitted => true,
        ByTarget::Refused => false,
        ByTarget::Asks => passes_its_target(shared, level, callsite),
    }
}

/// Whether the record passes the threshold of its target, or is recorded.
#[inline(never)]
fn passes_its_target(shared: &Shared, level: Level, callsite: &Callsite) -> bool {
    shared.admission.is_recorded(level) || shared.passes_its_target(level, callsite)
}

/// The outcome of a record that is not wanted.
#[inline(always)]
pub fn refuse(target: &(impl Target + ?Sized)) -> Outcome {
    target.refuse()
}

/// Passes a record if its callsite's limit has a place for it, and counts it as hidden otherwise. If it passes and
/// others were hidden before it, first appends a record of `report`, at the same level, that says how many.
pub fn pass_limit(target: &(impl Target + ?Sized), limit: &Limit, level: Level, report: &Callsite) -> bool {
    let shared = target.shared();
    if !limit.try_take(shared.clock.monotonic_ns()) {
        shared.count_hidden();
        return false;
    }
    let hidden = limit.take_hidden();
    if hidden > 0 && !append(target, level, report, ((), hidden)).is_kept() {
        limit.give_back(hidden);
    }
    true
}

/// Appends a record of the callsite, whose level was admitted a moment ago.
#[inline(always)]
pub fn append<F: FieldList>(target: &(impl Target + ?Sized), level: Level, callsite: &Callsite, fields: F) -> Outcome {
    if F::FORMATS {
        return append_formatted(target, level, callsite, &fields);
    }
    append_kept::<F>(target, level, callsite, fields.keep(&mut Scratch::none()), &[])
}

/// The same, for fields that run formatters. These are user code, so they run before the append begins.
#[inline(never)]
fn append_formatted<F: FieldList>(
    target: &(impl Target + ?Sized),
    level: Level,
    callsite: &Callsite,
    fields: &F,
) -> Outcome {
    target.with_scratch(|scratch| {
        let kept = fields.keep(scratch);
        append_kept::<F>(target, level, callsite, kept, scratch.bytes())
    })
}

#[inline(always)]
fn append_kept<F: FieldList>(
    target: &(impl Target + ?Sized),
    level: Level,
    callsite: &Callsite,
    values: F::Kept<'_>,
    scratch: &[u8],
) -> Outcome {
    // Make the record anew for each call out of line: the arguments of such a call are in memory, and the values of the
    // fast path should stay in registers.
    let destination = Destination::OfCallsite(callsite);
    match callsite.id(F::HASH) {
        Some(id) => target.append_structured(level, Structured { callsite: id, values, scratch, destination }),
        None => {
            let record = Structured { callsite: 0, values, scratch, destination };
            append_first(target, level, callsite, (F::SLICE, F::HASH), record)
        }
    }
}

/// Registers the callsite for values of these types, and appends.
#[cold]
#[inline(never)]
fn append_first<K: Kept>(
    target: &(impl Target + ?Sized),
    level: Level,
    callsite: &Callsite,
    (types, hash): (&'static [FieldType], u32),
    mut record: Structured<'_, K>,
) -> Outcome {
    // Before the registry, because a forked child of a logger into memory passes the gate.
    if target.shared().gate.is_forked() {
        return attempt::refuse(target.shared(), Refusal::Forked);
    }
    match callsite.register(types, hash) {
        Some(id) => {
            record.callsite = id;
            target.append_dyn(level, &mut record)
        }
        None => attempt::refuse(target.shared(), Refusal::Reentrant),
    }
}

/// Appends a record that no macro has made, through the calling thread's producer.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) fn append_record(logger: &Logger, level: Level, record: &mut dyn Appendable) {
    logger.append_dyn(level, record);
}

/// The callsite of a level, out of the five of a macro whose level is known only at run time.
#[inline]
pub fn of_level<T>(callsites: &'static [T; 5], level: Level) -> &'static T {
    // No record has `Level::Off`, so any callsite will do.
    callsites.get(level as usize - 1).unwrap_or(&callsites[0])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::shared::tests::log_with;

    const RING_BYTES: usize = 4096;

    /// How many of these records fill a ring that nobody empties.
    fn fits(append: impl Fn(&Producer) -> Outcome) -> usize {
        let config = Config::new("never created").reserve_bytes(0).severe_only_eighths(0).ring_bytes(RING_BYTES);
        let shared = log_with(config);
        let (id, end) = shared.registry.register(RING_BYTES, String::new(), 0).expect("a ring");
        let producer = Producer::new(shared, id, end);
        let written = (0..).take_while(|_| append(&producer) != Outcome::Dropped).count();
        assert_eq!(producer.next_sequence(), written as u64 + 1);
        written
    }

    #[test]
    fn only_the_bytes_that_a_record_uses_decide_whether_the_ring_is_full() {
        fn of_text(text: &str) -> usize {
            fits(|producer| crate::info!(producer, "{text}", text))
        }
        fn of_shown(text: &str) -> usize {
            fits(|producer| crate::info!(producer, "{text}", %text))
        }
        // The head, the callsite's id, and the length.
        let record = |text: usize| (24_usize + 4 + 4 + text).next_multiple_of(8);
        for length in [0, 1, 16, 95, 96, 97, 120, 121, 500] {
            let text = "x".repeat(length);
            assert_eq!(of_text(&text), RING_BYTES / record(length), "{length}");
            assert_eq!(of_shown(&text), RING_BYTES / record(length), "{length}");
        }
        assert_eq!(fits(|producer| crate::info!(producer, "{a}", a = 1, b = 2_u8, c = 0.5)), RING_BYTES / 56);
        assert_eq!(fits(|producer| crate::info!(producer, "nothing")), RING_BYTES / 32);
        let some = |value: Option<u64>| fits(|producer| crate::info!(producer, "", value));
        assert_eq!((some(Some(1)), some(None)), (RING_BYTES / 40, RING_BYTES / 32));
    }
}
