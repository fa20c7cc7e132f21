//! A shared library with diolog in it is loaded, logs, is unloaded and loaded again. While its log is open, its code
//! stays in memory, and the log is drained when the process exits; once its log is closed, nothing of it is called any
//! more.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::path::Path;

use diolog::{Reader, Verdict};
use support::os::Library;

/// The status that the child exits with.
const STATUS: i32 = 7;

const LIBRARY: &str = "libunloadable.so";

/// Whether the library's code is in memory.
fn is_loaded() -> bool {
    std::fs::read_to_string("/proc/self/maps").expect("procfs").contains(LIBRARY)
}

const CLOSED: &str = "closed before it is unloaded";
const OPEN: &str = "left open by a thread that has ended";
const OPEN_HERE: &str = "left open by the thread that exits";

fn load_log_and_unload(path: &Path, role: &str) {
    let library = Library::load(path);
    let log = || assert_eq!(library.call(c"unloadable_log"), 0, "{role}");
    // A thread keeps a library loaded while it has thread-local values of it.
    if role == OPEN_HERE {
        log()
    } else {
        std::thread::scope(|scope| scope.spawn(log).join().expect("no panic"))
    }
    if role == CLOSED {
        assert_eq!(library.call(c"unloadable_close"), 0, "{role}");
    }
    library.unload();
    assert_eq!(is_loaded(), role != CLOSED, "{role}");
}

#[test]
fn a_library_that_logs_is_unloaded_and_loaded_again() {
    if let Some(role) = support::role() {
        let library = support::child_directory().with_extension("so");
        let library = std::fs::read_link(library).expect("a link to the library");
        load_log_and_unload(&library, &role);
        load_log_and_unload(&library, &role);
        std::process::exit(STATUS);
    }
    let library = match support::build::built(LIBRARY, "") {
        Ok(library) => library,
        Err(why) => return support::not_shown("a library that is unloaded: it cannot be built", why),
    };
    for role in [CLOSED, OPEN, OPEN_HERE] {
        let directory = support::directory();
        let path = directory.path().join("log");
        std::os::unix::fs::symlink(&library, path.with_extension("so")).expect("writable");
        let output = support::run_child("a_library_that_logs_is_unloaded_and_loaded_again", role, &path);
        assert_eq!(output.status.code(), Some(STATUS), "{role}: {output:?}");
        assert_eq!(Reader::open(&path).expect("a log").count(), 4, "{role}");
        let verification = diolog::verify(&path).expect("a log");
        assert_eq!(verification.verdict, Verdict::Clean, "{role}");
        assert_eq!(verification.report.runs.len(), if role == CLOSED { 2 } else { 1 }, "{role}");
    }
}
