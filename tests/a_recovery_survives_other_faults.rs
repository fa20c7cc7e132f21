//! A process with shared rings has been killed, and something else goes wrong too, before its log is recovered or while
//! it is: the disk has no room, the log has another name, a copy of it is opened, retention has removed its segments,
//! the rings have filled their tmpfs. Afterwards the log has what was accepted, each record once, and verifies.
#![cfg(all(feature = "unstable", target_os = "linux", not(diolog_portable)))]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use diolog::{
    Config, Level, Logger, LossCause, Outcome, Overflow, Reader, Recovery, RecoveryOutcome, RingMemory, State, Verdict,
    verify,
};
use support::account::{self, Attempts, Overwrites};
use support::device::Control;
use support::disk::run;
use support::{child_directory, os, rings};

fn config(log: &Path, rings: &Path) -> Config {
    support::config(log)
        .ring_memory(RingMemory::Shared(rings.to_owned()))
        .overflow(Overflow::Block)
        .ring_bytes(64 << 10)
        .block_bytes(16 << 10)
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .flush_interval(Duration::from_secs(3600))
}

/// Runs `test` again as a child with `role`, which aborts.
fn dies(test: &str, role: &str, directory: &Path) {
    let output = support::run_child(test, role, directory);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
}

/// Logs records with these numbers, and after them a flush if they are to be durable.
fn log(logger: &Logger, name: &str, numbers: std::ops::Range<u64>, durable: bool) {
    for number in numbers {
        assert_eq!(logger.log(Level::Info, format!("{name} {number}")), Outcome::Written);
    }
    if durable {
        logger.flush().expect("durable");
    }
}

fn numbered(name: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("{name} {number}")).collect()
}

/// The messages in a log or a snapshot, which verifies.
fn messages(path: &Path) -> Vec<String> {
    let verification = verify(path).expect("readable");
    assert_eq!(verification.verdict.exit_code(), 0, "{:#?}", verification.report);
    let records = Reader::open(path).expect("readable");
    records.map(|record| String::from_utf8_lossy(record.expect("a record").message()).into_owned()).collect()
}

fn are_complete(recoveries: &[Recovery]) -> bool {
    recoveries.iter().all(|recovery| recovery.outcome == RecoveryOutcome::Complete)
}

/// Copies files without filling their holes.
fn copy(from: impl IntoIterator<Item = PathBuf>, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").args(from).arg(to)).expect("room");
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_file()).collect()
}

/// Leaves records of a log and of its flight recorder in the rings, and dies.
fn record_and_die(log_path: &Path, rings: &Path) -> ! {
    let logger = Logger::open(config(log_path, rings).flight_recorder(64 << 10)).expect("a log");
    log(&logger, "order", 0..100, true);
    log(&logger, "order", 100..300, false);
    for number in 0..300 {
        assert_eq!(logger.log(Level::Debug, format!("detail {number}")), Outcome::Recorded);
    }
    std::process::abort();
}

