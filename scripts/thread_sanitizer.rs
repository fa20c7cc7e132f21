//! Shows that ThreadSanitizer, with thread_sanitizer.c and its suppressions, reports races and nothing else:
//! `ordered` has accesses that the standard library orders, and must not be reported; `unlocked` and `unfenced` have
//! a race each. scripts/sanitize.sh runs all three before the tests.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::Release, fence};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock};
use std::thread;
use std::time::Duration;

const THREADS: usize = 4;

/// How often each race is made: ThreadSanitizer misses accesses of one instant.
const ROUNDS: usize = 100;

/// A value that any thread may access, in order or not.
struct Shared(UnsafeCell<usize>);

// SAFETY: none is needed for the accesses in `ordered`; the others are undefined behaviour on purpose.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared(UnsafeCell::new(0)))
    }

    fn add(&self) {
        // SAFETY: see above.
        unsafe { *self.0.get() += 1 }
    }

    fn read(&self) {
        // SAFETY: see above.
        std::hint::black_box(unsafe { *self.0.get() });
    }
}

/// Runs `work` with its number in each of some threads.
fn in_threads(work: impl Fn(usize) + Send + Sync) {
    let work = &work;
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || work(number));
        }
    });
}

fn ordered() {
    let (value, mutex, rwlock) = (Shared::new(), Mutex::new(()), RwLock::new(()));
    in_threads(|_| (0..10_000).for_each(|_| drop((mutex.lock().unwrap(), value.add()))));
    in_threads(|number| {
        for round in 0..10_000 {
            if round % THREADS == number {
                drop((rwlock.write().unwrap(), value.add()));
            } else {
                drop((rwlock.read().unwrap(), value.read()));
            }
        }
    });

    let (turn, changed) = (Mutex::new(0), Condvar::new());
    in_threads(|number| {
        for round in 0..500 {
            let mut turn = turn.lock().unwrap();
            while *turn % THREADS != number {
                turn = match round % 2 {
                    0 => changed.wait(turn).unwrap(),
                    _ => changed.wait_timeout(turn, Duration::from_secs(1)).unwrap().0,
                };
            }
            value.add();
            *turn += 1;
            changed.notify_all();
        }
    });

    let barrier = Barrier::new(THREADS);
    in_threads(|number| {
        for round in 0..500 {
            if round % THREADS == number {
                value.add();
            }
            barrier.wait();
        }
    });

    for _ in 0..200 {
        let (once, last) = (OnceLock::new(), Shared::new());
        in_threads(|number| {
            let made = Shared::new();
            made.add();
            assert!(Arc::strong_count(once.get_or_init(|| made)) > 0, "{number}");
        });
        once.into_inner().unwrap().add();
        // The last of the handles frees what the others have read.
        let handles = Mutex::new(vec![last; THREADS]);
        in_threads(|_| {
            let handle = handles.lock().unwrap().pop().unwrap();
            handle.read();
        });
    }

    let (sender, receiver) = std::sync::mpsc::channel();
    let producer = thread::spawn(move || (0..1000).for_each(|_| sender.send(Shared::new()).unwrap()));
    receiver.iter().for_each(|value| value.add());
    producer.join().unwrap();
}

/// Runs `work` in threads that are all alive before any of them begins: ThreadSanitizer may take a
/// thread that starts after another's end for the same one.
fn in_threads_at_once(work: impl Fn() + Send + Sync) {
    let barrier = Barrier::new(THREADS);
    in_threads(|_| {
        barrier.wait();
        work();
    });
}

fn unlocked() {
    for _ in 0..ROUNDS {
        let value = Shared::new();
        in_threads_at_once(|| value.add());
    }
}

/// The last of some threads changes what the others have read. Without a fence it is not ordered after them.
fn unfenced() {
    for _ in 0..ROUNDS {
        let (value, readers) = (Shared::new(), AtomicUsize::new(THREADS));
        in_threads_at_once(|| {
            value.read();
            fence(Release);
            if readers.fetch_sub(1, Relaxed) == 1 {
                value.add();
            }
        });
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("ordered") => ordered(),
        Some("unlocked") => unlocked(),
        Some("unfenced") => unfenced(),
        other => panic!("{other:?}: ordered, unlocked or unfenced"),
    }
}
