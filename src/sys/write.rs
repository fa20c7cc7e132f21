//! Positioned writes of whole buffers: one `pwrite` may write fewer bytes than it was given.
//!
//! Called by `device`, and by `segment` and `crash` for files that they write themselves.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::directory::OpenDirectory;
use super::file::{file_size_limit, write_at};

/// Direct I/O takes whole sectors, so after a short write it goes on from a multiple of this. A disk with larger
/// sectors stops at multiples of its own.
pub(crate) const SECTOR_BYTES: usize = 512;

/// The grain for [`write_whole`] on a file opened with direct I/O, or without: the page cache takes any length.
pub(crate) const fn grain(direct: bool) -> usize {
    if direct { SECTOR_BYTES } else { 1 }
}

/// Writes all of `bytes` at `offset`, going on after interrupts and short writes: from the last multiple of `grain`
/// bytes that a short write reached, so that some bytes may be written twice.
///
/// # Errors
/// The operating system's, as [`refusal`] gives it; `WriteZero` if a write brings nothing forward.
pub(crate) fn write_whole(file: &File, bytes: &[u8], offset: u64, grain: usize) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write_at(file, &bytes[done..], offset + done as u64) {
            Ok(count) => done = resume_at(done, count, bytes.len(), grain)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refusal(error, offset + done as u64, bytes.len() - done)),
        }
    }
    Ok(())
}

/// An operation that the system refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The operation, such as "create".
    pub(crate) operation: &'static str,
    /// What it was for.
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Makes a small file in `directory`, durable when this returns. It is `temporary` until it is complete, so a crash
/// leaves all of `name` or nothing. It replaces another file of that name.
///
/// # Errors
/// [`Refused`]; nothing of the file is left then.
pub(crate) fn write_named(directory: &OpenDirectory, temporary: &str, name: &str, bytes: &[u8]) -> Result<(), Refused> {
    let refused = |operation, path| move |source| Refused { operation, path, source };
    let _ = directory.remove(temporary);
    let written = write_durable(directory, temporary, bytes)
        .and_then(|()| directory.rename(temporary, name).map_err(refused("name", directory.path_of(name))));
    if written.is_err() {
        let _ = directory.remove(temporary);
        return written;
    }
    directory.sync().map_err(|source| {
        let _ = directory.remove(name);
        refused("sync the directory", directory.path().to_owned())(source)
    })
}

fn write_durable(directory: &OpenDirectory, name: &str, bytes: &[u8]) -> Result<(), Refused> {
    let refused = |operation| move |source| Refused { operation, path: directory.path_of(name), source };
    let file = directory.create_to_write(name, false).map_err(refused("create"))?;
    write_whole(&file, bytes, 0, grain(false)).map_err(refused("write"))?;
    file.sync_all().map_err(refused("sync"))
}

/// The position to go on from after a write of `count` bytes at `done` of `length` bytes; `length` if that was all.
///
/// # Errors
/// `WriteZero` if the write brought nothing forward.
pub(crate) fn resume_at(done: usize, count: usize, length: usize, grain: usize) -> io::Result<usize> {
    let reached = done + count;
    let next = if reached == length { length } else { reached / grain * grain };
    if next > done { Ok(next) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The error to report for a refused write of `length` bytes at `offset`. If the process's file size limit ends inside
/// the write, the kernel cuts it to an odd length and then calls that invalid; the true reason is the limit.
pub(crate) fn refusal(error: io::Error, offset: u64, length: usize) -> io::Error {
    let over_limit = file_size_limit().is_some_and(|limit| offset.saturating_add(length as u64) > limit);
    if error.kind() == io::ErrorKind::InvalidInput && over_limit { io::ErrorKind::FileTooLarge.into() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_goes_on_from_a_whole_sector_and_no_progress_is_an_error() {
        assert_eq!(resume_at(0, 8192, 8192, 512).unwrap(), 8192);
        assert_eq!(resume_at(0, 5000, 8192, 512).unwrap(), 4608);
        assert_eq!(resume_at(0, 5000, 8192, 1).unwrap(), 5000);
        assert_eq!(resume_at(4096, 4096, 8192, 512).unwrap(), 8192);
        assert_eq!(resume_at(4096, 100, 12288, 512).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(resume_at(4096, 0, 8192, 1).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
