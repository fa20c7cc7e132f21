//! A process with shared rings that ends at any moment, by a signal or by itself: the next open of its log has each
//! accepted record once, in order, and the log verifies.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use diolog::{
    Config, Engine, EngineConfig, EventLogs, Level, Logger, Outcome, Overflow, Producer, Reader, Recovery,
    RecoveryOutcome, RingMemory, verify,
};

const PRODUCERS: u64 = 3;

/// A directory for rings on tmpfs, removed when dropped.
struct Rings(PathBuf);

impl Rings {
    /// Those of a child with this directory, which [`child_config`] finds there.
    fn of_child(directory: &Path) -> Rings {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let rings = format!("/dev/shm/diolog-test-{}-{number}", std::process::id());
        std::fs::write(directory.join("rings"), &rings).expect("written");
        Rings(rings.into())
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(&self.0).expect("made").map(|entry| entry.expect("an entry").path()).collect()
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(path: &Path, rings: &Path) -> Config {
    support::config(path)
        .ring_memory(RingMemory::Shared(rings.to_owned()))
        .overflow(Overflow::Block)
        .ring_bytes(16 << 10)
        .block_bytes(16 << 10)
        .first_segment_bytes(64 << 10)
        .segment_bytes(256 << 10)
}

/// The child's settings, with the rings that its parent has chosen.
fn child_config(directory: &Path) -> Config {
    let rings = std::fs::read_to_string(directory.join("rings")).expect("written by the parent");
    config(&directory.join("log"), Path::new(&rings))
}

/// A panic in it aborts the process.
extern "C" fn panic_and_abort() {
    panic!("on purpose");
}

/// Tells the parent that now is the moment, and ends the process, unless the parent does.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn die(way: &str) {
    println!("\nlogging");
    match way {
        "abort" => std::process::abort(),
        "panic" => panic_and_abort(),
        "exec" => drop(Command::new("false").exec()),
        "_exit" => support::os::exit_at_once(7),
        "quick_exit" => support::os::quick_exit(7),
        "term" => kill_process(getpid(), Signal::TERM).expect("sent"),
        // The standard library's own handler lets the first one pass.
        "segv" => loop {
            let _ = kill_process(getpid(), Signal::SEGV);
        },
        _ => {}
    }
}

/// The child that does not log: dies in this way.
fn die_without_a_log(way: &str) -> ! {
    // On a thread that is not the main one, as the other child.
    std::thread::scope(|scope| _ = scope.spawn(|| die(way)));
    loop {
        std::thread::park();
    }
}

/// The child: logs from several threads, and notes in a file how much of it was accepted, until it dies.
fn log_until_dead(way: &str) {
    let directory = support::child_directory();
    let logger = Logger::open(child_config(&directory)).expect("a log");
    let accepted = File::options().write(true).open(directory.join("accepted")).expect("made by the parent");
    // Each of them has logged before one ends the process.
    let (accepted, all_log) = (&accepted, &Barrier::new(PRODUCERS as usize));
    std::thread::scope(|scope| {
        for at in 0..PRODUCERS {
            let logger = logger.clone();
            scope.spawn(move || {
                let producer = logger.producer_named(&format!("producer {at}")).expect("a producer");
                for number in 0_u64.. {
                    let outcome = if number % 3 == 0 {
                        diolog::info!(producer, "{at} has logged {number} records", at, number)
                    } else {
                        producer.log(Level::Info, format!("{at} has logged {number} records"))
                    };
                    assert_eq!(outcome, Outcome::Written);
                    accepted.write_at(&(number + 1).to_le_bytes(), 8 * at).expect("written");
                    if number == 0 {
                        all_log.wait();
                    }
                    if number == 3000 && at == 0 {
                        die(way);
                    }
                }
            });
        }
    });
}

/// Runs the child with this role, which dies in this way. Returns how it ended, the core dump included.
fn end_of_child(role: &str, way: &str, directory: &Path) -> ExitStatus {
    let test = "what_was_accepted_is_there_once_whatever_ends_the_process";
    let mut command: Command = support::child_command(test, role, directory);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line == "logging")), "{role}");
    if way == "kill" {
        child.kill().expect("alive");
    }
    child.wait().expect("ended")
}

