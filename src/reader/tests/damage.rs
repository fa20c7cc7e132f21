//! Every way in which a log can be damaged, by name, and what the reader reports.

use zerocopy::little_endian::{U32, U64};

use super::*;
use crate::reader::test_log::{Image, reseal};

/// Blocks 0 to 5 with a record each ("0" at 0 ns, "1" at 10 ns …) and one block in flight before each; not closed.
fn open_run() -> TestRun {
    let mut run = TestRun::with_segment(1);
    for n in 0..6_u64 {
        run.block(Block::new().in_flight(n.min(1) as u16).record(1, 10 * n, n.to_string()));
    }
    run
}

fn closed_run() -> TestRun {
    let mut run = open_run();
    run.close();
    run
}

/// The bytes of block `number` of a segment that begins with block 0.
fn block(image: &mut Image, number: usize) -> &mut [u8] {
    image.block(number + 1)
}

pub(super) fn check(run: &TestRun, missing: &[usize], verdict: Verdict) -> Report {
    let directory = written(&[run]);
    let (messages, report) = read(directory.path());
    let expected: Vec<_> = (0..6).filter(|n| !missing.contains(n)).map(|n| n.to_string()).collect();
    assert_eq!(messages, expected, "{report:#?}");
    assert_eq!(report.verdict(), verdict, "{report:#?}");
    report
}

#[test]
fn an_unclosed_run_is_unconfirmed_though_nothing_is_missing() {
    let report = check(&open_run(), &[], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.holes, report.blocks.lost), (0, 0, 0));
    let producer = &report.runs[0].producers[0];
    assert!(producer.holds && !producer.ended && !report.runs[0].clean_end);
}

#[test]
fn a_truncated_trailing_block_is_torn() {
    let mut run = open_run();
    let bytes = run.last().bytes.len();
    run.last().bytes.truncate(bytes - 4096 + 100);
    let report = check(&run, &[5], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.lost), (1, 0));
}

#[test]
fn a_trailing_block_with_a_bad_payload_is_torn() {
    let mut run = open_run();
    block(run.last(), 5)[80] ^= 1;
    let report = check(&run, &[5], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.lost), (1, 0));
}

#[test]
fn a_trailing_block_without_its_first_sector_is_torn() {
    let mut run = open_run();
    block(run.last(), 5)[..512].fill(0);
    block(run.last(), 5)[512..600].fill(7);
    let report = check(&run, &[5], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.lost), (1, 0));
}

#[test]
fn several_torn_blocks_at_the_end_are_counted_by_their_numbers() {
    let mut run = open_run();
    block(run.last(), 3)[..64].fill(0xA5);
    block(run.last(), 4)[80] ^= 1;
    block(run.last(), 5)[80] ^= 1;
    let report = check(&run, &[3, 4, 5], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.lost), (3, 0));
}

#[test]
fn a_zeroed_trailing_block_shows_only_as_a_missing_end() {
    let mut run = open_run();
    block(run.last(), 5).fill(0);
    let report = check(&run, &[5], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.holes, report.blocks.lost), (0, 0, 0));
}

#[test]
fn a_missing_block_within_in_flight_of_the_next_is_a_hole() {
    let mut run = open_run();
    block(run.last(), 4).fill(0);
    let report = check(&run, &[4], Verdict::Unconfirmed);
    assert_eq!((report.blocks.torn, report.blocks.holes, report.blocks.lost), (0, 1, 0));
    assert!(report.findings[0].to_string().contains("at offset 20480: block 4 is missing"), "{:?}", report.findings);
}

#[test]
fn a_missing_block_that_a_later_one_testifies_for_is_lost() {
    let mut run = open_run();
    block(run.last(), 3).fill(0);
    let report = check(&run, &[3], Verdict::Lost);
    assert_eq!((report.blocks.torn, report.blocks.holes, report.blocks.lost), (0, 0, 1));
    let producer = &report.runs[0].producers[0];
    assert_eq!((producer.records, producer.damaged, producer.missing), (5, 1, 1));
    assert!(producer.holds, "the loss is accounted for");
}

#[test]
fn a_missing_block_before_the_clean_end_is_lost() {
    for number in 0..7 {
        let mut run = closed_run();
        block(run.last(), number).fill(0);
        let missing = if number < 6 { vec![number] } else { vec![] };
        let report = check(&run, &missing, Verdict::Lost);
        assert_eq!((report.blocks.lost, report.runs[0].clean_end), (1, true), "block {number}");
    }
}

