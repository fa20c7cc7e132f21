//! What a dead run's rings hold and its segments do not: a segment for the records of the log, and a snapshot for those
//! of the flight recorder. [`run`](super::run) calls it, with the ring file locked.

use std::path::{Path, PathBuf};

use zerocopy::little_endian::{I64, U64};

use super::account::RunAccount;
use super::bounds::Patience;
use super::compose::{Composer, RecoveryPlan};
use super::definitions::FoundDefinitions;
use super::report::{OrStop, Recovery, RecoveryOutcome, Stop};
use super::ring_file::{DeadRingFile, FoundSlots, LogEntry, RingsState};
use super::snapshot::{DeadRecorder, WrittenSnapshot};
use super::without_segments;
use crate::block::Block;
use crate::clock::Clock;
use crate::crash::layout::{FOR_LOG, FOR_RECORDER};
use crate::crash::link::Link;
use crate::error::{Error, Result};
use crate::format::{
    BLOCK_BYTES_MAX, Block0, GRID_BYTES, Process, SegmentHeader, StoredRunId, WallAnchor, segment_file_name,
    segment_number,
};
use crate::reader::RunTail;
use crate::segment::{Directory, Header, OfflineSegment, random_id};
use crate::snapshot::{Now, SnapshotOrigin};
use crate::sys::directory::OpenDirectory;
use crate::sys::{self, cpu};

/// A run whose process has died.
#[derive(Clone, Copy)]
pub(super) struct DeadRun<'a> {
    pub(super) link: &'a Link,
    pub(super) file: &'a DeadRingFile,
    /// Its log's entry in the file.
    pub(super) entry: &'a LogEntry,
}

/// What is left of a run: the account of its segments, and its rings.
struct Remains<'a> {
    /// `None` if there are no segments.
    account: Option<RunAccount>,
    rings: FoundSlots,
    base: Base<'a>,
}

/// Shared by the segment and the snapshot that are made.
struct Base<'a> {
    definitions: FoundDefinitions<'a>,
    /// The header of the segment, without its number.
    segment: SegmentHeader,
    /// The moment of the recovery.
    anchor: WallAnchor,
}

/// What was found while the log's records were written.
struct Written {
    /// Whether the run itself has written nothing. Then one of the files that hold no block is its own.
    is_unwritten: bool,
    /// What is damaged in the rings.
    damage: Option<String>,
}

/// Writes the records that no block of the run has, and tells `recovery` of them.
pub(super) fn write_missing(
    directory: &mut Directory,
    run: DeadRun<'_>,
    patience: &mut Patience,
    watch: &mut dyn FnMut(u64, u64),
    recovery: &mut Recovery,
) -> OrStop<()> {
    let Remains { account, rings, base } = run.read(directory, patience)?;
    let of_slots = rings.damage.clone();
    let mut written = Written { is_unwritten: false, damage: None };
    if !account.as_ref().is_some_and(|account| account.is_ended) {
        written = run.write_records(directory, account, rings, &base, watch, recovery)?;
    }
    let Written { is_unwritten, damage } = written;
    // Last: what the log accepted is recovered even if the snapshot fails. The next recovery tries it again. And the
    // account takes no memory any more.
    let mut damages = Vec::from([of_slots]);
    let snapshot = run.write_snapshot(directory, &base, &mut damages);
    damages.extend([base.definitions.damage(), damage]);
    note_damage(recovery, damages);
    recovery.snapshot = snapshot
        .map_err(|error| Stop::Left(format!("the flight recorder's records are not in a snapshot yet: {error}")))?;
    // An earlier recovery that has noted the end has removed it, and the last blank file may be another run's now.
    let is_first = run.entry.state == RingsState::Open;
    if is_first && is_unwritten && recovery.segment.is_none() && recovery.outcome == RecoveryOutcome::Complete {
        directory.remove_last_blank()?;
    }
    Ok(())
}

