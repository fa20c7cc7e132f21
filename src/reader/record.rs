//! Records, borrowed or owned, and the identity of the run that wrote them.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::content::{Content, OwnedContent, Text};
use super::scan::{Loaded, ShardRecord};
use crate::format::{self, CallsiteInfo, Fields, MESSAGE_CODE, ProducerRow, RecordFlags, Value, WallAnchor};
use crate::level::Level;

/// The identity of one open of a log: a random number drawn when it was opened.
///
/// Shown in hexadecimal. If the segment header that names the run is damaged, it is shown as `unknown-` and the
/// segment's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Identity);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Identity {
    Named([u8; 16]),
    /// The id of the segment whose header cannot be read.
    Unknown(u64),
}

impl RunId {
    /// The run of a segment whose header is damaged.
    pub(super) fn unknown(segment_id: u64) -> RunId {
        RunId(Identity::Unknown(segment_id))
    }

    /// Whether the files say which run this is.
    pub fn is_known(&self) -> bool {
        matches!(self.0, Identity::Named(_))
    }
}

/// A run that no file names.
impl Default for RunId {
    fn default() -> RunId {
        RunId::unknown(0)
    }
}

impl From<format::StoredRunId> for RunId {
    fn from(run: format::StoredRunId) -> RunId {
        RunId(Identity::Named(run.0))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Identity::Named(bytes) => format::StoredRunId(bytes).fmt(f),
            Identity::Unknown(segment_id) => write!(f, "unknown-{segment_id:016x}"),
        }
    }
}

/// As it is shown.
#[cfg(feature = "serde")]
impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

/// Who appended a record, from the row in its block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProducerIdentity {
    pub(super) id: u32,
    pub(super) tid: u32,
    pub(super) name: Box<str>,
}

impl ProducerIdentity {
    pub(super) fn of(row: &ProducerRow) -> ProducerIdentity {
        ProducerIdentity { id: row.id, tid: row.tid, name: row.name.as_str().into() }
    }
}

/// The wall-clock anchors of a run, in the order of their monotonic time.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    known: Vec<WallAnchor>,
    /// Where the last look ended: the next one is for about the same time. Atomic, so that a reader may be shared; its
    /// value may be any.
    last_look: AtomicUsize,
}

impl Anchors {
    /// One for each second of more than an hour: older records are not merged with new ones.
    const LENGTH_MAX: usize = 4096;

    pub(super) fn add(&mut self, anchors: &[WallAnchor]) {
        for &anchor in anchors {
            if self.known.len() == Anchors::LENGTH_MAX {
                self.known.drain(..Anchors::LENGTH_MAX / 2);
            }
            let at = self.known.partition_point(|known| known.monotonic_ns.get() <= anchor.monotonic_ns.get());
            self.known.insert(at, anchor);
        }
    }

    /// The anchors near these times: the last one before them, those between, and the first one after.
    pub(super) fn near(&self, times: &RangeInclusive<u64>) -> &[WallAnchor] {
        let after = |ns: u64| self.known.partition_point(|known| known.monotonic_ns.get() <= ns);
        let (first, last) = (after(*times.start()).saturating_sub(1), after(*times.end()));
        self.known.get(first..(last + 1).min(self.known.len())).unwrap_or_default()
    }

    /// The wall time at `monotonic_ns`, by the last anchor before it, or else by the first one after it.
    #[inline]
    pub(super) fn unix_ns_at(&self, monotonic_ns: u64) -> Option<i64> {
        let at = self.last_look.load(Ordering::Relaxed);
        let is_after = |known: &WallAnchor| known.monotonic_ns.get() > monotonic_ns;
        if let Some(known) = self.known.get(at)
            && (at == 0 || !is_after(known))
            && self.known.get(at + 1).is_none_or(is_after)
        {
            return Some(known.unix_ns_at(monotonic_ns));
        }
        self.look_for(monotonic_ns)
    }

    #[cold]
    fn look_for(&self, monotonic_ns: u64) -> Option<i64> {
        let after = self.known.partition_point(|known| known.monotonic_ns.get() <= monotonic_ns);
        let at = after.saturating_sub(1);
        self.last_look.store(at, Ordering::Relaxed);
        Some(self.known.get(at)?.unix_ns_at(monotonic_ns))
    }
}

/// Who wrote a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// The service's name; it may be empty.
    pub(super) service: String,
    process: Option<format::Process>,
}

