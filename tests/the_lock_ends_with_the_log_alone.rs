//! A log is locked from open to close, or to the end of its process: nothing else in the process ends the lock, and no
//! child keeps it. It costs the process no descriptor and no signal.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use diolog::{Error, Level, Logger, Outcome};
use rustix::fs::FlockOperation::NonBlockingLockExclusive;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use support::os::{Fate, Who, filter_system_calls, fork, fork_and_wait, send_signal};

/// The holder named by the error of opening `path`.
fn holder(path: &Path) -> String {
    let error = Logger::open(support::config(path)).expect_err("somebody has it");
    let Error::InUse { holder, .. } = error else { panic!("{error}") };
    holder
}

/// Asserts that another process is refused the log at `path`, and is told that this one has it.
fn assert_others_are_refused(path: &Path) {
    let this = format!("process {}", std::process::id());
    assert_eq!(fork(|| assert_eq!(holder(path), this)), 0);
}

/// The lock file of the log at `path`, open as a backup or an older diolog opens it.
fn lock_file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path.join("lock")).expect("the log's lock file")
}

#[test]
fn closing_the_lock_file_elsewhere_in_the_process_does_not_free_the_log() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    // A service that copies its own directory, on this thread and on another one.
    drop(lock_file(&path));
    fs::copy(path.join("lock"), directory.path().join("copy")).expect("readable");
    std::thread::scope(|scope| scope.spawn(|| drop(lock_file(&path))).join().expect("no panic"));
    assert_others_are_refused(&path);
    assert_eq!(holder(&path), "this process");
    // Also when a second log opens and closes beside it.
    Logger::open(support::config(directory.path().join("other"))).expect("a log").close().expect("a clean end");
    assert_others_are_refused(&path);
    assert_eq!(logger.log(Level::Info, "still ours"), Outcome::Written);
    logger.close().expect("a clean end");
    Logger::open(support::config(&path)).expect("nobody has it").close().expect("a clean end");
}

/// The child of the next test: opens the log, forks, and waits to be killed.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn open_and_fork() {
    let logger = Logger::open(support::config(support::child_directory())).expect("a log");
    logger.log(Level::Info, "from the process that is killed");
    logger.flush().expect("durable");
    println!("\nforked {}", fork_and_wait());
    std::io::stdout().flush().expect("the parent listens");
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn a_child_that_outlives_the_process_does_not_keep_the_log() {
    if support::role().is_some() {
        return open_and_fork();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let test = "a_child_that_outlives_the_process_does_not_keep_the_log";
    let mut command = support::child_command(test, "holder", &path);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child process");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let forked = lines.map(|line| line.expect("text")).find_map(|line| line.strip_prefix("forked ")?.parse().ok());
    let forked: u32 = forked.expect("the child ended early");
    assert_eq!(holder(&path), format!("process {}", child.id()));
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    let logger = Logger::open(support::config(&path)).expect("nobody has it");
    // It still runs, with copies of all its parent's descriptors.
    assert!(Path::new(&format!("/proc/{forked}")).exists(), "{forked}");
    logger.close().expect("a clean end");
    send_signal(forked, libc::SIGKILL);
}

#[test]
fn an_older_diolog_is_refused_and_is_respected() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let logger = Logger::open(support::config(&path)).expect("a log");
    drop(lock_file(&path));
    let this = std::process::id();
    // As older versions do it: a record lock on the whole file, in the process's own table, and a question by whom.
    let status = fork(|| {
        let file = lock_file(&path);
        assert_eq!(rustix::fs::fcntl_lock(&file, NonBlockingLockExclusive), Err(rustix::io::Errno::AGAIN));
        let lock = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).expect("an answer").expect("a lock");
        assert_eq!(lock.pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()), Some(this));
    });
    assert_eq!(status, 0);
    // Two versions in one process.
    let file = lock_file(&path);
    assert_eq!(rustix::fs::fcntl_lock(&file, NonBlockingLockExclusive), Err(rustix::io::Errno::AGAIN));
    logger.close().expect("a clean end");
    rustix::fs::fcntl_lock(&file, NonBlockingLockExclusive).expect("nobody has it");
    assert_others_are_refused(&path);
}

