//! `diolog tail` across removals: of the log, and of segments by retention.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Child;
use std::sync::mpsc::Receiver;

use crate::process::{Place, Signal, diolog, interrupt, lines_of, run, signal, status, stderr};

/// A follower of the place's log, with its lines and its messages.
fn tail(place: &Place, options: &[&str]) -> (Child, Receiver<String>, Receiver<String>) {
    let log = place.log();
    let arguments = [&["tail", "--format", "message", log.to_str().expect("UTF-8")], options].concat();
    let mut child = diolog(arguments).spawn().expect("a child");
    let printed = lines_of(child.stdout.take().expect("piped"));
    let said = lines_of(child.stderr.take().expect("piped"));
    (child, printed, said)
}

fn write(place: &Place, options: &[&str], lines: &str) {
    let log = place.log();
    let output = run([&["write", log.to_str().expect("UTF-8")], options].concat(), lines.as_bytes());
    assert_eq!(status(&output), 0, "{}", stderr(&output));
}

/// The ways to remove a log: as a whole, by another name, and its files only.
fn removals() -> [fn(&Place); 3] {
    [
        |place| fs::remove_dir_all(place.log()).expect("removed"),
        |place| fs::rename(place.log(), place.join("old")).expect("renamed"),
        |place| {
            let entries = place.log().read_dir().expect("the log");
            entries.for_each(|entry| fs::remove_file(entry.expect("an entry").path()).expect("removed"));
        },
    ]
}

#[test]
fn without_upper_case_f_a_removed_log_ends_the_follower_with_one_message() {
    for remove in removals() {
        let place = Place::with_log(b"one\n");
        let (mut tail, printed, said) = tail(&place, &["-f"]);
        assert_eq!(printed.recv().as_deref(), Ok("one"));
        remove(&place);
        let messages: Vec<_> = said.iter().collect();
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(
            messages[0].contains("the log was removed or replaced: ") && messages[0].contains("tail -F"),
            "{messages:?}"
        );
        assert_eq!(tail.wait().expect("its end").code(), Some(3));
    }
}

#[test]
fn with_upper_case_f_a_log_is_waited_for_and_followed_when_it_is_made_anew() {
    for remove in removals() {
        let place = Place::new();
        let (mut tail, printed, said) = tail(&place, &["-F", "-n", "1"]);
        let waiting = said.recv().expect("a line");
        assert!(waiting.ends_with(" does not exist; waiting for a log there"), "{waiting}");
        // All of a log that was not there before.
        write(&place, &[], "one\ntwo\n");
        assert_eq!([printed.recv(), printed.recv()], ["one", "two"].map(|line| Ok(line.to_owned())));
        assert!(said.recv().expect("a line").contains("reading the log that is there now"));
        for lines in [["three", "four"], ["five", "six"]] {
            remove(&place);
            let _ = fs::remove_dir_all(place.join("old"));
            write(&place, &[], &format!("{}\n{}\n", lines[0], lines[1]));
            assert_eq!([printed.recv(), printed.recv()], lines.map(|line| Ok(line.to_owned())));
        }
        interrupt(&tail);
        assert_eq!(tail.wait().expect("its end").code(), Some(0));
        let messages: Vec<_> = said.iter().collect();
        assert!(
            messages.iter().any(|line| line.contains("the log was removed or replaced: waiting for a new one there")),
            "{messages:?}"
        );
        assert!(messages.len() < 10, "{messages:?}");
        assert_eq!(printed.iter().count(), 0, "each record once");
    }
}

#[test]
fn what_the_removed_log_still_held_is_printed_before_the_new_one() {
    let place = Place::with_log(b"one\n");
    let (mut tail, printed, _said) = tail(&place, &["-F"]);
    assert_eq!(printed.recv().as_deref(), Ok("one"));
    let log = place.log();
    let mut writer = diolog(["write", "--flush-interval", "1 ms", log.to_str().expect("UTF-8")]);
    let mut writer = writer.stdin(std::process::Stdio::piped()).spawn().expect("a child");
    let mut stdin = writer.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, b"two\n").expect("written");
    assert_eq!(printed.recv().as_deref(), Ok("two"));
    // The follower sees nothing of the rest until the log is gone.
    signal(&tail, Signal::STOP);
    std::io::Write::write_all(&mut stdin, b"three\n").expect("written");
    drop(stdin);
    assert!(writer.wait().expect("its end").success());
    fs::remove_dir_all(place.log()).expect("removed");
    write(&place, &[], "four\n");
    signal(&tail, Signal::CONT);
    assert_eq!([printed.recv(), printed.recv()], ["three", "four"].map(|line| Ok(line.to_owned())));
    interrupt(&tail);
    assert_eq!(tail.wait().expect("its end").code(), Some(0));
}

