//! The figures that a log's writer leaves in its blocks: the newest of them, for programs that watch a log from outside.
//!
//! Headers say which blocks hold figures, so that only those are read. This is apart from the
//! [`Reader`](super::Reader): nothing is proven, and a block that cannot be read is passed over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::callsites::KnownCallsites;
use super::files::{Inspected, LogFiles, Segment, log_of, sort};
use super::record::RunId;
use super::report::InUse;
use super::scan::{Cursor, Loaded, Scanned, SegmentFile};
use crate::error::Result;
use crate::format::{BlockFlags, DroppedBy, LogFigures, ProducerFigures, State};

/// The figures of a log at one moment, as its writer has left them in a block.
///
/// The counts are those since the run began, with the meanings that they have in `Stats`. Latencies are those since the
/// row before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Figures {
    /// The run that they are of.
    pub run: RunId,
    /// When they were read, in nanoseconds of the writing machine's `CLOCK_MONOTONIC`.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub monotonic_ns: u64,
    /// The wall time at that moment, in nanoseconds since the Unix epoch.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub unix_ns: i64,
    /// Nanoseconds since the row before, or since the run began.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub interval_ns: u64,
    /// Whether they are the last of a run that was closed. Otherwise more may have been logged and lost after them.
    pub is_final: bool,
    /// Whether the device took writes.
    pub state: State,
    /// Live producers.
    pub producers: u32,
    /// Producers that have ended.
    pub producers_ended: u64,
    /// Attempts that passed the level.
    pub attempted: u64,
    /// Records that the writer has taken from rings into blocks.
    pub written: u64,
    /// Those of them that were cut.
    pub truncated: u64,
    /// Bytes of those records as they came.
    pub payload_bytes: u64,
    /// Attempts given up because there was no room for the record, by cause.
    pub dropped_by: DroppedBy,
    /// Records that newer ones replaced.
    pub overwritten: u64,
    /// Appends refused without a sequence number.
    pub refused: u64,
    /// Records that their callsite's limit has hidden.
    pub hidden: u64,
    /// How often producers have waited for room.
    pub waits: u64,
    /// How long they have waited in all, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub waited_ns: u64,
    /// Records that are durable.
    pub durable_records: u64,
    /// Blocks that are durable.
    pub durable_blocks: u64,
    /// Bytes of those blocks and of segment headers, padding included.
    pub durable_bytes: u64,
    /// Those of them that are padding.
    pub padding_bytes: u64,
    /// Bytes of all writes that have succeeded.
    pub device_bytes: u64,
    /// Flushes of callers that have succeeded.
    pub flushes: u64,
    /// Flushes that were answered with an error.
    pub flush_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Tries to prepare a segment that failed, or made a smaller one than asked for.
    pub preparation_errors: u64,
    /// Segments begun by the run.
    pub segments: u64,
    /// Those whose file was not ready in time.
    pub segments_late: u64,
    /// Bytes of memory of all rings.
    pub rings_bytes: u64,
    /// Bytes that they may take.
    pub rings_bytes_max: u64,
    /// How long writes of the interval took.
    pub writes: Latency,
    /// How long flushes of the interval took.
    pub interval_flushes: Latency,
    /// The producers whose rings were fullest, the fullest first; not all of many.
    pub fullest: Vec<ProducerFigures>,
}

impl Figures {
    /// Attempts given up, for any cause, and records that newer ones replaced.
    pub fn lost(&self) -> u64 {
        self.dropped_by.total().saturating_add(self.overwritten)
    }

    /// The time since the row before, or since the run began.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_ns)
    }
}

/// Latencies in the interval before some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// The median, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub p50_ns: u64,
    /// The 99th percentile, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub p99_ns: u64,
    /// The longest, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub max_ns: u64,
}

/// Watches the figures that a log's writer leaves in the files: at most one row a second, none while nothing is logged,
/// and the final one when the log is closed.
///
/// ```no_run
/// let mut watch = diolog::FiguresReader::open("/var/log/app/orders")?;
/// watch.refresh()?;
/// if let Some(figures) = watch.newest() {
///     println!("{} written, {} lost", figures.written, figures.lost());
/// }
/// # Ok::<(), diolog::Error>(())
/// ```
#[derive(Debug)]
pub struct FiguresReader {
    path: PathBuf,
    files: LogFiles,
    position: Option<ReadPosition>,
    newest: Option<Figures>,
    previous: Option<Figures>,
    block: Loaded,
}

