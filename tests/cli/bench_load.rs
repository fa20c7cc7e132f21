//! `diolog bench load`: its sums agree, its verdict is that of `verify`, and it removes its files. The figures
//! themselves are not judged here.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::process::{Place, run, status, stderr, stdout};
#[cfg(target_os = "linux")]
use crate::process::{Signal, diolog, interrupt, is_received};

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
        "--message-bytes",
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
    let directory = directory.to_str().expect("UTF-8");
    // 39 MB in a second, of which 24 MiB are kept. A slow disk takes longer for as much.
    let removes_some = |time| {
        let options = ["--threads", "2", "--rate", "600", "--message-bytes", "64KiB", "--block-bytes", "256 KiB"];
        let limits = ["--disk-bytes", "48 MiB", "--overflow", "block", "--time", time];
        let (status, figures) = load(directory, &[&options[..], &limits].concat());
        assert_eq!(status, 0, "{figures}");
        assert_eq!(number(&figures, "accepted"), number(&figures, "in_files") + number(&figures, "retired"));
        number(&figures, "retired") > 0
    };
    assert!(["1 s", "10 s", "100 s"].into_iter().any(removes_some), "all messages are in the files");
}

#[test]
fn what_a_full_ring_costs_is_in_the_sum() {
    let place = Place::new();
    let directory = disk(&place);
    for policy in ["drop_newest", "overwrite_oldest"] {
        // The smallest rings: they hold eight messages.
        let options = ["--ring-bytes", "4 KiB", "--reserve-bytes", "0", "--message-bytes", "480", "--rate", "100000"];
        let limits = ["--overflow", policy, "--time", "300 ms", "--disk-bytes", "128 MiB"];
        let (status, figures) = load(directory.to_str().expect("UTF-8"), &[&options[..], &limits].concat());
        let [dropped, overwritten] = ["dropped", "overwritten"].map(|cause| number(&figures, cause));
        assert!(dropped + overwritten > 0, "{figures}");
        // Overwriting is what the policy was asked for.
        let expected = if dropped > 0 { (4, "dropped") } else { (0, "clean") };
        assert_eq!((status, &figures["verdict"]), (expected.0, &expected.1.into()), "{figures}");
        assert_eq!((&figures["adds_up"], number(&figures, "lost")), (&true.into(), dropped + overwritten), "{figures}");
        assert_eq!(number(&figures, "accepted"), number(&figures, "in_files") + overwritten, "{figures}");
    }
}

#[test]
fn losses_are_shown_with_their_cause_and_a_remedy() {
    let place = Place::new();
    let directory = disk(&place);
    let options =
        ["--ring-bytes", "4 KiB", "--reserve-bytes", "0", "--message-bytes", "480:9,1KiB", "--rate", "100000"];
    let limits = ["--time", "300 ms", "--disk-bytes", "128 MiB"];
    let fixed = ["bench", "load", directory.to_str().expect("UTF-8")];
    let output = run(fixed.iter().chain(&options).chain(&limits), b"");
    let text = stdout(&output);
    assert_eq!(status(&output), 4, "{text}");
    assert!(text.contains("messages of 480 bytes (9 in 10), 1 KiB (1 in 10), "), "{text}");
    assert!(
        text.contains(" dropped (ring full): the longest write took ") && text.contains("raise --reserve-bytes"),
        "{text}"
    );
}

#[test]
fn rows_of_several_rates_can_be_told_apart() {
    let place = Place::new();
    let (directory, csv) = (disk(&place), place.join("seconds.csv"));
    let [directory_name, csv_name] = [&directory, &csv].map(|path| path.to_str().expect("UTF-8"));
    let (_, csv) = {
        let options = ["--rate", "200,0.5,max", "--time", "300 ms", "--disk-bytes", "128 MiB", "--csv", csv_name];
        let output = run(["bench", "load", directory_name].iter().chain(&options), b"");
        (status(&output), fs::read_to_string(csv).expect("the rows"))
    };
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = rows.next().expect("a heading").iter().position(|column| *column == "rate").expect("the rate");
    let mut rates: Vec<_> = rows.map(|row| row[at]).collect();
    rates.dedup();
    assert_eq!(rates, ["200", "0.5", ""], "{csv}");
}

