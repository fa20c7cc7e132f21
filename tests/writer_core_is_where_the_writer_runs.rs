//! The writer runs on `writer_core`, and no other thread is moved there.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::collections::BTreeSet;

use diolog::{Level, Logger, Overflow};

/// A thread of this process, as `/proc` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Thread {
    name: String,
    allowed: BTreeSet<usize>,
    /// The CPU that it ran on last.
    cpu: usize,
}

/// "0-2,5" as numbers.
fn cpu_list(list: &str) -> BTreeSet<usize> {
    let number = |digits: &str| digits.parse::<usize>().expect("a CPU's number");
    list.trim()
        .split(',')
        .flat_map(|range| match range.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(range)..=number(range),
        })
        .collect()
}

fn status_field<'a>(status: &'a str, field: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_else(|| panic!("{field} in proc(5)"))
}

/// The threads of this process whose name begins with "diolog".
fn diolog_threads() -> Vec<Thread> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").expect("procfs") {
        let task = task.expect("procfs").path();
        let Ok(status) = std::fs::read_to_string(task.join("status")) else { continue };
        let Ok(stat) = std::fs::read_to_string(task.join("stat")) else { continue };
        let name = status_field(&status, "Name:").trim().to_owned();
        if name.starts_with("diolog") {
            let allowed = cpu_list(status_field(&status, "Cpus_allowed_list:"));
            // Field 39 of stat; the name in brackets is field 2.
            let after_name = stat.rsplit_once(')').expect("stat has a name").1;
            let cpu = after_name.split_whitespace().nth(36).expect("39 fields").parse().expect("a number");
            threads.push(Thread { name, allowed, cpu });
        }
    }
    threads
}

/// The CPUs of the calling thread.
fn own_cpus() -> BTreeSet<usize> {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    cpu_list(status_field(&status, "Cpus_allowed_list:"))
}

/// Opens a log with its writer on `core`, lets it work, and checks on which CPUs its threads may run and have run.
fn check(core: usize) {
    let own = own_cpus();
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).writer_core(core).segment_bytes(1 << 20).overflow(Overflow::Block);
    let logger = Logger::open(config).expect("a log");
    // By then every helper thread has worked, and has left the core of the thread that made it.
    while logger.stats().segments < 3 {
        logger.log(Level::Info, [b'x'; 500]);
    }
    logger.flush().expect("durable");
    let threads = diolog_threads();
    let (writers, helpers): (Vec<_>, Vec<_>) = threads.iter().partition(|thread| thread.name == "diolog-writer");
    assert_eq!(writers.len(), 1, "{threads:?}");
    assert_eq!((&writers[0].allowed, writers[0].cpu), (&BTreeSet::from([core]), core));
    for helper in helpers {
        assert_eq!(helper.allowed, own, "{helper:?} is pinned too");
    }
    assert_eq!(own_cpus(), own, "the opening thread stays where it was");
    logger.close().expect("a clean end");
}

/// The only test in this file: tests in one process would see each other's threads.
#[test]
fn the_writer_runs_on_its_core_and_no_other_thread_is_pinned() {
    let own = own_cpus();
    for &core in &own {
        check(core);
    }
    // A core that the opening thread may not use, such as an isolated one.
    let &first = own.first().expect("this thread runs");
    assert!(core_affinity::set_for_current(core_affinity::CoreId { id: first }));
    for &core in own.iter().skip(1) {
        check(core);
    }
    if own.len() == 1 {
        support::not_shown("a writer outside its opener's set of CPUs", "there is one CPU");
    }
}
