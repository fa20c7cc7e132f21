//! What a listener gets: a record while its log is written, and the number of records that it has missed.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use crate::format::{CallsiteInfo, Fields, Layout, RecordFlags, Value};
use crate::grouped::counted;
use crate::level::Level;

/// A record as a [`Listener`](crate::Listener) gets it, a moment after its append. It is on its way to the disk, and
/// may not be durable yet.
#[derive(Clone, Copy)]
pub struct LiveRecord<'a> {
    pub(super) level: Level,
    pub(super) unix_ns: i64,
    pub(super) timestamp_ns: u64,
    pub(super) producer_id: u32,
    pub(super) producer_name: &'a str,
    pub(super) sequence: u64,
    pub(super) flags: u8,
    /// `None` for a message.
    pub(super) callsite: Option<&'static CallsiteInfo>,
    /// The message; for a structured record, its text.
    pub(super) message: &'a [u8],
    /// The values of a structured record, in the plain encoding.
    pub(super) values: &'a [u8],
    pub(super) log: &'a Path,
    /// The name of the log's directory, if the listener has several logs.
    pub(super) log_name: Option<&'a str>,
    pub(super) service: &'a str,
}

impl<'a> LiveRecord<'a> {
    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// When the record was appended, in nanoseconds since the Unix epoch. It is computed with the wall clock at the
    /// time of this call of the listener, so a step of the clock between the append and the call moves it.
    pub fn unix_ns(&self) -> i64 {
        self.unix_ns
    }

    /// When the record was appended, in `CLOCK_MONOTONIC` nanoseconds: the same number as in the files.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// The producer's id, unique within the run.
    pub fn producer_id(&self) -> u32 {
        self.producer_id
    }

    /// The producer's name, often that of its thread; it may be empty.
    pub fn producer_name(&self) -> &'a str {
        self.producer_name
    }

    /// The record's sequence number: its place among its producer's attempts, from 0.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The message, as the logger got it, unless it [`is_truncated`](Self::is_truncated). For a structured record, its
    /// text: the template with the values in their places, followed by the fields without a place.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The message as text. Bytes that are not UTF-8 are replaced. Control characters are as they were logged, so do
    /// not print it to a terminal: print the line that [`write_line`](Self::write_line) makes.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.message)
    }

    /// The place in the program that logged a structured record, with its target, file, line and template; `None` for a
    /// message.
    pub fn callsite(&self) -> Option<&'a CallsiteInfo> {
        self.callsite
    }

    /// The fields of a structured record, in the order in which the program gives them; none for a message.
    pub fn fields(&self) -> Fields<'a> {
        self.callsite.map_or_else(Fields::none, |callsite| Fields::new(callsite, self.values, Layout::Plain))
    }

    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields().find(|field| field.name == name).map(|field| field.value)
    }

    /// Whether the message or a value was cut, because the record was longer than the log's
    /// [`message_bytes_max`](crate::Config::message_bytes_max).
    pub fn is_truncated(&self) -> bool {
        self.flags & RecordFlags::TRUNCATED != 0
    }

    /// The directory of the record's log, as it was opened.
    pub fn log(&self) -> &'a Path {
        self.log
    }

    /// The name of the service that logs, as configured; empty if it has none.
    pub fn service(&self) -> &'a str {
        self.service
    }
}

impl fmt::Debug for LiveRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LiveRecord { level, producer_name, sequence, .. } = self;
        f.debug_struct("LiveRecord")
            .field("level", level)
            .field("message", &self.text())
            .field("producer_name", producer_name)
            .field("sequence", sequence)
            .finish_non_exhaustive()
    }
}

/// Records of a log that a listener did not get, because it was too slow. The log has them.
///
/// Shown as "1,234 records were not shown", or, if the listener has several logs, "1,234 records of payment were not
/// shown", with the name of the log's directory.
#[derive(Clone, Copy, Debug)]
pub struct Missed<'a> {
    pub(super) records: u64,
    pub(super) log: &'a Path,
    /// The name of the log's directory, if the listener has several logs.
    pub(super) log_name: Option<&'a str>,
}

impl<'a> Missed<'a> {
    /// How many records. They come between the last record of this log that the listener got and the next one.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The directory of the log, as it was opened.
    pub fn log(&self) -> &'a Path {
        self.log
    }
}

impl fmt::Display for Missed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.records == 1 { "was" } else { "were" };
        write!(f, "{}", counted(self.records, "record"))?;
        if let Some(log) = self.log_name {
            write!(f, " of {log}")?;
        }
        write!(f, " {verb} not shown")
    }
}