#[test]
fn a_recovery_that_finds_no_room_leaves_everything_until_there_is_some() {
    const TEST: &str = "a_recovery_that_finds_no_room_leaves_everything_until_there_is_some";
    if let Some(place) = support::role().filter(|role| role != "child") {
        record_and_die(&child_directory().join("disk/log"), Path::new(&place));
    }
    if support::child::ran_in_child(TEST) {
        return;
    }
    let (disk, saved) = (child_directory().join("disk"), child_directory().join("saved"));
    for path in [&disk, &saved] {
        fs::create_dir(path).expect("a directory");
    }
    if let Err(error) = os::make_mounts_private().and_then(|()| os::mount_tmpfs(&disk, "size=1m")) {
        return support::not_shown("a recovery on a full disk", error);
    }
    let place = rings::on_tmpfs();
    let path = disk.join("log");
    dies(TEST, place.path().to_str().expect("in ASCII"), &child_directory());
    let ring_file = rings::the_one_in(place.path());
    copy(files_in(&path).into_iter().chain([ring_file.clone()]), &saved);

    for opens in [false, true] {
        let mut left = 0;
        for pages in 0.. {
            // As the dead process has left it, but on a disk with so many free pages.
            fs::remove_dir_all(&path).expect("ours");
            fs::create_dir(&path).expect("a directory");
            let kept = files_in(&saved);
            copy(kept.iter().filter(|file| file.file_name() != ring_file.file_name()).cloned(), &path);
            copy([saved.join(ring_file.file_name().expect("a name"))], place.path());
            let ballast = disk.join("ballast");
            let mut filling = File::create(&ballast).expect("made");
            while filling.write_all(&[1; 4096]).is_ok() {}
            let bytes = filling.metadata().expect("a file").len();
            filling.set_len(bytes / 4096 * 4096 - 4096 * pages).expect("cut");

            let recovered = match opens {
                false => diolog::recover(&path, None),
                true => Logger::open(config(&path, place.path())).map(|logger| {
                    let recovered = logger.recovery().to_vec();
                    // Without a record there is nothing to write.
                    logger.close().expect("a clean end");
                    recovered
                }),
            };
            let is_temporary = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "tmp");
            let temporary: Vec<_> = files_in(&path).into_iter().filter(is_temporary).collect();
            assert_eq!(temporary, Vec::<PathBuf>::new(), "{pages} pages");
            let is_complete = match &recovered {
                Ok(recovered) => are_complete(recovered),
                Err(error) => {
                    let kind = error.io_error().map(std::io::Error::kind);
                    assert_eq!(kind, Some(std::io::ErrorKind::StorageFull), "{pages} pages: {error}");
                    // Its recovery may have succeeded before that.
                    rings::in_directory(&path).is_empty()
                }
            };
            assert_eq!(ring_file.exists(), !is_complete, "{pages} pages: {recovered:?}");

            drop(filling);
            fs::remove_file(&ballast).expect("ours");
            let again = diolog::recover(&path, None).expect("a log");
            assert_eq!((are_complete(&again), again.len()), (true, usize::from(!is_complete)), "{pages}: {again:?}");
            assert_eq!(messages(&path), numbered("order", 0..300), "{pages} pages");
            let snapshots = diolog::snapshots(&path).expect("a log");
            let details: Vec<_> = snapshots.iter().flat_map(|snapshot| messages(&snapshot.path)).collect();
            assert_eq!(details, numbered("detail", 0..300), "{pages} pages");
            assert!(rings::in_directory(&path).is_empty() && !ring_file.exists(), "{pages} pages");
            if recovered.is_ok() && is_complete {
                break;
            }
            left += u64::from(!is_complete);
        }
        assert!(left > 3, "{left}: there was always room");
    }
}

#[test]
fn a_log_that_has_another_name_is_recovered_there_though_another_log_has_its_old_one() {
    const TEST: &str = "a_log_that_has_another_name_is_recovered_there_though_another_log_has_its_old_one";
    if let Some(when) = support::role() {
        let directory = child_directory();
        let (old, new, place) = (directory.join("old"), directory.join("new"), directory.join("place"));
        let logger = Logger::open(config(&old, &fs::read_link(place).expect("a link"))).expect("a log");
        log(&logger, "order", 0..100, true);
        if when == "alive" {
            fs::rename(old, new).expect("renamed");
            logger.rotate().expect("open");
            log(&logger, "order", 100..200, true);
        } else {
            log(&logger, "order", 100..200, false);
        }
        log(&logger, "order", 200..300, false);
        std::process::abort();
    }
    for when in ["alive", "dead"] {
        let (directory, place) = (support::directory(), rings::on_tmpfs());
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        std::os::unix::fs::symlink(place.path(), directory.path().join("place")).expect("a link");
        dies(TEST, when, directory.path());
        if when == "dead" {
            fs::rename(&old, &new).expect("renamed");
        }
        let dead = rings::the_one_in(place.path());
        // Its open removes ring files that no log needs.
        let other = Logger::open(config(&old, place.path())).expect("a log");
        assert_eq!(other.recovery(), [], "{when}");
        log(&other, "other", 0..10, true);
        assert!(dead.exists(), "{when}");
        let logger = Logger::open(config(&new, place.path())).expect("a log");
        assert!(are_complete(logger.recovery()) && logger.recovery().len() == 1, "{when}: {:?}", logger.recovery());
        assert!(!dead.exists(), "{when}");
        logger.close().expect("a clean end");
        other.close().expect("a clean end");
        assert_eq!(messages(&new), numbered("order", 0..300), "{when}");
        assert_eq!(messages(&old), numbered("other", 0..10), "{when}");
        assert_eq!(rings::in_directory(place.path()), Vec::<PathBuf>::new(), "{when}");
    }
}

