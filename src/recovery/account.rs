//! What the blocks of a dead run account for: its producers, the numbers of missing blocks, and the records that were
//! in those.
//!
//! It knows nothing of rings. If a block did not reach the disk and later ones did, its number is a *hole*. The rows
//! say which records were in it: the next block that names a producer says how far the producer was accounted for
//! before.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::bounds::PRODUCERS_AT_ONCE;
use crate::error::Result;
use crate::format::{IN_FLIGHT_UNKNOWN, ProducerRow};
use crate::reader::{RunTail, TailItem};
use crate::segment::Rows;

/// The most numbers that can be missing in all: as many blocks as can be in flight.
const HOLES_MAX: u64 = IN_FLIGHT_UNKNOWN as u64;

/// A run's blocks, as far as its rings may hold records of them.
#[derive(Debug, Default)]
pub(super) struct RunAccount {
    /// The producers without final counts, and those with records in holes.
    pub(super) producers: BTreeMap<u32, KnownProducer>,
    /// The producers that have final counts.
    pub(super) ended: HashSet<u32>,
    /// The numbers of missing blocks, in order.
    pub(super) holes: Vec<u64>,
    /// The number of the next block.
    pub(super) next_number: u64,
    /// Whether a block ends the run.
    pub(super) is_ended: bool,
    /// Whether the account before these blocks is known.
    pub(super) has_baseline: bool,
    /// The producers as the blocks before the first hole account for them; `None` without a hole.
    pub(super) before_holes: Option<Vec<ProducerRow>>,
    /// The number after the writer's last own record.
    pub(super) own_sequence: u64,
    /// Why the run cannot be recovered by this version, if so.
    pub(super) obstacle: Option<&'static str>,
}

/// A producer, as the blocks account for it.
#[derive(Clone, Debug)]
pub(super) struct KnownProducer {
    /// Its last row, with the counts after the last block.
    pub(super) row: ProducerRow,
    /// The time of its last record, if that is in one of the blocks; else 0.
    last_ns: u64,
    /// Its records before the blocks, if there are any, have no later time.
    earlier_ns: u64,
    /// Its records in missing blocks, in order.
    pub(super) parts: Vec<HoleRecords>,
    /// All blocks below this number are accounted for in `row`.
    seen_below: u64,
}

/// Records of a producer that were in missing blocks.
#[derive(Clone, Debug)]
pub(super) struct HoleRecords {
    /// The row before them.
    pub(super) row: ProducerRow,
    /// Their numbers, and those of attempts that were dropped between them.
    pub(super) sequences: Range<u64>,
    /// The holes that they were in: one of these, or some.
    pub(super) holes: Range<usize>,
    /// The times of the producer's records before and after them.
    pub(super) after_ns: u64,
    pub(super) before_ns: u64,
}

impl KnownProducer {
    /// A producer with this row, and nothing in missing blocks.
    pub(super) fn from_row(row: ProducerRow) -> KnownProducer {
        KnownProducer { row, last_ns: 0, earlier_ns: 0, parts: Vec::new(), seen_below: 0 }
    }

    /// The time of its last record, or a later one if that is in none of the blocks. A recovered record that follows
    /// has no earlier time: a recovery and the writer convert ticks by different anchors, and differ by nanoseconds.
    pub(super) fn last_ns(&self) -> u64 {
        if self.last_ns > 0 { self.last_ns } else { self.earlier_ns }
    }
}

