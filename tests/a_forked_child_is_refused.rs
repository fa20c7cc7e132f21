//! The writer runs in the process that opened the log. Appends in a forked child are refused, the child may exit or
//! execute another program, and the parent goes on as if nothing had happened.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diolog::{Error, FieldValue, Level, Log, Logger, Outcome, Overflow, Reader, RingMemory, Verdict};
use support::account::{self, Attempts, Overwrites};
use support::os::{Fate, Who, filter_system_calls, fork};

#[test]
fn every_call_in_the_child_is_refused_and_the_parent_goes_on() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    attempts.log(&producer);
    logger.log(Level::Info, "this makes the thread's ring");
    for _ in 0..5 {
        let status = fork(|| {
            for _ in 0..1000 {
                assert_eq!(producer.log(Level::Error, "from the child"), Outcome::Forked);
                assert_eq!(logger.log(Level::Error, "from the child"), Outcome::Forked);
                assert_eq!(diolog::error!(producer, "from the child", never = %panic_if_shown()), Outcome::Forked);
                assert_eq!(diolog::error!(logger, "from the child", never = %panic_if_shown()), Outcome::Forked);
            }
            assert!(!producer.is_enabled(Level::Error));
            assert!(matches!(logger.flush(), Err(Error::Forked)));
            assert!(matches!(logger.producer(), Err(Error::Forked)));
            assert!(matches!(logger.close(), Err(Error::Forked)));
            logger.set_level(Level::Trace);
            assert_eq!(producer.log(Level::Error, "from the child"), Outcome::Forked);
        });
        assert_eq!(status, 0);
        for _ in 0..100 {
            assert_eq!(attempts.log(&producer), Outcome::Written);
        }
        logger.flush().expect("durable");
    }
    assert_eq!(logger.stats().refused, 0, "the child counts its refusals for itself");
    logger.close().expect("a clean end");
    let mut reader = Reader::open(&path).expect("a log");
    let mut records = 0;
    while let Some(record) = reader.next_record().expect("readable") {
        assert_ne!(record.message(), b"from the child");
        records += 1;
    }
    assert_eq!(records, attempts.outcomes.len() + 1);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn the_child_leaves_the_flight_recorder_alone() {
    let tmpfs = support::rings::on_tmpfs();
    for rings in [RingMemory::Private, RingMemory::Shared(tmpfs.path().join("rings"))] {
        leaves_the_flight_recorder_alone(rings);
    }
}

/// Forks amid records of a flight recorder with its rings there.
fn leaves_the_flight_recorder_alone(rings: RingMemory) {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).ring_memory(rings).flight_recorder(4096);
    let logger = Logger::open(config).expect("a log");
    let mut producer = Some(logger.producer().expect("a ring"));
    let message = |number: u32| format!("record {number}");
    for number in 0..3 {
        let own = producer.as_ref().expect("a producer");
        assert_eq!(own.log(Level::Debug, message(2 * number)), Outcome::Recorded);
        assert_eq!(logger.log(Level::Debug, message(2 * number + 1)), Outcome::Recorded);
        let status = fork(|| {
            assert_eq!(own.log(Level::Debug, "from the child"), Outcome::Forked);
            assert_eq!(diolog::debug!(logger, "from the child", never = %panic_if_shown()), Outcome::Forked);
            assert!(matches!(logger.snapshot("from the child"), Err(Error::Forked)));
        });
        assert_eq!(status, 0);
        // Dropped in the child too, which has a copy.
        let status = fork(|| drop(producer.take()));
        assert_eq!(status, 0);
    }
    let snapshot = logger.snapshot("after the children").expect("written");
    let records = Reader::open(&snapshot).expect("readable");
    let messages: Vec<_> = records.map(|record| record.expect("a record").message().to_vec()).collect();
    assert_eq!(messages, (0..6).map(|number| message(number).into_bytes()).collect::<Vec<_>>());
    assert_eq!(diolog::verify(&snapshot).expect("readable").verdict, Verdict::Clean);
    logger.close().expect("a clean end");
}

fn panic_if_shown() -> &'static str {
    panic!("nothing is evaluated in the child")
}

/// A place of its own for each list of types: those of the two values.
fn place<A: FieldValue, B: FieldValue>(log: &impl Log, a: A, b: B) -> Outcome {
    diolog::info!(log, "{a} {b}", a, b)
}