#[test]
fn a_sandbox_without_private_descriptors_has_a_lock_too() {
    if support::child::ran_in_child("a_sandbox_without_private_descriptors_has_a_lock_too") {
        return;
    }
    let path = support::child_directory().join("log");
    let (close_range, unshare) = (libc::SYS_close_range, libc::SYS_unshare);
    // First an older kernel, then the sandbox.
    for (calls, errno) in [(vec![close_range], libc::ENOSYS), (vec![close_range, unshare], libc::EPERM)] {
        filter_system_calls(Who::AllThreads, &calls, Fate::Fails(errno), Fate::Allowed);
        let logger = Logger::open(support::config(&path)).expect("a log");
        if !calls.contains(&unshare) {
            drop(lock_file(&path));
        }
        assert_others_are_refused(&path);
        assert_eq!(holder(&path), "this process");
        assert_others_are_refused(&path);
        logger.close().expect("a clean end");
        Logger::open(support::config(&path)).expect("nobody has it").close().expect("a clean end");
    }
}

#[test]
fn the_lock_keeps_no_descriptor_of_the_process_open_and_takes_no_signal() {
    if support::child::ran_in_child("the_lock_keeps_no_descriptor_of_the_process_open_and_takes_no_signal") {
        return;
    }
    let directory = support::directory();
    for older_kernel in [false, true] {
        if older_kernel {
            filter_system_calls(Who::AllThreads, &[libc::SYS_close_range], Fate::Fails(libc::ENOSYS), Fate::Allowed);
        }
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
        drop(writer);
        assert_eq!(reader.read(&mut [0]).expect("readable"), 0, "a copy of the writing end is open");
        let thread = support::os::thread_named("diolog-lock");
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).expect("procfs");
        let open = fs::read_dir(format!("/proc/self/task/{thread}/fd")).expect("procfs").count();
        assert_eq!(open, 1, "the lock file, and nothing else");
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("in proc(5)").trim();
        let blocked = u64::from_str_radix(blocked, 16).expect("a mask");
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGALRM, libc::SIGPROF] {
            assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal}: {blocked:x}");
        }
        logger.close().expect("a clean end");
    }
}

#[test]
fn one_thread_holds_the_locks_of_many_logs_and_each_ends_with_its_own() {
    if support::child::ran_in_child("one_thread_holds_the_locks_of_many_logs_and_each_ends_with_its_own") {
        return;
    }
    let directory = support::directory();
    let path = |number: usize| directory.path().join(format!("log-{number}"));
    for in_sandbox in [false, true] {
        if in_sandbox {
            let call = [libc::SYS_pidfd_getfd];
            filter_system_calls(Who::AllThreads, &call, Fate::Fails(libc::EPERM), Fate::Allowed);
        }
        let mut loggers: Vec<_> =
            (0..4).map(|number| Some(Logger::open(support::config(path(number))).expect("a log"))).collect();
        support::os::wait_for_threads("diolog-lock", 1);
        // The first, whose file the thread began with; one from the middle; the last.
        for ended in [0, 2, 3] {
            let logger = loggers[ended].take().expect("open");
            logger.close().expect("a clean end");
            assert_eq!(fork(|| drop(lock_alone(&path(ended)))), 0);
            for number in (0..4).filter(|number| loggers[*number].is_some()) {
                drop(lock_file(&path(number)));
                assert_others_are_refused(&path(number));
            }
            Logger::open(support::config(path(ended))).expect("nobody has it").close().expect("a clean end");
        }
        loggers[1].take().expect("open").close().expect("a clean end");
    }
}

/// Locks the lock file of the log at `path`, as nobody else has.
fn lock_alone(path: &Path) -> File {
    let file = lock_file(path);
    rustix::fs::fcntl_lock(&file, NonBlockingLockExclusive).expect("nobody has it");
    file
}
