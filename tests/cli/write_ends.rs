//! The ends of `diolog write`: signals, the end of the input, and a disk that is full then.
#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use crate::process::{
    Place, Signal, diolog, handles_signals, is_received, lines_of, messages, run, signal, status, stderr,
};
#[cfg(not(diolog_portable))]
use crate::support;

/// A child that writes to the place's log, and its input.
fn writer(place: &Place, flush_interval: &str) -> (Child, ChildStdin) {
    let log = place.log();
    let arguments = ["write", "--flush-interval", flush_interval, log.to_str().expect("UTF-8")];
    let mut child = diolog(arguments).stdin(Stdio::piped()).spawn().expect("a child");
    let stdin = child.stdin.take().expect("piped");
    (child, stdin)
}

/// Waits until the log's last line is `line`. The child has then read what was written together with it.
fn wait_for(place: &Place, line: &[u8]) {
    while !run(["cat", "--format", "message", place.log().to_str().expect("UTF-8")], b"").stdout.ends_with(line) {}
}

#[test]
fn after_ctrl_c_and_after_a_hang_up_the_input_is_read_to_its_end() {
    for (sent, expected) in [(Signal::INT, 130), (Signal::HUP, 129)] {
        if !is_received(sent) {
            continue;
        }
        let place = Place::new();
        let (child, mut stdin) = writer(&place, "1 ms");
        stdin.write_all(b"one\n").expect("written");
        wait_for(&place, b"one\n");
        signal(&child, sent);
        // What the program that feeds it prints last.
        stdin.write_all(b"two\nthe end").expect("the child still reads");
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        assert_eq!(status(&output), expected, "{}", stderr(&output));
        assert!(stderr(&output).contains("3 records"), "{}", stderr(&output));
        assert!(stderr(&output).contains("all durable"), "{}", stderr(&output));
        assert_eq!(messages(&place), b"one\ntwo\nthe end\n");
    }
}

#[test]
fn after_ctrl_c_an_input_that_is_silent_and_stays_open_ends_after_two_seconds() {
    if !is_received(Signal::INT) {
        return;
    }
    let place = Place::new();
    let (child, mut stdin) = writer(&place, "1 ms");
    stdin.write_all(b"one\nbegun").expect("written");
    wait_for(&place, b"one\n");
    let begun = Instant::now();
    signal(&child, Signal::INT);
    let output = child.wait_with_output().expect("its end");
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(status(&output), 130, "{}", stderr(&output));
    assert!(stderr(&output).contains("waiting for the end of the input"), "{}", stderr(&output));
    drop(stdin);
    assert_eq!(messages(&place), b"one\nbegun\n");
}

#[test]
fn sigterm_and_sigquit_take_what_the_pipe_holds_and_drain() {
    for (sent, expected) in [(Signal::TERM, 143), (Signal::QUIT, 131)] {
        if !is_received(sent) {
            continue;
        }
        let place = Place::new();
        let (child, mut stdin) = writer(&place, "1 ms");
        stdin.write_all(b"one\n").expect("written");
        wait_for(&place, b"one\n");
        // The child finds the lines in its pipe and the signal pending, in whatever order it looks.
        signal(&child, Signal::STOP);
        stdin.write_all(b"two\nthree\nbegun").expect("the pipe has room");
        signal(&child, sent);
        signal(&child, Signal::CONT);
        let output = child.wait_with_output().expect("its end");
        assert_eq!(status(&output), expected, "{}", stderr(&output));
        assert!(stderr(&output).contains("all durable"), "{}", stderr(&output));
        drop(stdin);
        assert_eq!(messages(&place), b"one\ntwo\nthree\nbegun\n");
    }
}

#[test]
fn a_second_signal_ends_at_once_and_names_what_is_not_confirmed() {
    if !is_received(Signal::INT) {
        return;
    }
    let place = Place::new();
    let (mut child, mut stdin) = writer(&place, "1 min");
    stdin.write_all(b"one\n").expect("written");
    let said = lines_of(child.stderr.take().expect("piped"));
    while !handles_signals(&child) {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    // The first has been received, and the input is silent.
    assert!(said.recv().expect("a line").contains("waiting for the end of the input"));
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 143);
    let last = said.recv().expect("a line");
    let expected = "diolog: ended at once: 1 record not confirmed durable; the rest of the input is not logged";
    assert_eq!(last, expected);
    drop(stdin);
}