/// Logs in 36 places.
fn log_everywhere(log: &impl Log) -> Vec<Outcome> {
    fn with<A: FieldValue + Copy>(log: &impl Log, a: A) -> [Outcome; 6] {
        [
            place(log, a, 1),
            place(log, a, 2_u8),
            place(log, a, "3"),
            place(log, a, 4.0),
            place(log, a, Some(5)),
            place(log, a, '6'),
        ]
    }
    [with(log, 1), with(log, 2_u8), with(log, "3"), with(log, 4.0), with(log, Some(5)), with(log, '6')].concat()
}

#[test]
fn a_child_that_is_forked_amid_first_records_logs_to_a_log_of_its_own() {
    // In a process of its own for each round, in which no place is known.
    for round in 0..20 {
        let status = fork(|| {
            let (parents, _) = Logger::in_memory();
            let begun = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        begun.store(true, Ordering::Release);
                        assert!(log_everywhere(&parents).iter().all(|outcome| *outcome == Outcome::Written));
                    });
                }
                while !begun.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                // The children are forked at ever later times.
                for child in 0..10 {
                    (0..round * 1000).for_each(|_| std::hint::spin_loop());
                    let status = fork(|| {
                        assert_eq!(place(&parents, 1, 1), Outcome::Forked);
                        let (own, memory) = Logger::in_memory();
                        assert_eq!(
                            diolog::info!(own, "a place that the parent does not know", child),
                            Outcome::Written
                        );
                        assert!(log_everywhere(&own).iter().all(|outcome| *outcome == Outcome::Written));
                        assert_eq!(memory.records().len(), 37);
                        assert!(memory.records().iter().all(|record| record.callsite().is_some()));
                    });
                    assert_eq!(status, 0);
                }
            });
        });
        assert_eq!(status, 0, "round {round}");
    }
}

#[test]
fn dropping_everything_in_the_child_leaves_the_parents_log_alone() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let mut logger = Some(Logger::open(support::config(&path)).expect("a log"));
    let mut producer = logger.as_ref().map(|logger| logger.producer().expect("a ring"));
    let mut attempts = Attempts::new(producer.as_ref().expect("just made"));
    attempts.log(producer.as_ref().expect("just made"));
    let status = fork(|| {
        drop(producer.take());
        // The last handle: in the parent this would close the log.
        drop(logger.take());
    });
    assert_eq!(status, 0);
    assert_eq!(attempts.log(producer.as_ref().expect("only the child's copy was taken")), Outcome::Written);
    logger.expect("only the child's copy was taken").close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn a_child_that_exits_in_the_ordinary_way_ends_without_a_hang() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for _ in 0..5 {
        attempts.log(&producer);
        // Runs the destructors of thread locals and the handlers of atexit.
        let status = fork(|| std::process::exit(7));
        assert_eq!(status, 7);
    }
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}

/// Opens logs in `directory` with private rings and with shared ones in `tmpfs`, in turn.
fn open_in_turn(directory: &Path, name: &str, tmpfs: &Path, turn: &mut bool) -> Logger {
    *turn = !*turn;
    let rings = if *turn { RingMemory::Private } else { RingMemory::Shared(tmpfs.into()) };
    // A child that waited for its parent's logs would wait for a day, as it would at a close if the disk were slow.
    let config = support::config(directory.join(name)).close_deadline(Duration::from_secs(24 * 60 * 60));
    Logger::open(config.first_segment_bytes(1 << 20).ring_memory(rings)).expect("a log")
}

#[test]
fn a_child_forked_while_logs_are_opened_and_closed_exits_without_a_hang() {
    let (directory, tmpfs) = (support::directory(), support::rings::on_tmpfs());
    let open = |name: &str, turn: &mut bool| open_in_turn(directory.path(), name, tmpfs.path(), turn);
    let logger = open("log", &mut true);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = false;
            while !stop.load(Ordering::Relaxed) {
                open("another", &mut turn).close().expect("a clean end");
            }
        });
        for _ in 0..50 {
            assert_eq!(logger.log(Level::Info, "from the parent"), Outcome::Written);
            assert_eq!(fork(|| std::process::exit(7)), 7);
        }
        stop.store(true, Ordering::Relaxed);
    });
    logger.close().expect("a clean end");
    assert_eq!(Reader::open(directory.path().join("log")).expect("a log").count(), 50);
}

