//! Targets may have thresholds of their own: from the configuration, from `DIOLOG_LEVEL`, or changed while the log is
//! open.

mod support;

use diolog::{Error, Level, Levels, Logger, Outcome};

#[test]
fn records_without_a_target_have_the_threshold_for_all() {
    let directory = support::directory();
    let config = support::config(directory.path().join("log")).level("warn,hyper=trace,my_service=off");
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    assert_eq!(logger.level(), Level::Warn);
    assert_eq!(producer.log(Level::Warn, "warn"), Outcome::Written);
    assert_eq!(producer.log(Level::Info, "info"), Outcome::Filtered);
    assert_eq!(logger.log(Level::Info, "info"), Outcome::Filtered);
    assert!(!logger.is_enabled(Level::Info) && !producer.is_enabled(Level::Info));
    logger.close().expect("a clean end");
    assert_eq!((logger.stats().attempted, logger.level()), (1, Level::Off));
}

#[test]
fn the_levels_of_targets_change_while_the_log_is_open() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log")).level("hyper=off")).expect("a log");
    let enabled = |target: &str| {
        let levels = Level::ALL.into_iter().filter(|level| logger.is_enabled_for(*level, target));
        levels.max().unwrap_or(Level::Off)
    };
    let of_all = || ["", "hyper", "hyper::client", "hyper_2", "my_service::net"].map(enabled);
    use Level::{Debug, Error, Info, Off, Trace, Warn};
    assert_eq!(of_all(), [Info, Off, Off, Info, Info]);
    logger.set_target_level("my_service", Trace).expect("a target");
    assert_eq!(of_all(), [Info, Off, Off, Info, Trace]);
    logger.set_level(Error);
    assert_eq!(of_all(), [Error, Off, Off, Error, Trace], "targets keep their own");
    logger.set_target_level("hyper", Warn).expect("a target");
    assert_eq!(of_all(), [Error, Warn, Warn, Error, Trace]);
    logger.set_levels("my_service::net=debug").expect("directives");
    assert_eq!(of_all(), [Error, Error, Error, Error, Debug], "in place of those of before, but for the one for all");
    assert_eq!(logger.levels(), "error,my_service::net=debug".parse::<Levels>().expect("directives"));
    logger.set_levels("off,hyper=info").expect("directives");
    assert_eq!(of_all(), [Off, Info, Info, Off, Off]);
    assert_eq!(logger.level(), Off);
    logger.set_levels(Info).expect("a level");
    assert_eq!((of_all(), logger.levels().to_string()), ([Info; 5], "info".into()));
    logger.close().expect("a clean end");
    logger.set_levels("trace,hyper=trace").expect("no error");
    assert_eq!(of_all(), [Off; 5], "closed");
}

#[test]
fn directives_that_are_not_understood_are_refused_by_name() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let error = Logger::open(support::config(&path).level("info,hyper=loud")).expect_err("no level");
    let Error::InvalidConfig { setting, value, remedy } = &error else { panic!("{error}") };
    assert_eq!((*setting, value.as_str()), ("level", "\"info,hyper=loud\""));
    assert_eq!(remedy, "\"loud\" in \"hyper=loud\" is not a level; use error, warn, info, debug, trace or off");
    assert!(!path.exists(), "nothing was created");

    let logger = Logger::open(support::config(&path).level("info,hyper=off")).expect("a log");
    for (error, named) in [
        (logger.set_levels("debug,loud"), "\"loud\" is not a level"),
        (logger.set_levels("debug,=info"), "\"\" is not a target"),
        (logger.set_target_level("", Level::Info), "\"\" is not a target"),
        (logger.set_target_level("a=b", Level::Info), "\"a=b\" is not a target"),
        (logger.set_target_level("a,b", Level::Info), "\"a,b\" is not a target"),
    ] {
        let error = error.expect_err("not understood").to_string();
        assert!(error.contains(named), "{error}");
    }
    assert_eq!(logger.levels().to_string(), "info,hyper=off", "nothing was changed");
    logger.close().expect("a clean end");
}

#[test]
fn the_environment_overrides_the_levels_of_the_configuration() {
    let test = "the_environment_overrides_the_levels_of_the_configuration";
    if support::role().is_some() {
        let config = support::config(support::child_directory()).level("error,my_service=trace");
        let logger = Logger::open(config).expect("a log");
        assert_eq!(logger.levels().to_string(), "error,hyper=debug");
        logger.close().expect("a clean end");
        return;
    }
    let directory = support::directory();
    let mut command = support::child_command(test, "child", &directory.path().join("log"));
    support::child::assert_success(&command.env("DIOLOG_LEVEL", "hyper=debug").output().expect("a child process"));
}