#[test]
fn a_copy_of_a_log_does_not_take_its_rings_away() {
    const TEST: &str = "a_copy_of_a_log_does_not_take_its_rings_away";
    if support::role().is_some() {
        let place = fs::read_link(child_directory().join("place")).expect("a link");
        record_and_die(&child_directory().join("log"), &place);
    }
    let (directory, place) = (support::directory(), rings::on_tmpfs());
    let (path, copied) = (directory.path().join("log"), directory.path().join("copy"));
    std::os::unix::fs::symlink(place.path(), directory.path().join("place")).expect("a link");
    dies(TEST, "die", directory.path());
    fs::create_dir(&copied).expect("a directory");
    copy(files_in(&path), &copied);

    let recoveries = diolog::recover(&copied, None).expect("a log");
    let [recovery] = &recoveries[..] else { panic!("{recoveries:?}") };
    assert_eq!(recovery.outcome, RecoveryOutcome::Left, "{recovery}");
    assert!(recovery.to_string().contains(&format!("a copy of the one in {}, ", path.display())), "{recovery}");
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert!(are_complete(&recoveries) && recoveries.len() == 1, "{recoveries:?}");
    assert_eq!(messages(&path), numbered("order", 0..300));
    let recoveries = diolog::recover(&copied, None).expect("a log");
    assert_eq!(recoveries[0].outcome, RecoveryOutcome::Left, "{recoveries:?}");
    let recoveries = diolog::forget(&copied, None).expect("a log");
    assert_eq!(recoveries[0].outcome, RecoveryOutcome::Forgotten, "{recoveries:?}");
}

/// Logs and rotates until the log has no segment of an earlier run, and dies with records in its rings.
fn outlive_the_others_and_die(life: &str) -> ! {
    let path = child_directory().join("log");
    let place = fs::read_link(child_directory().join("place")).expect("a link");
    let logger = Logger::open(config(&path, &place).retain_segments(1)).expect("a log");
    let earlier = support::segments::numbers(&path).into_iter().filter(|number| *number <= last_of_the_others());
    let earlier: Vec<_> = earlier.collect();
    log(&logger, life, 0..10, true);
    while earlier.iter().any(|number| support::segments::file(&path, *number).exists()) {
        logger.rotate().expect("open");
        log(&logger, "filler", 0..1, true);
    }
    log(&logger, life, 10..60, false);
    std::process::abort();
}

/// The last segment that the lives before this one have left.
fn last_of_the_others() -> u64 {
    let number = fs::read_to_string(child_directory().join("last")).expect("written by the parent");
    number.parse().expect("a number")
}

