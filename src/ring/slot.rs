//! Memory for rings that outlives the process: what `ring` needs of it, and whoever has such memory offers.
//!
//! A ring in a slot is the same ring as one in private memory: the control lines lie in the slot too, and the chunks of
//! the reserve are entered and left through it. Who logs through the ring is passed on, and means nothing here.

#![allow(unsafe_code, reason = "whoever offers memory promises that it stays")]

use std::fmt;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::control::Control;

/// Gives the rings of one log their memory.
pub(crate) trait Slots: fmt::Debug + Send + Sync {
    /// A slot for a ring of `window_bytes`, all of them present, and a reserve of `reserve_bytes`, of which none is. It
    /// has no reserve if that is 0, or if there is no address space for it.
    ///
    /// # Errors
    /// There is no memory for the window, or no address space.
    fn take(&self, window_bytes: usize, reserve_bytes: usize, overwrites: bool) -> io::Result<Arc<dyn Slot>>;

    /// Why the last slot has no reserve, if it was to have one.
    fn reserve_refusal(&self) -> Option<String>;

    /// The file that the slots lie in.
    fn path(&self) -> &Path;

    /// Where that is, in words.
    fn place(&self) -> String;

    /// How many callsites that records in these slots may name have no definition beside them.
    fn definitions_lost(&self) -> u64;
}

/// The memory of one ring, for as long as this lives.
///
/// # Safety
/// Implementers promise of the addresses, which never change:
/// 1. `control` is the beginning of as many bytes as a [`Control`] has, aligned as one; `window` and `reserve` are
///    those of the bytes that were asked for, aligned to a page. All of them are mapped, readable and writable, and in
///    this process nobody else uses them.
/// 2. Each bit pattern in them is a value. Control and window are present; of the reserve, what was
///    [entered](Slot::enter) and not left.
pub(crate) unsafe trait Slot: fmt::Debug + Send + Sync {
    /// Room for the control lines.
    fn control(&self) -> NonNull<Control>;

    /// The window.
    fn window(&self) -> NonNull<u8>;

    /// The reserve, if there is one.
    fn reserve(&self) -> Option<NonNull<u8>>;

    /// Makes `bytes` bytes of the reserve from `offset` present, both multiples of a chunk. Returns whether there is
    /// memory for them.
    fn enter(&self, offset: usize, bytes: usize) -> bool;

    /// Gives such bytes back to the system: they read as zeros once they are entered again. Returns `false`, and
    /// changes nothing, if the system refuses.
    ///
    /// # Safety
    /// Nobody uses the bytes until they are entered again.
    unsafe fn leave(&self, offset: usize, bytes: usize) -> bool;

    /// Notes whose records the ring holds from now on. It is empty.
    fn assign(&self, producer: u32, tid: u32, name: &str);

    /// Notes that the ring holds no records that matter any more.
    fn vacate(&self);
}
