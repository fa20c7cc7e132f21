//! The gate's rules, and the race of an append against close, in real threads.

use super::*;
use crate::sync::AtomicU64;

#[test]
fn a_gate_admits_its_level_and_the_less_verbose_ones() {
    let gate = Gate::new(3).expect("a page");
    let flag = AppendFlag::default();
    assert_eq!([1, 2, 3, 4, 5].map(|level| gate.admits(level)), [true, true, true, false, false]);
    assert_eq!(gate.enter(&flag, 4).err(), Some(Refusal::Filtered));
    gate.set_levels(Thresholds::of(4));
    assert!(gate.enter(&flag, 4).is_ok());
    assert!(!gate.is_forked());
    assert!(!gate.is_shut());
}

#[test]
fn a_gate_that_is_off_admits_nothing_and_is_not_closed() {
    let gate = Gate::new(OFF).expect("a page");
    let flag = AppendFlag::default();
    assert!([1, 2, 3, 4, 5, OFF].iter().all(|level| !gate.admits(*level)));
    assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Filtered));
    assert!(gate.words().enter_fast(&flag, 1).is_none());
    assert!(!gate.is_shut() && Gate::is_outside(&flag));
    gate.set_levels(Thresholds::of(5));
    assert!(gate.enter(&flag, 5).is_ok());
    assert_eq!(gate.enter(&flag, OFF).err(), Some(Refusal::Filtered), "no record is at this level");
    gate.set_levels(Thresholds::of(OFF));
    assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Filtered));
    gate.close();
    assert_eq!(gate.enter(&flag, OFF).err(), Some(Refusal::Closed));
    assert!(gate.is_shut());
}

#[test]
fn targets_have_a_word_of_their_own() {
    let gate = Gate::new(3).expect("a page");
    let flag = AppendFlag::default();
    let words = gate.words();
    let all = |gate: &Gate| [1, 2, 3, 4, 5, OFF].map(|level| gate.words().by_target(level));
    use ByTarget::{Admitted, Asks, Refused};
    assert_eq!(all(&gate), [Admitted, Admitted, Admitted, Refused, Refused, Refused]);
    gate.set_levels(with_targets(OFF, 4));
    assert_eq!(all(&gate), [Asks, Asks, Asks, Asks, Refused, Refused]);
    assert!(!gate.admits(1) && gate.enter(&flag, 1).is_err());
    assert!(gate.enter_target(&flag).is_ok() && words.enter_target_fast(&flag, 4).is_some());
    let outer = gate.enter_target(&flag).expect("open");
    assert_eq!(gate.enter_target(&flag).err(), Some(Refusal::Reentrant));
    assert!(words.enter_target_fast(&flag, 4).is_none());
    drop(outer);
    gate.set_levels(with_targets(2, OFF));
    assert_eq!(all(&gate), [Refused; 6]);
    assert_eq!(gate.level(), 2);
    gate.close();
    gate.set_levels(with_targets(5, 5));
    assert_eq!((all(&gate), gate.level()), ([Refused; 6], OFF));
    assert_eq!(gate.enter_target(&flag).err(), Some(Refusal::Closed));
    assert!(words.enter_target_fast(&flag, 4).is_none());
    assert!(Gate::is_outside(&flag), "refused is outside");
}

#[test]
fn an_append_within_an_append_is_refused_and_leaves_the_outer_one_inside() {
    let gate = Gate::new(3).expect("a page");
    let flag = AppendFlag::default();
    let outer = gate.enter(&flag, 1).expect("open");
    assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Reentrant));
    assert_eq!(gate.enter(&flag, 5).err(), Some(Refusal::Filtered));
    assert!(gate.words().enter_fast(&flag, 1).is_none());
    assert!(!Gate::is_outside(&flag));
    drop(outer);
    assert!(Gate::is_outside(&flag));
    assert!(gate.enter(&flag, 1).is_ok());
}

