//! Gaps where records are missing, as `cat` and `tail` print them.

use diolog::{Level, Outcome};
#[cfg(not(diolog_portable))]
use serde_json::Value;

use crate::process::{Place, run, status, stderr, stdout};
use crate::support::{self, device::Control};

/// A log whose producer lost three records before its last one. Returns how many it has before the gap.
fn with_gap() -> (Place, usize) {
    let place = Place::new();
    let control = Control::default();
    let config = support::config(place.log()).ring_bytes(4096).service("orders");
    let logger = control.hooks().open(config).expect("a log");
    let producer = logger.producer_named("worker-1").expect("a ring");
    control.hold();
    let log = || producer.log(Level::Info, [b'x'; 100]);
    let mut written = 0;
    while log() == Outcome::Written {
        written += 1;
    }
    assert_eq!([log(), log()], [Outcome::Dropped; 2], "the device is held");
    control.release();
    logger.flush().expect("durable");
    assert_eq!(producer.log(Level::Info, "after"), Outcome::Written);
    logger.close().expect("a clean end");
    (place, written)
}

/// What a command prints on standard output and standard error. Drops are allowed.
fn said(place: &Place, command: &[&str]) -> (String, String) {
    let log = place.log();
    let output = run([command, &["--allow-drops", log.to_str().expect("UTF-8")]].concat(), b"");
    assert_eq!(status(&output), 0, "{command:?}: {}", stderr(&output));
    (stdout(&output), stderr(&output))
}

const SENTENCE: &str = "3 records of worker-1 dropped here: ring full";

#[test]
fn text_has_a_line_for_a_gap_where_it_is_unless_gaps_are_left_out() {
    let (place, before) = with_gap();
    let (text, _) = said(&place, &["cat"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[before]), (before + 2, SENTENCE), "{text}");
    assert!(lines[before + 1].ends_with(" worker-1 after"), "{text}");
    let (text, _) = said(&place, &["cat", "--no-gaps"]);
    assert!(text.lines().count() == before + 1 && !text.contains("dropped here"), "{text}");
    let (text, _) = said(&place, &["cat", "--color=always"]);
    assert!(text.contains(&format!("\x1b[33m{SENTENCE}\x1b[0m")), "{text}");
}

#[test]
fn gaps_do_not_count_as_records() {
    let (place, _) = with_gap();
    for command in [&["tail", "-n", "1"][..], &["cat", "-n", "1"]] {
        let (text, _) = said(&place, command);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0] == SENTENCE && lines[1].ends_with(" after"), "{command:?}: {text}");
    }
    let (text, _) = said(&place, &["cat", "-n", "1", "-r"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(" after") && lines[1] == SENTENCE, "{text}");
}

// Off Linux the name of the host is not known.
#[test]
#[cfg(not(diolog_portable))]
fn json_has_an_object_for_a_gap_and_says_who_wrote_a_record() {
    let (place, before) = with_gap();
    let (text, _) = said(&place, &["cat", "--format", "json"]);
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let gap = &objects[before];
    assert_eq!((&gap["kind"], &gap["count"], &gap["cause"]), (&"gap".into(), &3.into(), &"ring_full".into()), "{gap}");
    assert_eq!((&gap["first_sequence"], &gap["name"]), (&before.to_string().into(), &"worker-1".into()), "{gap}");
    let record = &objects[before + 1];
    assert_eq!((&record["kind"], &record["sequence"]), (&"record".into(), &(before + 3).to_string().into()));
    assert_eq!((&record["service"], &record["pid"]), (&"orders".into(), &std::process::id().into()), "{record}");
    for field in ["run", "time", "service", "host", "pid", "producer", "name", "tid"] {
        assert_eq!(gap[field], record[field], "{field} of {gap}");
    }
    let shared = ["kind", "time", "monotonic_ns", "service", "host", "pid", "producer", "name", "tid", "run"];
    for line in text.lines().skip(before).take(2) {
        let places: Vec<_> = shared.iter().map(|name| line.find(&format!("\"{name}\":")).expect("a field")).collect();
        assert!(places.is_sorted(), "{line}");
    }
    #[cfg(target_os = "linux")]
    assert!(record["host"].as_str().is_some_and(|host| !host.is_empty()), "{record}");
}

#[test]
fn messages_are_alone_on_standard_output_and_their_gaps_on_standard_error() {
    let (place, before) = with_gap();
    for command in ["cat", "tail"] {
        let all = ["-n", "1000000"];
        let (messages, said_gaps) = said(&place, &[&[command, "--format", "message"], &all[..]].concat());
        let (plain, said_nothing) = said(&place, &[&[command, "--format", "message", "--no-gaps"], &all[..]].concat());
        assert_eq!(messages, plain);
        assert_eq!(messages.lines().count(), before + 1);
        assert!(said_gaps.contains(&format!("diolog: {SENTENCE}\n")), "{said_gaps}");
        assert!(!said_nothing.contains("dropped here"), "{said_nothing}");
    }
    let (messages, said_gaps) = said(&place, &["cat", "--format", "message"]);
    assert_eq!(messages.lines().count(), before + 1);
    assert!(said_gaps.contains(&format!("diolog: {SENTENCE}\n")), "{said_gaps}");
}

#[test]
fn a_gap_says_which_of_several_logs_it_is_in() {
    let (place, _) = with_gap();
    let other = Place::with_log(b"other\n");
    let (log, other) = (place.log(), other.log());
    let [log, other] = [&log, &other].map(|path| path.to_str().expect("UTF-8"));
    let text = stdout(&run(["cat", log, other], b""));
    assert!(text.contains(&format!("{log}: {SENTENCE}\n")), "{text}");
}
