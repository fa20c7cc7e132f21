//! The contents of a log: one row for each segment, from the headers of its blocks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Result, is_not_found};
use crate::format::{BlockFlags, Newer, StatusCode};
use crate::sys;

use super::callsites::KnownCallsites;
use super::files::{
    Inspected, LogFiles, Run, Segment, Sorted, log_of, misplacement, not_a_log, rings_of_recovered, rings_without_run,
    sort,
};
use super::record::{Anchors, Origin, RunId};
use super::report::{Finding, InUse, Severity};
use super::scan::{Cursor, Loaded, Scanned, newer_in};

/// Blocks of a segment that are read whole, to find the device's note.
const BLOCKS_READ: u64 = 2;

/// One segment, from the headers of its blocks. Payloads are not checked.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::path"))]
    pub path: PathBuf,
    /// Its size, in bytes.
    pub file_bytes: u64,
    /// Bytes up to the end of the last block.
    pub used_bytes: u64,
    /// Its number in the log, from 1, as its header has it.
    pub index: u64,
    /// The run that wrote it.
    pub run: RunId,
    /// Blocks after block 0.
    pub blocks: u64,
    /// Records in them, the writer's own included, without those in blocks that only a newer diolog can read.
    pub records: u64,
    /// The smallest timestamp, in `CLOCK_MONOTONIC` nanoseconds; `None` without records.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_number"))]
    pub first_ns: Option<u64>,
    /// The largest timestamp, in nanoseconds of the run's monotonic clock; `None` without a record.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_number"))]
    pub last_ns: Option<u64>,
    /// The smallest timestamp as wall time, in nanoseconds since the Unix epoch; `None` if no wall-clock anchor can be
    /// read.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_number"))]
    pub first_unix_ns: Option<i64>,
    /// The largest timestamp as wall time, in nanoseconds since 1970; `None` without a record, or if no wall time is
    /// known.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::some_number"))]
    pub last_unix_ns: Option<i64>,
    /// Whether the run's last block is here: it was closed.
    pub clean_end: bool,
    /// Whether a recovery has written it, after the process of its run had died.
    pub recovered: bool,
    /// Whether a logger is writing the run, and this is its last segment.
    pub in_use: bool,
    /// The kind of device and the reasons for it, if the writer noted them in this segment's first blocks.
    pub device: Option<String>,
    /// The service's name; empty if it has none, or if block 0 is damaged.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::name"))]
    pub service: String,
    /// The id of the process that wrote the segment; `None` if the file does not say it.
    pub pid: Option<u32>,
    /// The name of the machine that the segment was written on; `None` if the file does not say it.
    pub host: Option<String>,
    /// The largest block, in bytes; 0 if block 0 is damaged.
    pub block_bytes: u32,
    /// The longest message, in bytes; 0 if block 0 is damaged.
    pub message_bytes_max: u32,
}

/// What [`info()`] found.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LogInfo {
    /// The segments, run by run, by their number.
    pub segments: Vec<SegmentInfo>,
    /// Files prepared and not used yet.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::paths"))]
    pub prepared_files: Vec<PathBuf>,
    /// Whether a logger has the log open.
    pub in_use: InUse,
    /// The process id of that logger, if the system says it.
    pub in_use_by: Option<u32>,
    /// Files with a damaged header, files that cannot be read, and files or blocks of a newer diolog.
    pub findings: Vec<Finding>,
}

