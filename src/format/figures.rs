//! The figures of a log and of its producers at one moment, which the writer leaves in blocks for
//! programs that watch the log.
//!
//! They prove nothing: the producers' rows and ends do. A reader of records steps over them.

use std::mem::offset_of;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::limits::NAME_BYTES_MAX;

/// Whether the log's device takes writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum State {
    /// Writes succeed.
    #[default]
    Ok = 0,
    /// The disk is full: the writer holds the blocks and tries again.
    Full = 1,
    /// Writes fail for another reason: the writer holds the blocks and writes them to a new segment.
    Failed = 2,
}

impl State {
    /// The state with this number. An unknown number is of a later revision, and counts as `Failed`.
    pub(crate) const fn from_u8(state: u8) -> State {
        match state {
            0 => State::Ok,
            1 => State::Full,
            _ => State::Failed,
        }
    }
}

/// A log's figures: counts since the run began, and latencies since the row before. The record's time is when they were
/// read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct LogFigures {
    /// The wall time when they were read, in nanoseconds since the Unix epoch.
    pub(crate) unix_ns: I64,
    /// Nanoseconds since the row before, or since the run began.
    pub(crate) interval_ns: U64,
    /// A [`State`].
    pub(crate) state: u8,
    pub(crate) reserved: [u8; 3],
    /// Live producers.
    pub(crate) producers: U32,
    pub(crate) producers_ended: U64,
    pub(crate) attempted: U64,
    pub(crate) written: U64,
    pub(crate) truncated: U64,
    pub(crate) payload_bytes: U64,
    pub(crate) dropped_ring_full: U64,
    pub(crate) dropped_ring_memory: U64,
    pub(crate) dropped_timed_out: U64,
    pub(crate) dropped_device_failed: U64,
    pub(crate) overwritten: U64,
    pub(crate) refused: U64,
    pub(crate) hidden: U64,
    pub(crate) waits: U64,
    pub(crate) waited_ns: U64,
    pub(crate) durable_records: U64,
    pub(crate) durable_blocks: U64,
    pub(crate) durable_bytes: U64,
    pub(crate) padding_bytes: U64,
    pub(crate) device_bytes: U64,
    pub(crate) flushes: U64,
    pub(crate) flush_errors: U64,
    pub(crate) write_errors: U64,
    pub(crate) preparation_errors: U64,
    pub(crate) segments: U64,
    pub(crate) segments_late: U64,
    pub(crate) rings_bytes: U64,
    pub(crate) rings_bytes_max: U64,
    /// Writes in the interval, and how long they took.
    pub(crate) writes: U64,
    pub(crate) write_p50_ns: U64,
    pub(crate) write_p99_ns: U64,
    pub(crate) write_max_ns: U64,
    /// Flushes in the interval, and how long they took.
    pub(crate) interval_flushes: U64,
    pub(crate) flush_p50_ns: U64,
    pub(crate) flush_p99_ns: U64,
    pub(crate) flush_max_ns: U64,
}

const _: () = assert!(size_of::<LogFigures>() == 304 && align_of::<LogFigures>() == 1);
const _: () = assert!(offset_of!(LogFigures, attempted) == 32 && offset_of!(LogFigures, writes) == 240);

impl LogFigures {
    /// Reads a row; `None` if the bytes are too few. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<LogFigures> {
        Some(LogFigures::read_from_prefix(payload).ok()?.0)
    }
}

/// One producer's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProducerFigures {
    /// Its id in the run.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Bytes of its ring, without the reserve.
    pub ring_bytes: u64,
    /// Bytes that the ring and its reserve held.
    pub held_bytes: u64,
    /// The most that they have held.
    pub high_water_bytes: u64,
    /// Attempts that passed the level.
    pub attempted: u64,
    /// Records that the writer has taken.
    pub written: u64,
    /// Attempts given up.
    pub dropped: u64,
    /// Records that newer ones replaced.
    pub overwritten: u64,
    /// How long it has waited for room, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::written::number"))]
    pub waited_ns: u64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawProducerFigures {
    pub(super) id: U32,
    pub(super) name_bytes: U16,
    pub(super) reserved: [u8; 2],
    pub(super) ring_bytes: U64,
    pub(super) held_bytes: U64,
    pub(super) high_water_bytes: U64,
    pub(super) attempted: U64,
    pub(super) written: U64,
    pub(super) dropped: U64,
    pub(super) overwritten: U64,
    pub(super) waited_ns: U64,
}

