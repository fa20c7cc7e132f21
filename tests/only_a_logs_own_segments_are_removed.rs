//! Retention leaves alone every file that has a segment's name but is, by its content, none of this log's segments. The
//! next open removes temporary files and prepared files that were never used, as a crash leaves them.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use diolog::{Logger, Verdict, Verification, info, verify};
use support::segments::{file, grow, numbers, run, seal, small};

/// Everything in a directory except the numbered files in `except`, with the contents of files.
fn contents(log: &Path, except: &[u64]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut contents: Vec<_> = fs::read_dir(log)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name() != Some("lock".as_ref()))
        .filter(|path| !except.iter().any(|number| *path == file(log, *number)))
        .map(|path| {
            let is_file = path.symlink_metadata().expect("there").is_file();
            let bytes = if is_file { fs::read(&path).expect("readable") } else { Vec::new() };
            (path, bytes)
        })
        .collect();
    contents.sort();
    contents
}

#[test]
fn other_files_with_a_segments_name_are_left_alone() {
    let directory = support::directory();
    let (path, other) = (directory.path().join("log"), directory.path().join("other"));
    run(small(&path), 4);
    run(small(&other), 12);
    let own = fs::read(file(&path, 1)).expect("a segment");

    fs::copy(file(&other, 11), file(&path, 11)).expect("a segment of another log");
    fs::copy(file(&path, 1), file(&path, 12)).expect("a segment under another's number");
    fs::write(file(&path, 13), "a log in plain text\n").expect("a foreign file");
    fs::write(file(&path, 14), [7; 64 << 10]).expect("a large foreign file");
    fs::create_dir(file(&path, 15)).expect("a directory");
    let mut newer = own.clone();
    newer[8..12].copy_from_slice(b"DLB2");
    seal(&mut newer, 0);
    fs::write(file(&path, 16), newer).expect("a segment of a newer version");
    let mut damaged = own.clone();
    damaged[200] ^= 1;
    fs::write(file(&path, 2), damaged).expect("a segment with a damaged header");
    fs::write(path.join("000000001.dlog"), &own).expect("a segment's number spelled otherwise");
    fs::write(path.join("00000001.dlog.bak"), &own).expect("a copy");
    fs::write(path.join("notes.txt"), "").expect("a note");
    #[cfg(unix)]
    {
        let outside = directory.path().join("outside");
        fs::copy(file(&path, 1), &outside).expect("a copy");
        std::os::unix::fs::symlink(&outside, file(&path, 17)).expect("a link");
        let made = std::process::Command::new("mkfifo").arg(file(&path, 18)).status();
        if !made.is_ok_and(|status| status.success()) {
            support::not_shown("a FIFO under a segment's name", "there is no mkfifo");
        }
    }
    let foreign = contents(&path, &[1, 3, 4]);
    let limits = |config: diolog::Config| {
        let month = std::time::Duration::from_secs(30 * 24 * 3600);
        config.retain_segments(1).retain_bytes(32 << 10).retain_for(month)
    };

    let logger = Logger::open(limits(small(&path))).expect("a log");
    grow(&logger, 3);
    logger.close().expect("a clean end");

    let last = *numbers(&path).last().expect("a segment");
    assert!(last > 18, "{last}: no number was used twice");
    assert_eq!(contents(&path, &[last]), foreign, "the log's own segments are gone, all else is unchanged");
    assert_eq!(verify(file(&path, last)).expect("a segment").report.runs[0].segments, 1);
    let notes = info(&path).expect("a log");
    assert!(notes.segments.iter().any(|segment| segment.index == last));
}

#[test]
fn the_log_notes_the_files_that_it_leaves_alone() {
    let directory = support::directory();
    let (path, other) = (directory.path().join("log"), directory.path().join("other"));
    run(small(&path), 2);
    run(small(&other), 4);
    fs::copy(file(&other, 4), file(&path, 4)).expect("a segment of another log");
    run(small(&path).retain_segments(3), 3);
    assert_eq!(numbers(&path), [4, 5, 6, 7], "the foreign one is not counted");
    let runs = verify(&path).expect("a log").report.runs;
    let notes: Vec<_> = runs.iter().flat_map(|run| &run.notes).collect();
    let is_meant =
        |note: &&String| note.contains("00000004.dlog is a segment of another log: retention leaves it alone");
    assert_eq!(notes.iter().filter(|note| is_meant(note)).count(), 1, "{notes:?}");
}

#[test]
fn a_file_prepared_and_never_used_is_removed_and_one_with_a_block_is_not() {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 2);
    let used = fs::read(file(&path, 1)).expect("a segment");
    fs::write(file(&path, 3), vec![0; 3 << 20]).expect("prepared, unused");
    fs::write(file(&path, 4), vec![0; 1 << 20]).expect("prepared, unused");
    fs::write(file(&path, 5), []).expect("prepared on a full disk, unused");
    // The first block did not reach the disk, the last one did.
    let mut without_header = vec![0; (2 << 20) - used.len()];
    without_header.extend_from_slice(&used);
    fs::write(file(&path, 6), &without_header).expect("a file that holds blocks");
    for temporary in ["spare.tmp", ".probe-1-2.tmp"] {
        fs::write(path.join(temporary), [0; 100]).expect("a temporary file");
    }
    fs::write(path.join("mine.tmp"), "").expect("another's temporary file");

    let logger = Logger::open(small(&path)).expect("a log");
    let left = ["spare.tmp", ".probe-1-2.tmp", "mine.tmp"].map(|name| path.join(name).exists());
    assert_eq!(left, [false, false, true], "removed under the lock, before open returns");
    // In the background, once a block of this run is durable.
    grow(&logger, 1);
    while numbers(&path) != [1, 2, 6, 7] {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
    assert_eq!(fs::read(file(&path, 6)).expect("readable"), without_header);
}

