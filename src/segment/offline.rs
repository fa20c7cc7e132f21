//! A segment written at once, without a writer thread and without a device: for the rings that a dead process has left,
//! and for snapshots.
//!
//! The blocks go to a temporary file, which gets its final name after all of them are durable. So a segment that exists
//! is complete. If a crash leaves the temporary file, the next open for writing removes it.

use std::io;

use crate::block::{self, Block, BlockPlace};
use crate::error::{Error, Result};
use crate::format::{OFFLINE_FILE, segment_file_name};
use crate::sys::directory::OpenDirectory;
use crate::sys::write::{grain, write_whole};

use super::header::Header;
use super::publish::publish;

/// A segment to be written.
pub(crate) struct OfflineSegment<'a> {
    /// The log's directory, whose lock the caller holds.
    pub(crate) directory: &'a OpenDirectory,
    /// Its block 0, with the segment's number. No file may have that number.
    pub(crate) header: Header<'a>,
    /// A random number, not 0, different for each segment.
    pub(crate) segment_id: u64,
    /// Whether to write with direct I/O.
    pub(crate) direct: bool,
}

impl OfflineSegment<'_> {
    /// Writes the segment: its header, with the number `first_number`, then `blocks`, with their own increasing
    /// numbers. When this returns, the segment is durable. A block that is an error stops it.
    ///
    /// # Errors
    /// [`Error::Io`], with `AlreadyExists` if a file has that number. After an error nothing of the segment is left.
    pub(crate) fn write(
        &self,
        first_number: u64,
        blocks: impl IntoIterator<Item = io::Result<(u64, Block)>>,
    ) -> Result<()> {
        self.write_file(&segment_file_name(self.header.segment.index), first_number, blocks)
    }

    /// Like [`write`](Self::write), but as the file `name`, with consecutive numbers from `first_number` on.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_as(
        &self,
        name: &str,
        first_number: u64,
        blocks: impl IntoIterator<Item = io::Result<Block>>,
    ) -> Result<()> {
        let numbered = (first_number..).zip(blocks).map(|(number, block)| Ok((number, block?)));
        self.write_file(name, first_number, numbered)
    }

    fn write_file(
        &self,
        name: &str,
        first_number: u64,
        blocks: impl IntoIterator<Item = io::Result<(u64, Block)>>,
    ) -> Result<()> {
        // A crash may have left it.
        let _ = self.directory.remove(OFFLINE_FILE);
        let written =
            self.write_blocks(first_number, blocks).and_then(|()| publish(OFFLINE_FILE, self.directory, name));
        if written.is_err() {
            let _ = self.directory.remove(OFFLINE_FILE);
        }
        written
    }

    fn write_blocks(
        &self,
        first_number: u64,
        blocks: impl IntoIterator<Item = io::Result<(u64, Block)>>,
    ) -> Result<()> {
        assert!(self.segment_id != 0, "segment id 0 means \"none\"");
        let path = &*self.directory.path_of(OFFLINE_FILE);
        let failed = |operation, source| Error::io(operation, path, source);
        let header = self.header.compose(0).map_err(|source| failed("compose the header of", source))?;
        let created = self.directory.create_to_fill(OFFLINE_FILE, self.direct);
        let file = created.map_err(|source| failed("create", source))?;
        // The header has no number of its own: it shares that of the block after it.
        let numbered = std::iter::once(Ok((first_number, header))).chain(blocks);
        let mut offset = 0;
        for numbered in numbered {
            let (number, block) = numbered.map_err(|source| failed("make a block of", source))?;
            let (mut buffer, length) = block.seal(number);
            // `in_flight` is 0, because nobody sees a block of this file before all of them are durable.
            block::place(&mut buffer, BlockPlace { segment_id: self.segment_id, file_offset: offset, in_flight: 0 });
            write_whole(&file, &buffer[..length], offset, grain(self.direct)).map_err(|source| Error::Io {
                operation: "write",
                path: path.to_owned(),
                offset: Some(offset),
                source,
            })?;
            offset += length as u64;
        }
        file.sync_all().map_err(|source| failed("sync", source))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::block::RecordMeta;
    use crate::buffer::AlignedBuffer;
    use crate::format::{BlockFlags, GRID_BYTES, Kind, ProducerRow, SegmentHeader};
    use crate::level::Level;
    use crate::reader::{Reader, verify};
    use crate::segment::header::tests::{header, row};
    use crate::sys::test_directory::directory;
    use crate::sys::test_report::not_shown;

    const NO_ROWS: &[ProducerRow] = &[];

    /// Block `number` of a run, with two records of producer 1.
    fn block(number: u64) -> Block {
        let mut block = Block::new(AlignedBuffer::new(64 << 10, 0).expect("memory"));
        control(&mut block, Kind::ProducerRow, number, number);
        let mut own_sequence = 0;
        let mut records = block.records_of(1, 2 * number, &mut own_sequence);
        for sequence in [2 * number, 2 * number + 1] {
            let meta = RecordMeta { kind: 1, level: Level::Info as u8, flags: 0, timestamp_ns: 100 + sequence };
            assert!(records.append(sequence, meta, format!("record {sequence}").as_bytes()));
        }
        records.end(2, 100 + 2 * number + 1);
        block
    }

    /// Record `number` of the writer's own in these blocks: on producer 1 after `blocks` of them.
    fn control(block: &mut Block, kind: Kind, number: u64, blocks: u64) {
        let mut row = row(1);
        (row.next_sequence, row.records) = (2 * blocks, 2 * blocks);
        assert!(block.append_control(&mut (43 + number), kind, 100 + 2 * blocks, &row.encoded()));
    }

    /// The blocks of a run that ends cleanly: `count` with records, the producer's end, and the clean end.
    fn blocks(count: u64) -> Vec<Block> {
        let mut last = [(); 2].map(|()| Block::new(AlignedBuffer::new(GRID_BYTES, 0).expect("memory")));
        control(&mut last[0], Kind::ProducerEnd, count, count);
        control(&mut last[1], Kind::ProducerRow, count + 1, count);
        last[1].set_flag(BlockFlags::CLEAN_END);
        (0..count).map(block).chain(last).collect()
    }

    fn write(directory: &Path, number: u64, direct: bool, count: u64) -> Result<()> {
        let segment = SegmentHeader::example(number);
        let directory = &OpenDirectory::open(directory).expect("a directory");
        let offline = OfflineSegment { directory, header: header(&segment, &NO_ROWS), segment_id: 77, direct };
        offline.write(0, (0..).zip(blocks(count)).map(Ok))
    }

    fn files(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let mut names: Vec<_> = fs::read_dir(directory).expect("readable").map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_written_offline_reads_back_and_verifies() {
        for direct in [false, true] {
            let directory = directory();
            match write(directory.path(), 1, direct, 3) {
                Err(error) if direct => {
                    let kind = error.io_error().map(io::Error::kind);
                    let refused = [Some(io::ErrorKind::InvalidInput), Some(io::ErrorKind::Unsupported)];
                    assert!(refused.contains(&kind), "{error}");
                    not_shown("a segment written with direct I/O", error);
                    continue;
                }
                written => written.expect("written"),
            }
            assert_eq!(files(directory.path()), [segment_file_name(1)]);
            let records = Reader::open(directory.path()).expect("a log");
            let messages: Vec<_> = records.map(|record| record.expect("readable").message().to_vec()).collect();
            assert_eq!(messages, (0..6).map(|n| format!("record {n}").into_bytes()).collect::<Vec<_>>());
            let verification = verify(directory.path()).expect("a log");
            assert_eq!(verification.verdict.exit_code(), 0, "{:#?}", verification.report);
        }
    }

    #[test]
    fn a_number_that_is_taken_is_refused_and_its_file_stays() {
        let directory = directory();
        let taken = directory.path().join(segment_file_name(1));
        fs::write(&taken, "taken").expect("written");
        let error = write(directory.path(), 1, false, 1).expect_err("taken");
        assert!(matches!(&error, Error::Io { path, .. } if *path == taken), "{error}");
        assert_eq!(error.io_error().map(io::Error::kind), Some(io::ErrorKind::AlreadyExists), "{error}");
        assert_eq!(files(directory.path()), [segment_file_name(1)]);
        assert_eq!(fs::read(taken).expect("readable"), b"taken");
    }

    #[test]
    fn a_directory_that_was_deleted_is_an_error_that_names_the_file() {
        let parent = directory();
        let path = parent.path().join("log");
        fs::create_dir(&path).expect("a directory");
        let directory = &OpenDirectory::open(&path).expect("a directory");
        fs::remove_dir(&path).expect("empty");
        let segment = SegmentHeader::example(1);
        let offline = OfflineSegment { directory, header: header(&segment, &NO_ROWS), segment_id: 77, direct: false };
        let error = offline.write(0, (0..).zip(blocks(1)).map(Ok)).expect_err("deleted");
        assert!(error.to_string().contains(&*path.join(OFFLINE_FILE).to_string_lossy()), "{error}");
    }

    #[test]
    fn what_a_crash_left_of_an_earlier_write_is_replaced() {
        let directory = directory();
        fs::write(directory.path().join(OFFLINE_FILE), vec![1; 1 << 20]).expect("written");
        write(directory.path(), 1, false, 1).expect("written");
        assert_eq!(files(directory.path()), [segment_file_name(1)]);
        assert_eq!(verify(directory.path()).expect("a log").verdict.exit_code(), 0);
    }

    /// A device on which every write fails for want of room, as a full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_without_room_leaves_nothing_half_made() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        const CHILD: &str = "DIOLOG_TEST_OFFLINE_LIMIT";
        if std::env::var_os(CHILD).is_none() {
            // The limit holds for the process, and exceeding it raises a signal, which the child ignores.
            let child = std::process::Command::new("/bin/sh")
                .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
                .arg(std::env::current_exe().expect("a path"))
                .args(["--exact", "segment::offline::tests::a_disk_without_room_leaves_nothing_half_made"])
                .env(CHILD, "1")
                .output()
                .expect("a child");
            return assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        }
        let directory = directory();
        let maximum = getrlimit(Resource::Fsize).maximum;
        for limit in [0, 4096, 8192, 8192 + 100] {
            setrlimit(Resource::Fsize, Rlimit { current: Some(limit), maximum }).expect("a lower limit");
            let error = write(directory.path(), 1, false, 3).expect_err("too large");
            assert_eq!(error.io_error().map(io::Error::kind), Some(io::ErrorKind::FileTooLarge), "{limit}: {error}");
            assert!(error.to_string().contains("at offset"), "{error}");
            assert_eq!(files(directory.path()), Vec::<String>::new());
        }
    }
}
