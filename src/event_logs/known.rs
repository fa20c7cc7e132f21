//! The logs that a thread has used, by event, found without a lock. Used by [`EventLogs`](super::EventLogs).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::appendable::Message;
use crate::level::Level;
use crate::outcome::Outcome;
use crate::shared::Shared;
use crate::thread_local;

/// A log that the thread has used.
struct Known {
    shared: Arc<Shared>,
    /// The index of the thread's producer for this log among the thread's producers, when it was last found.
    at: Cell<usize>,
}

/// The known logs of one set of event logs, by event name.
type Logs = BTreeMap<Box<str>, Known>;

thread_local! {
    /// The known logs, by the number of the set.
    static KNOWN: RefCell<BTreeMap<u64, Logs>> = const { RefCell::new(BTreeMap::new()) };
}

/// Appends to the log of event `name` in set `number`. `None` if the thread does not know the log, or it is not open
/// any more.
#[inline]
pub(super) fn append(number: u64, name: &str, level: Level, message: Message<'_>) -> Option<Outcome> {
    let appended = KNOWN.try_with(|known| {
        let known = known.try_borrow().ok()?;
        let Known { shared, at } = known.get(&number)?.get(name)?;
        (!shared.gate.is_shut()).then(|| thread_local::append_at(at, shared, level, message))
    });
    appended.ok().flatten()
}

/// Remembers the log of event `name` in set `number`, and forgets those that are closed.
#[cold]
pub(super) fn remember(number: u64, name: &str, shared: &Arc<Shared>) {
    // If the thread is ending, or this is a signal handler that interrupted it here, nothing is remembered.
    let _ = KNOWN.try_with(|known| {
        let Ok(mut known) = known.try_borrow_mut() else { return };
        known.values_mut().for_each(|logs| logs.retain(|_, known| !known.shared.gate.is_shut()));
        known.retain(|_, logs| !logs.is_empty());
        let log = Known { shared: Arc::clone(shared), at: Cell::new(0) };
        known.entry(number).or_default().insert(name.into(), log);
    });
}
