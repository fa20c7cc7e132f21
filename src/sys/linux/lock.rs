//! A lock on a file, for one process at a time. Called by `segment` for the lock on a log, and by `reader`, which only
//! asks whether the lock is held.
//!
//! It is an `fcntl` lock. One [thread](super::lock_thread) holds all locks of the process. A lock ends with the
//! process, however that ends, and before that only when it is dropped. A forked child inherits none. If the kernel
//! gives that thread no table of descriptors (Linux before 5.9 in a sandbox that forbids `unshare`), the lock is in the
//! process's table, and ends also when the process closes any other descriptor of the file.
//!
//! Invariants that the unsafe code rests on:
//! 1. A descriptor is borrowed from an open `File` for the whole call.
//! 2. A struct given to the kernel is fully initialised and lives on this stack for the whole call.
#![allow(unsafe_code, reason = "calls the C library")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rustix::fs::FlockOperation;

use crate::sync::lock;
use crate::sys::{FileId, LockHolder, LockRefusal, LockState, PerProcess};

use super::directory::OpenDirectory;
use super::lock_thread::{Answer, LockThread};

/// A file that this process holds a lock on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    file: FileId,
    /// The process that took the lock: a fork inherits the [`FileLock`], but no `fcntl` lock.
    process: u32,
}

impl Held {
    /// The entry that this process has if it holds a lock on that file.
    fn of(file: FileId) -> Held {
        Held { file, process: std::process::id() }
    }
}

/// The locked files of this process. One that is locked in the process's own table of descriptors must not be opened
/// here: a second lock would succeed, and closing the second descriptor would release the first lock. A forked child
/// has a table of its own: its parent's may be locked by a thread that the child does not have.
static TABLE: PerProcess<Mutex<Table>> = PerProcess::new();

#[derive(Default)]
struct Table {
    held: Vec<Held>,
    /// The thread that takes the next lock, while it has others.
    thread: Weak<LockThread>,
}

impl Table {
    fn contains(&self, file: FileId) -> bool {
        self.held.contains(&Held::of(file))
    }

    /// The thread that holds the process's locks, started if there are none.
    fn thread(&mut self) -> Result<Arc<LockThread>, LockRefusal> {
        match self.thread.upgrade() {
            Some(thread) => Ok(thread),
            None => self.start_thread(),
        }
    }

    /// Starts a thread, which takes the next locks too.
    fn start_thread(&mut self) -> Result<Arc<LockThread>, LockRefusal> {
        let started =
            LockThread::start().map_err(|source| refused("start the thread that holds the lock on", source))?;
        let thread = Arc::new(started);
        self.thread = Arc::downgrade(&thread);
        Ok(thread)
    }
}

fn table() -> MutexGuard<'static, Table> {
    lock(TABLE.get_or_make())
}

/// An exclusive lock on a file, until dropped or until this process ends.
pub(crate) struct FileLock {
    held: Held,
    /// Whether the file was created for the lock.
    made: bool,
    /// `None` only while being dropped.
    keeper: Option<Keeper>,
}

/// What keeps the lock: dropping it releases the lock.
enum Keeper {
    /// The thread, and the number of the descriptor there.
    Thread(Arc<LockThread>, RawFd),
    /// If the kernel gives a thread no table of its own.
    #[expect(dead_code, reason = "kept to be dropped")]
    File(File),
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Keeper::Thread(thread, number) = self {
            thread.release(*number);
        }
    }
}