#[test]
fn a_file_that_a_killed_process_had_prepared_is_removed_at_the_next_open() {
    let directory = support::directory();
    let path = directory.path().join("log");
    if support::role().is_some() {
        let path = support::child_directory().join("log");
        let logger = Logger::open(small(&path)).expect("a log");
        let producer = logger.producer().expect("a producer");
        // With half of the segment used the writer asks for the next one; no block comes that would use that.
        for _ in 0..5 {
            support::segments::block(&logger, &producer);
        }
        while numbers(&path).len() < 2 {
            std::thread::yield_now();
        }
        std::process::abort();
    }
    let test = "a_file_that_a_killed_process_had_prepared_is_removed_at_the_next_open";
    let child = support::run_child(test, "writer", directory.path());
    assert!(!child.status.success(), "it was to abort");
    let before = info(&path).expect("a log");
    assert_eq!((before.segments.len(), before.prepared_files.len()), (1, 1), "{before:?}");

    let logger = Logger::open(small(&path)).expect("a log");
    grow(&logger, 1);
    while numbers(&path) != [1, 3] {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
    let verification = verify(&path).expect("a log");
    assert_eq!(verification.report.prepared_files, 0);
    assert_eq!(verification.verdict, Verdict::Unconfirmed, "the killed run has no end");
    assert_eq!(verification.report.blocks.lost, 0);
    assert_eq!(missing(&verification), Vec::<String>::new(), "the file that was removed is not taken for a lost one");

    fs::remove_file(file(&path, 1)).expect("a segment");
    let found = missing(&verify(&path).expect("a log"));
    assert_eq!(found.len(), 1, "the killed run's segment: {found:?}");
    assert!(found[0].starts_with("one of the log's files before it is missing"), "{found:?}");
}

#[test]
fn processes_killed_before_their_first_block_leave_no_number_unexplained() {
    let test = "processes_killed_before_their_first_block_leave_no_number_unexplained";
    if support::role().is_some() {
        let path = support::child_directory().join("log");
        let _logger = Logger::open(small(&path)).expect("a log");
        std::process::abort();
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 1);
    for killed in 1..=2 {
        let child = support::run_child(test, "writer", directory.path());
        assert!(!child.status.success(), "it was to abort");
        assert_eq!(numbers(&path).len(), 1 + killed, "nothing else says that these numbers held no block");
    }
    let logger = Logger::open(small(&path)).expect("a log");
    grow(&logger, 1);
    while numbers(&path) != [1, 4] {
        std::thread::yield_now();
    }
    logger.close().expect("a clean end");
    let verification = verify(&path).expect("a log");
    let [finding] = &verification.report.findings[..] else { panic!("{verification:#?}") };
    assert!(finding.what.starts_with("2 runs right before it ended before their first write"), "{finding}");
    assert_eq!(verification.verdict, Verdict::Unconfirmed, "nobody knows what they had accepted");
}

/// The findings about files that are missing.
fn missing(verification: &Verification) -> Vec<String> {
    let whats = verification.report.findings.iter().map(|finding| finding.what.clone());
    whats.filter(|what| what.contains("missing")).collect()
}

#[cfg(feature = "unstable")]
#[test]
fn on_a_full_disk_segments_are_removed_without_waiting_for_a_rotation() {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use diolog::unstable::ManualClock;
    use diolog::{Level, Outcome, State};

    const ENOSPC: i32 = 28;
    const HOUR: Duration = Duration::from_secs(3600);

    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 3);
    let clock: &ManualClock = Box::leak(Box::default());
    let set_wall_time = |later: Duration| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + later;
        clock.unix_ns.store(i64::try_from(now.as_nanos()).expect("before 2262"), Relaxed);
    };
    set_wall_time(Duration::ZERO);
    let control = support::device::Control::default();
    let config = small(&path).segment_bytes(1 << 20).first_segment_bytes(1 << 20).retain_for(HOUR);
    let logger = control.hooks().clock(clock).open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    support::segments::block(&logger, &producer);
    assert_eq!(numbers(&path), [1, 2, 3, 4], "nothing is old yet");

    control.fail_with(Some(ENOSPC));
    set_wall_time(2 * HOUR);
    assert_eq!(producer.log(Level::Info, "waits for room"), Outcome::Written);
    logger.flush().expect_err("there is no room");
    while numbers(&path) != [4] {
        std::thread::yield_now();
    }
    assert_eq!(logger.stats().state, State::Full);
    control.fail_with(None);
    while logger.flush().is_err() {
        std::thread::yield_now();
    }
    drop(producer);
    logger.close().expect("a clean end");
    assert_eq!(verify(&path).expect("a log").verdict, Verdict::Clean);
}
