//! Reading a log while it is written: after `None`, a reader can follow.

use super::*;

#[test]
fn a_log_that_grows_is_read_on() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader), [row("a", 10, 1, 0)]);
    assert_eq!(reader.report().verdict(), Verdict::Unconfirmed);
    assert_eq!(more(&mut reader), []);
    run.block(Block::new().record(1, 20, "b")).write(directory.path());
    assert_eq!(more(&mut reader), [row("b", 20, 1, 1)]);
    run.segment(2).block(Block::new().record(1, 30, "c")).close().write(directory.path());
    assert_eq!(more(&mut reader), [row("c", 30, 1, 2)]);
    assert_eq!(reader.report().verdict(), Verdict::Clean, "{:#?}", reader.report());
    let mut next = TestRun::new(2);
    next.segment(3).block(Block::new().record(1, 5, "d")).write(directory.path());
    assert_eq!(more(&mut reader), [row("d", 5, 1, 0)]);
    assert_eq!(reader.report().runs.len(), 2);
    assert_eq!(reader.report().late, 0);
}

/// The file as it is while block `n` of it is still in flight.
fn without_block(run: &TestRun, n: usize) -> TestRun {
    let mut run = run.clone();
    run.last().block(n).fill(0);
    run
}

/// A run whose second block is in flight while the third is there, and a reader that has read the first and stopped.
fn stopped_before_a_block_in_flight(directory: &tempfile::TempDir) -> (TestRun, Reader) {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader).len(), 1);
    run.block(Block::new().record(1, 20, "b")).block(Block::new().in_flight(1).record(1, 30, "c"));
    without_block(&run, 2).write(directory.path());
    assert_eq!(more(&mut reader), [], "block 2 counts only after its predecessor");
    (run, reader)
}

/// A run whose first block is in flight while the second is there, and a reader that has stopped before it.
fn stopped_at_the_beginning(directory: &tempfile::TempDir) -> (TestRun, Reader) {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 20, "b")).block(Block::new().in_flight(1).record(1, 30, "c"));
    without_block(&run, 1).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader), []);
    (run, reader)
}

#[test]
fn a_reader_stops_before_a_block_in_flight() {
    let directory = directory();
    let _writer = locked(&directory);
    let (run, mut reader) = stopped_before_a_block_in_flight(&directory);
    // Off Linux the reader cannot tell that the log is in use.
    let in_use = reader.report().in_use == InUse::Yes;
    let expected = if in_use { Verdict::InUse } else { Verdict::Unconfirmed };
    assert_eq!((reader.report().blocks.torn, reader.report().verdict()), (0, expected));
    run.write(directory.path());
    assert_eq!(more(&mut reader), [row("b", 20, 1, 1), row("c", 30, 1, 2)]);
    assert_eq!(reader.report().blocks.holes, 0);
}

#[test]
fn a_reader_that_stopped_goes_on_once_the_block_is_known_lost() {
    let directory = directory();
    let _writer = locked(&directory);
    let (mut run, mut reader) = stopped_before_a_block_in_flight(&directory);
    run.block(Block::new().record(1, 40, "d"));
    without_block(&run, 2).write(directory.path());
    assert_eq!(more(&mut reader), [row("c", 30, 1, 2), row("d", 40, 1, 3)]);
    assert_eq!(reader.report().blocks.lost, 1);
}

#[test]
fn a_reader_that_stopped_goes_on_once_another_run_begins() {
    let directory = directory();
    let _writer = locked(&directory);
    let (_, mut reader) = stopped_before_a_block_in_flight(&directory);
    TestRun::new(2).segment(2).block(Block::new().record(1, 5, "d")).close().write(directory.path());
    assert_eq!(more(&mut reader), [row("c", 30, 1, 2), row("d", 5, 1, 0)]);
    assert_eq!((reader.report().blocks.holes, reader.report().blocks.lost), (1, 0));
}