impl Origin {
    /// By a segment header of the run.
    pub(super) fn of(header: &format::SegmentHeader) -> Origin {
        Origin { service: header.service.clone(), process: header.process.clone() }
    }

    /// The process's id, if the files say it.
    #[inline]
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.id).filter(|&id| id > 0)
    }

    /// The machine's name, if the files say it.
    pub(super) fn host(&self) -> Option<&str> {
        self.process.as_ref().map(|process| &*process.host).filter(|host| !host.is_empty())
    }
}

/// Shared by the records of a run.
#[derive(Debug)]
pub(super) struct RunContext {
    pub(super) id: RunId,
    pub(super) anchors: Anchors,
    /// By the last segment header that was read.
    pub(super) origin: Arc<Origin>,
}

impl RunContext {
    pub(super) fn new(id: RunId) -> RunContext {
        RunContext { id, anchors: Anchors::default(), origin: Arc::default() }
    }

    /// Learns who wrote the run.
    pub(super) fn take_header(&mut self, header: &format::SegmentHeader) {
        let origin = Origin::of(header);
        if *self.origin != origin {
            self.origin = Arc::new(origin);
        }
    }

    #[inline]
    pub(super) fn unix_ns_at(&self, monotonic_ns: u64) -> Option<i64> {
        self.anchors.unix_ns_at(monotonic_ns)
    }
}

/// A record that borrows its message from the reader, until the next call for a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    pub(super) content: Content<'a>,
    pub(super) timestamp_ns: u64,
    pub(super) sequence: u64,
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) producer: &'a Arc<ProducerIdentity>,
    pub(super) run: &'a RunContext,
}