#[test]
fn several_runs_whose_segments_are_removed_before_their_recovery_are_recovered_in_their_order() {
    const TEST: &str = "several_runs_whose_segments_are_removed_before_their_recovery_are_recovered_in_their_order";
    if let Some(life) = support::role() {
        outlive_the_others_and_die(&life);
    }
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let (path, place) = (directory.path().join("log"), tmpfs.path().join("rings"));
    std::os::unix::fs::symlink(&place, directory.path().join("place")).expect("a link");
    let lives = ["a", "b", "c", "d", "e"];
    for life in lives {
        let last = if path.exists() { support::segments::numbers(&path).into_iter().max() } else { None };
        fs::write(directory.path().join("last"), last.unwrap_or(0).to_string()).expect("written");
        dies(TEST, life, directory.path());
        // The next one cannot recover it.
        fs::rename(&place, tmpfs.path().join(life)).expect("renamed");
    }
    fs::create_dir(&place).expect("a directory");
    for file in lives.iter().flat_map(|life| files_in(&tmpfs.path().join(life))) {
        fs::rename(&file, place.join(file.file_name().expect("a name"))).expect("renamed");
    }
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert!(are_complete(&recoveries) && recoveries.len() == lives.len(), "{recoveries:?}");
    let read = messages(&path);
    // The last one has a segment, which comes before those of the others now.
    let in_order = ["e", "a", "b", "c", "d"];
    let in_rings: Vec<_> = in_order.iter().flat_map(|life| numbered(life, 10..60)).collect();
    let last_of_lives: Vec<_> = read.iter().filter(|message| in_rings.contains(message)).cloned().collect();
    assert_eq!(last_of_lives, in_rings);
    assert_eq!(rings::in_directory(&place), Vec::<PathBuf>::new());
}

#[test]
fn what_was_overwritten_before_the_first_block_was_not_dropped() {
    const TEST: &str = "what_was_overwritten_before_the_first_block_was_not_dropped";
    let path = |directory: &Path| directory.join("log");
    if let Some(place) = support::role() {
        let config = config(&path(&child_directory()), Path::new(&place)).overflow(Overflow::OverwriteOldest);
        let logger = Logger::open(config.ring_bytes(4096)).expect("a log");
        let producer = logger.producer().expect("a ring");
        let outcomes = (0..180).map(|number| producer.log(Level::Info, format!("order {number}")));
        let dropped = outcomes.filter(|outcome| *outcome == Outcome::Dropped).count();
        fs::write(child_directory().join("dropped"), dropped.to_string()).expect("written");
        std::process::abort();
    }
    // It depends on the writer thread what it had taken by then, and whether it had begun a segment.
    for _ in 0..8 {
        let (directory, place) = (support::directory(), rings::on_tmpfs());
        dies(TEST, place.path().to_str().expect("in ASCII"), directory.path());
        let dropped = fs::read_to_string(directory.path().join("dropped")).expect("noted");
        let recoveries = diolog::recover(path(directory.path()), None).expect("a log");
        assert!(are_complete(&recoveries) && recoveries.len() == 1, "{recoveries:?}");
        let report = verify(path(directory.path())).expect("readable").report;
        let of_run = report.runs.first().and_then(|run| Some((run.clean_end, run.producers.first()?)));
        let expected = match of_run {
            // The writer had taken records, and nobody knows whether they became durable.
            None | Some((false, _)) => Verdict::Unconfirmed,
            Some((true, producer)) => {
                let whole = producer.records + producer.dropped + producer.overwritten;
                assert_eq!(whole + producer.unwritten, 180, "{report:#?}");
                if whole < 180 { Verdict::Lost } else { account::intact(producer.dropped) }
            }
        };
        let shown = of_run.map_or(0, |(_, producer)| producer.dropped);
        assert_eq!(shown.to_string(), if of_run.is_some() { dropped } else { "0".into() }, "{report:#?}");
        assert_eq!(report.verdict(), expected, "{report:#?}");
    }
}

#[test]
fn a_ring_file_that_another_one_has_replaced_is_left_until_it_is_back() {
    const TEST: &str = "a_ring_file_that_another_one_has_replaced_is_left_until_it_is_back";
    if support::role().is_some() {
        let place = fs::read_link(child_directory().join("place")).expect("a link");
        record_and_die(&child_directory().join("log"), &place);
    }
    let logs = [(); 2].map(|()| (support::directory(), rings::on_tmpfs()));
    for (directory, place) in &logs {
        std::os::unix::fs::symlink(place.path(), directory.path().join("place")).expect("a link");
        dies(TEST, "die", directory.path());
    }
    let [(directory, place), (_, other)] = &logs;
    let (own, other) = (rings::the_one_in(place.path()), rings::the_one_in(other.path()));
    fs::rename(&own, place.path().join("own")).expect("renamed");
    copy([other], place.path());
    let replaced = rings::the_one_in(place.path());
    fs::rename(&replaced, &own).expect("renamed");
    let path = directory.path().join("log");
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert_eq!(recoveries[0].outcome, RecoveryOutcome::Left, "{recoveries:?}");
    assert!(recoveries[0].to_string().contains("not of the one in its name"), "{}", recoveries[0]);
    fs::rename(place.path().join("own"), &own).expect("renamed");
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert!(are_complete(&recoveries) && recoveries.len() == 1, "{recoveries:?}");
    assert_eq!(messages(&path), numbered("order", 0..300));
}

