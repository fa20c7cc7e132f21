//! The CPUs that a thread runs on, the thread's id, and the machine's boot and name. Called by `writer`, `logger` and
//! `registry`.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The set of CPUs that a thread may run on, to be applied to this or another thread later.
#[derive(Clone, Copy)]
pub(crate) struct Affinity(Option<CpuSet>);

impl Affinity {
    /// The set of the calling thread.
    pub(crate) fn of_this_thread() -> Affinity {
        Affinity(sched_getaffinity(None).ok())
    }

    /// Applies the set to the calling thread. After a refusal the thread stays on its CPUs: slower, but not wrong.
    pub(crate) fn apply(&self) {
        if let Some(set) = &self.0 {
            let _ = sched_setaffinity(None, set);
        }
    }
}

/// The CPUs that the calling thread may run on, by the kernel's numbers, in order.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Pins the calling thread to `cpu`, which may be outside its present set, such as an isolated one. Returns `false` if
/// there is no such CPU or the kernel refuses it.
pub(crate) fn pin_to(cpu: usize) -> bool {
    cpu < CpuSet::MAX_CPU
        && core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
        && current_cpu() == Some(cpu)
}

/// The CPU that runs the calling thread now.
fn current_cpu() -> Option<usize> {
    Some(sched_getcpu())
}

/// The kernel's id of the calling thread.
pub(crate) fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Reduces the calling thread's timer slack to the minimum, so that its sleeps end punctually.
pub(crate) fn minimal_timer_slack() {
    // A refusal costs up to 50 µs for each sleep, nothing else.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// The identity of this boot of the machine; zeros if the kernel does not report it.
pub(crate) fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    u128::from_str_radix(&digits, 16).map(u128::to_be_bytes).unwrap_or_default()
}

/// The machine's name; empty if it is not text.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_str().unwrap_or_default().to_owned()
}