impl<'a> RecordRef<'a> {
    /// The record that `record` is in `block`. `text` takes its text.
    #[inline(always)]
    pub(super) fn of(
        record: &ShardRecord,
        block: &'a Loaded,
        producer: &'a Arc<ProducerIdentity>,
        text: &'a Text,
        run: &'a RunContext,
    ) -> RecordRef<'a> {
        let bytes = &block.payload()[record.start..record.start + record.length];
        let content = match record.callsite {
            MESSAGE_CODE => Content::Message(bytes),
            id => {
                let callsite = block.callsites.at(record.callsite_at);
                Content::Structured { id, callsite, values: bytes, layout: record.layout, text }
            }
        };
        let &ShardRecord { timestamp_ns, sequence, level, flags, .. } = record;
        RecordRef { content, timestamp_ns, sequence, level, flags, producer, run }
    }

    /// The message, as the logger got it, unless it [`is_truncated`](Self::is_truncated).
    ///
    /// For a record with fields it is a text: the callsite's template with the values in their places, and then the
    /// fields without a place. It is made when this is first called.
    #[inline]
    pub fn message(&self) -> &'a [u8] {
        self.content.message()
    }

    /// The message as text. Bytes that are not UTF-8 are replaced. Control characters are as they were logged, so do
    /// not print it to a terminal as it is: `diolog cat` escapes them.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.message())
    }

    /// Appends the message to `out`. For a record with fields this is faster than [`message`](Self::message), which
    /// makes the text elsewhere.
    #[inline]
    pub fn write_message(&self, out: &mut Vec<u8>) {
        self.content.write_message(out);
    }

    /// The fields and their values, in the order of the program's text; none for a message.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// # let logger = diolog::Logger::open(diolog::Config::new(&path))?;
    /// # logger.producer()?.log(diolog::Level::Info, "started");
    /// # logger.close()?;
    /// let mut reader = diolog::Reader::open(&path)?;
    /// while let Some(record) = reader.next_record()? {
    ///     for field in record.fields() {
    ///         println!("{} is {:?}", field.name, field.value);
    ///     }
    ///     if let Some(id) = record.field("id").and_then(|id| id.as_u64()) {
    ///         println!("of order {id}");
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        self.content.fields()
    }

    /// If all values are numbers of 64 bits, and template and names stand in a JSON string as they are, appends the
    /// record to `out` as members of a JSON object, each after a comma, and returns `true`: the `message`, and the
    /// object `fields`. For those who print millions of such records. The numbers of fields are those of
    /// [`Value::append_json_number`].
    #[inline]
    pub fn write_json_members(&self, out: &mut Vec<u8>) -> bool {
        self.content.write_json_members(out)
    }

    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields().find(|field| field.name == name).map(|field| field.value)
    }

    /// The place in the program that logged the record: `None` for a message, and for a record of a callsite that its
    /// block does not define.
    #[inline]
    pub fn callsite(&self) -> Option<&'a CallsiteInfo> {
        self.content.callsite()
    }

    /// The callsite's id, unique within the run; `None` for a message.
    #[inline]
    pub fn callsite_id(&self) -> Option<u32> {
        self.content.callsite_id()
    }

    /// The level; `None` if this version does not know its number.
    #[inline]
    pub fn level(&self) -> Option<Level> {
        Level::from_u8(self.level)
    }

    /// When the record was appended, in `CLOCK_MONOTONIC` nanoseconds of the machine that wrote it.
    #[inline]
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// When the record was appended, in nanoseconds since the Unix epoch, by the last wall-clock anchor of its run
    /// before it. For display only: wall clocks jump. `None` if no anchor of the run can be read.
    #[inline]
    pub fn unix_ns(&self) -> Option<i64> {
        self.run.unix_ns_at(self.timestamp_ns)
    }

    /// When the record was appended, by the wall clock: [`unix_ns`](Self::unix_ns) as a time of the standard library.
    pub fn time(&self) -> Option<SystemTime> {
        self.unix_ns().map(system_time)
    }

    /// The record's sequence number: its place among its producer's attempts, from 0. A missing number is a record that
    /// was lost, by policy or by damage.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The producer's id, unique within the run.
    #[inline]
    pub fn producer_id(&self) -> u32 {
        self.producer.id
    }

    /// The producer's name, often that of its thread; it may be empty.
    #[inline]
    pub fn producer_name(&self) -> &'a str {
        &self.producer.name
    }

    /// The kernel's id of the thread that made the producer.
    #[inline]
    pub fn tid(&self) -> u32 {
        self.producer.tid
    }

    /// The run that wrote the record.
    #[inline]
    pub fn run(&self) -> RunId {
        self.run.id
    }

    /// The name of the service that wrote the record, as configured; empty if it has none.
    #[inline]
    pub fn service(&self) -> &'a str {
        &self.run.origin.service
    }

    /// The id of the process that wrote the record; `None` if the files do not say it.
    #[inline]
    pub fn pid(&self) -> Option<u32> {
        self.run.origin.pid()
    }

    /// The name of the machine that the record was written on; `None` if the files do not say it.
    #[inline]
    pub fn host(&self) -> Option<&'a str> {
        self.run.origin.host()
    }

    /// Whether the message or a value was cut, because the record was longer than the log's `message_bytes_max`.
    #[inline]
    pub fn is_truncated(&self) -> bool {
        self.flags & RecordFlags::TRUNCATED != 0
    }

    /// An owned copy of the record.
    pub fn to_record(&self) -> Record {
        Record {
            content: self.content.to_owned(),
            timestamp_ns: self.timestamp_ns,
            unix_ns: self.unix_ns(),
            sequence: self.sequence,
            level: self.level,
            flags: self.flags,
            producer: Arc::clone(self.producer),
            run: self.run.id,
            origin: Arc::clone(&self.run.origin),
        }
    }
}

/// The producer and the process of a record. While this is held, nothing else is at their places in memory.
#[cfg(feature = "unstable")]
#[derive(Clone, Debug)]
pub struct RecordOrigin {
    producer: Arc<ProducerIdentity>,
    origin: Arc<Origin>,
}

#[cfg(feature = "unstable")]
impl RecordOrigin {
    /// That of the record.
    pub fn of(record: &RecordRef<'_>) -> RecordOrigin {
        RecordOrigin { producer: Arc::clone(record.producer), origin: Arc::clone(&record.run.origin) }
    }

    /// Whether the record is of the same run, and its process has the same description.
    #[inline]
    pub fn has_process_of(&self, record: &RecordRef<'_>) -> bool {
        // Each run has its own.
        Arc::ptr_eq(&self.origin, &record.run.origin)
    }

    /// Whether the record is of the same producer, with the same name and thread. It may be `false` for one that is.
    #[inline]
    pub fn has_producer_of(&self, record: &RecordRef<'_>) -> bool {
        Arc::ptr_eq(&self.producer, record.producer)
    }
}

