//! Appending makes no system call: a thread that may make none but `exit` goes on logging.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};

use diolog::{Config, Level, Logger, Outcome, Overflow};

/// Kills the process at the next system call of this thread, unless that is `exit`.
#[expect(unsafe_code, reason = "seccomp has no safe interface; the filter is four constant instructions")]
fn forbid_system_calls() {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The system call's number is the first field of seccomp_data.
        statement(BPF_LD | BPF_W | BPF_ABS, 0),
        libc::sock_filter { jf: 1, ..statement(BPF_JMP | BPF_JEQ | BPF_K, libc::SYS_exit as u32) },
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls only read their arguments; the program points to a live array of `len` instructions.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(refused, 0, "no seccomp here: {}", std::io::Error::last_os_error());
}

/// Logs on a thread that may make no system call, then spins: its ordinary end would make some.
fn child(overflow: Overflow, breaks_the_rule: bool) {
    static DONE: AtomicBool = AtomicBool::new(false);
    let logger = Logger::open(Config::new(support::child_directory()).overflow(overflow)).expect("a log");
    let producer = logger.producer().expect("a producer");
    let handle = logger.clone();
    let _never_joined = std::thread::spawn(move || {
        assert_eq!(handle.log(Level::Info, "this makes the thread's ring"), Outcome::Written);
        forbid_system_calls();
        for _ in 0..200_000 {
            producer.log(Level::Info, [b'x'; 64]);
            producer.log(Level::Debug, "filtered");
            handle.log(Level::Info, "through the thread's own producer");
        }
        if breaks_the_rule {
            std::thread::yield_now();
        }
        DONE.store(true, Ordering::Release);
        loop {
            std::hint::spin_loop();
        }
    });
    while !DONE.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
    std::process::exit(0);
}

fn run(test: &str, role: &str) -> std::process::ExitStatus {
    let directory = support::directory();
    support::run_child(test, role, &directory.path().join("log")).status
}

#[test]
fn an_append_that_drops_makes_no_system_call() {
    if support::role().is_some() {
        child(Overflow::DropNewest, false);
    }
    assert!(run("an_append_that_drops_makes_no_system_call", "child").success());
}

#[test]
fn an_append_that_overwrites_makes_no_system_call() {
    if support::role().is_some() {
        child(Overflow::OverwriteOldest, false);
    }
    assert!(run("an_append_that_overwrites_makes_no_system_call", "child").success());
}

#[test]
fn the_filter_kills_a_thread_that_makes_one() {
    if support::role().is_some() {
        child(Overflow::DropNewest, true);
    }
    let status = run("the_filter_kills_a_thread_that_makes_one", "child");
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
}
