//! Parts of a file as memory: what is stored there is in the file, and outlives the process. Called by `crash`.
//!
//! 1. A [`SharedMapping`] is one shared mapping of `mapped_bytes` bytes at `mapped`, made by its constructor and
//!    unmapped only by its drop. `base` is within it.

#![allow(unsafe_code, reason = "a mapping of a file")]

use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munlock, munmap};

use super::fork::{KeptFromChildren, keep_from_children};

/// A mapped part of a file. A forked child has zeros of its own in its place. An access to a page for which the file
/// has no room ends the process, so the owner accesses only bytes that are [allocated](super::file::allocate).
#[derive(Debug)]
pub(crate) struct SharedMapping {
    mapped: NonNull<u8>,
    mapped_bytes: usize,
    base: NonNull<u8>,
    /// Dropped before the range is unmapped. `None` only until it is complete.
    kept: Option<KeptFromChildren>,
}

// SAFETY: (1) the mapping belongs to this value, not to the thread that made it.
unsafe impl Send for SharedMapping {}
// SAFETY: a shared one gives only its address; each access through it has its own argument.
unsafe impl Sync for SharedMapping {}

impl SharedMapping {
    /// The `bytes` bytes of `file` from `offset`, none of them touched yet. It stays so in a process that locks all its
    /// memory (`mlockall`).
    ///
    /// # Errors
    /// There is no address space, or the file system does not share its files as memory.
    pub(crate) fn new(file: &File, offset: u64, bytes: usize) -> io::Result<SharedMapping> {
        // A mapping begins with a page, which is larger than the file's grid on some machines.
        let before = (offset % rustix::param::page_size() as u64) as usize;
        let mapped_bytes = bytes + before;
        // Without access at first: under `mlockall(MCL_FUTURE)` the kernel would populate the range at once.
        // SAFETY: no address is demanded, so no existing mapping is replaced.
        let mapped = unsafe {
            mmap(ptr::null_mut(), mapped_bytes, ProtFlags::empty(), MapFlags::SHARED, file, offset - before as u64)
        }?;
        let mapped = NonNull::new(mapped.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: within the mapping.
        let mut mapping = SharedMapping { mapped, mapped_bytes, base: unsafe { mapped.add(before) }, kept: None };
        // SAFETY: (1); none of these changes a byte, and nobody uses the range yet.
        unsafe {
            munlock(mapped.as_ptr().cast(), mapped_bytes)?;
            mprotect(mapped.as_ptr().cast(), mapped_bytes, MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        // SAFETY: (1), and `kept` is dropped first.
        mapping.kept = Some(unsafe { keep_from_children(mapped, mapped_bytes) }?);
        Ok(mapping)
    }

    /// Faults in the first `bytes` bytes, which are allocated.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(crate) fn populate(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes + self.mapped_bytes_before();
        // SAFETY: (1); populating changes no byte.
        match unsafe { madvise(self.mapped.as_ptr().cast(), bytes, Advice::LinuxPopulateWrite) } {
            // Kernels before 5.14 do not know this advice: the pages are faulted in one by one when they are used.
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn mapped_bytes_before(&self) -> usize {
        self.base.as_ptr() as usize - self.mapped.as_ptr() as usize
    }

    /// The byte at `offset` from the first one.
    ///
    /// # Panics
    /// If there is no such byte.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset + self.mapped_bytes_before() < self.mapped_bytes, "byte {offset} of a mapping");
        // SAFETY: within the mapping, as asserted.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        self.kept = None;
        // SAFETY: (1); a mapped range can always be unmapped, so there is no error to report.
        let _ = unsafe { munmap(self.mapped.as_ptr().cast(), self.mapped_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::directory::OpenDirectory;
    use crate::sys::file::{allocate, deallocate, read_at};
    use crate::sys::test_directory::directory;

    #[test]
    fn what_is_stored_is_in_the_file_and_bytes_that_are_given_back_are_zero() {
        let directory = directory();
        let file = OpenDirectory::open(directory.path()).unwrap().create_to_map("file").unwrap();
        file.set_len(1 << 20).unwrap();
        allocate(&file, 4096, 128 << 10).unwrap();
        let mapping = SharedMapping::new(&file, 4096, (1 << 20) - 4096).unwrap();
        mapping.populate(128 << 10).unwrap();
        // SAFETY: allocated above, and nobody else uses them.
        unsafe { mapping.at(65_535).write(7) };
        let mut byte = [0];
        assert_eq!(read_at(&file, &mut byte, 4096 + 65_535).unwrap(), 1);
        assert_eq!(byte, [7]);
        deallocate(&file, 4096, 128 << 10).unwrap();
        assert_eq!(read_at(&file, &mut byte, 4096 + 65_535).unwrap(), 1);
        assert_eq!(byte, [0]);
        allocate(&file, 4096, 128 << 10).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { mapping.at(65_535).read() }, 0);
    }

    #[test]
    fn an_impossible_mapping_is_an_error() {
        let directory = directory();
        let file = OpenDirectory::open(directory.path()).unwrap().create_to_map("file").unwrap();
        assert!(SharedMapping::new(&file, 0, 1 << 62).is_err());
    }
}