#[test]
fn a_run_that_is_recovered_after_the_next_one_loses_nothing_for_a_follower_or_by_retention() {
    const TEST: &str = "a_run_that_is_recovered_after_the_next_one_loses_nothing_for_a_follower_or_by_retention";
    if support::role().is_some() {
        let place = fs::read_link(child_directory().join("place")).expect("a link");
        let logger = Logger::open(config(&child_directory().join("log"), &place)).expect("a log");
        log(&logger, "first", 0..10, true);
        log(&logger, "first", 10..20, false);
        std::process::abort();
    }
    let (directory, tmpfs) = (support::directory(), rings::on_tmpfs());
    let (path, place) = (directory.path().join("log"), tmpfs.path().join("rings"));
    std::os::unix::fs::symlink(&place, directory.path().join("place")).expect("a link");
    dies(TEST, "die", directory.path());
    // The next run cannot recover it.
    fs::rename(&place, tmpfs.path().join("away")).expect("renamed");
    let log_run = |name: &str, config: Config| {
        let logger = Logger::open(config).expect("a log");
        log(&logger, name, 0..10, true);
        logger.close().expect("a clean end");
    };
    log_run("second", support::config(&path));
    let mut follower = Reader::open(&path).expect("readable");
    let read = |follower: &mut Reader| {
        let records = follower.by_ref().map(|record| record.expect("a record").text().into_owned());
        records.collect::<Vec<String>>()
    };
    assert_eq!(read(&mut follower), [numbered("first", 0..10), numbered("second", 0..10)].concat());

    fs::rename(tmpfs.path().join("away"), &place).expect("renamed");
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert!(are_complete(&recoveries) && recoveries.len() == 1, "{recoveries:?}");
    assert!(follower.follow(Duration::from_secs(3600)).expect("readable"));
    assert_eq!(read(&mut follower), numbered("first", 10..20));
    assert_eq!(follower.report().verdict(), diolog::Verdict::Clean, "{:#?}", follower.report());
    assert_eq!((follower.report().removed_segments, follower.report().removed_blocks), (0, 0));

    // Its segment from before its death goes, and the one of its recovery stays.
    log_run("third", support::config(&path).retain_segments(3));
    let kept = [numbered("second", 0..10), numbered("first", 10..20), numbered("third", 0..10)].concat();
    assert_eq!(messages(&path), kept);
}

/// Notes the outcomes of the only producer, and dies.
fn note_and_die(attempts: &Attempts) -> ! {
    let outcomes = attempts.outcomes.iter().map(|outcome| u8::from(*outcome == Outcome::Written));
    fs::write(child_directory().join("outcomes"), outcomes.collect::<Vec<_>>()).expect("written");
    std::process::abort();
}

/// What a child of this one has noted.
fn noted() -> Attempts {
    let outcomes = fs::read(child_directory().join("outcomes")).expect("written").into_iter();
    let outcome = |written| if written == 1 { Outcome::Written } else { Outcome::Dropped };
    Attempts { id: 1, outcomes: outcomes.map(outcome).collect() }
}

/// Logs until the disk is full and the ring too, and dies.
fn fill_the_disk_and_die() -> ! {
    let place = fs::read_link(child_directory().join("place")).expect("a link");
    let config = config(&child_directory().join("disk/log"), &place).overflow(Overflow::DropNewest).reserve_bytes(0);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    let mut attempts = Attempts::new(&producer);
    while logger.stats().state != State::Full {
        attempts.log(&producer);
    }
    while attempts.log(&producer) == Outcome::Written {}
    note_and_die(&attempts);
}

