//! Verifying a log: every block is read, and every count compared.
//!
//! The account compares the counts of rows and shards. This file looks at the records as well: each shard holds as many
//! as its header says, no time is outside the bounds of its block, and no producer's times go back.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::error::Result;

use super::account::{Account, PRODUCERS_MAX, ShardTimes};
use super::files::not_a_log;
use super::report::{InUse, Report, Verdict};
use super::scan::{BlockLocation, Loaded, PassedOver, ShardRecord, ShardRecords};
use super::walk::{AWAIT_INTERVAL, Step, Visit, Walk};

/// How long `verify` waits, in all, for blocks that are missing and may be in flight. A block in flight is durable
/// within milliseconds, unless the disk is overloaded. One that a crash left out, before the log was opened again,
/// never comes.
fn await_max(in_use: InUse) -> Duration {
    match in_use {
        InUse::Yes => Duration::from_secs(1),
        InUse::Unknown => Duration::from_millis(20),
        InUse::No => Duration::ZERO,
    }
}

/// What [`verify()`] found: the verdict, and the report that it follows from.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verification {
    /// What the files prove.
    pub verdict: Verdict,
    /// Findings, blocks by outcome, and counts for every run and producer.
    pub report: Report,
}

/// Verifies the log at `path`, a directory or one segment file.
///
/// Reads every block once, in bounded memory, and checks that the counts of every producer add up.
///
/// A log in use is verified as far as it is written when `verify` begins; its verdict is [`Verdict::InUse`] at best.
/// `verify` waits up to a second, in all, for blocks that are missing and may be in flight.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// let logger = diolog::Logger::open(diolog::Config::new(&path))?;
/// logger.producer()?.log(diolog::Level::Info, "started");
/// logger.close()?;
///
/// let verification = diolog::verify(&path)?;
/// assert_eq!(verification.verdict, diolog::Verdict::Clean);
/// let producer = &verification.report.runs[0].producers[0];
/// assert_eq!((producer.attempted, producer.records, producer.dropped), (1, 1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotALog`](crate::Error::NotALog) if there is no segment that can be read; it says what there is instead.
/// Also if the log was removed, renamed or replaced while it was read. [`Error::Io`](crate::Error::Io) if the log
/// cannot be opened. A file that cannot be read later is a finding.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification> {
    verify_with(path.as_ref(), false, |_| ())
}

pub(super) fn verify_with(path: &Path, durable: bool, mut watch: impl FnMut(&Report)) -> Result<Verification> {
    let mut walk = Walk::open(path, durable, Visit::Once)?;
    let mut block = Loaded::default();
    let mut last_ns = HashMap::new();
    let mut awaited = Duration::ZERO;
    loop {
        match walk.next(&mut block) {
            Ok(Step::Block(location)) => {
                check(&location, &block, &mut last_ns, &mut walk.account);
                watch(&walk.account.report);
            }
            Ok(Step::RunEnd) => last_ns.clear(),
            Ok(Step::Awaited) if awaited < await_max(walk.in_use()) => {
                awaited += AWAIT_INTERVAL;
                std::thread::sleep(AWAIT_INTERVAL);
                walk.rewind_to_unread();
            }
            Ok(Step::Awaited) => {
                if let Err(error) = walk.skip_awaited() {
                    walk.account.report_read_error(&error);
                }
            }
            Ok(Step::End) => break,
            // It is a finding already.
            Err(_) => {}
        }
    }
    walk.files().check_place()?;
    walk.report_misnamed();
    let in_use = walk.in_use();
    let report = walk.account.report;
    // A single file without a block proves nothing, so "clean" would be wrong. In a directory it counts as prepared.
    if report.runs.is_empty() && report.findings.is_empty() && path.is_file() {
        let what = match in_use {
            InUse::Yes => "holds no block yet: a logger has prepared it, and has the log open",
            _ => "holds no block: the process that prepared it ended before its first write, or it was emptied since",
        };
        return Err(not_a_log(path, what.into()));
    }
    Ok(Verification { verdict: report.verdict(), report })
}

/// Checks every record of a good block.
fn check(location: &BlockLocation, block: &Loaded, last_ns: &mut HashMap<u32, u64>, account: &mut Account) {
    let bounds = location.header.times();
    let mut faults = Vec::new();
    let mut passed_over = PassedOver::default();
    for shard in &block.shards {
        let id = shard.producer;
        let mut times = ShardTimes::new(&bounds, last_ns.get(&id).copied().unwrap_or(0));
        let (mut records, mut record) = (ShardRecords::of(shard), ShardRecord::default());
        while records.next(block, &mut record) {
            account.report.records += 1;
            account.report.truncated += u64::from(record.is_truncated());
            times.take(record.timestamp_ns);
        }
        passed_over.add(&records.passed_over);
        // The times of further producers are compared inside each shard only.
        if last_ns.len() < PRODUCERS_MAX || last_ns.contains_key(&id) {
            last_ns.insert(id, times.last_ns());
        }
        faults.extend(times.faults(id));
    }
    if passed_over.is_empty() && faults.is_empty() {
        return;
    }
    let location = account.blocks.location(location.segment, location.offset);
    account.count_passed_over_at(&passed_over, &location);
    faults.into_iter().for_each(|fault| account.report_contradiction(fault, &location));
}
