//! `diolog snapshots`, and the other commands on snapshots.

use std::fs;

use diolog::{Level, Logger};
use serde_json::Value;

use crate::process::{Place, run, status, stderr, stdout};
use crate::support;

/// A log with two snapshots, of one record and of two.
fn place() -> Place {
    let place = Place::new();
    let logger = Logger::open(support::config(place.log()).flight_recorder(4096)).expect("a log");
    let producer = logger.producer_named("orders").expect("a ring");
    producer.log(Level::Debug, "one");
    producer.log(Level::Info, "in the log");
    logger.snapshot("first one").expect("written");
    producer.log(Level::Debug, "two");
    producer.log(Level::Trace, "three");
    logger.snapshot("second").expect("written");
    logger.close().expect("a clean end");
    place
}

#[test]
fn snapshots_are_listed_with_time_reason_and_size() {
    let place = place();
    let log = place.log();
    let folder = log.join("snapshots");
    for path in [&log, &folder] {
        let path = path.to_str().expect("UTF-8");
        let output = run(["snapshots", path], b"");
        let text = stdout(&output);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        assert!(text.starts_with(&format!("{path}: 2 snapshots, 3 records, ")), "{text}");
        let rows: Vec<Vec<_>> = text.lines().skip(2).map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert_eq!((rows[0][1], rows[0][2], rows[1][1], rows[1][2]), ("first-one", "1", "second", "2"), "{text}");
        assert!(rows[0][0].ends_with('Z') && rows[0].last().is_some_and(|name| name.ends_with("-first-one.dlog")));
    }
    let output = run(["snapshots", "--format", "json", log.to_str().expect("UTF-8")], b"");
    let object: Value = serde_json::from_str(&stdout(&output)).expect("an object");
    let snapshots = object["snapshots"].as_array().expect("an array");
    assert_eq!((snapshots.len(), &snapshots[1]["reason"], &snapshots[1]["records"]), (2, &"second".into(), &2.into()));
    assert_eq!(snapshots[0]["fault"], Value::Null);
    assert!(snapshots[0]["path"].as_str().is_some_and(|path| fs::metadata(path).is_ok()));
}

#[test]
fn the_other_commands_read_a_snapshot_their_folder_and_both_with_the_log() {
    let place = place();
    let log = place.log();
    let folder = log.join("snapshots");
    let first = diolog::snapshots(&log).expect("snapshots")[0].path.clone();
    let [log, folder, first] = [&log, &folder, &first].map(|path| path.to_str().expect("UTF-8"));
    let cat = |paths: &[&str]| {
        let output = run([&["cat", "--format", "message"], paths].concat(), b"");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(cat(&[first]), "one\n");
    assert_eq!(cat(&[folder]), "one\ntwo\nthree\n");
    assert_eq!(cat(&[log]), "in the log\n");
    assert_eq!(cat(&[log, folder]), "one\nin the log\ntwo\nthree\n");
    assert_eq!(stdout(&run(["tail", "-n", "1", "--format", "message", folder], b"")), "three\n");
    for path in [first, folder, log] {
        let verified = run(["verify", path], b"");
        assert_eq!(status(&verified), 0, "{}", stdout(&verified));
        let info = run(["info", path], b"");
        assert_eq!(status(&info), 0, "{}", stdout(&info));
    }
    assert!(stdout(&run(["info", folder], b"")).contains("2 runs in 2 segments"));
}

#[test]
fn a_log_of_which_only_snapshots_are_left_is_said_to_be_one() {
    let place = place();
    let log = place.log();
    let segments = fs::read_dir(&log).expect("there").map(|entry| entry.expect("an entry").path());
    segments.filter(|path| path.is_file()).for_each(|path| fs::remove_file(path).expect("removed"));
    let (log, folder) = (log.to_str().expect("UTF-8"), log.join("snapshots"));
    let folder = folder.to_str().expect("UTF-8");
    for command in ["verify", "info", "cat", "tail"] {
        let output = run([command, log], b"");
        let said = stderr(&output);
        assert_eq!(status(&output), 3, "{command}: {said}");
        assert!(said.contains(&format!("{log} holds no record of the log itself")), "{command}: {said}");
        assert!(said.contains(&format!("`diolog snapshots {log}`")) && said.contains(folder), "{command}: {said}");
    }
    assert_eq!(status(&run(["snapshots", log], b"")), 0);
    assert_eq!(status(&run(["verify", folder], b"")), 0);
}

#[test]
fn a_log_without_snapshots_has_none_and_a_damaged_one_is_named() {
    let place = place();
    let log = place.log();
    let folder = log.join("snapshots");
    let first = diolog::snapshots(&log).expect("snapshots")[0].path.clone();
    fs::write(&first, "not a segment").expect("written");
    let output = run(["snapshots", log.to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 1);
    assert!(stdout(&output).contains("found: ") && stdout(&output).contains("is not a diolog segment"));
    fs::remove_dir_all(&folder).expect("removed");
    let output = run(["snapshots", log.to_str().expect("UTF-8")], b"");
    assert_eq!((status(&output), stdout(&output).contains(": 0 snapshots, 0 records")), (0, true));
    fs::create_dir(&folder).expect("made");
    assert_eq!(status(&run(["snapshots", log.to_str().expect("UTF-8")], b"")), 0, "an empty folder");
    let nothing = place.join("nothing");
    assert_eq!(status(&run(["snapshots", nothing.to_str().expect("UTF-8")], b"")), 3);
    fs::write(&nothing, "something else").expect("written");
    assert_eq!(status(&run(["snapshots", nothing.to_str().expect("UTF-8")], b"")), 3, "a file that is no snapshot");
}

#[test]
fn a_snapshot_that_lacks_a_block_or_its_end_is_named_with_the_status_of_what_is_unconfirmed() {
    let place = place();
    let log = place.log();
    let first = diolog::snapshots(&log).expect("snapshots")[0].path.clone();
    let whole = fs::read(&first).expect("readable");
    let log = log.to_str().expect("UTF-8");
    let mut wiped = whole.clone();
    wiped[4096..8192].fill(0);
    let mut flipped = whole.clone();
    flipped[4096 + 100] ^= 1;
    let cut = whole[..whole.len() - 4096].to_vec();
    for (what, bytes) in [("wiped", wiped), ("flipped", flipped), ("cut", cut)] {
        fs::write(&first, bytes).expect("written");
        let verified = status(&run(["verify", first.to_str().expect("UTF-8")], b""));
        let output = run(["snapshots", log], b"");
        assert!(verified > 0 && status(&output) == 1, "{what}: {}", stdout(&output));
        assert!(stdout(&output).contains("\nfound: "), "{what}: {}", stdout(&output));
    }
    fs::write(&first, whole).expect("written");
    assert_eq!(status(&run(["snapshots", log], b"")), 0);
}
