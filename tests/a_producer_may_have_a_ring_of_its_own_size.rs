//! `Logger::producer_builder`: the ring has the size that was asked for, whatever the log's other rings have, and a
//! size that does not fit is refused with a remedy.

mod support;

use diolog::{Error, Level, Logger, Outcome, Overflow, Reader};

#[test]
fn its_ring_takes_messages_and_memory_of_that_size() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path).ring_bytes(8 << 10)).expect("a log");
    let usual = logger.producer_builder().name("usual").build().expect("a producer");
    let before = logger.stats().ring_memory.used_bytes;
    let large = logger.producer_builder().name("large").ring_bytes(128 << 10).build().expect("a producer");
    assert_eq!(logger.stats().ring_memory.used_bytes - before, 128 << 10);
    assert_eq!(usual.message_bytes_max(), (4 << 10) - 24);
    // The log's largest ring by its settings is that of a thread, 64 KiB: the longest message takes half of it.
    let message = vec![b'x'; (32 << 10) - 24];
    assert_eq!(large.message_bytes_max(), message.len());
    assert_eq!(large.log(Level::Info, &message), Outcome::Written);
    assert_eq!(usual.log(Level::Info, &message), Outcome::Truncated);
    logger.close().expect("a clean end");
    let read = Reader::open(&path).expect("a log").map(|record| record.expect("readable"));
    let mut read: Vec<_> = read.map(|record| (record.producer_name().to_owned(), record.message().len())).collect();
    read.sort();
    assert_eq!(read, [("large".to_owned(), message.len()), ("usual".to_owned(), (4 << 10) - 24)]);
}

#[test]
fn the_name_is_the_threads_if_none_is_given() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    let thread = std::thread::Builder::new().name("matching".into());
    std::thread::scope(|scope| {
        let logger = &logger;
        let make = move || {
            let _producer = logger.producer_builder().build().expect("a producer");
            assert_eq!(logger.stats().producers[0].name, "matching");
        };
        thread.spawn_scoped(scope, make).expect("a thread").join().expect("no panic");
    });
}

#[test]
fn a_size_that_does_not_fit_is_refused_with_a_remedy() {
    let directory = support::directory();
    let config = support::config(directory.path().join("log")).rings_bytes_max(4 << 20).message_bytes_max(5000);
    let logger = Logger::open(config).expect("a log");
    let refusal = |bytes: usize| logger.producer_builder().ring_bytes(bytes).build().expect_err("refused");
    let refused = refusal(5000).to_string();
    assert_eq!(
        refused,
        "the producer's ring_bytes is 5,000 bytes: use a power of two from 4 KiB to 1 GiB, such as 8 KiB"
    );
    let refused = refusal(8192).to_string();
    assert!(refused.contains("message_bytes_max must fit half of it; use 16 KiB"), "{refused}");
    assert!(matches!(refusal(8 << 20), Error::RingMemory { .. }));
    let name = logger.producer_builder().name("x".repeat(256)).build().expect_err("too long");
    assert!(matches!(name, Error::InvalidConfig { setting: "producer name", .. }), "{name}");
    let _producer = logger.producer_builder().ring_bytes(16 << 10).build().expect("as the remedy says");
}

#[test]
fn a_producer_that_waits_has_a_large_ring_until_all_rings_take_a_quarter_of_their_memory() {
    let directory = support::directory();
    let config = support::config(directory.path().join("log"));
    let logger = Logger::open(config.overflow(Overflow::Block).rings_bytes_max(32 << 20)).expect("a log");
    let mut used = logger.stats().ring_memory.used_bytes;
    let sizes = [(); 4].map(|()| {
        let producer = logger.producer().expect("a ring");
        let before = std::mem::replace(&mut used, logger.stats().ring_memory.used_bytes);
        (producer, used - before)
    });
    assert_eq!(sizes.map(|(_, bytes)| bytes >> 20), [4, 4, 1, 1]);
    logger.close().expect("a clean end");
}
