//! A container that is killed, by SIGKILL or because of its memory limit, with its log and its shared rings on volumes:
//! the next container with the same volumes opens the log, which then has each record exactly once that the killed one
//! had accepted.
//!
//! A container is a process in namespaces of its own, made by `unshare`: it is process 1 there, sees no other process,
//! and has file systems of its own besides the volumes.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use diolog::{Config, Logger, Overflow, RecoveryOutcome, RingMemory};
use support::control_group::{self, Group};
use support::lives::{self, Told};
use support::os;

/// Where a container has its volumes: on its own file system, below the test's directory.
const LOG: &str = "container/log";
const RINGS: &str = "container/rings";

/// Flushes after which a container is killed.
const FLUSHES: u64 = 20;

/// Far less than the machine has, and enough for the log.
const MEMORY_BYTES: u64 = 64 << 20;

/// What one container is to do: its role is this, in words.
enum Task<'a> {
    /// Logs until it is killed.
    Log,
    /// Logs, then takes memory until the kernel kills it because of its control group's limit.
    LogInGroup(&'a Path),
    /// Opens the log that a killed one has left, logs in its turn, and ends.
    GoOn,
}

impl Task<'_> {
    fn role(&self) -> &str {
        match self {
            Task::Log => "log",
            Task::LogInGroup(group) => group.to_str().expect("in ASCII"),
            Task::GoOn => "go on",
        }
    }

    fn of(role: &str) -> Task<'_> {
        match role {
            "log" => Task::Log,
            "go on" => Task::GoOn,
            group => Task::LogInGroup(Path::new(group)),
        }
    }
}

fn config(directory: &Path) -> Config {
    support::config(directory.join(LOG))
        .ring_memory(RingMemory::Shared(directory.join(RINGS)))
        .overflow(Overflow::Block)
        .block_bytes(16 << 10)
        .first_segment_bytes(64 << 10)
        .segment_bytes(256 << 10)
        .ring_bytes(32 << 10)
        .thread_ring_bytes(32 << 10)
        // What is durable is far behind what is accepted.
        .flush_interval(Duration::from_secs(3600))
}

/// What a container's process does: its process 1, or a child of that.
#[allow(clippy::print_stdout, reason = "messages to the one who watches")]
fn run(task: &Task<'_>) {
    let directory = support::child_directory();
    if let Task::LogInGroup(group) = task {
        control_group::enter(group);
    }
    mount_volumes(&directory);
    let logger = Logger::open(config(&directory)).expect("a log");
    if let Task::GoOn = task {
        let [recovery] = logger.recovery() else { panic!("{:?}", logger.recovery()) };
        assert_eq!(recovery.outcome, RecoveryOutcome::Complete, "{recovery}");
        lives::live(logger, 1, &Told::of(&directory, 1), |_| false);
        return assert_eq!(support::rings::in_directory(&directory.join(RINGS)), Vec::<PathBuf>::new());
    }
    let mut flushes = 0;
    lives::live(logger, 0, &Told::of(&directory, 0), |_| {
        flushes += 1;
        if flushes == FLUSHES {
            println!("\nlogging");
            if let Task::LogInGroup(_) = task {
                take_memory_until_killed();
            }
            // From now on nothing is flushed, while the producers go on; until the test is over, if it fails.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        flushes < FLUSHES
    });
}

/// Mounts a file system of the container's own, and the volumes in it.
fn mount_volumes(directory: &Path) {
    os::mount_tmpfs(&directory.join("container"), "size=1m").expect("in a mount namespace");
    for (volume, place) in [("log-volume", LOG), ("rings-volume", RINGS)] {
        std::fs::create_dir(directory.join(place)).expect("on the container's own");
        os::bind_mount(&directory.join(volume), &directory.join(place)).expect("in a mount namespace");
    }
}

fn take_memory_until_killed() -> ! {
    let mut memory = Vec::new();
    loop {
        memory.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&memory);
    }
}

/// How a container's process is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    /// It is process 1.
    Itself,
    /// A shell is process 1.
    Shell,
}

/// The command that runs another one in a new container.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts"]);
    if !os::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

