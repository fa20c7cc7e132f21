//! A signal handler forks in the middle of an append of its own thread. The child goes on with that append, and the
//! parent with its own: the parent's log has every record of the parent once, whole, and none of the child's.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use diolog::{Engine, EngineConfig, Error, Level, Logger, Outcome, Overflow, Producer, Reader, RingMemory, Verdict};
use support::os;

/// Set by the interrupted thread around its appends.
static IN_APPEND: AtomicBool = AtomicBool::new(false);
/// Set in a child.
static IN_CHILD: AtomicBool = AtomicBool::new(false);
/// Children that were forked within an append, and between two.
static WITHIN: AtomicU64 = AtomicU64::new(0);
static BETWEEN: AtomicU64 = AtomicU64::new(0);
/// Appends of the thread so far.
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
/// Set once no child is wanted any more.
static DONE: AtomicBool = AtomicBool::new(false);
/// Children that did not end as they should.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Forks on the interrupted thread. The parent waits until its child has ended.
extern "C" fn fork_here(_: libc::c_int) {
    if DONE.load(Relaxed) {
        return;
    }
    let within = IN_APPEND.load(Relaxed);
    match os::fork_here() {
        None => IN_CHILD.store(true, Relaxed),
        Some(status) => {
            FAILED.fetch_add(u64::from(status != 0), Relaxed);
            if within { &WITHIN } else { &BETWEEN }.fetch_add(1, Relaxed);
        }
    }
}

const WORD_BYTES: usize = 8;

/// What is logged: a number again and again, so that a torn or mixed record shows.
fn message(number: u64) -> [u8; 10 * WORD_BYTES] {
    let mut message = [0; 10 * WORD_BYTES];
    message.chunks_mut(WORD_BYTES).for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
    message
}

/// The rest of a child's life: everything is refused, nothing hangs, and the child has none of the parent's rings,
/// which are those in a file of directory `rings`, or private.
fn end_child(producer: &Producer, rings: &str) -> ! {
    let refused = (0..100).all(|_| producer.log(Level::Error, b"from the child") == Outcome::Forked);
    // What the child did to a shared ring the parent does next: only the mapping tells.
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    let status = match (refused, maps.contains(rings)) {
        (true, false) => 0,
        (false, _) => 2,
        (true, true) => 4,
    };
    os::exit_at_once(status);
}

/// Logs until many children were forked within appends, with private rings or with those in the file that the parent
/// has the directory for. The thread allocates nothing meanwhile: a fork in a handler that has interrupted the
/// allocator would hang.
fn log_and_fork(overflow: Overflow, role: &str) {
    let path = support::child_directory().join("log");
    let rings = if role == PRIVATE { RingMemory::Private } else { RingMemory::Shared(role.into()) };
    let config = support::config(&path).ring_bytes(8192).overflow(overflow).ring_memory(rings);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    assert_eq!(maps.contains(role), role != PRIVATE, "the parent has them");
    // A child that panics is not to wait for threads that it does not have.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        if IN_CHILD.load(Relaxed) {
            os::exit_at_once(3);
        }
    }));
    os::handle_signal(libc::SIGUSR1, fork_here);
    let own = os::thread_id();
    let stop = AtomicBool::new(false);
    let (mut written, mut dropped, mut number) = (0, 0, 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !stop.load(Relaxed) {
                // Only if the thread has gone on since the last one.
                let attempts = ATTEMPTS.load(Relaxed);
                if attempts != seen {
                    seen = attempts;
                    os::send_signal_to_thread(own, libc::SIGUSR1);
                }
                std::thread::yield_now();
            }
        });
        while WITHIN.load(Relaxed) < 50 {
            let bytes = message(number);
            IN_APPEND.store(true, Relaxed);
            let outcome = producer.log(Level::Info, bytes);
            IN_APPEND.store(false, Relaxed);
            if IN_CHILD.load(Relaxed) {
                end_child(&producer, role);
            }
            match outcome {
                Outcome::Written => written += 1,
                Outcome::Dropped => dropped += 1,
                other => panic!("{other:?}"),
            }
            number += 1;
            ATTEMPTS.store(number, Relaxed);
        }
        DONE.store(true, Relaxed);
        if IN_CHILD.load(Relaxed) {
            end_child(&producer, role);
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(FAILED.load(Relaxed), 0, "children that did not end as they should");
    let stats = logger.close().map(|_| logger.stats()).expect("a clean end");
    assert_eq!((stats.attempted, stats.dropped, stats.refused), (number, dropped, 0));

    let verification = diolog::verify(&path).expect("a log");
    assert_eq!(verification.verdict, support::account::intact(dropped), "{verification:#?}");
    let mut reader = Reader::open(&path).expect("a log");
    let mut records = 0;
    while let Some(record) = reader.next_record().expect("readable") {
        assert_eq!(record.message(), message(record.sequence()), "each attempt took a number");
        records += 1;
    }
    assert_eq!(records, written - stats.overwritten);
    std::process::exit(0);
}

/// The role of a child with private rings; that of another one is its rings' directory. No file is mapped by this name.
const PRIVATE: &str = "private rings";

fn fork_within(test: &str, overflow: Overflow) {
    if let Some(role) = support::role() {
        log_and_fork(overflow, &role);
    }
    let tmpfs = support::rings::on_tmpfs();
    for role in [PRIVATE, tmpfs.path().to_str().expect("in ASCII")] {
        let directory = support::directory();
        support::child::expect_success(test, role, directory.path());
    }
    assert!(support::rings::in_directory(tmpfs.path()).is_empty(), "the log was closed");
}

#[test]
fn a_fork_within_an_append_that_drops_leaves_no_trace() {
    fork_within("a_fork_within_an_append_that_drops_leaves_no_trace", Overflow::DropNewest);
}

#[test]
fn a_fork_within_an_append_that_waits_leaves_no_trace() {
    fork_within("a_fork_within_an_append_that_waits_leaves_no_trace", Overflow::BlockFor(Duration::from_secs(60 * 60)));
}

#[test]
fn a_fork_within_an_append_that_overwrites_leaves_no_trace() {
    fork_within("a_fork_within_an_append_that_overwrites_leaves_no_trace", Overflow::OverwriteOldest);
}

#[test]
fn an_engine_refuses_a_forked_child_which_may_start_its_own() {
    let directory = support::directory();
    let config = |name: &str| support::config(directory.path().join(name));
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    let parents = engine.open(config("parents")).expect("a log");
    for round in 0..5 {
        let own = format!("child {round}");
        let status = os::fork(|| {
            assert_eq!(parents.log(Level::Error, "from the child"), Outcome::Forked);
            assert!(matches!(engine.open(config("refused")), Err(Error::Forked)));
            assert!(matches!(engine.close(), Err(Error::Forked)));
            let childs = Engine::start(EngineConfig::new()).expect("an engine of its own");
            let logger = childs.open(config(&own)).expect("a log of its own");
            assert_eq!(logger.log(Level::Info, "from the child"), Outcome::Written);
            childs.close().expect("a clean end");
        });
        assert_eq!(status, 0);
        assert_eq!(Reader::open(directory.path().join(own)).expect("a log").count(), 1);
        assert_eq!(parents.log(Level::Info, "from the parent"), Outcome::Written);
        parents.flush().expect("durable");
    }
    assert!(!directory.path().join("refused").exists());
    engine.close().expect("a clean end");
    assert_eq!(Reader::open(directory.path().join("parents")).expect("a log").count(), 5);
    assert_eq!(diolog::verify(directory.path().join("parents")).expect("a log").verdict, Verdict::Clean);
}
