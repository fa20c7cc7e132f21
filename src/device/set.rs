//! The devices of one writer thread, for all of its logs: one io_uring, and one helper thread for each file system and
//! kind below it.
//!
//! Each log has a [`View`], which is its [`Device`]: with its own tokens, completions and report. The set lives on the
//! writer thread and is used only there. If a file system hangs, its logs wait for their blocks and their helper
//! thread; logs on other file systems go on.
//!
//! If the ring breaks, every view on it steps down, and later views do not use a ring. A view that is abandoned leaves
//! its blocks with the set until the kernel or the helper thread has ended them; then they are freed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::buffer::AlignedBuffer;

use super::buffered::Buffered;
use super::direct::Direct;
use super::threaded::Helper;
use super::uring::{Uring, UringSize};
use super::{BlockWrite, Completion, Device, DeviceKind, DeviceReport, HelperStart, explain};

/// The longest wait while both the ring and a helper thread have blocks: a completion of one does not wake a thread
/// that waits for the other.
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// The low bits of a token in the set hold the view's own token; the high bits hold the view's number. A log that
/// writes 100,000 blocks a second uses all tokens in four months and then begins at 0 again. That is safe, because only
/// a few blocks are in flight.
const TOKEN_BITS: u32 = 40;
const TOKEN_MASK: u64 = (1 << TOKEN_BITS) - 1;

/// The devices of one writer thread. Clones are handles to the same devices.
#[derive(Clone)]
pub(crate) struct DeviceSet {
    inner: Rc<RefCell<Inner>>,
}

/// How many logs the devices of a set are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogCount {
    /// One log: the ring has its size, and its buffers are registered once.
    One,
    /// Any number of logs.
    Many,
}

struct Inner {
    logs: LogCount,
    /// Made for the first log that uses it, and dropped with the last.
    uring: Option<Uring>,
    /// Why not all buffers are registered with the ring; `None` if they are.
    not_registered: Option<String>,
    /// Why no ring is made any more, after one broke.
    broken: Option<String>,
    /// The break has not been reported yet.
    is_break_new: bool,
    /// Helper threads by file system, and by whether they do direct I/O. (Not a `HashMap`: std panics if the system
    /// refuses the random numbers for one.)
    helpers: BTreeMap<HelperKey, Helper>,
    /// Views by number.
    views: Vec<Option<Viewed>>,
    helper_start: HelperStart,
    /// Empty between calls.
    completions: Vec<Completion>,
}

/// A file system, and whether its helper does direct I/O.
type HelperKey = (Option<u64>, bool);

/// What the set knows of a view.
struct Viewed {
    file_system: Option<u64>,
    report: DeviceReport,
    /// Blocks with the ring or a helper.
    in_flight: usize,
    /// Blocks that have ended and were not reaped.
    finished: Vec<Completion>,
    /// Nobody will reap its blocks.
    abandoned: bool,
}

impl DeviceSet {
    /// A set for the calling thread, without any device yet. Helper threads call `helper_start` first, to leave the CPU
    /// to which they start pinned.
    pub(crate) fn new(logs: LogCount, helper_start: impl Fn() + Send + Sync + 'static) -> DeviceSet {
        DeviceSet {
            inner: Rc::new(RefCell::new(Inner {
                logs,
                uring: None,
                not_registered: None,
                broken: None,
                is_break_new: false,
                helpers: BTreeMap::new(),
                views: Vec::new(),
                helper_start: Arc::new(helper_start),
                completions: Vec::new(),
            })),
        }
    }