#[test]
fn a_forked_child_drains_the_log_that_it_has_opened_itself() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let parents = Logger::open(support::config(directory.path().join("parents"))).expect("a log");
    let status = fork(|| {
        let logger = Logger::open(support::config(&path)).expect("a log");
        assert_eq!(logger.log(Level::Info, "from the child"), Outcome::Written);
        std::mem::forget(logger);
        std::process::exit(7);
    });
    assert_eq!(status, 7);
    parents.close().expect("a clean end");
    assert_eq!(Reader::open(&path).expect("a log").count(), 1);
    assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
}

#[test]
fn a_child_forked_while_logs_are_opened_and_closed_can_open_one_itself() {
    const CHILDREN: usize = 50;
    // In a process of its own, so that the first open of the process is among them.
    if support::child::ran_in_child("a_child_forked_while_logs_are_opened_and_closed_can_open_one_itself") {
        return;
    }
    let path = |name: &str| support::child_directory().join(name);
    let tmpfs = support::rings::on_tmpfs();
    let open = |name: &str, turn: &mut bool| open_in_turn(&support::child_directory(), name, tmpfs.path(), turn);
    // A log that is locked, and then cannot be opened: there are no numbers for its next segments.
    let full = path("full");
    std::fs::create_dir(&full).expect("writable");
    std::fs::write(full.join(format!("{}.dlog", u64::MAX)), "").expect("writable");
    let names: [String; CHILDREN] = std::array::from_fn(|number| format!("child {number}"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = false;
            while !stop.load(Ordering::Relaxed) {
                open("parents", &mut turn).close().expect("a clean end");
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                Logger::open(support::config(&full)).expect_err("no numbers");
            }
        });
        let in_child = |name: &String, mut turn: bool| {
            let logger = open(name, &mut turn);
            assert_eq!(logger.log(Level::Info, "from the child"), Outcome::Written);
            logger.close().expect("a clean end");
        };
        let children = names.iter().zip([false, true].into_iter().cycle());
        let statuses: Vec<i32> = children.map(|(name, turn)| fork(|| in_child(name, turn))).collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(statuses, [0; CHILDREN]);
    });
    for name in names {
        assert_eq!(Reader::open(path(&name)).expect("a log").count(), 1);
    }
}

#[test]
fn another_program_inherits_no_descriptor() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    logger.log(Level::Info, "one");
    logger.flush().expect("durable");
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("ls");
    let listing = String::from_utf8_lossy(&output.stdout);
    assert!(listing.contains("/proc/"), "{listing}");
    assert!(!listing.contains(path.to_str().expect("of ASCII")), "{listing}");
    // The end of the child has not released the parent's lock.
    assert!(matches!(Logger::open(support::config(&path)), Err(Error::InUse { .. })));
    logger.close().expect("a clean end");
}

#[test]
fn forks_during_the_appends_of_other_threads_disturb_none_of_them() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).ring_bytes(8192).overflow(Overflow::Block)).expect("a log");
    let own = logger.producer().expect("a ring");
    let stop = AtomicBool::new(false);
    let mut all: Vec<Attempts> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let producer = logger.producer().expect("a ring");
                    let mut attempts = Attempts::new(&producer);
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(attempts.log(&producer), Outcome::Written);
                    }
                    attempts
                })
            })
            .collect();
        for _ in 0..20 {
            let status = fork(|| assert_eq!(own.log(Level::Info, "from the child"), Outcome::Forked));
            assert_eq!(status, 0);
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    all.push(Attempts::new(&own));
    logger.close().expect("a clean end");
    account::check(&path, &all, Overwrites::No);
}

#[test]
fn a_kernel_that_cannot_wipe_pages_does_not_make_a_childs_appends_vanish() {
    if support::child::ran_in_child("a_kernel_that_cannot_wipe_pages_does_not_make_a_childs_appends_vanish") {
        return;
    }
    filter_system_calls(Who::AllThreads, &[libc::SYS_madvise], Fate::Fails(libc::EINVAL), Fate::Allowed);
    let path = support::child_directory().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for _ in 0..3 {
        attempts.log(&producer);
        let status = fork(|| {
            assert_eq!(producer.log(Level::Error, "from the child"), Outcome::Forked);
            assert!(matches!(logger.flush(), Err(Error::Forked)));
            assert!(matches!(logger.close(), Err(Error::Forked)));
        });
        assert_eq!(status, 0);
    }
    assert_eq!(attempts.log(&producer), Outcome::Written);
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}
