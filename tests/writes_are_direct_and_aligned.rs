//! Blocks reach the disk without a cache: the descriptor has `O_DIRECT` and `O_DSYNC` and not `O_SYNC`, and every write
//! is a whole block at an aligned offset from aligned memory.
#![cfg(all(target_os = "linux", feature = "unstable", not(diolog_portable)))]

mod support;

use std::path::Path;

use diolog::{Level, Logger, Overflow};
use support::device::{Control, Write};

/// The alignment of direct I/O; blocks are multiples of it.
const GRID_BYTES: usize = 4096;

/// The status flags of this process's descriptors for segments in `directory`, as `F_GETFL` returns them and the kernel
/// shows them under /proc.
fn segment_flags(directory: &Path) -> Vec<i32> {
    let mut flags = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").expect("procfs") {
        let fd = entry.expect("procfs").file_name().into_string().expect("a number");
        // A descriptor of another test may be closed by now.
        let Ok(target) = std::fs::read_link(format!("/proc/self/fd/{fd}")) else { continue };
        if target.parent() == Some(directory) && target.extension().is_some_and(|extension| extension == "dlog") {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("procfs");
            let octal = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("in fdinfo(5)");
            flags.push(i32::from_str_radix(octal.trim(), 8).expect("octal"));
        }
    }
    flags
}

#[test]
fn the_segments_descriptor_has_o_direct_and_o_dsync_and_not_o_sync() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).segment_bytes(1 << 20).block_bytes(64 << 10).overflow(Overflow::Block);
    let logger = Logger::open(config).expect("a log");
    if !logger.stats().device.kind.is_direct() {
        support::not_shown("the flags of a direct descriptor", logger.stats().device);
        return;
    }
    // After a rotation too: other code opens the later segments.
    let producer = logger.producer().expect("a ring");
    while logger.stats().segments < 3 {
        producer.log(Level::Info, [b'x'; 1000]);
    }
    logger.flush().expect("durable");
    let canonical = path.canonicalize().expect("it exists");
    let all = segment_flags(&canonical);
    assert!(!all.is_empty());
    for flags in all {
        assert_eq!(flags & libc::O_DIRECT, libc::O_DIRECT, "{flags:o}");
        assert_eq!(flags & libc::O_DSYNC, libc::O_DSYNC, "{flags:o}");
        // O_SYNC is O_DSYNC and one bit more.
        assert_eq!(flags & libc::O_SYNC & !libc::O_DSYNC, 0, "{flags:o}");
        assert_eq!(flags & libc::O_CLOEXEC, libc::O_CLOEXEC, "{flags:o}");
    }
    logger.close().expect("a clean end");
}

#[test]
fn every_write_is_a_whole_block_on_the_grid_from_aligned_memory() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let config = support::config(&path).ring_bytes(64 << 10).block_bytes(20 << 10).segment_bytes(1 << 20);
    let logger = control.hooks().open(config.overflow(Overflow::Block)).expect("a log");
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let logger = &logger;
            scope.spawn(move || {
                let producer = logger.producer().expect("a ring");
                for number in 0..5_000_usize {
                    producer.log(Level::Info, vec![b'a' + thread; (number * 37) % 700]);
                    if number.is_multiple_of(500) {
                        logger.flush().expect("durable");
                    }
                }
            });
        }
    });
    logger.close().expect("a clean end");
    let writes = control.writes();
    assert!(writes.len() > 100, "{}", writes.len());
    for Write { offset, address, bytes, acknowledged, .. } in &writes {
        assert!(offset.is_multiple_of(GRID_BYTES as u64), "offset {offset}");
        assert!(address.is_multiple_of(GRID_BYTES), "memory {address:#x}");
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(GRID_BYTES), "{} bytes", bytes.len());
        let capacity = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        assert_eq!(bytes.len(), capacity as usize, "a write is a whole block");
        assert!(bytes.len() <= 20 << 10);
        assert!(acknowledged);
    }
}

#[test]
fn no_block_overwrites_another_and_each_is_where_it_was_written() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let config = support::config(&path).block_bytes(8 << 10).segment_bytes(256 << 10).overflow(Overflow::Block);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    for number in 0..20_000_u32 {
        producer.log(Level::Info, [number.to_le_bytes(); 25].concat());
    }
    logger.close().expect("a clean end");
    // Writes go to one segment after the other, and in each from its header on, without gap or overlap.
    let mut files: Vec<Vec<u8>> = Vec::new();
    for write in control.writes() {
        if write.is_segment_header() {
            files.push(Vec::new());
        }
        let file = files.last_mut().expect("the header comes first");
        assert_eq!(write.offset, file.len() as u64, "a gap, or a block written twice");
        file.extend(write.bytes);
    }
    assert!(files.len() > 2);
    for (index, expected) in files.iter().enumerate() {
        let name = format!("{:08}.dlog", index + 1);
        assert!(
            std::fs::read(path.join(&name)).expect("a segment") == *expected,
            "{name} differs from what was written"
        );
    }
}
