//! The order of records: by run, and in a run by time, producer and sequence, merged in bounded memory.

use super::*;

#[test]
fn runs_come_one_after_the_other_whatever_their_clocks_say() {
    let (mut first, mut second) = (TestRun::with_segment(7), TestRun::new(3));
    first.block(Block::new().record(1, 900, "a")).close();
    second.segment(2).block(Block::new().record(1, 100, "b")).close();
    let directory = written(&[&first, &second]);
    let (messages, report) = read(directory.path());
    assert_eq!(messages, ["a", "b"]);
    assert_eq!((report.verdict(), report.late), (Verdict::Clean, 0));
}

#[test]
fn the_order_of_segments_is_in_their_headers_not_in_their_names() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 10, "a")).segment(2).block(Block::new().record(1, 20, "b")).close();
    let directory = directory();
    run.segments[0].index = 9;
    run.segments[1].index = 8;
    run.write(directory.path());
    assert_eq!(read(directory.path()).0, ["a", "b"]);
}

#[test]
fn equal_times_are_decided_by_producer_then_sequence() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(3, 10, "3-0").record(3, 10, "3-1").record(1, 10, "1-0"));
    run.block(Block::new().record(2, 10, "2-0").record(1, 10, "1-1").record(3, 10, "3-2"));
    let directory = written(&[run.close()]);
    assert_eq!(read(directory.path()).0, ["1-0", "1-1", "2-0", "3-0", "3-1", "3-2"]);
}

#[test]
fn a_record_in_a_much_later_block_comes_in_its_place() {
    let mut run = TestRun::with_segment(1);
    for ns in 0..500 {
        run.block(Block::new().record(1, 1000 + ns, format!("{ns}")));
    }
    run.segment(2).block(Block::new().record(2, 1000, "early").record(2, 1250, "middle")).close();
    let directory = written(&[&run]);
    let (messages, report) = read(directory.path());
    assert_eq!((messages[1].as_str(), messages[252].as_str()), ("early", "middle"));
    assert_eq!((messages.len(), report.late), (502, 0));
}

#[test]
fn a_block_written_again_into_a_fresh_segment_is_merged_where_it_belongs() {
    let mut run = TestRun::with_segment(1);
    for ns in 0..4 {
        run.block(Block::new().in_flight(3).record(1, 10 * ns, format!("a{ns}")).record(
            2,
            10 * ns + 25,
            format!("b{ns}"),
        ));
    }
    run.again(2, 2).close();
    run.segments[0].block(2).fill(0xEE);
    let directory = written(&[&run]);
    let (messages, report) = read(directory.path());
    assert_eq!(messages, ["a0", "a1", "a2", "b0", "a3", "b1", "b2", "b3"]);
    assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
    assert_eq!((report.blocks.good, report.blocks.lost, report.blocks.duplicates), (6, 0, 3));
}

#[test]
fn two_hundred_and_fifty_six_producers_in_small_blocks_come_in_order() {
    let mut run = TestRun::with_segment(1);
    let mut expected = Vec::new();
    // Each round drains all producers in turn, and their records interleave: (round, record) of producer p at
    // 1_000_000 * round + 1000 * record + p.
    for round in 0..6_u64 {
        let mut block = Block::new();
        let mut in_block = 0;
        for producer in 1..=256_u32 {
            for record in 0..3_u64 {
                let ns = 1_000_000 * round + 1_000 * record + u64::from(producer);
                block = block.record(producer, ns, "0123456789");
                expected.push((ns, producer, 3 * round + record));
            }
            in_block += 1;
            if in_block == 12 {
                run.block(std::mem::take(&mut block));
                in_block = 0;
            }
        }
        run.block(block);
    }
    let directory = written(&[run.close()]);
    expected.sort_unstable();
    let mut reader = Reader::open(directory.path()).expect("open");
    let got: Vec<_> =
        rows(&mut reader).into_iter().map(|(_, ns, producer, sequence)| (ns, producer, sequence)).collect();
    assert!(got == expected);
    assert_eq!(reader.report().late, 0);
    assert_eq!(read(directory.path()).1.verdict(), Verdict::Clean);
}

#[test]
fn a_record_that_does_not_fit_into_memory_comes_late_and_is_counted() {
    let mut run = TestRun::with_segment(1);
    let filler = vec![b'x'; 1 << 20];
    for ns in 0..80 {
        run.block(Block::new().record(1, 1000 + ns, &filler));
    }
    run.block(Block::new().record(2, 500, "long ago")).close();
    let directory = written(&[&run]);
    let mut reader = Reader::open(directory.path()).expect("open");
    let (mut records, mut last, mut late) = (0, 0, 0);
    while let Some(record) = reader.next_record().expect("read") {
        records += 1;
        late += u64::from(record.timestamp_ns() < last);
        last = last.max(record.timestamp_ns());
    }
    assert_eq!((records, late, reader.report().late), (81, 1, 1));
    assert!(reader.merge.blocks.bytes <= Reader::MEMORY_BYTES_MAX + (2 << 20));
    assert_eq!(reader.report().verdict(), Verdict::Clean);
}

#[test]
fn wall_time_follows_the_anchors_of_its_run() {
    let mut run = TestRun::with_segment(1);
    run.block(Block::new().record(1, 2_000, "a")).block(Block::new().anchor(3_000, 77_000).record(1, 3_500, "b"));
    let directory = written(&[run.close()]);
    let reader = Reader::open(directory.path()).expect("open");
    let times: Vec<_> = reader.map(|record| record.expect("read").unix_ns()).collect();
    assert_eq!(times, [Some(1_000_002_000), Some(77_500)]);
}

#[test]
fn the_last_records_are_read_without_those_far_before_them() {
    let mut runs = [TestRun::new(1), TestRun::new(2)];
    for index in 1..=10 {
        let run = &mut runs[index as usize / 6];
        run.segment(index);
        for n in 0..6 {
            // The writer's own records do not count, even if there are more of them.
            let block = (0..100).fold(Block::new(), |block, at| {
                let ns = 1000 * index + 100 * n + at;
                (0..3).fold(block, |block, _| block.anchor(ns, 0)).record(1, ns, "x")
            });
            run.block(block);
        }
        if index % 5 == 0 {
            run.close();
        }
    }
    let directory = written(&[&runs[0], &runs[1]]);
    let all = rows(&mut Reader::open(directory.path()).expect("open"));
    assert_eq!(all.len(), 6000);
    for (last, read) in
        [(0, 1200), (600, 1200), (601, 1800), (1201, 2400), (2500, 3000), (3001, 4200), (u64::MAX, 6000)]
    {
        let mut reader = ReadOptions::new().at_least_last(last).open(directory.path()).expect("open");
        let rows = rows(&mut reader);
        assert_eq!(rows.len(), read, "{last}");
        assert!(rows == all[all.len() - read..], "{last}");
        let report = reader.report();
        assert_eq!((report.verdict(), report.findings.len()), (Verdict::Clean, 0), "{last}: {report:#?}");
    }
}
