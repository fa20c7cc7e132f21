//! Cases that only io_uring can meet: short completions, a kernel that refuses it at the start or later, and blocks
//! that never complete.
//!
//! A pipe stands for a disk that stalls or takes only a part: the ring writes to it as to a file, and the kernel
//! takes as many bytes as fit and waits for the reader.
#![allow(unsafe_code, reason = "the tests filter system calls")]

use std::fs::File;
use std::io::{Read, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::*;
use crate::device::ladder::DevicePreference;
use crate::device::tests::{completions, filled, probe_at as probe};
use crate::sys::directory::OpenDirectory;
use crate::sys::fork::UnsharedFile;
use crate::sys::test_directory::directory;
use crate::sys::test_report::not_shown;

/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 65536;

fn report() -> DeviceReport {
    DeviceReport { kind: DeviceKind::IoUring, reasons: Vec::new() }
}

/// An empty directory; `None`, with the reason printed, if files there take no direct I/O.
fn directory_with_direct_io() -> Option<tempfile::TempDir> {
    let directory = directory();
    if !probe(directory.path(), DevicePreference::Auto).unwrap().kind.is_direct() {
        not_shown("io_uring", "no direct I/O here");
        return None;
    }
    Some(directory)
}

/// A set for one log, and its device of that kind or a lower one.
fn create(report: &DeviceReport, in_flight_max: usize, buffers: &[AlignedBuffer]) -> (DeviceSet, Box<dyn Device>) {
    let set = DeviceSet::new(LogCount::One, || ());
    let device = set.view(report, in_flight_max, buffers, None).unwrap();
    (set, device)
}

/// A set with a device on io_uring; `None`, with the reason printed, if this machine has none.
fn device(in_flight_max: usize) -> Option<(DeviceSet, Box<dyn Device>)> {
    device_with(in_flight_max, &[])
}

fn device_with(in_flight_max: usize, buffers: &[AlignedBuffer]) -> Option<(DeviceSet, Box<dyn Device>)> {
    let (set, device) = create(&report(), in_flight_max, buffers);
    if device.report().kind != DeviceKind::IoUring {
        not_shown("io_uring", device.report());
        return None;
    }
    Some((set, device))
}

impl DeviceSet {
    fn has_ring(&self) -> bool {
        self.inner.borrow().uring.is_some()
    }

    fn is_ring_busy(&self) -> bool {
        self.inner.borrow().is_ring_busy()
    }
}

fn write(token: u64, file: &Arc<UnsharedFile>, offset: u64, buffer: AlignedBuffer) -> BlockWrite {
    BlockWrite { token, file: Arc::clone(file), offset, length: buffer.len(), buffer }
}

/// From now on the calling thread, and those it starts, get `errno` from the system call.
fn forbid(system_call: libc::c_long, errno: i32) {
    filter(system_call, None, errno);
}

/// The same, but only for entries to io_uring that submit writes; those that only wait for completions are allowed.
fn forbid_submission(errno: i32) {
    // The second argument is the number of writes; this is the offset of its low half.
    let to_submit =
        std::mem::offset_of!(libc::seccomp_data, args) + 8 + if cfg!(target_endian = "big") { 4 } else { 0 };
    filter(libc::SYS_io_uring_enter, Some(to_submit as u32), errno);
}

/// Installs a filter that answers a system call with `errno`; with `word`, only if the word at that offset is not zero.
fn filter(system_call: libc::c_long, word: Option<u32>, errno: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = |at: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let equal = |to: u32| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to);
    // The first word of the filter's input is the system call's number. Without `word` the second comparison reads it
    // again, and compares it with a number that no system call has.
    let mut program = [
        load(0),
        libc::sock_filter { jf: 3, ..equal(system_call as u32) },
        load(word.unwrap_or(0)),
        libc::sock_filter { jt: 1, ..equal(if word.is_some() { 0 } else { u32::MAX }) },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: both calls take numbers, and the second a filter that lives on this stack.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

fn create_to_write(path: &Path) -> UnsharedFile {
    let directory = OpenDirectory::open(path.parent().unwrap()).unwrap();
    directory.create_to_write(path.file_name().unwrap().to_str().unwrap(), true).unwrap().into()
}

/// Runs the test on a thread of its own: its filters end with it.
fn on_a_thread(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(test).join().unwrap();
}

/// Writes two blocks and reads them back.
fn assert_writes(device: &mut dyn Device, directory: &Path, name: &str) {
    let file = Arc::new(create_to_write(&directory.join(name)));
    for index in 0..2u16 {
        device.submit(write(u64::from(index), &file, u64::from(index) * 8192, filled(8192, index)));
    }
    for completion in completions(device, 2) {
        assert!(completion.result.is_ok(), "{:?}", completion.result);
    }
    let on_disk = std::fs::read(directory.join(name)).unwrap();
    assert!(on_disk == [&filled(8192, 0)[..], &filled(8192, 1)[..]].concat());
}

#[test]
fn if_io_uring_is_forbidden_the_probe_says_so_and_pwrite_is_used() {
    for (errno, reason) in [(libc::EPERM, "operation not permitted (seccomp"), (libc::ENOSYS, "seccomp?)")] {
        on_a_thread(move || {
            let directory = directory();
            forbid(libc::SYS_io_uring_setup, errno);
            let report = probe(directory.path(), DevicePreference::Auto).unwrap();
            if report.kind == DeviceKind::Buffered {
                return not_shown("a refused io_uring", format_args!("no direct I/O here: {report}"));
            }
            assert_eq!(report.kind, DeviceKind::Pwrite);
            assert!(report.reasons[0].starts_with("io_uring: ") && report.reasons[0].contains(reason), "{report}");
            let error = probe(directory.path(), DevicePreference::IoUring).unwrap_err();
            assert!(error.to_string().starts_with("device is io_uring: io_uring: "), "{error}");
            let (_set, mut device) = create(&report, 4, &[]);
            assert_writes(&mut *device, directory.path(), "segment");
        });
    }
}

#[test]
fn a_ring_refused_after_the_probe_is_a_step_down_at_creation() {
    on_a_thread(|| {
        let Some(directory) = directory_with_direct_io() else { return };
        forbid(libc::SYS_io_uring_setup, libc::EPERM);
        let (_set, mut device) = create(&report(), 4, &[]);
        assert_eq!(device.report().kind, DeviceKind::Pwrite);
        assert!(device.report().reasons[0].contains("not permitted"), "{}", device.report());
        assert_writes(&mut *device, directory.path(), "segment");
    });
}

#[test]
fn submissions_refused_at_run_time_are_a_step_down_that_loses_no_block() {
    on_a_thread(|| {
        let Some(directory) = directory_with_direct_io() else { return };
        let Some((set, mut device)) = device(4) else { return };
        assert_writes(&mut *device, directory.path(), "before");
        assert_eq!(device.report().kind, DeviceKind::IoUring);
        forbid(libc::SYS_io_uring_enter, libc::EPERM);
        assert_writes(&mut *device, directory.path(), "after");
        assert_eq!(device.report().kind, DeviceKind::Pwrite);
        assert!(device.report().reasons[0].contains("given up while running"), "{}", device.report());
        assert!(!set.has_ring());
    });
}

#[test]
fn blocks_that_the_kernel_has_taken_are_still_awaited_after_a_step_down() {
    on_a_thread(|| {
        let Some(directory) = directory_with_direct_io() else { return };
        let Some((set, mut device)) = device(4) else { return };
        let (mut reader, writer) = pipe().unwrap();
        let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
        device.submit(write(10, &file, 0, filled(PIPE_BYTES, 1)));
        assert!(completions(&mut *device, 1)[0].result.is_ok());
        device.submit(write(11, &file, 0, filled(8192, 2)));
        forbid_submission(libc::EPERM);
        assert_writes(&mut *device, directory.path(), "after");
        assert_eq!(device.report().kind, DeviceKind::Pwrite);
        assert!(set.is_ring_busy());
        // The disk goes on.
        reader.read_exact(&mut vec![0; PIPE_BYTES]).unwrap();
        let completion = completions(&mut *device, 1).remove(0);
        assert_eq!(completion.token, 11);
        assert!(completion.result.is_ok(), "{:?}", completion.result);
        let mut rest = vec![0; 8192];
        reader.read_exact(&mut rest).unwrap();
        assert!(rest == filled(8192, 2)[..]);
        device.reap(&mut Vec::new());
        assert!(!set.has_ring());
    });
}

#[test]
fn a_lack_of_memory_that_does_not_pass_is_a_step_down() {
    on_a_thread(|| {
        let Some((set, mut device)) = device(2) else { return };
        let (mut reader, writer) = pipe().unwrap();
        let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
        forbid_submission(libc::EAGAIN);
        device.submit(write(1, &file, 0, filled(4096, 1)));
        assert!(set.is_ring_busy());
        assert_eq!(device.report().kind, DeviceKind::IoUring);
        // It does not pass here, so the device steps down; a pipe takes no `pwrite`.
        let completion = completions(&mut *device, 1).remove(0);
        assert_eq!(device.report().kind, DeviceKind::Pwrite);
        assert_eq!(completion.result.unwrap_err().raw_os_error(), Some(libc::ESPIPE));
        drop((device, file));
        assert_eq!(reader.read(&mut [0; 16]).unwrap(), 0);
    });
}

#[test]
fn blocks_that_can_no_longer_be_awaited_come_back_as_copies_with_the_error() {
    on_a_thread(|| {
        let Some((_set, mut device)) = device(2) else { return };
        let (_reader, writer) = pipe().unwrap();
        let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
        device.submit(write(1, &file, 0, filled(PIPE_BYTES, 1)));
        assert!(completions(&mut *device, 1)[0].result.is_ok());
        let stalled = filled(8192, 2);
        let address = stalled.as_ptr();
        device.submit(write(2, &file, 0, stalled));
        forbid(libc::SYS_io_uring_enter, libc::EPERM);
        let completion = completions(&mut *device, 1).remove(0);
        assert_eq!(completion.token, 2);
        assert_eq!(completion.result.unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(completion.buffer[..] == filled(8192, 2)[..]);
        assert_ne!(completion.buffer.as_ptr(), address);
        // The file is not written again.
        device.submit(write(3, &file, 0, filled(4096, 3)));
        assert_eq!(completions(&mut *device, 1)[0].result.as_ref().unwrap_err().raw_os_error(), Some(libc::EPERM));
    });
}

#[test]
fn a_short_completion_is_followed_by_the_rest() {
    let Some((_set, mut device)) = device(1) else { return };
    let (mut reader, writer) = pipe().unwrap();
    let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
    device.submit(write(1, &file, 0, filled(3 * PIPE_BYTES, 1)));
    let read = std::thread::spawn(move || {
        let mut bytes = vec![0; 3 * PIPE_BYTES];
        reader.read_exact(&mut bytes).unwrap();
        bytes
    });
    assert!(completions(&mut *device, 1)[0].result.is_ok());
    assert!(read.join().unwrap() == filled(3 * PIPE_BYTES, 1)[..]);
}

#[test]
fn abandoning_does_not_wait_and_leaks_blocks_that_the_kernel_still_reads() {
    for abandon in [|device: Box<dyn Device>| device.abandon(), |device: Box<dyn Device>| drop(device)] {
        let Some((set, mut device)) = device(2) else { return };
        let (_reader, writer) = pipe().unwrap();
        let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
        let blocks_of = Arc::downgrade(&file);
        device.submit(write(1, &file, 0, filled(PIPE_BYTES, 1)));
        assert!(completions(&mut *device, 1)[0].result.is_ok());
        device.submit(write(2, &file, 0, filled(8192, 2)));
        drop(file);
        abandon(device);
        drop(set);
        // A block that was not freed keeps its file open.
        assert_eq!(blocks_of.strong_count(), 1);
    }
}

#[test]
fn abandoning_with_nothing_in_flight_leaks_nothing() {
    let Some((_set, mut device)) = device(2) else { return };
    let (_reader, writer) = pipe().unwrap();
    let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
    device.submit(write(1, &file, 0, filled(4096, 1)));
    drop(completions(&mut *device, 1));
    let blocks_of = Arc::downgrade(&file);
    drop(file);
    device.abandon();
    assert_eq!(blocks_of.strong_count(), 0);
}

#[test]
fn registered_buffers_and_others_are_both_written() {
    let Some(directory) = directory_with_direct_io() else { return };
    let buffers = [filled(8192, 0), filled(8192, 1)];
    let Some((_set, mut device)) = device_with(4, &buffers) else { return };
    let file = Arc::new(create_to_write(&directory.path().join("segment")));
    for (index, buffer) in buffers.into_iter().chain([filled(8192, 2)]).enumerate() {
        device.submit(write(index as u64, &file, index as u64 * 8192, buffer));
    }
    assert!(completions(&mut *device, 3).iter().all(|completion| completion.result.is_ok()));
    let on_disk = std::fs::read(directory.path().join("segment")).unwrap();
    let blocks = [filled(8192, 0), filled(8192, 1), filled(8192, 2)];
    assert!(on_disk == blocks.iter().flat_map(|block| block.iter().copied()).collect::<Vec<_>>());
}

/// The kernel keeps the pages of a registered buffer after it was freed; another buffer at its address has other pages.
#[test]
fn a_buffer_at_the_address_of_a_freed_registered_one_is_not_taken_for_it() {
    let Some(directory) = directory_with_direct_io() else { return };
    // So large that the allocator maps and unmaps it: the same address then comes with fresh pages.
    let length = 4 << 20;
    let gone = filled(length, 1);
    let address = gone.as_ptr();
    let Some((_set, mut device)) = device_with(1, std::slice::from_ref(&gone)) else { return };
    drop(gone);
    let other = filled(length, 2);
    if other.as_ptr() != address {
        not_shown("a second buffer at the same address", "the allocator gave another one");
    }
    let file = Arc::new(create_to_write(&directory.path().join("segment")));
    device.submit(write(0, &file, 0, other));
    assert!(completions(&mut *device, 1)[0].result.is_ok());
    assert!(std::fs::read(directory.path().join("segment")).unwrap() == filled(length, 2)[..]);
}

/// An open file keeps its lock and its space, and its file system busy: the kernel must not keep it open for longer.
#[test]
fn the_kernel_keeps_no_file_open_that_has_no_block_in_flight() {
    let Some(directory) = directory_with_direct_io() else { return };
    let Some((_set, mut device)) = device(2) else { return };
    for number in 0..3 {
        let path = directory.path().join(number.to_string());
        let file = Arc::new(create_to_write(&path));
        file.try_lock().unwrap();
        device.submit(write(0, &file, 0, filled(4096, 0)));
        assert!(completions(&mut *device, 1)[0].result.is_ok());
        drop(file);
        let again = File::open(path).unwrap();
        again.try_lock().unwrap_or_else(|error| panic!("file {number} is still open: {error}"));
    }
}

/// A view of a set for many logs.
fn view(set: &DeviceSet, kind: DeviceKind, file_system: u64) -> Box<dyn Device> {
    set.view(&DeviceReport { kind, reasons: Vec::new() }, 4, &[], Some(file_system)).unwrap()
}

/// A set for many logs; `None`, with the reason printed, if this machine has no io_uring.
fn set_with_ring() -> Option<DeviceSet> {
    let set = DeviceSet::new(LogCount::Many, || ());
    let report = view(&set, DeviceKind::IoUring, 1).report().clone();
    if report.kind != DeviceKind::IoUring {
        not_shown("io_uring", report);
        return None;
    }
    Some(set)
}

#[test]
fn each_view_gets_its_own_blocks_under_its_own_tokens() {
    let directory = directory();
    let kind = probe(directory.path(), DevicePreference::Auto).unwrap().kind;
    let set = DeviceSet::new(LogCount::Many, || ());
    let mut views: Vec<_> =
        [kind, DeviceKind::Buffered, kind, kind].map(|kind| view(&set, kind, 1)).into_iter().collect();
    for (number, device) in views.iter_mut().enumerate() {
        let opened = OpenDirectory::open(directory.path()).unwrap();
        let direct = device.report().kind.is_direct();
        let file = Arc::new(UnsharedFile::from(opened.create_to_write(&number.to_string(), direct).unwrap()));
        device.submit(write(7, &file, 0, filled(4096, number as u16)));
        device.submit(write(8, &file, 4096, filled(4096, number as u16)));
    }
    for (number, device) in views.iter_mut().enumerate() {
        let mut completions = completions(&mut **device, 2);
        completions.sort_by_key(|completion| completion.token);
        assert_eq!(completions.iter().map(|completion| completion.token).collect::<Vec<_>>(), [7, 8]);
        assert!(completions.iter().all(|completion| completion.result.is_ok()));
        assert!(completions.iter().all(|completion| completion.buffer.index() == number as u16));
        let on_disk = std::fs::read(directory.path().join(number.to_string())).unwrap();
        assert!(on_disk == [&filled(4096, number as u16)[..]; 2].concat());
    }
}

#[test]
fn a_broken_ring_moves_every_view_down_and_later_ones_too() {
    on_a_thread(|| {
        let Some(directory) = directory_with_direct_io() else { return };
        let Some(set) = set_with_ring() else { return };
        let [mut one, mut two, mut buffered] =
            [DeviceKind::IoUring, DeviceKind::IoUring, DeviceKind::Buffered].map(|kind| view(&set, kind, 1));
        assert_writes(&mut *one, directory.path(), "before");
        forbid(libc::SYS_io_uring_enter, libc::EPERM);
        assert!(!set.take_break());
        assert_writes(&mut *one, directory.path(), "after");
        assert!(set.take_break() && !set.take_break());
        two.reap(&mut Vec::new());
        buffered.reap(&mut Vec::new());
        let later = view(&set, DeviceKind::IoUring, 2);
        for device in [&one, &two, &later] {
            assert_eq!(device.report().kind, DeviceKind::Pwrite);
            assert!(device.report().reasons[0].contains("given up while running"), "{}", device.report());
        }
        assert_eq!(buffered.report().kind, DeviceKind::Buffered);
        assert_writes(&mut *two, directory.path(), "two");
    });
}

#[test]
fn the_blocks_of_an_abandoned_view_stay_until_the_kernel_is_done_and_the_others_go_on() {
    let Some(directory) = directory_with_direct_io() else { return };
    let Some(set) = set_with_ring() else { return };
    let (mut stalled, mut other) = (view(&set, DeviceKind::IoUring, 1), view(&set, DeviceKind::IoUring, 2));
    let (mut reader, writer) = pipe().unwrap();
    let file = Arc::new(UnsharedFile::from(File::from(OwnedFd::from(writer))));
    stalled.submit(write(1, &file, 0, filled(PIPE_BYTES, 1)));
    assert!(completions(&mut *stalled, 1)[0].result.is_ok());
    stalled.submit(write(2, &file, 0, filled(8192, 2)));
    stalled.abandon();
    let blocks_of = Arc::downgrade(&file);
    drop(file);
    assert_writes(&mut *other, directory.path(), "other");
    assert_eq!(blocks_of.strong_count(), 1, "the kernel still reads a block");
    // A view that comes meanwhile does not get that block.
    let mut third = view(&set, DeviceKind::IoUring, 1);
    assert_writes(&mut *third, directory.path(), "third");
    reader.read_exact(&mut vec![0; PIPE_BYTES]).unwrap();
    while blocks_of.strong_count() > 0 {
        set.wait(Duration::from_secs(1));
        set.free_abandoned();
    }
    assert_writes(&mut *third, directory.path(), "third-again");
}

#[test]
fn every_log_on_the_ring_reports_that_buffers_are_not_registered() {
    on_a_thread(|| {
        let Some(set) = set_with_ring() else { return };
        let mut first = view(&set, DeviceKind::IoUring, 1);
        forbid(libc::SYS_io_uring_register, libc::ENOMEM);
        set.register(&[filled(4096, 0)]);
        set.register(&[filled(4096, 1)]);
        first.reap(&mut Vec::new());
        for report in [first.report(), view(&set, DeviceKind::IoUring, 2).report()] {
            assert_eq!(report.kind, DeviceKind::IoUring);
            assert_eq!(report.reasons.len(), 1, "{report}");
            assert!(report.reasons[0].contains("buffers not registered"), "{report}");
        }
    });
}

#[test]
fn the_logs_of_one_file_system_share_a_helper_that_ends_with_the_last_of_them() {
    let directory = directory();
    let set = DeviceSet::new(LogCount::Many, || ());
    let (mut one, mut other) = (view(&set, DeviceKind::Buffered, 1), view(&set, DeviceKind::Buffered, 2));
    let mut same = view(&set, DeviceKind::Buffered, 2);
    assert_eq!(set.inner.borrow().helpers.len(), 2);
    for (name, device) in [("one", &mut one), ("other", &mut other), ("same", &mut same)] {
        let opened = OpenDirectory::open(directory.path()).unwrap();
        let file = Arc::new(UnsharedFile::from(opened.create_to_write(name, false).unwrap()));
        device.submit(write(1, &file, 0, filled(4096, 1)));
        assert!(completions(&mut **device, 1)[0].result.is_ok());
    }
    drop((one, other));
    assert_eq!(set.inner.borrow().helpers.len(), 1, "the last log of a file system ends its helper");
    drop(same);
    assert_eq!(set.inner.borrow().helpers.len(), 0);
}