/// How far a segment was read.
#[derive(Debug)]
struct ReadPosition {
    run: RunId,
    index: u64,
    segment_id: u64,
    file: SegmentFile,
    horizon: u64,
    /// The end of its last block.
    offset: u64,
}

impl FiguresReader {
    /// Opens the log at `path`, a directory, and reads the newest figures that it has.
    ///
    /// # Errors
    /// [`Error::NotALog`](crate::Error::NotALog) if there is no segment that can be read, with what is there instead;
    /// [`Error::Io`](crate::Error::Io) if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<FiguresReader> {
        let path = path.as_ref().to_owned();
        let files = LogFiles::open(&path, false)?;
        let block = Loaded::default();
        let mut reader = FiguresReader { path, files, position: None, newest: None, previous: None, block };
        let segments = reader.new_segments()?;
        if segments.is_empty() {
            reader.refuse_other_files()?;
        }
        // The newest two rows are in the last segment, or the last one has just begun.
        let last_run = segments.last().map(|(run, _)| *run);
        let mut last: Vec<_> = segments.into_iter().rev().take_while(|(run, _)| Some(*run) == last_run).collect();
        last.truncate(2);
        while let Some((run, segment)) = last.pop() {
            if let Some(position) = reader.enter(run, &segment)? {
                reader.position = Some(position);
                reader.read_on()?;
            }
        }
        Ok(reader)
    }

    /// Reads what was written since the last call. Returns whether there are newer figures. If another log has taken
    /// the place of this one, it is read from then on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn refresh(&mut self) -> Result<bool> {
        if !self.files.is_at_its_path() {
            *self = FiguresReader::open(&self.path)?;
            return Ok(self.newest.is_some());
        }
        let mut any = self.read_on()?;
        for (run, segment) in self.new_segments()? {
            if self.position.as_ref().is_some_and(|position| segment.index() <= position.index) {
                continue;
            }
            if let Some(position) = self.enter(run, &segment)? {
                self.position = Some(position);
                any |= self.read_on()?;
            }
        }
        Ok(any)
    }

    /// The newest figures; `None` if the newest run in the files has left none. A logger that has the log open and has
    /// written nothing yet has no run in the files: then these are an earlier run's, and
    /// [final](Figures::is_final) if that was closed.
    pub fn newest(&self) -> Option<&Figures> {
        self.newest.as_ref()
    }

    /// The figures before those, if they are of the same run.
    pub fn previous(&self) -> Option<&Figures> {
        self.previous.as_ref()
    }

    /// Whether a logger has the log open.
    pub fn in_use(&self) -> InUse {
        if self.files.is_directory { self.files.in_use() } else { InUse::Unknown }
    }

    /// The process id of that logger, if the system says it.
    pub fn in_use_by(&self) -> Option<u32> {
        self.files.in_use_by()
    }

    /// The segments that were not listed yet, in their order.
    fn new_segments(&mut self) -> Result<Vec<(RunId, Segment)>> {
        let mut segments = Vec::new();
        let is_open = self.files.in_use() == InUse::Yes;
        for (_, path, inspected) in self.files.inspect_all(is_open)? {
            if let Inspected::Segment(segment) = inspected {
                self.files.mark_known(&path);
                segments.push(segment);
            }
        }
        let log = log_of(&segments).filter(|_| self.files.is_directory);
        let runs = sort(segments, log).runs;
        Ok(runs.iter().flat_map(|run| run.segments().iter().map(|segment| (run.id, segment.clone()))).collect())
    }

    /// The error that names a file which is no segment and will never be one, if there is one: files that are being
    /// prepared are waited for.
    fn refuse_other_files(&self) -> Result<()> {
        for (_, path, inspected) in self.files.inspect_all(self.files.in_use() == InUse::Yes)? {
            if let Inspected::Newer(what) | Inspected::Unreadable(what) | Inspected::Forbidden(what) = inspected {
                return Err(super::files::not_a_log(&path, what));
            }
        }
        Ok(())
    }

    /// The beginning of a segment; `None` if retention has removed it meanwhile.
    fn enter(&mut self, run: RunId, segment: &Segment) -> Result<Option<ReadPosition>> {
        let position = |file| ReadPosition {
            run,
            index: segment.index(),
            segment_id: segment.segment_id,
            file,
            horizon: segment.horizon(self.files.in_use() == InUse::Yes),
            offset: segment.first_offset,
        };
        Ok(self.files.open_if_there(&segment.path)?.map(position))
    }

    /// Reads the present segment from where it was left. Returns whether it has newer figures.
    fn read_on(&mut self) -> Result<bool> {
        let Some(position) = &mut self.position else { return Ok(false) };
        let mut cursor = Cursor::new(Some(position.segment_id), position.offset).reading_headers_alone(true);
        let mut callsites = KnownCallsites::default();
        let mut any = false;
        while let Scanned::Block(found) = cursor.next(&position.file, position.horizon)? {
            position.offset = found.offset + found.header.stride_bytes();
            if found.newer.is_some() || !found.header.block_flags().has(BlockFlags::FIGURES) {
                continue;
            }
            if !self.block.read(&position.file, found.offset, &found.header)? {
                continue;
            }
            self.block.take_apart(&found.header, &mut callsites);
            if let Some((monotonic_ns, log)) = self.block.figures {
                let fullest = std::mem::take(&mut self.block.producer_figures);
                let is_final = found.header.block_flags().has(BlockFlags::CLEAN_END);
                let newest = figures(position.run, monotonic_ns, is_final, log, fullest);
                self.previous = self.newest.replace(newest).filter(|before| before.run == position.run);
                any = true;
            }
        }
        Ok(any)
    }
}

