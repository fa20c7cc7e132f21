//! A helper thread that writes the submitted blocks, so that the writer goes on draining while the disk works. The
//! kinds [`Pwrite`](super::DeviceKind) and [`Buffered`](super::DeviceKind) differ only in their [`Operation`].
//!
//! The two sides share a queue and a list of completions under one mutex, which neither holds while it works. There are
//! at most some ten thousand blocks a second, so the mutex costs nothing. Only the writer's polling, which is far more
//! frequent, must not take it, and looks at `completed` first.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use super::{BlockWrite, Completion, Device, DeviceReport, HelperStart};
use crate::own_thread::{self, Role};

/// How the helper thread writes.
pub(super) trait Operation: Send + 'static {
    /// The most blocks that one call takes.
    const BATCH_MAX: usize;

    /// Writes every block of `batch`, makes it durable, and appends it to `completions`.
    fn write(&mut self, batch: &mut VecDeque<BlockWrite>, completions: &mut Vec<Completion>);
}

/// A device whose writes are done by a helper thread.
pub(super) struct Threaded {
    shared: Arc<Shared>,
    /// `None` after [`Device::abandon`].
    thread: Option<JoinHandle<()>>,
    in_flight_max: usize,
    report: DeviceReport,
}

/// Shared by the writer and the helper thread.
struct Shared {
    state: Mutex<HelperState>,
    /// Signalled when `queue` has a block, or `closing` is set.
    work: Condvar,
    /// Whether `state.completions` may have entries. Set under the lock; cleared by the writer before it looks.
    completed: AtomicBool,
    /// The writer thread, unparked after each completion.
    writer: Thread,
}

struct HelperState {
    queue: VecDeque<BlockWrite>,
    completions: Vec<Completion>,
    /// The helper ends once the queue is empty.
    closing: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HelperState> {
        // No change under the lock can be interrupted half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Threaded {
    /// Starts the helper thread, which first calls `helper_start`.
    ///
    /// # Errors
    /// The operating system's, if it has no thread to give.
    pub(super) fn new<O: Operation>(
        operation: O,
        report: DeviceReport,
        in_flight_max: usize,
        helper_start: HelperStart,
    ) -> io::Result<Threaded> {
        // The block being written and one more: otherwise the disk would idle while the writer reaps a completion and
        // submits the next block.
        let in_flight_max = in_flight_max.max(2);
        let shared = Arc::new(Shared {
            state: Mutex::new(HelperState {
                queue: VecDeque::with_capacity(in_flight_max),
                completions: Vec::with_capacity(in_flight_max),
                closing: false,
            }),
            work: Condvar::new(),
            completed: AtomicBool::new(false),
            writer: thread::current(),
        });
        let thread = thread::Builder::new().name("diolog-device".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                own_thread::mark(Role::Helper);
                helper_start();
                run(operation, &shared, in_flight_max);
            }
        })?;
        Ok(Threaded { shared, thread: Some(thread), in_flight_max, report })
    }

    /// Whether there may be completions to reap.
    pub(super) fn has_completed(&self) -> bool {
        self.shared.completed.load(Ordering::Relaxed)
    }
}