#[test]
fn segments_that_retention_removed_before_they_were_read_are_counted() {
    let sizes = ["--block-bytes", "4096", "--segment-bytes", "32KiB", "--message-bytes-max", "1KiB"];
    let options = [&sizes[..], &["--retain-segments", "2"]].concat();
    let place = Place::new();
    write(&place, &options, "one\n");
    let (mut tail, printed, said) = tail(&place, &["-f"]);
    assert_eq!(printed.recv().as_deref(), Ok("one"));
    // Meanwhile two runs write more than retention keeps.
    signal(&tail, Signal::STOP);
    let line = "x".repeat(999) + "\n";
    // A segment grows beyond its size until the next one is prepared: many blocks, so that retention keeps few of them.
    for lines in [400, 8000] {
        write(&place, &options, &line.repeat(lines));
    }
    signal(&tail, Signal::CONT);
    // The gap may be said before.
    let message = said.iter().find(|line| !line.contains(" missing here: ")).expect("a line");
    assert!(message.contains("retention removed ") && message.contains(" before they were read"), "{message}");
    let number = |what: &str| {
        let words: Vec<_> = message.split(' ').collect();
        let at = words.iter().position(|word| word.starts_with(what)).unwrap_or_else(|| panic!("{what}: {message}"));
        words[at - 1].replace(',', "").parse::<u64>().expect("a number")
    };
    // What is left follows.
    assert!(printed.recv().is_ok());
    assert!(number("segment") > 1 && number("block") > 10 && number("record") > 100, "{message}");
    interrupt(&tail);
    // What was removed unread is retention's purpose.
    assert_eq!(tail.wait().expect("its end").code(), Some(0));
}

#[test]
fn segments_of_the_run_that_is_followed_are_counted_too() {
    use std::io::Write as _;
    let place = Place::new();
    let log = place.log();
    let options = ["--block-bytes", "4096", "--segment-bytes", "32KiB", "--message-bytes-max", "1KiB"];
    let options = [&["write", log.to_str().expect("UTF-8"), "--retain-segments", "2"][..], &options].concat();
    let mut writer = diolog(options).stdin(std::process::Stdio::piped()).spawn().expect("a child");
    let mut stdin = writer.stdin.take().expect("piped");
    stdin.write_all(b"one\n").expect("written");
    while run(["cat", "--format", "message", log.to_str().expect("UTF-8")], b"").stdout != b"one\n" {}
    let first = place.segments().remove(0);
    let (mut tail, printed, said) = tail(&place, &["-f"]);
    assert_eq!(printed.recv().as_deref(), Ok("one"));
    signal(&tail, Signal::STOP);
    let line = "x".repeat(999) + "\n";
    // Until its first segments are gone, the one that it has begun and others.
    while first.exists() || place.segments()[0].file_name() < Some("00000008.dlog".as_ref()) {
        stdin.write_all(line.repeat(16).as_bytes()).expect("written");
    }
    signal(&tail, Signal::CONT);
    // The gap may be said before, and that a segment is gone before it is known what it held.
    let mut messages = said.iter().filter(|line| !line.contains(" missing here: "));
    loop {
        let message = messages.next().expect("a line");
        assert!(message.contains("retention removed ") && message.ends_with(" read"), "{message}");
        if message.contains(" block") && message.contains(" record") {
            break;
        }
    }
    drop(stdin);
    let output = writer.wait_with_output().expect("its end");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    interrupt(&tail);
    assert_eq!(tail.wait().expect("its end").code(), Some(0));
}