impl<'a> DeadRun<'a> {
    /// Reads what is left of the run, when none of its writes is under way any more.
    fn read(self, directory: &Directory, patience: &mut Patience) -> OrStop<Remains<'a>> {
        let opened = directory.opened();
        wait_for_writes(&opened, self.link.run, patience)?;
        let mut tail = RunTail::open(opened.path(), self.link.run)?;
        let rings = self.slots(FOR_LOG)?;
        let account = tail.as_mut().map(RunAccount::read).transpose()?;
        if let Some(obstacle) = account.as_ref().and_then(|account| account.obstacle) {
            return Err(Stop::Left(obstacle.into()));
        }
        let definitions = FoundDefinitions::find_in(self.file).map_err(|source| self.unreadable(source))?;
        let clock = Clock::detect();
        let has_holes = account.as_ref().is_some_and(|account| !account.holes.is_empty());
        let segment = self.segment_header(directory, tail.as_ref(), has_holes)?;
        let anchor = WallAnchor { monotonic_ns: U64::new(clock.monotonic_ns()), unix_ns: I64::new(clock.unix_ns()) };
        Ok(Remains { account, rings, base: Base { definitions, segment, anchor } })
    }

    /// Writes what the flight recorder has left to a snapshot, if there is something. Adds what could not be read of
    /// its rings to `damages`.
    fn write_snapshot(
        self,
        directory: &Directory,
        base: &Base<'_>,
        damages: &mut Vec<Option<String>>,
    ) -> Result<Option<PathBuf>> {
        let Base { definitions, segment, anchor } = base;
        let FoundSlots { places, damage } = self.slots(FOR_RECORDER)?;
        let now = Now { monotonic_ns: anchor.monotonic_ns.get(), unix_ns: anchor.unix_ns.get() };
        let origin = SnapshotOrigin {
            log: segment.log,
            run: segment.run,
            boot: segment.boot,
            process: segment.process.clone().unwrap_or(Process { id: 0, host: String::new() }),
            service: segment.service.clone(),
            block_bytes: self.block_bytes(),
            message_bytes_max: self.entry.message_bytes_max as usize,
        };
        let recorder = DeadRecorder { file: self.file, definitions, origin: &origin, now };
        let WrittenSnapshot { path, damage: of_records } = recorder.write(&directory.opened(), &places)?;
        damages.extend([damage, of_records]);
        Ok(path)
    }

    /// Writes the log's records to a segment, if there are any.
    fn write_records(
        self,
        directory: &mut Directory,
        account: Option<RunAccount>,
        rings: FoundSlots,
        base: &Base<'_>,
        watch: &mut dyn FnMut(u64, u64),
        recovery: &mut Recovery,
    ) -> OrStop<Written> {
        let FoundSlots { places, damage } = rings;
        let Base { definitions, segment, anchor } = base;
        let has_segments = account.is_some();
        let account = match account {
            Some(account) => account,
            None => without_segments::account(self.file, &places, self.block_bytes() as u64)
                .map_err(|source| self.unreadable(source))?,
        };
        let is_unwritten = !has_segments && account.producers.is_empty() && damage.is_none();
        let path = self.file.path();
        let process = self.file.process();
        let mut composer = Composer::new(RecoveryPlan {
            file: self.file,
            may_end: damage.is_none() && account.has_baseline,
            account: &account,
            places,
            definitions,
            block_bytes: self.block_bytes(),
            has_segments,
            anchor: *anchor,
            watch,
            note: format!("recovered from the rings of process {process}, which ended without closing the log"),
        });
        let first = composer.next().transpose().map_err(|source| Error::io("make a block of", &path, source))?;
        if let Some(first) = first {
            let left = if has_segments { 0 } else { left_by_others(directory, self.link, &path, is_unwritten)? };
            let header = Header {
                segment,
                anchor: *anchor,
                device: None,
                producers: &account,
                now_ns: anchor.monotonic_ns.get(),
                control_sequence: account.own_sequence,
            };
            recovery.segment = Some(write_segment(directory, header, left, first, &mut composer)?);
        }
        let composed = composer.composed;
        (recovery.records, recovery.bytes, recovery.blocks) =
            (composed.records, composed.payload_bytes, composed.blocks);
        (recovery.producers, recovery.unwritten) = (composed.ended, composed.unwritten);
        Ok(Written { is_unwritten, damage: composer.damage() })
    }

    /// The header of the segment to be written, without its number.
    fn segment_header(self, directory: &Directory, tail: Option<&RunTail>, has_holes: bool) -> OrStop<SegmentHeader> {
        let DeadRun { link, file, entry } = self;
        let (last, previous_segment_id) = tail.map_or((None, 0), RunTail::last_segment);
        let header = last.cloned().unwrap_or_else(|| SegmentHeader {
            log: entry.log,
            run: link.run,
            boot: link.boot,
            block_bytes: entry.block_bytes,
            message_bytes_max: entry.message_bytes_max,
            process: Some(Process { id: file.process(), host: cpu::host_name() }),
            ..SegmentHeader::default()
        });
        let is_of = |directory| file.is_of(entry, directory).map_err(|source| self.unreadable(source));
        let log = if tail.is_none() && is_of(&directory.opened())? {
            // Runs of a new log that end before their first write each choose its identity.
            directory.log().unwrap_or(entry.log)
        } else if header.log == entry.log && directory.log().is_none_or(|log| log == entry.log) {
            entry.log
        } else {
            return Err(Stop::Left("its segments are of another log than its rings".into()));
        };
        let block_bytes = if has_holes { BLOCK_BYTES_MAX as u32 } else { header.block_bytes };
        Ok(SegmentHeader {
            log,
            rings_of: Some(link.run),
            previous_segment_id,
            block_bytes,
            unused_before: 0,
            left_before: 0,
            ..header
        })
    }

    /// The run's rings for this purpose.
    fn slots(self, purpose: u32) -> Result<FoundSlots> {
        self.file.slots(self.entry, purpose).map_err(|source| self.unreadable(source))
    }

    fn unreadable(self, source: std::io::Error) -> Error {
        Error::io("read", &self.file.path(), source)
    }

    /// The largest block of the log.
    fn block_bytes(self) -> usize {
        (self.entry.block_bytes as usize).clamp(GRID_BYTES, BLOCK_BYTES_MAX) / GRID_BYTES * GRID_BYTES
    }
}