/// The helper thread: takes queued blocks, writes them and hands them back, until `closing` is set.
fn run<O: Operation>(mut operation: O, shared: &Shared, in_flight_max: usize) {
    let mut batch = VecDeque::with_capacity(in_flight_max);
    let mut completions = Vec::with_capacity(in_flight_max);
    loop {
        {
            let mut state = shared.lock();
            while state.queue.is_empty() && !state.closing {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.queue.is_empty() {
                return;
            }
            let count = state.queue.len().min(O::BATCH_MAX);
            batch.extend(state.queue.drain(..count));
        }
        operation.write(&mut batch, &mut completions);
        {
            let mut state = shared.lock();
            state.completions.append(&mut completions);
            // Release: _completed_. (The lock orders the completions too; the flag only says that it is worth taking.)
            shared.completed.store(true, Ordering::Release);
        }
        shared.writer.unpark();
    }
}

impl Device for Threaded {
    fn submit(&mut self, write: BlockWrite) {
        write.assert_aligned();
        self.shared.lock().queue.push_back(write);
        self.shared.work.notify_one();
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        // Acquire: _completed_.
        if self.has_completed() && self.shared.completed.swap(false, Ordering::Acquire) {
            completions.append(&mut self.shared.lock().completions);
        }
    }

    fn wait(&mut self, timeout: Duration) {
        // A completion after this check unparks the thread, and the park returns at once.
        if !self.has_completed() {
            thread::park_timeout(timeout);
        }
    }

    fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    fn report(&self) -> &DeviceReport {
        &self.report
    }

    fn abandon(mut self: Box<Self>) {
        // The helper thread keeps the block that it is writing, and frees it after the write has returned.
        self.thread = None;
        let unwritten = {
            let mut state = self.shared.lock();
            state.closing = true;
            std::mem::take(&mut state.queue)
        };
        self.shared.work.notify_one();
        drop(unwritten);
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.lock().closing = true;
            self.shared.work.notify_one();
            // A panic there would be a bug; the writer must end all the same.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::device::DeviceKind;
    use crate::device::tests::{completions, filled};

    /// Writes nothing: reports each block that it gets, and completes it when it is allowed to.
    struct Stalled {
        given: Sender<u64>,
        go_on: Receiver<()>,
    }

    impl Operation for Stalled {
        const BATCH_MAX: usize = 1;

        fn write(&mut self, batch: &mut VecDeque<BlockWrite>, completions: &mut Vec<Completion>) {
            for write in batch.drain(..) {
                self.given.send(write.token).unwrap();
                let _ = self.go_on.recv();
                completions.push(write.complete(Ok(())));
            }
        }
    }

    fn stalled() -> (Box<Threaded>, Receiver<u64>, Sender<()>) {
        let (given, was_given) = channel();
        let (let_go_on, go_on) = channel();
        let report = DeviceReport { kind: DeviceKind::Buffered, reasons: Vec::new() };
        let device = Threaded::new(Stalled { given, go_on }, report, 2, Arc::new(|| ())).unwrap();
        (Box::new(device), was_given, let_go_on)
    }

    fn write(token: u64) -> BlockWrite {
        let file = Arc::new(std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap());
        BlockWrite { token, file, offset: 0, length: 4096, buffer: filled(4096, 0) }
    }

    #[test]
    fn submitting_and_reaping_do_not_wait_for_a_stalled_disk() {
        let (mut device, was_given, let_go_on) = stalled();
        let mut reaped = Vec::new();
        device.submit(write(1));
        assert_eq!(was_given.recv(), Ok(1));
        device.submit(write(2));
        device.reap(&mut reaped);
        assert!(reaped.is_empty());
        let_go_on.send(()).unwrap();
        assert_eq!(completions(&mut *device, 1)[0].token, 1);
        let_go_on.send(()).unwrap();
        assert_eq!(completions(&mut *device, 1)[0].token, 2);
    }

    #[test]
    fn abandoning_does_not_wait_and_a_block_not_begun_is_not_written() {
        let (mut device, was_given, let_go_on) = stalled();
        let (first, second) = (write(1), write(2));
        let files = [Arc::downgrade(&first.file), Arc::downgrade(&second.file)];
        device.submit(first);
        assert_eq!(was_given.recv(), Ok(1));
        device.submit(second);
        device.abandon();
        // The block that is being written is still in memory, the other is not.
        assert_eq!(files.each_ref().map(std::sync::Weak::strong_count), [1, 0]);
        drop(let_go_on);
        // The helper thread ends, and its operation with it.
        assert!(was_given.recv().is_err());
    }

    #[test]
    fn the_helper_thread_calls_its_start_function_first() {
        let (begun, has_begun) = channel();
        let begun = Mutex::new(begun);
        let report = DeviceReport { kind: DeviceKind::Buffered, reasons: Vec::new() };
        let start = move || begun.lock().unwrap().send(thread::current().name().map(str::to_owned)).unwrap();
        let device = Threaded::new(crate::device::buffered::Buffered::default(), report, 1, Arc::new(start)).unwrap();
        assert_eq!(has_begun.recv().unwrap().as_deref(), Some("diolog-device"));
        drop(device);
    }
}
