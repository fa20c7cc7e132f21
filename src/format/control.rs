//! Payloads of the writer's own records: producer rows, wall-clock anchors, status.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::limits::{BLOCK_BYTES_MAX, NAME_BYTES_MAX, PRODUCERS_MAX};
use super::loss::DroppedBy;
use super::record::record_bytes;

/// A producer's name and counts: the payload of its start, its rows and its end.
///
/// In a start or a row the counts are those before the block that holds it, so that the row in block 0 is the baseline
/// for the segment. In an end they are final, and `next_sequence == records + dropped + overwritten + unwritten`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerRow {
    /// Unique within the run, never reused, never 0.
    pub(crate) id: u32,
    /// The kernel's id of the thread that made the producer.
    pub(crate) tid: u32,
    /// The sequence number after the last one accounted for: attempts so far.
    pub(crate) next_sequence: u64,
    /// Records written to blocks so far.
    pub(crate) records: u64,
    /// Attempts that found no room, as last published by the producer.
    pub(crate) dropped: u64,
    /// The same by cause. `None` in a row of revision 1, which does not tell.
    pub(crate) dropped_by: Option<DroppedBy>,
    /// Records that newer ones replaced before the writer read them, as last published by the producer.
    pub(crate) overwritten: u64,
    /// Records that were still in the ring at the deadline of `close`.
    pub(crate) unwritten: u64,
    /// The producer's name, often its thread's; at most [`NAME_BYTES_MAX`] bytes.
    pub(crate) name: String,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawProducerRow {
    pub(super) id: U32,
    pub(super) tid: U32,
    pub(super) next_sequence: U64,
    pub(super) records: U64,
    pub(super) dropped: U64,
    pub(super) overwritten: U64,
    pub(super) unwritten: U64,
    pub(super) name_bytes: U16,
    pub(super) reserved: [u8; 6],
}

/// What follows the name since revision 2: `dropped` by cause. The rest of it was dropped because the ring was full.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawDroppedBy {
    pub(super) dropped_ring_memory: U64,
    pub(super) dropped_timed_out: U64,
    pub(super) dropped_device_failed: U64,
}

const _: () = assert!(size_of::<RawProducerRow>() == ProducerRow::BYTES_BEFORE_NAME);
const _: () = assert!(align_of::<RawProducerRow>() == 1 && align_of::<RawDroppedBy>() == 1);
// A row for every producer, and for the one of threads without a ring, fits block 0, with 1 MiB left for other records.
const _: () = assert!((PRODUCERS_MAX + 1) * record_bytes(ProducerRow::BYTES_MAX) <= BLOCK_BYTES_MAX - (1 << 20));

impl ProducerRow {
    /// Bytes of a row before the producer's name.
    pub(crate) const BYTES_BEFORE_NAME: usize = 56;

    /// Bytes of a row with the longest name.
    pub(crate) const BYTES_MAX: usize = ProducerRow::BYTES_BEFORE_NAME + NAME_BYTES_MAX + size_of::<RawDroppedBy>();

    /// How many bytes [`encoded`](Self::encoded) returns.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let causes = if self.dropped_by.is_some() { size_of::<RawDroppedBy>() } else { 0 };
        ProducerRow::BYTES_BEFORE_NAME + self.name.len() + causes
    }

    /// The row's bytes.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ProducerRow::BYTES_MAX);
        self.encode(&mut out);
        out
    }

    /// Appends the row's bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.name.len() <= NAME_BYTES_MAX);
        let raw = RawProducerRow {
            id: U32::new(self.id),
            tid: U32::new(self.tid),
            next_sequence: U64::new(self.next_sequence),
            records: U64::new(self.records),
            dropped: U64::new(self.dropped),
            overwritten: U64::new(self.overwritten),
            unwritten: U64::new(self.unwritten),
            name_bytes: U16::new(self.name.len() as u16),
            reserved: [0; 6],
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        if let Some(dropped_by) = self.dropped_by {
            let raw = RawDroppedBy {
                dropped_ring_memory: U64::new(dropped_by.ring_memory),
                dropped_timed_out: U64::new(dropped_by.timed_out),
                dropped_device_failed: U64::new(dropped_by.device_failed),
            };
            out.extend_from_slice(raw.as_bytes());
        }
    }

    /// Reads a row; `None` if the bytes are not one. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<ProducerRow> {
        let (raw, rest) = RawProducerRow::read_from_prefix(payload).ok()?;
        let (name, rest) = rest.split_at_checked(usize::from(raw.name_bytes.get()))?;
        if name.len() > NAME_BYTES_MAX || raw.id.get() == 0 {
            return None;
        }
        let dropped_by = RawDroppedBy::read_from_prefix(rest).ok().map(|(by, _)| {
            let [ring_memory, timed_out, device_failed] =
                [by.dropped_ring_memory, by.dropped_timed_out, by.dropped_device_failed].map(U64::get);
            let others = ring_memory.saturating_add(timed_out).saturating_add(device_failed);
            DroppedBy { ring_full: raw.dropped.get().saturating_sub(others), ring_memory, timed_out, device_failed }
        });
        Some(ProducerRow {
            id: raw.id.get(),
            tid: raw.tid.get(),
            next_sequence: raw.next_sequence.get(),
            records: raw.records.get(),
            dropped: raw.dropped.get(),
            dropped_by,
            overwritten: raw.overwritten.get(),
            unwritten: raw.unwritten.get(),
            name: String::from_utf8_lossy(name).into_owned(),
        })
    }
}