impl FileLock {
    /// Locks the file `name` in `directory`, which is created if it is missing. A symbolic link is not followed.
    ///
    /// # Errors
    /// [`LockRefusal`], without waiting, if the file is locked or the system refuses a step.
    pub(crate) fn take(directory: &OpenDirectory, name: &str) -> Result<FileLock, LockRefusal> {
        // Locked until the end: no other thread may open the file between the look at the table and the entry.
        let mut table = table();
        loop {
            if directory.id_of(name).is_ok_and(|file| table.contains(file)) {
                return Err(LockRefusal::Held(LockHolder::ThisProcess));
            }
            // Before the file is created: a thread that cannot be started leaves no file.
            let thread = table.thread()?;
            let opened = directory.open_or_create(name);
            let (file, made) = opened.map_err(|source| refused("open the lock file", source))?;
            match FileLock::keep(&mut table, thread, file) {
                // Somebody may have removed the file after it was opened and before it was locked; then nobody else
                // would see this lock. It ends with its keeper: the drop of a `FileLock` would wait for the table.
                Ok((held, keeper)) => match directory.id_of(name) {
                    Ok(id) if id == held.file => {
                        table.held.push(held);
                        return Ok(FileLock { held, made, keeper: Some(keeper) });
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(refused("look at the lock file", source)),
                },
                Err(refusal) => {
                    // A thread that opened the removed file meanwhile, and was not refused, has been seen as the
                    // holder.
                    if made && matches!(refusal, LockRefusal::Io { .. }) {
                        let _ = directory.remove(name);
                    }
                    return Err(refusal);
                }
            }
        }
    }

    /// Locks `file`, by `thread` if that is possible.
    fn keep(table: &mut Table, thread: Arc<LockThread>, file: File) -> Result<(Held, Keeper), LockRefusal> {
        let metadata = file.metadata().map_err(|source| refused("look at the lock file", source))?;
        if !metadata.is_file() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: remove it");
            return Err(refused("lock", source));
        }
        let (thread, answer) = match thread.lock(&file) {
            Answer::NotReached => {
                let another = table.start_thread()?;
                let answer = another.lock(&file);
                (another, answer)
            }
            answer => (thread, answer),
        };
        let keeper = match answer {
            Answer::Locked(number) => Keeper::Thread(thread, number),
            Answer::Refused(errno) => return Err(refusal(&file, errno)),
            Answer::NotReached | Answer::NoTable => {
                let lock = || rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
                rustix::io::retry_on_intr(lock).map_err(|errno| refusal(&file, errno))?;
                Keeper::File(file)
            }
        };
        Ok((Held::of(FileId { device: metadata.dev(), inode: metadata.ino() }), keeper))
    }

    /// Whether the file `name` in `directory` is the locked one.
    pub(crate) fn is_at(&self, directory: &OpenDirectory, name: &str) -> bool {
        directory.id_of(name).is_ok_and(|file| file == self.held.file)
    }

    /// Whether [`take`](Self::take) created the file.
    pub(crate) fn has_made_file(&self) -> bool {
        self.made
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // With the table locked: if another thread found no entry and locked the file before this descriptor is closed,
        // the close would release that thread's lock.
        let mut table = table();
        drop(self.keeper.take());
        table.held.retain(|held| *held != self.held);
    }
}

fn refused(operation: &'static str, source: io::Error) -> LockRefusal {
    LockRefusal::Io { operation, source }
}

/// Why `file` was not locked.
fn refusal(file: &File, errno: rustix::io::Errno) -> LockRefusal {
    match errno {
        rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS => {
            LockRefusal::Held(lock_of_another(file).as_ref().and_then(holder_of).unwrap_or(LockHolder::Unknown))
        }
        errno => refused("lock", errno.into()),
    }
}

/// Whether a process, this one included, has the file at `path` locked, and which.
///
/// Takes no lock and releases none: a file that this process has locked is not opened.
pub(crate) fn state(path: &Path) -> LockState {
    // Locked until the end: no other thread may lock the file while it is open here.
    let table = table();
    let metadata = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return LockState::Free,
        _ => return LockState::Unknown,
    };
    if table.contains(FileId { device: metadata.dev(), inode: metadata.ino() }) {
        return LockState::Held(LockHolder::ThisProcess);
    }
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    match file.ok().and_then(|file| lock_of_another(&file)) {
        Some(lock) => holder_of(&lock).map_or(LockState::Free, LockState::Held),
        None => LockState::Unknown,
    }
}

/// The holder of a lock that [`lock_of_another`] found; `None` if there is no lock.
fn holder_of(lock: &libc::flock) -> Option<LockHolder> {
    if lock.l_type == libc::F_UNLCK as libc::c_short {
        return None;
    }
    Some(match u32::try_from(lock.l_pid) {
        // A process of another PID namespace has no number here; a lock of an open file description has none at all.
        Err(_) | Ok(0) => LockHolder::Unknown,
        Ok(process) if process == std::process::id() => LockHolder::ThisProcess,
        Ok(process) => LockHolder::Process(process),
    })
}

