//! `diolog tail`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use crate::process::{Place, diolog, run, start_writer, status, stderr, stdout};

fn numbered(lines: std::ops::Range<usize>) -> String {
    lines.map(|number| format!("line {number}\n")).collect()
}

#[test]
fn the_last_lines_are_printed() {
    let place = Place::with_log(numbered(0..1000).as_bytes());
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    for (arguments, first) in
        [(&[][..], 990), (&["-n", "3"], 997), (&["-3"], 997), (&["-n", "0"], 1000), (&["-n", "5000"], 0)]
    {
        let output = run([&["tail", log], arguments].concat(), b"");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let text = stdout(&output);
        assert_eq!(text.lines().count(), 1000 - first);
        for (line, number) in text.lines().zip(first..) {
            assert!(line.ends_with(&format!(" INFO  stdin line {number}")), "{line}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn new_records_of_later_runs_are_followed_until_ctrl_c() {
    let place = Place::with_log(b"old\n");
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let mut tail = diolog(["tail", "-n", "1", "-f", log]).spawn().expect("a child");
    let mut followed = BufReader::new(tail.stdout.take().expect("piped"));
    let mut next = || {
        let mut line = String::new();
        followed.read_line(&mut line).expect("a line");
        line
    };
    assert!(next().ends_with(" old\n"));
    for run in 0..2 {
        let (writer, mut stdin) = start_writer(log);
        for number in 0..3 {
            writeln!(stdin, "run {run} line {number}").expect("written");
            assert!(next().ends_with(&format!(" run {run} line {number}\n")));
        }
        drop(stdin);
        let output = writer.wait_with_output().expect("its end");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
    }
    crate::process::interrupt(&tail);
    let output = tail.wait_with_output().expect("its end");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn a_follower_that_is_interrupted_before_it_has_read_the_log_has_the_status_of_the_signal() {
    if !crate::process::is_received(crate::process::Signal::INT) {
        return;
    }
    let place = Place::with_log(numbered(0..300_000).as_bytes());
    let log = place.log();
    // It could read faster than the signal comes, so there are several tries.
    let interrupted = (0..10).any(|_| {
        let tail = diolog(["tail", "-f", "-n", "300000", log.to_str().expect("UTF-8")]);
        let tail = { tail }.stdout(Stdio::null()).spawn().expect("a child");
        while !crate::process::handles_signals(&tail) {}
        crate::process::interrupt(&tail);
        let output = tail.wait_with_output().expect("its end");
        assert_eq!(stderr(&output), "");
        assert!(matches!(status(&output), 0 | 130), "{}", status(&output));
        status(&output) == 130
    });
    assert!(interrupted, "the log was read to its end each time");
}

#[test]
#[cfg(target_os = "linux")]
fn a_follower_ends_when_its_pipe_is_closed_even_without_new_records() {
    let place = Place::with_log(b"old\n");
    let log = place.log();
    let mut tail = diolog(["tail", "-f", log.to_str().expect("UTF-8")]).spawn().expect("a child");
    let mut line = String::new();
    BufReader::new(tail.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.ends_with(" old\n"));
    let output = tail.wait_with_output().expect("its end");
    assert_eq!((status(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_follower_reports_losses() {
    // Several blocks, so that a later one proves the damaged one durable.
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let output = run(["write", "--block-bytes", "4096", log], numbered(0..2000).as_bytes());
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let segment = &place.segments()[0];
    let mut bytes = std::fs::read(segment).expect("a segment");
    bytes[3 * 4096 + 100] ^= 1;
    std::fs::write(segment, bytes).expect("writable");
    let mut tail = diolog(["tail", "-n", "1", "-f", log]).spawn().expect("a child");
    let mut printed = String::new();
    BufReader::new(tail.stderr.as_mut().expect("piped")).read_line(&mut printed).expect("a line");
    assert!(printed.contains("is lost"), "{printed}");
    crate::process::interrupt(&tail);
    assert_eq!(status(&tail.wait_with_output().expect("its end")), 2);
}

#[test]
#[cfg(target_os = "linux")]
fn a_follower_says_that_a_file_cannot_be_read() {
    let place = Place::new();
    let log = place.log();
    let output = run(["write", log.to_str().expect("UTF-8")], b"one\n");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    std::fs::write(log.join("00000002.dlog"), "not a segment\n").expect("writable");
    let mut tail = diolog(["tail", "-f"]).arg(&log).spawn().expect("a child");
    let mut printed = String::new();
    BufReader::new(tail.stderr.as_mut().expect("piped")).read_line(&mut printed).expect("a line");
    assert!(printed.contains("1 file cannot be read: see `diolog verify`"), "{printed}");
    crate::process::interrupt(&tail);
    assert_eq!(status(&tail.wait_with_output().expect("its end")), 1);
}
