//! How fast does the library read and verify a log?
//!
//! The library writes logs of 64-byte records under `target/`, and reads them from the page cache; each log is verified
//! before it is timed. The checksum's row is an upper bound of the others.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use diolog::{Config, Level, Logger, Overflow, Reader, Verdict, verify};

/// Records in each log: 80 bytes each in the file.
const RECORDS: u64 = 1 << 20;

/// Writes a log of [`RECORDS`] records from `producers` concurrent threads, in blocks of `block_bytes`.
fn write_log(producers: u64, block_bytes: usize) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = target.join(format!("format-{producers}-{block_bytes}"));
    let _ = std::fs::remove_dir_all(&path);
    let config = Config::new(&path).block_bytes(block_bytes).overflow(Overflow::Block);
    let logger = Logger::open(config).expect("open the log");
    std::thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| {
                let producer = logger.producer().expect("a producer");
                (0..RECORDS / producers).for_each(|_| {
                    producer.log(Level::Info, [b'x'; 64]);
                });
            });
        }
    });
    logger.flush().expect("flush");
    logger.close().expect("close");
    let verification = verify(&path).expect("verify");
    assert_eq!(verification.verdict, Verdict::Clean, "{:?}", verification.report.findings);
    assert_eq!(verification.report.records, RECORDS);
    path
}

fn read(path: &Path) -> u64 {
    let mut reader = Reader::open(path).expect("open");
    let mut records = 0;
    while let Some(record) = reader.next_record().expect("read") {
        black_box((record.message(), record.timestamp_ns(), record.sequence(), record.producer_id()));
        records += 1;
    }
    assert_eq!(records, RECORDS);
    records
}

fn format(criterion: &mut Criterion) {
    let bytes = vec![7; 256 << 10];
    let mut group = criterion.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("256 KiB", |bencher| bencher.iter(|| crc_fast::crc32_iscsi(black_box(&bytes))));
    group.finish();

    for (producers, block_bytes) in [(1, 256 << 10), (4, 256 << 10), (64, 256 << 10), (1, 4 << 10), (64, 4 << 10)] {
        let path = write_log(producers, block_bytes);
        let name = format!("{producers} producers, {} KiB blocks", block_bytes >> 10);
        let mut group = criterion.benchmark_group(&name);
        group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
        group.throughput(Throughput::Elements(RECORDS));
        group.bench_function("read", |bencher| bencher.iter(|| read(&path)));
        let size = verify(&path).expect("verify").report.bytes;
        group.throughput(Throughput::Bytes(size));
        group.bench_function("verify", |bencher| bencher.iter(|| verify(&path).expect("verify")));
        group.finish();
        let _ = std::fs::remove_dir_all(&path);
    }
}

criterion_group!(benches, format);
criterion_main!(benches);
