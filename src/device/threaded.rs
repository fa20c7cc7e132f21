//! A helper thread that writes the submitted blocks of all logs on one file system, so that the writer can drain rings
//! while the disk works. The kinds [`Pwrite`](super::DeviceKind) and [`Buffered`](super::DeviceKind) differ only in
//! their [`Operation`].
//!
//! The two sides share a queue and a list of completions under one mutex, which neither holds while it works. At most
//! about ten thousand blocks a second pass, so the mutex costs nothing. The writer polls far more often than that, so
//! it looks at `completed` first and takes the mutex only if that is set.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use super::{BlockWrite, Completion, HelperStart};
use crate::own_thread::{self, Role};

/// How the helper thread writes.
pub(super) trait Operation: Send + 'static {
    /// Whether one call takes all queued blocks of a file, or only one block.
    const TAKES_A_FILES_BLOCKS: bool;

    /// Writes every block of `batch`, makes it durable, and appends it to `completions`. All blocks are of one file.
    fn write(&mut self, batch: &mut VecDeque<BlockWrite>, completions: &mut Vec<Completion>);
}

/// The writer's side of a helper thread.
pub(super) struct Helper {
    shared: Arc<Shared>,
    /// `None` after [`abandon`](Helper::abandon).
    thread: Option<JoinHandle<()>>,
    /// Blocks that were submitted and not reaped.
    in_flight: usize,
}

/// Shared by the writer and the helper thread.
struct Shared {
    state: Mutex<HelperState>,
    /// Signalled when `queue` has a block, or `closing` is set.
    work: Condvar,
    /// Whether `state.completions` may have entries. The helper sets it under the lock; the writer clears it before it
    /// looks.
    completed: AtomicBool,
    /// The writer thread, unparked after each completion.
    writer: Thread,
}

#[derive(Default)]
struct HelperState {
    queue: VecDeque<BlockWrite>,
    completions: Vec<Completion>,
    /// The helper ends once the queue is empty.
    closing: bool,
}

