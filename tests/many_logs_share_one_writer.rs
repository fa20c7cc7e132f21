//! Several logs on one engine: each is a log of its own, and what happens to one does not stop the others.

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diolog::{Config, Engine, EngineConfig, Error, Level, Logger, Outcome, Reader, Verdict};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn engine() -> Engine {
    Engine::start(EngineConfig::new()).expect("a thread")
}

/// A log that writes nothing by itself for an hour.
fn config(path: impl AsRef<Path>) -> Config {
    support::config(path).flush_interval(HOUR)
}

fn log(logger: &Logger, message: &str) {
    assert_eq!(logger.log(Level::Info, message), Outcome::Written);
}

fn messages(path: &Path) -> Vec<String> {
    let reader = Reader::open(path).expect("a log");
    reader.map(|record| String::from_utf8_lossy(record.expect("readable").message()).into_owned()).collect()
}

/// Checks that the log in `path` was closed cleanly, and holds these messages.
fn expect_kept(path: &Path, kept: &[&str]) {
    assert_eq!(messages(path), kept, "{}", path.display());
    assert_eq!(diolog::verify(path).expect("a log").verdict, Verdict::Clean, "{}", path.display());
}

#[test]
fn logs_of_one_engine_flush_rotate_and_close_each_for_itself() {
    let directory = support::directory();
    let paths = ["one", "two", "three"].map(|name| directory.path().join(name));
    let engine = engine();
    let logs = paths.each_ref().map(|path| engine.open(config(path)).expect("a log"));
    logs.iter().for_each(|logger| log(logger, "first"));
    logs[0].flush().expect("durable");
    assert_eq!(logs.each_ref().map(|logger| logger.stats().durable_records), [1, 0, 0]);
    logs[1].rotate().expect("open");
    logs[2].close().expect("a clean end");
    assert_eq!(logs[2].log(Level::Info, "late"), Outcome::Closed);
    for logger in &logs[..2] {
        log(logger, "second");
        logger.flush().expect("durable, after another log of the engine was closed");
    }
    // The engine serves a log that comes later, in a directory that another one of its logs has left.
    let again = engine.open(config(&paths[2])).expect("closed before");
    log(&again, "second");
    for logger in [&logs[0], &logs[1], &again] {
        logger.close().expect("a clean end");
    }
    paths.iter().for_each(|path| expect_kept(path, &["first", "second"]));
}

#[test]
fn a_directory_that_a_log_of_the_engine_has_open_is_refused_and_that_log_goes_on() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let engine = engine();
    let logger = engine.open(config(&path)).expect("a log");
    for refused in [engine.open(config(&path)), Logger::open(config(&path))] {
        assert!(matches!(refused, Err(Error::InUse { path: named, .. }) if named == path));
    }
    log(&logger, "kept");
    logger.close().expect("a clean end");
    expect_kept(&path, &["kept"]);
}

#[test]
fn logs_go_on_after_the_last_handle_of_their_engine_is_dropped() {
    let directory = support::directory();
    let paths = ["one", "two"].map(|name| directory.path().join(name));
    let engine = engine();
    let logs = paths.each_ref().map(|path| engine.clone().open(config(path)).expect("a log"));
    drop(engine);
    for logger in logs {
        log(&logger, "after the engine");
        logger.flush().expect("durable");
        drop(logger);
    }
    paths.iter().for_each(|path| expect_kept(path, &["after the engine"]));
}

#[test]
fn closing_an_engine_closes_its_logs_and_no_others_and_sums_up() {
    let directory = support::directory();
    let path = |name: &str| directory.path().join(name);
    let (engine, other) = (engine(), engine());
    let logs = ["one", "two"].map(|name| engine.open(config(path(name))).expect("a log"));
    let of_another = other.open(config(path("other"))).expect("a log");
    let alone = Logger::open(config(path("alone"))).expect("a log");
    logs.iter().chain([&of_another, &alone]).for_each(|logger| log(logger, "a record"));
    let report = engine.close().expect("clean ends");
    assert_eq!((report.accepted, report.durable, report.lost()), (2, 2, 0));
    for logger in &logs {
        assert_eq!(logger.close().expect("a clean end").durable, 1);
        assert_eq!(logger.log(Level::Info, "late"), Outcome::Closed);
    }
    assert!(matches!(engine.clone().open(config(path("late"))), Err(Error::Closed)));
    assert!(!path("late").exists());
    assert_eq!(engine.close().expect("nothing left").durable, 0);
    for logger in [of_another, alone] {
        log(&logger, "another one");
        assert_eq!(logger.close().expect("a clean end").durable, 2);
    }
}

