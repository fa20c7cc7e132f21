//! Random logs with random damage, compared with a simple model: which records are read, in which order, and how
//! missing blocks are counted.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// One block of a run, before it is written.
#[derive(Clone, Debug)]
struct Plan {
    /// (producer, time since its last record, attempts lost before it).
    records: Vec<(u32, u64, u64)>,
    in_flight: u16,
    /// Whether it begins a segment.
    rotate: bool,
    /// Whether it is zeroed in the file.
    missing: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let record = (1..5_u32, 0..50_u64, prop_oneof![4 => Just(0_u64), 1 => 1..4_u64]);
    let records = prop::collection::vec(record, 0..8);
    (records, 0..4_u16, prop::bool::weighted(0.15), prop::bool::weighted(0.15))
        .prop_map(|(records, in_flight, rotate, missing)| Plan { records, in_flight, rotate, missing })
}

/// A run made of `plans`, and (ns, producer, sequence, block) of each of its records.
fn build(name: u8, first_segment: u64, plans: &[Plan], close: bool) -> (TestRun, Vec<(u64, u32, u64, usize)>) {
    let mut run = TestRun::new(name);
    let mut segment = first_segment;
    run.segment(segment);
    let mut times = [0_u64; 5];
    let mut sequences = [0_u64; 5];
    let mut truth = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        if plan.rotate {
            segment += 1;
            run.segment(segment);
        }
        // Each producer has its own time, which never lies before that of the block.
        let mut block = Block::new().in_flight(plan.in_flight.min(number as u16));
        for &(producer, delta, lost) in &plan.records {
            let at = producer as usize;
            times[at] = times[at].max(20 * number as u64) + delta;
            if lost > 0 {
                block = block.lose(producer, lost);
                sequences[at] += lost;
            }
            block = block.record(producer, times[at], format!("{producer}:{}", sequences[at]));
            truth.push((times[at], producer, sequences[at], number));
            sequences[at] += 1;
        }
        run.block(block);
    }
    if close {
        run.close();
    }
    let mut number = 0;
    for image in &mut run.segments {
        for n in 1..image.offsets.len() {
            if plans.get(number).is_some_and(|plan| plan.missing) {
                image.block(n).fill(0);
            }
            number += 1;
        }
    }
    (run, truth)
}

/// How many blocks are lost, holes and torn, by their definitions, one block at a time.
fn fates(plans: &[Plan], close: bool) -> (u64, u64, u64) {
    // The end records and the clean end follow, with nothing in flight.
    let ends = Plan { records: Vec::new(), in_flight: 0, rotate: false, missing: false };
    let mut all = plans.to_vec();
    if close {
        all.extend([ends.clone(), ends]);
    }
    let good: Vec<_> = (0..all.len()).filter(|&number| !all[number].missing).collect();
    let in_flight = |number: usize| (all[number].in_flight as usize).min(number);
    let (mut lost, mut holes) = (0, 0);
    for number in (0..all.len()).filter(|&number| all[number].missing) {
        // A segment's header holds the number of its first block: what is missing before it is therefore known to be
        // missing.
        let testified = good.iter().any(|&later| later > number && later - in_flight(later) > number);
        let followed = good.iter().any(|&later| later > number);
        if testified {
            lost += 1;
        } else if followed {
            holes += 1;
        }
    }
    let last_good = good.last().map_or(0, |&last| last + 1);
    let named = (0..all.len()).filter(|&number| all[number].rotate).max().unwrap_or(0);
    let torn = named.saturating_sub(last_good) as u64;
    (lost, holes, torn)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_there_comes_in_order_and_what_is_not_is_accounted_for(
        first in prop::collection::vec(plan(), 1..25),
        second in prop::collection::vec(plan(), 1..10),
        close in any::<bool>(),
    ) {
        let (run, truth) = build(1, 1, &first, close);
        let (next, next_truth) = build(2, run.segments.len() as u64 + 1, &second, true);
        let directory = written(&[&run, &next]);
        let mut expected = Vec::new();
        for (plans, mut truth) in [(&first, truth), (&second, next_truth)] {
            truth.retain(|&(.., block)| !plans[block].missing);
            truth.sort_unstable();
            expected.extend(truth.into_iter().map(|(ns, producer, sequence, _)| (ns, producer, sequence)));
        }
        let mut reader = Reader::open(directory.path()).expect("open");
        let got: Vec<_> =
            rows(&mut reader).into_iter().map(|(_, ns, producer, sequence)| (ns, producer, sequence)).collect();
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(reader.report().late, 0);

        let verification = verify(directory.path()).expect("verify");
        let report = &verification.report;
        check_gaps(directory.path(), report)?;
        prop_assert_eq!(&report.runs, &reader.report().runs);
        for (run, plans, close) in [(&report.runs[0], &first, close), (&report.runs[1], &second, true)] {
            let counts = (run.blocks.lost, run.blocks.holes, run.blocks.torn);
            prop_assert_eq!(counts, fates(plans, close), "{:#?}", report.findings);
            prop_assert_eq!(run.clean_end, close);
            check_identity(run, plans, close)?;
        }
        let (lost, holes) = (report.blocks.lost, report.blocks.holes);
        let verdict = match (lost, holes, close) {
            (0, 0, true) if report.dropped() > 0 => Verdict::Dropped,
            (0, 0, true) => Verdict::Clean,
            (0, ..) => Verdict::Unconfirmed,
            _ => Verdict::Lost,
        };
        prop_assert_eq!(verification.verdict, verdict, "{:#?}", report.findings);
    }
}

