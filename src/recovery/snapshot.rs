//! Writes the records that a dead run's flight recorder left in its rings to a snapshot of its log.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;

use super::definitions::FoundDefinitions;
use super::ring_file::{DeadRingFile, SlotPlace};
use super::source::Recovered;
use crate::block::{CallsiteTable, RecordMeta};
use crate::clock::{self, TickConverter};
use crate::error::{Error, Result};
use crate::format::{Kind, LossCause, ProducerRow, SNAPSHOTS_FOLDER, crash_reason};
use crate::reader::written_by_last_snapshot;
use crate::ring::image::{Fault, LeftRecords};
use crate::segment::Rows;
use crate::snapshot::{self, Now, SnapshotOrigin, SnapshotSource, cause_of_gaps, row_after, turn_bytes};
use crate::sys::directory::OpenDirectory;

/// The rings of a dead run's flight recorder. Their records go to the snapshot one by one, so that it takes little
/// memory, however many rings there are and whatever they hold.
pub(super) struct DeadRecorder<'a> {
    pub(super) file: &'a DeadRingFile,
    pub(super) definitions: &'a FoundDefinitions<'a>,
    pub(super) origin: &'a SnapshotOrigin,
    pub(super) now: Now,
}

/// The snapshot that was written, if one was, and what could not be read of the rings, if something.
pub(super) struct WrittenSnapshot {
    pub(super) path: Option<PathBuf>,
    pub(super) damage: Option<String>,
}

impl DeadRecorder<'_> {
    /// Writes the records in the rings at `places`, but those that the run itself has written to a snapshot, unless
    /// there are none or this has been done.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(&self, directory: &OpenDirectory, places: &[SlotPlace]) -> Result<WrittenSnapshot> {
        let run = self.origin.run;
        let reading = Reading { recorder: self, converter: self.file.converter(), damage: RefCell::new(None) };
        let mut rings = Vec::new();
        for place in places {
            let ring = DeadRecorderRing::open(&reading, *place, turn_bytes(places.len()));
            let mut ring = ring.map_err(|source| Error::io("read", &self.file.path(), source))?;
            rings.extend(ring.begin_at(0).then_some(ring));
        }
        // The name says which run it is of, so that a recovery that was cut short does not write it twice.
        let reason = crash_reason(run);
        if !rings.is_empty() && is_written(directory, &reason)? {
            // All of it is looked at: if something is damaged, the file is kept.
            rings.retain_mut(|ring| ring.begin_at(u64::MAX));
        } else if !rings.is_empty() {
            // It may have died between a snapshot's name and the release of its records.
            let written = written_by_last_snapshot(directory.path(), run)?;
            rings.retain_mut(|ring| ring.begin_at(written.get(&ring.place.producer).copied().unwrap_or(0)));
        }
        if rings.is_empty() {
            return Ok(WrittenSnapshot { path: None, damage: reading.damage.take() });
        }
        // Each row is read again when it is needed: all of them together may be large.
        let rows = LeftRows {
            reading: &reading,
            rings: rings.iter().map(|ring| (ring.place, ring.first, ring.name_bytes)).collect(),
        };
        let mut known = CallsiteTable::new(true, self.origin.block_bytes, |_, _| None);
        let path = snapshot::write(directory, self.origin, &reason, self.now, &rows, rings, &mut known)?;
        Ok(WrittenSnapshot { path: Some(path), damage: reading.damage.take() })
    }
}

/// Whether the log has a snapshot for this reason.
fn is_written(directory: &OpenDirectory, reason: &str) -> Result<bool> {
    let failed = |source| Error::io("list", &directory.path_of(SNAPSHOTS_FOLDER), source);
    if directory.entry(SNAPSHOTS_FOLDER).is_err() {
        return Ok(false);
    }
    let folder = directory.open_or_make_directory(SNAPSHOTS_FOLDER).map_err(failed)?;
    let end = format!("-{reason}.dlog");
    Ok(folder.names().map_err(failed)?.iter().any(|name| name.to_string_lossy().ends_with(&end)))
}

/// What the rings are read with.
struct Reading<'a> {
    recorder: &'a DeadRecorder<'a>,
    converter: TickConverter,
    /// What is wrong with the first ring in which something is.
    damage: RefCell<Option<String>>,
}

impl Reading<'_> {
    /// The row of the producer whose slot is at `place`, and how many of its attempts were dropped. Its name has so
    /// many bytes, whatever has become of the file: a header is measured before it is composed.
    fn row(&self, place: SlotPlace, name_bytes: usize) -> (ProducerRow, u64) {
        let (mut row, dropped) = match self.recorder.file.slot(place) {
            Ok(slot) => {
                let dropped = slot.image.counts().dropped_by.total();
                let row = ProducerRow { id: slot.producer, tid: slot.tid, name: slot.name, ..ProducerRow::default() };
                (row, dropped)
            }
            Err(error) => {
                self.damage.borrow_mut().get_or_insert_with(|| error.to_string());
                (ProducerRow { id: place.producer, ..ProducerRow::default() }, 0)
            }
        };
        if row.name.len() != name_bytes {
            row.name = "?".repeat(name_bytes);
        }
        (row, dropped)
    }
}