/// Monotonic and wall time read together, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct WallAnchor {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) monotonic_ns: U64,
    /// Nanoseconds since the Unix epoch, negative before it.
    pub(crate) unix_ns: I64,
}

impl WallAnchor {
    /// Reads an anchor; `None` if the bytes are too few. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<WallAnchor> {
        Some(WallAnchor::read_from_prefix(payload).ok()?.0)
    }

    /// The wall time at `monotonic_ns`, in nanoseconds since the Unix epoch, saturating.
    #[inline]
    pub(crate) fn unix_ns_at(&self, monotonic_ns: u64) -> i64 {
        let (anchor, unix) = (self.monotonic_ns.get(), self.unix_ns.get());
        match monotonic_ns.checked_sub(anchor) {
            Some(after) => unix.saturating_add_unsigned(after),
            None => unix.saturating_sub_unsigned(anchor - monotonic_ns),
        }
    }
}

/// The subject of a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum StatusCode {
    /// The device kind in use, and why.
    Device = 1,
    /// An error of the device or the file system.
    Error = 2,
    /// The writer writes again after an error.
    Resumed = 3,
    /// Records were recovered from the rings of a process that ended without closing the log.
    Recovered = 4,
}

/// A sentence of the writer's, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// A [`StatusCode`]; others come from newer writers.
    pub(crate) code: u16,
    /// A sentence.
    pub(crate) text: String,
}

impl Status {
    /// Appends the note's bytes to `out`.
    pub(crate) fn encode(code: StatusCode, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&(code as u16).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }

    /// Reads a note; `None` if the bytes are too few.
    pub(crate) fn decode(payload: &[u8]) -> Option<Status> {
        let (code, text) = payload.split_first_chunk::<2>()?;
        Some(Status { code: u16::from_le_bytes(*code), text: String::from_utf8_lossy(text).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ProducerRow {
        ProducerRow {
            id: 3,
            tid: 77,
            next_sequence: 16,
            records: 6,
            dropped: 9,
            dropped_by: Some(DroppedBy { ring_full: 3, ring_memory: 1, timed_out: 2, device_failed: 3 }),
            overwritten: 1,
            unwritten: 0,
            name: "orders".into(),
        }
    }

    #[test]
    fn a_row_reads_back_and_its_bytes_are_golden() {
        let mut bytes = Vec::new();
        row().encode(&mut bytes);
        assert_eq!(ProducerRow::decode(&bytes), Some(row()));
        assert_eq!(bytes[..16], [3, 0, 0, 0, 77, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[48..62], [6, 0, 0, 0, 0, 0, 0, 0, b'o', b'r', b'd', b'e', b'r', b's']);
        assert_eq!(
            bytes[62..],
            [[1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]].concat()
        );
        for length in 0..62 {
            assert_eq!(ProducerRow::decode(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_row_of_revision_1_does_not_tell_causes() {
        let first = ProducerRow { dropped_by: None, ..row() };
        let mut bytes = Vec::new();
        first.encode(&mut bytes);
        assert_eq!(bytes.len(), 62);
        assert_eq!(ProducerRow::decode(&bytes), Some(first));
    }

    #[test]
    fn a_row_without_an_id_is_refused() {
        let mut bytes = Vec::new();
        ProducerRow { id: 0, ..row() }.encode(&mut bytes);
        assert_eq!(ProducerRow::decode(&bytes), None);
    }

    #[test]
    fn an_anchor_gives_wall_time_before_and_after_it_and_saturates() {
        let anchor = WallAnchor { monotonic_ns: U64::new(1_000), unix_ns: I64::new(50_000) };
        assert_eq!(WallAnchor::decode(anchor.as_bytes()), Some(anchor));
        assert_eq!((anchor.unix_ns_at(1_500), anchor.unix_ns_at(0)), (50_500, 49_000));
        assert_eq!(anchor.unix_ns_at(u64::MAX), i64::MAX);
        assert_eq!(WallAnchor::decode(&anchor.as_bytes()[..15]), None);
    }

    #[test]
    fn a_status_reads_back() {
        let mut bytes = Vec::new();
        Status::encode(StatusCode::Error, "no space", &mut bytes);
        assert_eq!(Status::decode(&bytes), Some(Status { code: 2, text: "no space".into() }));
        assert_eq!(Status::decode(&bytes[..1]), None);
    }
}
