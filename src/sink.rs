//! Where a logger's records go: to rings and files; or nowhere, or into this process's memory, for tests.
//!
//! `Logger::disabled` and `Logger::in_memory` have the latter two. A producer of such a logger has no ring, so every
//! append that passes the gate comes here on the slow path. The fast path does not know it.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::appendable::Appendable;
use crate::callsite;
use crate::format::{CallsiteInfo, Fields, Kind, Layout, Value};
use crate::level::Level;
use crate::render::{self, Plan};
use crate::ring::to_vec;
use crate::sync::{Inside, lock};

/// Where a logger's records go.
pub(crate) enum Sink {
    /// Into rings, and from there into the log's files.
    Files,
    /// The gate admits no level, so nothing comes here.
    Nowhere,
    Memory(MemoryLog),
}

impl Sink {
    pub(crate) fn is_files(&self) -> bool {
        matches!(self, Sink::Files)
    }
}

/// A signal handler appended within an append of the same thread, or within a look at the records.
#[derive(Debug)]
pub(crate) struct Reentrant;

thread_local! {
    /// Whether this thread has a memory log locked. A signal handler on this thread must not wait for the lock then.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The records of a logger into memory: the test's end of [`Logger::in_memory`](crate::Logger::in_memory). Clones show
/// the same records.
#[derive(Clone, Default)]
pub struct MemoryLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    records: Vec<MemoryRecord>,
    /// By producer id, from 1.
    producers: Vec<MemoryProducer>,
    appended: u64,
}

struct MemoryProducer {
    name: Arc<str>,
    next_sequence: u64,
}

impl MemoryLog {
    /// All records that were logged and not [taken](MemoryLog::take), in the order in which the appends returned.
    pub fn records(&self) -> Vec<MemoryRecord> {
        self.locked(|inner| inner.records.clone()).unwrap_or_default()
    }

    /// The messages of [`records`](MemoryLog::records) as text. Bytes that are not UTF-8 are replaced.
    pub fn messages(&self) -> Vec<String> {
        let texts = |inner: &mut Inner| inner.records.iter().map(|record| record.text().into_owned()).collect();
        self.locked(texts).unwrap_or_default()
    }

    /// Takes the records out, so that the next look shows only later ones.
    pub fn take(&self) -> Vec<MemoryRecord> {
        self.locked(|inner| std::mem::take(&mut inner.records)).unwrap_or_default()
    }

    /// Adds a producer. Returns its id.
    pub(crate) fn add_producer(&self, name: &str) -> u32 {
        let mut inner = lock(&self.inner);
        inner.producers.push(MemoryProducer { name: name.into(), next_sequence: 0 });
        inner.producers.len() as u32
    }

    /// The sequence number of the producer's next record.
    pub(crate) fn next_sequence(&self, producer: u32) -> u64 {
        self.locked(|inner| inner.producer(producer).map_or(0, |producer| producer.next_sequence)).unwrap_or(0)
    }

    /// Appends a record, if `admits` still returns true when no other append is under way. Returns whether it did.
    ///
    /// # Errors
    /// [`Reentrant`]; the record is not kept.
    pub(crate) fn append(
        &self,
        producer_id: u32,
        level: Level,
        record: &(impl Appendable + ?Sized),
        admits: impl FnOnce() -> bool,
    ) -> Result<bool, Reentrant> {
        self.locked(|inner| {
            if !admits() {
                return false;
            }
            let Some(producer) = inner.producer(producer_id) else { return false };
            let (producer_name, sequence) = (Arc::clone(&producer.name), producer.next_sequence);
            producer.next_sequence += 1;
            inner.appended += 1;
            let (callsite, bytes) = parts(record);
            let truncated = record.is_cut();
            let text = callsite.map_or_else(Box::default, |callsite| text_of(callsite, &bytes).into());
            inner.records.push(MemoryRecord {
                level,
                callsite,
                bytes,
                text,
                producer_id,
                producer_name,
                sequence,
                truncated,
            });
            true
        })
        .ok_or(Reentrant)
    }

