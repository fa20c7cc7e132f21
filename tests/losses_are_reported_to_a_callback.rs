//! The callback for losses hears of every lost record once, by producer and cause, at most once a second and at close.
#![cfg(feature = "unstable")]

mod support;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diolog::{Level, Logger, LossCause, Losses, Outcome, Overflow, Producer};
use support::device::Control;

/// What the callback was called with.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Losses>>>);

impl Heard {
    fn listen(&self, logger: &Logger) {
        let heard = self.clone();
        logger.on_loss(move |losses| heard.calls().push(losses.clone()));
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<Losses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dropped(&self, name: &str, cause: LossCause) -> u64 {
        let calls = self.calls();
        let producers = calls.iter().flat_map(|losses| &losses.producers);
        producers.filter(|producer| producer.name == name).map(|producer| producer.dropped_by.count(cause)).sum()
    }

    fn total(&self) -> u64 {
        self.calls().iter().map(Losses::total).sum()
    }
}

/// Fills the producer's ring, and loses `losses` records more.
fn lose(producer: &Producer, losses: u64) {
    while producer.log(Level::Info, [b'o'; 104]) == Outcome::Written {}
    for _ in 1..losses {
        assert_eq!(producer.log(Level::Info, [b'o'; 104]), Outcome::Dropped);
    }
}

#[test]
fn close_reports_what_each_producer_has_lost_ended_ones_included() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path).ring_bytes(4096)).expect("a log");
    let heard = Heard::default();
    heard.listen(&logger);
    control.hold();
    let (ended, alive) = (logger.producer_named("ended"), logger.producer_named("alive"));
    let (ended, alive, quiet) = (ended.expect("a ring"), alive.expect("a ring"), logger.producer().expect("a ring"));
    lose(&ended, 3);
    lose(&alive, 5);
    assert_eq!(quiet.log(Level::Info, "kept"), Outcome::Written);
    drop(ended);
    control.release();
    let report = logger.close().expect("a clean end");
    assert_eq!((report.dropped, heard.total()), (8, 8));
    assert_eq!(heard.dropped("ended", LossCause::RingFull), 3);
    assert_eq!(heard.dropped("alive", LossCause::RingFull), 5);
    assert!(heard.calls().iter().all(|losses| losses.total() > 0), "it is not called for nothing");
}

#[test]
fn the_callback_is_called_at_most_once_a_second_until_close() {
    const CALLS: u32 = 3;
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    // Before the writer begins. The callback itself may read the clock at any time after the writer did, so what is
    // known is the time from here to a call, not that between two.
    let begin = Instant::now();
    let config = support::config(&path).ring_bytes(4096).overflow(Overflow::BlockFor(Duration::from_millis(1)));
    let logger = control.hooks().open(config).expect("a log");
    let heard = Heard::default();
    heard.listen(&logger);
    control.hold();
    let producer = logger.producer_named("slow").expect("a ring");
    while heard.calls().len() < CALLS as usize {
        producer.log(Level::Info, [b'o'; 104]);
    }
    let (elapsed, least) = (begin.elapsed(), Duration::from_secs(1) * (CALLS - 1));
    // The writer's clock need not run exactly as the other one does.
    assert!(elapsed > least * 99 / 100, "{CALLS} calls within {elapsed:?}");
    control.release();
    logger.close().expect("a clean end");
    let stats = logger.stats();
    assert_eq!((heard.total(), heard.dropped("slow", LossCause::TimedOut)), (stats.dropped, stats.dropped));
}

#[test]
fn a_callback_that_panics_ends_neither_the_writer_nor_the_next_call() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path).ring_bytes(4096)).expect("a log");
    let called = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&called);
    logger.on_loss(move |_| {
        *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        panic!("in the caller's code");
    });
    control.hold();
    let producer = logger.producer().expect("a ring");
    lose(&producer, 1);
    while *called.lock().unwrap_or_else(PoisonError::into_inner) == 0 {
        std::thread::yield_now();
    }
    lose(&producer, 1);
    control.release();
    logger.close().expect("a clean end");
    assert_eq!(*called.lock().unwrap_or_else(PoisonError::into_inner), 2);
}
