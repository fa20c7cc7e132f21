//! The small file in a log's directory that leads to the rings of a run: which run, which boot, which ring file.
//!
//! It is durable before the run's first record can be logged, and removed after a clean end. So a link that exists when
//! the log is opened belongs to a run that died, and the run's rings may hold records that no block has. The link gets
//! its name when it is complete: a crash leaves all of it or nothing.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{RINGS_TEMPORARY_FILE, StoredRunId, rings_file_name, run_of_rings_file};
use crate::sys;
use crate::sys::directory::OpenDirectory;
use crate::sys::write::write_named;

/// The first line.
const TITLE: &str = "diolog rings 1";

/// The longest link: the longest path that Linux knows, and some more.
const BYTES_MAX: usize = 8192;

/// Where the rings of a run are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The run.
    pub(crate) run: StoredRunId,
    /// The boot during which it ran, as in the segment header. The rings are lost with it.
    pub(crate) boot: [u8; 16],
    /// The ring file.
    pub(crate) path: PathBuf,
}

impl Link {
    /// Writes the link into the log's `directory`. When this returns, it is durable.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing of the link is left then.
    pub(crate) fn write(&self, directory: &OpenDirectory) -> Result<()> {
        write_named(directory, RINGS_TEMPORARY_FILE, &rings_file_name(self.run), &self.encode())
            .map_err(|refused| Error::io(refused.operation, &refused.path, refused.source))
    }