#[test]
fn a_closed_gate_stays_closed_whatever_level_is_set() {
    let gate = Gate::new(3).expect("a page");
    let flag = AppendFlag::default();
    gate.close();
    gate.set_levels(Thresholds::of(5));
    assert!(!gate.admits(1) && gate.words().is_shut());
    assert_eq!(gate.enter(&flag, 1).err(), Some(Refusal::Closed));
    assert!(gate.words().enter_fast(&flag, 1).is_none());
    assert!(Gate::is_outside(&flag), "refused is outside");
    gate.close();
    assert_eq!(gate.refusal(), Refusal::Closed, "closing twice is fine");
}

/// After close, all that an append stored before it returned `Written` is visible, with either ordering.
fn appends_race_close(barrier_at_close: bool) {
    for round in 0..200_u64 {
        let mut gate = Gate::new(3).expect("a page");
        gate.barrier_at_close &= barrier_at_close;
        let producers = [0, 1].map(|_| (AppendFlag::default(), AtomicU64::new(0)));
        std::thread::scope(|scope| {
            let appending = producers.each_ref().map(|(flag, records)| {
                let gate = &gate;
                scope.spawn(move || {
                    let mut written = 0;
                    // By turns a record without a target and one with a target.
                    let enter = |number| if number % 2 == 0 { gate.enter(flag, 1) } else { gate.enter_target(flag) };
                    while let Ok(_entered) = enter(written) {
                        records.store(written + 1, Relaxed);
                        written += 1;
                    }
                    written
                })
            });
            // Close comes at a different moment in each round.
            for _ in 0..round * 50 {
                std::hint::spin_loop();
            }
            gate.close();
            for (flag, _) in &producers {
                while !Gate::is_outside(flag) {
                    std::thread::yield_now();
                }
            }
            let seen = producers.each_ref().map(|(_, records)| records.load(Relaxed));
            assert_eq!(seen, appending.map(|thread| thread.join().expect("appending")));
        });
    }
}

#[test]
fn an_append_that_races_close_is_there_or_refused() {
    appends_race_close(true);
}

#[test]
fn an_append_that_races_close_is_there_or_refused_without_a_barrier_for_all_threads() {
    appends_race_close(false);
}

#[test]
fn a_recorders_level_passes_the_first_look_and_does_not_enter() {
    let gate = Gate::new(3).expect("a page");
    let (flag, words) = (AppendFlag::default(), gate.words());
    gate.set_levels(Thresholds { recorded: Some(4), ..Thresholds::of(3) });
    assert_eq!([3, 4, 5, OFF].map(|level| gate.admits(level)), [true, true, false, false]);
    assert_eq!([3, 4].map(|level| gate.takes(level)), [true, false]);
    assert!(words.enter_fast(&flag, 3).is_some() && words.enter_fast(&flag, 4).is_none());
    assert_eq!([4, 5].map(|level| words.by_target(level)), [ByTarget::Admitted, ByTarget::Refused]);
    assert!(words.enter_target_fast(&flag, 3).is_some() && words.enter_target_fast(&flag, 4).is_none());
    assert_eq!(gate.level(), 3, "the log's own");
    // A target that is off: its records go to the recorder, so that none enters at once.
    gate.set_levels(Thresholds { least_verbose: OFF, recorded: Some(4), ..with_targets(3, 5) });
    assert_eq!([4, 5, OFF].map(|level| words.by_target(level)), [ByTarget::Asks, ByTarget::Asks, ByTarget::Refused]);
    assert!(words.enter_target_fast(&flag, 1).is_none() && gate.enter_target(&flag).is_ok());
    // The log is off, and its recorder is not.
    gate.set_levels(Thresholds { recorded: Some(2), ..Thresholds::of(OFF) });
    assert!(gate.admits(2) && !gate.admits(3) && !gate.takes(1) && !gate.is_shut());
    gate.close();
    assert!(!gate.admits(1) && words.enter_target_fast(&flag, 1).is_none());
    assert!(Gate::is_outside(&flag), "refused is outside");
}
