//! Cuts off the zeros at the end of a segment that a killed run has left. A file gets its full size before its blocks,
//! and only the run itself returns what it did not use.
//!
//! Nothing else changes: the file is cut after its last 4 KiB that are not zero, and never within a block whose header
//! is intact, so that torn blocks stay as they are. The file's times stay too, because the age of a segment is the time
//! since its last write. Used by [`archive`](super::archive), under the log's lock.

use std::fs::File;
use std::io;

use crate::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, GRID_BYTES, HeaderFault, is_zero, segment_file_name,
};
use crate::sys;
use crate::sys::directory::OpenDirectory;

/// How much of a file is read between two calls of `stop`. It takes some milliseconds on a slow disk.
const CHUNK_BYTES: u64 = 1 << 20;

const GRID: u64 = GRID_BYTES as u64;

/// The outcome of [`cut_zeros`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The file is cut, or there was nothing to cut.
    Done,
    /// A write to the file may be in progress: one of the dead process, or of its child that still has the file open.
    Busy,
    /// It was stopped before the file was cut.
    Stopped,
}

/// Cuts off the zeros at the end of segment `number`, until `stop` returns true. `stop` is called with the bytes read
/// since the last call.
///
/// # Errors
/// The operating system's. The file is unchanged then, or cut but with new times.
pub(super) fn cut_zeros(directory: &OpenDirectory, number: u64, mut stop: impl FnMut(u64) -> bool) -> io::Result<Cut> {
    let file = directory.open_to_change(&segment_file_name(number))?;
    let metadata = file.metadata()?;
    let bytes = metadata.len();
    if !metadata.is_file() || !ends_with_zeros(&file, bytes)? {
        return Ok(Cut::Done);
    }
    // The writer locks the file when it is made, and the kernel keeps the lock while a write is in progress.
    if !sys::try_lock(&file)? {
        return Ok(Cut::Busy);
    }
    let Some(used) = end_of_bytes(&file, bytes, &mut stop)? else { return Ok(Cut::Stopped) };
    let Some(used) = end_of_blocks(&file, used, &mut stop)? else { return Ok(Cut::Stopped) };
    if used < bytes {
        file.set_len(used)?;
        sys::file::set_times(&file, &metadata)?;
    }
    Ok(Cut::Done)
}

/// Whether the last unit of the grid is zero.
fn ends_with_zeros(file: &File, bytes: u64) -> io::Result<bool> {
    let mut last = [0; GRID_BYTES];
    let start = bytes.saturating_sub(1) / GRID * GRID;
    let filled = sys::fill_at(file, &mut last, start)?;
    Ok(filled > 0 && is_zero(&last[..filled]))
}

/// The end of the last unit of the grid that is not zero; `None` if `stop` returned true.
fn end_of_bytes(file: &File, bytes: u64, stop: &mut impl FnMut(u64) -> bool) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; CHUNK_BYTES as usize];
    let mut end = bytes;
    while end > 0 {
        let start = (end - 1) / CHUNK_BYTES * CHUNK_BYTES;
        let filled = sys::fill_at(file, &mut chunk[..(end - start) as usize], start)?;
        if stop(filled as u64) {
            return Ok(None);
        }
        if let Some(last) = chunk[..filled].chunks(GRID_BYTES).rposition(|grid| !is_zero(grid)) {
            return Ok(Some((start + (last as u64 + 1) * GRID).min(bytes)));
        }
        end = start;
    }
    Ok(Some(0))
}