/// In each run, every number of a producer is that of a record or in a gap, in order; gaps are as many as the report
/// says.
fn check_gaps(path: &Path, report: &Report) -> std::result::Result<(), TestCaseError> {
    let mut next = std::collections::HashMap::new();
    let mut damaged = std::collections::HashMap::new();
    for entry in Reader::open(path).expect("open").entries() {
        let (key, first, count) = match entry.expect("read") {
            Entry::Record(record) => ((record.run(), record.producer_id()), record.sequence(), 1),
            Entry::Gap(gap) => {
                let key = (gap.run(), gap.producer_id());
                if gap.cause() == crate::LossCause::Damaged {
                    *damaged.entry(key).or_insert(0) += gap.count();
                }
                (key, gap.first_sequence(), gap.count())
            }
        };
        let next = next.entry(key).or_insert(0);
        prop_assert_eq!(*next, first, "{:?}", key);
        *next += count;
    }
    for run in &report.runs {
        for row in &run.producers {
            let key = (run.run, row.id);
            if row.ended || row.records == row.attempted {
                prop_assert_eq!(next.get(&key).copied().unwrap_or(0), row.attempted, "{:?}", row);
                prop_assert_eq!(damaged.get(&key).copied().unwrap_or(0), row.damaged, "{:?}", row);
            }
        }
    }
    Ok(())
}

/// The identity, with the model's own counts.
fn check_identity(run: &RunReport, plans: &[Plan], close: bool) -> std::result::Result<(), TestCaseError> {
    let named: BTreeSet<u32> = plans.iter().flat_map(|plan| &plan.records).map(|&(producer, ..)| producer).collect();
    for producer in named {
        let mine =
            |plan: &&Plan| plan.records.iter().filter(|record| record.0 == producer).cloned().collect::<Vec<_>>();
        let all: Vec<_> = plans.iter().collect::<Vec<_>>().iter().flat_map(mine).collect();
        let kept: usize = plans.iter().filter(|plan| !plan.missing).map(|plan| mine(&plan).len()).sum();
        let lost: u64 = all.iter().map(|record| record.2).sum();
        let Some(row) = run.producers.iter().find(|row| row.id == producer) else {
            prop_assert!(!close && kept == 0, "producer {} has left no trace", producer);
            continue;
        };
        prop_assert!(row.holds, "producer {}", producer);
        prop_assert_eq!(row.records, kept as u64);
        if close {
            prop_assert!(row.ended);
            prop_assert_eq!(row.attempted, all.len() as u64 + lost);
            prop_assert_eq!(row.damaged, (all.len() - kept) as u64);
            prop_assert_eq!(row.dropped, lost);
            prop_assert_eq!(row.attempted, row.records + row.dropped + row.damaged);
        }
    }
    Ok(())
}
