//! What a record carries, and the room in the ring that it is written to.
//!
//! A message is bytes that are copied. A structured record is written value by value: each store has the size of its
//! value, known at compile time, and goes straight to the ring.
//!
//! 1. From `at` on, `left` bytes are writable, and they belong to nobody else as long as the
//!    [`Claimed`] lives.

#![allow(unsafe_code, reason = "payloads are written to claimed bytes of the ring")]

use std::marker::PhantomData;

use super::copy::{copy_any, copy_short};

/// What a record carries.
pub(crate) trait Payload {
    /// How many bytes it takes: the same at each call, and as many as [`write`](Self::write) writes.
    fn bytes(&self) -> usize;

    /// Writes them, from first to last.
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

/// The bytes that were claimed for a payload, written from the first one on. What does not fit is left out.
#[derive(Debug)]
pub(crate) struct Claimed<'a> {
    at: *mut u8,
    left: usize,
    /// There is room for at most [`FAST_PATH_BYTES_MAX`](super::copy::FAST_PATH_BYTES_MAX) bytes. Known at
    /// compile time where it is made, and so no branch.
    is_short: bool,
    _room: PhantomData<&'a mut [u8]>,
}

impl<'a> Claimed<'a> {
    /// Those of a slice.
    pub(crate) fn over(bytes: &'a mut [u8]) -> Claimed<'a> {
        // SAFETY: borrowed for as long as it lives.
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

    /// Writes `bytes`, if there is room for all of them.
    #[inline(always)]
    pub(crate) fn put<const BYTES: usize>(&mut self, bytes: [u8; BYTES]) {
        if BYTES <= self.left {
            // SAFETY: (1).
            unsafe { self.at.cast::<[u8; BYTES]>().write(bytes) };
            self.advance(BYTES);
        }
    }

    /// Writes `bytes`, if there is room for all of them.
    #[inline(always)]
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.left {
            // SAFETY: (1); the claimed's bytes belong to nobody else, so they are no part of `bytes`.
            unsafe { if self.is_short { copy_short(bytes, self.at) } else { copy_any(bytes, self.at) } };
            self.advance(bytes.len());
        }
    }

    /// Leaves `bytes` as they are, if there is room for all of them: they were written before, after they were claimed.
    #[cfg_attr(loom, expect(dead_code, reason = "no model writes in place"))]
    pub(super) fn leave(&mut self, bytes: usize) {
        if bytes <= self.left {
            self.advance(bytes);
        }
    }

    /// Checks that all was written.
    #[inline(always)]
    pub(super) fn end(self) {
        debug_assert!(self.left == 0, "{} bytes were claimed and not written", self.left);
    }

    /// Goes on after `bytes` more, at most `left`.
    #[inline(always)]
    fn advance(&mut self, bytes: usize) {
        self.at = self.at.wrapping_add(bytes);
        self.left -= bytes;
    }
}

/// A payload's bytes in memory of their own.
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
