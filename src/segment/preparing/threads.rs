//! The threads that prepare segments, one for each file system, and how each serves its logs.
//!
//! A logger that is opened by itself makes its own set; the logs of an engine share one. A file system that hangs holds
//! only the thread of its own logs. [`preparer`](super::preparer) is a log's handle to its thread, and
//! [`work`](super::work) does the work for one log, in steps of milliseconds. After each step the thread chooses the
//! log that needs it most.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::own_thread::{self, Role};
use crate::sync::lock;

use super::fill::Zeros;
use super::orders::{End, Job, Order};
use super::work::{Step, Work};

/// The threads that prepare segments, one for each file system. Clones are handles to the same threads.
#[derive(Clone, Default)]
pub(crate) struct PreparingThreads(Arc<Mutex<Vec<Listed>>>);

/// A thread that serves logs, or did until recently.
struct Listed {
    /// The file system's number.
    file_system: Option<u64>,
    thread: Weak<Thread>,
    held: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl PreparingThreads {
    /// The thread for logs on `file_system`, started if there is none. If the file system is not known, a new one.
    ///
    /// # Errors
    /// The operating system's, if no thread can be started.
    pub(super) fn get(&self, file_system: Option<u64>) -> io::Result<Arc<Thread>> {
        let mut listed = lock(&self.0);
        listed.retain(|listed| listed.thread.strong_count() > 0);
        let of_this = listed.iter().filter(|listed| file_system.is_some() && listed.file_system == file_system);
        let thread = of_this.filter_map(|listed| listed.thread.upgrade()).find(|thread| !thread.is_held());
        if let Some(thread) = thread {
            return Ok(thread);
        }
        let (thread, handle) = Thread::start()?;
        let (held, thread) = (Arc::clone(&thread.held), Arc::new(thread));
        listed.push(Listed { file_system, thread: Arc::downgrade(&thread), held, handle });
        Ok(thread)
    }

    /// Waits for the threads whose last log has ended; they end at once. Does not wait for a thread that may hang in
    /// the kernel, nor for the calling thread.
    pub(crate) fn join_ended(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        for listed in all {
            let is_own = listed.handle.thread().id() == std::thread::current().id();
            if listed.thread.strong_count() > 0 || listed.held.load(Ordering::Relaxed) || is_own {
                lock(&self.0).push(listed);
            } else {
                let _ = listed.handle.join();
            }
        }
    }
}

/// A message from a log to its thread.
enum Message {
    Begin(u64, Box<Work>),
    Order(u64, Order),
    Job(u64, Job),
    End(u64, End),
    /// The log is abandoned: nothing more is done for it.
    Leave(u64),
}

/// A log's handle to a thread. The thread ends after the last handle was dropped and all work is done.
pub(super) struct Thread {
    messages: Sender<Message>,
    /// How many messages have been sent and not received.
    waiting: Arc<AtomicUsize>,
    /// The number of the next log.
    next: AtomicU64,
    /// A log was abandoned. The thread may hang in the kernel, so it gets no more logs.
    held: Arc<AtomicBool>,
}

impl Thread {
    fn start() -> io::Result<(Thread, JoinHandle<()>)> {
        let (messages, received) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let server = Server {
            messages: received,
            waiting: Arc::clone(&waiting),
            logs: Vec::new(),
            zeros: Zeros::default(),
            ordered: 0,
            is_left: false,
        };
        let handle = own_thread::spawn("diolog-segments", Role::Helper, move || server.run())?;
        Ok((Thread { messages, waiting, next: AtomicU64::new(0), held: Arc::default() }, handle))
    }

    fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Begins to serve a log. Returns the log's number.
    pub(super) fn begin(&self, work: Work) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Begin(number, Box::new(work)));
        number
    }

    /// Sends an order of log `number`. If the thread is gone, the log's channel for results is closed.
    pub(super) fn order(&self, number: u64, order: Order) {
        self.send(Message::Order(number, order));
    }

    /// Sends a job of log `number`.
    pub(super) fn give_job(&self, number: u64, job: Job) {
        self.send(Message::Job(number, job));
    }

    /// Ends the run of log `number` after its orders. `end.then` is called in any case.
    pub(super) fn end(&self, number: u64, end: End) {
        if let Some(Message::End(_, end)) = self.send(Message::End(number, end)) {
            (end.then)();
        }
    }

    /// Abandons log `number`. Does not wait.
    pub(super) fn abandon(&self, number: u64) {
        self.held.store(true, Ordering::Relaxed);
        self.send(Message::Leave(number));
    }

    /// Sends a message. Returns the message if the thread is gone.
    fn send(&self, message: Message) -> Option<Message> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.messages.send(message).err().map(|unsent| unsent.0)
    }
}

/// The thread's side.
struct Server {
    messages: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    /// By number.
    logs: Vec<(u64, Box<Work>)>,
    zeros: Zeros,
    /// A logical clock: it advances with each message and step.
    ordered: u64,
    /// No more messages will come.
    is_left: bool,
}

