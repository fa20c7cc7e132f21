//! The CPUs that a thread runs on, the thread's id, and the machine's boot and name, as far as every platform offers
//! them.

use std::sync::atomic::{AtomicU32, Ordering};

/// The set of CPUs that a thread may run on: not known here.
#[derive(Clone, Copy)]
pub(crate) struct Affinity;

impl Affinity {
    /// The set of the calling thread.
    pub(crate) fn of_this_thread() -> Affinity {
        Affinity
    }

    /// Does nothing: the set is not known.
    pub(crate) fn apply(&self) {}
}

/// The CPUs that the calling thread may be pinned to: none, since there is no portable way to pin.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

/// Pins nothing, and returns `false`.
pub(crate) fn pin_to(_cpu: usize) -> bool {
    false
}

/// A number for the calling thread, unique within the process.
pub(crate) fn thread_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    thread_local!(static ID: u32 = NEXT.fetch_add(1, Ordering::Relaxed));
    ID.try_with(|id| *id).unwrap_or(0)
}

/// Does nothing: sleeps are as punctual as the platform makes them.
pub(crate) fn minimal_timer_slack() {}

/// The identity of this boot of the machine: not known here.
pub(crate) fn boot_id() -> [u8; 16] {
    [0; 16]
}

/// The machine's name: not known here.
pub(crate) fn host_name() -> String {
    String::new()
}