#[test]
fn a_missing_clean_end_is_unconfirmed() {
    let mut run = closed_run();
    block(run.last(), 7).fill(0);
    let report = check(&run, &[], Verdict::Unconfirmed);
    assert!(report.runs[0].producers[0].ended, "the final counts are there all the same");
}

#[test]
fn a_damaged_block_is_stepped_over_by_its_capacity() {
    let mut run = TestRun::with_segment(1);
    for n in 0..6_u64 {
        run.block(Block::new().capacity(4 * 4096).record(1, 10 * n, n.to_string()));
    }
    run.close();
    block(run.last(), 2)[70] ^= 0x10;
    let report = check(&run, &[2], Verdict::Lost);
    assert_eq!((report.blocks.lost, report.blocks.stray), (1, 0));
}

#[test]
fn after_a_bad_block_header_the_search_goes_on_at_the_next_grid_position() {
    let mut run = TestRun::with_segment(1);
    for n in 0..6_u64 {
        run.block(Block::new().record(1, 10 * n, format!("{n}")).capacity(4 * 4096));
    }
    run.close();
    block(run.last(), 2)[0] ^= 0x10;
    let report = check(&run, &[2], Verdict::Lost);
    assert_eq!((report.blocks.lost, report.blocks.stray), (1, 0));
}

#[test]
fn a_block_length_out_of_range_is_newer_and_costs_no_other_block() {
    type Put = fn(&mut crate::format::BlockHeader, u32);
    let puts: [Put; 2] = [|header, length| header.valid.set(length), |header, length| header.capacity.set(length)];
    for (put, length) in puts.into_iter().flat_map(|put| [4096 - 63, 4097, u32::MAX].map(|length| (put, length))) {
        let mut run = closed_run();
        reseal(block(run.last(), 2), 3 * 4096, |header| put(header, length));
        // The checksum fits: a newer version may mean something by it.
        let report = check(&run, &[2], Verdict::Newer);
        assert_eq!((report.blocks.newer, report.blocks.lost), (1, 0));
    }
}

#[test]
fn a_block_with_fewer_records_than_its_header_says_is_lost() {
    for length in [0, 1, 32, 64] {
        let mut run = closed_run();
        reseal(block(run.last(), 2), 3 * 4096, |header| header.valid = U32::new(length));
        let report = check(&run, &[2], Verdict::Lost);
        assert!(report.unreadable > 0);
    }
}

#[test]
fn a_copy_of_a_block_at_another_offset_is_refused() {
    let mut run = closed_run();
    let third = block(run.last(), 3).to_vec();
    block(run.last(), 2).copy_from_slice(&third);
    check(&run, &[2], Verdict::Lost);
}

#[test]
fn a_log_inside_a_message_is_not_taken_for_part_of_the_log() {
    // The embedded block stands on the grid, at the offset that it was sealed for, with another segment's id.
    let mut inner = TestRun::with_segment(2);
    for n in 0..3_u64 {
        inner.block(Block::new().record(9, n, "inner"));
    }
    let payload_offset = 4096 - 64 - 3 * 32 - 2 * 16 - 64 - 32;
    let mut message = vec![b'.'; payload_offset];
    message.extend_from_slice(&inner.last().bytes[4096..]);
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, &message)).block(Block::new().record(1, 10, "after")).close();
    let directory = written(&[&run]);
    let (messages, report) = read(directory.path());
    assert_eq!((messages.len(), messages[1].as_str()), (2, "after"));
    assert_eq!(report.verdict(), Verdict::Clean);
    // Without the outer header, the search finds the embedded block, and must not take it for the log's.
    run.last().block(1)[0] ^= 1;
    let directory = written(&[&run]);
    let (messages, report) = read(directory.path());
    assert_eq!((messages, report.verdict()), (vec!["after".to_string()], Verdict::Lost));
}

#[test]
fn stale_blocks_of_a_recycled_file_are_counted_and_left_out() {
    let mut old = TestRun::with_segment(2);
    for n in 0..12_u64 {
        old.block(Block::new().record(1, n, "old"));
    }
    let mut run = closed_run();
    let used = run.last().bytes.len();
    run.last().bytes.extend_from_slice(&old.last().bytes[used..]);
    let report = check(&run, &[], Verdict::Unconfirmed);
    assert_eq!(report.blocks.stale, 4);
}

