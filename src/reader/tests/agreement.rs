//! The reader and `verify` find the same, whatever is wrong with a log: random runs with damage of every kind, and with
//! blocks that contradict themselves.

use proptest::prelude::*;

use super::*;

/// One block, or what comes before it.
#[derive(Clone, Debug)]
enum Step {
    /// Records of producers at these times, which may go back, and losses before them.
    Block {
        records: Vec<(u32, u64, u64)>,
        in_flight: u16,
        times: Option<(u64, u64)>,
        claims: Option<u32>,
    },
    Segment,
    /// A segment that holds the last blocks of the one before it again.
    Again(usize),
}

/// Damage to one file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize),
    /// From a grid position on, this many of them.
    Zero(usize, usize),
    Noise(usize, usize),
    Truncate(usize),
    Extend(usize),
    Remove,
    /// One grid position onto another one of the same file.
    Copy(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let record = (1..4_u32, 0..40_u64, prop_oneof![5 => Just(0_u64), 1 => 1..3_u64]);
    let rarely = |range: std::ops::Range<u64>| prop::option::weighted(0.05, (range.clone(), range));
    let block = (prop::collection::vec(record, 0..5), 0..4_u16, rarely(0..60), prop::option::weighted(0.03, 0..5_u32))
        .prop_map(|(records, in_flight, times, claims)| Step::Block { records, in_flight, times, claims });
    prop_oneof![8 => block, 1 => Just(Step::Segment), 1 => (0..4_usize).prop_map(Step::Again)]
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || 0..1_000_000_usize;
    prop_oneof![
        4 => at().prop_map(Damage::Flip),
        2 => (at(), 1..4_usize).prop_map(|(at, count)| Damage::Zero(at, count)),
        2 => (at(), 1..4_usize).prop_map(|(at, count)| Damage::Noise(at, count)),
        1 => at().prop_map(Damage::Truncate),
        1 => (1..4_usize).prop_map(Damage::Extend),
        1 => Just(Damage::Remove),
        1 => (at(), at()).prop_map(|(from, to)| Damage::Copy(from, to)),
    ]
}

/// A run that begins with segment `index`.
fn build(name: u8, index: &mut u64, steps: &[Step], close: bool) -> TestRun {
    let mut run = TestRun::new(name);
    run.segment(*index);
    let mut now = 0;
    for step in steps {
        match step {
            Step::Block { records, in_flight, times, claims } => {
                now += 20;
                let mut block = Block::new().in_flight((*in_flight).min(run.next_block as u16));
                for &(producer, delta, lost) in records {
                    if lost > 0 {
                        block = block.lose(producer, lost);
                    }
                    block = match producer {
                        // Its times may go back, and the callsite may not be defined.
                        3 => block.packed(3, now + delta, 7, &[], b""),
                        _ => block.record(producer, now + delta, "x"),
                    };
                }
                if now % 60 != 0 {
                    block = block.define(7, "y", &[]);
                }
                run.block(block);
                let image = run.last();
                let (n, offset) = (image.offsets.len() - 1, *image.offsets.last().expect("block 0"));
                crate::reader::test_log::reseal(image.block(n), offset, |header| {
                    if let Some((first, last)) = *times {
                        (header.first_ns, header.last_ns) = (first.into(), last.into());
                    }
                    if let Some(more) = *claims {
                        header.shards += zerocopy::little_endian::U32::new(more);
                    }
                });
            }
            Step::Segment => {
                *index += 1;
                run.segment(*index);
            }
            Step::Again(first) => {
                *index += 1;
                let blocks = run.last().offsets.len();
                run.again((blocks - blocks.min(*first)).max(1), *index);
            }
        }
    }
    if close {
        run.close();
    }
    *index += 1;
    run
}

fn hurt(bytes: &mut Vec<u8>, damage: &Damage) {
    let grid = |at: usize, bytes: &[u8]| at % (bytes.len() / 4096).max(1) * 4096;
    match *damage {
        Damage::Flip(bit) => {
            let bit = bit * 37 % (8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Damage::Zero(at, count) | Damage::Noise(at, count) => {
            let begin = grid(at, bytes);
            let end = (begin + 4096 * count).min(bytes.len());
            bytes[begin..end].fill(if matches!(damage, Damage::Zero(..)) { 0 } else { 0xa5 });
        }
        Damage::Truncate(at) => bytes.truncate(at % bytes.len()),
        Damage::Extend(count) => bytes.resize(bytes.len() + 4096 * count, 0),
        Damage::Copy(from, to) => {
            let (from, to) = (grid(from, bytes), grid(to, bytes));
            let length = 4096.min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + length, to);
        }
        Damage::Remove => {}
    }
}

/// What a report says of the runs, but for blocks: whether damaged copies are called torn or duplicates may depend on
/// the order in which files are looked at.
fn known(report: &Report) -> Vec<(RunId, bool, u64, &[ProducerReport])> {
    report.runs.iter().map(|run| (run.run, run.clean_end, run.records, &run.producers[..])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(600), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reader_and_verify_find_the_same_in_damaged_logs(
        first in prop::collection::vec(step(), 1..12),
        second in prop::collection::vec(step(), 1..8),
        closes in (any::<bool>(), any::<bool>()),
        damages in prop::collection::vec((0..20_usize, damage()), 0..4),
    ) {
        let mut index = 1;
        let mut runs = [build(1, &mut index, &first, closes.0), build(2, &mut index, &second, closes.1)];
        let mut images: Vec<_> = runs.iter_mut().flat_map(|run| &mut run.segments).collect();
        let mut removed = Vec::new();
        for (at, damage) in &damages {
            let at = at % images.len();
            match damage {
                Damage::Remove => removed.push(images[at].file_name()),
                damage if !images[at].bytes.is_empty() => hurt(&mut images[at].bytes, damage),
                _ => {}
            }
        }
        let directory = written(&[&runs[0], &runs[1]]);
        for name in removed {
            let _ = std::fs::remove_file(directory.path().join(name));
        }
        let opened = Reader::open(directory.path());
        prop_assert_eq!(opened.is_err(), verify(directory.path()).is_err());
        if opened.is_ok() {
            let mut reader = Reader::open(directory.path()).expect("opened before");
            let mut given = rows(&mut reader).len();
            while reader.pass_over_missing(Duration::ZERO).expect("read") {
                given += rows(&mut reader).len();
            }
            let verified = verify(directory.path()).expect("verify").report;
            let found = reader.report();
            prop_assert_eq!(found.verdict(), verified.verdict(), "{:#?}\n{:#?}", found, verified);
            prop_assert_eq!(given as u64, verified.records);
            prop_assert_eq!(known(found), known(&verified));
        }
    }
}