impl HelperState {
    /// Moves the blocks to write next from the queue to `batch`: the first, and with `all_of_file` all others of its
    /// file.
    fn take_batch(&mut self, batch: &mut VecDeque<BlockWrite>, all_of_file: bool) {
        let Some(first) = self.queue.pop_front() else { return };
        let file = Arc::clone(&first.file);
        batch.push_back(first);
        for _ in 0..if all_of_file { self.queue.len() } else { 0 } {
            if let Some(write) = self.queue.pop_front() {
                let queue = if Arc::ptr_eq(&write.file, &file) { &mut *batch } else { &mut self.queue };
                queue.push_back(write);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HelperState> {
        // A panic cannot leave the state half changed, so a poisoned lock is used.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Helper {
    /// Starts the helper thread, which first calls `helper_start`.
    ///
    /// # Errors
    /// The operating system's, if it cannot start a thread.
    pub(super) fn start<O: Operation>(operation: O, helper_start: HelperStart) -> io::Result<Helper> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            completed: AtomicBool::new(false),
            writer: thread::current(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = own_thread::spawn("diolog-device", Role::Helper, move || {
            helper_start();
            run(operation, &of_thread);
        })?;
        Ok(Helper { shared, thread: Some(thread), in_flight: 0 })
    }

    /// Takes a block to write, and does not wait for the disk.
    pub(super) fn submit(&mut self, write: BlockWrite) {
        self.in_flight += 1;
        self.shared.lock().queue.push_back(write);
        self.shared.work.notify_one();
    }

    /// Whether there may be completions to reap.
    pub(super) fn has_completed(&self) -> bool {
        self.shared.completed.load(Ordering::Relaxed)
    }

    /// Whether blocks were submitted and not reaped.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight > 0
    }

    /// Appends the blocks that have ended, without waiting.
    pub(super) fn reap(&mut self, completions: &mut Vec<Completion>) {
        // Acquire: _completed_.
        if self.has_completed() && self.shared.completed.swap(false, Ordering::Acquire) {
            let ended = &mut self.shared.lock().completions;
            self.in_flight -= ended.len();
            completions.append(ended);
        }
    }

    /// Frees the blocks whose token `is_unwanted` and whose write has not begun. Returns how many it freed.
    pub(super) fn withdraw(&mut self, is_unwanted: impl Fn(u64) -> bool) -> usize {
        let unwanted: Vec<_> = {
            let queue = &mut self.shared.lock().queue;
            let (unwanted, others): (Vec<_>, Vec<_>) =
                std::mem::take(queue).into_iter().partition(|write| is_unwanted(write.token));
            *queue = others.into();
            unwanted
        };
        // The blocks are freed here, after the lock was released.
        self.in_flight -= unwanted.len();
        unwanted.len()
    }

    /// Ends the thread without waiting for it. The thread keeps the block that it is writing, and frees it after the
    /// write has returned. Blocks whose write has not begun are not written.
    pub(super) fn abandon(mut self) {
        self.withdraw(|_| true);
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        self.thread = None;
    }
}

/// The helper thread: takes queued blocks, writes them and hands them back, until `closing` is set.
fn run<O: Operation>(mut operation: O, shared: &Shared) {
    let mut batch = VecDeque::new();
    let mut completions = Vec::new();
    loop {
        {
            let mut state = shared.lock();
            while state.queue.is_empty() && !state.closing {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.queue.is_empty() {
                return;
            }
            state.take_batch(&mut batch, O::TAKES_A_FILES_BLOCKS);
        }
        operation.write(&mut batch, &mut completions);
        {
            let mut state = shared.lock();
            state.completions.append(&mut completions);
            // Release: _completed_. (The lock orders the completions too; the flag only says that the lock is worth
            // taking.)
            shared.completed.store(true, Ordering::Release);
        }
        shared.writer.unpark();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.lock().closing = true;
            self.shared.work.notify_one();
            // A panic of the helper is a bug, but the writer must end anyway.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::device::tests::filled;
    use crate::sys::fork::UnsharedFile;

    /// Writes nothing: reports each block that it gets, and completes it when it is allowed to.
    struct Stalled {
        given: Sender<u64>,
        go_on: Receiver<()>,
    }

    impl Operation for Stalled {
        const TAKES_A_FILES_BLOCKS: bool = false;

        fn write(&mut self, batch: &mut VecDeque<BlockWrite>, completions: &mut Vec<Completion>) {
            for write in batch.drain(..) {
                self.given.send(write.token).unwrap();
                let _ = self.go_on.recv();
                completions.push(write.complete(Ok(())));
            }
        }
    }

    fn stalled() -> (Helper, Receiver<u64>, Sender<()>) {
        let (given, was_given) = channel();
        let (let_go_on, go_on) = channel();
        let helper = Helper::start(Stalled { given, go_on }, Arc::new(|| ())).unwrap();
        (helper, was_given, let_go_on)
    }

    fn write(token: u64) -> BlockWrite {
        let file = Arc::new(UnsharedFile::from(std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap()));
        BlockWrite { token, file, offset: 0, length: 4096, buffer: filled(4096, 0) }
    }

    /// Waits for one block.
    fn completed(helper: &mut Helper) -> u64 {
        let mut reaped = Vec::new();
        while reaped.is_empty() {
            thread::park();
            helper.reap(&mut reaped);
        }
        reaped[0].token
    }

    #[test]
    fn submitting_and_reaping_do_not_wait_for_a_stalled_disk() {
        let (mut helper, was_given, let_go_on) = stalled();
        let mut reaped = Vec::new();
        helper.submit(write(1));
        assert_eq!(was_given.recv(), Ok(1));
        helper.submit(write(2));
        helper.reap(&mut reaped);
        assert!(reaped.is_empty() && helper.is_busy());
        let_go_on.send(()).unwrap();
        assert_eq!(completed(&mut helper), 1);
        let_go_on.send(()).unwrap();
        assert_eq!(completed(&mut helper), 2);
        assert!(!helper.is_busy());
    }

    #[test]
    fn abandoning_does_not_wait_and_a_block_not_begun_is_not_written() {
        let (mut helper, was_given, let_go_on) = stalled();
        let (first, second) = (write(1), write(2));
        let files = [Arc::downgrade(&first.file), Arc::downgrade(&second.file)];
        helper.submit(first);
        assert_eq!(was_given.recv(), Ok(1));
        helper.submit(second);
        helper.abandon();
        // The block that is being written is still in memory, the other is not.
        assert_eq!(files.each_ref().map(std::sync::Weak::strong_count), [1, 0]);
        drop(let_go_on);
        // The helper thread ends, and its operation with it.
        assert!(was_given.recv().is_err());
    }

    #[test]
    fn only_blocks_that_are_unwanted_and_not_begun_are_withdrawn() {
        let (mut helper, was_given, let_go_on) = stalled();
        (1..=4).for_each(|token| helper.submit(write(token)));
        assert_eq!(was_given.recv(), Ok(1));
        assert_eq!(helper.withdraw(|token| token % 2 == 1), 1, "the third; the first is being written");
        drop(let_go_on);
        assert_eq!((was_given.recv(), was_given.recv()), (Ok(2), Ok(4)));
    }

    #[test]
    fn a_batch_holds_the_blocks_of_one_file_in_their_order() {
        let open = || Arc::new(UnsharedFile::from(std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap()));
        let files = [open(), open()];
        let mut state = HelperState::default();
        for (token, file) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
            state.queue.push_back(BlockWrite { file: Arc::clone(&files[file]), ..write(token) });
        }
        let mut taken = |all_of_file| {
            let mut batch = VecDeque::new();
            state.take_batch(&mut batch, all_of_file);
            batch.iter().map(|write| write.token).collect::<Vec<_>>()
        };
        assert_eq!((taken(true), taken(false), taken(true)), (vec![1, 3], vec![2], vec![4]));
    }

    #[test]
    fn the_helper_thread_calls_its_start_function_first() {
        let (begun, has_begun) = channel();
        let begun = Mutex::new(begun);
        let start = move || begun.lock().unwrap().send(thread::current().name().map(str::to_owned)).unwrap();
        let helper = Helper::start(crate::device::buffered::Buffered::default(), Arc::new(start)).unwrap();
        assert_eq!(has_begun.recv().unwrap().as_deref(), Some("diolog-device"));
        drop(helper);
    }
}
