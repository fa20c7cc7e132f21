//! A device that refuses chosen writes, around the real one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diolog::unstable::{BlockWrite, Completion, Device, DeviceLayer, Hooks};

/// The writes to refuse, and how. Shared by the test and its device.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The first write that is refused, counted from 0.
    pub(crate) first: u64,
    /// The number of writes that are refused, the first included.
    pub(crate) count: u64,
    /// The error number of a refusal.
    pub(crate) errno: i32,
    /// Whether a refused write reaches the disk nevertheless, as a write whose sync failed may have.
    pub(crate) writes_anyway: bool,
    /// Writes submitted so far.
    pub(crate) submitted: AtomicU64,
    /// Writes refused so far.
    pub(crate) refused: AtomicU64,
}

impl Plan {
    pub(crate) fn new(first: u64, count: u64, errno: i32) -> Arc<Plan> {
        Arc::new(Plan {
            first,
            count,
            errno,
            writes_anyway: false,
            submitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Hooks that put a device which follows the plan under a log.
    pub(crate) fn hooks(self: &Arc<Plan>) -> Hooks {
        let plan = Arc::clone(self);
        Hooks::new().device_layer(|| FaultyDevice { plan, refused: Vec::new(), to_refuse: Vec::new() })
    }

    /// Whether a write has been refused.
    pub(crate) fn struck(&self) -> bool {
        self.refused.load(Ordering::SeqCst) > 0
    }
}

/// The device that follows a [`Plan`].
struct FaultyDevice {
    plan: Arc<Plan>,
    refused: Vec<Completion>,
    /// Tokens of writes that reach the disk, and whose completions are turned into refusals.
    to_refuse: Vec<u64>,
}

impl FaultyDevice {
    fn refusal(&self) -> io::Error {
        self.plan.refused.fetch_add(1, Ordering::SeqCst);
        io::Error::from_raw_os_error(self.plan.errno)
    }
}

impl DeviceLayer for FaultyDevice {
    fn submit(&mut self, below: &mut dyn Device, write: BlockWrite) {
        let number = self.plan.submitted.fetch_add(1, Ordering::SeqCst);
        let strikes = number >= self.plan.first && number - self.plan.first < self.plan.count;
        if strikes && !self.plan.writes_anyway {
            let result = Err(self.refusal());
            self.refused.push(Completion { token: write.token, buffer: write.buffer, result });
        } else {
            if strikes {
                self.to_refuse.push(write.token);
            }
            below.submit(write);
        }
    }

    fn reap(&mut self, below: &mut dyn Device, completions: &mut Vec<Completion>) {
        completions.append(&mut self.refused);
        let before = completions.len();
        below.reap(completions);
        for completion in &mut completions[before..] {
            if self.to_refuse.contains(&completion.token) {
                completion.result = Err(self.refusal());
            }
        }
    }

    fn wait(&mut self, below: &mut dyn Device, timeout: Duration) {
        if self.refused.is_empty() {
            below.wait(timeout);
        }
    }
}