#[test]
#[cfg(not(diolog_portable))]
fn a_reader_that_stopped_goes_on_once_no_logger_has_the_log_open() {
    let directory = directory();
    let writer = locked(&directory);
    let (_, mut reader) = stopped_before_a_block_in_flight(&directory);
    drop(writer);
    assert_eq!(more(&mut reader), [row("c", 30, 1, 2)]);
    assert_eq!((reader.report().blocks.holes, reader.report().blocks.lost), (1, 0));
}

/// A run whose third block is the last of its segment, and is still in flight while the next segment has been begun.
fn in_flight_at_a_segments_end() -> (TestRun, TestRun) {
    let mut whole = TestRun::with_segment(1);
    whole.block(Block::new().record(1, 10, "a")).block(Block::new().record(1, 20, "b"));
    whole.block(Block::new().record(1, 30, "c")).segment(2).block(Block::new().in_flight(1).record(1, 40, "d"));
    let mut partly = whole.clone();
    partly.segments[0].block(3).fill(0);
    (whole, partly)
}

#[test]
fn a_reader_stops_before_a_block_in_flight_at_the_end_of_a_segment() {
    let directory = directory();
    let _writer = locked(&directory);
    let (whole, partly) = in_flight_at_a_segments_end();
    partly.segments[0].write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader), [row("a", 10, 1, 0), row("b", 20, 1, 1)]);
    partly.write(directory.path());
    assert_eq!(more(&mut reader), [], "block d counts only after its predecessor");
    assert_eq!((reader.report().blocks.torn, reader.report().blocks.holes), (0, 0));
    whole.write(directory.path());
    assert_eq!(more(&mut reader), [row("c", 30, 1, 2), row("d", 40, 1, 3)]);
    assert_eq!((reader.report().blocks.holes, reader.report().blocks.duplicates), (0, 0), "{:#?}", reader.report());
}

#[test]
fn a_segment_that_the_reader_stopped_in_may_be_removed_once_it_is_whole() {
    let directory = directory();
    let _writer = locked(&directory);
    let (mut whole, partly) = in_flight_at_a_segments_end();
    partly.write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader).len(), 2);
    assert!(reader.pass_over_missing(Duration::ZERO).expect("read"));
    assert_eq!(rows(&mut reader), [row("d", 40, 1, 3)], "a reader that wants all there is now need not wait");
    assert_eq!(reader.report().blocks.holes, 1);
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader), [row("a", 10, 1, 0), row("b", 20, 1, 1)]);
    whole.block(Block::new().record(1, 50, "e")).segment(3).block(Block::new().record(1, 60, "f"));
    whole.write(directory.path());
    for index in [1, 2] {
        std::fs::remove_file(directory.path().join(format!("0000000{index}.dlog"))).expect("removable");
    }
    let messages: Vec<_> = more(&mut reader).into_iter().map(|row| row.0).collect();
    assert_eq!(messages, ["c", "d", "e", "f"], "both were open");
    assert_eq!(reader.report().findings, []);
}

#[test]
fn a_block_that_comes_after_it_was_passed_over_is_not_called_lost() {
    let directory = directory();
    let _writer = locked(&directory);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).block(Block::new().record(1, 20, "b"));
    run.block(Block::new().in_flight(1).record(1, 30, "c"));
    without_block(&run, 2).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader), [row("a", 10, 1, 0)]);
    assert!(reader.pass_over_missing(Duration::ZERO).expect("read"));
    assert_eq!(rows(&mut reader), [row("c", 30, 1, 2)]);
    // Now b comes, and d, which says that b was durable.
    run.block(Block::new().record(1, 40, "d")).write(directory.path());
    assert_eq!(more(&mut reader), [row("d", 40, 1, 3)]);
    let report = reader.report();
    assert_eq!((report.blocks.holes, report.blocks.lost, report.verdict()), (1, 0, Verdict::Unconfirmed));
    let found: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert!(found[0].contains("not there when the reader looked, and durable later"), "{found:?}");
    assert_eq!(verify(directory.path()).expect("a log").report.blocks.holes, 0, "it is there the next time");
}

