//! The scratch: a buffer into which values are formatted before a record is appended. Each producer has one, made with
//! the producer, so that no record allocates.
//!
//! A formatter may log too, and so may a signal handler that interrupts it. They find the buffer taken, and use a
//! smaller one on the stack.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::compiler_fence;

use super::kept::Formatted;
use crate::format::cut_at;

/// Bytes of the smaller buffer, on the stack.
const SMALL_BYTES: usize = 1024;

/// A producer's buffer while it is not in use.
#[derive(Debug, Default)]
pub(crate) struct ScratchCell(RefCell<Vec<u8>>);

impl ScratchCell {
    /// A buffer of `bytes`, or no buffer if there is no memory for it.
    pub(crate) fn new(bytes: usize) -> ScratchCell {
        let mut buffer = Vec::new();
        let _ = buffer.try_reserve_exact(bytes);
        ScratchCell(RefCell::new(buffer))
    }

    /// Takes the buffer out; `None` if it is in use.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut held = self.0.try_borrow_mut().ok()?;
        // A signal handler that interrupts this exchange must find the cell borrowed. The fences keep the compiler from
        // moving the exchange out of the borrow.
        compiler_fence(SeqCst);
        let taken = std::mem::take(&mut *held);
        compiler_fence(SeqCst);
        (taken.capacity() > 0).then_some(taken)
    }

    /// Puts the buffer back.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if let Ok(mut held) = self.0.try_borrow_mut() {
            compiler_fence(SeqCst);
            *held = buffer;
            compiler_fence(SeqCst);
        }
    }
}

/// Calls `work` with a scratch of at most `bytes_max`. The scratch is the buffer that `take` returns, or else one on
/// the stack. `put` gets the buffer back, even if `work` panics.
pub(crate) fn with_scratch<R>(
    bytes_max: usize,
    take: impl FnOnce() -> Option<Vec<u8>>,
    put: impl FnOnce(Vec<u8>),
    work: impl FnOnce(&mut Scratch<'_>) -> R,
) -> R {
    match take() {
        Some(mut buffer) => {
            buffer.clear();
            let mut taken = BufferInUse { buffer, put: Some(put) };
            let bytes_max = bytes_max.min(taken.buffer.capacity());
            work(&mut Scratch { room: ScratchRoom::Taken(&mut taken.buffer), bytes_max })
        }
        None => {
            let mut small = Small { bytes: [0; SMALL_BYTES], length: 0 };
            work(&mut Scratch { room: ScratchRoom::Small(&mut small), bytes_max: bytes_max.min(SMALL_BYTES) })
        }
    }
}

/// A producer's buffer in use. Its drop returns it.
struct BufferInUse<P: FnOnce(Vec<u8>)> {
    buffer: Vec<u8>,
    put: Option<P>,
}

impl<P: FnOnce(Vec<u8>)> Drop for BufferInUse<P> {
    fn drop(&mut self) {
        if let Some(put) = self.put.take() {
            put(std::mem::take(&mut self.buffer));
        }
    }
}

struct Small {
    bytes: [u8; SMALL_BYTES],
    length: usize,
}

/// A buffer for formatted text, with a limit. Text that does not fit is left out.
pub(crate) struct Scratch<'a> {
    room: ScratchRoom<'a>,
    bytes_max: usize,
}

enum ScratchRoom<'a> {
    None,
    Taken(&'a mut Vec<u8>),
    Small(&'a mut Small),
}

impl Scratch<'_> {
    /// A scratch without room, for fields that are not formatted.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Scratch { room: ScratchRoom::None, bytes_max: 0 }
    }

    /// All bytes that were written.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.room {
            ScratchRoom::None => &[],
            ScratchRoom::Taken(buffer) => buffer,
            ScratchRoom::Small(small) => &small.bytes[..small.length],
        }
    }

    /// Bytes that still fit.
    pub(super) fn left(&self) -> usize {
        self.bytes_max - self.bytes().len()
    }

    /// Writes bytes. The caller has checked that they fit.
    fn push(&mut self, bytes: &[u8]) {
        match &mut self.room {
            ScratchRoom::None => {}
            // The vector does not grow beyond its capacity, unless it is a [`growing`](Scratch::growing) one.
            ScratchRoom::Taken(buffer) => buffer.extend_from_slice(bytes),
            ScratchRoom::Small(small) => {
                small.bytes[small.length..small.length + bytes.len()].copy_from_slice(bytes);
                small.length += bytes.len();
            }
        }
    }

    /// Formats `value`. If the formatter fails, or writes more than fits, the text before that is kept and counts as
    /// cut. A panic of the formatter passes through.
    pub(crate) fn format(&mut self, value: fmt::Arguments<'_>) -> Formatted {
        let begin = self.bytes().len();
        let cut = self.write_fmt(value).is_err();
        Formatted { begin, length: self.bytes().len() - begin, cut }
    }
}

