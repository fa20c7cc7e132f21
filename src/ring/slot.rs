//! Memory for rings that outlives the process: the traits that `ring` needs, for code that offers such memory.
//!
//! A ring in a slot works like one in private memory, but its control lines are in the slot too, and the slot enters
//! and leaves the chunks of the reserve. The ring tells the slot who its producer is, and does not use that itself.

#![allow(unsafe_code, reason = "the code that offers memory promises that it stays")]

use std::fmt;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::control::Control;

/// Gives the rings of one log their memory.
pub(crate) trait Slots: fmt::Debug + Send + Sync {
    /// A slot for a ring with a window of `window_bytes`, which is present, and a reserve of `reserve_bytes`, which is
    /// not. It has no reserve if that is 0, or if there is no address space for it.
    ///
    /// # Errors
    /// There is no memory for the window, or no address space.
    fn take(&self, window_bytes: usize, reserve_bytes: usize, overwrites: bool) -> io::Result<Arc<dyn Slot>>;

    /// Why the last slot has no reserve, if it should have one.
    fn reserve_refusal(&self) -> Option<String>;

    /// The file that holds the slots.
    fn path(&self) -> &Path;

    /// Where that file is, in words.
    fn place(&self) -> String;

    /// How many callsites of records in these slots have no definition beside the slots.
    fn definitions_lost(&self) -> u64;
}

/// The memory of one ring, as long as this value exists.
///
/// # Safety
/// Implementers promise of the addresses, which never change:
/// 1. `control` is the beginning of as many bytes as a [`Control`] has, and aligned for it. `window` and `reserve` are
///    the beginnings of the bytes that were asked for, and aligned to a page. All of them are mapped, readable and
///    writable, and nobody else in this process uses them.
/// 2. Each bit pattern in them is a value. Control and window are present; of the reserve, those bytes are that were
///    [entered](Slot::enter) and not left.
pub(crate) unsafe trait Slot: fmt::Debug + Send + Sync {
    /// Room for the control lines.
    fn control(&self) -> NonNull<Control>;

    /// The window.
    fn window(&self) -> NonNull<u8>;

    /// The reserve, if there is one.
    fn reserve(&self) -> Option<NonNull<u8>>;

    /// Makes `bytes` bytes of the reserve from `offset` present. Both are multiples of a chunk. Returns whether there
    /// is memory for them.
    fn enter(&self, offset: usize, bytes: usize) -> bool;

    /// Gives such bytes back to the system. They read as zeros after they are entered again. Returns `false`, and
    /// changes nothing, if the system refuses.
    ///
    /// # Safety
    /// Nobody uses the bytes until they are entered again.
    unsafe fn leave(&self, offset: usize, bytes: usize) -> bool;

    /// Notes the producer whose records the empty ring will hold.
    fn assign(&self, producer: u32, tid: u32, name: &str);

    /// Notes that the ring's records are not needed any more.
    fn vacate(&self);
}
