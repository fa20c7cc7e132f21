//! The ring file of one writer thread: made with its first log, removed with its last.
//!
//! It is locked for as long as it has a name that this process gave it, so that nobody takes its rings for those of a
//! dead process. If a log has not ended cleanly, the file stays until a recovery. One that no log needs, and nobody has
//! locked, is removed by the next open with rings in its directory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use super::contents::{Contents, LogState, NewLog};
use super::definitions::Definitions;
use super::layout::{FOR_LOG, FOR_RECORDER, ring_file_name};
use super::link::Link;
use super::slot::LogSlots;
use crate::callsite;
use crate::clock::{Clock, ClockAnchor};
use crate::error::{Error, Result};
use crate::format::{StoredRunId, rings_file_name};
use crate::ring::Slots;
use crate::sync::lock;
use crate::sys::directory::OpenDirectory;
use crate::sys::lock::FileLock;
use crate::sys::{LockRefusal, NotOwned, PerProcess, cpu};

/// How often another file is made if the one before was taken for one that a dead process has left.
const TRIES_MAX: usize = 16;

/// The names of the ring files with rings of this process.
static OWN: PerProcess<Mutex<Vec<String>>> = PerProcess::new();

/// Whether a ring file has rings of this process, which holds its lock for as long as one of their logs is open.
pub(crate) fn is_ring_file_of_this_process(name: &str) -> bool {
    OWN.get().is_some_and(|own| lock(own).iter().any(|known| known == name))
}

/// Makes ring files in one directory, as many as the logs of one writer thread need: one, or more if there are more
/// than a thousand logs.
#[derive(Debug)]
pub(crate) struct RingFiles {
    directory: PathBuf,
    clock: Clock,
    /// The one that the next log gets a place in.
    current: Mutex<Weak<RingFile>>,
}

impl RingFiles {
    /// None yet.
    pub(crate) fn new(directory: &Path, clock: Clock) -> RingFiles {
        RingFiles { directory: directory.to_owned(), clock, current: Mutex::default() }
    }

    /// The directory in which the next log's place is to be made, unless there is a file with one.
    pub(crate) fn directory_of_next(&self) -> Option<&Path> {
        (lock(&self.current).strong_count() == 0).then_some(&*self.directory)
    }

    /// Gives a log a place for its rings, and leaves a link to it in the log's `directory`, which is durable then.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a directory that others may change; [`Error::Io`]. Nothing is left then.
    pub(crate) fn enter(&self, log: &NewLog, directory: &OpenDirectory) -> Result<LogRings> {
        let rings = self.enter_file(log)?;
        let opened = rings.link().write(directory).and_then(|()| {
            let opened = rings.file.contents.open_log(&rings.log);
            opened.map_err(|source| Error::io("open the log in", rings.file.contents.path(), source))
        });
        match opened {
            Ok(()) => Ok(rings),
            Err(error) => {
                rings.end(directory);
                Err(error)
            }
        }
    }

    pub(super) fn enter_file(&self, log: &NewLog) -> Result<LogRings> {
        let mut current = lock(&self.current);
        let mut present = current.upgrade();
        loop {
            let file = match present.take() {
                Some(file) => file,
                None => Arc::new(RingFile::make(&self.directory, self.clock)?),
            };
            *current = Arc::downgrade(&file);
            let entered = file.contents.enter_log(log);
            let path = file.contents.path();
            if let Some(state) = entered.map_err(|source| Error::io("list the log in", path, source))? {
                return Ok(LogRings { run: StoredRunId(log.run), log: state, file, anchor: None });
            }
        }
    }
}

/// Slots in a ring file without a name, for tests of rings.
#[cfg(all(test, target_os = "linux", not(any(diolog_portable, loom))))]
pub(crate) fn slots_for_tests() -> Arc<dyn Slots> {
    let directory = crate::sys::test_directory::directory();
    let files = RingFiles::new(&directory.path().join("rings"), Clock::detect());
    let log = NewLog { log: [1; 16], run: [2; 16], block_bytes: 4096, message_bytes_max: 1, path: "/log".into() };
    files.enter_file(&log).expect("a ring file").slots()
}

/// An open and locked ring file.
struct RingFile {
    contents: Arc<Contents>,
    directory: OpenDirectory,
    name: String,
    /// Dropped when the file need not get new definitions any more.
    _definitions: Arc<Definitions>,
    lock: FileLock,
}

