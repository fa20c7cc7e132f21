//! A file of another log is copied among those of a log that has one or two. The log may be taken for the other one,
//! and says so; but what it acknowledges from then on is read, whatever retention removes.

mod support;

use std::path::Path;

use diolog::{Level, Logger, Outcome, Reader, Verdict};

#[test]
fn what_is_acknowledged_beside_a_file_of_another_log_is_read() {
    for (own, kept) in [(1, 1), (1, 2), (2, 1), (2, 2), (2, 9)] {
        let directory = support::directory();
        let (log, other) = (directory.path().join("log"), directory.path().join("other"));
        let logged = |path: &Path, message: &str| {
            let logger = Logger::open(support::config(path).retain_segments(kept)).expect("a log");
            assert_eq!(logger.log(Level::Info, message), Outcome::Written);
            assert_eq!(logger.close().expect("a clean end").durable, 1);
        };
        logged(&other, "of the other log");
        (0..own).for_each(|_| logged(&log, "own"));
        std::fs::copy(support::segments::file(&other, 1), support::segments::file(&log, 1)).expect("copied");
        if support::segments::numbers(&log).len() > 1 {
            assert_eq!(diolog::verify(&log).expect("a log").verdict, Verdict::Unconfirmed);
        }
        for round in 0..4 {
            logged(&log, &format!("round {round}"));
            let records: Vec<_> = Reader::open(&log).expect("a log").map(|record| record.expect("readable")).collect();
            let messages: Vec<_> = records.iter().map(|record| record.text()).collect();
            let rounds = messages.iter().filter(|message| message.starts_with("round")).count();
            assert_eq!(messages.last().map(|message| &**message), Some(&*format!("round {round}")), "{own} {kept}");
            assert_eq!(rounds, kept.min(round + 1) as usize, "{messages:?}, {own} own files, {kept} kept");
        }
    }
}
