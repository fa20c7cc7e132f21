//! A device that stops working in the middle of a run steps down to the next kind: no record is lost, and the stats,
//! the log's own notes and `info` agree on it.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use diolog::{DeviceKind, Engine, EngineConfig, Level, Logger, Outcome, Verdict, info, verify};
use support::os::{Fate, Who, filter_system_calls};
use support::segments::{block, grow, small};

#[test]
fn io_uring_that_is_forbidden_during_a_run_is_replaced_by_pwrite() {
    if support::child::ran_in_child("io_uring_that_is_forbidden_during_a_run_is_replaced_by_pwrite") {
        return;
    }
    let path = support::child_directory().join("log");
    let logger = Logger::open(small(&path)).expect("a log");
    let before = logger.stats().device;
    if before.kind != DeviceKind::IoUring {
        return support::not_shown("a step down from io_uring", before);
    }
    grow(&logger, 2);
    filter_system_calls(Who::AllThreads, &[libc::SYS_io_uring_enter], Fate::Fails(libc::EPERM), Fate::Allowed);
    let producer = logger.producer().expect("a producer");
    block(&logger, &producer);
    let after = logger.stats().device;
    assert_eq!(after.kind, DeviceKind::Pwrite, "{after}");
    assert!(after.to_string().contains("io_uring: "), "the reason: {after}");
    grow(&logger, 4);
    assert_eq!(producer.log(Level::Info, "the last one"), Outcome::Written);
    let attempted = logger.stats().attempted;
    let write_errors = logger.stats().write_errors;
    logger.close().expect("a clean end");

    assert_eq!(write_errors, 0, "no block was refused");
    let verification = verify(&path).expect("a log");
    assert_eq!((verification.verdict, verification.report.records), (Verdict::Clean, attempted));
    let run = &verification.report.runs[0];
    assert_eq!(run.device.as_deref(), Some(after.to_string().as_str()), "the log's last note on it");
    let segments = info(&path).expect("a log").segments;
    let devices: Vec<_> = segments.iter().filter_map(|segment| segment.device.clone()).collect();
    assert_eq!(devices.first(), Some(&before.to_string()), "{devices:?}");
    assert_eq!(devices.last(), Some(&after.to_string()), "{devices:?}");
}

#[test]
fn the_loss_of_the_ring_moves_every_log_of_an_engine_down_and_each_reports_it() {
    if support::child::ran_in_child("the_loss_of_the_ring_moves_every_log_of_an_engine_down_and_each_reports_it") {
        return;
    }
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    let paths: Vec<_> = (0..3).map(|at| support::child_directory().join(at.to_string())).collect();
    let open = |path| engine.open(small(path).create_parents(true)).expect("a log");
    let logs: Vec<_> = paths.iter().map(open).collect();
    let before = logs[0].stats().device;
    if before.kind != DeviceKind::IoUring {
        return support::not_shown("a step down from io_uring", before);
    }
    logs.iter().for_each(|logger| grow(logger, 1));
    filter_system_calls(Who::AllThreads, &[libc::SYS_io_uring_enter], Fate::Fails(libc::EPERM), Fate::Allowed);
    // One of them writes, and the others rest.
    assert_eq!(logs[0].log(Level::Info, "after"), Outcome::Written);
    logs[0].flush().expect("durable");
    for logger in &logs {
        while logger.stats().device.kind == DeviceKind::IoUring {
            std::thread::yield_now();
        }
        assert_eq!(logger.stats().device.kind, DeviceKind::Pwrite);
    }
    let later = support::child_directory().join("later");
    let later = engine.open(small(&later)).expect("a log");
    assert_eq!(later.stats().device.kind, DeviceKind::Pwrite);
    for logger in &logs {
        assert_eq!(logger.log(Level::Info, "the last one"), Outcome::Written);
    }
    engine.close().expect("clean ends");
    for path in &paths {
        let verification = verify(path).expect("a log");
        assert_eq!(verification.verdict, Verdict::Clean);
        let device = verification.report.runs[0].device.clone().unwrap_or_default();
        assert!(device.starts_with("pwrite") && device.contains("io_uring: given up"), "the note in the log: {device}");
    }
}