const _: () = assert!(size_of::<RawProducerFigures>() == ProducerFigures::BYTES_BEFORE_NAME);

impl ProducerFigures {
    /// Bytes of a row before the producer's name.
    pub(crate) const BYTES_BEFORE_NAME: usize = 72;

    /// Appends the row's bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.name.len() <= NAME_BYTES_MAX);
        let raw = RawProducerFigures {
            id: U32::new(self.id),
            name_bytes: U16::new(self.name.len() as u16),
            reserved: [0; 2],
            ring_bytes: U64::new(self.ring_bytes),
            held_bytes: U64::new(self.held_bytes),
            high_water_bytes: U64::new(self.high_water_bytes),
            attempted: U64::new(self.attempted),
            written: U64::new(self.written),
            dropped: U64::new(self.dropped),
            overwritten: U64::new(self.overwritten),
            waited_ns: U64::new(self.waited_ns),
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
    }

    /// Reads a row; `None` if the bytes are not one. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<ProducerFigures> {
        let (raw, rest) = RawProducerFigures::read_from_prefix(payload).ok()?;
        let name = rest.get(..usize::from(raw.name_bytes.get()))?;
        (name.len() <= NAME_BYTES_MAX && raw.id.get() != 0).then(|| ProducerFigures {
            id: raw.id.get(),
            name: String::from_utf8_lossy(name).into_owned(),
            ring_bytes: raw.ring_bytes.get(),
            held_bytes: raw.held_bytes.get(),
            high_water_bytes: raw.high_water_bytes.get(),
            attempted: raw.attempted.get(),
            written: raw.written.get(),
            dropped: raw.dropped.get(),
            overwritten: raw.overwritten.get(),
            waited_ns: raw.waited_ns.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_figures_read_back_and_their_bytes_are_golden() {
        let figures = LogFigures {
            unix_ns: I64::new(-2),
            interval_ns: U64::new(3),
            state: 1,
            producers: U32::new(4),
            attempted: U64::new(0x0102_0304_0506_0708),
            flush_max_ns: U64::new(9),
            ..LogFigures::default()
        };
        let bytes = figures.as_bytes();
        assert_eq!(bytes[..8], [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(bytes[8..24], [3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(bytes[32..40], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(bytes[296..], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(LogFigures::decode(bytes), Some(figures));
        assert_eq!(LogFigures::decode(&[bytes, b"later"].concat()), Some(figures));
        assert_eq!(LogFigures::decode(&bytes[..303]), None);
    }

    #[test]
    fn a_producers_figures_read_back_and_their_bytes_are_golden() {
        let figures = ProducerFigures {
            id: 7,
            name: "orders".into(),
            ring_bytes: 1 << 20,
            held_bytes: 2,
            high_water_bytes: 3,
            attempted: 4,
            written: 5,
            dropped: 6,
            overwritten: 7,
            waited_ns: 8,
        };
        let mut bytes = Vec::new();
        figures.encode(&mut bytes);
        assert_eq!(bytes[..16], [7, 0, 0, 0, 6, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..32], [2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[64..], [8, 0, 0, 0, 0, 0, 0, 0, b'o', b'r', b'd', b'e', b'r', b's']);
        assert_eq!(ProducerFigures::decode(&bytes), Some(figures));
        for length in 0..bytes.len() {
            assert_eq!(ProducerFigures::decode(&bytes[..length]), None, "{length}");
        }
        bytes[0] = 0;
        assert_eq!(ProducerFigures::decode(&bytes), None, "no producer has the number 0");
    }
}
