//! What do the ring's two ends cost by themselves, on one thread, so that no cache line moves between CPUs?
//!
//! `cargo bench --features unstable --bench ring`. What an append costs a service is the question of `append_latency`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diolog::unstable::{RingConsumer, RingProducer, ring};

const RING_BYTES: usize = 1 << 20;
const SIZES: [usize; 4] = [8, 64, 200, 1000];

/// Both ends of a ring, after a check that records come out as they went in.
fn checked_ring<const OVERWRITES: bool>() -> (RingProducer, RingConsumer) {
    let (producer, mut consumer) = ring(RING_BYTES, OVERWRITES).expect("1 MiB");
    for _ in 0..3 {
        let appended = (0..5000).take_while(|&number| producer.log(1, &message(number))).count();
        let mut expected = 0;
        let drained = consumer.drain::<OVERWRITES>(|payload| {
            assert_eq!(payload, message(expected));
            expected += 1;
        });
        assert_eq!((appended, drained), (5000, 5000));
    }
    (producer, consumer)
}

fn message(number: usize) -> Vec<u8> {
    (0..number % 150).map(|index| (index + number) as u8).collect()
}

/// Records of `size` bytes that fit the ring at once.
fn lap(size: usize) -> u64 {
    (RING_BYTES / (size + 64)) as u64
}

/// Times `append` alone. Whenever the ring is nearly full, it is emptied while the watch is stopped.
fn time_appends(iterations: u64, size: usize, consumer: &mut RingConsumer, append: impl Fn() -> bool) -> Duration {
    let (mut left, mut time) = (iterations, Duration::ZERO);
    while left > 0 {
        let turn = left.min(lap(size));
        let start = Instant::now();
        for _ in 0..turn {
            black_box(append());
        }
        time += start.elapsed();
        assert_eq!(consumer.drain::<false>(|_| ()) as u64, turn, "the ring was full while timed");
        left -= turn;
    }
    time
}

/// Times draining alone. The ring is filled while the watch is stopped.
fn time_drains(iterations: u64, size: usize, consumer: &mut RingConsumer, append: impl Fn() -> bool) -> Duration {
    let (mut left, mut time, mut bytes) = (iterations, Duration::ZERO, 0);
    while left > 0 {
        let turn = left.min(lap(size));
        (0..turn).for_each(|_| assert!(append()));
        let start = Instant::now();
        consumer.drain::<false>(|payload| bytes += payload.len());
        time += start.elapsed();
        left -= turn;
    }
    black_box(bytes);
    time
}

fn ends(criterion: &mut Criterion) {
    let (producer, mut consumer) = checked_ring::<false>();
    criterion.bench_function("clock", |bencher| bencher.iter(|| producer.ticks()));

    let mut group = criterion.benchmark_group("ring");
    group.sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let payload = vec![7; size];
        let payload = black_box(&payload[..]);
        group.bench_function(BenchmarkId::new("append", size), |bencher| {
            bencher.iter_custom(|n| time_appends(n, size, &mut consumer, || producer.append(1, payload)));
        });
        group.bench_function(BenchmarkId::new("gate, clock and append", size), |bencher| {
            bencher.iter_custom(|n| time_appends(n, size, &mut consumer, || producer.log(1, payload)));
        });
        group.bench_function(BenchmarkId::new("drain", size), |bencher| {
            bencher.iter_custom(|n| time_drains(n, size, &mut consumer, || producer.append(1, payload)));
        });
    }

    // A full ring: each append gives up an old record.
    let (producer, _consumer) = checked_ring::<true>();
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let payload = vec![7; size];
        let payload = black_box(&payload[..]);
        group.bench_function(BenchmarkId::new("append, overwriting", size), |bencher| {
            bencher.iter(|| assert!(producer.append(1, payload)));
        });
    }
}

criterion_group!(benches, ends);
criterion_main!(benches);
