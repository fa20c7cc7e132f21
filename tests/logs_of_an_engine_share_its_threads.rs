//! The threads of an engine are the same with one log and with a hundred on one file system, whatever the device.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use diolog::{DevicePreference, Engine, EngineConfig, Level, Outcome};

const LOGS: usize = 100;

/// The names of this process's threads that begin with "diolog-", sorted.
fn own_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        // A thread may have ended meanwhile.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok().map(|name| name.trim().to_owned())
    };
    let mut names: Vec<_> = tasks.filter_map(name).filter(|name| name.starts_with("diolog-")).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_engine_has_as_many_threads_with_a_hundred_logs_as_with_one() {
    // A process of its own, which has no other threads of the library.
    if support::child::ran_in_child("an_engine_has_as_many_threads_with_a_hundred_logs_as_with_one") {
        return;
    }
    for preference in [DevicePreference::Auto, DevicePreference::Pwrite, DevicePreference::Buffered] {
        let base = support::child_directory().join(preference.to_string());
        let engine = Engine::start(EngineConfig::new()).expect("a thread");
        let open = |number: usize| {
            let path = base.join(number.to_string());
            let logger = engine.open(support::segments::small(path).create_parents(true).device(preference))?;
            assert_eq!(logger.log(Level::Info, "a record"), Outcome::Written);
            logger.flush()?;
            Ok::<_, diolog::Error>(logger)
        };
        let first = match open(0) {
            Ok(logger) => logger,
            Err(error) => {
                support::not_shown(&format!("the device {preference}"), error);
                continue;
            }
        };
        // Each has its own name then.
        for name in ["diolog-lock", "diolog-segments", "diolog-writer"] {
            support::os::wait_for_threads(name, 1);
        }
        let with_one = own_threads();
        let others: Vec<_> = (1..LOGS).map(|number| open(number).expect("a log")).collect();
        assert_eq!(own_threads(), with_one, "{preference}");
        drop((first, others));
        assert_eq!(engine.close().expect("clean ends").durable, 0, "the logs were closed when they were dropped");
        support::os::wait_for_threads("diolog-writer", 0);
    }
}
