//! Memory: mappings for rings, a page that a fork wipes, a memory barrier on all threads, prefetching. Called by `ring`
//! and `gate`.
//!
//! 1. A [`Mapping`] is one private anonymous mapping of `bytes` bytes at `base`, made by its constructor and unmapped
//!    only by its drop: in between the range is valid, zeroed at first, and nobody else's.

#![allow(unsafe_code, reason = "mappings, and instructions that have no safe form")]

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munlock, munmap};
use rustix::thread::{MembarrierCommand, membarrier};

use super::fork::wipe_in_children;
use super::huge_pages::{HUGE_PAGE_BYTES, advise_huge_pages};
use crate::sync::AtomicU32;
use crate::sys::WIPED_WORDS;

/// The smallest page of the platforms that Linux runs on: touching memory at this step touches every page.
const PAGE_BYTES_MIN: usize = 4096;

/// Private, zeroed memory, aligned to a page.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: (1) the mapping belongs to this value, not to the thread that made it.
unsafe impl Send for Mapping {}
// SAFETY: a shared `Mapping` gives only its address; each access through it has its own argument.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `bytes` bytes of zeros, every page faulted in, so that later accesses take no page fault.
    ///
    /// # Errors
    /// The kernel has no free range of that size, or no memory for its pages.
    pub(crate) fn faulted_in(bytes: usize) -> io::Result<Mapping> {
        Mapping::reserved(bytes)?.populated()
    }

    /// As [`faulted_in`](Self::faulted_in), for a multiple of a huge page: on huge pages, if the system has them.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn in_huge_pages(bytes: usize) -> io::Result<Mapping> {
        // Huge pages begin at multiples of their size. The surplus mapped for that is unmapped.
        let Mapping { base: start, bytes: mapped } = *ManuallyDrop::new(Mapping::reserved(bytes + HUGE_PAGE_BYTES)?);
        let before = start.align_offset(HUGE_PAGE_BYTES);
        // SAFETY: both are within the mapping, which is a huge page longer than `bytes`; less than that is before
        // `base`.
        let (base, after) = unsafe { (start.add(before), start.add(before + bytes)) };
        let mapping = Mapping { base, bytes };
        for (surplus, bytes) in [(start, before), (after, mapped - before - bytes)] {
            if bytes > 0 {
                // SAFETY: (1), and outside the part that is kept.
                let _ = unsafe { munmap(surplus.as_ptr().cast(), bytes) };
            }
        }
        advise_huge_pages(base.as_ptr(), bytes);
        mapping.populated()
    }

    /// Address space of `bytes` bytes that takes no memory yet: each page is added, zeroed and small, at its first
    /// access. It stays so in a process that locks all its memory (`mlockall`).
    ///
    /// # Errors
    /// The kernel has no free range of that size, or a limit of this process refuses it.
    pub(crate) fn address_space(bytes: usize) -> io::Result<Mapping> {
        // Without access at first: under `mlockall(MCL_FUTURE)` the kernel would populate the range at once.
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: no address is demanded, so no existing mapping is replaced.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), flags) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Mapping { base, bytes };
        // SAFETY: (1); none of these changes a byte, and nobody uses the range yet. A refused advice (a kernel without
        // huge pages) means that pages are small in any case.
        unsafe {
            let _ = madvise(base.as_ptr().cast(), bytes, Advice::LinuxNoHugepage);
            munlock(base.as_ptr().cast(), bytes)?;
            mprotect(base.as_ptr().cast(), bytes, MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        Ok(mapping)
    }

    /// Gives the pages of `bytes` bytes from `offset` back to the system, both multiples of a page: they read as zeros
    /// afterwards. Returns `false`, and changes nothing, if the system refuses.
    ///
    /// # Safety
    /// The range is within the mapping, and nobody uses it now.
    pub(crate) unsafe fn discard(&self, offset: usize, bytes: usize) -> bool {
        // SAFETY: (1) and the caller's promise.
        unsafe { madvise(self.base.as_ptr().add(offset).cast(), bytes, Advice::LinuxDontNeed) }.is_ok()
    }

    /// A range without pages: each is added, zeroed, at its first access.
    fn reserved(bytes: usize) -> io::Result<Mapping> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is demanded, so no existing mapping is replaced.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, access, MapFlags::PRIVATE) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, bytes })
    }

    /// The same range with all its pages faulted in.
    fn populated(self) -> io::Result<Mapping> {
        // SAFETY: (1); populating changes no byte.
        match unsafe { madvise(self.base.as_ptr().cast(), self.bytes, Advice::LinuxPopulateWrite) } {
            Ok(()) => return Ok(self),
            // Kernels before 5.14 do not know this advice: write to the pages instead.
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        for offset in (0..self.bytes).step_by(PAGE_BYTES_MIN) {
            // SAFETY: (1), and the offset is below `bytes`.
            unsafe { self.base.as_ptr().add(offset).write_volatile(0) };
        }
        Ok(self)
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: (1); a mapped range can always be unmapped, so there is no error to report.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// A few words that read as zero in a forked child, whichever values the parent stored. Clones share the words.
///
/// 2. `words` is the start of the page, or the words on the heap; either lives as long as any clone.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct WipedOnFork {
    /// Copied from the page, so that an access is one load. First, because an append reads it: it shares a cache line
    /// with what is before this value.
    words: NonNull<[AtomicU32; WIPED_WORDS]>,
    _owner: WordsOwner,
}

/// What keeps the words alive.
#[derive(Clone, Debug)]
enum WordsOwner {
    Page { _page: Arc<Mapping> },
    Heap { _words: Arc<[AtomicU32; WIPED_WORDS]> },
}

// SAFETY: (2) the address of atomics that every thread may use.
unsafe impl Send for WipedOnFork {}
// SAFETY: likewise.
unsafe impl Sync for WipedOnFork {}

impl WipedOnFork {
    /// All words zero.
    ///
    /// # Errors
    /// No memory, or a kernel before 4.14, which cannot wipe pages.
    pub(crate) fn new() -> io::Result<WipedOnFork> {
        let page = Mapping::reserved(PAGE_BYTES_MIN)?;
        // SAFETY: (1); nobody uses the pages yet. The kernel rounds the length up to its page size.
        unsafe { madvise(page.base.as_ptr().cast(), PAGE_BYTES_MIN, Advice::LinuxWipeOnFork) }?;
        Ok(WipedOnFork { words: page.base.cast(), _owner: WordsOwner::Page { _page: Arc::new(page) } })
    }

    /// All words zero, in ordinary memory: a forked child reads what the parent stored.
    pub(crate) fn never_wiped() -> WipedOnFork {
        let words = Arc::new(std::array::from_fn(|_| AtomicU32::new(0)));
        WipedOnFork { words: NonNull::from(&*words), _owner: WordsOwner::Heap { _words: words } }
    }

    /// As [`new`](Self::new). If the kernel cannot wipe pages, or a sandbox forbids it, children that the C library
    /// forks set the words to zero themselves; these words are never freed then. In other children they keep their
    /// values.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn by_any_means() -> io::Result<WipedOnFork> {
        if let Ok(words) = WipedOnFork::new() {
            return Ok(words);
        }
        let words = WipedOnFork::never_wiped();
        std::mem::forget(words.clone());
        // SAFETY: (2), and the clone above is never dropped.
        unsafe { wipe_in_children(words.words) }?;
        Ok(words)
    }

    /// The words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU32; WIPED_WORDS] {
        // SAFETY: (1, 2): in bounds, aligned, initialised with zeros, and accessed as these atomics only.
        unsafe { self.words.as_ref() }
    }
}

