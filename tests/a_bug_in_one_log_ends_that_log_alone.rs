//! A panic on the writer thread while it serves one log ends that log, with answers for all who wait, and no other log
//! of the engine.
#![cfg(feature = "unstable")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use diolog::unstable::{BlockWrite, Device, DeviceLayer, Hooks};
use diolog::{Engine, EngineConfig, Error, Level, Outcome, Overflow, State, Verdict};

/// A device that panics at its next write once it is told to.
struct Buggy {
    panics: Arc<AtomicBool>,
}

impl DeviceLayer for Buggy {
    fn submit(&mut self, below: &mut dyn Device, write: BlockWrite) {
        assert!(!self.panics.load(SeqCst), "a bug, made by the test");
        below.submit(write);
    }
}

/// Hooks for a log whose device panics once the flag is set.
fn buggy(panics: &Arc<AtomicBool>) -> Hooks {
    let panics = Arc::clone(panics);
    Hooks::new().device_layer(|| Buggy { panics })
}

#[test]
fn a_panic_in_one_log_answers_its_callers_and_the_others_go_on() {
    let directory = support::directory();
    let path = |name: &str| directory.path().join(name);
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    let panics = Arc::new(AtomicBool::new(false));
    let healthy = engine.open(support::config(path("healthy"))).expect("a log");
    let broken = buggy(&panics).open_on(&engine, support::config(path("broken")).overflow(Overflow::Block));
    let broken = broken.expect("a log");
    let late = engine.open(support::config(path("late"))).expect("a log");
    for logger in [&healthy, &broken, &late] {
        assert_eq!(logger.log(Level::Info, "before"), Outcome::Written);
        logger.flush().expect("durable");
    }
    panics.store(true, SeqCst);
    assert_eq!(broken.log(Level::Info, "lost"), Outcome::Written);
    assert!(matches!(broken.flush(), Err(Error::Closed)));
    // A producer that waits for space does not wait for a writer that is gone.
    while broken.log(Level::Info, "refused") == Outcome::Written {}
    assert_eq!((broken.log(Level::Info, "refused"), broken.stats().state), (Outcome::Closed, State::Failed));
    assert!(matches!(broken.producer(), Err(Error::Closed)));
    let error = broken.close().expect_err("one record is not durable");
    let Error::CloseIncomplete { unconfirmed: 1.., ref reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains("bug in diolog"), "{reason}");
    // Its directory can be opened again, on the same engine.
    let again = engine.open(support::config(path("broken"))).expect("the lock is free");
    for logger in [&healthy, &again, &late] {
        assert_eq!(logger.log(Level::Info, "after"), Outcome::Written);
        logger.flush().expect("durable");
    }
    assert_eq!(engine.close().expect("clean ends").durable, 5);
    for (name, expected) in [("healthy", Verdict::Clean), ("late", Verdict::Clean), ("broken", Verdict::Unconfirmed)] {
        assert_eq!(diolog::verify(path(name)).expect("a log").verdict, expected, "{name}");
    }
}

#[test]
fn a_panic_while_a_log_is_begun_refuses_that_log_alone() {
    let directory = support::directory();
    let path = |name: &str| directory.path().join(name);
    let engine = Engine::start(EngineConfig::new()).expect("a thread");
    let healthy = engine.open(support::config(path("healthy"))).expect("a log");
    let hooks = Hooks::new().device_layer(|| -> Buggy { panic!("a bug, made by the test") });
    let error = hooks.open_on(&engine, support::config(path("broken"))).expect_err("refused");
    assert!(error.to_string().contains("bug in diolog"), "{error}");
    assert_eq!(healthy.log(Level::Info, "after"), Outcome::Written);
    assert_eq!(engine.close().expect("a clean end").durable, 1);
}