#[test]
fn what_was_accepted_is_there_once_whatever_ends_the_process() {
    if let Some(way) = support::role() {
        return match way.strip_prefix("without a log: ") {
            Some(way) => die_without_a_log(way),
            None => log_until_dead(&way),
        };
    }
    for way in ["kill", "term", "segv", "abort", "panic", "exec", "_exit", "quick_exit"] {
        let directory = support::directory();
        let rings = Rings::of_child(directory.path());
        let path = directory.path().join("log");
        std::fs::write(directory.path().join("accepted"), [0; 8 * PRODUCERS as usize]).expect("written");
        let ended = end_of_child(way, way, directory.path());
        let expected = end_of_child(&format!("without a log: {way}"), way, directory.path());
        // Whether there is room for a core dump may differ.
        let how = |status: ExitStatus| (status.code(), status.signal());
        assert!(how(ended) == how(expected) && !ended.success(), "{way}: {ended}, and {expected} without a log");
        let bytes = std::fs::read(directory.path().join("accepted")).expect("there");
        let accepted: Vec<_> = bytes.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number)).collect();

        let logger = Logger::open(config(&path, &rings.0)).expect("a log");
        let [recovery] = logger.recovery() else { panic!("{:?}", logger.recovery()) };
        assert_eq!((recovery.outcome, recovery.producers), (RecoveryOutcome::Complete, PRODUCERS), "{way}: {recovery}");
        logger.close().expect("closed");
        assert_eq!(rings.files(), Vec::<PathBuf>::new(), "{way}");

        let mut logged: BTreeMap<String, u64> = BTreeMap::new();
        let mut reader = Reader::open(&path).expect("a log");
        let mut text = Vec::new();
        while let Some(record) = reader.next_record().expect("readable") {
            text.clear();
            record.write_message(&mut text);
            let name = record.producer_name().to_owned();
            let number = logged.entry(name.clone()).or_default();
            let expected = format!("{} has logged {number} records", &name["producer ".len()..]);
            assert_eq!(String::from_utf8_lossy(&text), expected, "{way}: {name}");
            assert_eq!(record.sequence(), *number, "{way}: {name}");
            *number += 1;
        }
        for (at, accepted) in accepted.iter().enumerate() {
            let logged = logged[&format!("producer {at}")];
            // A record may have been accepted that the child could not note any more.
            assert!(logged >= *accepted && logged <= accepted + 1, "{way}: {logged} of {accepted}");
        }
        let verification = verify(&path).expect("a log");
        assert_eq!(verification.verdict.exit_code(), 0, "{way}: {:#?}", verification.report);
    }
}

/// The child: leaves records of two levels in its rings, and dies.
fn record_and_die() {
    let directory = support::child_directory();
    let logger = Logger::open(child_config(&directory).flight_recorder(64 << 10)).expect("a log");
    let producer = logger.producer_named("orders").expect("a producer");
    for number in 0..100 {
        producer.log(Level::Debug, format!("detail {number}"));
        producer.log(Level::Info, format!("order {number}"));
    }
    std::process::abort();
}

#[test]
fn what_the_flight_recorder_had_kept_becomes_a_snapshot() {
    if support::role().is_some() {
        return record_and_die();
    }
    let directory = support::directory();
    let rings = Rings::of_child(directory.path());
    let path = directory.path().join("log");
    let test = "what_the_flight_recorder_had_kept_becomes_a_snapshot";
    assert!(!support::run_child(test, "record", directory.path()).status.success());
    let recoveries = diolog::recover(&path, None).expect("a log");
    let [recovery] = &recoveries[..] else { panic!("{recoveries:?}") };
    assert_eq!(recovery.outcome, RecoveryOutcome::Complete, "{recovery}");
    let snapshot = recovery.snapshot.as_ref().expect("a snapshot");
    assert!(snapshot.starts_with(path.join("snapshots")) && recovery.to_string().contains("-crash-"), "{recovery}");
    for (file, name) in [(snapshot, "detail"), (&path, "order")] {
        let mut reader = Reader::open(file).expect("a log");
        for number in 0..100 {
            let record = reader.next_record().expect("readable").expect("a record");
            assert_eq!(record.message(), format!("{name} {number}").as_bytes());
        }
        assert!(reader.next_record().expect("readable").is_none());
        assert_eq!(verify(file).expect("a log").verdict.exit_code(), 0, "{name}");
    }
    assert_eq!(rings.files(), Vec::<PathBuf>::new());
}