#[test]
fn a_signal_that_was_ignored_when_it_started_stays_ignored() {
    let place = Place::new();
    let log = place.log();
    let script = "trap '' HUP; exec \"$0\" write --flush-interval '1 ms' \"$1\"";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_diolog")]).arg(log).env_remove("DIOLOG_LEVEL");
    let mut child = shell.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"one\n").expect("written");
    wait_for(&place, b"one\n");
    signal(&child, Signal::HUP);
    stdin.write_all(b"two\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(messages(&place), b"one\ntwo\n");
}

/// A log on a file system of 32 MiB that is full: a child whose input has ended is waiting for space.
#[cfg(not(diolog_portable))]
fn on_a_full_disk(test: &str, then: impl FnOnce(&std::path::Path, Child, std::sync::mpsc::Receiver<String>)) {
    support::disk::on_a_disk(32 << 20, "defaults", test, |disk| {
        let ballast = disk.join("ballast");
        std::fs::write(&ballast, vec![0xBA; 16 << 20]).expect("room for the ballast");
        let log = disk.join("log");
        // A ring that holds all that is fed until the child has said that the disk is full.
        let arguments = ["write", "--block-bytes", "64 KiB", "--ring-bytes", "32 MiB", "--flush-interval", "1 ms"];
        let mut command = diolog(arguments);
        let mut child = command.arg(&log).stdin(Stdio::piped()).spawn().expect("a child");
        let said = lines_of(child.stderr.take().expect("piped"));
        let mut stdin = child.stdin.take().expect("piped");
        let lines = [b"x".repeat(999), b"\n".to_vec()].concat().repeat(16);
        // More than the disk holds, and less than it holds without the ballast.
        (0..1000).for_each(|_| stdin.write_all(&lines).expect("the child reads"));
        let first = said.recv().expect("a line");
        assert!(first.contains("no space left for the log: waiting for space"), "{first}");
        drop(stdin);
        then(disk, child, said);
    });
}

#[test]
#[cfg(not(diolog_portable))]
fn a_full_disk_is_waited_for_after_the_end_of_the_input() {
    let test = "write_ends::a_full_disk_is_waited_for_after_the_end_of_the_input";
    on_a_full_disk(test, |disk, child, said| {
        // Longer than the deadline of `close`, which must not have begun. Ending before it is the failure.
        let still_waiting = said.recv_timeout(Duration::from_secs(7));
        assert_eq!(still_waiting, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "it ended");
        std::fs::remove_file(disk.join("ballast")).expect("ours to remove");
        let again = said.recv().expect("a line");
        assert!(again.contains("the log can be written again"), "{again}");
        let summary = said.recv().expect("a line");
        assert!(summary.contains("all durable"), "{summary}");
        let output = child.wait_with_output().expect("its end");
        assert_eq!(status(&output), 0);
    });
}

#[test]
#[cfg(not(diolog_portable))]
fn ctrl_c_ends_the_wait_for_a_full_disk_and_names_what_is_not_confirmed() {
    if !is_received(Signal::INT) {
        return;
    }
    let test = "write_ends::ctrl_c_ends_the_wait_for_a_full_disk_and_names_what_is_not_confirmed";
    on_a_full_disk(test, |_, child, said| {
        signal(&child, Signal::INT);
        let output = child.wait_with_output().expect("its end");
        assert_eq!(status(&output), 2, "records are lost");
        let said: Vec<_> = said.iter().collect();
        assert!(said.iter().any(|line| line.contains("not confirmed durable at close")), "{said:?}");
    });
}

#[test]
fn a_non_blocking_standard_input_is_waited_for() {
    let place = Place::new();
    let (input, mut feed) = std::io::pipe().expect("a pipe");
    crate::process::make_non_blocking(&input);
    let log = place.log();
    let mut command = diolog(["write", "--flush-interval", "1 ms", log.to_str().expect("UTF-8")]);
    let child = command.stdin(input).spawn().expect("a child");
    drop(command);
    for line in [&b"one\n"[..], b"two\n", b"three\n"] {
        feed.write_all(line).expect("written");
        // The pipe is empty again now.
        wait_for(&place, line);
    }
    drop(feed);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(messages(&place), b"one\ntwo\nthree\n");
}
