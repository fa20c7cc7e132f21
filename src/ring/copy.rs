//! Copies a payload into the ring without a call of `memcpy`.
//!
//! It copies whole chunks, for every length. The last chunk ends where the bytes end, and overlaps the one before it.
//! That is cheaper than to copy the rest in smaller pieces. Padding is not written.

#![allow(unsafe_code, reason = "payloads are copied by words, without memcpy")]

use std::ptr::copy_nonoverlapping;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::compiler_fence;

/// The longest payload of the fast path: it is copied without a loop.
pub(super) const FAST_PATH_BYTES_MAX: usize = 128;

/// Copies `bytes` to `to`.
///
/// # Safety
/// At `to`, `bytes.len()` bytes are writable, are used by nobody else, and do not overlap `bytes`.
#[inline]
pub(super) unsafe fn copy_any(bytes: &[u8], to: *mut u8) {
    let length = bytes.len();
    if length <= FAST_PATH_BYTES_MAX {
        // SAFETY: the caller's promise.
        return unsafe { copy_short(bytes, to) };
    }
    let from = bytes.as_ptr();
    // SAFETY: all chunks lie within `length`.
    unsafe {
        let mut at = 0;
        while at < length - 64 {
            copy_nonoverlapping(from.add(at), to.add(at), 64);
            // Emits no instruction. It keeps the compiler from replacing the loop by a call of memcpy, which would cost
            // more than the copy at the length of a message.
            compiler_fence(SeqCst);
            at += 64;
        }
        copy_nonoverlapping(from.add(length - 64), to.add(length - 64), 64);
    }
}

/// Copies `bytes`, at most [`FAST_PATH_BYTES_MAX`] of them, to `to`.
///
/// # Safety
/// As for [`copy_any`]. (If there are more bytes, the middle is not copied.)
#[inline(always)]
pub(super) unsafe fn copy_short(bytes: &[u8], to: *mut u8) {
    let length = bytes.len();
    let from = bytes.as_ptr();
    // SAFETY: in each arm both chunks lie within `length`.
    unsafe {
        if length > 32 {
            if length <= 64 {
                copy_both_ends::<32>(from, to, length);
            } else {
                copy_both_ends::<64>(from, to, length);
            }
        } else if length >= 16 {
            copy_both_ends::<16>(from, to, length);
        } else if length >= 8 {
            copy_both_ends::<8>(from, to, length);
        } else if length >= 4 {
            copy_both_ends::<4>(from, to, length);
        } else if length >= 2 {
            copy_both_ends::<2>(from, to, length);
        } else if length == 1 {
            to.write(from.read());
        }
    }
}

/// Copies the first and the last `BYTES` of `length` bytes. The two may overlap.
///
/// # Safety
/// As for [`copy_any`], and `length` is at least `BYTES`.
#[inline(always)]
unsafe fn copy_both_ends<const BYTES: usize>(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        copy_nonoverlapping(from, to, BYTES);
        copy_nonoverlapping(from.add(length - BYTES), to.add(length - BYTES), BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_whole_and_nothing_after_it_is_touched() {
        let from: Vec<u8> = (0..1024).map(|index| (index * 7 + index / 256) as u8 | 1).collect();
        for length in 0..=1000 {
            for offset in 0..3 {
                let bytes = &from[offset..][..length];
                let mut to = [0; 1024];
                // SAFETY: both have more bytes than are copied.
                unsafe { copy_any(bytes, to.as_mut_ptr()) };
                assert_eq!(&to[..length], bytes);
                assert!(to[length..].iter().all(|&byte| byte == 0), "{length} bytes");
            }
        }
    }
}