    /// Makes a log's device of the kind that the probe chose, or of the next kind if the kernel refuses that one now.
    /// Called on the writer thread after it was pinned.
    ///
    /// `buffers` are the memory of the log's blocks; io_uring also writes from other memory, but slower. `file_system`
    /// is the number of the log's file system, if it is known.
    ///
    /// # Errors
    /// The operating system's, if it cannot start a thread.
    pub(crate) fn view(
        &self,
        report: &DeviceReport,
        in_flight_max: usize,
        buffers: &[AlignedBuffer],
        file_system: Option<u64>,
    ) -> io::Result<Box<dyn Device>> {
        let mut inner = self.inner.borrow_mut();
        let mut report = report.clone();
        if report.kind == DeviceKind::IoUring
            && let Err(reason) = inner.make_ring(in_flight_max, buffers, &mut report)
        {
            report.kind = DeviceKind::Pwrite;
            report.reasons.push(reason);
        }
        let in_flight_max = match report.kind {
            DeviceKind::IoUring => in_flight_max.max(1),
            DeviceKind::None => unreachable!("a probe finds a device or fails"),
            DeviceKind::Pwrite | DeviceKind::Buffered => {
                inner.helper((file_system, report.kind.is_direct()))?;
                // At least two: one being written and one queued. Otherwise the disk would idle while the writer reaps
                // a completion and submits the next block.
                in_flight_max.max(2)
            }
        };
        let viewed =
            Viewed { file_system, report: report.clone(), in_flight: 0, finished: Vec::new(), abandoned: false };
        let number = inner.add(viewed);
        drop(inner);
        Ok(Box::new(View { set: self.clone(), number, in_flight_max, report }))
    }

    /// Registers buffers from which blocks of any view will be written, if there is a ring. If that fails, writes from
    /// them are slower.
    pub(crate) fn register(&self, buffers: &[AlignedBuffer]) {
        let mut inner = self.inner.borrow_mut();
        let Some(Err(error)) = inner.uring.as_mut().map(|uring| uring.register(buffers)) else { return };
        let reason = not_registered(&error);
        inner.not_registered = Some(reason.clone());
        for view in inner.views.iter_mut().flatten().filter(|view| view.report.kind == DeviceKind::IoUring) {
            view.report.reasons.push(reason.clone());
        }
    }

    /// Removes the registration of buffers that were freed.
    pub(crate) fn forget_freed(&self) {
        if let Some(uring) = &mut self.inner.borrow_mut().uring {
            uring.forget_freed();
        }
    }

    /// Blocks until a block of any view has completed, the calling thread is unparked, or `timeout` has passed. May
    /// return earlier without a reason. While the kernel has blocks, an unpark may go unnoticed until one completes.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut inner = self.inner.borrow_mut();
        if inner.has_finished() {
            return;
        }
        if inner.is_ring_busy() {
            let is_helper_busy = inner.helpers.values().any(Helper::is_busy);
            let timeout = if is_helper_busy { timeout.min(SHORT_WAIT) } else { timeout };
            if let Some(uring) = &mut inner.uring {
                uring.wait(timeout);
            }
            inner.follow_ring();
        } else {
            drop(inner);
            thread::park_timeout(timeout);
        }
    }

    /// Whether the ring has broken since the last call. Then the reports of all views on it have changed.
    pub(crate) fn take_break(&self) -> bool {
        mem::take(&mut self.inner.borrow_mut().is_break_new)
    }

    /// Frees the blocks of abandoned views that have completed.
    pub(crate) fn free_abandoned(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.views.iter().flatten().any(|view| view.abandoned) {
            inner.poll();
        }
    }
}

impl Inner {
    /// Makes a ring if there is none, and registers `buffers` with it. If they cannot be registered, the reason is
    /// added to `report`.
    ///
    /// # Errors
    /// Why there is no ring.
    fn make_ring(
        &mut self,
        in_flight_max: usize,
        buffers: &[AlignedBuffer],
        report: &mut DeviceReport,
    ) -> Result<(), String> {
        if let Some(reason) = &self.broken {
            return Err(reason.clone());
        }
        let uring = match &mut self.uring {
            Some(uring) => uring,
            none => {
                let size = match self.logs {
                    LogCount::One => UringSize::of_one_log(in_flight_max),
                    LogCount::Many => UringSize::OF_MANY_LOGS,
                };
                self.not_registered = None;
                none.insert(Uring::new(size).map_err(|error| format!("io_uring: {}", explain(&error)))?)
            }
        };
        if let Err(error) = uring.register(buffers) {
            self.not_registered = Some(not_registered(&error));
        }
        report.reasons.extend(self.not_registered.clone());
        Ok(())
    }

