//! io_uring, which does not exist here: `device` uses another kind of device. No value of [`Ring`] can exist, so only
//! its constructor ever runs.
#![allow(unsafe_code, reason = "its functions are those on Linux")]

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::time::Duration;

/// One write, as it would be given to the kernel.
#[expect(dead_code, reason = "read where there is io_uring")]
pub(crate) struct Write<'a> {
    pub(crate) id: u64,
    pub(crate) file: &'a File,
    pub(crate) memory: *const u8,
    pub(crate) length: u32,
    pub(crate) offset: u64,
    pub(crate) buffer: Option<u16>,
}

/// A ring that cannot exist.
pub(crate) struct Ring(Infallible);

impl Ring {
    /// # Errors
    /// Always `Unsupported`.
    pub(crate) fn new(_entries: u32, _completions: u32) -> io::Result<Ring> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "not on this platform"))
    }

    pub(crate) fn register_buffers(&mut self, _buffers: &[(usize, usize)]) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn register_places(&mut self, _places: u32) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn set_place(&mut self, _index: u16, _buffer: Option<(usize, usize)>) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn set_waiting_threads(&mut self, _threads: u32) -> io::Result<()> {
        match self.0 {}
    }

    /// # Safety
    /// There is no ring to call it on.
    pub(crate) unsafe fn push(&mut self, _write: &Write<'_>) -> bool {
        match self.0 {}
    }

    pub(crate) fn pushed(&mut self) -> usize {
        match self.0 {}
    }

    pub(crate) fn stop_submitting(&mut self) {
        match self.0 {}
    }

    pub(crate) fn poll_completions(&mut self) -> bool {
        match self.0 {}
    }

    pub(crate) fn enter(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn wait(&mut self, _timeout: Duration) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn take_completion(&mut self) -> Option<(u64, io::Result<usize>)> {
        match self.0 {}
    }
}