#[test]
fn a_process_that_dies_on_a_full_disk_loses_nothing_accepted_once_there_is_room() {
    const TEST: &str = "a_process_that_dies_on_a_full_disk_loses_nothing_accepted_once_there_is_room";
    if support::role().is_some_and(|role| role == "die") {
        fill_the_disk_and_die();
    }
    if support::child::ran_in_child(TEST) {
        return;
    }
    let (disk, place) = (child_directory().join("disk"), rings::on_tmpfs());
    fs::create_dir(&disk).expect("a directory");
    std::os::unix::fs::symlink(place.path(), child_directory().join("place")).expect("a link");
    if let Err(error) = os::make_mounts_private().and_then(|()| os::mount_tmpfs(&disk, "size=1m")) {
        return support::not_shown("a full disk", error);
    }
    let (path, ballast) = (disk.join("log"), disk.join("ballast"));
    fs::write(&ballast, [1; 256 << 10]).expect("room");
    dies(TEST, "die", &child_directory());
    let before = files_in(&path);
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert_eq!(recoveries[0].outcome, RecoveryOutcome::Left, "{recoveries:?}");
    // Less may be there: a file that was prepared and not used is removed first.
    assert!(files_in(&path).iter().all(|file| before.contains(file)), "nothing is left of the attempt");
    fs::remove_file(ballast).expect("ours");
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert!(are_complete(&recoveries) && recoveries[0].records > 0, "{recoveries:?}");
    account::check(&path, &[noted()], Overwrites::No);
}

/// Fills a tmpfs with what a disk that takes nothing leaves in the rings, and dies.
fn fill_the_tmpfs_and_die() -> ! {
    let directory = child_directory();
    let control = Control::default();
    let config = config(&directory.join("log"), &directory.join("rings")).overflow(Overflow::DropNewest);
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    control.block_submit(true);
    let mut attempts = Attempts::new(&producer);
    while attempts.log(&producer) == Outcome::Written {}
    (0..1000).for_each(|_| _ = attempts.log(&producer));
    assert_eq!(logger.stats().dropped_by.count(LossCause::RingMemory), logger.stats().dropped);
    note_and_die(&attempts);
}

#[test]
fn rings_that_have_filled_their_tmpfs_are_recovered_with_the_drops_that_this_has_cost() {
    const TEST: &str = "rings_that_have_filled_their_tmpfs_are_recovered_with_the_drops_that_this_has_cost";
    if support::role().is_some_and(|role| role == "fill") {
        fill_the_tmpfs_and_die();
    }
    if support::child::ran_in_child(TEST) {
        return;
    }
    let directory = child_directory();
    let (place, path) = (directory.join("rings"), directory.join("log"));
    fs::create_dir(&place).expect("a directory");
    os::set_mode(&place, 0o700);
    if let Err(error) = os::make_mounts_private().and_then(|()| os::mount_tmpfs(&place, "size=4m,mode=0700")) {
        return support::not_shown("a full tmpfs", error);
    }
    dies(TEST, "fill", &directory);
    // Another log finds no room there, and takes none away.
    let dead = rings::the_one_in(&place);
    let opened = Logger::open(config(&directory.join("other"), &place));
    let error = opened.and_then(|other| other.producer().map(drop)).expect_err("no room for a window");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::StorageFull), "{error}");
    assert!(dead.exists());
    let recoveries = diolog::recover(&path, None).expect("a log");
    assert!(are_complete(&recoveries) && recoveries.len() == 1, "{recoveries:?}");
    account::check(&path, &[noted()], Overwrites::No);
    let report = verify(&path).expect("a log").report;
    let dropped_by = report.dropped_by();
    assert!(dropped_by.ring_memory > 0 && dropped_by.total() == dropped_by.ring_memory, "{dropped_by:?}");
    // There is room again.
    let logger = Logger::open(config(&path, &place)).expect("a log");
    logger.producer().expect("a ring");
    logger.close().expect("a clean end");
}
