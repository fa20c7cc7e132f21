//! What a record carries, and the room in the ring that it is written to.
//!
//! A message is bytes that are copied. A structured record is written value by value: each store has the size of its
//! value, known at compile time, and goes straight to the ring.
//!
//! 1. From `at` on, `left` bytes are writable, and they belong to nobody else as long as the
//!    [`Claimed`] lives.

#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::copy::{copy_any, copy_short};

/// What a record carries.
pub(crate) trait Payload {
    /// How many bytes it takes: the same at each call.
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

/// The bytes that were claimed for a payload, written from the first one on. What does not fit is left out, and what is
/// not written is zero.
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
    /// The room of `bytes`, which are zero.
    pub(crate) fn over(bytes: &'a mut [u8]) -> Claimed<'a> {
        debug_assert!(bytes.iter().all(|byte| *byte == 0));
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

    /// Sets what was not written to zero: it must not be what was there before.
    #[inline(always)]
    pub(super) fn end(self) {
        if self.left > 0 {
            // SAFETY: (1).
            unsafe { self.at.write_bytes(0, self.left) };
        }
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
    payload.write(&mut Claimed::over(&mut bytes));
    bytes
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Puts `parts`, and says that it takes `bytes`.
    struct Odd {
        bytes: usize,
        parts: Vec<Vec<u8>>,
    }

    impl Payload for Odd {
        fn bytes(&self) -> usize {
            self.bytes
        }

        fn write(&self, claimed: &mut Claimed<'_>) {
            for part in &self.parts {
                match part.as_slice() {
                    [a, b, c] => claimed.put([*a, *b, *c]),
                    part => claimed.put_bytes(part),
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_what_is_not_written_is_zero() {
        let parts = |parts: &[&[u8]]| parts.iter().map(|part| part.to_vec()).collect();
        let odd = |bytes, list: &[&[u8]]| {
            let mut room = [0xEE_u8; 300];
            let payload = Odd { bytes, parts: parts(list) };
            // SAFETY: the room is longer, and used by nobody else.
            let mut claimed = unsafe { Claimed::new(room.as_mut_ptr(), bytes, bytes <= 128) };
            payload.write(&mut claimed);
            claimed.end();
            assert!(room[bytes..].iter().all(|byte| *byte == 0xEE), "nothing after the room is touched");
            assert_eq!(room[..bytes], to_vec(&payload));
            room[..bytes].to_vec()
        };
        assert_eq!(odd(8, &[b"abc", b"de"]), b"abcde\0\0\0");
        assert_eq!(odd(5, &[b"abc", b"def", b"gh"]), b"abcgh");
        assert_eq!(odd(2, &[b"abc", b"abcd"]), b"\0\0");
        assert_eq!(odd(0, &[b"abc", b"abcd"]), b"");
        let long = [b'x'; 200];
        assert_eq!(odd(204, &[&long, b"abc"]), [&long[..], b"abc\0"].concat());
        assert_eq!(odd(100, &[&long, b"abc"])[..5], *b"abc\0\0");
    }
}
