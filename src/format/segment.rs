//! The payload of the segment header record: the log and the run that a segment belongs to, and its place in them.
//!
//! It is the first record of block 0; [`Block0`](super::Block0) finds it there.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::identity::{LogId, StoredRunId};
use super::limits::NAME_BYTES_MAX;
use super::newer::Newer;

/// The log and the run that a segment belongs to, and how it is written. The default is the zero of each field. A
/// header needs at least the log and the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The log: the same in all its segments.
    pub(crate) log: LogId,
    /// The run that wrote the segment.
    pub(crate) run: StoredRunId,
    /// The run from whose rings the records were taken, if no writer has written the segment: `run` itself if a
    /// recovery wrote it, and the log's run in a snapshot.
    pub(crate) rings_of: Option<StoredRunId>,
    /// The kernel's id of the machine's boot; zeros if it has none.
    pub(crate) boot: [u8; 16],
    /// The segment's place in the log, counted from 1 over all runs; the number in the file's name.
    pub(crate) index: u64,
    /// The id of the segment before it in the same run, 0 in a run's first.
    pub(crate) previous_segment_id: u64,
    /// The largest block that the writer makes, in bytes; a block 0 may be larger.
    pub(crate) block_bytes: u32,
    /// The longest message, in bytes: longer ones were cut.
    pub(crate) message_bytes_max: u32,
    /// Bits that a reader must know to read the segment. Version 1 has none: see [`SegmentHeader::newer`].
    pub(crate) incompatible_features: u32,
    /// Bits that a reader may ignore: [`SegmentHeader::RETENTION`].
    pub(crate) compatible_features: u32,
    /// In a run's first segment: how many files with the numbers right before this one hold no block. They may have
    /// been removed. 0 in all other segments.
    pub(crate) unused_before: u32,
    /// How many of these files, the first ones, are of earlier runs. A run left such a file if it ended before its
    /// first write, or if it had prepared the file and did not end cleanly. 0 before revision 7.
    pub(crate) left_before: u16,
    /// The service's name; at most [`NAME_BYTES_MAX`] bytes.
    pub(crate) service: String,
    /// The process that writes the segment. `None` in a header of revision 1, which does not tell.
    pub(crate) process: Option<Process>,
}

/// A process, and the machine that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id; 0 if unknown.
    pub(crate) id: u32,
    /// The machine's name, at most [`NAME_BYTES_MAX`] bytes; empty if unknown.
    pub(crate) host: String,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawSegmentHeader {
    pub(super) log: [u8; 16],
    pub(super) run: [u8; 16],
    pub(super) rings_of: [u8; 16],
    pub(super) boot: [u8; 16],
    pub(super) index: U64,
    pub(super) previous_segment_id: U64,
    pub(super) block_bytes: U32,
    pub(super) message_bytes_max: U32,
    pub(super) incompatible_features: U32,
    pub(super) compatible_features: U32,
    pub(super) service_bytes: U16,
    pub(super) unused_before: U32,
    pub(super) left_before: U16,
}

/// What follows the service's name since revision 2, before the host's name.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawProcess {
    pub(super) pid: U32,
    pub(super) host_bytes: U16,
}

const _: () = assert!(size_of::<RawSegmentHeader>() == SegmentHeader::BYTES_MIN);
const _: () = assert!(align_of::<RawSegmentHeader>() == 1 && align_of::<RawProcess>() == 1);

impl SegmentHeader {
    /// The bit of `compatible_features` that says that the writer may remove the log's oldest segments.
    pub(crate) const RETENTION: u32 = 1;

    /// Bytes of a header without the service's name.
    pub(crate) const BYTES_MIN: usize = 104;

    /// Appends the header's bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.service.len() <= NAME_BYTES_MAX);
        let raw = RawSegmentHeader {
            log: self.log.0,
            run: self.run.0,
            rings_of: self.rings_of.map_or([0; 16], |run| run.0),
            boot: self.boot,
            index: U64::new(self.index),
            previous_segment_id: U64::new(self.previous_segment_id),
            block_bytes: U32::new(self.block_bytes),
            message_bytes_max: U32::new(self.message_bytes_max),
            incompatible_features: U32::new(self.incompatible_features),
            compatible_features: U32::new(self.compatible_features),
            service_bytes: U16::new(self.service.len() as u16),
            unused_before: U32::new(self.unused_before),
            left_before: U16::new(self.left_before),
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(self.service.as_bytes());
        if let Some(Process { id, host }) = &self.process {
            debug_assert!(host.len() <= NAME_BYTES_MAX);
            let raw = RawProcess { pid: U32::new(*id), host_bytes: U16::new(host.len() as u16) };
            out.extend_from_slice(raw.as_bytes());
            out.extend_from_slice(host.as_bytes());
        }
    }

