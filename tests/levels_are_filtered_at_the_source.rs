//! A record below the level is not attempted: it takes no sequence number and is counted nowhere. The level comes from
//! the configuration, from `DIOLOG_LEVEL`, or from `set_level` while the log is open.

mod support;

use diolog::{Error, Level, Logger, Outcome, Reader};

/// Logs one record of each level. Returns the levels that were written.
fn written(logger: &Logger) -> Vec<Level> {
    let producer = logger.producer().expect("a ring");
    let written = Level::ALL.into_iter().filter(|&level| {
        let outcome = producer.log(level, level.as_str());
        assert!(matches!(outcome, Outcome::Written | Outcome::Filtered), "{outcome:?}");
        assert_eq!(outcome == Outcome::Written, producer.is_enabled(level));
        assert_eq!(logger.log(level, level.as_str()), outcome, "producer and logger agree");
        assert_eq!(logger.is_enabled(level), producer.is_enabled(level));
        outcome == Outcome::Written
    });
    let written: Vec<_> = written.collect();
    assert_eq!(producer.next_sequence(), written.len() as u64, "a filtered record takes no number");
    written
}

#[test]
fn the_configured_level_and_those_above_it_are_written() {
    for (index, level) in Level::ALL.into_iter().enumerate() {
        let directory = support::directory();
        let path = directory.path().join("log");
        let logger = Logger::open(support::config(&path).level(level)).expect("a log");
        assert_eq!(written(&logger), Level::ALL[..=index]);
        logger.close().expect("a clean end");
        let stats = logger.stats();
        assert_eq!((stats.attempted, stats.refused, stats.dropped), (2 * (index as u64 + 1), 0, 0));
        for record in Reader::open(&path).expect("a log") {
            let record = record.expect("readable");
            let level = record.level().expect("a known level");
            assert_eq!(record.message(), level.as_str().as_bytes(), "each record keeps its level");
        }
    }
}

#[test]
fn info_is_the_default() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    assert_eq!(written(&logger), [Level::Error, Level::Warn, Level::Info]);
    logger.close().expect("a clean end");
}

#[test]
fn set_level_affects_every_producer_from_its_next_append() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Debug, "filtered"), Outcome::Filtered);
    logger.set_level(Level::Debug);
    assert_eq!(producer.log(Level::Debug, "debug"), Outcome::Written);
    assert_eq!(producer.log(Level::Trace, "filtered"), Outcome::Filtered);
    logger.clone().set_level(Level::Error);
    assert_eq!(producer.log(Level::Warn, "filtered"), Outcome::Filtered);
    assert_eq!(producer.log(Level::Error, "error"), Outcome::Written);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(logger.log(Level::Warn, "filtered"), Outcome::Filtered));
    });
    logger.close().expect("a clean end");
    assert_eq!((logger.stats().attempted, logger.stats().refused), (2, 0));
    let read: Vec<_> = Reader::open(&path).expect("a log").map(|record| record.expect("readable")).collect();
    let read: Vec<_> = read.iter().map(|record| (record.sequence(), record.message())).collect();
    assert_eq!(read, [(0, &b"debug"[..]), (1, b"error")]);
}

#[test]
fn off_admits_nothing_while_the_log_stays_open() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).level(Level::Off)).expect("a log");
    assert_eq!(written(&logger), []);
    let producer = logger.producer().expect("a ring");
    assert_eq!(producer.log(Level::Off, "no level of a record"), Outcome::Filtered);
    logger.flush().expect("open, with nothing to write");
    logger.set_level(Level::Trace);
    assert_eq!(written(&logger), Level::ALL);
    assert!(!logger.is_enabled(Level::Off) && !producer.is_enabled(Level::Off));
    assert_eq!(producer.log(Level::Off, "no level of a record"), Outcome::Filtered);
    assert_eq!(logger.log(Level::Off, "no level of a record"), Outcome::Filtered);
    logger.set_level(Level::Off);
    assert_eq!(written(&logger), []);
    logger.close().expect("a clean end");
    assert_eq!(producer.log(Level::Error, "late"), Outcome::Closed);
    assert_eq!(producer.log(Level::Off, "late"), Outcome::Closed);
    assert_eq!(Reader::open(&path).expect("a log").count(), 2 * Level::ALL.len());
}

/// Runs `test` again as a child with this value of `DIOLOG_LEVEL`.
fn with_variable(test: &str, value: &str) {
    let directory = support::directory();
    let mut command = support::child_command(test, "child", &directory.path().join("log"));
    support::child::assert_success(&command.env("DIOLOG_LEVEL", value).output().expect("a child process"));
}

#[test]
fn the_environment_overrides_the_configuration() {
    let test = "the_environment_overrides_the_configuration";
    if support::role().is_some() {
        let logger = Logger::open(support::config(support::child_directory()).level(Level::Error)).expect("a log");
        assert_eq!(written(&logger), Level::ALL[..4], "the variable says debug");
        logger.set_level(Level::Warn);
        assert_eq!(written(&logger), Level::ALL[..2], "set_level overrides the variable");
        logger.close().expect("a clean end");
        return;
    }
    with_variable(test, "debug");
    with_variable(test, "DEBUG");
}

#[test]
fn the_environment_turns_a_log_off() {
    let test = "the_environment_turns_a_log_off";
    if support::role().is_some() {
        let logger = Logger::open(support::config(support::child_directory()).level(Level::Trace)).expect("a log");
        assert_eq!(written(&logger), []);
        logger.close().expect("a clean end");
        return;
    }
    with_variable(test, "off");
}

#[test]
fn an_empty_variable_overrides_nothing() {
    if support::role().is_some() {
        let logger = Logger::open(support::config(support::child_directory()).level(Level::Warn)).expect("a log");
        assert_eq!(written(&logger), Level::ALL[..2]);
        logger.close().expect("a clean end");
        return;
    }
    with_variable("an_empty_variable_overrides_nothing", "");
}

#[test]
fn a_variable_that_is_no_level_is_refused_by_name() {
    if support::role().is_some() {
        let path = support::child_directory();
        let error = Logger::open(support::config(&path)).expect_err("no level");
        let Error::InvalidConfig { setting, value, remedy } = &error else { panic!("{error}") };
        assert_eq!((*setting, value.as_str()), ("DIOLOG_LEVEL", "\"loud\""));
        assert!(remedy.contains("error, warn, info, debug, trace or off"), "{remedy}");
        return assert!(!path.exists());
    }
    with_variable("a_variable_that_is_no_level_is_refused_by_name", "loud");
}