/// The end of the last block that begins before `used`, but at least `used`; `None` if `stop` returned true. A message,
/// and so a block, may end with zeros.
fn end_of_blocks(file: &File, used: u64, stop: &mut impl FnMut(u64) -> bool) -> io::Result<Option<u64>> {
    let mut end = used;
    let mut chunk = vec![0; CHUNK_BYTES as usize];
    let mut start = used.saturating_sub(BLOCK_BYTES_MAX as u64) / GRID * GRID;
    while start < used {
        let filled = sys::fill_at(file, &mut chunk, start)?;
        if stop(filled as u64) {
            return Ok(None);
        }
        for (offset, grid) in (start..used).step_by(GRID_BYTES).zip(chunk[..filled].chunks(GRID_BYTES)) {
            if grid.len() < BLOCK_HEADER_BYTES {
                continue;
            }
            match BlockHeader::decode(grid, offset) {
                Ok(header) | Err(HeaderFault::Newer { header, .. }) => end = end.max(offset + header.stride_bytes()),
                Err(HeaderFault::Zero | HeaderFault::NotABlock | HeaderFault::Checksum) => {}
            }
        }
        start += CHUNK_BYTES;
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::config::Config;
    use crate::level::Level;
    use crate::logger::Logger;
    use crate::reader::{Reader, verify};
    use crate::sys::test_directory::directory;

    /// The bytes of the only segment of a killed run, with its zeros: records in blocks of 4 KiB and more, and the
    /// last ones end with zeros.
    fn killed() -> Vec<u8> {
        let parent = directory();
        let path = parent.path().join("log");
        let config = Config::new(&path).first_segment_bytes(3 << 20).segment_bytes(3 << 20).block_bytes(256 << 10);
        let logger = Logger::open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        for (byte, length) in [(b'a', 10), (b'b', 20_000), (b'c', 100), (b'd', 30_000)] {
            let mut message = vec![byte; length];
            // The first pages of a long message are not zero, and the last ones are.
            message.iter_mut().skip(8_000).for_each(|byte| *byte = 0);
            producer.log(Level::Info, message);
            logger.flush().expect("durable");
        }
        let bytes = fs::read(path.join(segment_file_name(1))).expect("a segment");
        assert_eq!(bytes.len(), 3 << 20);
        bytes
    }

    fn try_to_cut(path: &Path) -> Cut {
        cut_zeros(&OpenDirectory::open(path).expect("a directory"), 1, |_| false).expect("it can be cut")
    }

    /// Cuts as soon as no child, which other tests of this process may fork at any time, has the file open.
    fn cut(path: &Path) -> Cut {
        loop {
            match try_to_cut(path) {
                Cut::Busy => std::thread::yield_now(),
                done => return done,
            }
        }
    }

    /// Everything that a user sees of the log at `path`, but for sizes of files.
    fn seen(path: &Path) -> String {
        let mut reader = Reader::open(path).expect("a log");
        let mut records = Vec::new();
        while let Some(record) = reader.next_record().expect("readable") {
            records.push((record.sequence(), record.message().to_vec()));
        }
        let verification = verify(path).expect("a log");
        format!("{records:?} {:?} {:?} {:?}", reader.report(), verification.verdict, verification.report)
    }

    /// The offsets of the blocks.
    fn blocks(bytes: &[u8]) -> Vec<usize> {
        let mut offsets = vec![0];
        while let Ok(header) =
            BlockHeader::decode(&bytes[offsets[offsets.len() - 1]..], offsets[offsets.len() - 1] as u64)
        {
            offsets.push(offsets[offsets.len() - 1] + header.stride_bytes() as usize);
        }
        offsets
    }

    #[test]
    fn what_is_seen_of_a_killed_run_is_the_same_before_and_after_whatever_is_damaged() {
        let intact = killed();
        let blocks = blocks(&intact);
        let end = blocks[blocks.len() - 1];
        let last = blocks[blocks.len() - 2];
        assert!(end - last > 20_000 && is_zero(&intact[end - 4096..]), "the last block ends with zeros");
        /// What happened to the bytes, and how long the file is afterwards.
        type Case<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>), usize);
        let cases: [Case<'_>; 11] = [
            ("nothing", &|_| {}, end),
            ("a flipped bit in the last block", &|bytes| bytes[last + 100] ^= 1, end),
            ("a flipped bit in the last header", &|bytes| bytes[last + 40] ^= 1, last + 3 * 4096),
            ("the last header is missing", &|bytes| bytes[last..last + 4096].fill(0), last + 3 * 4096),
            ("the last block's first sector is missing", &|bytes| bytes[last..last + 512].fill(0), last + 3 * 4096),
            ("the last block is torn", &|bytes| bytes[last + 512..].fill(0), end),
            ("the block before is missing", &|bytes| bytes[blocks[3]..last].fill(0), end),
            ("a torn block in the zeros", &|bytes| bytes[2 << 20] = 7, (2 << 20) + 4096),
            ("a stray byte at the end", &|bytes| *bytes.last_mut().expect("a byte") = 7, 3 << 20),
            ("an odd length", &|bytes| bytes.truncate((1 << 20) + 77), end),
            ("a damaged block 0", &|bytes| bytes[100] ^= 1, end),
        ];
        for (claim, damage, length) in cases {
            let parent = directory();
            let path = parent.path().join("log");
            fs::create_dir(&path).expect("writable");
            let mut bytes = intact.clone();
            damage(&mut bytes);
            let file = path.join(segment_file_name(1));
            fs::write(&file, &bytes).expect("written");
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 123_456_789);
            File::options().write(true).open(&file).expect("there").set_modified(time).expect("a time");
            let before = seen(&path);
            assert_eq!(cut(&path), Cut::Done, "{claim}");
            assert_eq!(fs::read(&file).expect("there"), bytes[..length], "{claim}");
            assert_eq!(file.metadata().expect("there").modified().expect("a time"), time, "{claim}");
            assert_eq!(seen(&path), before, "{claim}");
            assert_eq!(cut(&path), Cut::Done, "once more: {claim}");
            assert_eq!(file.metadata().expect("there").len(), length as u64, "{claim}");
        }
    }

    #[test]
    fn a_file_that_is_still_written_to_is_not_cut() {
        let parent = directory();
        let file = parent.path().join(segment_file_name(1));
        let zeros = [vec![7; 4096], vec![0; 8192]].concat();
        fs::write(&file, &zeros).expect("written");
        // The descriptor of a write that is under way.
        let writing = File::options().write(true).open(&file).expect("there");
        assert!(sys::try_lock(&writing).expect("it can be locked"));
        let locks_exclude = cfg!(unix);
        assert_eq!(try_to_cut(parent.path()) == Cut::Busy, locks_exclude);
        drop(writing);
        assert_eq!(cut(parent.path()), Cut::Done);
        assert_eq!(file.metadata().expect("there").len(), 4096);
    }

    #[test]
    fn a_cut_can_be_stopped() {
        let parent = directory();
        let file = parent.path().join(segment_file_name(1));
        fs::write(&file, vec![0; 3 << 20]).expect("written");
        let directory = OpenDirectory::open(parent.path()).expect("a directory");
        let mut read = 0;
        let stop = |bytes| {
            read += bytes;
            read >= 2 << 20
        };
        assert_eq!(cut_zeros(&directory, 1, stop).expect("readable"), Cut::Stopped);
        assert_eq!(file.metadata().expect("there").len(), 3 << 20);
    }
}
