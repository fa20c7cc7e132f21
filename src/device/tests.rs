//! The promises of every kind of device: submitted blocks can be read back, and failed ones come back with an error.

use super::buffered::Buffered;
use super::*;
use crate::sys::directory::OpenDirectory;
use crate::sys::test_directory::directory;
use crate::sys::test_report::not_shown;

use std::fs::File;
use std::path::Path;

/// A device of that kind.
fn device(kind: DeviceKind, in_flight_max: usize) -> Box<dyn Device> {
    let report = DeviceReport { kind, reasons: Vec::new() };
    DeviceSet::new(LogCount::One, || ()).view(&report, in_flight_max, &[], None).unwrap()
}

/// [`probe`] of the directory at `path`.
pub(super) fn probe_at(path: &Path, preference: DevicePreference) -> crate::error::Result<DeviceReport> {
    probe(&OpenDirectory::open(path).unwrap(), preference)
}

/// The kinds of device that can be tested in `directory`.
fn kinds(directory: &Path) -> Vec<DeviceKind> {
    let best = probe_at(directory, DevicePreference::Auto).unwrap().kind;
    if !best.is_direct() {
        not_shown("io_uring and pwrite", format_args!("no direct I/O in {}", directory.display()));
    }
    [DeviceKind::IoUring, DeviceKind::Pwrite, DeviceKind::Buffered]
        .into_iter()
        .skip_while(|&kind| kind != best)
        .collect()
}

/// A buffer whose words say to which buffer and position they belong.
pub(super) fn filled(length: usize, index: u16) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new(length, index).unwrap();
    for (position, word) in buffer.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&((u64::from(index) << 32) | position as u64).to_le_bytes());
    }
    buffer
}

/// Waits until `count` blocks have completed.
pub(super) fn completions(device: &mut dyn Device, count: usize) -> Vec<Completion> {
    let mut completions = Vec::new();
    while completions.len() < count {
        device.wait(Duration::from_secs(1));
        device.reap(&mut completions);
    }
    completions
}

fn segment(directory: &Path, name: &str, kind: DeviceKind) -> Arc<UnsharedFile> {
    let file = OpenDirectory::open(directory).unwrap().create_to_write(name, kind.is_direct()).unwrap();
    Arc::new(file.into())
}

#[test]
fn a_submitted_block_can_be_read_back_from_its_offset() {
    let directory = directory();
    for kind in kinds(directory.path()) {
        for length in [4096, 65536, 1 << 20] {
            let mut device = device(kind, 4);
            assert_eq!(device.in_flight_max(), 4);
            assert_eq!(device.report().kind, kind);
            let name = format!("{kind}-{length}");
            let file = segment(directory.path(), &name, kind);
            // The blocks are not submitted in the order of the file.
            for index in [2u16, 0, 3, 1] {
                let (offset, token) = (length as u64 * u64::from(index), 100 + u64::from(index));
                let buffer = filled(length, index);
                device.submit(BlockWrite { token, file: Arc::clone(&file), offset, length, buffer });
            }
            let mut completions = completions(&mut *device, 4);
            completions.sort_by_key(|completion| completion.token);
            let on_disk = std::fs::read(directory.path().join(&name)).unwrap();
            assert_eq!(on_disk.len(), 4 * length);
            for (index, completion) in completions.iter().enumerate() {
                assert_eq!(completion.token, 100 + index as u64);
                assert!(completion.result.is_ok(), "{:?}", completion.result);
                assert_eq!(completion.buffer.index(), index as u16);
                assert!(completion.buffer[..] == on_disk[index * length..][..length], "{name}, block {index}");
            }
        }
    }
}

#[test]
fn blocks_of_two_files_in_one_batch_both_become_durable() {
    let directory = directory();
    for kind in kinds(directory.path()) {
        let mut device = device(kind, 4);
        let files = ["old", "new"].map(|name| segment(directory.path(), &format!("{kind}-{name}"), kind));
        for index in 0..4u16 {
            let file = Arc::clone(&files[usize::from(index) % 2]);
            let (token, offset) = (u64::from(index), u64::from(index) / 2 * 4096);
            device.submit(BlockWrite { token, file, offset, length: 4096, buffer: filled(4096, index) });
        }
        assert!(completions(&mut *device, 4).iter().all(|completion| completion.result.is_ok()));
        for file in files {
            assert_eq!(file.metadata().unwrap().len(), 8192);
        }
    }
}

