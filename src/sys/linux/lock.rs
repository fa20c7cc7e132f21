//! The lock on a log's directory: one logger writes it at a time.
//!
//! It is an `fcntl` lock, which a forked child does not inherit, and which ends with the process, however it ends.
//! Called by `segment`, and by `reader` to ask.
//!
//! Invariants that the unsafe code rests on:
//! 1. A descriptor is borrowed from an open `File` for the whole call.
//! 2. A struct given to the kernel is fully initialised and lives on this stack for the whole call.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;

use crate::{Error, Result};

/// A file that this process holds a lock on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    device: u64,
    inode: u64,
    /// The process that took the lock: a fork inherits this table, but no fcntl lock.
    process: u32,
}

/// The lock files that this process has open. `fcntl` locks belong to the process: a second lock by it would succeed,
/// and closing any other descriptor of the file would drop the first. So no lock file is opened while it stands here.
static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());

/// The right to write the log in a directory, until dropped or until this process ends.
pub(crate) struct DirectoryLock {
    held: Held,
    /// Open for as long as the lock is held. Closing it releases the lock.
    file: Option<File>,
}

/// Locks the log in `directory` for this logger alone, by an `fcntl` lock on its file `lock`, which a forked child
/// does not inherit.
///
/// # Errors
/// [`Error::InUse`] if this process or another one has it; [`Error::Io`] if the file cannot be made or locked.
pub(crate) fn lock_directory(directory: &Path) -> Result<DirectoryLock> {
    let path = directory.join("lock");
    let io_error = |operation, source| Error::io(operation, &path, source);
    let in_use = |holder: String| Error::InUse { path: PathBuf::from(directory), holder };

    // Held until the end: between the look at the table and the entry no other thread may open the file.
    let mut table = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    table.retain(|held| held.process == process);
    let (file, held) = loop {
        if let Ok(metadata) = path.symlink_metadata() {
            let present = Held { device: metadata.dev(), inode: metadata.ino(), process };
            if table.contains(&present) {
                return Err(in_use("this process".to_owned()));
            }
        }
        // Not blocking, lest a FIFO in the file's place hold up the open for ever.
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(&path)
            .map_err(|source| io_error("open the lock file", source))?;
        let metadata = file.metadata().map_err(|source| io_error("look at the lock file", source))?;
        if !metadata.is_file() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: remove it");
            return Err(io_error("lock", source));
        }
        match rustix::io::retry_on_intr(|| rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Err(in_use(lock_holder(&file))),
            Err(errno) => return Err(io_error("lock", errno.into())),
        }
        let held = Held { device: metadata.dev(), inode: metadata.ino(), process };
        // A failed open takes away the files it has made: one that was opened before, and locked after, is no lock.
        if path.symlink_metadata().is_ok_and(|now| (now.dev(), now.ino()) == (held.device, held.inode)) {
            break (file, held);
        }
    };
    table.push(held);
    Ok(DirectoryLock { held, file: Some(file) })
}

impl DirectoryLock {
    /// Sees to it that the lock is on what stands at `directory` now: that may have been deleted and made again.
    ///
    /// # Errors
    /// As [`lock_directory`]: another logger may have it. The earlier lock is kept then.
    pub(crate) fn renew(&mut self, directory: &Path) -> Result<()> {
        let now = directory.join("lock").symlink_metadata();
        if !now.is_ok_and(|now| (now.dev(), now.ino()) == (self.held.device, self.held.inode)) {
            *self = lock_directory(directory)?;
        }
        Ok(())
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // The file is closed under the table's lock: another thread that found no entry, locked the file anew, and
        // then saw this descriptor close would have lost its own lock.
        let mut table = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.file.take());
        table.retain(|held| *held != self.held);
    }
}

/// Whether a logger, of this process or another one, has the log in `directory` locked. `None`: it cannot be told.
///
/// Takes no lock, and gives none back: a lock file of this process's is not opened.
pub(crate) fn is_locked(directory: &Path) -> Option<bool> {
    let path = directory.join("lock");
    // Held until the end: no other thread may lock the file while it is open here.
    let table = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let metadata = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
        _ => return None,
    };
    let present = Held { device: metadata.dev(), inode: metadata.ino(), process: std::process::id() };
    if table.contains(&present) {
        return Some(true);
    }
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
    Some(lock_of_another(&file)?.l_type != libc::F_UNLCK as libc::c_short)
}

