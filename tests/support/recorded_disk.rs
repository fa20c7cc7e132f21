//! An ext4 file system, with its journal, on a device that records each write and flush in its order:
//! qemu-storage-daemon exports it by FUSE, and a loop device makes a block device of that. The recording rebuilds the
//! device as it was at any moment.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::disk::run;
use super::os::{make_mounts_private, send_signal};

/// What the recording counts in.
const SECTOR_BYTES: usize = 512;

/// What the disk writes whole or not at all. ext4 needs that of its superblock, which has 1024 bytes.
pub(crate) const WHOLE_BYTES: usize = 4096;

const FILE_SYSTEM_BYTES: usize = 32 << 20;

/// After the file system, the device has one block more, whose writes mark moments in the recording.
const MARK_BYTES: usize = WHOLE_BYTES;

/// The file system, mounted.
pub(crate) struct RecordedDisk {
    directory: PathBuf,
    daemon: Child,
}

impl RecordedDisk {
    /// Makes the file system's files in `directory`, and mounts it for the calling thread and those that it starts.
    ///
    /// # Errors
    /// What this machine lacks.
    pub(crate) fn new(directory: &Path) -> Result<RecordedDisk, String> {
        let path = |name: &str| directory.join(name);
        make_mounts_private().map_err(|error| error.to_string())?;
        let sparse = |name: &str, bytes| File::create(path(name)).and_then(|file| file.set_len(bytes)).expect("room");
        sparse("disk", (FILE_SYSTEM_BYTES + MARK_BYTES) as u64);
        sparse("recording", 4 << 30);
        sparse("export", 0);
        fs::create_dir(path("mounted")).expect("a mount point");
        // Nothing is left for the kernel to write later.
        let eager = "lazy_itable_init=0,lazy_journal_init=0";
        let size = format!("{}k", FILE_SYSTEM_BYTES / 1024);
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-b", "4096", "-O", "has_journal", "-E", eager])
            .arg(path("disk"))
            .arg(size))?;
        fs::copy(path("disk"), path("before")).expect("room");
        let mut daemon = Command::new("qemu-storage-daemon");
        daemon.current_dir(directory).args([
            "--blockdev=driver=file,node-name=disk,filename=disk",
            "--blockdev=driver=file,node-name=recording,filename=recording",
            "--blockdev=driver=blklogwrites,node-name=both,file=disk,log=recording,log-sector-size=512",
            "--export=type=fuse,id=export,node-name=both,mountpoint=export,writable=on",
        ]);
        let daemon = daemon.spawn().map_err(|error| format!("qemu-storage-daemon: {error}"))?;
        let mut disk = RecordedDisk { directory: directory.to_owned(), daemon };
        while fs::metadata(path("export")).expect("made above").len() == 0 {
            if let Some(status) = disk.daemon.try_wait().expect("a child") {
                return Err(format!("qemu-storage-daemon cannot export a file by FUSE: {status}"));
            }
            std::thread::yield_now();
        }
        // Not direct: the loop device then has one write under way at a time. Of several the daemon records wrong data.
        // It is detached at the end of the mount.
        let mount = r#"device=$(losetup --find --show --direct-io=off export) || exit
            mount "$device" mounted; status=$?; losetup --detach "$device"; exit $status"#;
        run(Command::new("sh").current_dir(directory).args(["-c", mount]))?;
        Ok(disk)
    }

    /// Where the file system is mounted.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.directory.join("mounted")
    }

    /// Marks this moment in the recording: what was durable before is durable at it.
    pub(crate) fn mark(&self, number: u64) {
        let mut block = [0; MARK_BYTES];
        block[..8].copy_from_slice(&number.to_le_bytes());
        let export = File::options().write(true).open(self.directory.join("export")).expect("mounted");
        export.write_all_at(&block, FILE_SYSTEM_BYTES as u64).expect("a device that works");
    }

    /// Unmounts the file system. Returns what was recorded.
    ///
    /// # Errors
    /// The recording does not lead to what is on the disk.
    pub(crate) fn recording(mut self) -> Result<Recording, String> {
        run(Command::new("umount").arg(self.mounted()))?;
        self.end_daemon();
        let read = |name: &str| fs::read(self.directory.join(name)).expect("made above");
        let recording = Recording { before: read("before"), events: events(&self.directory.join("recording"))? };
        let mut replayed = recording.before.clone();
        for event in &recording.events {
            if let Event::Write(write) = event {
                write.apply(&mut replayed);
            }
        }
        let differ = replayed[..FILE_SYSTEM_BYTES] != read("disk")[..FILE_SYSTEM_BYTES];
        if differ {
            Err("the recording is wrong: replayed, it is not what is on the disk".into())
        } else {
            Ok(recording)
        }
    }

    /// Ends the daemon, which completes its files. Its export goes with it.
    fn end_daemon(&mut self) {
        if self.daemon.try_wait().expect("a child").is_none() {
            send_signal(self.daemon.id(), libc::SIGTERM);
            self.daemon.wait().expect("a child");
        }
    }
}