#[test]
fn bytes_after_the_clean_end_are_a_note() {
    let mut run = closed_run();
    run.last().bytes.extend_from_slice(&[7; 5000]);
    let report = check(&run, &[], Verdict::Clean);
    assert_eq!((report.blocks.stray, report.findings.len()), (1, 1));
}

#[test]
fn a_damaged_segment_header_loses_no_record() {
    for byte in [0, 9, 13, 30, 70, 100] {
        let mut run = closed_run();
        run.last().block(0)[byte] ^= 4;
        let report = check(&run, &[], Verdict::Unconfirmed);
        assert_eq!((report.blocks.damaged_headers, report.blocks.lost), (1, 0), "byte {byte}");
        assert!(!report.runs[0].run.is_known());
    }
}

#[test]
fn a_zeroed_segment_header_is_not_taken_for_a_prepared_file() {
    let mut run = closed_run();
    run.last().block(0).fill(0);
    let report = check(&run, &[], Verdict::Unconfirmed);
    assert_eq!((report.blocks.damaged_headers, report.prepared_files), (1, 0));
}

#[test]
fn a_bad_segment_header_is_torn_if_no_block_testifies_for_the_segment() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0"));
    run.last().block(0)[100] ^= 1;
    let report = check(&run, &[1, 2, 3, 4, 5], Verdict::Unconfirmed);
    assert_eq!((report.blocks.damaged_headers, report.blocks.torn), (0, 1));
}

/// Three segments with two blocks each, closed.
pub(super) fn three_segments() -> TestRun {
    let mut run = TestRun::with_segment(1);
    for n in 0..6_u64 {
        if n > 0 && n % 2 == 0 {
            run.segment(n / 2 + 1);
        }
        run.block(Block::new().in_flight(1).record(1, 10 * n, n.to_string()));
    }
    run.close();
    run
}

#[test]
fn a_damaged_header_in_the_middle_of_a_run_does_not_split_it() {
    let mut run = three_segments();
    run.segments[1].block(0)[9] ^= 1;
    let report = check(&run, &[], Verdict::Unconfirmed);
    assert_eq!((report.runs.len(), report.runs[0].segments, report.blocks.damaged_headers), (1, 3, 1));
    assert!(report.runs[0].clean_end && report.runs[0].producers[0].holds);
}

#[test]
fn a_damaged_header_of_the_last_segment_does_not_split_the_run() {
    let mut run = three_segments();
    run.segments[2].block(0)[9] ^= 1;
    let report = check(&run, &[], Verdict::Unconfirmed);
    assert_eq!((report.runs.len(), report.runs[0].segments, report.blocks.damaged_headers), (1, 3, 1));
    assert!(report.runs[0].clean_end && report.runs[0].producers[0].holds);
}

#[test]
fn a_missing_middle_segment_is_lost() {
    let mut run = three_segments();
    run.segments.remove(1);
    let report = check(&run, &[2, 3], Verdict::Lost);
    assert_eq!(report.blocks.lost, 2);
    assert!(report.findings[0].path.ends_with("00000002.dlog"), "{:?}", report.findings);
    let producer = &report.runs[0].producers[0];
    assert_eq!((producer.damaged, producer.holds), (2, true));
}

#[test]
fn missing_first_segments_are_retired_if_a_segment_says_that_retention_was_set() {
    let mut run = three_segments();
    run.segments.remove(0);
    let mut later = TestRun::new(2);
    later.retains = true;
    later.segment(4).block(Block::new().record(1, 0, "6")).close();
    let (_, report) = read(written(&[&run, &later]).path());
    assert_eq!((report.verdict(), report.runs[0].retired), (Verdict::Clean, true), "{report:#?}");
    let report = check(&run, &[0, 1], Verdict::Unconfirmed);
    assert!(report.runs[0].retired);
    assert!(report.findings[0].what.contains("nothing says that retention was set"), "{:?}", report.findings);
    let producer = &report.runs[0].producers[0];
    assert_eq!((producer.attempted, producer.retired, producer.records, producer.damaged), (6, 2, 4, 0));
}

