//! Losses after a producer's last record leave no hole between two records. The files account for them too.
#![cfg(feature = "unstable")]

mod support;

use diolog::{Level, Outcome};
use support::account::{self, Attempts, Overwrites};
use support::device::Control;

/// Logs until the ring is full, and `losses` records more. The device is held, so that no space gets free in between.
fn fill_and_lose(producer: &diolog::Producer, losses: usize) -> Attempts {
    let mut attempts = Attempts::new(producer);
    while attempts.log(producer) == Outcome::Written {}
    for _ in 1..losses {
        // A shorter message may still fit after a longer one did not.
        attempts.log(producer);
    }
    while attempts.outcomes.last() == Some(&Outcome::Written) {
        attempts.log(producer);
    }
    attempts
}

#[test]
fn last_losses_of_producers_that_end_before_close_are_known() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config_of_ring(&path, 4096)).expect("a log");
    control.hold();
    let all: Vec<Attempts> = (1..=5)
        .map(|losses| {
            let producer = logger.producer().expect("a ring");
            fill_and_lose(&producer, losses)
        })
        .collect();
    control.release();
    logger.close().expect("a clean end");
    assert!(all.iter().all(|attempts| attempts.outcomes.last() == Some(&Outcome::Dropped)));
    account::check(&path, &all, Overwrites::No);
}

#[test]
fn last_losses_of_producers_alive_at_close_are_known() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config_of_ring(&path, 4096)).expect("a log");
    control.hold();
    let producers: Vec<_> = (0..5).map(|_| logger.producer().expect("a ring")).collect();
    let all: Vec<Attempts> = producers.iter().map(|producer| fill_and_lose(producer, 7)).collect();
    control.release();
    logger.close().expect("a clean end");
    account::check(&path, &all, Overwrites::No);
    assert_eq!(producers[0].log(Level::Info, "too late"), Outcome::Closed);
}

#[test]
fn a_producer_that_logged_nothing_has_lost_nothing() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config_of_ring(&path, 4096)).expect("a log");
    control.hold();
    let producer = logger.producer().expect("a ring");
    let attempts = fill_and_lose(&producer, 3);
    drop(producer);
    // The first producer's ring is not empty yet, so this one gets another.
    let idle = logger.producer().expect("a ring");
    control.release();
    logger.close().expect("a clean end");
    account::check(&path, &[attempts, Attempts::new(&idle)], Overwrites::No);
}
