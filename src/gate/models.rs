//! Close against an append, in every order: `RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/cfg/loom cargo test --release --lib
//! loom`.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::ring::{ConsumerEnd, RingOptions, ring};

fn records_in(consumer: &mut ConsumerEnd) -> u64 {
    consumer.observe();
    consumer.consume(usize::MAX, |_, _| true) as u64
}

#[test]
fn loom_an_append_that_races_close_is_in_the_ring_or_refused() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(3).expect("a gate"));
        let options = RingOptions::window(64);
        let (producer, mut consumer) = ring(options).expect("a ring");
        let ring = Arc::clone(producer.ring());
        let appending = thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                let flag = producer.control().append_flag();
                let written = (0..2).filter(|_| {
                    let Ok(_entered) = gate.enter(flag, 3) else { return false };
                    producer.append(0, &[], || 0).is_ok()
                });
                written.count() as u64
            }
        });
        gate.close();
        while !Gate::is_outside(ring.control().append_flag()) {
            thread::yield_now();
        }
        let last_drain = records_in(&mut consumer);
        let written = appending.join().expect("appending");
        assert_eq!(last_drain, written);
        assert_eq!(records_in(&mut consumer), 0);
    });
}

#[test]
fn loom_an_append_with_a_target_that_races_close_and_new_levels_is_in_the_ring_or_refused() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(3).expect("a gate"));
        let (producer, mut consumer) = ring(RingOptions::window(64)).expect("a ring");
        let ring = Arc::clone(producer.ring());
        let appending = thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                gate.set_levels(with_targets(OFF, 5));
                let flag = producer.control().append_flag();
                if gate.words().by_target(4) == ByTarget::Refused {
                    return 0;
                }
                let Ok(_entered) = gate.enter_target(flag) else { return 0 };
                u64::from(producer.append(0, &[], || 0).is_ok())
            }
        });
        gate.close();
        while !Gate::is_outside(ring.control().append_flag()) {
            thread::yield_now();
        }
        let last_drain = records_in(&mut consumer);
        assert_eq!(last_drain, appending.join().expect("appending"));
        assert_eq!(gate.words().by_target(1), ByTarget::Refused);
    });
}

#[test]
fn loom_a_level_set_while_closing_does_not_open_the_gate_again() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(3).expect("a gate"));
        let setting = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.set_levels(with_targets(5, 5))
        });
        gate.close();
        setting.join().expect("setting");
        assert!(gate.is_shut());
    });
}