/// Lists the segments of the log at `path`, from the headers of their blocks.
///
/// Of the records, only those in the first blocks of each segment are read: [`verify()`](crate::verify()) says whether
/// anything is missing.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let logger = diolog::Logger::open(diolog::Config::new(&path).service("orders"))?;
/// # logger.producer()?.log(diolog::Level::Info, "started");
/// # logger.close()?;
/// for segment in diolog::info(&path)?.segments {
///     println!("{}: {} blocks, {} bytes", segment.path.display(), segment.blocks, segment.used_bytes);
///     assert!(segment.clean_end);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotALog`](crate::Error::NotALog) if there is no segment that can be read; it says what there is instead.
/// [`Error::Io`](crate::Error::Io) if a file cannot be read.
pub fn info(path: impl AsRef<Path>) -> Result<LogInfo> {
    let files = LogFiles::open(path.as_ref(), false)?;
    let mut info = LogInfo::default();
    let lock = files.in_use();
    let is_open = lock == InUse::Yes;
    if files.is_directory {
        info.in_use = lock;
        info.in_use_by = files.in_use_by();
    }
    let rings = files.named_rings();
    let Listed { segments, mut prepared, numbers } = list(&files, is_open, &mut info.findings)?;
    let log = log_of(&segments).filter(|_| files.is_directory);
    let Sorted { runs, foreign } = sort(segments, log);
    info.findings
        .extend(foreign.iter().map(|it| Finding::of_file(Severity::Unconfirmed, &*it.path, "belongs to another log")));
    if let Some(log) = log {
        info.findings.extend(files.misnamed(log, |number| numbers.contains(&number)));
    }
    let (boot, last) = (sys::cpu::boot_id(), runs.iter().map(|run| run.last().index()).max());
    let is_left = |run: &Run| {
        run.segments().iter().any(|segment| segment.is_recovered_in(&boot))
            && (!is_open || Some(run.last().index()) < last)
    };
    let named = rings_without_run(&rings, |id| runs.iter().any(|run| run.id == *id), lock)
        .chain(rings_of_recovered(&rings, |id| runs.iter().any(|run| run.id == *id && is_left(run))));
    let mut named: Vec<_> = named.collect();
    // A recovery may have begun, or ended, since the lock was asked.
    if lock != InUse::Yes && files.in_use() == InUse::Yes {
        named.clear();
    }
    named.retain(|named| named.path.symlink_metadata().is_ok());
    info.findings.extend(named.into_iter().map(|named| Finding::of_file(named.severity, &*named.path, named.what)));
    for run in &runs {
        look_at_run(&files, run, is_open, &mut prepared, &mut info)?;
    }
    info.prepared_files = prepared.into_iter().map(|(_, path)| path).collect();
    if let Some(last) = info.segments.last_mut() {
        let last_header = runs.back().and_then(|run| run.last().header.as_deref());
        last.in_use = is_open && !last.clean_end && files.is_being_written(last_header);
    }
    match info.findings.first() {
        Some(finding) if info.segments.is_empty() && info.prepared_files.is_empty() => {
            Err(not_a_log(&finding.path, finding.what.clone()))
        }
        _ => Ok(info),
    }
}

/// The files of a log by their kinds.
#[derive(Default)]
struct Listed {
    segments: Vec<Segment>,
    /// The prepared files, by number.
    prepared: Vec<(u64, PathBuf)>,
    /// The numbers of all files, and the indexes of all segments.
    numbers: BTreeSet<u64>,
}

/// Lists the files, and adds what is wrong with them to `findings`.
fn list(files: &LogFiles, is_open: bool, findings: &mut Vec<Finding>) -> Result<Listed> {
    let mut listed = Listed::default();
    for (number, path, inspected) in files.inspect_all(is_open)? {
        listed.numbers.insert(number);
        let mut find = |severity, what: String| findings.push(Finding::of_file(severity, &*path, what));
        match inspected {
            Inspected::Segment(segment) => {
                if segment.header.is_none() {
                    find(Severity::Unconfirmed, "its header is damaged: `diolog verify` says more".into());
                }
                listed.segments.push(segment);
            }
            Inspected::Misplaced(segment, displaced) => {
                find(Severity::Unconfirmed, misplacement(number, &segment));
                listed.numbers.insert(segment.index());
                listed.segments.extend([segment].into_iter().chain(displaced));
            }
            Inspected::Prepared => listed.prepared.push((number, path)),
            Inspected::Newer(what) => find(Severity::Newer, what),
            Inspected::Unreadable(what) | Inspected::Forbidden(what) => find(Severity::Unconfirmed, what),
        }
    }
    Ok(listed)
}