    /// The helper thread for `key`, started now if there is none.
    fn helper(&mut self, key: HelperKey) -> io::Result<&mut Helper> {
        let Inner { helpers, helper_start, uring, .. } = self;
        Ok(match helpers.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let start = Arc::clone(helper_start);
                entry.insert(match key.1 {
                    true => {
                        // The helper does not write to files that have failed on the ring.
                        let failed = uring.as_ref().map(Uring::failed_files).unwrap_or_default();
                        Helper::start(Direct::after(failed), start)?
                    }
                    false => Helper::start(Buffered::default(), start)?,
                })
            }
        })
    }

    fn add(&mut self, viewed: Viewed) -> usize {
        let number = self.views.iter().position(Option::is_none).unwrap_or(self.views.len());
        if number == self.views.len() {
            self.views.push(None);
        }
        self.views[number] = Some(viewed);
        number
    }

    /// View `number`.
    ///
    /// # Panics
    /// If there is none. A view keeps its number until it was dropped and has no blocks in flight.
    fn viewed(&mut self, number: usize) -> &mut Viewed {
        self.views[number].as_mut().expect("a view in use")
    }

    fn is_ring_busy(&self) -> bool {
        self.uring.as_ref().is_some_and(Uring::is_busy)
    }

    /// Whether a block can be reaped now.
    fn has_finished(&self) -> bool {
        self.views.iter().flatten().any(|view| !view.finished.is_empty())
            || self.helpers.values().any(Helper::has_completed)
            || self.uring.as_ref().is_some_and(Uring::has_finished)
    }

    fn submit(&mut self, number: usize, mut write: BlockWrite) {
        debug_assert!(write.token <= TOKEN_MASK, "token {} is too large", write.token);
        write.token |= (number as u64) << TOKEN_BITS;
        let viewed = self.viewed(number);
        viewed.in_flight += 1;
        match viewed.report.kind {
            DeviceKind::IoUring => {
                if let Some(uring) = &mut self.uring {
                    uring.submit(write);
                }
                self.follow_ring();
            }
            kind => self.submit_to_helper(number, kind.is_direct(), write),
        }
    }

    fn submit_to_helper(&mut self, number: usize, direct: bool, write: BlockWrite) {
        let key = (self.viewed(number).file_system, direct);
        let failed = self.uring.as_ref().and_then(|uring| uring.error_of(&write.file));
        let error = match (failed, self.helper(key)) {
            (None, Ok(helper)) => return helper.submit(write),
            // No thread can be started now: this block fails, and the next one tries again.
            (Some(error), _) | (None, Err(error)) => error,
        };
        self.finish(write.complete(Err(error)));
    }

    /// Called after each entry into the ring. If the ring broke, every view on it steps down, and the helpers get
    /// the blocks that the kernel does not have.
    fn follow_ring(&mut self) {
        let Some(uring) = &mut self.uring else { return };
        let displaced = uring.take_displaced();
        if self.broken.is_none()
            && let Some(error) = uring.broken()
        {
            let reason = format!("io_uring: given up while running: {error}");
            for view in self.views.iter_mut().flatten().filter(|view| view.report.kind == DeviceKind::IoUring) {
                view.report.kind = DeviceKind::Pwrite;
                view.report.reasons.push(reason.clone());
            }
            (self.broken, self.is_break_new) = (Some(reason), true);
        }
        for write in displaced {
            self.submit_to_helper((write.token >> TOKEN_BITS) as usize, true, write);
        }
    }

    /// Takes all blocks that have ended from the ring and the helpers.
    fn poll(&mut self) {
        let mut completions = mem::take(&mut self.completions);
        if let Some(uring) = &mut self.uring {
            uring.reap(&mut completions);
            if self.broken.is_some() && !uring.is_busy() && completions.is_empty() {
                // The last block on the broken ring has ended.
                self.uring = None;
            }
        }
        self.helpers.values_mut().for_each(|helper| helper.reap(&mut completions));
        completions.drain(..).for_each(|completion| self.finish(completion));
        self.completions = completions;
        self.follow_ring();
    }

    /// Gives a block that has ended to its view, or frees it if the view was abandoned.
    fn finish(&mut self, mut completion: Completion) {
        let number = (completion.token >> TOKEN_BITS) as usize;
        completion.token &= TOKEN_MASK;
        let viewed = self.viewed(number);
        viewed.in_flight -= 1;
        if !viewed.abandoned {
            return viewed.finished.push(completion);
        }
        let is_last = viewed.in_flight == 0;
        drop(completion);
        if is_last {
            self.remove(number);
        }
    }

    /// Ends the view: nobody will reap its blocks. Those whose write has not begun are never written.
    fn leave(&mut self, number: usize) {
        let viewed = self.viewed(number);
        viewed.finished.clear();
        viewed.abandoned = true;
        let is_of_view = |token: u64| (token >> TOKEN_BITS) as usize == number;
        let withdrawn: usize = self.helpers.values_mut().map(|helper| helper.withdraw(is_of_view)).sum();
        let viewed = self.viewed(number);
        viewed.in_flight -= withdrawn;
        if viewed.in_flight == 0 {
            self.remove(number);
        }
    }

    /// Removes a view without blocks in flight, and the devices that no other view uses. The threads of these are idle,
    /// so this does not wait.
    fn remove(&mut self, number: usize) {
        self.views[number] = None;
        let Inner { views, helpers, uring, .. } = self;
        let is_used = |(file_system, direct): &HelperKey| {
            views.iter().flatten().any(|view| {
                // A view that stepped down from the ring uses the helper for direct I/O.
                view.file_system == *file_system && view.report.kind.is_direct() == *direct
            })
        };
        helpers.retain(|key, helper| is_used(key) || helper.is_busy());
        if views.iter().all(Option::is_none) && !uring.as_ref().is_some_and(Uring::is_busy) {
            *uring = None;
        }
    }
}

