//! Blocks that the device refused, and that the writer moved to a later segment: a good copy counts wherever it stands.
//!
//! The model writes as the writer does. Several blocks are in flight, some of them in the next segments already. If one
//! is refused, all that are not durable go to a new segment, which begins with a lower number than those before it.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::Filter;
use crate::format::BlockFlags;
use crate::reader::test_log::reseal;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is acknowledged.
    Accepted,
    /// It is refused, and nothing of it is there.
    Absent,
    /// It is refused, and the end of it is missing.
    Torn,
    /// It is refused, and its beginning is damaged.
    Headless,
    /// It is refused, and all of it is there.
    Whole,
}

use Fate::{Absent, Accepted, Headless, Torn, Whole};

/// The size of a log, and how it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Blocks before the last two, which hold the producers' ends and the clean end.
    pub(super) blocks: u64,
    /// Blocks in a segment.
    pub(super) segment_blocks: usize,
    /// Writes in flight, segments' headers included.
    pub(super) in_flight: usize,
}

/// The writer and its device.
pub(super) struct Writer {
    shape: Shape,
    pub(super) run: TestRun,
    /// The index of its first segment.
    first_index: u64,
    /// Each block's bytes.
    made: Vec<Vec<u8>>,
    /// The numbers of the blocks that are not durable.
    waiting: VecDeque<u64>,
    durable: u64,
    /// Blocks placed in the last segment.
    placed: usize,
    /// The numbers of the blocks that a file holds whole.
    good: BTreeSet<u64>,
    /// Segments' headers that were refused.
    headers_refused: Vec<Fate>,
}

impl Writer {
    fn new(name: u8, first_index: u64, shape: Shape) -> Writer {
        let mut run = TestRun::new(name);
        let mut made: Vec<_> = (0..shape.blocks)
            .map(|n| {
                let block = Block::new().record(1, 10 * n, n.to_string());
                run.make(&if n % 3 == 1 { block.lose(2, n).record(2, 10 * n + 1, format!("{n}b")) } else { block })
            })
            .collect();
        let ends = Block::new().end(1);
        made.push(run.make(&if shape.blocks > 1 { ends.end(2) } else { ends }));
        made.push(run.make(&Block::new().flags(BlockFlags::CLEAN_END)));
        let waiting = (0..made.len() as u64).collect();
        Writer {
            shape,
            run,
            first_index,
            made,
            waiting,
            durable: 0,
            placed: 0,
            good: BTreeSet::new(),
            headers_refused: Vec::new(),
        }
    }

    /// A run whose writes have these `fates`, after as many turns of the writer.
    pub(super) fn write_all(name: u8, first_index: u64, shape: Shape, fates: Vec<Fate>, turns: usize) -> Writer {
        let mut writer = Writer::new(name, first_index, shape);
        let mut fates = fates.into_iter();
        for _ in 0..turns {
            if writer.is_done() {
                break;
            }
            writer.write(|| fates.next().unwrap_or(Accepted));
        }
        writer
    }

    /// Makes the last block of the last segment what `fate` leaves of it. Returns whether the write was acknowledged.
    fn leave(&mut self, number: Option<u64>, fate: Fate) -> bool {
        if number.is_none() && fate != Accepted {
            self.headers_refused.push(fate);
        }
        // The clean end has no payload that could be torn.
        let is_clean_end = number.is_some_and(|number| number + 1 == self.made.len() as u64);
        let image = self.run.last();
        let bytes = image.block(image.offsets.len() - 1);
        match fate {
            Torn if is_clean_end => self.good.extend(number),
            Accepted | Whole => self.good.extend(number),
            Absent => bytes.fill(0),
            Torn => bytes[70..].fill(0),
            Headless => bytes[..512].fill(7),
        }
        fate == Accepted
    }

    fn begin_segment(&mut self, durable: u64, fate: Fate) -> bool {
        let index = self.run.segments.len() as u64 + self.first_index;
        let first = self.waiting.front().copied().expect("a segment begins with a block");
        self.run.segment_from(index, first);
        reseal(self.run.last().block(0), 0, |header| header.in_flight = ((first - durable) as u16).into());
        self.placed = 0;
        self.leave(None, fate)
    }

