//! What a forked child finds of its parent's memory and files: words that it sets to zero itself, for kernels that
//! cannot wipe pages at a fork (used by [`memory`](super::memory)), zeros in the place of memory that its parent shares
//! with others, and nothing in the place of files that only the parent may keep open.
//!
//! 1. A [`Words`] is leaked when it is added: it and its words are valid for ever, and its fields never change.
//! 2. A [`Place`] is leaked when it is added, and never leaves the list. While its state is [`USED`] or [`OPEN`], its
//!    range or descriptor belongs to the one [`KeptFromChildren`] that has it; only the thread that made it [`TAKEN`]
//!    changes these.
//!
//! The child handler runs in the child alone, on its only thread, maybe inside a signal handler: it takes no lock and
//! allocates nothing.

#![allow(unsafe_code, reason = "a forked child writes to memory by its address")]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicUsize};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::sync::AtomicU32;
use crate::sync::Ordering::Relaxed;
use crate::sys::WIPED_WORDS;

struct Words {
    words: NonNull<[AtomicU32; WIPED_WORDS]>,
    next: *mut Words,
}

/// The words of this process, the newest first. A list, because a lock may be held by a thread that the child does not
/// have.
static WORDS: AtomicPtr<Words> = AtomicPtr::new(ptr::null_mut());

/// Lets every child that is forked by the C library from now on set `words` to zero. A child that is made by the
/// kernel's call alone does not.
///
/// # Errors
/// The C library has no memory for its list of handlers.
///
/// # Safety
/// `words` is valid for ever.
pub(super) unsafe fn wipe_in_children(words: NonNull<[AtomicU32; WIPED_WORDS]>) -> io::Result<()> {
    register()?;
    // Acquire and release: _words added_.
    let node = Box::into_raw(Box::new(Words { words, next: WORDS.load(Acquire) }));
    // SAFETY: (1), and nobody else has the node before the exchange succeeds.
    while let Err(first) = WORDS.compare_exchange(unsafe { (*node).next }, node, Release, Acquire) {
        // SAFETY: as above.
        unsafe { (*node).next = first };
    }
    Ok(())
}

/// A range of memory, or a descriptor, that a child may one day have to replace.
struct Place {
    /// [`FREE`], [`TAKEN`], [`USED`], [`OPEN`] or [`REPLACED`].
    state: AtomicU8,
    base: AtomicPtr<u8>,
    bytes: AtomicUsize,
    descriptor: AtomicI32,
    next: *mut Place,
}

const FREE: u8 = 0;
/// A thread is writing the range or the descriptor.
const TAKEN: u8 = 1;
/// It has a range.
const USED: u8 = 2;
/// It has a descriptor.
const OPEN: u8 = 3;
/// It has a descriptor that this child has replaced: the child may close it, and use its number for another file.
const REPLACED: u8 = 4;

/// The places of this process, the newest first. There are as many as ranges were ever used at the same time.
static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

/// Memory that children do not share, or a descriptor that they do not keep: see [`keep_from_children`] and
/// [`keep_descriptor_from_children`]. Dropped before the memory is unmapped, or the descriptor closed.
pub(crate) struct KeptFromChildren {
    place: &'static Place,
}

// SAFETY: (2) the place belongs to this value, not to a thread, and consists of atomics.
unsafe impl Send for KeptFromChildren {}
// SAFETY: a shared value gives nothing.
unsafe impl Sync for KeptFromChildren {}

/// Lets every child that is forked from now on, while the returned value lives, find private memory in the place of
/// `bytes` bytes from `base`: zeros, which it may write to without any effect on this process. So an append that a fork
/// in a signal handler interrupts ends in the child without a trace.
///
/// A child that is made by the kernel's call alone, not by the C library, finds nothing there: an access is a SIGSEGV.
/// The same holds if the child gets no memory.
///
/// # Errors
/// The C library has no memory for its list of handlers.
///
/// # Safety
/// The range consists of whole pages that the caller has mapped. It stays mapped until the returned value is dropped.
pub(crate) unsafe fn keep_from_children(base: NonNull<u8>, bytes: usize) -> io::Result<KeptFromChildren> {
    register()?;
    let place = free_place();
    place.base.store(base.as_ptr(), Relaxed);
    place.bytes.store(bytes, Relaxed);
    // Release: _range kept_. Only now: a child that is forked before this has the range as its parent has it.
    place.state.store(USED, Release);
    // SAFETY: the range is the caller's; this changes no byte. If a sandbox refuses it, a child of the C library
    // replaces the range all the same, before it runs anything else.
    let _ = unsafe { madvise(base.as_ptr().cast(), bytes, Advice::LinuxDontFork) };
    Ok(KeptFromChildren { place })
}

