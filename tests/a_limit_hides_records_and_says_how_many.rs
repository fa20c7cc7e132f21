//! `limit:` in a macro: so many records of a place in a period, and no more, however many threads log there.

mod support;

use diolog::{Level, Logger, Outcome, Value};

#[test]
fn records_beyond_the_limit_are_hidden_and_counted_apart() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    let mut evaluated = 0;
    let outcomes: Vec<_> = (0..10)
        .map(|number| {
            diolog::warn!(producer, limit: 3/h, "{number}", number = {
                evaluated += 1;
                number
            })
        })
        .collect();
    assert!(outcomes[..3].iter().all(|outcome| *outcome == Outcome::Written));
    assert!(outcomes[3..].iter().all(|outcome| *outcome == Outcome::Hidden && !outcome.is_lost()));
    let stats = logger.stats();
    assert_eq!((evaluated, memory.records().len()), (3, 3), "nothing of a hidden record is evaluated");
    assert_eq!((stats.hidden, stats.attempted, stats.refused, stats.dropped), (7, 3, 0, 0));
    assert_eq!(producer.next_sequence(), 3, "a hidden record is no attempt");
    assert_eq!(diolog::warn!(producer, limit: 3/h, "another place"), Outcome::Written);
    logger.set_level(Level::Off);
    assert_eq!(diolog::warn!(producer, limit: 1/h, "not wanted"), Outcome::Filtered);
    assert_eq!(logger.stats().hidden, 7);
}

/// One place, with a limit for each second.
fn tick(log: &impl diolog::Log, level: Level) -> Outcome {
    diolog::event!(log, level, target: "ticks", limit: 2/s, "tick")
}

#[test]
fn the_record_after_hidden_ones_is_preceded_by_their_number() {
    let (logger, memory) = Logger::in_memory();
    let mut hidden = 0;
    // Until a second has passed since the first one.
    loop {
        match tick(&logger, Level::Info) {
            Outcome::Hidden => hidden += 1,
            _ if hidden > 0 => break,
            outcome => assert_eq!(outcome, Outcome::Written),
        }
    }
    let records = memory.take();
    let [first, second, report, next] = &records[..] else { panic!("{records:?}") };
    assert!([first, second, next].iter().all(|record| record.field("hidden").is_none()));
    assert_eq!(report.field("hidden"), Some(Value::Unsigned(hidden)));
    assert_eq!(report.level(), Level::Info);
    assert_eq!(logger.stats().hidden, hidden);
}

#[test]
fn what_a_place_that_fell_silent_has_hidden_is_in_the_report_of_close_and_in_the_files() {
    let directory = support::directory();
    let path = directory.path().join("log");
    for hidden in [27, 0] {
        let logger = Logger::open(support::config(&path)).expect("a log");
        for attempt in 0..3 + hidden {
            if hidden > 0 {
                diolog::info!(logger, limit: 3/h, "no connection", attempt);
            } else {
                diolog::info!(logger, "no connection", attempt);
            }
        }
        let report = logger.close().expect("a clean end");
        assert_eq!((report.hidden, report.durable, report.lost()), (hidden, 3, 0));
        let clause = if hidden > 0 { "; 27 hidden by limits" } else { "" };
        assert_eq!(report.to_string(), format!("3 records durable{clause}"));
    }
    let runs = diolog::verify(&path).expect("a log").report.runs;
    assert_eq!(runs.iter().map(|run| run.hidden).collect::<Vec<_>>(), [27, 0]);
}

#[test]
fn a_limit_holds_for_all_threads_together() {
    let (logger, memory) = Logger::in_memory();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    diolog::info!(logger, limit: 1500/h, "from several threads");
                }
            });
        }
    });
    assert_eq!((memory.records().len(), logger.stats().hidden), (1500, 2500));
}