    /// How many records were appended, including those that were taken.
    pub(crate) fn appended(&self) -> u64 {
        self.locked(|inner| inner.appended).unwrap_or(0)
    }

    /// Calls `look` with the records locked; `None` if this thread has them locked already.
    fn locked<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        let _inside = Inside::enter(&INSIDE)?;
        Some(look(&mut lock(&self.inner)))
    }
}

impl Inner {
    fn producer(&mut self, id: u32) -> Option<&mut MemoryProducer> {
        self.producers.get_mut((id as usize).checked_sub(1)?)
    }
}

/// The callsite of a structured record, and its values; for a message, no callsite and its bytes.
fn parts(record: &(impl Appendable + ?Sized)) -> (Option<&'static CallsiteInfo>, Box<[u8]>) {
    let mut bytes = to_vec(record);
    let callsite = match (record.kind(), bytes.first_chunk()) {
        (Kind::Structured, Some(id)) => callsite::definition(u32::from_le_bytes(*id)),
        _ => None,
    };
    if callsite.is_some() {
        bytes.drain(..size_of::<u32>());
    }
    (callsite, bytes.into())
}

/// The text of a structured record.
fn text_of(callsite: &CallsiteInfo, values: &[u8]) -> Vec<u8> {
    let plan = Plan::of(callsite.template(), &callsite.fields);
    let mut text = Vec::new();
    render::record(&plan, values, Layout::Plain, &mut text);
    text
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.records()).finish()
    }
}

/// A record of a [`MemoryLog`].
#[derive(Clone, PartialEq, Eq)]
pub struct MemoryRecord {
    level: Level,
    /// `None` for a message.
    callsite: Option<&'static CallsiteInfo>,
    /// The message, or the values.
    bytes: Box<[u8]>,
    /// The text of the values.
    text: Box<[u8]>,
    producer_id: u32,
    producer_name: Arc<str>,
    sequence: u64,
    truncated: bool,
}

impl MemoryRecord {
    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The message, as the logger got it, unless it [`is_truncated`](Self::is_truncated). For a structured record, its
    /// text.
    pub fn message(&self) -> &[u8] {
        if self.callsite.is_some() { &self.text } else { &self.bytes }
    }

    /// The message as text. Bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.message())
    }

    /// The place in the program that logged a structured record; `None` for a message.
    pub fn callsite(&self) -> Option<&CallsiteInfo> {
        self.callsite
    }

    /// The fields of a structured record, in the order in which the program gives them.
    pub fn fields(&self) -> Fields<'_> {
        self.callsite.map_or_else(Fields::none, |callsite| Fields::new(callsite, &self.bytes, Layout::Plain))
    }

    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<Value<'_>> {
        self.fields().find(|field| field.name == name).map(|field| field.value)
    }

    /// The producer's id: 1 for the first that was made, 2 for the next.
    pub fn producer_id(&self) -> u32 {
        self.producer_id
    }

    /// The producer's name, often that of its thread; it may be empty.
    pub fn producer_name(&self) -> &str {
        &self.producer_name
    }

    /// The record's sequence number: its place among its producer's records, from 0.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether it was cut, because it was longer than the producer's `message_bytes_max`.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

impl fmt::Debug for MemoryRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemoryRecord { level, producer_name, sequence, truncated, .. } = self;
        f.debug_struct("MemoryRecord")
            .field("level", level)
            .field("message", &self.text())
            .field("producer_name", producer_name)
            .field("sequence", sequence)
            .field("truncated", truncated)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appendable::Message;

    #[test]
    fn an_append_within_a_look_at_the_records_is_refused_and_does_not_hang() {
        let log = MemoryLog::default();
        let producer = log.add_producer("");
        let within = log.locked(|_| log.append(producer, Level::Info, &Message::new(b"within"), || true));
        assert!(matches!(within, Some(Err(Reentrant))));
        assert!(matches!(log.append(producer, Level::Info, &Message::new(b"after"), || true), Ok(true)));
        assert_eq!((log.messages(), log.next_sequence(producer)), (vec!["after".to_owned()], 1));
    }
}