/// Lets every child that is forked from now on, while the returned value lives, find a descriptor of nothing in the
/// place of `descriptor`. So the child does not keep open what it is of, once this process has ended.
///
/// A child that is made by the kernel's call alone, or that has no descriptor left, keeps it until it calls `exec`.
///
/// # Errors
/// The C library has no memory for its list of handlers.
///
/// # Safety
/// The descriptor is the caller's, and stays open until the returned value is dropped.
pub(super) unsafe fn keep_descriptor_from_children(descriptor: BorrowedFd<'_>) -> io::Result<KeptFromChildren> {
    register()?;
    let place = free_place();
    place.descriptor.store(descriptor.as_raw_fd(), Relaxed);
    // Release: _range kept_.
    place.state.store(OPEN, Release);
    Ok(KeptFromChildren { place })
}

/// A file that forked children do not keep open, as far as that is possible.
#[derive(Debug)]
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
pub struct UnsharedFile {
    /// Dropped before the file is closed.
    _kept: Option<KeptFromChildren>,
    file: File,
}

impl From<File> for UnsharedFile {
    fn from(file: File) -> UnsharedFile {
        // SAFETY: the file is closed after this value is dropped, and not before, since nobody can take it out.
        UnsharedFile { _kept: unsafe { keep_descriptor_from_children(file.as_fd()) }.ok(), file }
    }
}

impl Deref for UnsharedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for KeptFromChildren {
    fn drop(&mut self) {
        self.place.state.store(FREE, Release);
    }
}

impl std::fmt::Debug for KeptFromChildren {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { base, bytes, descriptor, .. } = self.place;
        write!(f, "KeptFromChildren({base:?}, {bytes:?}, {descriptor:?})")
    }
}

/// All places.
fn places() -> impl Iterator<Item = &'static Place> {
    // Acquire: _place added_.
    // SAFETY: (2).
    let first = unsafe { PLACES.load(Acquire).as_ref() };
    // SAFETY: (2).
    std::iter::successors(first, |place| unsafe { place.next.as_ref() })
}

/// A place that is [`TAKEN`] by the caller.
fn free_place() -> &'static Place {
    let take = |place: &&Place| place.state.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok();
    if let Some(place) = places().find(take) {
        return place;
    }
    let place = Box::into_raw(Box::new(Place {
        state: AtomicU8::new(TAKEN),
        base: AtomicPtr::new(ptr::null_mut()),
        bytes: AtomicUsize::new(0),
        descriptor: AtomicI32::new(-1),
        next: PLACES.load(Acquire),
    }));
    // Release: _place added_.
    // SAFETY: (2), and nobody else has the place before the exchange succeeds.
    while let Err(first) = PLACES.compare_exchange(unsafe { (*place).next }, place, Release, Acquire) {
        // SAFETY: as above.
        unsafe { (*place).next = first };
    }
    // SAFETY: (2).
    unsafe { &*place }
}

/// Lets the C library call [`in_child`] in every child that it forks.
fn register() -> io::Result<()> {
    // Without a lock, as above. A handler that is registered twice does no harm.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Relaxed) {
        // SAFETY: the handler lives as long as the program, or as the library that it is part of, which takes it along.
        let errno = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        REGISTERED.store(true, Relaxed);
    }
    Ok(())
}

/// Runs in the child, whose only thread it is on.
unsafe extern "C" fn in_child() {
    let mut nothing = None;
    for place in places() {
        // Acquire: _range kept_.
        match place.state.load(Acquire) {
            USED => replace(place.base.load(Relaxed), place.bytes.load(Relaxed)),
            OPEN => {
                // SAFETY: it takes numbers.
                let nothing = *nothing.get_or_insert_with(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) });
                replace_descriptor(place.descriptor.load(Relaxed), nothing);
                place.state.store(REPLACED, Relaxed);
            }
            _ => {}
        }
    }
    if let Some(nothing) = nothing {
        // SAFETY: made here. If it could not be made, this is refused.
        unsafe { libc::close(nothing) };
    }
    // Acquire: _words added_.
    // SAFETY: (1).
    let mut node = unsafe { WORDS.load(Acquire).as_ref() };
    while let Some(Words { words, next }) = node {
        // SAFETY: (1).
        unsafe { words.as_ref() }.iter().for_each(|word| word.store(0, Relaxed));
        // SAFETY: (1).
        node = unsafe { next.as_ref() };
    }
}

