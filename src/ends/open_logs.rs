//! The logs of this process that may be open.

use std::sync::{Arc, Mutex, Weak};

use crate::shared::Shared;
use crate::sync::lock;
use crate::sys::PerProcess;

/// The list of one process.
#[derive(Default)]
pub(super) struct OpenLogs {
    /// Weak references: only its handles keep a log open.
    logs: Mutex<Vec<Weak<Shared>>>,
}

/// A forked child has its own list: the logs in its parent's list are not its own, and that lock may be held.
static OPEN_LOGS: PerProcess<OpenLogs> = PerProcess::new();

impl OpenLogs {
    /// This process's list. `None` if it has opened no log, as in a forked child.
    pub(super) fn of_this_process() -> Option<&'static OpenLogs> {
        OPEN_LOGS.get()
    }

    /// Adds a log to this process's list.
    pub(super) fn add(shared: &Arc<Shared>) {
        let mut logs = lock(&OPEN_LOGS.get_or_make().logs);
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(shared));
    }

    /// The logs that have not ended.
    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        lock(&self.logs).iter().filter_map(Weak::upgrade).filter(|log| !log.closing.has_ended()).collect()
    }
}

/// The logs of this process that have not ended.
pub(crate) fn open_logs() -> Vec<Arc<Shared>> {
    OpenLogs::of_this_process().map(OpenLogs::all).unwrap_or_default()
}