    /// Submits as many writes as may be in flight, and waits for all of them.
    fn write(&mut self, mut fate: impl FnMut() -> Fate) {
        let (mut submitted, mut prefix) = (VecDeque::new(), true);
        let mut any_refused = false;
        let durable = self.durable;
        for _ in 0..self.shape.in_flight {
            let Some(&number) = self.waiting.front() else { break };
            let is_clean_end = number + 1 == self.made.len() as u64;
            if is_clean_end && number > durable {
                break;
            }
            let accepted = if self.run.segments.is_empty() || self.placed == self.shape.segment_blocks {
                self.begin_segment(durable, fate())
            } else {
                self.waiting.pop_front();
                submitted.push_back(number);
                self.placed += 1;
                let bytes = self.made[number as usize].clone();
                self.run.put(&bytes, |header| header.in_flight = ((number - durable) as u16).into());
                self.leave(Some(number), fate())
            };
            any_refused |= !accepted;
            prefix &= accepted;
            if prefix && submitted.back() == Some(&self.durable) {
                self.durable += 1;
            }
        }
        if any_refused {
            submitted.retain(|&number| number >= self.durable);
            submitted.into_iter().rev().for_each(|number| self.waiting.push_front(number));
            // The next segment is entered at the next write.
            self.placed = self.shape.segment_blocks;
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The messages in the blocks that a file holds whole.
    fn messages(&self) -> Vec<String> {
        let good = (0..self.shape.blocks).filter(|number| self.good.contains(number));
        let messages = good.flat_map(|n| [Some(n.to_string()), (n % 3 == 1).then(|| format!("{n}b"))]);
        messages.flatten().collect()
    }

    /// Checks what the reader and `verify` find.
    fn check(&self) {
        let directory = written(&[&self.run]);
        let is_empty = self.run.segments.iter().all(|image| image.bytes.iter().all(|&byte| byte == 0));
        if is_empty || (self.good.is_empty() && Reader::open(directory.path()).is_err()) {
            return;
        }
        let (messages, report) = read(directory.path());
        let expected = self.messages();
        assert_eq!(messages, expected, "{report:#?}");
        let (lost, damaged_headers) = (report.blocks.lost, report.blocks.damaged_headers);
        assert_eq!((lost, damaged_headers), (0, 0), "nothing that was acknowledged is gone: {report:#?}");
        assert!(report.runs.iter().all(|run| run.producers.iter().all(|row| row.holds)), "{report:#?}");
        // Of a segment whose header was refused, it may be unknown to which run it belongs, or whether it is one.
        let is_plain = self.headers_refused.len() <= 1 && !self.headers_refused.contains(&Headless);
        if self.is_done() && is_plain && report.unreadable_files == 0 {
            // Some attempts were dropped.
            let verdict = if self.shape.blocks > 1 { Verdict::Dropped } else { Verdict::Clean };
            assert_eq!(report.verdict(), verdict, "{report:#?}");
        }
        if self.is_done() {
            assert_eq!(report.blocks.good, self.made.len() as u64);
        } else if !self.good.contains(&(self.made.len() as u64 - 1)) {
            assert_eq!(report.verdict(), Verdict::Unconfirmed, "{report:#?}");
        }
        for count in [1, self.shape.blocks / 2] {
            let mut reader = ReadOptions::new().at_least_last(count).open(directory.path()).expect("open");
            let last = all_messages(&mut reader);
            let wanted = expected.len().saturating_sub(count as usize);
            let ends = last.len().checked_sub(expected.len() - wanted).map(|from| &last[from..]);
            let is_wanted = |(got, wanted): (&String, &String)| got == wanted;
            assert!(
                ends.is_some_and(|ends| ends.iter().zip(&expected[wanted..]).all(is_wanted)),
                "{count}: {last:?}, of {expected:?}"
            );
            // Of one producer, each of the wanted records comes, and they are the last of it.
            let expected: Vec<_> = expected.iter().filter(|message| message.ends_with('b')).collect();
            let options = ReadOptions::new().at_least_last(count).filter(Filter::new().producer("worker-2"));
            let last = all_messages(&mut options.open(directory.path()).expect("open"));
            let wanted = expected.len().min(count as usize);
            assert!(last.len() >= wanted, "{count}: {last:?}, of {expected:?}");
            assert!(
                last.iter().eq(expected[expected.len() - last.len()..].iter().copied()),
                "{last:?}, of {expected:?}"
            );
        }
    }
}

/// Follows a log while it is written: every record that a file holds comes, and comes once.
fn follow(shape: Shape, fates: Vec<Fate>, turns: usize) {
    let directory = directory();
    let logger = locked(&directory);
    let mut writer = Writer::new(1, 1, shape);
    let (mut reader, mut given, mut fates) = (None, Vec::new(), fates.into_iter());
    for _ in 0..turns {
        if writer.is_done() {
            break;
        }
        writer.write(|| fates.next().unwrap_or(Accepted));
        writer.run.write(directory.path());
        if reader.is_none() {
            reader = Reader::open(directory.path()).ok();
        }
        if let Some(reader) = &mut reader {
            given.extend(more(reader));
        }
    }
    drop(logger);
    // Without a block that can be read, nothing shows that it is a log.
    let Some(mut reader) = reader.filter(|_| !writer.good.is_empty()) else { return };
    given.extend(more(&mut reader));
    while reader.pass_over_missing(Duration::ZERO).expect("read") {
        given.extend(rows(&mut reader));
    }
    given.sort_by_key(|row| row.1);
    let given: Vec<_> = given.into_iter().map(|row| row.0).collect();
    assert_eq!(given, writer.messages(), "{:#?}", reader.report());
}

/// Calls `check` with every sequence of `length` fates.
fn each_sequence(fates: &[Fate], length: usize, check: &mut impl FnMut(&[Fate])) {
    let mut sequence = vec![0; length];
    loop {
        check(&sequence.iter().map(|&at| fates[at]).collect::<Vec<_>>());
        let Some(at) = sequence.iter().rposition(|&at| at + 1 < fates.len()) else { return };
        sequence[at] += 1;
        sequence[at + 1..].fill(0);
    }
}

#[test]
fn every_order_of_refusals_over_three_segments_loses_nothing() {
    // The first segment gets two blocks, and the next one is begun while the second of them is in flight.
    let shape = Shape { blocks: 6, segment_blocks: 2, in_flight: 6 };
    each_sequence(&[Accepted, Absent, Torn], shape.in_flight, &mut |fates| {
        let mut writer = Writer::new(1, 1, shape);
        let mut next = fates.iter().copied();
        while !writer.is_done() {
            writer.write(|| next.next().unwrap_or(Accepted));
            if fates.iter().any(|&fate| fate != Accepted) {
                writer.check();
            }
        }
    });
}

#[test]
fn blocks_that_moved_between_two_segments_without_a_header_are_given_once() {
    let fates = vec![Headless, Absent, Accepted, Accepted, Absent, Accepted];
    Writer::write_all(1, 1, Shape { blocks: 2, segment_blocks: 3, in_flight: 4 }, fates, 2).check();
}

#[test]
fn a_copy_in_a_segment_that_its_place_alone_assigns_tells_whose_the_first_one_is() {
    let fates = vec![Absent, Accepted, Absent, Accepted, Accepted, Accepted, Accepted, Absent, Accepted, Absent];
    Writer::write_all(1, 1, Shape { blocks: 4, segment_blocks: 1, in_flight: 7 }, fates, 2).check();
}

#[test]
fn a_header_that_names_blocks_it_does_not_hold_tells_whose_the_first_segment_is() {
    let fates = [&[Absent, Accepted, Accepted][..], &[Absent], &[Accepted; 3], &[Absent; 2], &[Accepted; 3]].concat();
    let fates = [&fates[..], &[Absent, Accepted, Accepted, Absent]].concat();
    Writer::write_all(1, 1, Shape { blocks: 3, segment_blocks: 2, in_flight: 6 }, fates, 3).check();
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn who_follows_a_log_waits_for_the_header_that_says_whose_the_segments_before_it_are() {
    follow(Shape { blocks: 1, segment_blocks: 1, in_flight: 2 }, vec![Absent, Accepted, Absent, Accepted], 3);
}

#[test]
fn who_follows_a_log_waits_for_blocks_that_move_behind_a_later_segment() {
    let fates = [&[Absent, Accepted, Accepted, Accepted, Absent, Accepted, Absent][..], &[Accepted; 10]].concat();
    let fates = [&fates[..], &[Absent, Absent, Headless, Accepted]].concat();
    follow(Shape { blocks: 5, segment_blocks: 1, in_flight: 3 }, fates, 8);
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn who_follows_a_log_waits_for_its_first_block_though_no_header_is_before_it() {
    let fates = vec![Absent, Absent, Accepted, Accepted, Accepted, Accepted, Headless];
    follow(Shape { blocks: 3, segment_blocks: 4, in_flight: 5 }, fates, 3);
    follow(Shape { blocks: 2, segment_blocks: 1, in_flight: 3 }, vec![Headless, Absent, Accepted], 2);
    let fates = vec![Headless, Absent, Headless, Accepted, Whole];
    follow(Shape { blocks: 4, segment_blocks: 3, in_flight: 7 }, fates, 2);
    let fates = vec![Absent, Headless, Absent, Accepted, Accepted];
    follow(Shape { blocks: 2, segment_blocks: 1, in_flight: 5 }, fates, 2);
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn who_follows_a_log_finds_blocks_behind_a_bad_header_once_the_logger_has_gone() {
    let fates = [&[Accepted; 3][..], &[Absent], &[Accepted; 4], &[Headless]].concat();
    follow(Shape { blocks: 6, segment_blocks: 3, in_flight: 4 }, fates, 3);
}

#[test]
fn who_follows_a_log_gets_a_block_once_though_the_headers_of_its_segment_and_the_next_are_bad() {
    let fates = vec![Headless, Accepted, Absent, Accepted, Accepted];
    follow(Shape { blocks: 2, segment_blocks: 1, in_flight: 5 }, fates, 2);
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn who_follows_a_log_gets_a_block_once_though_nothing_stands_between_its_segment_and_a_later_one() {
    let fates = vec![Absent, Whole, Absent, Absent, Accepted];
    follow(Shape { blocks: 2, segment_blocks: 1, in_flight: 5 }, fates, 2);
    // The next one says nothing: its header is torn, and its block is damaged.
    let fates = vec![Absent, Accepted, Absent, Accepted, Torn, Headless, Whole];
    follow(Shape { blocks: 3, segment_blocks: 1, in_flight: 7 }, fates, 2);
}

#[test]
fn good_copies_after_a_torn_block_are_read_though_the_first_copies_are_torn() {
    let fates = vec![Accepted, Absent, Torn, Torn, Torn, Accepted, Torn];
    Writer::write_all(1, 1, Shape { blocks: 3, segment_blocks: 4, in_flight: 5 }, fates, 2).check();
}

/// Half of the writes are refused, in one way or another.
pub(super) fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Accepted), 1 => Just(Absent), 1 => Just(Torn), 1 => Just(Headless), 1 => Just(Whole)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn refusals_one_after_the_other_lose_nothing(
        blocks in 1..14_u64,
        segment_blocks in 1..5_usize,
        in_flight in 1..8_usize,
        fates in prop::collection::vec(fate(), 0..60),
        writes in 1..40_usize,
    ) {
        Writer::write_all(1, 1, Shape { blocks, segment_blocks, in_flight }, fates, writes).check();
    }

    #[test]
    #[cfg(all(target_os = "linux", not(diolog_portable)))]
    fn who_follows_a_log_while_writes_are_refused_gets_each_record_once(
        blocks in 1..8_u64,
        segment_blocks in 1..5_usize,
        in_flight in 1..8_usize,
        fates in prop::collection::vec(fate(), 0..24),
        turns in 1..12_usize,
    ) {
        follow(Shape { blocks, segment_blocks, in_flight }, fates, turns);
    }
}
