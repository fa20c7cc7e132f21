//! The disk as a power cut leaves it: a device around the real one records every write, when it was submitted and when
//! the writer heard that it is durable, and the files are built again as they may be after a cut at any moment.
//!
//! The model: a file that blocks go to is durable before, with its name and full of zeros. A write that has completed
//! is on the disk. Of the others, each 512-byte sector is there or not. A file that was left may have been cut to its
//! blocks.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use diolog::unstable::{BlockWrite, Completion, Device, DeviceLayer, Hooks};

use super::device::EIO;
use super::random::Random;

/// What a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;

/// A set of writes, by their numbers.
pub(crate) type Writes = u128;

/// A set of a write's sectors, by their places.
pub(crate) type Sectors = u64;

/// A write that the writer submitted.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// Its file's place among those of the recording.
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Write {
    fn number_at<const BYTES: usize>(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..BYTES].copy_from_slice(&self.bytes[offset..offset + BYTES]);
        u64::from_le_bytes(bytes)
    }

    /// Bytes that its checksums cover.
    pub(crate) fn covered_bytes(&self) -> usize {
        64 + self.number_at::<4>(4) as usize
    }

    /// All of its sectors.
    pub(crate) fn sectors(&self) -> Sectors {
        Sectors::MAX >> (Sectors::BITS as usize - self.bytes.len() / SECTOR_BYTES)
    }

    /// Copies its sectors whose bits are set to the same places in `to`.
    pub(crate) fn copy_sectors(&self, there: Sectors, to: &mut [u8]) {
        for (sector, (bytes, to)) in self.bytes.chunks(SECTOR_BYTES).zip(to.chunks_mut(SECTOR_BYTES)).enumerate() {
            if there >> sector & 1 != 0 {
                to.copy_from_slice(bytes);
            }
        }
    }

    /// Whether those sectors are all that hold something: without a sector of zeros, a write is whole.
    pub(crate) fn is_whole(&self, there: Sectors) -> bool {
        let mut sectors = self.bytes.chunks(SECTOR_BYTES).enumerate();
        sectors.all(|(sector, bytes)| there >> sector & 1 != 0 || bytes.iter().all(|byte| *byte == 0))
    }

    pub(crate) fn is_segment_header(&self) -> bool {
        self.number_at::<2>(20) & 1 != 0
    }

    pub(crate) fn is_clean_end(&self) -> bool {
        self.number_at::<2>(20) & 2 != 0
    }

    /// Its block's number in the run.
    pub(crate) fn number(&self) -> u64 {
        self.number_at::<8>(32)
    }

    /// The number below which all blocks were durable when it was submitted.
    pub(crate) fn durable_below(&self) -> u64 {
        self.number().saturating_sub(self.number_at::<2>(22))
    }
}

/// What happened, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Submitted(usize),
    Completed(usize),
    /// The test's own mark, by its number.
    Marked(usize),
}

/// Everything that a log did to its disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    /// Each file's name and size.
    pub(crate) files: Vec<(String, u64)>,
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Event>,
}

/// What fails with EIO: a write, or all writes to a file, by its place in their order, or one of so many at random.
/// Nobody knows what of it is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Write(usize),
    File(usize),
    OneIn(u64),
}

/// The test's end of the device.
#[derive(Clone, Default)]
pub(crate) struct Tape(Arc<Mutex<Recording>>);

impl Tape {
    /// Hooks that put the device under a log.
    pub(crate) fn hooks(&self, seed: u64, refused: Option<Refused>) -> Hooks {
        let tape = self.clone();
        Hooks::new().device_layer(move || {
            let random = Random::new(seed);
            Recorder { tape, random, refused, numbers: Vec::new(), ready: Vec::new(), in_flight: 0 }
        })
    }

    pub(crate) fn mark(&self, number: usize) {
        self.lock().events.push(Event::Marked(number));
    }

    pub(crate) fn recording(&self) -> Recording {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().expect("no thread panics with the lock")
    }
}

/// The device itself, on the writer thread. It hands completions on late, and in any order.
struct Recorder {
    tape: Tape,
    random: Random,
    refused: Option<Refused>,
    /// The number of the write with each token.
    numbers: Vec<(u64, usize)>,
    ready: Vec<Completion>,
    /// Writes that the device below has.
    in_flight: usize,
}

