//! What a numbered file contains, as far as the writer needs to know: a segment and its log, nothing yet, or something
//! else.
//!
//! Called before a file is counted or removed, so only an intact block 0 makes a file a segment. It reads no records.

use std::io;

use crate::format::{Block0, LogId, is_zero, segment_file_name};
use crate::sys;
use crate::sys::directory::OpenDirectory;

/// How much of a file is read between two calls of `stop`. It takes some milliseconds on a slow disk.
const CHUNK_BYTES: usize = 1 << 20;

/// The content of a numbered file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NumberedFile {
    /// A segment of this log: block 0 is intact, and has the same number as the file's name.
    Segment(LogId),
    /// Its first block is zero throughout.
    Unwritten,
    /// Something else, or a file that this version cannot read: a clause that follows the file's name.
    Other(&'static str),
}

/// Reads the content of the file of segment `number`.
///
/// # Errors
/// The operating system's. A symbolic link is an error: it is not followed.
pub(super) fn inspect(directory: &OpenDirectory, number: u64) -> io::Result<NumberedFile> {
    let file = directory.open_to_read(&segment_file_name(number))?;
    if !file.metadata()?.is_file() {
        return Ok(NumberedFile::Other("is not a regular file"));
    }
    Ok(match Block0::read(|offset, buffer| sys::fill_at(&file, buffer, offset))? {
        Block0::Segment { header, .. } if header.index == number => NumberedFile::Segment(header.log),
        Block0::Segment { .. } => NumberedFile::Other("holds a segment of another number"),
        Block0::Unwritten => NumberedFile::Unwritten,
        Block0::Newer(_) => NumberedFile::Other("was written by a newer diolog"),
        Block0::Damaged { .. } => NumberedFile::Other("begins with a damaged segment header"),
        Block0::Foreign => NumberedFile::Other("does not begin with a segment's header"),
    })
}

/// The outcome of a search for bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// The file holds only zeros, as a prepared file does, or nothing, as a file does that was prepared on a full disk.
    Blank,
    /// The file holds another byte, or is not a regular file.
    HoldsBytes,
    /// The search was stopped before the file's end.
    Stopped,
}

/// Searches the file of segment `number` for bytes other than zeros, until `stop` returns true.
///
/// # Errors
/// The operating system's.
pub(super) fn search_for_bytes(directory: &OpenDirectory, number: u64, stop: impl Fn() -> bool) -> io::Result<Search> {
    let file = directory.open_to_read(&segment_file_name(number))?;
    if !file.metadata()?.is_file() {
        return Ok(Search::HoldsBytes);
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        if stop() {
            return Ok(Search::Stopped);
        }
        let filled = sys::fill_at(&file, &mut chunk, offset)?;
        if !is_zero(&chunk[..filled]) {
            return Ok(Search::HoldsBytes);
        }
        if filled < CHUNK_BYTES {
            return Ok(Search::Blank);
        }
        offset += filled as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BLOCK_HEADER_BYTES, GRID_BYTES};

    #[test]
    fn a_file_is_blank_if_it_is_made_of_zeros() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join(segment_file_name(1));
        let directory = OpenDirectory::open(directory.path()).unwrap();
        let zeros = vec![0; CHUNK_BYTES + 3 * GRID_BYTES];
        let search = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            search_for_bytes(&directory, 1, || false).unwrap()
        };
        assert_eq!(search(&zeros), Search::Blank);
        assert_eq!(search(&[]), Search::Blank);
        for grid in [0, GRID_BYTES, CHUNK_BYTES - GRID_BYTES, CHUNK_BYTES, CHUNK_BYTES + 2 * GRID_BYTES] {
            for offset in [0, BLOCK_HEADER_BYTES - 1, BLOCK_HEADER_BYTES, GRID_BYTES - 1] {
                let mut bytes = zeros.clone();
                bytes[grid + offset] = 1;
                assert_eq!(search(&bytes), Search::HoldsBytes, "a byte at {grid} + {offset}");
            }
        }
    }

    #[test]
    fn the_search_for_bytes_stops_on_request() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join(segment_file_name(1));
        let directory = OpenDirectory::open(directory.path()).unwrap();
        std::fs::write(&path, [0; GRID_BYTES]).unwrap();
        assert_eq!(search_for_bytes(&directory, 1, || true).unwrap(), Search::Stopped);
    }

    #[test]
    fn a_file_that_is_not_a_segment_is_not_taken_for_one() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join(segment_file_name(1));
        let directory = OpenDirectory::open(directory.path()).unwrap();
        for (bytes, expected) in [
            (vec![], NumberedFile::Unwritten),
            (vec![0; 100], NumberedFile::Unwritten),
            (vec![0; 2 * GRID_BYTES], NumberedFile::Unwritten),
            (b"a log in plain text\n".to_vec(), NumberedFile::Other("does not begin with a segment's header")),
            (vec![1; 2 * GRID_BYTES], NumberedFile::Other("does not begin with a segment's header")),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(inspect(&directory, 1).unwrap(), expected);
        }
    }
}