/// The time so many nanoseconds after the Unix epoch, or before it.
fn system_time(unix_ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(unix_ns.unsigned_abs());
    if unix_ns < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// A record, owned.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    content: OwnedContent,
    timestamp_ns: u64,
    unix_ns: Option<i64>,
    sequence: u64,
    level: u8,
    flags: u8,
    producer: Arc<ProducerIdentity>,
    run: RunId,
    origin: Arc<Origin>,
}

/// Shows what was logged, by whom and when.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("time", &self.time())
            .field("level", &self.level())
            .field("producer", &format_args!("{} {:?}", self.producer_id(), self.producer_name()))
            .field("sequence", &self.sequence())
            .field("text", &self.text())
            .finish_non_exhaustive()
    }
}

impl Record {
    /// The message, or the text of the fields; see [`RecordRef::message`].
    pub fn message(&self) -> &[u8] {
        self.content.borrow().message()
    }

    /// The message as text; see [`RecordRef::text`].
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.message())
    }

    /// The fields and their values; see [`RecordRef::fields`].
    pub fn fields(&self) -> Fields<'_> {
        self.content.borrow().fields()
    }

    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<Value<'_>> {
        self.fields().find(|field| field.name == name).map(|field| field.value)
    }

    /// The place in the program that logged the record; see [`RecordRef::callsite`].
    pub fn callsite(&self) -> Option<&CallsiteInfo> {
        self.content.borrow().callsite()
    }

    /// The callsite's id, unique within the run; `None` for a message.
    pub fn callsite_id(&self) -> Option<u32> {
        self.content.borrow().callsite_id()
    }

    /// The level; `None` if this version does not know its number.
    pub fn level(&self) -> Option<Level> {
        Level::from_u8(self.level)
    }

    /// When the record was appended, in `CLOCK_MONOTONIC` nanoseconds of the machine that wrote it.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// When the record was appended, in nanoseconds since the Unix epoch; see [`RecordRef::unix_ns`].
    pub fn unix_ns(&self) -> Option<i64> {
        self.unix_ns
    }

    /// When the record was appended, by the wall clock; see [`RecordRef::time`].
    pub fn time(&self) -> Option<SystemTime> {
        self.unix_ns.map(system_time)
    }

    /// The record's sequence number: its place among its producer's attempts, from 0. A missing number is a record that
    /// was lost, by policy or by damage.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The producer's id, unique within the run.
    pub fn producer_id(&self) -> u32 {
        self.producer.id
    }

    /// The producer's name, often that of its thread; it may be empty.
    pub fn producer_name(&self) -> &str {
        &self.producer.name
    }

    /// The kernel's id of the thread that made the producer.
    pub fn tid(&self) -> u32 {
        self.producer.tid
    }

    /// The run that wrote the record.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The name of the service that wrote the record, as configured; empty if it has none.
    pub fn service(&self) -> &str {
        &self.origin.service
    }

    /// The id of the process that wrote the record; `None` if the files do not say it.
    pub fn pid(&self) -> Option<u32> {
        self.origin.pid()
    }

    /// The name of the machine that the record was written on; `None` if the files do not say it.
    pub fn host(&self) -> Option<&str> {
        self.origin.host()
    }

    /// Whether the message or a value was cut, because the record was longer than the log's `message_bytes_max`.
    pub fn is_truncated(&self) -> bool {
        self.flags & RecordFlags::TRUNCATED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::little_endian::{I64, U64};

    fn anchor(monotonic_ns: u64, unix_ns: i64) -> WallAnchor {
        WallAnchor { monotonic_ns: U64::new(monotonic_ns), unix_ns: I64::new(unix_ns) }
    }

    #[test]
    fn wall_time_comes_from_the_nearest_earlier_anchor() {
        let mut anchors = Anchors::default();
        assert_eq!(anchors.unix_ns_at(5), None);
        anchors.add(&[anchor(200, 9_000), anchor(100, 1_000)]);
        assert_eq!(anchors.unix_ns_at(50), Some(950), "before all: the first one");
        assert_eq!(anchors.unix_ns_at(199), Some(1_099));
        assert_eq!(anchors.unix_ns_at(200), Some(9_000));
        assert_eq!(anchors.unix_ns_at(900), Some(9_700));
    }

    #[test]
    fn a_run_is_shown_in_hexadecimal_or_as_unknown() {
        assert_eq!(RunId::from(format::StoredRunId([0xAB; 16])).to_string(), "ab".repeat(16));
        assert_eq!(RunId::unknown(7).to_string(), "unknown-0000000000000007");
    }
}