/// Who holds a lock on `file` that this process was refused.
fn lock_holder(file: &File) -> String {
    // A holder in another PID namespace has the number 0 here; one that has just let go, none.
    match lock_of_another(file) {
        Some(lock) if lock.l_type != libc::F_UNLCK as libc::c_short && lock.l_pid > 0 => {
            format!("process {}", lock.l_pid)
        }
        _ => "another process".to_owned(),
    }
}

/// The lock that would keep this process from locking `file`; its type is `F_UNLCK` where there is none.
fn lock_of_another(file: &File) -> Option<libc::flock> {
    // SAFETY: `flock` is a plain C struct, for which all zeros is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: invariants 1 and 2.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    (result == 0).then_some(lock)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::device::tests::directory;

    #[test]
    fn a_second_lock_of_this_process_is_refused_and_does_not_drop_the_first() {
        let directory = directory();
        let lock = lock_directory(directory.path()).unwrap();
        for _ in 0..2 {
            let error = lock_directory(directory.path()).err().unwrap();
            assert!(matches!(&error, Error::InUse { holder, .. } if holder == "this process"), "{error}");
        }
        assert_eq!(is_locked(directory.path()), Some(true));
        drop(lock);
        assert_eq!(is_locked(directory.path()), Some(false));
        drop(lock_directory(directory.path()).unwrap());
    }

    #[test]
    fn asking_does_not_drop_the_lock() {
        let directory = directory();
        assert_eq!(is_locked(directory.path()), Some(false), "there is no lock file yet");
        let _lock = lock_directory(directory.path()).unwrap();
        assert_eq!(is_locked(directory.path()), Some(true));
        let mut other = child(directory.path());
        other.wait().unwrap();
        let mut said = String::new();
        io::Read::read_to_string(&mut other.stdout.take().unwrap(), &mut said).unwrap();
        assert!(said.contains("refused"), "{said}");
    }

    /// Set for the child of the next test: the directory that it locks.
    const CHILD: &str = "DIOLOG_TEST_LOCK";

    /// This test once more, in a child.
    fn child(directory: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sys::linux::lock::tests::a_lock_of_another_process_is_refused_by_its_number",
                "--nocapture",
            ])
            .env(CHILD, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_lock_of_another_process_is_refused_by_its_number() {
        use std::io::{BufRead, BufReader};
        if let Some(directory) = std::env::var_os(CHILD) {
            match lock_directory(Path::new(&directory)) {
                Ok(_lock) => {
                    println!("locked");
                    // Until the parent has seen enough.
                    io::stdin().read_line(&mut String::new()).unwrap();
                }
                Err(error) => println!("refused: {error}"),
            }
            return;
        }
        let directory = directory();
        // What the child says, and the pipe that it says it through, kept until the child has ended.
        let says = |child: &mut Child| {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(std::result::Result::ok);
            let said = lines.find(|line| line.contains("locked") || line.contains("refused"));
            (said.unwrap(), lines)
        };

        let mut holder = child(directory.path());
        let (said, _pipe) = says(&mut holder);
        assert!(said.contains("locked"), "{said}");
        assert_eq!(is_locked(directory.path()), Some(true));
        let error = lock_directory(directory.path()).err().unwrap();
        assert!(
            matches!(&error, Error::InUse { holder: name, .. } if *name == format!("process {}", holder.id())),
            "{error}"
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(is_locked(directory.path()), Some(false));

        // A child that comes and goes does not take its parent's lock along.
        let _lock = lock_directory(directory.path()).unwrap();
        for _ in 0..2 {
            let mut other = child(directory.path());
            let (refusal, _pipe) = says(&mut other);
            assert!(refusal.contains(&format!("in use by process {}:", std::process::id())), "{refusal}");
            other.wait().unwrap();
        }
    }

    #[test]
    fn a_lock_file_that_is_a_link_or_no_file_is_refused() {
        let directory = directory();
        let path = directory.path().join("lock");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
        let error = lock_directory(directory.path()).err().unwrap();
        assert_eq!(error.io_error().unwrap().raw_os_error(), Some(libc::ELOOP), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(lock_directory(directory.path()), Err(Error::Io { .. })));
    }
}
