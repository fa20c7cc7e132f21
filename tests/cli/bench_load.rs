//! `diolog bench load`: its sums agree, its verdict is that of `verify`, and it removes its files. The figures themselves
//! are not judged here.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::process::{Place, run, status, stderr, stdout};

/// Runs a load in `directory` with `options`, and returns its exit status and its figures.
fn load(directory: &str, options: &[&str]) -> (i32, Value) {
    let fixed = ["bench", "load", directory, "--format", "json"];
    let output = run(fixed.iter().chain(options), b"");
    assert_eq!(stderr(&output), "");
    (status(&output), serde_json::from_str(&stdout(&output)).expect("JSON"))
}

fn disk(place: &Place) -> PathBuf {
    let directory = place.join("disk");
    fs::create_dir(&directory).expect("made");
    directory
}

fn number(figures: &Value, name: &str) -> u64 {
    figures[name].as_u64().unwrap_or_else(|| panic!("{name} in {figures}"))
}

#[test]
fn every_message_that_is_due_is_in_the_files_and_each_second_has_a_row() {
    let place = Place::new();
    let (directory, csv) = (disk(&place), place.join("seconds.csv"));
    let [directory_name, csv_name] = [&directory, &csv].map(|path| path.to_str().expect("UTF-8"));
    let options = [
        "--threads",
        "3",
        "--rate",
        "2000",
        "--bytes",
        "64:9,1..300:1",
        "--time",
        "1200 ms",
        "--csv",
        csv_name,
        "--disk-bytes",
        "256 MiB",
    ];
    let (status, figures) = load(directory_name, &options);
    assert_eq!((status, &figures["verdict"], &figures["adds_up"]), (0, &"clean".into(), &true.into()), "{figures}");
    // On a machine that is busy the threads may be late at the end, and say so.
    assert_eq!(number(&figures, "accepted") + number(&figures, "not_begun"), 2400, "{figures}");
    assert_eq!((number(&figures, "lost"), number(&figures, "in_files")), (0, number(&figures, "accepted")));
    assert!(number(&figures["append_ns"], "max") >= number(&figures["append_ns"], "p50"), "{figures}");

    let csv = fs::read_to_string(csv).expect("the rows");
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let columns = rows.next().expect("a heading");
    let rows: Vec<_> = rows.collect();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.len() == columns.len()), "{csv}");
    let sum = |name| {
        let at = columns.iter().position(|column| *column == name).expect(name);
        rows.iter().map(|row| row[at].parse::<u64>().expect("a number")).sum::<u64>()
    };
    assert_eq!(sum("accepted"), number(&figures, "accepted"));
    assert_eq!(sum("bytes"), number(&figures, "bytes"));
    assert_eq!(directory.read_dir().expect("the directory").count(), 0);
}

#[test]
fn messages_that_retention_removed_are_in_the_sum() {
    let place = Place::new();
    let directory = disk(&place);
    // 39 MB, of which 24 MiB are kept.
    let options = ["--threads", "2", "--rate", "600", "--bytes", "64KiB", "--time", "1 s", "--block-bytes", "256 KiB"];
    let limits = ["--disk-bytes", "48 MiB", "--overflow", "block"];
    let (status, figures) = load(directory.to_str().expect("UTF-8"), &[&options[..], &limits].concat());
    assert_eq!(status, 0, "{figures}");
    assert!(number(&figures, "retired") > 0, "{figures}");
    assert_eq!(number(&figures, "accepted"), number(&figures, "in_files") + number(&figures, "retired"));
}