/// The child: its log's directory is replaced, and it dies with records in its rings.
fn replace_the_directory_and_die() {
    let directory = support::child_directory();
    let path = directory.join("log");
    let logger = Logger::open(child_config(&directory).flush_interval(Duration::from_secs(3600))).expect("a log");
    let producer = logger.producer_named("orders").expect("a producer");
    producer.log(Level::Info, "in the directory that is removed");
    logger.flush().expect("durable");
    // The next segment may be made while the others are being removed.
    while let Err(error) = std::fs::remove_dir_all(&path) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
    }
    std::fs::create_dir(&path).expect("another one");
    // The first says that what was durable is gone.
    while logger.flush().is_err() {
        producer.log(Level::Info, "meanwhile");
    }
    for number in 0..100 {
        assert_eq!(producer.log(Level::Info, format!("last {number}")), Outcome::Written);
    }
    std::process::abort();
}

#[test]
fn a_log_whose_directory_was_replaced_is_recovered_in_the_other_one() {
    if support::role().is_some() {
        return replace_the_directory_and_die();
    }
    let directory = support::directory();
    let rings = Rings::of_child(directory.path());
    let path = directory.path().join("log");
    let test = "a_log_whose_directory_was_replaced_is_recovered_in_the_other_one";
    let output = support::run_child(test, "replace", directory.path());
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    let logger = Logger::open(config(&path, &rings.0)).expect("a log");
    let [recovery] = logger.recovery() else { panic!("{:?}", logger.recovery()) };
    assert_eq!(recovery.outcome, RecoveryOutcome::Complete, "{recovery}");
    logger.close().expect("closed");
    let records = Reader::open(&path).expect("a log").map(|record| record.expect("readable").message().to_vec());
    let last: Vec<_> = records.filter(|message| message.starts_with(b"last ")).collect();
    let expected: Vec<_> = (0..100).map(|number| format!("last {number}").into_bytes()).collect();
    assert_eq!(last, expected);
    assert_eq!(rings.files(), Vec::<PathBuf>::new());
}

/// The child: leaves records in its rings, and a child of its own, and dies.
fn fork_and_die(fork: fn() -> u32) {
    let directory = support::child_directory();
    let logger = Logger::open(child_config(&directory).flush_interval(Duration::from_secs(3600))).expect("a log");
    let producer = logger.producer_named("orders").expect("a producer");
    for number in 0..200 {
        assert_eq!(producer.log(Level::Info, format!("order {number}")), Outcome::Written);
        if number == 99 {
            logger.flush().expect("durable");
        }
    }
    std::fs::write(directory.join("forked"), fork().to_string()).expect("written");
    std::process::abort();
}

/// Runs `test` again as the child that forks and dies in `directory`. Returns the process id of the child's child, and
/// what became of the run when its log was opened again.
fn open_after_fork(test: &str, directory: &Path, rings: &Rings) -> (u32, Logger, Recovery) {
    // Without pipes, which the child's child would keep open.
    let mut command = support::child_command(test, "fork", directory);
    let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a child");
    assert_eq!(ended.signal(), Some(libc::SIGABRT));
    let forked = std::fs::read_to_string(directory.join("forked")).expect("written").parse().expect("a number");
    let logger = Logger::open(config(&directory.join("log"), &rings.0)).expect("a log");
    let [recovery] = logger.recovery() else { panic!("{:?}", logger.recovery()) };
    let recovery = recovery.clone();
    (forked, logger, recovery)
}

#[test]
fn a_forked_child_that_outlives_its_parent_does_not_delay_the_recovery() {
    if support::role().is_some() {
        return fork_and_die(support::os::fork_by_the_library_and_wait);
    }
    let directory = support::directory();
    let rings = Rings::of_child(directory.path());
    let path = directory.path().join("log");
    let test = "a_forked_child_that_outlives_its_parent_does_not_delay_the_recovery";
    let (forked, logger, recovery) = open_after_fork(test, directory.path(), &rings);
    assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Complete, 100), "{recovery}");
    logger.close().expect("closed");
    support::os::send_signal(forked, libc::SIGKILL);
    assert_eq!(messages(&path), (0..200).map(|number| format!("order {number}")).collect::<Vec<_>>());
}

