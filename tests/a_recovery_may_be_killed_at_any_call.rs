//! `diolog recover` is killed before each of its system calls that change a file, one after the other. The next
//! recovery finds what one that is not killed finds: the same records, each once, and nothing that is missing. Rings
//! are given up only after what was in them is durable.
#![cfg(all(target_os = "linux", not(diolog_portable), feature = "cli"))]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diolog::{Config, Level, Logger, Outcome, Overflow, Reader, RecoveryOutcome, RingMemory, verify};
use support::disk::run;
use support::{child_directory, os, rings};

const TEST: &str = "a_recovery_may_be_killed_before_any_call_that_changes_a_file";

/// The system calls that change a file or a directory.
const CHANGING: &[libc::c_long] = &[
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_pwritev2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_fchmod,
];

fn config(log: PathBuf, rings: &Path) -> Config {
    support::config(log)
        .ring_memory(RingMemory::Shared(rings.to_owned()))
        .ring_bytes(64 << 10)
        .reserve_bytes(0)
        .block_bytes(16 << 10)
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .flush_interval(std::time::Duration::from_secs(3600))
}

/// The child: leaves what the case says in its blocks and its rings, and dies.
fn leave_and_die(case: &str, directory: &Path) -> ! {
    let overflow = if case == "overwrites" { Overflow::OverwriteOldest } else { Overflow::DropNewest };
    let recorder = if case == "records" { 16 << 10 } else { 0 };
    let place = fs::read_link(directory.join("place")).expect("a link");
    let config = config(directory.join("log"), &place).overflow(overflow).flight_recorder(recorder);
    let logger = Logger::open(config).expect("a log");
    let log = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            assert_eq!(logger.log(Level::Info, format!("record {number}")), Outcome::Written);
            if recorder > 0 {
                assert_eq!(logger.log(Level::Debug, format!("detail {number}")), Outcome::Recorded);
            }
        }
    };
    match case {
        "no record" => {}
        "no block" => log(0..100),
        "all durable" => {
            log(0..100);
            logger.flush().expect("durable");
        }
        _ => {
            log(0..100);
            logger.flush().expect("durable");
            log(100..200);
        }
    }
    std::process::abort();
}

/// What a log and its snapshots hold, and how the log verifies.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    messages: Vec<Vec<u8>>,
    snapshots: Vec<Vec<Vec<u8>>>,
    exit_code: Option<u8>,
}

