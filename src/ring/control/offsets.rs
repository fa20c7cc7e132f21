//! The offsets of those fields of the control lines that an [image](crate::ring::image) of a ring needs, in bytes.

use std::mem::offset_of;

use super::{Attempts, Control, DroppedByCause, Losses, Space, Written};

/// Size of the control lines.
pub(crate) const CONTROL_BYTES: usize = size_of::<Control>();

const WRITTEN: usize = offset_of!(Control, written);
pub(in crate::ring) const WRITE_POSITION: usize = WRITTEN + offset_of!(Written, write_position);
pub(in crate::ring) const RESERVE_POSITION: usize = WRITTEN + offset_of!(Written, reserve_position);
pub(in crate::ring) const RESERVE_STATE: usize = WRITTEN + offset_of!(Written, reserve_state);
pub(in crate::ring) const ATTEMPTED: usize = WRITTEN + offset_of!(Written, attempted);

pub(in crate::ring) const NEXT_SEQUENCE: usize = offset_of!(Control, attempts) + offset_of!(Attempts, next_sequence);

pub(in crate::ring) const APPEND_FLAG: usize = offset_of!(Control, attempts) + offset_of!(Attempts, append_flag);

const LOSSES: usize = offset_of!(Control, losses);
const DROPPED_BY: usize = LOSSES + offset_of!(Losses, dropped_by);
pub(in crate::ring) const DROPPED_FULL: usize = LOSSES + offset_of!(Losses, dropped_full);
pub(in crate::ring) const DROPPED_MEMORY: usize = DROPPED_BY + offset_of!(DroppedByCause, memory);
pub(in crate::ring) const DROPPED_TIMED_OUT: usize = DROPPED_BY + offset_of!(DroppedByCause, timed_out);
pub(in crate::ring) const DROPPED_DEVICE_FAILED: usize = DROPPED_BY + offset_of!(DroppedByCause, device_failed);
pub(in crate::ring) const OVERWRITTEN: usize = LOSSES + offset_of!(Losses, overwritten);

const SPACE: usize = offset_of!(Control, space);
pub(in crate::ring) const READ_POSITION: usize = SPACE + offset_of!(Space, read_position);
pub(in crate::ring) const RESERVE_READ_POSITION: usize = SPACE + offset_of!(Space, reserve_read_position);

pub(in crate::ring) const OLDEST: usize = offset_of!(Control, oldest);

/// The offsets of all fields of eight bytes.
#[cfg(all(test, not(loom)))]
pub(in crate::ring) const WORDS: [usize; 12] = [
    WRITE_POSITION,
    RESERVE_POSITION,
    ATTEMPTED,
    NEXT_SEQUENCE,
    DROPPED_FULL,
    DROPPED_MEMORY,
    DROPPED_TIMED_OUT,
    DROPPED_DEVICE_FAILED,
    OVERWRITTEN,
    READ_POSITION,
    RESERVE_READ_POSITION,
    OLDEST,
];

/// The offsets of words that tests change, and how they do.
#[cfg(all(test, not(any(diolog_portable, loom))))]
#[allow(clippy::host_endian_bytes, reason = "the words are as a process of this machine has stored them")]
pub(crate) mod words {
    use super::CONTROL_BYTES;

    pub(crate) const WRITE_POSITION: usize = super::WRITE_POSITION;
    pub(crate) const READ_POSITION: usize = super::READ_POSITION;
    pub(crate) const NEXT_SEQUENCE: usize = super::NEXT_SEQUENCE;
    pub(crate) const ATTEMPTED: usize = super::ATTEMPTED;
    pub(crate) const APPEND_FLAG: usize = super::APPEND_FLAG;
    pub(crate) const DROPPED_FULL: usize = super::DROPPED_FULL;
    pub(crate) const OVERWRITTEN: usize = super::OVERWRITTEN;

    pub(crate) fn get(control: &[u8; CONTROL_BYTES], at: usize) -> u64 {
        u64::from_ne_bytes(*control[at..].first_chunk().expect("a word"))
    }

    pub(crate) fn set(control: &mut [u8; CONTROL_BYTES], at: usize, word: u64) {
        control[at..][..8].copy_from_slice(&word.to_ne_bytes());
    }
}
