//! A log's segment files, seen from outside the library.

use std::path::{Path, PathBuf};

use diolog::{Config, Error, Level, Logger, Outcome, Producer};

/// Settings for segments of 32 KiB, the first one included, which a few blocks fill.
pub(crate) fn small(path: impl AsRef<Path>) -> Config {
    super::config_of_ring(path, 8192).block_bytes(4096).segment_bytes(32 << 10).first_segment_bytes(32 << 10)
}

/// The path of segment `number`.
pub(crate) fn file(log: &Path, number: u64) -> PathBuf {
    log.join(format!("{number:08}.dlog"))
}

/// The numbers of the segment files in a log's directory, in order.
pub(crate) fn numbers(log: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(log).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".dlog")?.parse().ok();
    let mut numbers: Vec<u64> = names.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// A length in a segment's bytes.
pub(crate) fn length_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..][..4].try_into().expect("four bytes")) as usize
}

/// Puts the checksums right of the block that begins at offset `at` of a segment's bytes: first the payload's, then the
/// header's, over its 64 bytes with a zero in its place and the offset.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    let block = &mut bytes[at..];
    let payload = crc_fast::crc32_iscsi(&block[64..][..length_at(block, 4)]);
    block[16..20].copy_from_slice(&payload.to_le_bytes());
    block[12..16].fill(0);
    let header = crc_fast::crc32_iscsi(&[&block[..64], &(at as u64).to_le_bytes()].concat());
    block[12..16].copy_from_slice(&header.to_le_bytes());
}

/// The size of all segment files together.
pub(crate) fn bytes(log: &Path) -> u64 {
    numbers(log).into_iter().map(|number| file(log, number).metadata().expect("a file").len()).sum()
}

/// Logs one record and waits until it is durable, so that it gets a block of its own.
pub(crate) fn block(logger: &Logger, producer: &Producer) {
    assert_eq!(producer.log(Level::Info, "a block of its own"), Outcome::Written);
    logger.flush().expect("durable");
}

/// Writes blocks until the run has begun `segments` segments.
pub(crate) fn grow(logger: &Logger, segments: u64) {
    let producer = logger.producer().expect("a producer");
    while logger.stats().segments < segments {
        block(logger, &producer);
    }
}

/// Opens a log, writes `segments` segments, and closes it.
pub(crate) fn run(config: Config, segments: u64) {
    let logger = loop {
        match Logger::open(config.clone()) {
            // Off Linux, a child that another test has just forked holds the lock until it executes its program.
            Err(Error::InUse { .. }) if cfg!(any(not(target_os = "linux"), diolog_portable)) => {
                std::thread::yield_now()
            }
            opened => break opened.expect("a log"),
        }
    };
    grow(&logger, segments);
    logger.close().expect("a clean end");
}