#[test]
fn what_a_process_left_is_recovered_when_no_child_of_it_has_its_segment_open_any_more() {
    if support::role().is_some() {
        // Such a child keeps its parent's files open.
        return fork_and_die(support::os::fork_and_wait);
    }
    let directory = support::directory();
    let rings = Rings::of_child(directory.path());
    let path = directory.path().join("log");
    let test = "what_a_process_left_is_recovered_when_no_child_of_it_has_its_segment_open_any_more";
    // The open files are those of a write that is under way: nothing is touched, and the log opens.
    let (forked, logger, recovery) = open_after_fork(test, directory.path(), &rings);
    assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{recovery}");
    assert!(recovery.to_string().contains("00000001.dlog is still open"), "{recovery}");
    assert_eq!(logger.log(Level::Info, "beside the child"), Outcome::Written);
    logger.close().expect("closed");
    assert_eq!(rings.files().len(), 1, "those of the dead process");

    support::os::send_signal(forked, libc::SIGKILL);
    let recoveries = diolog::recover(&path, None).expect("a log");
    let [recovery] = &recoveries[..] else { panic!("{recoveries:?}") };
    assert_eq!((recovery.outcome, recovery.records), (RecoveryOutcome::Complete, 100), "{recovery}");
    let orders = (0..200).map(|number| format!("order {number}"));
    assert_eq!(messages(&path), orders.chain(["beside the child".to_owned()]).collect::<Vec<_>>());
    assert_eq!(rings.files(), Vec::<PathBuf>::new());
}

/// The bytes of a ring file from its first ring on.
fn bytes_of_rings(rings: &Rings) -> Vec<u8> {
    const SLOTS_OFFSET: u64 = 64 << 20;
    let file = File::open(&rings.files()[0]).expect("there");
    let mut bytes = vec![0; (file.metadata().expect("a file").len() - SLOTS_OFFSET) as usize];
    file.read_exact_at(&mut bytes, SLOTS_OFFSET).expect("readable");
    bytes
}

/// The messages in a log or a snapshot, which verifies.
fn messages(path: &Path) -> Vec<String> {
    assert_eq!(verify(path).expect("readable").verdict.exit_code(), 0);
    let records = Reader::open(path).expect("readable");
    records.map(|record| String::from_utf8_lossy(record.expect("a record").message()).into_owned()).collect()
}

fn details(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("detail {number} {}", "x".repeat(400))).collect()
}

/// A child's log with a flight recorder, and a producer of it.
fn recording() -> (Logger, Producer) {
    let directory = support::child_directory();
    let config = child_config(&directory).reserve_bytes(0).flight_recorder(1 << 20);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer_named("orders").expect("a producer");
    (logger, producer)
}

fn record(producer: &Producer, details: &[String]) {
    details.iter().for_each(|detail| assert_eq!(producer.log(Level::Debug, detail), Outcome::Recorded));
}

#[test]
fn what_was_copied_for_a_snapshot_is_there_if_the_process_dies_before_it_has_its_name() {
    if support::role().is_some() {
        let (logger, producer) = recording();
        record(&producer, &details(0..1000));
        // The kernel ends the process when it is about to give the snapshot its name.
        use support::os::{Fate, Who, filter_system_calls};
        let renames = [libc::SYS_renameat, libc::SYS_renameat2];
        filter_system_calls(Who::AllThreads, &renames, Fate::Fatal, Fate::Allowed);
        logger.snapshot("cut short").expect_err("a death");
        return;
    }
    let directory = support::directory();
    let _rings = Rings::of_child(directory.path());
    let path = directory.path().join("log");
    let test = "what_was_copied_for_a_snapshot_is_there_if_the_process_dies_before_it_has_its_name";
    let output = support::run_child(test, "record", directory.path());
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    let recoveries = diolog::recover(&path, None).expect("a log");
    let [recovery] = &recoveries[..] else { panic!("{recoveries:?}") };
    assert_eq!(messages(recovery.snapshot.as_ref().expect("a snapshot")), details(0..1000));
    assert_eq!(diolog::snapshots(&path).expect("a log").len(), 1);
}

