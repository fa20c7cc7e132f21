//! Rings in a file take room of its file system, and give it back. Where there is none, the caller gets an error, or a
//! record is dropped and counted; nobody gets a signal.
#![cfg(all(feature = "unstable", target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs;
use std::path::Path;

use diolog::{Config, Error, Level, Logger, LossCause, Outcome, Producer, RingMemory, Verdict};
use support::account::{self, Attempts, Overwrites};
use support::device::Control;
use support::{os, rings};

const MESSAGE: [u8; 64] = [b's'; 64];

/// What a message takes in a ring.
const RECORD_BYTES: u64 = 24 + 64;

fn config(log: &Path, rings: &Path) -> Config {
    support::config(log).ring_memory(RingMemory::Shared(rings.to_owned()))
}

/// Makes producers until one is refused. Returns them, and the refusal.
fn all_producers(logger: &Logger) -> (Vec<Producer>, Error) {
    let mut producers = Vec::new();
    loop {
        match logger.producer() {
            Ok(producer) => producers.push(producer),
            Err(error) => return (producers, error),
        }
    }
}

#[test]
fn a_burst_goes_into_the_shared_reserve_and_its_room_is_given_back() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(config(&path, tmpfs.path())).expect("a log");
    let file = rings::the_one_in(tmpfs.path());
    let producer = logger.producer().expect("a ring");
    let calm = rings::allocated_bytes(&file);
    assert!(calm < (1 << 20) + (64 << 10), "a window, and some pages: {calm} bytes");
    for round in 1..=3 {
        control.block_submit(true);
        for _ in 0..50_000 {
            assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
        }
        let (full, used) = (rings::allocated_bytes(&file), logger.stats().ring_memory.used_bytes);
        assert!(used >= (50_000 * RECORD_BYTES) && full.abs_diff(used) < 128 << 10, "{full} bytes, {used} counted");
        control.block_submit(false);
        while rings::allocated_bytes(&file) > calm {
            std::thread::yield_now();
        }
        logger.flush().expect("durable");
        assert_eq!(logger.stats().durable_records, round * 50_000);
    }
    logger.close().expect("a clean end");
    let verification = diolog::verify(&path).expect("a log");
    assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, 150_000));
}

#[test]
fn slots_of_ended_producers_are_used_again_and_hold_no_memory_meanwhile() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let config = config(&directory.path().join("log"), tmpfs.path()).ring_bytes(256 << 10);
    let logger = Logger::open(config).expect("a log");
    let file = rings::the_one_in(tmpfs.path());
    let mut length = 0;
    for round in 0..5_u64 {
        let producers: Vec<_> = (0..40).map(|_| logger.producer().expect("a ring")).collect();
        for producer in &producers {
            assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
        }
        assert!(rings::allocated_bytes(&file) >= 40 * (256 << 10));
        let grown = fs::metadata(&file).expect("there").len();
        assert!(round == 0 || grown == length, "round {round}: from {length} to {grown} bytes");
        length = grown;
        drop(producers);
        while logger.stats().producers_ended < (round + 1) * 40 {
            logger.flush().expect("durable");
        }
        // Windows of 2 MiB are kept for the next producers, and a page for each slot.
        while rings::allocated_bytes(&file) > (2 << 20) + 40 * 4096 + (64 << 10) {
            std::thread::yield_now();
        }
    }
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().durable_records, 200);
}

#[test]
fn slots_of_a_closed_log_serve_the_next_one_of_its_engine() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let engine = diolog::EngineConfig::new().ring_memory(RingMemory::Shared(tmpfs.path().to_owned()));
    let engine = diolog::Engine::start(engine).expect("an engine");
    let open = |name: String| engine.open(support::config(directory.path().join(name))).expect("a log");
    let kept = open("kept".to_owned());
    let file = rings::the_one_in(tmpfs.path());
    let mut length = 0;
    for round in 0..4 {
        let log = open(format!("log {round}"));
        // These outlive their log.
        let producers: Vec<_> = (0..4).map(|_| log.producer().expect("a ring")).collect();
        for producer in &producers {
            assert_eq!(producer.log(Level::Info, MESSAGE), Outcome::Written);
        }
        log.close().expect("a clean end");
        drop((log, producers));
        let grown = fs::metadata(&file).expect("there").len();
        assert!(round == 0 || grown == length, "round {round}: from {length} to {grown} bytes");
        length = grown;
        // The engine's threads may have hold of the log for a moment after its end.
        while rings::allocated_bytes(&file) > 256 << 10 {
            std::thread::yield_now();
        }
    }
    assert_eq!(kept.log(Level::Info, MESSAGE), Outcome::Written);
    engine.close().expect("clean ends");
}

