//! Once a thread has its ring, appending allocates nothing, whatever the outcome.

#[path = "support/allocations.rs"]
mod allocations;
mod support;

use allocations::allocations_in;
use diolog::{Level, Log, Logger, Outcome, Overflow};

/// Logs until each outcome in `expected` was seen, and at least `appends` times.
fn log_until(append: impl Fn(&[u8]) -> Outcome, expected: &[Outcome], appends: u64) {
    let messages: [&[u8]; 4] = [b"", b"short", &[b'x'; 200], &[b'y'; 70_000]];
    let mut seen = [false; 8];
    let mut made = 0_u64;
    while made < appends || !expected.iter().all(|&outcome| seen[index(outcome)]) {
        let outcome = append(messages[made as usize % messages.len()]);
        seen[index(outcome)] = true;
        made += 1;
    }
}

/// Logs fields of every type, and text of formatters that allocate nothing themselves. `text` is of any length.
fn log_fields(log: &impl Log, text: &str) -> [Outcome; 3] {
    let bytes = text.as_bytes();
    let (letter, absent) = (Some('x'), None::<&str>);
    [
        diolog::info!(
            log,
            "{a} {b:.2}",
            a = 1_u64,
            b = 1.5,
            c = -1_i8,
            d = true,
            e = u128::MAX,
            f = i128::MIN,
            g = 0.5_f32
        ),
        diolog::info!(log, "{text}", text, bytes, letter, absent, some = Some(text), h = Some(bytes)),
        diolog::info!(log, "{shown}", shown = %text, ?letter, i = format_args!("{}{}", 1, text)),
    ]
}

fn index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Written => 0,
        Outcome::Truncated => 1,
        Outcome::Dropped => 2,
        Outcome::Filtered => 3,
        Outcome::Closed => 4,
        _ => 7,
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocations_in(|| drop(std::hint::black_box(vec![1_u8; 100]))) >= 2);
}

#[test]
fn a_producer_allocates_nothing_whatever_the_outcome() {
    use Outcome::{Closed, Dropped, Filtered, Truncated, Written};
    let cases: [(Overflow, &[Outcome]); 3] = [
        (Overflow::DropNewest, &[Written, Truncated, Dropped]),
        (Overflow::OverwriteOldest, &[Written, Truncated]),
        (Overflow::Block, &[Written, Truncated]),
    ];
    for (overflow, expected) in cases {
        let directory = support::directory();
        let config = support::config(directory.path().join("log")).overflow(overflow);
        let logger = Logger::open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        let allocations = allocations_in(|| {
            log_until(|message| producer.log(Level::Info, message), expected, 10_000);
            log_until(|message| producer.log(Level::Debug, message), &[Filtered], 100);
        });
        assert_eq!(allocations, 0, "{overflow:?}");
        logger.close().expect("a clean end");
        assert_eq!(allocations_in(|| log_until(|message| producer.log(Level::Info, message), &[Closed], 10)), 0);
    }
}

#[test]
fn a_record_of_the_flight_recorder_allocates_nothing_once_it_has_its_ring() {
    let directory = support::directory();
    let config = support::config(directory.path().join("log")).flight_recorder(64 << 10);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    let log = |text: &str| {
        [
            producer.log(Level::Debug, text),
            producer.log_args(Level::Debug, format_args!("{}", text.len())),
            diolog::debug!(producer, "{text}", text, shown = %text),
        ]
    };
    assert_eq!(log("this makes the ring"), [Outcome::Recorded; 3]);
    let text = "x".repeat(100);
    let allocations = allocations_in(|| {
        for length in (0..=100).cycle().take(10_000) {
            assert_eq!(log(&text[..length]), [Outcome::Recorded; 3]);
        }
    });
    assert_eq!(allocations, 0);
    logger.close().expect("a clean end");
}

#[test]
fn a_claim_allocates_at_most_its_buffer_once() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    let mut producer = logger.producer().expect("a producer");
    let mut claim = |bytes: usize| match producer.claim(Level::Info, bytes) {
        Ok(mut claim) => {
            claim.fill(b'c');
            claim.commit()
        }
        Err(outcome) => outcome,
    };
    assert_eq!(allocations_in(|| assert_eq!(claim(100), Outcome::Written)), 0, "in the window");
    // Until the window is full, when the buffer is needed, and then the reserve too.
    let allocations = allocations_in(|| while claim(60_000) != Outcome::Dropped {});
    assert!(allocations <= 1, "{allocations}");
    assert_eq!(allocations_in(|| assert!(matches!(claim(60_000), Outcome::Written | Outcome::Dropped))), 0);
    logger.close().expect("a clean end");
}

#[test]
fn fields_of_every_type_allocate_nothing_once_their_place_is_known() {
    let texts = [String::new(), "short".into(), "x".repeat(200), "y".repeat(70_000)];
    for overflow in [Overflow::DropNewest, Overflow::OverwriteOldest, Overflow::Block] {
        let directory = support::directory();
        let config = support::config(directory.path().join("log")).overflow(overflow);
        let logger = Logger::open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        // The first record of a place registers it; the logger's makes the thread's ring.
        assert_eq!(log_fields(&producer, ""), [Outcome::Written; 3]);
        assert_eq!(log_fields(&logger, ""), [Outcome::Written; 3]);
        let mut seen = [0; 8];
        let allocations = allocations_in(|| {
            for number in 0..10_000 {
                let text = &texts[number % texts.len()];
                for outcome in [log_fields(&producer, text), log_fields(&logger, text)].into_iter().flatten() {
                    seen[index(outcome)] += 1;
                }
                producer.log_args(Level::Info, format_args!("{number} {text}"));
                logger.log_args(Level::Info, format_args!("{number} {text}"));
                diolog::debug!(producer, "", shown = %text);
            }
        });
        assert_eq!(allocations, 0, "{overflow:?}");
        assert!(seen[0] > 0 && seen[1] > 0, "written, and cut: {seen:?}");
    }
}

#[test]
fn the_thread_local_convenience_allocates_only_for_its_ring() {
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    assert_eq!(logger.log(Level::Info, "this makes the ring"), Outcome::Written);
    let allocations = allocations_in(|| {
        log_until(|message| logger.log(Level::Info, message), &[Outcome::Written, Outcome::Truncated], 10_000);
    });
    assert_eq!(allocations, 0);
}
