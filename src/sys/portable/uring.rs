//! io_uring: there is none here, and `device` takes another rung. No value of [`Ring`] can exist, so that nothing
//! here but its constructor ever runs.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::time::Duration;

/// One write, as the kernel would be told of it.
#[expect(dead_code, reason = "read where there is io_uring")]
pub(crate) struct Write<'a> {
    pub(crate) id: u64,
    pub(crate) slot: Option<u32>,
    pub(crate) file: &'a File,
    pub(crate) memory: *const u8,
    pub(crate) length: u32,
    pub(crate) offset: u64,
    pub(crate) buffer: Option<u16>,
}

/// A ring that cannot be.
pub(crate) struct Ring(Infallible);

impl Ring {
    /// # Errors
    /// Always `Unsupported`.
    pub(crate) fn new(_entries: u32) -> io::Result<Ring> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "not on this platform"))
    }

    pub(crate) fn register_buffers(&mut self, _buffers: &[(usize, usize)]) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn register_slots(&mut self, _slots: u32) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn set_slot(&mut self, _slot: u32, _file: Option<&File>) -> io::Result<()> {
        match self.0 {}
    }

    /// # Safety
    /// None is needed: it cannot be called.
    pub(crate) unsafe fn push(&mut self, _write: &Write<'_>) -> bool {
        match self.0 {}
    }

    pub(crate) fn pushed(&mut self) -> usize {
        match self.0 {}
    }

    pub(crate) fn stop_submitting(&mut self) {
        match self.0 {}
    }

    pub(crate) fn has_completions(&mut self) -> bool {
        match self.0 {}
    }

    pub(crate) fn enter(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn wait(&mut self, _timeout: Duration) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn completion(&mut self) -> Option<(u64, io::Result<usize>)> {
        match self.0 {}
    }
}