/// The reason for slower writes: the kernel pins the memory anew for each write.
fn not_registered(error: &io::Error) -> String {
    format!("io_uring: buffers not registered: {error} (raise the limit on locked memory)")
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A helper thread that hangs in the kernel keeps its current block, and frees it after the write has returned.
        mem::take(&mut self.helpers)
            .into_iter()
            .for_each(|(_, helper)| if helper.is_busy() { helper.abandon() } else { drop(helper) });
    }
}

/// One log's device.
struct View {
    set: DeviceSet,
    number: usize,
    in_flight_max: usize,
    /// The report as of the last call.
    report: DeviceReport,
}

impl View {
    fn follow_report(&mut self) {
        let mut inner = self.set.inner.borrow_mut();
        let now = &inner.viewed(self.number).report;
        if *now != self.report {
            self.report.clone_from(now);
        }
    }
}

impl Device for View {
    fn submit(&mut self, write: BlockWrite) {
        write.assert_aligned();
        self.set.inner.borrow_mut().submit(self.number, write);
        self.follow_report();
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        {
            let mut inner = self.set.inner.borrow_mut();
            inner.poll();
            completions.append(&mut inner.viewed(self.number).finished);
        }
        self.follow_report();
    }

    fn wait(&mut self, timeout: Duration) {
        self.set.wait(timeout);
        self.follow_report();
    }

    fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    fn report(&self) -> &DeviceReport {
        &self.report
    }

    fn abandon(self: Box<Self>) {
        // `drop` leaves the blocks with the set.
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.set.inner.borrow_mut().leave(self.number);
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
mod tests;