/// The rows of producers before their first records: where each one's ring is, the number of that record, and the
/// length of the name.
struct LeftRows<'a> {
    reading: &'a Reading<'a>,
    rings: Vec<(SlotPlace, u64, usize)>,
}

impl Rows for LeftRows<'_> {
    fn each(&self, take: &mut dyn FnMut(&ProducerRow)) {
        for &(place, first, name_bytes) in &self.rings {
            let (row, dropped) = self.reading.row(place, name_bytes);
            take(&row_after(row, first, dropped, 0, first));
        }
    }
}

/// One producer's ring. There may be very many, so it holds no more than it needs between two turns.
struct DeadRecorderRing<'a> {
    reading: &'a Reading<'a>,
    place: SlotPlace,
    name_bytes: usize,
    window_at: u64,
    records: LeftRecords,
    /// The number of the first record.
    first: u64,
    /// The next one, if it was looked for.
    next: Option<(u64, RecordMeta)>,
    last_ns: u64,
    is_invalid: bool,
}

impl<'a> DeadRecorderRing<'a> {
    /// The ring at `place`, whose records are read in pieces of about `piece_bytes`.
    fn open(reading: &'a Reading<'a>, place: SlotPlace, piece_bytes: usize) -> io::Result<Box<DeadRecorderRing<'a>>> {
        let slot = reading.recorder.file.slot(place)?;
        let records = slot.image.records(reading.recorder.origin.block_bytes as u64).in_pieces_of(piece_bytes as u64);
        let (name_bytes, window_at) = (slot.name.len(), slot.window_at);
        let (first, next, last_ns, is_invalid) = (0, None, 0, false);
        // By itself, so that the memory of what a recovery has freed before is used.
        Ok(Box::new(DeadRecorderRing {
            reading,
            place,
            name_bytes,
            window_at,
            records,
            first,
            next,
            last_ns,
            is_invalid,
        }))
    }

    /// Passes over the records before number `first`. Returns whether there are others.
    fn begin_at(&mut self, first: u64) -> bool {
        while self.find().is_some_and(|(sequence, _)| sequence < first) {
            self.next = None;
            self.records.take();
        }
        self.records.rest();
        self.first = self.next.map_or(0, |(sequence, _)| sequence);
        self.next.is_some()
    }

    /// The number and the head of the next record that makes sense.
    fn find(&mut self) -> Option<(u64, RecordMeta)> {
        let Reading { recorder, converter, .. } = self.reading;
        while self.next.is_none() {
            let read = |offset, buffer: &mut [u8]| recorder.file.read_at(self.window_at.saturating_add(offset), buffer);
            let Some((head, payload)) = self.records.next(read) else {
                self.note_fault();
                break;
            };
            match Recovered::of(&head, payload, recorder.definitions) {
                Some(Recovered { kind, level, flags, sequence, .. }) => {
                    self.last_ns = clock::clamp(converter.to_ns(head.ticks), self.last_ns, recorder.now.monotonic_ns);
                    let meta = RecordMeta { kind: kind as u8, level, flags, timestamp_ns: self.last_ns };
                    self.next = Some((sequence, meta));
                }
                None => {
                    self.is_invalid = true;
                    self.records.take();
                }
            }
        }
        self.next
    }

    /// Notes what is wrong with the ring, all of whose records are taken.
    fn note_fault(&self) {
        let fault = self.records.fault().or_else(|| self.is_invalid.then_some(Fault::Record));
        if let Some(fault) = fault {
            let producer = self.place.producer;
            let what = || format!("the flight recorder's ring of producer {producer} is damaged: {fault}");
            self.reading.damage.borrow_mut().get_or_insert_with(what);
        }
    }
}

impl SnapshotSource for Box<DeadRecorderRing<'_>> {
    fn id(&self) -> u32 {
        self.place.producer
    }

    fn first(&self) -> u64 {
        self.first
    }

    fn row(&self, records: u64, next_sequence: u64) -> ProducerRow {
        let (row, dropped) = self.reading.row(self.place, self.name_bytes);
        row_after(row, self.first, dropped, records, next_sequence)
    }

    fn cause_of_gaps(&self) -> LossCause {
        cause_of_gaps(self.reading.row(self.place, self.name_bytes).1)
    }

    fn next(&mut self) -> Option<(u64, RecordMeta, &[u8])> {
        let (sequence, meta) = self.find()?;
        let (file, window_at) = (self.reading.recorder.file, self.window_at);
        let read = |offset, buffer: &mut [u8]| file.read_at(window_at.saturating_add(offset), buffer);
        if self.records.next(read).is_none() {
            // It was there before, and cannot be read again.
            self.next = None;
            self.note_fault();
            return None;
        }
        let (_, payload) = self.records.next(read)?;
        Some((sequence, meta, payload))
    }

    fn take(&mut self) {
        self.next = None;
        self.records.take();
    }

    fn define(&mut self, callsites: &mut CallsiteTable) {
        let definitions = self.reading.recorder.definitions;
        if let Some((_, meta, payload)) = self.next()
            && meta.kind == Kind::Structured as u8
        {
            definitions.define(payload, callsites);
        }
    }

    fn rest(&mut self) {
        self.records.rest();
    }
}