impl RunAccount {
    /// Reads the account of a run.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub(super) fn read(tail: &mut RunTail) -> Result<RunAccount> {
        // A run that is looked at from its first block on starts from nothing.
        let has_baseline = tail.durable_below == 0;
        let mut account = RunAccount { next_number: tail.durable_below, has_baseline, ..RunAccount::default() };
        let announced = tail.announced;
        while account.obstacle.is_none()
            && let Some(item) = tail.next()?
        {
            match item {
                TailItem::Newer => account.obstacle = Some("a newer diolog has written some of its blocks"),
                TailItem::Baseline(baseline) => {
                    account.has_baseline = true;
                    account.miss_below(baseline.number);
                    for row in baseline.rows {
                        account.take_row(baseline.number, row);
                        // The first segment that counts its records gives the tightest bound.
                        let is_new = |known: &&mut KnownProducer| row.records > 0 && known.earlier_ns == 0;
                        let known = account.producers.get_mut(&row.id).filter(is_new);
                        if let Some((known, made_ns)) = known.zip(baseline.made_ns) {
                            known.earlier_ns = made_ns;
                        }
                    }
                }
                TailItem::Block(block) => {
                    account.miss_below(block.number);
                    account.next_number = account.next_number.max(block.number.saturating_add(1));
                    block.rows.iter().for_each(|row| account.take_row(block.number, row));
                    for shard in block.shards() {
                        let Some(known) = account.producers.get_mut(&shard.producer) else { continue };
                        known.row.next_sequence = shard.first_sequence.saturating_add(shard.records);
                        known.row.records = known.row.records.saturating_add(shard.records);
                        known.last_ns = known.last_ns.max(shard.last_ns);
                        known.seen_below = block.number.saturating_add(1);
                        if let Some(part) = known.parts.last_mut() {
                            part.before_ns = part.before_ns.min(shard.first_ns);
                        }
                    }
                    block.ends.iter().for_each(|row| account.take_end(block.number, row));
                    account.is_ended = block.is_clean_end;
                    account.own_sequence = account.own_sequence.max(block.own_end);
                }
            }
        }
        account.miss_below(announced);
        Ok(account)
    }

    /// The rows of producers without final counts.
    fn rows(&self) -> impl Iterator<Item = &ProducerRow> {
        let alive = self.producers.iter().filter(|(id, _)| !self.ended.contains(id));
        alive.map(|(_, known)| &known.row)
    }

    /// Notes the missing blocks below `number`.
    fn miss_below(&mut self, number: u64) {
        let missing = self.next_number..number;
        if missing.is_empty() {
            return;
        }
        if number - self.next_number > HOLES_MAX - self.holes.len() as u64 {
            self.obstacle = Some("more of its blocks are missing than can have been in flight");
            return;
        }
        if self.before_holes.is_none() {
            self.before_holes = Some(self.rows().cloned().collect());
        }
        self.holes.extend(missing);
        self.next_number = number;
    }

    /// Takes a row that counts what is in the blocks below `number`.
    fn take_row(&mut self, number: u64, row: &ProducerRow) {
        if self.producers.len() == PRODUCERS_AT_ONCE && !self.producers.contains_key(&row.id) {
            self.obstacle = Some("its blocks have more producers than a log can have");
            return;
        }
        let holes = &self.holes;
        let known = self.producers.entry(row.id).or_insert_with(|| {
            let ProducerRow { id, tid, ref name, .. } = *row;
            KnownProducer::from_row(ProducerRow { id, tid, name: name.clone(), ..ProducerRow::default() })
        });
        let sequences = known.row.next_sequence..row.next_sequence;
        let index = |number| holes.partition_point(|&hole| hole < number);
        let between = index(known.seen_below)..index(number);
        if row.next_sequence >= known.row.next_sequence {
            let before = std::mem::replace(&mut known.row, row.clone());
            if !sequences.is_empty() && !between.is_empty() {
                let (after_ns, before_ns) = (known.last_ns(), u64::MAX);
                known.parts.push(HoleRecords { row: before, sequences, holes: between, after_ns, before_ns });
            }
        }
        known.seen_below = known.seen_below.max(number);
    }

    /// Takes the final counts of a producer.
    fn take_end(&mut self, number: u64, row: &ProducerRow) {
        // Attempts after its last record do not matter: the rings hold nothing of them.
        if self.producers.get(&row.id).is_none_or(|known| row.records > known.row.records) {
            self.take_row(number, row);
        }
        self.ended.insert(row.id);
        if self.producers.get(&row.id).is_some_and(|known| known.parts.is_empty()) {
            self.producers.remove(&row.id);
        }
    }
}

/// The rows of producers without final counts, as they were before the first block that the recovery writes.
impl Rows for RunAccount {
    fn each(&self, take: &mut dyn FnMut(&ProducerRow)) {
        match &self.before_holes {
            Some(rows) => rows.iter().for_each(take),
            None => self.rows().for_each(take),
        }
    }
}