#[test]
fn a_missing_run_is_noticed_by_the_numbers_of_its_files() {
    let run = |number: u8, retains| {
        let mut run = TestRun::new(number);
        run.retains = retains;
        run.segment(number.into()).block(Block::new().record(1, 0, "0")).close().clone()
    };
    let verdict = |runs: &[TestRun]| {
        let (_, report) = read(written(&runs.iter().collect::<Vec<_>>()).path());
        (report.verdict(), report.findings.first().map(|finding| finding.what.clone()).unwrap_or_default())
    };
    assert_eq!(verdict(&[run(1, false), run(2, false), run(3, false)]), (Verdict::Clean, String::new()));
    for left in [[2, 3], [1, 3]] {
        let (found, what) = verdict(&left.map(|number| run(number, false)));
        assert_eq!(found, Verdict::Unconfirmed);
        assert!(what.contains("one of the log's files before it is missing"), "{what}");
    }
    // Retention removes the oldest segments, those of earlier runs included.
    assert_eq!(verdict(&[run(2, false), run(3, true)]).0, Verdict::Clean);
}

#[test]
fn a_run_of_another_log_is_named_and_not_read() {
    let run = |log: u8, number: u8| {
        let mut run = TestRun::new(number);
        run.log = log;
        run.segment(number.into()).block(Block::new().record(1, 0, number.to_string())).close().clone()
    };
    for (logs, foreign) in [([9, 9, 8], "00000003.dlog"), ([9, 8, 9], "00000002.dlog"), ([8, 9, 9], "00000001.dlog")] {
        let runs = [run(logs[0], 1), run(logs[1], 2), run(logs[2], 3)];
        let (messages, report) = read(written(&[&runs[0], &runs[1], &runs[2]]).path());
        assert_eq!((messages.len(), report.verdict()), (2, Verdict::Unconfirmed));
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert!(finding.what.contains("another log") && finding.path.ends_with(foreign), "{finding}");
    }
}

#[test]
fn a_run_whose_files_were_emptied_is_unconfirmed() {
    let closed = |number: u8| {
        let mut run = TestRun::new(number);
        run.segment(2 * u64::from(number)).block(Block::new().record(1, 0, "0"));
        run.segment(2 * u64::from(number) + 1).block(Block::new().record(1, 1, "1")).close().clone()
    };
    for emptied in [&[1][..], &[2], &[3], &[1, 2, 3]] {
        for bytes in [0, 4096] {
            let mut runs = [1, 2, 3].map(closed);
            for run in emptied {
                runs[run - 1].segments.iter_mut().for_each(|image| image.bytes = vec![0; bytes]);
            }
            let first = runs[emptied[0] - 1].segments[0].file_name();
            let (_, report) = read(written(&runs.iter().collect::<Vec<_>>()).path());
            assert_eq!(report.verdict(), Verdict::Unconfirmed, "{emptied:?}");
            let last = report.findings.last().expect("a finding");
            assert!(last.what.contains("holds no block, nor do") && last.path.ends_with(&first), "{last}");
        }
    }
}

#[test]
fn an_emptied_first_segment_is_lost_if_retention_cannot_explain_it() {
    for bytes in [0, 10, 4096] {
        let mut run = three_segments();
        run.segments[0].bytes = vec![0; bytes];
        let report = check(&run, &[0, 1], Verdict::Lost);
        assert_eq!((report.blocks.lost, report.runs[0].retired), (2, false));
    }
}

#[test]
fn an_emptied_segment_that_retention_may_explain_is_unconfirmed() {
    let mut run = three_segments();
    run.segments.remove(0);
    run.segments[0].bytes.clear();
    let report = check(&run, &[0, 1, 2, 3], Verdict::Unconfirmed);
    assert!(report.runs[0].retired);
    assert!(report.findings[0].what.contains("holds no block"), "{:?}", report.findings);
}

#[test]
fn a_segment_that_failed_before_its_header_was_written_is_no_finding() {
    let mut run = TestRun::with_segment(1);
    run.last().bytes.fill(0);
    run.segment(2).block(Block::new().record(1, 0, "0")).close();
    let report = check(&run, &[1, 2, 3, 4, 5], Verdict::Clean);
    assert_eq!((report.prepared_files, report.runs[0].retired), (1, false));
}

