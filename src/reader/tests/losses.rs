//! Records that are missing from intact files: dropped, overwritten, or left in a ring by close.

use super::*;

#[test]
fn records_that_close_left_in_rings_are_lost() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a"));
    run.change_row(1, |row| (row.next_sequence, row.unwritten) = (3, 2));
    let directory = written(&[run.close()]);
    let (_, report) = read(directory.path());
    assert_eq!((report.verdict(), report.findings.len()), (Verdict::Lost, 1), "{report:#?}");
    assert!(report.findings[0].what.starts_with("2 records were accepted and not written"), "{report:#?}");
}

#[test]
fn drops_before_the_oldest_segment_do_not_count() {
    let mut run = TestRun::new(1);
    run.retains = true;
    run.segment(1).block(Block::new().record(1, 10, "a").lose(1, 3).record(1, 20, "b"));
    run.segment(2).block(Block::new().record(1, 30, "c"));
    let directory = written(&[run.clone().close()]);
    let (_, report) = read(directory.path());
    assert_eq!((report.verdict(), report.dropped()), (Verdict::Dropped, 3));
    std::fs::remove_file(directory.path().join("00000001.dlog")).expect("ours");
    let (_, report) = read(directory.path());
    assert_eq!((report.verdict(), report.dropped()), (Verdict::Clean, 0), "{report:#?}");
    let row = &report.runs[0].producers[0];
    assert_eq!((row.dropped, row.retired_dropped, row.retired_losses), (3, 3, 3));
    run.block(Block::new().lose(1, 2).record(1, 40, "d"));
    let directory = written(&[run.close()]);
    std::fs::remove_file(directory.path().join("00000001.dlog")).expect("ours");
    let (_, report) = read(directory.path());
    assert_eq!((report.verdict(), report.dropped()), (Verdict::Dropped, 2), "{report:#?}");
}

#[test]
fn what_newer_records_overwrote_is_clean() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a").lose(1, 3).record(1, 20, "b"));
    run.change_row(1, |row| (row.dropped, row.overwritten) = (0, 3));
    let directory = written(&[run.close()]);
    let (_, report) = read(directory.path());
    assert_eq!((report.verdict(), report.runs[0].producers[0].overwritten), (Verdict::Clean, 3), "{report:#?}");
}

#[test]
fn appends_that_found_no_ring_are_lost_too_and_other_refusals_are_not() {
    use zerocopy::IntoBytes;
    let refused = |closed: u64, reentrant: u64, no_ring: u64| {
        let counts = crate::format::RefusalCounts {
            closed: closed.into(),
            reentrant: reentrant.into(),
            no_ring: no_ring.into(),
        };
        Block::new().record(1, 10, "a").note(0x83, counts.as_bytes())
    };
    for (counts, verdict) in [((1, 2, 0), Verdict::Clean), ((0, 0, 3), Verdict::Dropped)] {
        let mut run = TestRun::with_segment(1);
        run.block(refused(0, 0, 0)).block(refused(counts.0, counts.1, counts.2));
        let (_, report) = read(written(&[run.close()]).path());
        let run = &report.runs[0];
        assert_eq!((run.refused_closed, run.refused_reentrant, run.refused_no_ring), counts);
        assert_eq!((report.verdict(), report.dropped()), (verdict, 0));
    }
}