/// The command that runs this file's test in a new container.
fn container(test: &str, task: &Task<'_>, init: Init, directory: &Path) -> Command {
    let own = support::child_command(test, task.role(), directory);
    let mut command = unshare();
    if init == Init::Shell {
        command.args(["sh", "-c", r#"exec 3<&0; "$@" <&3 & wait $!"#, "sh"]);
    }
    command.arg(own.get_program()).args(own.get_args());
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The container's process 1, as the processes outside see it: the only child of `unshare`.
fn process_1_of(unshare: &Child) -> Pid {
    let id = unshare.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("in proc(5)");
    children.trim().parse().ok().and_then(Pid::from_raw).expect("one child")
}

/// Runs a container until it is killed, and another one after it. Compares the log with what the first had been told.
fn kill_and_go_on(test: &str, task: &Task<'_>, init: Init) {
    let directory = support::directory();
    let rings = support::rings::on_tmpfs();
    let path = |name: &str| directory.path().join(name);
    for name in ["container", "log-volume"] {
        std::fs::create_dir(path(name)).expect("a directory");
    }
    std::os::unix::fs::symlink(rings.path(), path("rings-volume")).expect("a directory");

    let mut first = container(test, task, init, directory.path());
    first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut unshare = first.spawn().expect("unshare, which was run before");
    let mut lines = BufReader::new(unshare.stdout.take().expect("piped")).lines().map_while(Result::ok);
    if !lines.any(|line| line == "logging") {
        panic!("{init:?}: {:?}", unshare.wait_with_output());
    }
    let told = Told::of(directory.path(), 0);
    let count = |counts: lives::Counts| counts.iter().sum::<u64>();
    if let Task::Log = task {
        while count(told.accepted()) == count(told.durable()) {
            std::thread::yield_now();
        }
        kill_process(process_1_of(&unshare), Signal::KILL).expect("a process of this test");
    }
    // Every process of the container has ended when nobody can write to its output any more.
    lines.for_each(drop);
    let ended = unshare.wait_with_output().expect("a child");
    // Some versions of `unshare` do not say by which signal.
    assert!(!ended.status.success(), "{init:?}: it was killed: {ended:?}");

    let next = container(test, &Task::GoOn, init, directory.path()).output().expect("unshare");
    support::child::assert_success(&next);
    let accepted = [0, 1].map(|life| Told::of(directory.path(), life).accepted());
    assert!(count(accepted[0]) > count(told.durable()), "{init:?}: all of it was durable");
    let log = path("log-volume");
    let found = lives::compare(&log, &accepted, &accepted, None);
    assert!(!found.is_fault() && found.records > 0, "{init:?}: {found:?}");
    let verification = diolog::verify(&log).expect("a log");
    assert_eq!(verification.verdict.exit_code(), 0, "{init:?}: {:#?}", verification.report);
}

/// Whether this machine lets a test make containers; reports it if not.
fn can_make_containers() -> bool {
    match support::disk::run(unshare().arg("true")) {
        Ok(()) => true,
        Err(why) => {
            support::not_shown("a killed container", why);
            false
        }
    }
}

#[test]
fn a_container_whose_process_1_is_killed_loses_nothing_accepted() {
    const TEST: &str = "a_container_whose_process_1_is_killed_loses_nothing_accepted";
    if let Some(role) = support::role() {
        return run(&Task::of(&role));
    }
    if can_make_containers() {
        kill_and_go_on(TEST, &Task::Log, Init::Itself);
        kill_and_go_on(TEST, &Task::Log, Init::Shell);
    }
}

#[test]
fn a_container_beyond_its_memory_limit_loses_nothing_accepted() {
    const TEST: &str = "a_container_beyond_its_memory_limit_loses_nothing_accepted";
    if let Some(role) = support::role() {
        return run(&Task::of(&role));
    }
    if !can_make_containers() {
        return;
    }
    let Some(group) = Group::new(MEMORY_BYTES) else { return };
    kill_and_go_on(TEST, &Task::LogInGroup(group.path()), Init::Itself);
    assert_eq!(group.kills(), 1, "it was the limit");
}
