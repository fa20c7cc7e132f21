//! Rings in a file: a log with them is written and read as any other one, the file is there as long as the log is open,
//! and if the process is killed it holds what was accepted.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

#[cfg(feature = "unstable")]
use diolog::RecoveryOutcome;
use diolog::{Config, Engine, EngineConfig, Error, Level, Logger, Outcome, Overflow, Reader, RingMemory, Verdict};
use support::account::{self, Attempts, Overwrites};
use support::rings;

fn shared(directory: &Path) -> RingMemory {
    RingMemory::Shared(directory.to_owned())
}

fn config(log: &Path, rings: &Path) -> Config {
    support::config(log).ring_memory(shared(rings))
}

#[test]
fn a_log_with_shared_rings_is_written_and_read_as_with_private_ones() {
    let policies = [
        Overflow::DropNewest,
        Overflow::Block,
        Overflow::BlockFor(Duration::from_millis(1)),
        Overflow::OverwriteOldest,
    ];
    for overflow in policies {
        let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
        let path = directory.path().join("log");
        let logger = Logger::open(config(&path, tmpfs.path()).overflow(overflow).ring_bytes(64 << 10)).expect("a log");
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let producer = logger.producer().expect("a ring");
                std::thread::spawn(move || {
                    let mut attempts = Attempts::new(&producer);
                    for _ in 0..20_000 {
                        attempts.log(&producer);
                    }
                    attempts
                })
            })
            .collect();
        let attempts: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        logger.close().expect("a clean end");
        let overwrites = if overflow == Overflow::OverwriteOldest { Overwrites::Yes } else { Overwrites::No };
        account::check(&path, &attempts, overwrites);
        assert_eq!((rings::in_directory(tmpfs.path()), rings::in_directory(&path)), (vec![], vec![]));
    }
}

#[test]
fn the_ring_file_is_named_in_the_stats_and_is_there_for_its_user_alone_while_the_log_is_open() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let (path, place) = (directory.path().join("log"), tmpfs.path().join("rings"));
    let logger = Logger::open(config(&path, &place)).expect("a log");
    let file = rings::the_one_in(&place);
    let link = fs::read_to_string(rings::the_one_in(&path)).expect("readable");
    assert!(link.contains(&file.display().to_string()), "{link}");
    assert_eq!(logger.stats().ring_memory.place, format!("{} (tmpfs)", file.display()));
    assert_eq!(logger.stats().ring_memory.definitions_lost, 0);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode(&place), mode(&file)), (0o700, 0o600));
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().ring_memory.place, format!("{} (tmpfs)", file.display()));
    assert_eq!(rings::in_directory(&place), Vec::<std::path::PathBuf>::new());

    let logger = Logger::open(config(&path, &place)).expect("a log");
    fs::remove_file(rings::the_one_in(&place)).expect("there");
    let deleted = logger.stats().ring_memory.place;
    assert!(deleted.ends_with(" (tmpfs), deleted by somebody: what is accepted ends with the process"), "{deleted}");
    assert_eq!(logger.log(Level::Info, "still accepted"), Outcome::Written);
    logger.close().expect("a clean end");

    let private = Logger::open(support::config(&path)).expect("a log");
    assert_eq!(private.stats().ring_memory.place, "private memory");
    assert_eq!(rings::in_directory(&place), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_producer_that_outlives_its_log_is_refused_and_its_ring_file_is_gone() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let logger = Logger::open(config(&directory.path().join("log"), tmpfs.path())).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Info, "in time"), Outcome::Written);
    logger.close().expect("a clean end");
    assert_eq!(rings::in_directory(tmpfs.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(producer.log(Level::Info, "late"), Outcome::Closed);
    drop(logger);
    assert_eq!(producer.log(Level::Info, "later"), Outcome::Closed);
}

#[test]
fn all_logs_of_an_engine_have_one_ring_file() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let engine = Engine::start(EngineConfig::new().ring_memory(shared(tmpfs.path()))).expect("an engine");
    let path = |name: &str| directory.path().join(name);
    let open = |name: &str| engine.open(support::config(path(name))).expect("a log");
    let logs = [open("a"), open("b")];
    let file = rings::the_one_in(tmpfs.path());
    for (index, log) in logs.iter().enumerate() {
        for _ in 0..1000 {
            assert_eq!(log.log(Level::Info, format!("log {index}")), Outcome::Written);
        }
    }
    logs[0].close().expect("a clean end");
    assert_eq!(rings::the_one_in(tmpfs.path()), file, "the other log is open");
    // The same place in the file's table of logs is used again.
    let again = engine.open(support::config(path("a")).ring_memory(shared(tmpfs.path()))).expect("a log");
    assert_eq!(again.log(Level::Info, "log 0"), Outcome::Written);
    engine.close().expect("clean ends");
    assert_eq!(rings::in_directory(tmpfs.path()), Vec::<std::path::PathBuf>::new());
    for (name, records) in [("a", 1001), ("b", 1000)] {
        assert_eq!(Reader::open(path(name)).expect("a log").count(), records);
        assert_eq!(diolog::verify(path(name)).expect("a log").verdict, Verdict::Clean);
        assert_eq!(rings::in_directory(&path(name)), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_log_that_asks_for_other_rings_than_its_engine_has_is_refused() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let path = directory.path().join("log");
    let in_file = EngineConfig::new().ring_memory(shared(tmpfs.path()));
    for (engine, named) in [(EngineConfig::new(), "memory of the process"), (in_file, "diolog-test-")] {
        let engine = Engine::start(engine).expect("an engine");
        let error = engine.open(config(&path, Path::new("/dev/shm/other"))).expect_err("another place");
        let message = error.to_string();
        assert!(message.starts_with("ring_memory is /dev/shm/other: the engine has the rings of all"), "{message}");
        assert!(message.contains(named), "{message}");
        engine.close().expect("no logs");
    }
    assert!(!path.exists());
}

#[test]
fn a_place_that_others_may_change_is_refused_and_nothing_is_left() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let path = directory.path().join("log");
    let place = tmpfs.path().join("rings");
    let refusal = |place: &Path| {
        let error = Logger::open(config(&path, place)).expect_err("refused");
        assert!(!path.exists(), "{error}");
        match error {
            Error::InvalidConfig { setting: "ring_memory", value, remedy } => {
                assert_eq!(value, place.display().to_string());
                remedy
            }
            other => other.to_string(),
        }
    };
    fs::create_dir(&place).expect("a directory");
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("ours");
        assert!(refusal(&place).contains("others may change it"), "{mode:o}");
    }
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).expect("ours");
    std::os::unix::fs::symlink(&place, tmpfs.path().join("link")).expect("a link");
    assert!(refusal(&tmpfs.path().join("link")).contains("symbolic link"));
    assert!(refusal(&tmpfs.path().join("link/")).contains("symbolic link"));
    fs::write(tmpfs.path().join("file"), "").expect("a file");
    assert!(refusal(&tmpfs.path().join("file")).contains("not a directory"));
    let missing = tmpfs.path().join("missing/rings");
    assert!(refusal(&missing).starts_with(&format!("cannot create the directory {}: ", missing.display())));
    assert!(refusal(Path::new("/proc/self/rings")).starts_with("cannot create the directory /proc/self/rings: "));
    if support::os::is_root() {
        std::os::unix::fs::chown(&place, Some(65_534), None).expect("root may");
        assert!(refusal(&place).contains("belongs to user 65534"));
    } else {
        assert!(refusal(Path::new("/dev")).contains("belongs to user 0"));
    }
    assert_eq!(rings::in_directory(&place), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_open_that_fails_later_leaves_no_ring_file() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let path = directory.path().join("log");
    let engine = EngineConfig::new().ring_memory(shared(tmpfs.path())).blocks_bytes_max(1 << 20);
    let engine = Engine::start(engine).expect("an engine");
    let error = engine.open(support::config(&path).block_bytes(1 << 20)).expect_err("no room for two blocks");
    assert!(error.to_string().contains("blocks_bytes_max"), "{error}");
    assert!(!path.exists());
    assert_eq!(rings::in_directory(tmpfs.path()), Vec::<std::path::PathBuf>::new());
    engine.close().expect("no logs");
}