#[test]
fn a_failed_write_comes_back_with_its_buffer_and_the_file_is_never_written_again() {
    let directory = directory();
    for kind in kinds(directory.path()) {
        let mut device = device(kind, 4);
        let path = directory.path().join(format!("{kind}-read-only"));
        std::fs::write(&path, "").unwrap();
        let file = Arc::new(UnsharedFile::from(File::open(&path).unwrap()));
        for token in 0..2 {
            let buffer = filled(4096, 9);
            device.submit(BlockWrite { token, file: Arc::clone(&file), offset: 0, length: 4096, buffer });
            let completion = completions(&mut *device, 1).remove(0);
            assert_eq!(completion.token, token);
            assert!(completion.buffer[..] == filled(4096, 9)[..]);
            let error = completion.result.unwrap_err();
            #[cfg(target_os = "linux")]
            assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{kind}");
            let _ = error;
        }
        // Other files are still written.
        let file = segment(directory.path(), &format!("{kind}-other"), kind);
        device.submit(BlockWrite { token: 2, file, offset: 0, length: 4096, buffer: filled(4096, 9) });
        assert!(completions(&mut *device, 1)[0].result.is_ok());
    }
}

/// A buffered device must not report blocks as durable that it wrote before a failed one of the same file: it never
/// syncs them.
#[test]
fn a_failed_write_fails_the_unsynced_blocks_of_its_file() {
    use super::threaded::Operation;
    let directory = directory();
    let path = directory.path().join("segment");
    let file = Arc::new(UnsharedFile::from(File::create(&path).unwrap()));
    let mut operation = Buffered::default();
    let write = |token, offset| {
        let file = Arc::clone(&file);
        BlockWrite { token, file, offset, length: 4096, buffer: filled(4096, 0) }
    };
    // No file can be so large: the operating system calls the second write invalid.
    let mut batch = [write(0, 0), write(1, 1 << 63)].into();
    let mut completions = Vec::new();
    operation.write(&mut batch, &mut completions);
    assert_eq!(completions.len(), 2);
    for completion in completions {
        assert_eq!(completion.result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn every_kind_refuses_misaligned_writes_by_a_panic() {
    let directory = directory();
    for kind in kinds(directory.path()) {
        let file = segment(directory.path(), &kind.to_string(), kind);
        for (offset, length, buffer_length) in [(512, 4096, 4096), (0, 512, 4096), (0, 0, 4096), (0, 8192, 4096)] {
            let mut device = device(kind, 1);
            let buffer = AlignedBuffer::new(buffer_length, 0).unwrap();
            let write = BlockWrite { token: 0, file: Arc::clone(&file), offset, length, buffer };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.submit(write)));
            assert!(outcome.is_err(), "{kind}: {length} bytes at {offset} from a buffer of {buffer_length}");
        }
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}

#[test]
fn a_wait_ends_when_the_thread_is_unparked() {
    let mut device = device(DeviceKind::Buffered, 1);
    std::thread::current().unpark();
    // An hour: the test would not end otherwise.
    device.wait(Duration::from_secs(3600));
}

/// A file size limit inside a block: the kernel writes the part that fits, then answers EFBIG, or EINVAL if that part
/// is no whole sector.
#[cfg(target_os = "linux")]
#[test]
fn a_file_size_limit_is_reported_as_such_and_does_not_fail_the_file() {
    const CHILD: &str = "DIOLOG_TEST_FILE_SIZE_LIMIT";
    if std::env::var_os(CHILD).is_none() {
        // The limit holds for the process, and exceeding it raises a signal, which the child ignores. Its output goes
        // through a pipe, since it may not write to a large file either.
        let child = std::process::Command::new("/bin/sh")
            .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "device::tests::a_file_size_limit_is_reported_as_such_and_does_not_fail_the_file"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        return assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    }
    let directory = directory();
    let kinds = kinds(directory.path());
    for limit in [8192 + 2048, 8192 + 100] {
        rustix::process::setrlimit(
            rustix::process::Resource::Fsize,
            rustix::process::Rlimit { current: Some(limit), maximum: None },
        )
        .unwrap();
        for &kind in &kinds {
            let mut device = device(kind, 1);
            let file = segment(directory.path(), &format!("{kind}-{limit}"), kind);
            for (offset, room) in [(0, true), (4096, false), (8192, false), (0, true)] {
                let buffer = filled(8192, 0);
                device.submit(BlockWrite { token: 0, file: Arc::clone(&file), offset, length: 8192, buffer });
                let result = completions(&mut *device, 1).remove(0).result;
                match result {
                    Ok(()) => assert!(room, "{kind}, limit {limit}, offset {offset}"),
                    Err(error) => {
                        assert!(!room, "{kind}, limit {limit}, offset {offset}: {error}");
                        assert_eq!(
                            error.kind(),
                            io::ErrorKind::FileTooLarge,
                            "{kind}, limit {limit}, {offset}: {error}"
                        );
                    }
                }
            }
        }
    }
}