#[test]
fn a_cpu_that_is_not_the_engines_is_refused_before_anything_is_made() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let error = engine().open(config(&path).writer_core(0)).expect_err("the engine is not pinned");
    let Error::InvalidConfig { setting: "writer_core", value, remedy } = error else { panic!("{error}") };
    assert!(value == "0" && remedy.contains("is not pinned"), "{remedy}");
    assert!(!path.exists());
    let error = Engine::start(EngineConfig::new().writer_core(100_000)).expect_err("no such CPU");
    assert!(matches!(error, Error::InvalidConfig { setting: "writer_core", .. }), "{error}");
}

#[test]
fn a_failed_open_leaves_the_engines_logs_alone() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let engine = engine();
    let logger = engine.open(config(&path)).expect("a log");
    let missing = directory.path().join("no/such/parent");
    assert!(matches!(engine.open(config(&missing)), Err(Error::NoParent { .. })));
    log(&logger, "kept");
    engine.close().expect("a clean end");
    expect_kept(&path, &["kept"]);
}

/// Overwrites rings until the loss callback has run, which does what the writer thread must not wait for.
#[test]
fn a_callback_may_close_any_log_of_its_writer_and_waits_for_none() {
    let directory = support::directory();
    let paths = ["one", "two"].map(|name| directory.path().join(name));
    let engine = engine();
    let small = config(&paths[0]).overflow(diolog::Overflow::OverwriteOldest).ring_bytes(4096);
    let (one, two) = (engine.open(small).expect("a log"), engine.open(config(&paths[1])).expect("a log"));
    log(&two, "kept");
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (told, heard) = (Arc::clone(&answers), std::sync::mpsc::channel());
    let (engine_inside, two_inside, late) = (engine.clone(), two.clone(), config(directory.path().join("late")));
    one.on_loss(move |_| {
        let mut answers = told.lock().expect("no panic");
        answers.push(two_inside.flush().expect_err("would wait for itself").to_string());
        answers.push(two_inside.close().expect_err("not waited for").to_string());
        answers.push(engine_inside.open(late.clone()).expect_err("would wait for itself").to_string());
        let _ = heard.0.send(());
    });
    let producer = one.producer().expect("a ring");
    (0..1000).for_each(|_| log_to(&producer));
    drop(producer);
    one.flush().expect("durable");
    heard.1.recv().expect("the callback ran");
    assert_eq!(two.close().expect("it ended after the callback").durable, 1);
    expect_kept(&paths[1], &["kept"]);
    one.close().expect("a clean end");
    let answers = answers.lock().expect("no panic");
    assert!(answers[0].starts_with("cannot flush") && answers[2].starts_with("cannot open a log"), "{answers:?}");
    assert!(answers[1].contains("in a callback"), "{answers:?}");
    assert!(!directory.path().join("late").exists());
}

fn log_to(producer: &diolog::Producer) {
    producer.log(Level::Info, "some record that others will overwrite");
}

#[cfg(target_os = "linux")]
#[test]
fn every_log_of_an_engine_is_drained_at_exit() {
    const TEST: &str = "every_log_of_an_engine_is_drained_at_exit";
    const NAMES: [&str; 3] = ["one", "two", "three"];
    if support::role().is_some() {
        static KEPT: std::sync::OnceLock<Vec<Logger>> = std::sync::OnceLock::new();
        let engine = engine();
        let open = |name| engine.open(config(support::child_directory().join(name)).create_parents(true));
        let logs: Vec<_> = NAMES.iter().map(|name| open(name).expect("a log")).collect();
        logs.iter().zip(NAMES).for_each(|(logger, name)| log(logger, name));
        logs[1].close().expect("a clean end");
        KEPT.set(logs).expect("set once");
        std::process::exit(7);
    }
    let directory = support::directory();
    let output = support::run_child(TEST, "child", directory.path());
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    NAMES.iter().for_each(|name| expect_kept(&directory.path().join(name), &[name]));
}

#[test]
fn producers_of_several_logs_have_sequences_of_their_own() {
    let directory = support::directory();
    let paths: Vec<_> = (0..4).map(|at| directory.path().join(at.to_string())).collect();
    let engine = engine();
    let logs: Vec<_> = paths.iter().map(|path| engine.open(support::config(path)).expect("a log")).collect();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let logs = &logs;
            scope.spawn(move || {
                for at in 0..4000 {
                    let logger = &logs[at % logs.len()];
                    assert_eq!(logger.log(Level::Info, format!("{thread}:{at}")), Outcome::Written);
                }
            });
        }
    });
    engine.close().expect("clean ends");
    for (number, path) in paths.iter().enumerate() {
        let kept: HashSet<_> = messages(path).into_iter().collect();
        let logged = (0..2).flat_map(|thread| (number..4000).step_by(4).map(move |at| format!("{thread}:{at}")));
        assert_eq!(kept, logged.collect(), "{}", path.display());
        assert_eq!(diolog::verify(path).expect("a log").verdict, Verdict::Clean);
    }
}
