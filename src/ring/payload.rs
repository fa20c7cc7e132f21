//! The payload of a record, and the claimed bytes of the ring to which it is written.
//!
//! A message is bytes that are copied. A structured record is written value by value: each store has the size of its
//! value, which is known at compile time, and goes directly to the ring.
//!
//! 1. From `at` on, `left` bytes are writable, and nobody else uses them while the [`Claimed`] exists.

#![allow(unsafe_code, reason = "payloads are written to claimed bytes of the ring")]

use std::marker::PhantomData;

use super::copy::{copy_any, copy_short};

/// The payload of a record.
pub(crate) trait Payload {
    /// How many bytes [`write`](Self::write) writes. The same at each call.
    fn bytes(&self) -> usize;

    /// Writes the bytes, from first to last.
    fn write(&self, claimed: &mut Claimed<'_>);
}

impl Payload for [u8] {
    #[inline(always)]
    fn bytes(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn write(&self, claimed: &mut Claimed<'_>) {
        claimed.put_bytes(self);
    }
}

impl<const BYTES: usize> Payload for [u8; BYTES] {
    #[inline(always)]
    fn bytes(&self) -> usize {
        BYTES
    }

    #[inline(always)]
    fn write(&self, claimed: &mut Claimed<'_>) {
        claimed.put(*self);
    }
}

/// The bytes that were claimed for a payload. They are written from the first one on. A part that does not fit is left
/// out.
#[derive(Debug)]
pub(crate) struct Claimed<'a> {
    at: *mut u8,
    left: usize,
    /// Whether there is room for at most [`FAST_PATH_BYTES_MAX`](super::copy::FAST_PATH_BYTES_MAX) bytes. Known at
    /// compile time where it is made, so it costs no branch.
    is_short: bool,
    _room: PhantomData<&'a mut [u8]>,
}

impl<'a> Claimed<'a> {
    /// Claims the bytes of a slice.
    pub(crate) fn over(bytes: &'a mut [u8]) -> Claimed<'a> {
        // SAFETY: the slice is borrowed for the same lifetime.
        unsafe { Claimed::new(bytes.as_mut_ptr(), bytes.len(), false) }
    }

    /// The `bytes` bytes at `at`.
    ///
    /// # Safety
    /// (1), with `bytes` for `left`.
    #[inline(always)]
    pub(super) unsafe fn new(at: *mut u8, bytes: usize, is_short: bool) -> Claimed<'a> {
        Claimed { at, left: bytes, is_short, _room: PhantomData }
    }

    /// Writes `bytes` if all of them fit.
    #[inline(always)]
    pub(crate) fn put<const BYTES: usize>(&mut self, bytes: [u8; BYTES]) {
        if BYTES <= self.left {
            // SAFETY: (1).
            unsafe { self.at.cast::<[u8; BYTES]>().write(bytes) };
            self.advance(BYTES);
        }
    }

    /// Writes `bytes` if all of them fit.
    #[inline(always)]
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.left {
            // SAFETY: (1). Nobody else uses the claimed bytes, so they do not overlap `bytes`.
            unsafe { if self.is_short { copy_short(bytes, self.at) } else { copy_any(bytes, self.at) } };
            self.advance(bytes.len());
        }
    }

    /// Skips `bytes`, if there is room for all of them: the caller has written them in place before.
    #[cfg_attr(loom, expect(dead_code, reason = "no model writes in place"))]
    pub(super) fn leave(&mut self, bytes: usize) {
        if bytes <= self.left {
            self.advance(bytes);
        }
    }

    /// Checks that everything was written.
    #[inline(always)]
    pub(super) fn end(self) {
        debug_assert!(self.left == 0, "{} bytes were claimed and not written", self.left);
    }

    /// Advances by `bytes`, at most `left`.
    #[inline(always)]
    fn advance(&mut self, bytes: usize) {
        self.at = self.at.wrapping_add(bytes);
        self.left -= bytes;
    }
}

/// A payload's bytes, copied to a vector.
pub(crate) fn to_vec(payload: &(impl Payload + ?Sized)) -> Vec<u8> {
    let mut bytes = vec![0; payload.bytes()];
    let mut claimed = Claimed::over(&mut bytes);
    payload.write(&mut claimed);
    claimed.end();
    bytes
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_nothing_after_it_is_touched() {
        for (bytes, is_short) in [(0, true), (4, true), (8, true), (8, false), (210, false)] {
            let mut room = [0xEE_u8; 300];
            // SAFETY: the room is longer, and used by nobody else.
            let mut claimed = unsafe { Claimed::new(room.as_mut_ptr(), bytes, is_short) };
            claimed.put([1, 2, 3]);
            claimed.put_bytes(&[4; 200]);
            claimed.put([5; 6]);
            claimed.put_bytes(&[6]);
            let mut expected = Vec::new();
            for part in [&[1, 2, 3][..], &[4; 200], &[5; 6], &[6]] {
                if expected.len() + part.len() <= bytes {
                    expected.extend_from_slice(part);
                }
            }
            assert_eq!(room[..expected.len()], expected);
            assert!(room[expected.len()..].iter().all(|byte| *byte == 0xEE), "{bytes}");
        }
    }

    #[test]
    fn a_payload_in_memory_is_what_it_was() {
        assert_eq!(to_vec(&b"bytes"[..]), b"bytes");
        assert_eq!(to_vec(&[7; 300]), [7; 300]);
    }
}