    /// Removes the link of `run` from the log's `directory`, if there is one. A power cut may bring it back: the next
    /// recovery finds that the run has its end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn remove(directory: &OpenDirectory, run: StoredRunId) -> Result<()> {
        let name = rings_file_name(run);
        match directory.remove(&name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &directory.path_of(&name), source))
            }
            _ => Ok(()),
        }
    }

    /// The runs that have a link in the log's `directory`, in the order in which they began.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be listed.
    pub(crate) fn list(directory: &OpenDirectory) -> Result<Vec<StoredRunId>> {
        let names = directory.names().map_err(|source| Error::io("list", directory.path(), source))?;
        // One whose time cannot be told comes first.
        let begun = |run| directory.entry(&rings_file_name(run)).map_or(Duration::ZERO, |entry| entry.modified);
        let mut runs: Vec<_> =
            names.iter().filter_map(|name| run_of_rings_file(name)).map(|run| (begun(run), run)).collect();
        runs.sort_unstable();
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }

    /// Reads the link of `run`. `None` if the file holds something else.
    ///
    /// # Errors
    /// The operating system's. A symbolic link is not followed.
    pub(crate) fn read(directory: &OpenDirectory, run: StoredRunId) -> io::Result<Option<Link>> {
        let file = directory.open_to_read(&rings_file_name(run))?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = vec![0; BYTES_MAX + 1];
        let filled = sys::fill_at(&file, &mut bytes, 0)?;
        Ok(Link::decode(run, &bytes[..filled]))
    }

    /// Whether `run` has a link in the directory of a log whose path has these bytes, as far as that can be seen.
    pub(crate) fn is_in(path: &[u8], run: StoredRunId) -> bool {
        let looked = text(path).map(|path| Path::new(path).join(rings_file_name(run)).symlink_metadata());
        looked.is_some_and(|looked| match looked {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        })
    }

    /// The path of a log whose bytes these are, if that log is not in `directory` and `run` has a link there too: then
    /// one of the two is a copy of the other.
    pub(crate) fn in_another(path: &[u8], run: StoredRunId, directory: &OpenDirectory) -> Option<PathBuf> {
        let other = OpenDirectory::open(Path::new(text(path)?)).ok()?;
        other.entry(&rings_file_name(run)).ok()?;
        let is_another = directory.id_of(".").ok()? != other.id_of(".").ok()?;
        is_another.then(|| other.path().to_owned())
    }

    /// Whether the path with these bytes leads to `directory`.
    pub(crate) fn is_directory(path: &[u8], directory: &OpenDirectory) -> bool {
        let other = text(path).and_then(|path| OpenDirectory::open(Path::new(path)).ok());
        let id = |directory: &OpenDirectory| directory.id_of(".").ok();
        other.is_some_and(|other| id(&other).is_some() && id(&other) == id(directory))
    }

    /// Three lines. The path comes last: it may hold any byte but zero.
    fn encode(&self) -> Vec<u8> {
        let boot: String = self.boot.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut bytes = format!("{TITLE}\nboot {boot}\npath ").into_bytes();
        bytes.extend_from_slice(self.path.as_os_str().as_encoded_bytes());
        bytes.push(b'\n');
        bytes
    }

    fn decode(run: StoredRunId, bytes: &[u8]) -> Option<Link> {
        let rest = bytes.strip_prefix(TITLE.as_bytes())?.strip_prefix(b"\nboot ")?;
        let (boot, rest) = rest.split_at_checked(32)?;
        let boot = u128::from_str_radix(std::str::from_utf8(boot).ok()?, 16).ok()?.to_be_bytes();
        let path = rest.strip_prefix(b"\npath ")?.strip_suffix(b"\n")?;
        let path = Path::new(text(path)?);
        (bytes.len() <= BYTES_MAX && path.is_absolute()).then(|| Link { run, boot, path: path.to_owned() })
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere not all bytes are a path")]
fn text(bytes: &[u8]) -> Option<&OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn text(bytes: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(bytes).ok().map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::test_directory::directory;

    const RUN: StoredRunId = StoredRunId([0xA7; 16]);

    fn link(path: &str) -> Link {
        Link { run: RUN, boot: [0x3C; 16], path: path.into() }
    }

    #[test]
    fn a_link_reads_back_until_it_is_removed() {
        let directory = directory();
        let opened = OpenDirectory::open(directory.path()).expect("a directory");
        // What an earlier write has left.
        fs::write(directory.path().join(RINGS_TEMPORARY_FILE), "left").expect("written");
        for path in ["/dev/shm/diolog-0/diolog-7-1.rings", "/a path\nof two lines", "/"] {
            link(path).write(&opened).expect("written");
            assert_eq!(Link::read(&opened, RUN).expect("readable"), Some(link(path)), "{path}");
        }
        assert_eq!(Link::list(&opened).expect("readable"), [RUN]);
        let text = fs::read_to_string(directory.path().join(format!("{}.rings", "a7".repeat(16)))).expect("there");
        assert_eq!(text, format!("diolog rings 1\nboot {}\npath /\n", "3c".repeat(16)));
        for _ in 0..2 {
            Link::remove(&opened, RUN).expect("removed");
            assert_eq!(Link::list(&opened).expect("readable"), []);
        }
        assert_eq!(Link::read(&opened, RUN).map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn links_are_listed_in_the_order_in_which_their_runs_began() {
        let directory = directory();
        let opened = OpenDirectory::open(directory.path()).expect("a directory");
        for (run, seconds) in [(1, 30), (2, 10), (3, 20)] {
            let run = StoredRunId([run; 16]);
            Link { run, ..link("/dev/shm/rings") }.write(&opened).expect("written");
            let file = fs::File::options().write(true).open(directory.path().join(rings_file_name(run)));
            let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            file.expect("there").set_modified(time).expect("a time");
        }
        assert_eq!(Link::list(&opened).expect("readable"), [2, 3, 1].map(|run| StoredRunId([run; 16])));
    }

    #[test]
    fn something_else_is_no_link() {
        let bytes = link("/dev/shm/rings").encode();
        assert_eq!(Link::decode(RUN, &bytes), Some(link("/dev/shm/rings")));
        for end in 0..bytes.len() {
            assert_eq!(Link::decode(RUN, &bytes[..end]), None, "{end} bytes");
        }
        for at in 0..bytes.len() - "/dev/shm/rings\n".len() {
            let mut other = bytes.clone();
            other[at] = b'~';
            assert_eq!(Link::decode(RUN, &other), None, "byte {at}");
        }
        assert_eq!(Link::decode(RUN, &link("relative").encode()), None);
        assert_eq!(Link::decode(RUN, &link(&format!("/{}", "a".repeat(BYTES_MAX))).encode()), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_a_symbolic_link_or_a_directory_is_not_read() {
        let directory = directory();
        let opened = OpenDirectory::open(directory.path()).expect("a directory");
        let path = directory.path().join(rings_file_name(RUN));
        fs::write(directory.path().join("elsewhere"), link("/x").encode()).expect("written");
        std::os::unix::fs::symlink("elsewhere", &path).expect("linked");
        assert!(Link::read(&opened, RUN).is_err());
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(Link::read(&opened, RUN).ok().flatten().is_none());
    }
}
