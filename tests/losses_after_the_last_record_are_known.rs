//! Losses after a producer's last record leave no hole between two records. The files account for them too.
#![cfg(feature = "unstable")]

mod support;

use diolog::{Level, Outcome};
use support::account::{self, Overwrites, Told};
use support::device::Control;

/// Logs until the ring is full, and `losses` records more. The device is held, so that no space gets free in between.
fn fill_and_lose(producer: &diolog::Producer, losses: usize) -> Told {
    let mut told = Told::new(producer);
    while told.log(producer) == Outcome::Written {}
    for _ in 1..losses {
        // A shorter message may still fit after a longer one did not.
        told.log(producer);
    }
    while told.outcomes.last() == Some(&Outcome::Written) {
        told.log(producer);
    }
    told
}

#[test]
fn last_losses_of_producers_that_end_before_close_are_known() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path).ring_bytes(4096)).expect("a log");
    control.hold();
    let told: Vec<Told> = (1..=5)
        .map(|losses| {
            let producer = logger.producer().expect("a ring");
            fill_and_lose(&producer, losses)
        })
        .collect();
    control.release();
    logger.close().expect("a clean end");
    assert!(told.iter().all(|told| told.outcomes.last() == Some(&Outcome::Dropped)));
    account::check(&path, &told, Overwrites::No);
}

#[test]
fn last_losses_of_producers_alive_at_close_are_known() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path).ring_bytes(4096)).expect("a log");
    control.hold();
    let producers: Vec<_> = (0..5).map(|_| logger.producer().expect("a ring")).collect();
    let told: Vec<Told> = producers.iter().map(|producer| fill_and_lose(producer, 7)).collect();
    control.release();
    logger.close().expect("a clean end");
    account::check(&path, &told, Overwrites::No);
    assert_eq!(producers[0].log(Level::Info, "too late"), Outcome::Closed);
}

#[test]
fn a_producer_that_logged_nothing_has_lost_nothing() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let control = Control::default();
    let logger = control.hooks().open(support::config(&path).ring_bytes(4096)).expect("a log");
    control.hold();
    let producer = logger.producer().expect("a ring");
    let told = fill_and_lose(&producer, 3);
    drop(producer);
    // The first producer's ring is not empty yet, so this one gets another.
    let idle = logger.producer().expect("a ring");
    control.release();
    logger.close().expect("a clean end");
    account::check(&path, &[told, Told::new(&idle)], Overwrites::No);
}