/// Prefetches the cache line `AHEAD` bytes after `address` for reading, if the CPU has an instruction for that. Never
/// faults, whether or not that address is mapped.
#[inline(always)]
pub(crate) fn fetch_for_read<const AHEAD: usize>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint.
    unsafe {
        std::arch::asm!(
            "prefetcht0 [{} + {}]", in(reg) address, const AHEAD, options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{}]",
            in(reg) address.wrapping_add(AHEAD),
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Prefetches the cache line `AHEAD` bytes after `address` for writing, if the CPU has an instruction for that. Never
/// faults, whether or not that address is mapped.
#[inline(always)]
pub(crate) fn fetch_for_write<const AHEAD: usize>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; older CPUs of this architecture execute it as a no-operation.
    unsafe {
        std::arch::asm!(
            "prefetchw [{} + {}]", in(reg) address, const AHEAD, options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint.
    unsafe {
        std::arch::asm!(
            "prfm pstl1keep, [{}]",
            in(reg) address.wrapping_add(AHEAD),
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Prepares this process for [`barrier_all_threads`]. Returns `false` if the kernel has no such barrier (before 4.14)
/// or a sandbox forbids it.
pub(crate) fn register_barrier() -> bool {
    membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
}

/// Executes a full memory barrier on every thread of this process, then returns `true`. Returns `false` if the kernel
/// refuses.
pub(crate) fn barrier_all_threads() -> bool {
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering::Relaxed;

    #[test]
    fn a_mapping_is_zeroed_aligned_and_writable_to_its_end() {
        let mapping = Mapping::faulted_in(1 << 16).expect("64 KiB");
        assert_eq!(mapping.base().as_ptr() as usize % PAGE_BYTES_MIN, 0);
        // SAFETY: (1), below `bytes`.
        let last = unsafe { &mut *mapping.base().as_ptr().add((1 << 16) - 1) };
        assert_eq!(*last, 0);
        *last = 7;
    }

    #[test]
    fn a_mapping_in_huge_pages_begins_with_one_and_is_writable_to_its_end() {
        for pages in [1, 3] {
            let bytes = pages * HUGE_PAGE_BYTES;
            let mapping = Mapping::in_huge_pages(bytes).expect("a few MiB");
            assert_eq!(mapping.base().as_ptr() as usize % HUGE_PAGE_BYTES, 0);
            // SAFETY: (1), below `bytes`.
            let last = unsafe { &mut *mapping.base().as_ptr().add(bytes - 1) };
            assert_eq!(*last, 0);
            *last = 7;
        }
    }

    #[test]
    fn address_space_is_zeroed_and_gives_its_pages_back() {
        const BYTES: usize = 1 << 30;
        let mapping = Mapping::address_space(BYTES).expect("address space");
        // SAFETY: (1), below `bytes`.
        let last = || unsafe { mapping.base().as_ptr().add(BYTES - 1) };
        // SAFETY: (1), and nobody else uses the range.
        unsafe {
            assert_eq!(last().read(), 0);
            last().write(7);
            assert!(mapping.discard(BYTES - PAGE_BYTES_MIN, PAGE_BYTES_MIN));
            assert_eq!(last().read(), 0);
        }
    }

    #[test]
    fn an_impossible_mapping_is_an_error() {
        assert!(Mapping::faulted_in(1 << 62).is_err());
        assert!(Mapping::address_space(1 << 62).is_err());
        assert!(Mapping::in_huge_pages(1 << 62).is_err());
    }

    #[test]
    fn a_forked_child_reads_zeros_and_the_parent_keeps_its_words() {
        let words = WipedOnFork::new().expect("a page");
        words.words()[0].store(5, Relaxed);
        words.words()[1].store(6, Relaxed);
        // SAFETY: the child calls nothing but `_exit`, which is async-signal-safe.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let seen = words.words()[0].load(Relaxed) + words.words()[1].load(Relaxed);
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(seen as i32) };
        }
        assert!(child > 0, "fork failed");
        let mut status = 0;
        // SAFETY: `status` outlives the call, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        assert_eq!(words.words()[0].load(Relaxed), 5);
    }
}