#[test]
fn events_have_a_log_each_and_are_summed_up() {
    let place = Place::new();
    let directory = disk(&place);
    let svg = place.join("seconds.svg");
    let [directory_name, svg_name] = [&directory, &svg].map(|path| path.to_str().expect("UTF-8"));
    let options = ["--events", "3", "--rate", "200,max", "--time", "300 ms", "--disk-bytes", "64 MiB", "--keep"];
    let fixed = ["bench", "load", directory_name, "--plot", svg_name];
    let output = run(fixed.iter().chain(&options), b"");
    let (text, kept) = (stdout(&output), stderr(&output));
    assert_eq!(status(&output), 0, "{text}{kept}");
    assert_eq!(text.matches("4 threads, 3 logs, messages of 200 bytes").count(), 2, "{text}");
    assert_eq!(text.matches("verify: clean; accepted").count(), 2, "{text}");

    // Those of the second load alone.
    let kept = PathBuf::from(kept.trim().strip_prefix("diolog: the files are in ").expect("the place"));
    let mut names: Vec<_> =
        kept.read_dir().expect("the files").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["event-0", "event-1", "event-2"]);
    for name in names {
        let output = run(["verify".as_ref(), kept.join(name).as_os_str()], b"");
        assert_eq!(status(&output), 0, "{}", stdout(&output));
    }
    assert!(fs::read_to_string(svg).expect("the plot").contains("accepted"));
}

#[test]
fn more_events_than_an_engine_has_blocks_for_by_default_have_logs() {
    let place = Place::new();
    let directory = disk(&place);
    // Blocks of the default size: those of 128 logs are what an engine has room for by default.
    let options =
        ["--events", "130", "--threads", "2", "--rate", "1000", "--time", "300 ms", "--disk-bytes", "1200 MiB"];
    let (status, figures) = load(directory.to_str().expect("UTF-8"), &options);
    assert_eq!((status, &figures["verdict"], &figures["adds_up"]), (0, &"clean".into(), &true.into()), "{figures}");
    assert_eq!((number(&figures, "events"), number(&figures, "lost")), (130, 0), "{figures}");
    assert_eq!(number(&figures, "accepted") + number(&figures, "not_begun"), 300, "{figures}");
    assert_eq!(number(&figures, "in_files"), number(&figures, "accepted"), "{figures}");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_the_load_early_with_its_summary() {
    if !is_received(Signal::INT) {
        return;
    }
    let place = Place::new();
    let (directory, csv) = (disk(&place), place.join("seconds.csv"));
    let [directory_name, csv_name] = [&directory, &csv].map(|path| path.to_str().expect("UTF-8"));
    let options = ["--rate", "100", "--time", "10 min", "--csv", csv_name, "--disk-bytes", "64 MiB"];
    let command = diolog(["bench", "load", directory_name, "--format", "json"].iter().chain(&options)).spawn();
    let child = command.expect("a child");
    while fs::read_to_string(&csv).unwrap_or_default().lines().count() < 2 {
        std::thread::yield_now();
    }
    interrupt(&child);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let figures: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(figures["adds_up"], true, "{figures}");
    assert!(number(&figures, "accepted") >= 1 && figures["seconds"].as_f64() < Some(600.0), "{figures}");
    assert_eq!(directory.read_dir().expect("the directory").count(), 0);
}

#[test]
fn what_cannot_be_run_is_an_error_that_names_the_value_and_a_remedy() {
    let place = Place::new();
    let directory = disk(&place);
    let nowhere = place.join("nowhere");
    let [directory_name, nowhere_name] = [&directory, &nowhere].map(|path| path.to_str().expect("UTF-8"));
    for (options, at, says) in [
        (&["--rate", "-1"][..], 64, &["'-1'", "50%"][..]),
        (&["--message-bytes", "9..1"], 64, &["9..1", "turn them round"]),
        (&["--message-bytes", "20 MiB"], 64, &["--message-bytes is 20 MiB: use at most"]),
        (&["--disk-bytes", "9 GiB"], 64, &["9 GiB", "use at most 8 GiB"]),
        (&["--disk-bytes", "1 MiB"], 64, &["--disk-bytes of 1.0 MiB", "use at least \"8256 KiB\""]),
        (&["--events", "1000", "--disk-bytes", "1 GiB"], 64, &["1,000 logs", "fewer --events"]),
        (&["--threads", "0"], 64, &["'0'", "from 1 to 4096"]),
        (&["--time", "0 s"], 64, &["'0 s'", "at most 1 day"]),
        (&["--overflow", "drop"], 64, &["'drop'", "drop_newest"]),
        (&["--writer-core", "9999"], 64, &["--writer-core is 9999"]),
        (&["--ring-bytes", "5000"], 64, &["--ring-bytes is 5,000 bytes: use a power of two"]),
        (&["--overflow", "block_for=2h"], 64, &["at most 1 hour"]),
    ] {
        let output = run(["bench", "load", directory_name].iter().chain(options), b"");
        let message = stderr(&output);
        assert_eq!(status(&output), at, "{options:?}: {message}");
        for part in says {
            assert!(message.contains(part), "{options:?}: {message}");
        }
        assert_eq!(directory.read_dir().expect("the directory").count(), 0);
    }
    for bench in ["load", "disk"] {
        let output = run(["bench", bench, nowhere_name], b"");
        let said = format!("diolog: {nowhere_name} does not exist: create it first, on the disk to measure\n");
        assert_eq!((status(&output), stderr(&output)), (3, said));
    }
}