impl Contents {
    fn of(log: &Path) -> Contents {
        let messages = |path: &Path| -> Vec<_> {
            Reader::open(path).expect("a log").map(|record| record.expect("readable").message().to_owned()).collect()
        };
        let files = |directory: &Path| -> Vec<PathBuf> {
            fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect()
        };
        let has_segment = files(log).iter().any(|path| path.extension().is_some_and(|extension| extension == "dlog"));
        Contents {
            messages: if has_segment { messages(log) } else { Vec::new() },
            snapshots: files(&log.join("snapshots")).iter().map(|path| messages(path)).collect(),
            exit_code: has_segment.then(|| verify(log).expect("a log").verdict.exit_code()),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("ours");
    }
    run(Command::new("cp").args(["--archive", "--sparse=always"]).arg(from).arg(to)).expect("room");
}

/// The log and the rings that a child of `test` leaves when it dies in this `case`, with the directories of both.
fn dead(test: &str, case: &str) -> (tempfile::TempDir, tempfile::TempDir, PathBuf, PathBuf) {
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let (log, place) = (directory.path().join("log"), tmpfs.path().join("rings"));
    std::os::unix::fs::symlink(&place, directory.path().join("place")).expect("a link");
    fs::create_dir(&place).expect("a directory");
    os::set_mode(&place, 0o700);
    let output = support::run_child(test, case, directory.path());
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    (directory, tmpfs, log, place)
}

#[test]
fn a_recovery_may_be_killed_before_any_call_that_changes_a_file() {
    if let Some(case) = support::role() {
        leave_and_die(&case, &child_directory());
    }
    for case in ["no record", "no block", "all durable", "records", "overwrites", "damaged"] {
        let (directory, _tmpfs, log, place) = dead(TEST, case);
        let [saved, saved_rings] = ["saved", "saved-rings"].map(|name| directory.path().join(name));
        if case == "damaged" {
            let file = fs::File::options().write(true).open(rings::the_one_in(&place)).expect("a ring file");
            let bytes = file.metadata().expect("a file").len();
            file.set_len(bytes - 4096).expect("shorter");
        }
        copy(&log, &saved);
        copy(&place, &saved_rings);
        let expected_outcome = if case == "damaged" { RecoveryOutcome::Damaged } else { RecoveryOutcome::Complete };
        let mut expected = None;
        for nth in 0.. {
            copy(&saved, &log);
            copy(&saved_rings, &place);
            let mut command = Command::new(env!("CARGO_BIN_EXE_diolog"));
            command.arg("recover").arg(&log).stdout(Stdio::null());
            // The last turn is the one that ends by itself: the others are to find the same.
            let nth = if nth == 0 { None } else { Some(nth - 1) };
            let was_killed = os::kill_before_call(&mut command, CHANGING, nth);
            let recoveries = diolog::recover(&log, None).expect("a log");
            let what = format!("{case}, before call {nth:?}: {recoveries:?}");
            assert!(recoveries.iter().all(|recovery| recovery.outcome == expected_outcome), "{what}");
            assert_eq!(rings::in_directory(&log), Vec::<PathBuf>::new(), "{what}");
            let found = Contents::of(&log);
            assert_eq!(&found, expected.get_or_insert_with(|| Contents::of(&log)), "{what}");
            // Another log that has its rings there removes a file that no log needs.
            let other = Logger::open(config(directory.path().join("other"), &place));
            other.expect("a log").close().expect("closed");
            assert_eq!(rings::in_directory(&place), Vec::<PathBuf>::new(), "{what}");
            let kept = fs::read_dir(&place).expect("a directory").count();
            assert_eq!(kept, usize::from(case == "damaged"), "{what}");
            if nth.is_some() && !was_killed {
                break;
            }
        }
    }
}

#[test]
fn a_segment_is_synced_before_it_has_its_name_and_its_name_before_the_rings_are_given_up() {
    const TEST: &str = "a_segment_is_synced_before_it_has_its_name_and_its_name_before_the_rings_are_given_up";
    if let Some(case) = support::role() {
        leave_and_die(&case, &child_directory());
    }
    // Without a flight recorder, so that there is one file to be written.
    let (directory, _tmpfs, log, place) = dead(TEST, "overwrites");
    let [saved, saved_rings] = ["saved", "saved-rings"].map(|name| directory.path().join(name));
    copy(&log, &saved);
    copy(&place, &saved_rings);
    let mut moments = Vec::new();
    for nth in 0.. {
        copy(&saved, &log);
        copy(&saved_rings, &place);
        let mut command = Command::new(env!("CARGO_BIN_EXE_diolog"));
        command.arg("recover").arg(&log).stdout(Stdio::null());
        if !os::kill_before_call(&mut command, &[libc::SYS_fsync, libc::SYS_fdatasync], Some(nth)) {
            break;
        }
        let files = ["offline.tmp", "00000002.dlog"].map(|name| log.join(name).exists());
        moments.push((files, rings::in_directory(&log).len(), rings::in_directory(&place).len()));
    }
    // Before that, it has taken away files that nobody used.
    moments.retain(|(files, ..)| *files != [false, false]);
    let expected = [([true, false], 1, 1), ([false, true], 1, 1)];
    assert_eq!(moments, expected, "whether it is there without and with its name, links, ring files, before each sync");
    assert_eq!((rings::in_directory(&log).len(), rings::in_directory(&place).len()), (0, 0));
}

#[test]
fn a_recovery_that_cannot_sync_keeps_the_rings_for_the_next_one() {
    const TEST: &str = "a_recovery_that_cannot_sync_keeps_the_rings_for_the_next_one";
    match support::role().as_deref() {
        Some("without sync") => {
            os::filter_system_calls(
                os::Who::AllThreads,
                &[libc::SYS_fsync, libc::SYS_fdatasync],
                os::Fate::Fails(libc::EIO),
                os::Fate::Allowed,
            );
            let recoveries = diolog::recover(child_directory().join("log"), None).expect("a log");
            assert!(recoveries.iter().all(|recovery| recovery.outcome == RecoveryOutcome::Left), "{recoveries:#?}");
            let said = recoveries[0].to_string();
            assert!(said.contains("cannot sync") && said.contains("offline.tmp"), "{said}");
            return;
        }
        Some(case) => leave_and_die(case, &child_directory()),
        None => {}
    }
    let (directory, _tmpfs, log, place) = dead(TEST, "no block");
    // The first sync that fails is to be that of the new segment: there is no other one, and a file that nobody used is
    // taken away before.
    for nth in 0.. {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diolog"));
        command.arg("recover").arg(&log).stdout(Stdio::null());
        assert!(os::kill_before_call(&mut command, &[libc::SYS_fsync], Some(nth)), "the segment is synced");
        if log.join("offline.tmp").exists() {
            break;
        }
    }
    for _ in 0..2 {
        let output = support::run_child(TEST, "without sync", directory.path());
        assert!(output.status.success(), "{output:?}");
        assert_eq!((rings::in_directory(&log).len(), rings::in_directory(&place).len()), (1, 1));
    }
    let recoveries = diolog::recover(&log, None).expect("a log");
    assert!(recoveries.iter().all(|recovery| recovery.outcome == RecoveryOutcome::Complete), "{recoveries:#?}");
    assert_eq!((rings::in_directory(&log).len(), rings::in_directory(&place).len()), (0, 0));
    let Contents { messages, snapshots, exit_code } = Contents::of(&log);
    let accepted: Vec<_> = (0..100).map(|number| format!("record {number}").into_bytes()).collect();
    assert_eq!((messages, snapshots.len(), exit_code), (accepted, 0, Some(0)));
}