impl Server {
    /// Serves logs until all have ended and no message will come.
    fn run(mut self) {
        loop {
            self.take_in_all();
            let next = self.logs.iter().enumerate().filter_map(|(at, (_, work))| Some((work.urgency()?, at))).min();
            match next {
                Some((_, at)) => self.step(at),
                // No log is left without a step: an ended one has been removed, and so has one that was abandoned.
                None if self.is_left => return,
                None => self.wait(),
            }
        }
    }

    fn take_in_all(&mut self) {
        while !self.is_left {
            match self.messages.try_recv() {
                Ok(message) => self.take_in(message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.is_left = true,
            }
        }
        if self.logs.iter().any(|(_, work)| work.aging_due().is_some()) {
            let now = Instant::now();
            self.logs.iter_mut().for_each(|(_, work)| work.age(now, self.ordered));
        }
    }

    /// Waits for a message, or until segments may have become too old.
    fn wait(&mut self) {
        self.zeros = Zeros::default();
        let due = self.logs.iter().filter_map(|(_, work)| work.aging_due()).min();
        let received = match due {
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => self.messages.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(message) => self.take_in(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.is_left = true,
        }
    }

    fn take_in(&mut self, message: Message) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.ordered += 1;
        let ordered = self.ordered;
        match message {
            Message::Begin(number, work) => self.logs.push((number, work)),
            Message::Order(number, order) => {
                if let Some(work) = self.log(number) {
                    work.add(ordered, order);
                }
            }
            Message::Job(number, job) => {
                if let Some(work) = self.log(number) {
                    work.add_job(ordered, job);
                }
            }
            Message::End(number, end) => match self.log(number) {
                Some(work) => work.end_with(end),
                // The thread has given this log up.
                None => conclude(end),
            },
            Message::Leave(number) => self.logs.retain(|(own, _)| *own != number),
        }
    }

    fn log(&mut self, number: u64) -> Option<&mut Work> {
        self.logs.iter_mut().find(|(own, _)| *own == number).map(|(_, work)| &mut **work)
    }

    /// Does the next step of the log at this index. A panic, which is a bug in diolog, ends only the service of this
    /// log.
    fn step(&mut self, at: usize) {
        self.ordered += 1;
        let (ordered, waiting) = (self.ordered, Arc::clone(&self.waiting));
        let is_crowded = self.logs.iter().enumerate().any(|(other, (_, work))| other != at && work.is_waiting());
        let others_wait = || is_crowded || waiting.load(Ordering::Relaxed) > 0;
        let (zeros, (_, work)) = (&mut self.zeros, &mut self.logs[at]);
        let done = catch_unwind(AssertUnwindSafe(|| work.step(zeros, ordered, &others_wait)));
        if let Ok(Step::GoesOn) = done {
            return;
        }
        let (_, mut work) = self.logs.swap_remove(at);
        let end = work.take_end();
        // First drop all that belongs to the log, with its descriptors.
        drop(work);
        if let Some(end) = end {
            conclude(end);
        }
    }
}

/// Calls what comes after the end of a run. A panic there, which is a bug in diolog, does not end the thread.
fn conclude(end: End) {
    let End { then, .. } = end;
    let _ = catch_unwind(AssertUnwindSafe(then));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::segment::{Directory, FIRST_FILL_PATIENCE, Limits, Making, Rules, SegmentSizes, Segments};
    use crate::sys::test_directory::directory;

    #[test]
    fn a_file_system_has_one_thread_until_the_kernel_may_hold_it() {
        let threads = PreparingThreads::default();
        let get = |file_system| threads.get(file_system).expect("a thread");
        let first = get(Some(7));
        assert!(Arc::ptr_eq(&first, &get(Some(7))));
        assert!(!Arc::ptr_eq(&first, &get(Some(8))), "another file system");
        assert!(!Arc::ptr_eq(&get(None), &get(None)), "unknown ones");
        // A log that is given up while the thread is in a call.
        first.abandon(0);
        let second = get(Some(7));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &get(Some(7))));
        drop((first, second));
        threads.join_ended();
    }

    #[test]
    fn a_panic_for_one_log_leaves_the_others_served() {
        let parent = directory();
        let threads = PreparingThreads::default();
        let begin = |path: &Path| {
            let rules = Rules {
                sizes: SegmentSizes { first: 32 << 10, max: 32 << 10, block: 4096 },
                first_fill_patience: FIRST_FILL_PATIENCE,
                rotate_after: None,
                rotate_at: None,
                keep: Limits { bytes: None, segments: None, age: None },
            };
            let directory = Directory::open(path, Making::BY_DEFAULT).expect("a directory");
            let segments = Segments::begin(&directory, false, rules, Clock::detect(), &threads).expect("a segment");
            (directory, segments)
        };
        let (_one, first) = begin(&parent.path().join("one"));
        let (_two, mut second) = begin(&parent.path().join("two"));
        first.end(false, || panic!("as a bug would"));
        second.place(4096);
        second.place(28 << 10);
        while !second.advance(4096, 1) {
            std::thread::yield_now();
        }
        assert_eq!(second.index(), 2);
        second.end(true, || {});
        threads.join_ended();
    }
}