impl DeviceLayer for Recorder {
    fn submit(&mut self, below: &mut dyn Device, write: BlockWrite) {
        let (number, is_refused) = {
            let mut recording = self.tape.lock();
            let link = std::fs::read_link(format!("/proc/self/fd/{}", write.file.as_raw_fd())).expect("procfs");
            let name = link.file_name().and_then(|name| name.to_str()).expect("a segment's name").to_owned();
            let file = recording.files.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                let bytes = write.file.metadata().expect("an open file").len();
                recording.files.push((name, bytes));
                recording.files.len() - 1
            });
            let bytes = write.buffer[..write.length].to_vec();
            recording.writes.push(Write { file, offset: write.offset, bytes });
            let number = recording.writes.len() - 1;
            recording.events.push(Event::Submitted(number));
            let is_refused = match self.refused {
                None => false,
                Some(Refused::Write(refused)) => refused == number,
                Some(Refused::File(refused)) => refused == file,
                Some(Refused::OneIn(times)) => self.random.one_in(times),
            };
            (number, is_refused)
        };
        self.numbers.push((write.token, number));
        if is_refused {
            let result = Err(io::Error::from_raw_os_error(EIO));
            self.ready.push(Completion { token: write.token, buffer: write.buffer, result });
        } else {
            self.in_flight += 1;
            below.submit(write);
        }
    }

    fn reap(&mut self, below: &mut dyn Device, completions: &mut Vec<Completion>) {
        let before = self.ready.len();
        below.reap(&mut self.ready);
        self.in_flight -= self.ready.len() - before;
        let mut at = 0;
        while at < self.ready.len() {
            if !self.random.one_in(4) {
                at += 1;
                continue;
            }
            let completion = self.ready.swap_remove(at);
            let place = self.numbers.iter().position(|(token, _)| *token == completion.token).expect("submitted");
            let (_, number) = self.numbers.swap_remove(place);
            if completion.result.is_ok() {
                self.tape.lock().events.push(Event::Completed(number));
            }
            completions.push(completion);
        }
    }

    fn wait(&mut self, below: &mut dyn Device, timeout: Duration) {
        if !self.ready.is_empty() {
            std::thread::yield_now();
        } else if self.in_flight > 0 {
            below.wait(timeout);
        } else {
            std::thread::park_timeout(timeout);
        }
    }
}

/// Files with some of a recording's writes. From one state to the next, only what differs is written.
pub(crate) struct Disk<'a> {
    recording: &'a Recording,
    directory: PathBuf,
    present: Writes,
    files: Vec<Option<File>>,
}

/// Which files there are, and how long they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// How many files, of the recording's.
    pub(crate) files: usize,
    /// How many of them, from the first on, were cut to their blocks.
    pub(crate) cut: usize,
}

impl Disk<'_> {
    /// An empty disk in `directory`, which is made.
    pub(crate) fn new<'a>(recording: &'a Recording, directory: &Path) -> Disk<'a> {
        assert!(recording.writes.len() <= Writes::BITS as usize, "{} writes", recording.writes.len());
        std::fs::create_dir(directory).expect("a new directory");
        let files = recording.files.iter().map(|_| None).collect();
        Disk { recording, directory: directory.to_owned(), present: 0, files }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the disk hold these writes and no others, in files of this shape.
    pub(crate) fn set(&mut self, present: Writes, shape: Shape) {
        for (at, (name, _)) in self.recording.files.iter().enumerate() {
            let path = self.directory.join(name);
            if at >= shape.files {
                if self.files[at].take().is_some() {
                    std::fs::remove_file(path).expect("a file of ours");
                    self.present &= !self.writes_of(at);
                }
                continue;
            }
            self.files[at].get_or_insert_with(|| File::create_new(path).expect("a new file"));
        }
        let differing = self.present ^ present;
        self.present = present;
        for number in numbers_of(differing) {
            self.put_back(number);
        }
        for (at, (_, bytes)) in self.recording.files.iter().enumerate().take(shape.files) {
            let end = |number: usize| {
                let write = &self.recording.writes[number];
                write.offset + write.bytes.len() as u64
            };
            let used = numbers_of(present & self.writes_of(at)).map(end).max().unwrap_or(0);
            // Blocks may come after the size that was reserved.
            let bytes = if at < shape.cut { used } else { used.max(*bytes) };
            self.files[at].as_ref().expect("just made").set_len(bytes).expect("room");
        }
    }

    /// Lets these writes be on the disk with the sectors whose bits are set, and no others, while `look` runs.
    pub(crate) fn with_torn(&mut self, torn: &[(usize, Sectors)], look: impl FnOnce(&Path)) {
        for &(number, there) in torn {
            let mut bytes = vec![0; self.recording.writes[number].bytes.len()];
            self.recording.writes[number].copy_sectors(there, &mut bytes);
            self.put(number, &bytes);
        }
        look(&self.directory);
        for &(number, _) in torn {
            self.put_back(number);
        }
    }

    /// Lets `change` change the bytes of one write's place, as they are on the disk while `look` runs.
    pub(crate) fn with_change(&mut self, number: usize, change: impl FnOnce(&mut [u8]), look: impl FnOnce(&Path)) {
        let mut changed = self.bytes_of(number);
        change(&mut changed);
        self.put(number, &changed);
        look(&self.directory);
        self.put_back(number);
    }

    /// Makes a write's place as it was set.
    fn put_back(&self, number: usize) {
        self.put(number, &self.bytes_of(number));
    }

    /// A write's place as it was set.
    fn bytes_of(&self, number: usize) -> Vec<u8> {
        let bytes = &self.recording.writes[number].bytes;
        if self.present >> number & 1 != 0 { bytes.clone() } else { vec![0; bytes.len()] }
    }

    fn put(&self, number: usize, bytes: &[u8]) {
        let write = &self.recording.writes[number];
        let file = self.files[write.file].as_ref().expect("a write's file is there");
        file.write_all_at(bytes, write.offset).expect("room");
    }

    fn writes_of(&self, file: usize) -> Writes {
        let of_file = self.recording.writes.iter().enumerate().filter(|(_, write)| write.file == file);
        of_file.fold(0, |writes, (number, _)| writes | 1 << number)
    }
}

/// The numbers in a set.
pub(crate) fn numbers_of(mut writes: Writes) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = (writes != 0).then(|| writes.trailing_zeros() as usize)?;
        writes &= writes - 1;
        Some(number)
    })
}
