//! The recovery of one run after the other: the steps, their order, and the report.
//!
//! The order makes it safe to be killed:
//!
//! 1. The segment is durable and gets its name.
//! 2. The log's entry in the ring file says that it was recovered.
//! 3. The link is removed.
//! 4. The ring file is removed, if no other log needs it.
//!
//! The next recovery finds the run's end, or the entry, and goes on from there. A ring file that is missing may be
//! elsewhere, so its link stays until the machine is restarted, or until somebody gives the rings up. A ring file without
//! a link is removed by the next open in its directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zerocopy::little_endian::{I64, U64};

use super::account::Account;
use super::compose::{Composer, Plan};
use super::report::{Recovery, RecoveryOutcome};
use super::ring_file::{LOCK_PATIENCE, LogEntry, LogState, NotOpened, RingFile, Slots};
use super::snapshot::{self, Left};
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
use crate::snapshot::{Now, Origin};
use crate::sys::directory::OpenDirectory;
use crate::sys::{self, cpu};

/// How long to wait for a write of the dead process that is still on its way to the disk.
const WRITES_PATIENCE: Duration = Duration::from_secs(5);
const WRITES_STEP: Duration = Duration::from_millis(5);

const RESTARTED: &str = "the machine has been restarted since";

/// Recovers all runs of a log that have left rings. The caller has opened the log's `directory` for writing, and writes
/// nothing yet. `watch` is called with the number of rings of a run that were read, and of all of its rings.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be listed.
pub(crate) fn recover_runs(
    directory: &mut Directory,
    rings: Option<&Path>,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Recovery>> {
    let runs = Link::list(&directory.opened())?;
    Ok(runs.into_iter().map(|run| recover_run(directory, run, rings, watch)).collect())
}

/// Why a run is not recovered, or not whole.
enum Stop {
    /// Its rings are gone with the machine's memory, and its link is removed.
    Gone,
    /// Everything stays as it is.
    Left(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Left(error.to_string())
    }
}

fn recover_run(
    directory: &mut Directory,
    run: StoredRunId,
    rings: Option<&Path>,
    watch: &mut dyn FnMut(u64, u64),
) -> Recovery {
    let opened = directory.opened();
    let link = match Link::read(&opened, run) {
        Ok(Some(link)) => link,
        Ok(None) => return left(run, Path::new(""), "the file that should name its rings is damaged".into()),
        Err(error) => return left(run, Path::new(""), format!("cannot read the file that names its rings: {error}")),
    };
    let path = match (rings, link.path.file_name()) {
        (Some(rings), Some(name)) => rings.join(name),
        _ => link.path.clone(),
    };
    let mut recovery = Recovery::new(run.into(), path);
    let file = match try_to_recover(directory, &link, watch, &mut recovery) {
        Ok(file) => file,
        Err(Stop::Left(reason)) => return left(run, &recovery.rings, reason),
        Err(Stop::Gone) => {
            (recovery.outcome, recovery.reason) = (RecoveryOutcome::Gone, Some(RESTARTED.into()));
            None
        }
    };
    if let Err(reason) = clear_away(&opened, run, file, &mut recovery.rings) {
        recovery.reason.get_or_insert(reason.to_string());
    }
    recovery
}

/// Removes the link of a run that is recovered, and its ring file if no other log needs that. While the link is there,
/// so is the file: the next open finds that there is nothing to do.
fn clear_away(directory: &OpenDirectory, run: StoredRunId, file: Option<RingFile>, rings: &mut PathBuf) -> Result<()> {
    Link::remove(directory, run)?;
    let Some(file) = file else { return Ok(()) };
    let path = file.path();
    if let Some(kept) = file.finish().map_err(|source| Error::io("remove", &path, source))? {
        *rings = kept;
    }
    Ok(())
}

fn left(run: StoredRunId, rings: &Path, reason: String) -> Recovery {
    Recovery { outcome: RecoveryOutcome::Left, reason: Some(reason), ..Recovery::new(run.into(), rings.to_owned()) }
}

/// Recovers what is in the ring file, and returns that. `None` if it is gone, and the run has its end.
fn try_to_recover(
    directory: &mut Directory,
    link: &Link,
    watch: &mut dyn FnMut(u64, u64),
    recovery: &mut Recovery,
) -> std::result::Result<Option<RingFile>, Stop> {
    let path = recovery.rings.clone();
    let io = |operation| {
        let path = path.clone();
        move |source| Stop::from(Error::io(operation, &path, source))
    };
    // The rings of another boot are lost, so there is no reason to wait for the lock.
    let is_lost = link.boot != cpu::boot_id();
    let patience = if is_lost { Duration::ZERO } else { LOCK_PATIENCE };
    let file = match RingFile::open(&path, patience) {
        Ok(file) => file,
        Err(_) if is_lost => return gone(directory, link),
        Err(NotOpened::Refused(reason)) => return Err(Stop::Left(reason)),
        Err(NotOpened::Unfinished(_)) => {
            return Err(Stop::Left(format!("{} is no ring file of diolog", path.display())));
        }
        // It may be elsewhere: below another mount, or in another directory than the caller has named.
        Err(NotOpened::Missing) if path == link.path && is_ended(directory, link)? => return Ok(None),
        Err(NotOpened::Missing) if !path.parent().is_some_and(Path::is_dir) => {
            return Err(Stop::Left(format!("there is no directory for {}", path.display())));
        }
        Err(NotOpened::Missing) => return Err(Stop::Left(format!("{} is missing", path.display()))),
    };
    recovery.process = Some(file.process());
    if is_lost || !file.is_of_this_boot() {
        // If it cannot be removed now, the next open with rings in its directory tries it.
        let _ = file.give_up(link.run);
        return gone(directory, link);
    }
    if let Some(entry) = file.log_of(link.run).map_err(io("read"))? {
        if entry.state == LogState::Damaged {
            let reason = "an earlier recovery has found that a part of it is damaged";
            (recovery.outcome, recovery.reason) = (RecoveryOutcome::Damaged, Some(reason.into()));
        }
        // If it has ended, the run's end was written, and only its link is left.
        if entry.state != LogState::Ended {
            // Rings that the caller names may be a copy themselves.
            if path == link.path
                && let Some(original) = file.another_log(&entry, &directory.opened()).map_err(io("read"))?
            {
                let what = "whose rings these are: recover that one";
                return Err(Stop::Left(format!("this log is a copy of the one in {}, {what}", original.display())));
            }
            write_missing(directory, link, &file, &entry, watch, recovery)?;
        }
        let is_damaged = recovery.outcome == RecoveryOutcome::Damaged;
        let state = if is_damaged { LogState::Damaged } else { LogState::Ended };
        file.set_log_state(&entry, state).map_err(io("write to"))?;
    }
    Ok(Some(file))
}

/// The rings are gone. If the run has its end, nobody needs them: a power cut may have brought its link back.
fn gone(directory: &Directory, link: &Link) -> std::result::Result<Option<RingFile>, Stop> {
    if is_ended(directory, link)? { Ok(None) } else { Err(Stop::Gone) }
}

/// Whether the run has its end.
fn is_ended(directory: &Directory, link: &Link) -> Result<bool> {
    match RunTail::open(directory.opened().path(), link.run)? {
        Some(mut tail) => Ok(Account::read(&mut tail)?.is_ended),
        None => Ok(false),
    }
}

/// Writes the records that no block of the run has.
fn write_missing(
    directory: &mut Directory,
    link: &Link,
    file: &RingFile,
    entry: &LogEntry,
    watch: &mut dyn FnMut(u64, u64),
    recovery: &mut Recovery,
) -> std::result::Result<(), Stop> {
    let opened = directory.opened();
    wait_for_writes(&opened, link.run)?;
    let mut tail = RunTail::open(opened.path(), link.run)?;
    let read = |source| Stop::from(Error::io("read", &file.path(), source));
    let Slots { slots, damage } = file.slots(entry, FOR_LOG).map_err(read)?;
    let account = match &mut tail {
        Some(tail) => Account::read(tail)?,
        None => without_segments::account(file, &slots, block_bytes(entry) as u64),
    };
    // Whether the run has written nothing. Then one of the files that hold no block is its own.
    let is_unwritten = tail.is_none() && account.producers.is_empty() && damage.is_none();
    if let Some(obstacle) = account.obstacle {
        return Err(Stop::Left(obstacle.into()));
    }
    let definitions = file.definitions().map_err(read)?;
    let clock = Clock::detect();
    let anchor = WallAnchor { monotonic_ns: U64::new(clock.monotonic_ns()), unix_ns: I64::new(clock.unix_ns()) };
    let segment = segment_header(directory, tail.as_ref(), link, file, entry, !account.holes.is_empty())?;
    let recorded = file.slots(entry, FOR_RECORDER).map_err(read)?;
    let now = Now { monotonic_ns: anchor.monotonic_ns.get(), unix_ns: anchor.unix_ns.get() };
    let origin = origin(&segment, entry);
    let Left { producers, damage: of_recorder } =
        snapshot::read(file, &recorded.slots, &definitions.callsites, &origin, now);
    let snapshot = snapshot::write(&opened, link.run, &origin, producers, &definitions.callsites, now);
    let mut damages = vec![damage, recorded.damage, of_recorder, definitions.damage];
    if account.is_ended {
        note_damage(recovery, damages);
        recovery.snapshot = snapshot?;
        return Ok(());
    }
    let (baseline, control_sequence) = (account.baseline(), account.own_sequence);
    let may_end = damages[0].is_none() && account.has_baseline;
    let mut composer = Composer::new(Plan {
        file,
        account,
        slots,
        callsites: definitions.callsites,
        block_bytes: block_bytes(entry),
        has_segments: tail.is_some(),
        may_end,
        anchor,
        watch,
        note: format!("recovered from the rings of process {}, which ended without closing the log", file.process()),
    });
    let first = composer.next().transpose().map_err(|source| Error::io("make a block of", &file.path(), source))?;
    if let Some(first) = first {
        let left = if tail.is_none() { left_by_others(directory, link, &file.path(), is_unwritten)? } else { 0 };
        let now_ns = anchor.monotonic_ns.get();
        let header = Header { segment: &segment, anchor, device: None, producers: &baseline, now_ns, control_sequence };
        recovery.segment = Some(write_segment(directory, header, left, first, &mut composer)?);
    }
    let composed = composer.composed;
    (recovery.records, recovery.bytes, recovery.blocks) = (composed.records, composed.payload_bytes, composed.blocks);
    (recovery.producers, recovery.unwritten) = (composed.ended, composed.unwritten);
    damages.push(composer.damage());
    note_damage(recovery, damages);
    // Last: what the log accepted is recovered even if the snapshot fails. The next recovery tries it again.
    recovery.snapshot = snapshot?;
    if is_unwritten && recovery.segment.is_none() && recovery.outcome == RecoveryOutcome::Complete {
        directory.remove_last_blank()?;
    }
    Ok(())
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

/// The largest block of a log.
fn block_bytes(entry: &LogEntry) -> usize {
    (entry.block_bytes as usize).clamp(GRID_BYTES, BLOCK_BYTES_MAX) / GRID_BYTES * GRID_BYTES
}

/// Whose records the snapshot of a run's flight recorder holds.
fn origin(segment: &SegmentHeader, entry: &LogEntry) -> Origin {
    Origin {
        log: segment.log,
        run: segment.run,
        boot: segment.boot,
        process: segment.process.clone().unwrap_or(Process { id: 0, host: String::new() }),
        service: segment.service.clone(),
        block_bytes: block_bytes(entry),
        message_bytes_max: entry.message_bytes_max as usize,
    }
}

/// The header of the segment to be written, without its number.
fn segment_header(
    directory: &Directory,
    tail: Option<&RunTail>,
    link: &Link,
    file: &RingFile,
    entry: &LogEntry,
    has_holes: bool,
) -> std::result::Result<SegmentHeader, Stop> {
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
    let read = |source| Error::io("read", &file.path(), source);
    let log = if tail.is_none() && file.is_of(entry, &directory.opened()).map_err(read)? {
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

/// Waits until no write of `run` is under way. Until then the kernel holds the locks on its segments. So it does for a
/// forked child that has them open. Nothing tells such a child from a write: both have the same open file.
fn wait_for_writes(directory: &OpenDirectory, run: StoredRunId) -> std::result::Result<(), Stop> {
    let names = directory.names().map_err(|source| Error::io("list", directory.path(), source))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let deadline = Instant::now() + WRITES_PATIENCE;
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
            if Instant::now() >= deadline {
                let what = "is still open: a write of the dead process is under way, or a child of it still runs";
                return Err(Stop::Left(format!("{} {what}", directory.path_of(&name).display())));
            }
            std::thread::sleep(WRITES_STEP);
        }
    }
    Ok(())
}