#[test]
fn a_missing_last_segment_is_unconfirmed() {
    let mut run = three_segments();
    run.segments.remove(2);
    check(&run, &[4, 5], Verdict::Unconfirmed);
}

#[test]
fn a_segment_that_is_there_twice_is_read_once() {
    let run = three_segments();
    let directory = written(&[&run]);
    let copy = directory.path().join("00000009.dlog");
    std::fs::copy(directory.path().join("00000002.dlog"), copy).expect("copy");
    let (messages, report) = read(directory.path());
    assert_eq!(messages, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!((report.verdict(), report.blocks.duplicates), (Verdict::Unconfirmed, 2));
    assert_eq!(report.findings.len(), 1, "{report:#?}");
}

#[test]
fn blocks_left_by_a_failed_segment_are_read_once() {
    let mut run = open_run();
    run.again(5, 2).close();
    let report = check(&run, &[], Verdict::Clean);
    assert_eq!((report.blocks.good, report.blocks.duplicates), (8, 2));
}

#[test]
fn a_torn_copy_in_a_failed_segment_is_not_lost() {
    for damage in [0..64, 80..90, 0..4096] {
        let mut run = open_run();
        run.again(5, 2).close();
        block(&mut run.segments[0], 4)[damage.clone()].fill(0xA5);
        let report = check(&run, &[], Verdict::Clean);
        assert_eq!((report.blocks.lost, report.blocks.duplicates), (0, 2), "{damage:?}");
    }
}

#[test]
fn for_a_torn_copy_in_the_fresh_segment_the_one_in_the_failed_segment_is_read() {
    let mut run = open_run();
    run.again(5, 2).close();
    run.segments[1].block(1)[80] ^= 1;
    let report = check(&run, &[], Verdict::Clean);
    assert_eq!((report.blocks.lost, report.blocks.duplicates), (0, 2));
}

#[test]
fn a_block_torn_in_both_segments_is_lost() {
    let mut run = open_run();
    run.again(5, 2).close();
    run.segments[1].block(1)[80] ^= 1;
    block(&mut run.segments[0], 4)[80] ^= 1;
    let report = check(&run, &[4], Verdict::Lost);
    assert_eq!(report.blocks.lost, 1);
}

#[test]
fn a_block_that_was_never_written_again_is_lost_with_its_failed_segment() {
    // The fresh segment begins with block 5; block 4 is torn in the failed one.
    let mut run = open_run();
    run.again(6, 2).close();
    block(&mut run.segments[0], 4).fill(0xA5);
    let report = check(&run, &[4], Verdict::Lost);
    assert_eq!(report.blocks.lost, 1);
}

#[test]
fn a_run_that_was_killed_stays_torn_and_the_next_one_is_clean() {
    let mut died = open_run();
    block(died.last(), 5)[80] ^= 1;
    let mut next = TestRun::new(2);
    next.segment(2).block(Block::new().record(1, 3, "next")).close();
    let directory = written(&[&died, &next]);
    let (messages, report) = read(directory.path());
    assert_eq!(messages, ["0", "1", "2", "3", "4", "next"]);
    assert_eq!((report.verdict(), report.blocks.torn), (Verdict::Unconfirmed, 1));
    assert_eq!((report.runs[0].blocks.torn, report.runs[0].clean_end), (1, false));
    assert_eq!((report.runs[1].blocks.torn, report.runs[1].clean_end), (0, true));
}

#[test]
fn after_a_block_with_unknown_in_flight_a_missing_one_is_a_hole() {
    let mut run = TestRun::with_segment(1);
    for n in 0..6_u64 {
        run.block(Block::new().in_flight(u16::MAX).record(1, 10 * n, n.to_string()));
    }
    block(run.last(), 2).fill(0);
    let report = check(&run, &[2], Verdict::Unconfirmed);
    assert_eq!((report.blocks.holes, report.blocks.lost), (1, 0));
}

#[test]
fn a_declared_loss_whose_record_is_in_the_files_is_a_contradiction() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").record(1, 10, "1"));
    // The producer's row says that one of two attempts was dropped, and both records are there.
    run.change_row(1, |row| (row.records, row.dropped) = (1, 1));
    run.close();
    let report = check(&run, &[2, 3, 4, 5], Verdict::Lost);
    assert!(!report.runs[0].producers[0].holds);
    assert!(report.findings[0].what.contains("has 1 record more than it counted"), "{:?}", report.findings);
}

