//! The event that a log belongs to, if it is one of `EventLogs`. The names of two events may become one directory: the
//! file `event` in it keeps the name of the one that has it, so that no other event logs there, now or after a restart.
//!
//! A directory without that file belongs to the event of the directory's own name. [`Directory`](super::Directory)
//! calls this, under the log's lock, and `opening` before.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{EVENT_FILE, EVENT_TEMPORARY_FILE, SNAPSHOTS_FOLDER, run_of_rings_file, segment_number};
use crate::sys;
use crate::sys::directory::OpenDirectory;
use crate::sys::write::write_named;

/// The longest file: a directory has at most 255 bytes in its name, each for a character of at most four, and the file
/// ends with a new line.
const BYTES_MAX: usize = 4 * 255 + 1;

/// The event whose log is opened.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// The event's name.
    pub(crate) event: String,
    /// The name of its directory.
    pub(crate) directory: String,
}

impl Owner {
    /// Refuses a directory at `path` that belongs to another event, without the lock on the log. So the error is the
    /// same while the other event's log is open. What this does not see is found under the lock.
    ///
    /// # Errors
    /// As [`Owner::take`].
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        match OpenDirectory::open(path) {
            Ok(directory) => self.has(&directory).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Makes the directory the event's, durably, unless it is already. Returns whether it has made the file.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if it belongs to another event; [`Error::NotALog`] if the file holds no name;
    /// [`Error::Io`].
    pub(super) fn take(&self, directory: &OpenDirectory) -> Result<bool> {
        if self.has(directory)? { Ok(false) } else { self.write(directory).map(|()| true) }
    }

    /// Writes the file if it is needed and missing: another directory may have taken the place of the one that had it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write_if_missing(&self, directory: &OpenDirectory) -> Result<()> {
        let there = directory.entry(EVENT_FILE);
        let is_missing = there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_missing && self.needs_file() { self.write(directory) } else { Ok(()) }
    }

    fn needs_file(&self) -> bool {
        self.event != self.directory
    }

    /// Whether the directory is the event's. If not, it is nobody's.
    fn has(&self, directory: &OpenDirectory) -> Result<bool> {
        // Listed before the file is looked for: a log has its file before anything else.
        let holds_log = self.needs_file() && holds_log(directory)?;
        match read(directory)? {
            Some(event) if event == self.event => Ok(true),
            Some(other) => Err(self.refusal(&other, "")),
            None if !self.needs_file() => Ok(true),
            None if holds_log => {
                let unless =
                    format!(" (if its log is this event's, write the event's name to the file {EVENT_FILE:?} in it)");
                Err(self.refusal(&self.directory, &unless))
            }
            None => Ok(false),
        }
    }

    fn refusal(&self, other: &str, unless: &str) -> Error {
        let Owner { event, directory } = self;
        let remedy = format!("use another name, the event {other:?} has its directory, {directory}{unless}");
        Error::invalid("event name", format_args!("{event:?}"), remedy)
    }

    fn write(&self, directory: &OpenDirectory) -> Result<()> {
        let line = format!("{}\n", self.event);
        write_named(directory, EVENT_TEMPORARY_FILE, EVENT_FILE, line.as_bytes())
            .map_err(|refused| Error::io(refused.operation, &refused.path, refused.source))
    }
}

/// Whether anything of a log is in the directory.
fn holds_log(directory: &OpenDirectory) -> Result<bool> {
    let names = directory.names().map_err(|source| Error::io("list", directory.path(), source))?;
    Ok(names
        .iter()
        .any(|name| segment_number(name).is_some() || run_of_rings_file(name).is_some() || name == SNAPSHOTS_FOLDER))
}

/// The name in the file; `None` if there is no file.
fn read(directory: &OpenDirectory) -> Result<Option<String>> {
    let path = directory.path_of(EVENT_FILE);
    let failed = |source| Error::io("read", &path, source);
    let file = match directory.open_to_read(EVENT_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = vec![0; BYTES_MAX + 1];
    if file.metadata().map_err(failed)?.is_file() {
        let filled = sys::fill_at(&file, &mut bytes, 0).map_err(failed)?;
        bytes.truncate(filled);
    }
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let name = name.filter(|name| !name.is_empty() && bytes.len() <= BYTES_MAX);
    name.map(|name| Some(name.to_owned())).ok_or_else(|| Error::NotALog {
        path: path.clone(),
        what:
            "does not hold the name of the event whose log this is, and a new line: write that name to it, or remove \
               it if the event has the directory's own name"
                .into(),
    })
}
