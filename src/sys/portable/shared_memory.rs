//! Parts of a file as memory: not on every platform, so that there is none here. Called by `crash`.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::ptr::NonNull;

/// A mapped part of a file. There is none.
#[derive(Debug)]
pub(crate) struct SharedMapping(Infallible);

impl SharedMapping {
    /// Refuses.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub(crate) fn new(_file: &File, _offset: u64, _bytes: usize) -> io::Result<SharedMapping> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub(crate) fn populate(&self, _bytes: usize) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called.
    pub(crate) fn at(&self, _offset: usize) -> NonNull<u8> {
        match self.0 {}
    }
}