#[test]
fn counts_that_do_not_add_up_are_a_contradiction() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").lose(1, 5).record(1, 10, "1"));
    run.change_row(1, |row| row.dropped = 4);
    run.close();
    let report = check(&run, &[2, 3, 4, 5], Verdict::Lost);
    assert!(report.findings[0].what.contains("ends with 7 attempts, and accounts for 6"), "{:?}", report.findings);
}

#[test]
fn records_that_vanish_without_a_missing_block_are_a_contradiction() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0"));
    run.change_row(1, |row| (row.next_sequence, row.records) = (2, 2));
    run.block(Block::new().record(1, 10, "1")).close();
    let report = check(&run, &[2, 3, 4, 5], Verdict::Lost);
    assert!(report.findings[0].what.contains("lacks 1 record, though no block is missing"), "{:?}", report.findings);
}

#[test]
fn a_repeated_sequence_number_is_a_contradiction() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").record(1, 10, "1"));
    run.change_row(1, |row| row.next_sequence = 1);
    run.block(Block::new().record(1, 20, "2")).close();
    let report = check(&run, &[3, 4, 5], Verdict::Lost);
    assert!(!report.runs[0].producers[0].holds);
}

#[test]
fn a_producer_without_final_counts_in_a_closed_run_is_a_contradiction() {
    let mut run = open_run();
    run.block(Block::new().flags(crate::format::BlockFlags::CLEAN_END));
    let report = check(&run, &[], Verdict::Lost);
    assert!(report.findings[0].what.contains("no final counts"), "{:?}", report.findings);
}

#[test]
fn verify_alone_finds_times_that_go_back_or_are_outside_their_blocks() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 100, "0").record(1, 10, "1")).close();
    let directory = written(&[&run]);
    let verification = verify(directory.path()).expect("verify");
    assert_eq!(verification.verdict, Verdict::Lost);
    assert!(verification.report.findings[0].what.contains("times that go back"));
    let mut run = closed_run();
    reseal(block(run.last(), 2), 3 * 4096, |header| header.last_ns = U64::new(19));
    let directory = written(&[&run]);
    let verification = verify(directory.path()).expect("verify");
    assert!(verification.report.findings[0].what.contains("outside the times"), "{:?}", verification.report.findings);
    let mut reader = Reader::open(directory.path()).expect("open");
    assert_eq!(rows(&mut reader).len(), 6);
}

#[test]
fn records_of_unknown_kinds_are_skipped_or_newer() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").kind(1, 5, 0x90, "later").record(1, 10, "1").note(0xF0, b"later"));
    run.close();
    let report = check(&run, &[2, 3, 4, 5], Verdict::Clean);
    assert_eq!((report.skipped, report.unreadable), (2, 0));
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 0, "0").kind(1, 5, 0x30, "later").record(1, 10, "1").note(0x70, b"later"));
    run.close();
    let report = check(&run, &[2, 3, 4, 5], Verdict::Newer);
    assert_eq!((report.skipped, report.newer_records, report.unreadable), (0, 2, 0));
}

#[test]
fn a_block_with_unknown_flags_is_newer_not_lost() {
    let mut run = closed_run();
    reseal(block(run.last(), 2), 3 * 4096, |header| header.flags.set(0x0100));
    let report = check(&run, &[2], Verdict::Newer);
    assert_eq!((report.blocks.newer, report.blocks.lost), (1, 0));
}

#[test]
fn a_newer_block_of_many_grid_positions_is_stepped_over_whole() {
    type Put = fn(&mut crate::format::BlockHeader);
    let puts: [Put; 2] = [|header| header.flags.set(0x0100), |header| header.magic[3] = b'2'];
    for put in puts {
        let mut run = TestRun::with_segment(1);
        run.block(Block::new().record(1, 0, "0")).block(Block::new().record(1, 10, "1".repeat(9000)));
        run.block(Block::new().record(1, 20, "2")).close();
        reseal(block(run.last(), 1), 2 * 4096, put);
        let (messages, report) = read(written(&[&run]).path());
        assert!(messages == ["0", "2"], "{} messages", messages.len());
        assert_eq!((report.blocks.newer, report.blocks.lost, report.blocks.stray), (1, 0, 0), "{report:#?}");
    }
}