#[test]
fn a_logger_without_a_log_has_levels_and_a_disabled_one_has_none() {
    let (logger, _log) = Logger::in_memory();
    assert_eq!(logger.levels().to_string(), "trace");
    logger.set_levels("info,hyper=off").expect("directives");
    assert!(!logger.is_enabled_for(Level::Error, "hyper") && logger.is_enabled(Level::Info));
    let logger = Logger::disabled();
    logger.set_levels("info,hyper=trace").expect("directives");
    assert!(!logger.is_enabled_for(Level::Error, "hyper") && !logger.is_enabled(Level::Error));
    assert_eq!((logger.level(), logger.levels().to_string()), (Level::Off, "off".into()));
}

mod net {
    use super::*;

    pub(crate) fn debug(log: &impl diolog::Log) -> Outcome {
        diolog::debug!(log, "a debug record of net")
    }
}

fn warn_of_hyper(log: &impl diolog::Log) -> Outcome {
    diolog::warn!(log, target: "hyper::client", "a warning of hyper")
}

#[test]
fn macros_have_the_target_of_their_module_or_the_one_that_they_are_given() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(path).level("off,levels_by_target::net=debug")).expect("a log");
    let producer = logger.producer().expect("a ring");
    for _ in 0..2 {
        assert_eq!((net::debug(&producer), net::debug(&logger)), (Outcome::Written, Outcome::Written));
        assert_eq!((warn_of_hyper(&producer), warn_of_hyper(&logger)), (Outcome::Filtered, Outcome::Filtered));
        assert_eq!(diolog::error!(producer, "of this module"), Outcome::Filtered);
        assert_eq!(producer.log(Level::Error, "without a target"), Outcome::Filtered);
    }
    logger.set_levels("debug,levels_by_target::net=info,hyper=warn").expect("directives");
    assert_eq!((net::debug(&producer), net::debug(&logger)), (Outcome::Filtered, Outcome::Filtered));
    assert_eq!((warn_of_hyper(&producer), warn_of_hyper(&logger)), (Outcome::Written, Outcome::Written));
    assert_eq!(diolog::debug!(producer, "of this module"), Outcome::Written);
    assert_eq!(diolog::trace!(producer, target: "hyper", "too verbose"), Outcome::Filtered);
    logger.set_levels("error").expect("a level");
    assert_eq!((net::debug(&producer), warn_of_hyper(&logger)), (Outcome::Filtered, Outcome::Filtered));
    logger.close().expect("a clean end");
    assert_eq!((net::debug(&producer), warn_of_hyper(&logger)), (Outcome::Closed, Outcome::Closed));
    assert_eq!((logger.stats().attempted, logger.stats().dropped), (7, 0));
}

#[test]
fn a_record_that_its_target_does_not_admit_evaluates_nothing() {
    let (logger, log) = Logger::in_memory();
    logger.set_levels("trace,hyper=off").expect("directives");
    let producer = logger.producer().expect("a producer");
    for _ in 0..2 {
        let outcome = diolog::error!(producer, target: "hyper", "{number}", number = unreachable_number());
        assert_eq!(outcome, Outcome::Filtered);
    }
    // A level known at run time alone: each has a callsite of its own.
    logger.set_levels("trace,hyper=warn").expect("directives");
    let written = Level::ALL.map(|level| diolog::event!(producer, level, target: "hyper", "of any level"));
    use Outcome::{Filtered, Written};
    assert_eq!(written, [Written, Written, Filtered, Filtered, Filtered]);
    assert_eq!(log.records().len(), 2);
}

fn unreachable_number() -> u64 {
    panic!("the record is not wanted")
}

#[test]
fn levels_that_change_while_threads_log_hold_from_then_on() {
    let (logger, _log) = Logger::in_memory();
    logger.set_levels("info,hyper=off").expect("directives");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(ordering) {
                    let outcome = warn_of_hyper(&logger);
                    assert!(matches!(outcome, Outcome::Written | Outcome::Filtered), "{outcome:?}");
                }
            });
        }
        for round in 0..500 {
            let level = if round % 2 == 0 { Level::Info } else { Level::Off };
            logger.set_target_level("hyper", level).expect("a target");
            // This thread decides by the new levels, whatever the others have decided in between.
            let expected = if level == Level::Off { Outcome::Filtered } else { Outcome::Written };
            assert_eq!(warn_of_hyper(&logger), expected, "round {round}");
        }
        stop.store(true, ordering);
    });
}
