//! Positioned reads that fill their buffer: one `pread` may give fewer bytes than the file has.

use std::fs::File;
use std::io;

use super::file::read_at;

/// Fills `buffer` from `offset` of `file`, and returns how many bytes the file had.
///
/// # Errors
/// The operating system's, but for `EINTR`, after which the read is repeated.
pub(crate) fn fill_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_at(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