/// The lock that keeps this process from locking `file`; its type is `F_UNLCK` if there is none.
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
    use std::io::{BufRead, BufReader, Lines};
    use std::process::{Child, ChildStdout, Command, Stdio};

    use super::*;
    use crate::sys::test_directory::directory;

    /// Locks the file at `path`.
    fn try_to_take(path: &Path) -> Result<FileLock, LockRefusal> {
        let directory = OpenDirectory::open(path.parent().unwrap()).unwrap();
        FileLock::take(&directory, path.file_name().unwrap().to_str().unwrap())
    }

    fn holder(path: &Path) -> LockHolder {
        match try_to_take(path) {
            Err(LockRefusal::Held(holder)) => holder,
            Err(refusal) => panic!("{refusal:?}"),
            Ok(_) => panic!("not refused"),
        }
    }

    fn take(path: &Path) -> FileLock {
        try_to_take(path).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    #[test]
    fn a_second_lock_of_this_process_is_refused_and_does_not_release_the_first() {
        let directory = directory();
        let path = directory.path().join("lock");
        let lock = take(&path);
        for _ in 0..2 {
            assert_eq!(holder(&path), LockHolder::ThisProcess);
        }
        assert_eq!(state(&path), LockState::Held(LockHolder::ThisProcess));
        drop(lock);
        assert_eq!(state(&path), LockState::Free);
        drop(take(&path));
    }

    #[test]
    fn asking_does_not_release_the_lock() {
        let directory = directory();
        let path = directory.path().join("lock");
        assert_eq!(state(&path), LockState::Free, "there is no lock file yet");
        let _lock = take(&path);
        assert_eq!(state(&path), LockState::Held(LockHolder::ThisProcess));
        let mut other = child(&path);
        let (said, _pipe) = says(&mut other);
        assert!(said.contains("refused"), "{said}");
        other.wait().unwrap();
    }

    /// Set for the child of the next test: the file that it locks.
    const CHILD: &str = "DIOLOG_TEST_LOCK";

    /// The next test once more, in a child.
    fn child(path: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sys::linux::lock::tests::a_lock_of_another_process_is_refused_by_its_number",
                "--nocapture",
            ])
            .env(CHILD, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The child's report, and the pipe that carries it, to be kept until the child has ended.
    fn says(child: &mut Child) -> (String, Lines<BufReader<ChildStdout>>) {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said =
            lines.by_ref().map_while(Result::ok).find(|line| line.contains("locked") || line.contains("refused"));
        (said.unwrap(), lines)
    }

    #[test]
    fn a_lock_of_another_process_is_refused_by_its_number() {
        if let Some(path) = std::env::var_os(CHILD) {
            match try_to_take(Path::new(&path)) {
                Ok(_lock) => {
                    println!("locked");
                    // Until the parent has seen enough.
                    io::stdin().read_line(&mut String::new()).unwrap();
                }
                Err(refusal) => println!("refused: {refusal:?}"),
            }
            return;
        }
        let directory = directory();
        let path = directory.path().join("lock");

        let mut other = child(&path);
        let (said, _pipe) = says(&mut other);
        assert!(said.contains("locked"), "{said}");
        assert_eq!(state(&path), LockState::Held(LockHolder::Process(other.id())));
        assert_eq!(holder(&path), LockHolder::Process(other.id()));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(state(&path), LockState::Free);

        // A child that tries and ends does not release its parent's lock.
        let _lock = take(&path);
        for _ in 0..2 {
            let mut other = child(&path);
            let (refusal, _pipe) = says(&mut other);
            assert!(refusal.contains(&format!("Process({})", std::process::id())), "{refusal}");
            other.wait().unwrap();
        }
    }

    #[test]
    fn a_lock_file_that_is_a_link_or_no_file_is_refused() {
        let directory = directory();
        let path = directory.path().join("lock");
        let source = |path: &Path| match try_to_take(path) {
            Err(LockRefusal::Io { source, .. }) => source,
            Err(refusal) => panic!("{refusal:?}"),
            Ok(_) => panic!("not refused"),
        };
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
        assert_eq!(source(&path).raw_os_error(), Some(libc::ELOOP));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        source(&path);
    }
}