/// Adds the segments of a run to `info`. A `prepared` file that its blocks show to have been emptied becomes a finding.
fn look_at_run(
    files: &LogFiles,
    run: &Run,
    is_open: bool,
    prepared: &mut Vec<(u64, PathBuf)>,
    info: &mut LogInfo,
) -> Result<()> {
    // The file that was read last, and the number of the block after its last one.
    let mut before: Option<(u64, u64)> = None;
    for segment in run.segments() {
        if let Some((file, next)) = before.filter(|(_, next)| *next < segment.first_number) {
            let what = format!(
                "holds no block, and blocks {next} to {} of its run are missing: it was emptied",
                segment.first_number - 1
            );
            let is_between = |(number, _): &mut (u64, PathBuf)| (file..segment.number).contains(number);
            let emptied = prepared.extract_if(.., is_between);
            info.findings.extend(emptied.map(|(_, path)| Finding::of_file(Severity::Unconfirmed, path, &*what)));
        }
        match look(files, run.id, segment, is_open) {
            // Removed by retention since it was listed.
            Err(error) if is_not_found(&error) && segment.number > 0 => {}
            looked => {
                let (looked, newer, next) = looked?;
                before = Some((segment.number, next));
                info.findings.extend(newer.map(|newer| {
                    let what = format!("holds records written by a newer diolog ({newer})");
                    Finding::of_file(Severity::Newer, &looked.path, what)
                }));
                info.segments.push(looked);
            }
        }
    }
    Ok(())
}

/// One segment; the first sign, in the blocks that are read, that only a newer diolog can read parts of it; and the
/// number of the block that should come next.
fn look(files: &LogFiles, run: RunId, segment: &Segment, is_open: bool) -> Result<(SegmentInfo, Option<Newer>, u64)> {
    let file = files.open_file(&segment.path)?;
    let header = segment.header.as_deref();
    let origin = header.map(Origin::of).unwrap_or_default();
    let mut info = SegmentInfo {
        path: segment.path.to_path_buf(),
        file_bytes: file.bytes()?,
        used_bytes: segment.first_offset,
        index: segment.index(),
        run,
        recovered: header.is_some_and(|header| header.is_recovered()),
        pid: origin.pid(),
        host: origin.host().map(str::to_owned),
        service: origin.service,
        block_bytes: header.map_or(0, |header| header.block_bytes),
        message_bytes_max: header.map_or(0, |header| header.message_bytes_max),
        ..SegmentInfo::default()
    };
    let mut anchors = Anchors::default();
    let (mut newer, mut next) = (None, segment.first_number);
    let (mut loaded, mut callsites) = (Loaded::default(), KnownCallsites::default());
    if let Some(block_0) = &segment.block_0
        && loaded.read(&file, 0, block_0)?
    {
        loaded.take_apart(block_0, &mut callsites);
        newer = newer_in(&loaded);
        take_notes(&mut info, &mut anchors, &loaded);
    }
    let mut cursor = Cursor::new(Some(segment.segment_id), segment.first_offset);
    while let Scanned::Block(found) = cursor.next(&file, segment.horizon(is_open))? {
        let header = &found.header;
        info.blocks += 1;
        info.used_bytes = found.offset + header.stride_bytes();
        next = next.max(header.sequence.get().saturating_add(1));
        if found.newer.is_some() {
            newer = newer.or(found.newer);
            continue;
        }
        info.records += u64::from(header.records.get());
        if header.records.get() > 0 {
            let (first, last) = (header.first_ns.get(), header.last_ns.get());
            info.first_ns = Some(info.first_ns.map_or(first, |ns| ns.min(first)));
            info.last_ns = Some(info.last_ns.map_or(last, |ns| ns.max(last)));
        }
        info.clean_end = header.block_flags().has(BlockFlags::CLEAN_END);
        let wanted = info.blocks <= BLOCKS_READ || header.block_flags().has(BlockFlags::WALL_ANCHOR);
        if wanted && loaded.read(&file, found.offset, header)? {
            loaded.take_apart(header, &mut callsites);
            newer = newer.or_else(|| newer_in(&loaded));
            take_notes(&mut info, &mut anchors, &loaded);
        }
    }
    info.first_unix_ns = info.first_ns.and_then(|ns| anchors.unix_ns_at(ns));
    info.last_unix_ns = info.last_ns.and_then(|ns| anchors.unix_ns_at(ns));
    Ok((info, newer, next))
}

fn take_notes(info: &mut SegmentInfo, anchors: &mut Anchors, loaded: &Loaded) {
    anchors.add(&loaded.anchors);
    if let Some(status) = loaded.statuses.iter().rfind(|status| status.code == StatusCode::Device as u16) {
        info.device = Some(status.text.clone());
    }
}