impl RingFile {
    fn make(directory: &Path, clock: Clock) -> Result<RingFile> {
        let opened = OpenDirectory::open_owned(directory).map_err(|refusal| match refusal {
            NotOwned::Refused(reason) => Error::invalid("ring_memory", directory.display(), reason),
            NotOwned::Io { operation, source } => Error::io(operation, directory, source),
        })?;
        let (name, file, lock) = create_locked(&opened)?;
        let system = opened.file_system_name();
        let contents = Contents::begin(file, opened.path_of(&name), &system, clock, cpu::boot_id())
            .map_err(|source| Error::io("write the ring file", &opened.path_of(&name), source))
            .inspect_err(|_| drop(opened.remove(&name)))?;
        let contents = Arc::new(contents);
        let definitions = Arc::new(Definitions::new(Arc::clone(&contents)));
        callsite::add_sink(&definitions);
        crate::sync::lock(OWN.get_or_make()).push(name.clone());
        Ok(RingFile { contents, directory: opened, name, _definitions: definitions, lock })
    }
}

/// Creates a ring file, and locks it. A sweep of the directory at that moment may take the new file, which is not
/// locked yet, for one that a dead process has left: then this makes another one.
fn create_locked(directory: &OpenDirectory) -> Result<(String, File, FileLock)> {
    let mut tries = 0;
    loop {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|source| {
            let source = io::Error::other(source.to_string());
            Error::io("draw a random name for a file in", directory.path(), source)
        })?;
        let name = ring_file_name(std::process::id(), u64::from_le_bytes(random));
        let path = directory.path_of(&name);
        let file = directory.create_to_map(&name).map_err(|source| Error::io("create the ring file", &path, source))?;
        let (operation, source) = match FileLock::take(directory, &name) {
            Ok(lock) if !lock.has_made_file() => return Ok((name, file, lock)),
            Ok(_) | Err(LockRefusal::Held(_)) => ("lock the ring file", io::ErrorKind::ResourceBusy.into()),
            Err(LockRefusal::Io { operation, source }) => (operation, source),
        };
        let _ = directory.remove(&name);
        tries += 1;
        if source.kind() != io::ErrorKind::ResourceBusy || tries == TRIES_MAX {
            return Err(Error::io(operation, &path, source));
        }
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        if let Some(own) = OWN.get() {
            lock(own).retain(|known| *known != self.name);
        }
        let is_own = self.contents.is_own() && self.lock.is_at(&self.directory, &self.name);
        if is_own && !self.contents.has_open_logs() {
            let _ = self.directory.remove(&self.name);
        }
    }
}

impl std::fmt::Debug for RingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The place that one log has in a ring file. If it is dropped without an [end](Self::end), the log is left for a
/// recovery.
#[derive(Debug)]
pub(crate) struct LogRings {
    run: StoredRunId,
    log: Arc<LogState>,
    file: Arc<RingFile>,
    /// The anchor that was published last.
    anchor: Option<ClockAnchor>,
}

impl LogRings {
    /// Where the log's rings get their memory.
    pub(crate) fn slots(&self) -> Arc<dyn Slots> {
        Arc::new(LogSlots::new(Arc::clone(&self.file.contents), Arc::clone(&self.log), FOR_LOG))
    }

    /// The same for the rings of its flight recorder.
    pub(crate) fn recorder_slots(&self) -> Arc<dyn Slots> {
        Arc::new(LogSlots::new(Arc::clone(&self.file.contents), Arc::clone(&self.log), FOR_RECORDER))
    }

    /// Publishes the clock's ticks and the monotonic time of one moment, unless they are there already. A recovery
    /// converts the records' ticks by them.
    pub(crate) fn publish_anchor(&mut self, anchor: ClockAnchor) {
        if self.anchor.replace(anchor) != Some(anchor) {
            self.file.contents.publish_anchor(anchor);
        }
    }

    fn link(&self) -> Link {
        Link { run: self.run, boot: cpu::boot_id(), path: self.file.contents.path().to_owned() }
    }

    /// Writes the link into the log's directory if it is not there: another directory may have taken the place of the
    /// one that had it.
    pub(crate) fn write_link_if_missing(&self) -> impl Fn(&OpenDirectory) -> Result<()> + Send + Sync + use<> {
        let (link, log) = (self.link(), Arc::clone(&self.log));
        move |directory| {
            let there = directory.entry(&rings_file_name(link.run));
            let is_missing = there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            // It is removed after the end.
            if is_missing && !log.has_ended.load(Ordering::Relaxed) { link.write(directory) } else { Ok(()) }
        }
    }

    /// Strikes the log off, whose records are all durable, or which has none, and removes the link in its `directory`.
    pub(crate) fn end(self, directory: &OpenDirectory) {
        self.file.contents.end_log(&self.log);
        // If it stays, the next open finds that it leads to nothing.
        let _ = Link::remove(directory, self.run);
    }
}