#[test]
fn a_full_tmpfs_refuses_producers_and_drops_bursts_and_no_accepted_record_is_lost() {
    if support::child::ran_in_child("a_full_tmpfs_refuses_producers_and_drops_bursts_and_no_accepted_record_is_lost") {
        return;
    }
    let place = support::child_directory().join("rings");
    fs::create_dir(&place).expect("a directory");
    os::set_mode(&place, 0o700);
    if let Err(error) = os::make_mounts_private().and_then(|()| os::mount_tmpfs(&place, "size=4m,mode=0700")) {
        return support::not_shown("a full tmpfs", error);
    }
    let path = support::child_directory().join("log");
    let control = Control::default();
    let config = config(&path, &place).ring_bytes(256 << 10).thread_ring_bytes(256 << 10);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("the first");
    control.block_submit(true);
    let mut attempts = Attempts::new(&producer);
    while attempts.log(&producer) == Outcome::Written {}
    for _ in 0..1000 {
        attempts.log(&producer);
    }
    let stats = logger.stats();
    assert_eq!(stats.dropped_by.count(LossCause::RingMemory), stats.dropped, "{stats:?}");
    assert!(stats.ring_memory.used_bytes > 3 << 20 && stats.ring_memory.used_bytes < 4 << 20, "{stats:?}");

    let (producers, error) = all_producers(&logger);
    assert_eq!(producers.len(), 0, "a burst has taken all");
    let file = rings::the_one_in(&place);
    let expected = format!("cannot allocate a ring in {}: ", file.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(error.to_string().ends_with(": make room, or choose another place"), "{error}");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::StorageFull));
    let refused = std::thread::scope(|scope| {
        let logging = scope.spawn(|| (0..10).filter(|_| !logger.log(Level::Info, MESSAGE).is_accepted()).count());
        logging.join().expect("no panic") as u64
    });
    assert_eq!((refused, logger.stats().refused_by.no_ring), (10, 10));

    control.block_submit(false);
    logger.flush().expect("durable");
    // The reserve gives its room back, and producers find some.
    while logger.stats().ring_memory.used_bytes > 256 << 10 {
        std::thread::yield_now();
    }
    let (producers, _) = all_producers(&logger);
    assert!((8..16).contains(&producers.len()), "{} producers", producers.len());
    drop(producers);
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
    assert_eq!(rings::in_directory(&place).len(), 0);
}

#[test]
fn a_tmpfs_without_any_room_refuses_the_log_and_leaves_nothing() {
    if support::child::ran_in_child("a_tmpfs_without_any_room_refuses_the_log_and_leaves_nothing") {
        return;
    }
    let place = support::child_directory().join("rings");
    fs::create_dir(&place).expect("a directory");
    if let Err(error) = os::make_mounts_private().and_then(|()| os::mount_tmpfs(&place, "size=64k,mode=0700")) {
        return support::not_shown("a full tmpfs", error);
    }
    let path = support::child_directory().join("log");
    let full = place.join("full");
    for pages in 0..17 {
        // The tmpfs has no more.
        let _ = fs::write(&full, vec![1; (16 - pages) * 4096]);
        match Logger::open(config(&path, &place)) {
            Err(error) => {
                assert_eq!(
                    error.io_error().map(std::io::Error::kind),
                    Some(std::io::ErrorKind::StorageFull),
                    "{error}"
                );
                assert!(error.to_string().contains(&place.display().to_string()), "{error}");
                assert!(!path.exists() && rings::in_directory(&place).is_empty(), "{pages} pages: {error}");
            }
            Ok(logger) => {
                assert!((2..5).contains(&pages), "{pages} pages were enough");
                assert!(logger.producer().is_err(), "no window fits");
                return logger.close().map(drop).expect("a clean end");
            }
        }
    }
    panic!("an empty tmpfs is enough");
}