/// The public form of a row.
fn figures(run: RunId, monotonic_ns: u64, is_final: bool, log: LogFigures, fullest: Vec<ProducerFigures>) -> Figures {
    let latency = |[count, p50_ns, p99_ns, max_ns]: [zerocopy::little_endian::U64; 4]| Latency {
        count: count.get(),
        p50_ns: p50_ns.get(),
        p99_ns: p99_ns.get(),
        max_ns: max_ns.get(),
    };
    Figures {
        run,
        monotonic_ns,
        unix_ns: log.unix_ns.get(),
        interval_ns: log.interval_ns.get(),
        is_final,
        state: State::from_u8(log.state),
        producers: log.producers.get(),
        producers_ended: log.producers_ended.get(),
        attempted: log.attempted.get(),
        written: log.written.get(),
        truncated: log.truncated.get(),
        payload_bytes: log.payload_bytes.get(),
        dropped_by: DroppedBy {
            ring_full: log.dropped_ring_full.get(),
            ring_memory: log.dropped_ring_memory.get(),
            timed_out: log.dropped_timed_out.get(),
            device_failed: log.dropped_device_failed.get(),
        },
        overwritten: log.overwritten.get(),
        refused: log.refused.get(),
        hidden: log.hidden.get(),
        waits: log.waits.get(),
        waited_ns: log.waited_ns.get(),
        durable_records: log.durable_records.get(),
        durable_blocks: log.durable_blocks.get(),
        durable_bytes: log.durable_bytes.get(),
        padding_bytes: log.padding_bytes.get(),
        device_bytes: log.device_bytes.get(),
        flushes: log.flushes.get(),
        flush_errors: log.flush_errors.get(),
        write_errors: log.write_errors.get(),
        preparation_errors: log.preparation_errors.get(),
        segments: log.segments.get(),
        segments_late: log.segments_late.get(),
        rings_bytes: log.rings_bytes.get(),
        rings_bytes_max: log.rings_bytes_max.get(),
        writes: latency([log.writes, log.write_p50_ns, log.write_p99_ns, log.write_max_ns]),
        interval_flushes: latency([log.interval_flushes, log.flush_p50_ns, log.flush_p99_ns, log.flush_max_ns]),
        fullest,
    }
}
