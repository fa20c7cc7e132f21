//! What stands under a segment's name, as far as the writer must know: whose segment it is, or that nothing was ever
//! written to it.
//!
//! Called before a file is counted or removed, so it vouches only for what is intact. Reading records is the reader's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::format::{
    BLOCK_HEADER_BYTES, BlockFlags, BlockHeader, GRID_BYTES, HeaderFault, Kind, LogId, RecordHeader, SegmentHeader,
    ShardHeader,
};
use crate::sys;

/// How much of a file is looked at between two questions whether to stop: some milliseconds of a slow disk.
const CHUNK_BYTES: usize = 1 << 20;

/// What a numbered file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A segment of this log: block 0 is intact, and names the number that the file bears.
    Segment(LogId),
    /// Its first block is zero throughout.
    Unwritten,
    /// Neither, or not for this version to say: why.
    Other(&'static str),
}

/// Looks at the file of segment `number`.
///
/// # Errors
/// The operating system's: also for a symbolic link, which is not followed.
pub(super) fn inspect(path: &Path, number: u64) -> io::Result<Content> {
    let file = sys::file::open_to_read(path, false)?;
    if !file.metadata()?.is_file() {
        return Ok(Content::Other("is not a regular file"));
    }
    let mut block = vec![0; GRID_BYTES];
    let filled = fill(&file, &mut block)?;
    if is_zero(&block[..filled]) {
        return Ok(Content::Unwritten);
    }
    let header = match BlockHeader::decode(&block, 0) {
        Ok(header) if header.block_flags().has(BlockFlags::SEGMENT_HEADER) => header,
        Err(HeaderFault::Version(_) | HeaderFault::Unsupported) => return Ok(Content::Other(NEWER)),
        _ => return Ok(Content::Other("does not begin with a segment's header")),
    };
    // The decoder bounds the capacity, and so what is allocated here.
    block.resize(header.capacity.get() as usize, 0);
    fill(&file, &mut block[GRID_BYTES..])?;
    let payload = &block[BLOCK_HEADER_BYTES..][..header.valid.get() as usize];
    if !header.payload_is_intact(payload) {
        return Ok(Content::Other("begins with a damaged segment header"));
    }
    Ok(match segment_header(payload) {
        None => Content::Other("begins with a segment header that cannot be read"),
        Some(header) if header.incompatible_features != 0 => Content::Other(NEWER),
        Some(header) if header.index != number => Content::Other("holds a segment of another number"),
        Some(header) => Content::Segment(header.log),
    })
}

const NEWER: &str = "was written by a newer diolog";

/// The segment header in the payload of a block 0, whose first record it is.
fn segment_header(payload: &[u8]) -> Option<SegmentHeader> {
    let (_, records, _) = ShardHeader::split(payload)?;
    let (record, payload, _) = RecordHeader::split(records).ok()?;
    (record.kind == Kind::Segment as u8).then(|| SegmentHeader::decode(payload))?
}

/// Whether no block was ever written to the file, nor anything else: it is made of zeros, as one made ready is, or empty,
/// as one made ready on a full disk. `None` where `stop` said so before the end.
///
/// # Errors
/// The operating system's.
pub(super) fn holds_no_block(path: &Path, stop: impl Fn() -> bool) -> io::Result<Option<bool>> {
    let file = sys::file::open_to_read(path, false)?;
    if !file.metadata()?.is_file() {
        return Ok(Some(false));
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if stop() {
            return Ok(None);
        }
        let filled = fill(&file, &mut chunk)?;
        if !is_zero(&chunk[..filled]) {
            return Ok(Some(false));
        }
        if filled < CHUNK_BYTES {
            return Ok(Some(true));
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Fills `buffer` from where the file stands, and gives how much it had.
fn fill(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment_file_name;

    #[test]
    fn a_file_holds_no_block_if_it_is_made_of_zeros() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join(segment_file_name(1));
        let zeros = vec![0; CHUNK_BYTES + 3 * GRID_BYTES];
        let holds_no_block = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            holds_no_block(&path, || false).unwrap()
        };
        assert_eq!(holds_no_block(&zeros), Some(true));
        assert_eq!(holds_no_block(&[]), Some(true));
        for grid in [0, GRID_BYTES, CHUNK_BYTES - GRID_BYTES, CHUNK_BYTES, CHUNK_BYTES + 2 * GRID_BYTES] {
            for offset in [0, BLOCK_HEADER_BYTES - 1, BLOCK_HEADER_BYTES, GRID_BYTES - 1] {
                let mut bytes = zeros.clone();
                bytes[grid + offset] = 1;
                assert_eq!(holds_no_block(&bytes), Some(false), "a byte at {grid} + {offset}");
            }
        }
    }

    #[test]
    fn looking_stops_when_it_is_told_to() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join(segment_file_name(1));
        std::fs::write(&path, [0; GRID_BYTES]).unwrap();
        assert_eq!(holds_no_block(&path, || true).unwrap(), None);
    }

    #[test]
    fn what_is_no_segment_is_not_taken_for_one() {
        let directory = crate::sys::test_directory::directory();
        let path = directory.path().join(segment_file_name(1));
        for (bytes, expected) in [
            (vec![], Content::Unwritten),
            (vec![0; 100], Content::Unwritten),
            (vec![0; 2 * GRID_BYTES], Content::Unwritten),
            (b"a log in plain text\n".to_vec(), Content::Other("does not begin with a segment's header")),
            (vec![1; 2 * GRID_BYTES], Content::Other("does not begin with a segment's header")),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(inspect(&path, 1).unwrap(), expected);
        }
    }
}