#[test]
fn a_file_size_limit_refuses_the_log_or_its_producers_without_a_signal() {
    if support::child::ran_in_child("a_file_size_limit_refuses_the_log_or_its_producers_without_a_signal") {
        return;
    }
    let (path, tmpfs) = (support::child_directory().join("log"), rings::on_tmpfs());
    // SIGXFSZ is not ignored: it would end the process.
    os::set_limit(libc::RLIMIT_FSIZE, 1 << 20);
    let error = Logger::open(config(&path, tmpfs.path())).expect_err("a ring file is longer");
    assert!(error.to_string().ends_with("and this process may write 1 MiB (ulimit -f)"), "{error}");
    assert!(!path.exists() && rings::in_directory(tmpfs.path()).is_empty(), "{error}");

    os::set_limit(libc::RLIMIT_FSIZE, 96 << 20);
    let logger = Logger::open(config(&path, tmpfs.path())).expect("a log");
    let (producers, error) = all_producers(&logger);
    // A window of 1 MiB and a reserve of 16 MiB each, behind 64 MiB.
    assert_eq!(producers.len(), 1);
    assert!(error.to_string().contains("and this process may write 96 MiB (ulimit -f)"), "{error}");
    assert_eq!(producers[0].log(Level::Info, MESSAGE), Outcome::Written);
    logger.close().expect("a clean end");
}

#[test]
fn a_shared_reserve_is_not_populated_in_a_process_that_locks_its_memory() {
    if support::child::ran_in_child("a_shared_reserve_is_not_populated_in_a_process_that_locks_its_memory") {
        return;
    }
    if let Err(error) = os::lock_future_memory() {
        return support::not_shown("a process that locks its memory", error);
    }
    let (path, tmpfs) = (support::child_directory().join("log"), rings::on_tmpfs());
    let control = Control::default();
    let logger = control.hooks().open(config(&path, tmpfs.path())).expect("a log");
    let file = rings::the_one_in(tmpfs.path());
    let producer = logger.producer().expect("a ring");
    assert_eq!(logger.stats().ring_memory.without_reserve, None);
    let allocated = rings::allocated_bytes(&file);
    assert!(allocated < 2 << 20, "{allocated} bytes");
    control.block_submit(true);
    let mut attempts = Attempts::new(&producer);
    (0..100_000).for_each(|_| assert_eq!(attempts.log(&producer), Outcome::Written));
    control.block_submit(false);
    logger.close().expect("a clean end");
    account::check(&path, &[attempts], Overwrites::No);
}

#[test]
fn shared_reserves_take_a_small_part_of_a_limited_address_space() {
    if support::child::ran_in_child("shared_reserves_take_a_small_part_of_a_limited_address_space") {
        return;
    }
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("in proc(5)");
    let size_bytes = size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    let limit = size_bytes + (256 << 20);
    os::set_limit(libc::RLIMIT_AS, limit);
    let (path, tmpfs) = (support::child_directory().join("log"), rings::on_tmpfs());
    let control = Control::default();
    let logger = control.hooks().open(config(&path, tmpfs.path())).expect("a log opens under any limit");
    control.block_submit(true);
    let with_reserve = limit / 8 / (16 << 20);
    let mut written = 0;
    for number in 0..with_reserve + 4 {
        let producer = logger.producer().expect("a ring");
        let refusal = logger.stats().ring_memory.without_reserve;
        assert_eq!(refusal.is_some_and(|why| why.contains("address space")), number >= with_reserve, "ring {number}");
        // More than a window holds.
        let accepted = (0..20_000).filter(|_| producer.log(Level::Info, MESSAGE).is_accepted()).count();
        assert_eq!(accepted == 20_000, number < with_reserve, "ring {number}: {accepted} records");
        written += accepted as u64;
    }
    control.block_submit(false);
    logger.close().expect("a clean end");
    assert_eq!(diolog::verify(&path).expect("a log").report.records, written);
}

#[test]
fn a_forked_child_leaves_its_parents_rings_alone() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let path = directory.path().join("log");
    let logger = Logger::open(config(&path, tmpfs.path())).expect("a log");
    let file = rings::the_one_in(tmpfs.path());
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    for _ in 0..1000 {
        attempts.log(&producer);
    }
    let second = logger.producer().expect("a ring");
    assert_eq!(second.log(Level::Info, account::message(second.id(), 0)), Outcome::Written);
    let seconds = Attempts { id: second.id(), outcomes: vec![Outcome::Written] };
    let ended = os::fork(move || {
        assert_eq!(second.log(Level::Info, "in the child"), Outcome::Forked);
        // Whatever a child drops, its parent keeps.
        drop(second);
    });
    assert_eq!(ended, 0);
    assert!(file.exists());
    (0..1000).for_each(|_| assert_eq!(attempts.log(&producer), Outcome::Written));
    logger.close().expect("a clean end");
    account::check(&path, &[attempts, seconds], Overwrites::No);
    assert!(!file.exists());
}