/// Puts private zeros in the place of a range, or nothing if there is no memory for them.
fn replace(base: *mut u8, bytes: usize) {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: (2) in the parent the range was the shared mapping, so nothing else is there in this child: either that
    // mapping, or no mapping at all. Code that writes there in this child is told that it holds no record of the
    // parent's.
    unsafe {
        if mmap_anonymous(base.cast(), bytes, access, flags).is_err() {
            let _ = munmap(base.cast(), bytes);
        }
    }
}

/// Puts a descriptor of `nothing` in the place of `descriptor`, which is not closed: whatever drops the parent's value
/// in this child would close another file of the same number.
fn replace_descriptor(descriptor: RawFd, nothing: RawFd) {
    // SAFETY: (2) the descriptor is that of the parent's value, and nobody uses it in this child.
    unsafe { libc::dup3(nothing, descriptor, libc::O_CLOEXEC) };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    const BYTES: usize = 64 << 10;

    /// A file's bytes, mapped shared as a ring file is.
    struct Shared(NonNull<u8>);

    impl Shared {
        fn new() -> Shared {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(BYTES as u64).expect("room");
            Shared::map(&file, ptr::null_mut(), MapFlags::SHARED)
        }

        fn map(file: &File, at: *mut u8, flags: MapFlags) -> Shared {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: `at` is null, or the range of a mapping of the test's own.
            let base = unsafe { rustix::mm::mmap(at.cast(), BYTES, access, flags, file, 0) }.expect("a mapping");
            Shared(NonNull::new(base.cast()).expect("not at zero"))
        }

        /// The word at the end of the mapping.
        fn word(&self) -> &AtomicU64 {
            // SAFETY: in bounds, aligned, and accessed as this atomic only.
            unsafe { &*self.0.as_ptr().add(BYTES - 8).cast() }
        }

        fn keep(&self) -> KeptFromChildren {
            // SAFETY: a mapping of ours, which outlives the value in these tests.
            unsafe { keep_from_children(self.0, BYTES) }.expect("a place")
        }
    }

    /// Waits for a child. Returns its exit status.
    fn status_of(child: libc::pid_t) -> i32 {
        assert!(child > 0, "fork failed");
        let mut status = 0;
        // SAFETY: `status` outlives the call, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        libc::WEXITSTATUS(status)
    }

    /// Forks a child that exits with what `child` returns.
    fn fork(child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: `child` makes no call that is unsafe after a fork.
        let process = unsafe { libc::fork() };
        if process == 0 {
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(child()) };
        }
        status_of(process)
    }

    #[test]
    fn a_child_finds_zeros_and_what_it_writes_is_its_own() {
        let (kept, shared) = (Shared::new(), Shared::new());
        let _kept = kept.keep();
        kept.word().store(5, SeqCst);
        shared.word().store(5, SeqCst);
        let grandchild = |kept: &Shared| fork(|| kept.word().swap(9, SeqCst) as i32);
        let status = fork(|| {
            let (found, found_shared) = (kept.word().swap(7, SeqCst), shared.word().swap(7, SeqCst));
            found as i32 * 100 + found_shared as i32 + grandchild(&kept) * 10
        });
        assert_eq!(status, 5, "0 in what is kept, in the grandchild as well, and 5 in what is shared");
        assert_eq!((kept.word().load(SeqCst), shared.word().load(SeqCst)), (5, 7));
    }

    static FORKED: AtomicU64 = AtomicU64::new(0);

    #[test]
    fn a_child_forked_in_a_signal_handler_goes_on_without_a_trace() {
        const CHILD: u64 = u64::MAX;
        extern "C" fn fork_here(_: libc::c_int) {
            // SAFETY: the thread was interrupted by its own `raise`, outside of every other call.
            let child = unsafe { libc::fork() };
            FORKED.store(if child == 0 { CHILD } else { child as u64 }, SeqCst);
        }
        let kept = Shared::new();
        let _kept = kept.keep();
        // SAFETY: no other test uses this signal; the handler has the right signature, and lives as long as the
        // program.
        unsafe {
            assert_ne!(libc::signal(libc::SIGURG, fork_here as *const () as usize), libc::SIG_ERR);
            kept.word().store(1, SeqCst);
            assert_eq!(libc::raise(libc::SIGURG), 0);
        }
        // What was interrupted goes on, in both processes.
        let found = kept.word().fetch_add(1, SeqCst);
        if FORKED.load(SeqCst) == CHILD {
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(found as i32) };
        }
        assert_eq!(status_of(FORKED.load(SeqCst) as libc::pid_t), 0, "the child found zeros");
        assert_eq!(kept.word().load(SeqCst), 2, "only the parent has added");
    }

    #[test]
    fn a_range_that_is_no_longer_kept_is_left_alone() {
        let kept = Shared::new();
        drop(kept.keep());
        let file = tempfile::tempfile().expect("a file");
        file.set_len(BYTES as u64).expect("room");
        // Another mapping in the same place, as the allocator may have it there later.
        let later = Shared::map(&file, kept.0.as_ptr(), MapFlags::PRIVATE | MapFlags::FIXED);
        later.word().store(5, SeqCst);
        assert_eq!(fork(|| later.word().load(SeqCst) as i32), 5);
    }

    #[test]
    fn a_child_keeps_no_file_open_that_is_not_shared_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = |name: &str| File::create(directory.path().join(name)).expect("a file");
        let (unshared, shared) = (UnsharedFile::from(open("unshared")), open("shared"));
        // Such a lock lasts as long as anybody has the file open.
        [&*unshared, &shared].iter().for_each(|file| file.try_lock().expect("nobody else has it"));
        let (mut told, tell) = io::pipe().expect("a pipe");
        let (told_to_end, end) = io::pipe().expect("a pipe");
        // SAFETY: the child only makes system calls.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: these take numbers and a byte on this stack, and end the child.
            unsafe {
                let mut byte = 0_u8;
                libc::close(end.as_raw_fd());
                libc::write(tell.as_raw_fd(), (&raw const byte).cast(), 1);
                libc::read(told_to_end.as_raw_fd(), (&raw mut byte).cast(), 1);
                libc::_exit(i32::from(libc::fcntl(unshared.as_raw_fd(), libc::F_GETFD) == -1));
            }
        }
        io::Read::read_exact(&mut told, &mut [0]).expect("the child runs");
        drop((unshared, shared));
        let is_free = |name: &str| open(name).try_lock().is_ok();
        // A process that another test starts just now has it open until it executes its program.
        while !is_free("unshared") {
            std::thread::yield_now();
        }
        assert!(!is_free("shared"));
        drop(end);
        assert_eq!(status_of(child), 0, "the number stays taken");
    }

    #[test]
    fn a_child_replaces_no_file_under_a_number_that_is_used_again() {
        let is_file = |number: RawFd| {
            // SAFETY: all zeros is a value of this struct, which outlives the call.
            unsafe {
                let mut stat = std::mem::zeroed::<libc::stat>();
                libc::fstat(number, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG
            }
        };
        let (inherited, file) = (UnsharedFile::from(tempfile::tempfile().expect("a file")), tempfile::tempfile());
        let file = file.expect("a file");
        // In a child with one thread, so that nobody else takes the numbers.
        let status = fork(|| {
            // As a daemon that closes all that it has inherited, and then opens files of its own.
            // SAFETY: the test's own numbers.
            let first = unsafe { libc::dup2(file.as_raw_fd(), inherited.as_raw_fd()) };
            let closed = file.try_clone().map(UnsharedFile::from).expect("a number");
            let number = closed.as_raw_fd();
            drop(closed);
            let second = file.try_clone().expect("a number");
            assert_eq!(second.as_raw_fd(), number);
            fork(|| i32::from(is_file(first)) + 2 * i32::from(is_file(number)))
        });
        assert_eq!(status, 3);
    }

    #[test]
    fn a_place_is_used_again() {
        let shared = Shared::new();
        for _ in 0..1000 {
            drop(shared.keep());
        }
        assert!(places().count() < 500, "as many as there were at one time, in all tests of this process");
    }
}