impl Drop for RecordedDisk {
    fn drop(&mut self) {
        // Both may be gone: then these do nothing.
        let _ = run(Command::new("umount").arg("--lazy").arg(self.mounted()));
        self.end_daemon();
    }
}

/// Everything that happened to a device.
pub(crate) struct Recording {
    /// The device at the beginning.
    pub(crate) before: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

/// What happened, in the order in which it was done.
pub(crate) enum Event {
    Write(Write),
    /// All writes before it are durable.
    Flushed,
    Marked(u64),
}

/// A write of whole sectors.
pub(crate) struct Write {
    at: usize,
    bytes: Vec<u8>,
}

impl Write {
    pub(crate) fn apply(&self, image: &mut [u8]) {
        self.apply_torn(image, || true);
    }

    /// As if the power had gone while it was written: only some parts of it are there.
    pub(crate) fn apply_torn(&self, image: &mut [u8], mut is_there: impl FnMut() -> bool) {
        let parts = image[self.at..self.at + self.bytes.len()].chunks_mut(WHOLE_BYTES);
        for (there, part) in parts.zip(self.bytes.chunks(WHOLE_BYTES)).filter(|_| is_there()) {
            there.copy_from_slice(part);
        }
    }
}

/// Reads a recording in the layout of the kernel's dm-log-writes.
fn events(path: &Path) -> Result<Vec<Event>, String> {
    const FLUSH: u64 = 1;
    let file = File::open(path).expect("made above");
    let words_at = |offset: u64| {
        let mut bytes = [0; 32];
        file.read_exact_at(&mut bytes, offset).expect("within the recording");
        let (words, _) = bytes.as_chunks();
        [0, 1, 2, 3].map(|word: usize| u64::from_le_bytes(words[word]))
    };
    let [_magic, version, count, _] = words_at(0);
    assert_eq!(version, 1, "of the layout");
    let mut offset = SECTOR_BYTES as u64;
    let mut events = Vec::new();
    for _ in 0..count {
        let [sector, sectors, flags, _] = words_at(offset);
        offset += SECTOR_BYTES as u64;
        if flags == FLUSH && sectors == 0 {
            events.push(Event::Flushed);
            continue;
        }
        if flags != 0 {
            return Err(format!("the device got a request of a kind that is not replayed here (flags {flags:#x})"));
        }
        let mut bytes = vec![0; sectors as usize * SECTOR_BYTES];
        file.read_exact_at(&mut bytes, offset).expect("within the recording");
        offset += bytes.len() as u64;
        let at = sector as usize * SECTOR_BYTES;
        events.push(match at {
            FILE_SYSTEM_BYTES => Event::Marked(u64::from_le_bytes(*bytes.first_chunk().expect("a block"))),
            _ => Event::Write(Write { at, bytes }),
        });
    }
    Ok(events)
}