#[test]
fn a_reader_can_pass_over_a_hole_while_a_logger_has_the_log_open() {
    let directory = directory();
    let _writer = locked(&directory);
    let (_, mut reader) = stopped_at_the_beginning(&directory);
    assert_eq!((reader.report().blocks.holes, reader.report().blocks.lost), (0, 0), "it may still come");
    assert!(reader.pass_over_missing(Duration::from_millis(2)).expect("read"));
    assert_eq!(rows(&mut reader), [row("c", 30, 1, 1)]);
    assert_eq!((reader.report().blocks.holes, reader.report().blocks.lost), (1, 0));
    assert!(!reader.pass_over_missing(Duration::ZERO).expect("read"), "the reader has ended before no other");
    assert_eq!(verify(directory.path()).expect("a log").report.blocks, reader.report().blocks);
}

#[test]
fn a_missing_block_that_comes_is_read_and_not_passed_over() {
    let directory = directory();
    let _writer = locked(&directory);
    let (run, mut reader) = stopped_at_the_beginning(&directory);
    run.write(directory.path());
    assert!(reader.pass_over_missing(Duration::ZERO).expect("read"));
    assert_eq!(rows(&mut reader), [row("b", 20, 1, 0), row("c", 30, 1, 1)]);
    assert_eq!(reader.report().blocks.holes, 0);
}

#[test]
fn after_its_end_a_reader_gives_nothing_until_it_follows() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(rows(&mut reader).len(), 1);
    run.block(Block::new().record(1, 20, "b")).write(directory.path());
    assert_eq!(rows(&mut reader), []);
    assert!(reader.next().is_none());
    for _ in 0..2 {
        assert!(reader.follow(Duration::ZERO).expect("read"), "also if it is called again before the record is read");
    }
    assert_eq!(rows(&mut reader), [row("b", 20, 1, 1)]);
    assert_eq!((reader.report().records, reader.report().late), (2, 0));
}

#[test]
fn a_reader_that_follows_finds_what_is_written_meanwhile() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(rows(&mut reader).len(), 1);
    assert!(!reader.follow(Duration::from_millis(2)).expect("read"));
    std::thread::scope(|scope| {
        let following = scope.spawn(|| reader.follow(Duration::from_secs(60)).expect("read"));
        run.block(Block::new().record(1, 20, "b")).write(directory.path());
        assert!(following.join().expect("no panic"));
    });
    assert_eq!(rows(&mut reader), [row("b", 20, 1, 1)]);
}

#[test]
fn a_block_written_in_part_is_read_once_it_is_whole() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).block(Block::new().record(1, 20, [b'x'; 6000]));
    let mut partial = run.clone();
    partial.last().block(2)[4096..].fill(0);
    partial.write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader).len(), 1);
    assert_eq!(reader.report().blocks.torn, 1);
    assert_eq!(more(&mut reader), []);
    run.write(directory.path());
    assert_eq!(more(&mut reader).len(), 1);
    assert_eq!(reader.report().blocks.torn, 0);
    assert_eq!(reader.report().findings, []);
}

#[test]
fn a_prepared_file_is_read_once_it_is_used() {
    let directory = directory();
    std::fs::write(directory.path().join("00000001.dlog"), vec![0; 1 << 20]).expect("write");
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(more(&mut reader), []);
    assert_eq!(reader.report().prepared_files, 1);
    // No logger has the log open: the file may have been emptied.
    assert_eq!((reader.report().verdict(), reader.report().findings.len()), (Verdict::Unconfirmed, 1));
    assert_eq!(more(&mut reader), []);
    assert_eq!(reader.report().findings.len(), 1);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a"));
    run.last().bytes.resize(1 << 20, 0);
    run.write(directory.path());
    assert_eq!(more(&mut reader), [row("a", 10, 1, 0)]);
    assert_eq!((reader.report().prepared_files, reader.report().findings.len()), (0, 0));
}

