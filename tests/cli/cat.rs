//! `diolog cat`.

use std::fs;
use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use crate::process::{Place, diolog, run, status, stderr, stdout};

fn cat(place: &Place, format: &str) -> std::process::Output {
    run(["cat", "--format", format, place.log().to_str().expect("UTF-8")], b"")
}

#[test]
fn text_in_a_pipe_is_plain_with_utc_times_and_control_characters_escaped() {
    let place = Place::with_log(b"plain\n\x1b[31mred\x07\tx\r\nhalf \xe6\x97\n");
    let output = cat(&place, "text");
    assert_eq!((status(&output), stderr(&output)), (0, String::new()));
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, message) in lines.iter().zip(["plain", r"\x1b[31mred\x07\tx\r", r"half \xe6\x97"]) {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.len() == "2026-01-02T03:04:05.123456789Z".len() && time.ends_with('Z'), "{line}");
        time.parse::<jiff::Timestamp>().expect("RFC 3339");
        assert_eq!(rest, format!("INFO  stdin {message}"));
    }
}

#[test]
fn json_has_one_object_for_each_line_with_all_bytes_of_the_message() {
    let place = Place::with_log(b"say \"hi\"\n\xff\x00\n");
    let output = cat(&place, "json");
    assert_eq!(status(&output), 0);
    let objects: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["message"], "say \"hi\"");
    assert_eq!(objects[1]["message_hex"], "ff00");
    for (sequence, object) in objects.iter().enumerate() {
        assert_eq!((&object["level"], &object["name"]), (&"info".into(), &"stdin".into()));
        assert_eq!((&object["kind"], &object["sequence"]), (&"record".into(), &sequence.to_string().into()));
        assert!(object["monotonic_ns"].as_str().is_some_and(|ns| ns.parse::<u64>().is_ok()), "{object}");
        assert!(object["pid"].as_u64() > Some(0) && object["service"].is_null(), "{object}");
        assert_eq!(object["truncated"], false);
        assert_eq!(object["run"].as_str().map(str::len), Some(32));
    }
}

#[test]
fn a_single_segment_file_can_be_read() {
    let place = Place::with_log(b"one\ntwo\n");
    let segment = &place.segments()[0];
    let output = run(["cat", "--format", "message", segment.to_str().expect("UTF-8")], b"");
    assert_eq!((status(&output), stdout(&output)), (0, "one\ntwo\n".into()));
}

#[test]
fn a_broken_pipe_is_success() {
    let place = Place::with_log(&b"a line that is printed many times\n".repeat(200_000));
    for format in ["text", "json", "message"] {
        let log = place.log();
        let mut child = diolog(["cat", "--format", format, log.to_str().expect("UTF-8")]).spawn().expect("a child");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        drop(stdout);
        let output = child.wait_with_output().expect("its end");
        assert_eq!((status(&output), stderr(&output)), (0, String::new()), "{format}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_non_blocking_standard_output_is_waited_for() {
    use std::io::Read as _;
    let lines = b"a line that is printed many times\n".repeat(20_000);
    let place = Place::with_log(&lines);
    let (mut printed, output) = std::io::pipe().expect("a pipe");
    crate::process::make_non_blocking(&output);
    let log = place.log();
    let mut command = diolog(["cat", "--format", "message", log.to_str().expect("UTF-8")]);
    let child = command.stdout(output).spawn().expect("a child");
    drop(command);
    // The pipe is far smaller: it is full most of the time.
    let mut read = Vec::new();
    printed.read_to_end(&mut read).expect("its lines");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((status(&output), stderr(&output)), (0, String::new()));
    assert!(read == lines, "{} of {} bytes", read.len(), lines.len());
}

#[test]
fn a_path_that_is_not_a_log_is_named_and_exits_with_3() {
    let place = Place::new();
    let text = place.join("notes.txt");
    fs::write(&text, "not a log\n".repeat(1000)).expect("written");
    let empty = place.join("empty");
    fs::create_dir(&empty).expect("made");
    for command in ["cat", "tail", "info", "verify"] {
        for path in [place.join("missing"), text.clone(), empty.clone()] {
            let path = path.to_str().expect("UTF-8");
            let output = run([command, path], b"");
            assert_eq!(status(&output), 3, "{command} {path}: {}", stderr(&output));
            assert!(stderr(&output).contains(path), "{}", stderr(&output));
        }
    }
}

#[test]
fn damage_is_skipped_and_reported_and_exits_with_2() {
    // Several blocks, so that a later one proves the damaged one durable.
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let line = "x".repeat(1000);
    let input: String = (0..64).map(|number| format!("{number} {line}\n")).collect();
    let output = run(["write", "--block-bytes", "4096", "--ring-bytes", "65536", log], input.as_bytes());
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let segment = &place.segments()[0];
    let mut bytes = fs::read(segment).expect("read");
    // In the first block after the segment's header; its neighbours stay intact.
    bytes[4096 + 2000] ^= 1;
    fs::write(segment, &bytes).expect("written");
    let output = run(["cat", "--format", "message", log], b"");
    assert_eq!(status(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains(segment.to_str().expect("UTF-8")), "{}", stderr(&output));
    let kept = stdout(&output);
    assert!(kept.lines().count() < 64 && kept.lines().count() > 50, "{}", kept.lines().count());
    assert!(kept.lines().all(|line| input.contains(line)));
}

#[test]
#[cfg(unix)]
fn a_log_that_is_renamed_while_it_is_read_is_not_judged() {
    // More than fits into a pipe, so that the command has to wait.
    let place = Place::with_log("a line of a log\n".repeat(100_000).as_bytes());
    let mut cat = diolog(["cat", "--format", "message"]).arg(place.log()).spawn().expect("a child");
    let mut lines = BufReader::new(cat.stdout.take().expect("piped")).lines();
    lines.next().expect("a line").expect("readable");
    fs::rename(place.log(), place.log().with_extension("1")).expect("renamed");
    lines.for_each(|line| drop(line.expect("readable")));
    let output = cat.wait_with_output().expect("its end");
    assert_eq!(status(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("was removed, renamed or replaced while it was read"), "{}", stderr(&output));
}