#[test]
#[allow(clippy::print_stdout, reason = "messages to the parent")]
fn what_a_snapshot_has_is_not_written_again_if_the_process_dies_before_it_is_freed() {
    if support::role().is_some() {
        let (logger, producer) = recording();
        let wait = || std::io::stdin().lines().next().expect("a line").expect("readable");
        record(&producer, &details(0..100));
        println!("\nrecorded");
        wait();
        logger.snapshot("whole").expect("written");
        println!("named");
        wait();
        record(&producer, &details(100..150));
        std::process::abort();
    }
    for more in [false, true] {
        let directory = support::directory();
        let rings = Rings::of_child(directory.path());
        let path = directory.path().join("log");
        let test = "what_a_snapshot_has_is_not_written_again_if_the_process_dies_before_it_is_freed";
        let mut command: Command = support::child_command(test, "record", directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut input = child.stdin.take().expect("piped");
        let mut wait_for = |said: &str| assert!(lines.any(|line| line.is_ok_and(|line| line == said)), "{said}");
        wait_for("recorded");
        let before = bytes_of_rings(&rings);
        writeln!(input).expect("open");
        wait_for("named");
        let after = bytes_of_rings(&rings);
        if more {
            writeln!(input).expect("open");
        } else {
            child.kill().expect("alive");
        }
        assert!(!child.wait().expect("ended").success());
        // What has changed in the rings when the records were freed, and nothing else, is as before.
        let file = File::options().write(true).open(&rings.files()[0]).expect("there");
        let changed: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert!(!changed.is_empty());
        for at in changed {
            file.write_all_at(&before[at..=at], (64 << 20) + at as u64).expect("written");
        }
        let recoveries = diolog::recover(&path, None).expect("a log");
        assert_eq!(recoveries.len(), 1, "{recoveries:?}");
        let listed = diolog::snapshots(&path).expect("a log");
        let snapshots: Vec<_> = listed.iter().map(|snapshot| messages(&snapshot.path)).collect();
        let expected = if more { vec![details(0..100), details(100..150)] } else { vec![details(0..100)] };
        assert!(snapshots == expected, "{listed:#?}");
        assert_eq!(recoveries[0].snapshot.is_some(), more);
    }
}

#[test]
fn events_of_a_dead_process_are_recovered_when_the_event_logs_are_made_again() {
    const TEST: &str = "events_of_a_dead_process_are_recovered_when_the_event_logs_are_made_again";
    let events = |base: &Path, rings: &Path| {
        let engine = Engine::start(EngineConfig::new().ring_memory(RingMemory::Shared(rings.to_owned())));
        let config = support::config("").flush_interval(Duration::from_secs(3600));
        EventLogs::new(&engine.expect("a thread"), base, config).expect("valid settings")
    };
    if support::role().is_some() {
        let rings = std::fs::read_to_string(support::child_directory().join("rings")).expect("written by the parent");
        let events = events(&support::child_directory().join("events"), Path::new(&rings));
        for event in ["orders", "../risk", "audit"] {
            for number in 0..10 {
                assert_eq!(events.log(event, Level::Info, format!("{event} {number}")), Outcome::Written);
            }
        }
        std::process::abort();
    }
    let directory = support::directory();
    let rings = Rings::of_child(directory.path());
    let output = support::run_child(TEST, "die", directory.path());
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    let base = directory.path().join("events");
    let again = events(&base, &rings.0);
    let logs: Vec<_> =
        again.recovery().iter().map(|(path, runs)| (path.clone(), runs.as_ref().expect("done").len())).collect();
    assert_eq!(logs, ["_._risk", "audit", "orders"].map(|name| (base.join(name), 1)));
    for (name, event) in [("_._risk", "../risk"), ("audit", "audit"), ("orders", "orders")] {
        assert_eq!(messages(&base.join(name)), (0..10).map(|number| format!("{event} {number}")).collect::<Vec<_>>());
    }
    assert_eq!(rings.files(), Vec::<PathBuf>::new());
    assert_eq!(events(&base, &rings.0).recovery().len(), 0);
    again.close().expect("a clean end");
}