#[test]
fn a_preallocated_file_is_read_as_it_fills() {
    let directory = directory();
    let mut run = TestRun::with_segment(1);
    let mut reader = None;
    for step in 0..20 {
        run.block(Block::new().record(1, 10 * step, step.to_string()));
        let mut image = run.clone();
        image.last().bytes.resize(8 << 20, 0);
        image.write(directory.path());
        let reader = reader.get_or_insert_with(|| Reader::open(directory.path()).expect("open"));
        assert_eq!(more(reader), [row(&step.to_string(), 10 * step, 1, step)]);
        assert_eq!(reader.report().blocks.torn, 0);
    }
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_log_in_use_is_not_called_torn_and_its_end_is_found_after_its_logger_is_gone() {
    let directory = directory();
    let writer = locked(&directory);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).block(Block::new().record(1, 20, "b"));
    let mut half_written = run.clone();
    half_written.last().block(2)[100..].fill(0);
    half_written.write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(rows(&mut reader), [row("a", 10, 1, 0)]);
    let report = reader.report();
    assert_eq!((report.verdict(), report.in_use_by), (Verdict::InUse, Some(std::process::id())), "{report:#?}");
    assert_eq!(verify(directory.path()).expect("verify").verdict, Verdict::InUse);
    assert_eq!(info(directory.path()).expect("info").in_use, InUse::Yes);

    // The logger ends while a reader is between its look at the lock and the end of the files.
    let mut late = Reader::open(directory.path()).expect("open");
    drop(writer);
    assert_eq!(rows(&mut late), [row("a", 10, 1, 0)]);
    assert_eq!((late.report().verdict(), late.report().in_use), (Verdict::Unconfirmed, InUse::No));
    run.close().write(directory.path());
    assert_eq!(read(directory.path()).1.verdict(), Verdict::Clean);
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_log_that_is_closed_while_it_is_read_is_read_to_its_end() {
    let directory = directory();
    let writer = locked(&directory);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut reader = Reader::open(directory.path()).expect("open");
    run.segment(2).block(Block::new().record(1, 20, "b")).close().write(directory.path());
    drop(writer);
    assert_eq!(rows(&mut reader), [row("a", 10, 1, 0), row("b", 20, 1, 1)]);
    assert_eq!((reader.report().verdict(), reader.report().in_use), (Verdict::Clean, InUse::No));
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn an_earlier_run_that_ended_without_close_is_unconfirmed_also_while_the_log_is_in_use() {
    let directory = directory();
    let _writer = locked(&directory);
    let mut dead = TestRun::with_segment(1);
    dead.block(Block::new().record(1, 10, "a")).write(directory.path());
    let mut alive = TestRun::new(2);
    alive.segment(2).block(Block::new().record(1, 20, "b")).write(directory.path());
    let report = verify(directory.path()).expect("verify").report;
    assert_eq!(report.verdict(), Verdict::Unconfirmed);
    assert_eq!(report.runs.iter().map(|run| run.in_use).collect::<Vec<_>>(), [false, true]);
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_dead_process_is_not_writing_the_run_that_it_left_though_another_logger_has_the_log_open() {
    use crate::format::{Process, SegmentHeader};
    let host = crate::sys::cpu::host_name();
    let mut child = std::process::Command::new("true").spawn().expect("a child");
    child.wait().expect("its end");
    let here = |id| Process { id, host: host.clone() };
    let elsewhere = Process { id: child.id(), host: format!("not-{host}") };
    for (process, verdict) in [
        (here(child.id()), Verdict::Unconfirmed),
        (here(std::process::id()), Verdict::InUse),
        (elsewhere, Verdict::InUse),
    ] {
        let directory = directory();
        let _writer = locked(&directory);
        let mut run = TestRun::new(1);
        run.segment_with(SegmentHeader { process: Some(process), ..SegmentHeader::example(1) });
        run.block(Block::new().record(1, 10, "a")).write(directory.path());
        let report = verify(directory.path()).expect("verify").report;
        let info = info(directory.path()).expect("info");
        assert_eq!((report.verdict(), report.in_use, info.in_use), (verdict, InUse::Yes, InUse::Yes), "{report:#?}");
        let is_written = verdict == Verdict::InUse;
        assert_eq!((report.runs[0].in_use, info.segments[0].in_use), (is_written, is_written));
    }
}