#[test]
fn a_killed_process_leaves_the_file_with_what_was_accepted() {
    const NAME: &str = "a_killed_process_leaves_the_file_with_what_was_accepted";
    if support::role().is_some() {
        let directory = support::child_directory();
        let config = config(&directory.join("log"), &fs::read_link(directory.join("rings")).expect("a link"));
        let logger = Logger::open(config.flush_interval(Duration::from_secs(3600))).expect("a log");
        let producer = logger.producer_named("the producer of the child").expect("a ring");
        for number in 0..1000 {
            assert_eq!(producer.log(Level::Info, format!("accepted {number:04}")), Outcome::Written);
        }
        assert_eq!(diolog::info!(producer, "order {id} accepted", id = 7_u64), Outcome::Written);
        println!("\nready");
        loop {
            std::thread::park();
        }
    }
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    std::os::unix::fs::symlink(tmpfs.path(), directory.path().join("rings")).expect("a link");
    let mut child = support::child_command(NAME, "child", directory.path());
    let mut child = child.stdout(Stdio::piped()).spawn().expect("a child process");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("text") == "ready"));
    child.kill().expect("alive");
    child.wait().expect("a child of ours");

    let file = rings::the_one_in(tmpfs.path());
    let link = fs::read_to_string(rings::the_one_in(&directory.path().join("log"))).expect("readable");
    assert!(link.ends_with(&format!("\npath {}\n", file.display())), "{link}");
    let bytes = fs::read(&file).expect("readable");
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(bytes.starts_with(b"DLRINGS\0"));
    for text in ["accepted 0000", "accepted 0999", "the producer of the child", "order {id} accepted"] {
        assert!(holds(text), "{text}");
    }
    assert!(holds(&directory.path().join("log").display().to_string()));
}

#[cfg(feature = "unstable")]
#[test]
fn what_a_close_leaves_in_the_rings_at_its_deadline_is_recovered() {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let path = directory.path().join("log");
    let control = support::device::Control::default();
    // Its blocks in flight hold a part of the records, and none of them becomes durable.
    let config = config(&path, tmpfs.path()).block_bytes(4096).close_deadline(Duration::from_millis(100));
    let logger = control.hooks().open(config.clone()).expect("a log");
    control.hold();
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    (0..2_000).for_each(|_| _ = attempts.log(&producer));
    let error = logger.close().expect_err("the disk does not answer");
    assert!(matches!(error, Error::CloseIncomplete { unconfirmed: 2_000, .. }), "{error}");
    drop((producer, logger));
    control.release();

    let recovered = loop {
        match diolog::recover(&path, None) {
            // The thread of the old writer is still on its way out: it has the segment open, or even the lock.
            Ok(recovered) if recovered.iter().any(|run| run.outcome == RecoveryOutcome::Left) => {}
            Err(Error::InUse { .. }) => std::thread::yield_now(),
            Ok(recovered) => break recovered,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(matches!(&recovered[..], [run] if run.outcome == RecoveryOutcome::Complete), "{recovered:?}");
    account::check(&path, &[attempts], Overwrites::No);
    assert_eq!((rings::in_directory(tmpfs.path()), rings::in_directory(&path)), (vec![], vec![]));
}