/// Writes a segment with this header, but for its number, and with the composed blocks, of which `first` is the first.
/// The header counts the `left` files that other runs have left. Returns the segment's number.
fn write_segment(
    directory: &mut Directory,
    header: Header<'_>,
    left: u64,
    first: (u64, Block),
    composer: &mut Composer<'_>,
) -> Result<u64> {
    // The header tells of files that other runs have left. Until it is durable, they do.
    let index = if left == 0 { directory.remove_blank_end()? } else { directory.last_index() + 1 };
    let unused = directory.unused_before(index);
    let segment = SegmentHeader {
        index,
        unused_before: if left == 0 { 0 } else { u32::try_from(unused).unwrap_or(u32::MAX) },
        left_before: u16::try_from(left).unwrap_or(u16::MAX),
        ..header.segment.clone()
    };
    let opened = directory.opened();
    let segment_id = random_id(opened.path())?;
    let (header, first_number) = (Header { segment: &segment, ..header }, first.0);
    let blocks = std::iter::once(Ok(first)).chain(composer);
    OfflineSegment { directory: &opened, header, segment_id, direct: false }.write(first_number, blocks)?;
    // If it fails, the next run tries it.
    let _ = directory.remove_blank_end();
    directory.look_again()?;
    Ok(index)
}

/// How many of the files without a block at the log's end were left by runs that nothing else tells of: neither the run
/// that is recovered, if one `is_own`, nor others that have a link and a ring file, which may be beside the one at
/// `rings`.
fn left_by_others(directory: &Directory, link: &Link, rings: &Path, is_own: bool) -> Result<u64> {
    let unused = directory.unused_before(directory.last_index() + 1).saturating_sub(u64::from(is_own));
    if unused == 0 {
        return Ok(0);
    }
    let opened = directory.opened();
    let mut others = 0;
    for run in Link::list(&opened)?.into_iter().filter(|run| *run != link.run) {
        let other = Link::read(&opened, run).ok().flatten().map(|other| other.path);
        let is_there =
            |path: PathBuf| path.exists() || path.file_name().is_some_and(|name| rings.with_file_name(name).exists());
        others += u64::from(other.is_some_and(is_there) && RunTail::open(opened.path(), run)?.is_none());
    }
    Ok(unused.saturating_sub(others))
}

/// Reports what was damaged, if something was, each kind of damage once.
fn note_damage(recovery: &mut Recovery, damages: Vec<Option<String>>) {
    let mut reasons: Vec<String> = recovery.reason.take().into_iter().chain(damages.into_iter().flatten()).collect();
    reasons.dedup();
    if !reasons.is_empty() {
        (recovery.outcome, recovery.reason) = (RecoveryOutcome::Damaged, Some(reasons.join("; ")));
    }
}

/// Waits until no write of `run` is under way, as `patience` allows. Until then the kernel holds the locks on its
/// segments. So it does for a child that was forked by the kernel's call alone, and has them open: nothing tells it
/// from a write, since both have the same open file. A child of the C library has closed them (`sys::fork`).
fn wait_for_writes(directory: &OpenDirectory, run: StoredRunId, patience: &mut Patience) -> OrStop<()> {
    let names = directory.names().map_err(|source| Error::io("list", directory.path(), source))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    for number in numbers {
        let name = segment_file_name(number);
        let failed = |operation| {
            let path = directory.path_of(&name);
            move |source| Error::io(operation, &path, source)
        };
        let file = match directory.open_to_read(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("open")(error).into()),
        };
        // A file without a whole header may be its own.
        let begins = Block0::read(|offset, bytes| sys::fill_at(&file, bytes, offset)).map_err(failed("read"))?;
        if matches!(begins, Block0::Segment { header, .. } if header.run != run) {
            continue;
        }
        while !sys::try_lock(&file).map_err(failed("lock"))? {
            if !patience.wait() {
                let what = "is still open: a write of the dead process is under way, or a child of it still runs";
                return Err(Stop::Left(format!("{} {what}", directory.path_of(&name).display())));
            }
        }
    }
    Ok(())
}