/// Used for fields that carry their names.
#[cfg(any(feature = "log", feature = "tracing"))]
impl Scratch<'_> {
    /// A scratch in a vector that grows, up to `bytes_max`.
    #[cfg(any(test, feature = "tracing"))]
    pub(crate) fn growing(buffer: &mut Vec<u8>, bytes_max: usize) -> Scratch<'_> {
        Scratch { room: ScratchRoom::Taken(buffer), bytes_max }
    }

    /// Writes `bytes` if all of them fit. Returns whether they do.
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.left();
        if fits {
            self.push(bytes);
        }
        fits
    }

    /// Reserves `bytes` of the limit for data that is not written to the scratch.
    pub(super) fn keep_back(&mut self, bytes: usize) {
        self.bytes_max = self.bytes_max.saturating_sub(bytes).max(self.bytes().len());
    }

    /// Formats `value` into `room` bytes at most.
    pub(super) fn format_within(&mut self, room: usize, value: fmt::Arguments<'_>) -> Formatted {
        let bytes_max = self.bytes_max;
        self.bytes_max = bytes_max.min(self.bytes().len() + room);
        let formatted = self.format(value);
        self.bytes_max = bytes_max;
        formatted
    }

    /// Removes all but the first `length` bytes.
    pub(super) fn truncate(&mut self, length: usize) {
        match &mut self.room {
            ScratchRoom::None => {}
            ScratchRoom::Taken(buffer) => buffer.truncate(length),
            ScratchRoom::Small(small) => small.length = small.length.min(length),
        }
    }

    /// All bytes that were written, to be changed.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.room {
            ScratchRoom::None => &mut [],
            ScratchRoom::Taken(buffer) => buffer,
            ScratchRoom::Small(small) => &mut small.bytes[..small.length],
        }
    }
}

impl Write for Scratch<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = cut_at(text, self.left());
        self.push(fits.as_bytes());
        // The error stops the formatter, which might write without end.
        if fits.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl fmt::Debug for Scratch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("bytes", &self.bytes().len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn with<R>(cell: &ScratchCell, bytes_max: usize, work: impl FnOnce(&mut Scratch<'_>) -> R) -> R {
        with_scratch(bytes_max, || cell.take(), |buffer| cell.put(buffer), work)
    }

    #[test]
    fn what_does_not_fit_is_cut_between_characters_and_the_rest_is_not_asked_for() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("é")?;
                }
            }
        }
        let cell = ScratchCell::new(64);
        for bytes_max in [0, 1, 2, 63, 64] {
            with(&cell, bytes_max, |scratch| {
                let whole = scratch.format(format_args!(""));
                assert!(!whole.cut && whole.length == 0);
                let cut = scratch.format(format_args!("{Endless}"));
                assert_eq!((cut.begin, cut.length, cut.cut), (0, bytes_max / 2 * 2, true));
                let none = scratch.format(format_args!("é"));
                assert_eq!((none.begin, none.length, none.cut), (cut.length, 0, true));
            });
        }
    }

    #[test]
    fn the_buffer_is_on_the_stack_for_a_formatter_within_a_formatter_and_back_after_a_panic() {
        let cell = ScratchCell::new(4096);
        let address = |scratch: &Scratch<'_>| scratch.bytes().as_ptr().addr();
        let mut outer_address = 0;
        with(&cell, 4096, |outer| {
            outer_address = address(outer);
            assert!(!outer.format(format_args!("{:2000}", "outer")).cut);
            with(&cell, 4096, |inner| {
                assert_ne!(address(inner), outer_address);
                assert!(inner.format(format_args!("{:2000}", "inner")).cut, "it has 1 KiB");
                assert_eq!(inner.bytes().len(), SMALL_BYTES);
            });
            assert_eq!(outer.bytes().len(), 2000);
        });
        catch_unwind(AssertUnwindSafe(|| with(&cell, 4096, |_| panic!("on purpose")))).expect_err("it panics");
        with(&cell, 4096, |again| assert_eq!((address(again), again.bytes().len()), (outer_address, 0)));
    }
}