    /// Whether a recovery has written the segment.
    pub(crate) fn is_recovered(&self) -> bool {
        self.rings_of == Some(self.run)
    }

    /// The features that this version does not know and must not ignore.
    pub(crate) fn newer(&self) -> Option<Newer> {
        (self.incompatible_features != 0).then_some(Newer::Features(self.incompatible_features))
    }

    /// Reads a header; `None` if the bytes are not one. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<SegmentHeader> {
        let (raw, rest) = RawSegmentHeader::read_from_prefix(payload).ok()?;
        let (service, rest) = rest.split_at_checked(usize::from(raw.service_bytes.get()))?;
        if service.len() > NAME_BYTES_MAX {
            return None;
        }
        Some(SegmentHeader {
            log: LogId(raw.log),
            run: StoredRunId(raw.run),
            rings_of: (raw.rings_of != [0; 16]).then_some(StoredRunId(raw.rings_of)),
            boot: raw.boot,
            index: raw.index.get(),
            previous_segment_id: raw.previous_segment_id.get(),
            block_bytes: raw.block_bytes.get(),
            message_bytes_max: raw.message_bytes_max.get(),
            incompatible_features: raw.incompatible_features.get(),
            compatible_features: raw.compatible_features.get(),
            unused_before: raw.unused_before.get(),
            left_before: raw.left_before.get(),
            service: String::from_utf8_lossy(service).into_owned(),
            process: Process::decode(rest),
        })
    }
}

impl Process {
    /// Reads what follows the service's name; `None` if it is no process.
    fn decode(bytes: &[u8]) -> Option<Process> {
        let (raw, rest) = RawProcess::read_from_prefix(bytes).ok()?;
        let host = rest.get(..usize::from(raw.host_bytes.get())).filter(|host| host.len() <= NAME_BYTES_MAX)?;
        Some(Process { id: raw.pid.get(), host: String::from_utf8_lossy(host).into_owned() })
    }
}

#[cfg(test)]
impl SegmentHeader {
    /// The header of a run's first segment, for tests: they change the fields that they are about.
    pub(crate) fn example(index: u64) -> SegmentHeader {
        SegmentHeader {
            log: LogId([1; 16]),
            run: StoredRunId([2; 16]),
            boot: [3; 16],
            index,
            block_bytes: 4096,
            message_bytes_max: 100,
            service: "shop".to_owned(),
            process: Some(Process { id: 4711, host: "host".to_owned() }),
            ..SegmentHeader::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_its_bytes_are_golden() {
        let header = SegmentHeader {
            previous_segment_id: 6,
            compatible_features: 1,
            unused_before: 7,
            left_before: 2,
            service: "ads".into(),
            ..SegmentHeader::example(5)
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert_eq!(SegmentHeader::decode(&bytes), Some(header.clone()));
        let mut golden = [[1_u8; 16], [2; 16], [0; 16], [3; 16]].concat();
        golden.extend_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[0, 16, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        golden.extend_from_slice(&[3, 0, 7, 0, 0, 0, 2, 0, b'a', b'd', b's']);
        let revision_1 = golden.len();
        golden.extend_from_slice(&[0x67, 0x12, 0, 0, 4, 0, b'h', b'o', b's', b't']);
        assert_eq!(bytes, golden);
        for length in 0..revision_1 {
            assert_eq!(SegmentHeader::decode(&bytes[..length]), None, "{length}");
        }
        let first = SegmentHeader { process: None, ..header };
        for length in revision_1..bytes.len() {
            assert_eq!(SegmentHeader::decode(&bytes[..length]), Some(first.clone()), "{length}");
        }
        let mut bytes = Vec::new();
        first.encode(&mut bytes);
        assert_eq!(bytes, golden[..revision_1]);
    }
}
