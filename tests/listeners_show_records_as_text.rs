//! The listeners that come with the library show each record as one line, on standard error, on standard output or in
//! text files: with colours on a terminal alone, no more lines than a person can follow, and without what a line could
//! do to a terminal. A stream that nobody reads and a disk that is full cost lines, which are counted, and nothing
//! else.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Stdio, exit};
use std::sync::Arc;
use std::time::Duration;

use diolog::{Level, Listener, Logger, Outcome, Reader, StderrListener, StdoutListener, TextFileListener, Verdict};

/// Records in the child's log.
fn records(path: &Path) -> usize {
    Reader::open(path).expect("a log").inspect(|record| assert!(record.is_ok(), "{record:?}")).count()
}

/// In a child: logs a message, and fields with a text that would control a terminal.
fn log_three(logger: &Logger) {
    let producer = logger.producer_named("main").expect("a ring");
    assert_eq!(producer.log(Level::Info, "below the level"), Outcome::Written);
    assert_eq!(producer.log(Level::Warn, b"red \x1b[31m\n and \xff"), Outcome::Written);
    assert_eq!(diolog::error!(producer, "order {id} is late", id = 7_u64, by = "\x07"), Outcome::Written);
}

/// The lines without their times, which are checked.
fn without_times(text: &str) -> Vec<&str> {
    let rest = |line| {
        let (time, rest) = str::split_once(line, ' ').expect("a time and more");
        assert!(time.len() == 27 && time.starts_with("20") && time.ends_with('Z'), "{line:?}");
        rest
    };
    text.lines().map(rest).collect()
}

const LINES: [&str; 2] =
    [r"WARN  main red \x1b[31m\n and \xff", r#"ERROR main listeners_show_records_as_text: order 7 is late by="\x07""#];

#[test]
fn lines_on_standard_error_are_whole_and_harmless_and_all_there_at_exit() {
    const TEST: &str = "lines_on_standard_error_are_whole_and_harmless_and_all_there_at_exit";
    if let Some(role) = support::role() {
        let config = support::config(support::child_directory()).close_deadline(Duration::from_secs(60));
        let logger = Logger::open(config.listener(Level::Warn, Arc::new(StderrListener::new()))).expect("a log");
        log_three(&logger);
        if role == "exit" {
            std::mem::forget(logger);
            exit(0);
        }
        logger.close().expect("closed");
        return;
    }
    for role in ["close", "exit"] {
        let directory = support::directory();
        let path = directory.path().join("log");
        let output = support::run_child(TEST, role, &path);
        support::child::assert_success(&output);
        assert_eq!(without_times(&String::from_utf8(output.stderr).expect("UTF-8")), LINES, "{role}");
        assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
    }
}

#[test]
fn standard_output_shows_the_same_lines() {
    const TEST: &str = "standard_output_shows_the_same_lines";
    if support::role().is_some() {
        // After the line that the test harness has not ended.
        println!();
        let config = support::config(support::child_directory()).listener(Level::Warn, Arc::new(StdoutListener::new()));
        let logger = Logger::open(config).expect("a log");
        log_three(&logger);
        logger.close().expect("closed");
        exit(0);
    }
    let directory = support::directory();
    let output = support::run_child(TEST, "child", &directory.path().join("log"));
    support::child::assert_success(&output);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("20")).collect();
    assert_eq!(without_times(&lines.join("\n")), LINES);
}

#[test]
fn levels_have_colours_on_a_terminal_unless_the_user_wants_none() {
    const TEST: &str = "levels_have_colours_on_a_terminal_unless_the_user_wants_none";
    if let Some(role) = support::role() {
        let listener = StderrListener::new();
        let listener = if role == "never" { listener.colours(false) } else { listener };
        let config = support::config(support::child_directory()).listener(Level::Warn, Arc::new(listener));
        let logger = Logger::open(config).expect("a log");
        assert_eq!(logger.log(Level::Warn, "careful"), Outcome::Written);
        logger.close().expect("closed");
        return;
    }
    let shown = |role: &str, variable: Option<(&str, &str)>| {
        let directory = support::directory();
        let (mut controller, terminal) = support::os::terminal();
        let mut command = support::child_command(TEST, role, &directory.path().join("log"));
        command.env_remove("NO_COLOR").env("TERM", "xterm").envs(variable);
        let status = command.stderr(terminal).stdout(Stdio::null()).status().expect("a child process");
        assert!(status.success(), "{status}");
        drop(command);
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            controller.read_exact(&mut byte).expect("a line");
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("UTF-8")
    };
    let line = shown("child", None);
    assert!(line.starts_with("\x1b[2m20") && line.contains("\x1b[33mWARN \x1b[0m "), "{line:?}");
    for (role, variable) in [("child", Some(("NO_COLOR", "1"))), ("child", Some(("TERM", "dumb"))), ("never", None)] {
        let line = shown(role, variable);
        assert!(line.starts_with("20") && !line.contains('\x1b') && line.contains("careful"), "{role}: {line:?}");
    }
    assert!(shown("child", Some(("NO_COLOR", ""))).contains('\x1b'), "an empty NO_COLOR is none");
}

#[test]
fn a_stream_that_nobody_reads_costs_only_lines() {
    const TEST: &str = "a_stream_that_nobody_reads_costs_only_lines";
    const RECORDS: u64 = 5_000;
    /// The child's status if the disk was too slow to end the log within the deadline.
    const TOO_SLOW: i32 = 7;
    if let Some(role) = support::role() {
        let (end, deadline) = role.split_once(' ').expect("how it ends, and a number");
        let deadline = Duration::from_millis(deadline.parse().expect("a number"));
        // No assertion here: its message would go to the stream that nobody reads.
        let expect = |holds: bool, status| {
            if !holds {
                exit(status)
            }
        };
        let listener = StderrListener::new().lines_per_second(u32::MAX);
        let config = support::config(support::child_directory()).overflow(diolog::Overflow::Block);
        let config = config.listener(Level::Info, Arc::new(listener)).listener_queue_bytes(64 << 10);
        let Ok(logger) = Logger::open(config.close_deadline(deadline)) else { exit(2) };
        (0..RECORDS).for_each(|_| expect(logger.log(Level::Info, [b'x'; 100]).is_accepted(), 3));
        expect(logger.flush().is_ok(), 4);
        let stats = logger.stats().listeners[0];
        expect(stats.missed > 0 && stats.given + stats.missed + stats.waiting == RECORDS, 5);
        if end == "exit" {
            std::mem::forget(logger);
            exit(0);
        }
        match logger.close() {
            Ok(report) => expect(report.durable == RECORDS, 6),
            Err(_) => exit(TOO_SLOW),
        }
        exit(0);
    }
    // Whether the log was closed cleanly. If not, the disk was too slow for the deadline.
    let ended = |end: &str, deadline: &str| {
        let directory = support::directory();
        let path = directory.path().join("log");
        let mut child = support::child_command(TEST, &format!("{end} {deadline}"), &path);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a child process");
        // Only then is the pipe closed.
        let status = child.wait().expect("a child").code();
        assert_eq!(records(&path) as u64, RECORDS);
        let is_clean = diolog::verify(&path).expect("a log").verdict == Verdict::Clean;
        let expected = if end == "close" && !is_clean { TOO_SLOW } else { 0 };
        assert_eq!(status, Some(expected), "{end}");
        is_clean
    };
    for end in ["close", "exit"] {
        let mut deadlines = ["500", "5000", "50000", "500000"].into_iter();
        assert!(deadlines.any(|deadline| ended(end, deadline)), "a disk that writes a block in some minutes");
    }
}

#[test]
fn too_many_lines_in_a_second_are_hidden_and_their_number_is_shown() {
    const TEST: &str = "too_many_lines_in_a_second_are_hidden_and_their_number_is_shown";
    const RECORDS: u64 = 1_000;
    if support::role().is_some() {
        let listener = Arc::new(StderrListener::new().lines_per_second(10));
        let config = support::config(support::child_directory()).listener(Level::Info, listener.clone());
        let logger = Logger::open(config).expect("a log");
        (0..RECORDS).for_each(|_| assert_eq!(logger.log(Level::Info, "a record"), Outcome::Written));
        logger.close().expect("closed");
        fs::write(support::child_directory().with_extension("hidden"), listener.hidden().to_string()).expect("written");
        return;
    }
    let directory = support::directory();
    let path = directory.path().join("log");
    let output = support::run_child(TEST, "child", &path);
    support::child::assert_success(&output);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let shown = text.lines().filter(|line| line.ends_with(" a record")).count() as u64;
    let numbers = text.lines().filter_map(|line| line.strip_suffix(" in this second"));
    let number = |text: &str| text.split(' ').next().expect("a number").replace(',', "").parse::<u64>().expect("one");
    let hidden: u64 = numbers.map(number).sum();
    assert!(shown >= 10 && hidden > 0, "{text}");
    assert_eq!(shown + hidden, RECORDS, "{text}");
    assert_eq!(fs::read_to_string(path.with_extension("hidden")).expect("written"), hidden.to_string());
}

/// Logs `records` numbered messages to a log beside the listener's files.
fn log_to(directory: &Path, listener: Arc<dyn Listener>, records: u64) {
    let config = support::config(directory.join("log")).listener_queue_bytes(16 << 20);
    let logger = Logger::open(config.listener(Level::Info, listener)).expect("a log");
    (0..records).for_each(|number| assert_eq!(logger.log(Level::Info, format!("record {number}")), Outcome::Written));
    let report = logger.close().expect("closed");
    assert_eq!((report.durable, logger.stats().listeners[0].given), (records, records));
}

/// The numbers of the records in a text file.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).expect("a text file");
    assert!(text.ends_with('\n'));
    without_times(&text).iter().map(|line| line.rsplit(' ').next().expect("a word").parse().expect("one")).collect()
}

#[test]
fn full_text_files_are_numbered_and_the_oldest_are_removed() {
    for (files_max, kept) in [(100, None), (3, Some(3)), (1, Some(1))] {
        let directory = support::directory();
        let path = directory.path().join("text.log");
        let listener = TextFileListener::open(&path).expect("a file").file_bytes_max(4096).files_max(files_max);
        log_to(directory.path(), Arc::new(listener), 500);
        let mut files = vec![path.clone()];
        files.extend((1..200).map(|number| directory.path().join(format!("text.log.{number}"))));
        files.retain(|file| file.exists());
        assert!(files.len() > 5 || Some(files.len()) == kept, "{files:?}");
        let mut all = Vec::new();
        for file in files.iter().rev() {
            assert!(fs::metadata(file).expect("a file").len() <= 4096);
            all.extend(numbers(file));
        }
        assert!(all.is_sorted() && all.last() == Some(&499));
        assert!(kept.is_some() || all.len() == 500, "{} lines", all.len());
    }
}

#[test]
fn fewer_text_files_are_kept_once_fewer_are_allowed() {
    for files_max in [1, 2, 3] {
        let directory = support::directory();
        let name = |number: u32| directory.path().join(format!("text.log.{number}"));
        fs::write(directory.path().join("text.log"), "x".repeat(4096)).expect("writable");
        (1..=7).for_each(|number| fs::write(name(number), "older\n").expect("writable"));
        // After a gap: not a file of the listener's.
        fs::write(name(9), "another's\n").expect("writable");
        let listener = TextFileListener::open(directory.path().join("text.log")).expect("a file");
        log_to(directory.path(), Arc::new(listener.file_bytes_max(4096).files_max(files_max)), 1);
        let kept: Vec<_> = (1..=9).filter(|number| name(*number).exists()).collect();
        assert_eq!(kept, (1..files_max).chain([9]).collect::<Vec<_>>());
    }
}

#[test]
fn a_text_file_goes_on_where_it_ended_and_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = support::directory();
    let path = directory.path().join("text.log");
    fs::write(&path, "a line of before\ncut in the mid").expect("writable");
    support::os::set_mode(&path, 0o640);
    log_to(
        directory.path(),
        Arc::new(TextFileListener::open(&path).expect("a file").file_bytes_max(4096).files_max(100)),
        200,
    );
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o640, "a new file has those of the one before");
    let oldest =
        (1..).map(|number| path.with_extension(format!("log.{number}"))).take_while(|file| file.exists()).last();
    let text = fs::read_to_string(oldest.expect("a full file")).expect("text");
    let (before, after) = text.split_once("cut in the mid\n").expect("a new line");
    assert_eq!((before, without_times(after)[0].ends_with("record 0")), ("a line of before\n", true));
    let fresh = directory.path().join("fresh.log");
    drop(TextFileListener::open(&fresh).expect("a file"));
    assert_eq!(mode(&fresh), 0o600);
}

#[test]
fn a_text_file_that_another_program_has_renamed_is_followed_by_a_new_one() {
    let directory = support::directory();
    let (path, moved) = (directory.path().join("text.log"), directory.path().join("moved.log"));
    let listener = Arc::new(TextFileListener::open(&path).expect("a file"));
    let config = support::config(directory.path().join("log")).listener(Level::Info, listener.clone());
    let logger = Logger::open(config).expect("a log");
    fs::rename(&path, &moved).expect("movable");
    let mut records = 0;
    while !path.exists() {
        assert_eq!(logger.log(Level::Info, format!("record {records}")), Outcome::Written);
        records += 1;
        logger.flush().expect("durable");
    }
    logger.close().expect("closed");
    let mut all = numbers(&moved);
    all.extend(numbers(&path));
    assert_eq!(all, (0..records).collect::<Vec<_>>());
    assert_eq!(listener.lost(), 0);
}

#[test]
fn lines_that_a_full_disk_does_not_take_are_counted_and_the_log_has_the_records() {
    let directory = support::directory();
    let listener = Arc::new(TextFileListener::open("/dev/full").expect("a device"));
    log_to(directory.path(), listener.clone(), 100);
    assert_eq!(listener.lost(), 100);
    assert_eq!(records(&directory.path().join("log")), 100);
}

#[test]
fn a_log_that_cannot_be_opened_leaves_no_thread_of_its_listeners() {
    const TEST: &str = "a_log_that_cannot_be_opened_leaves_no_thread_of_its_listeners";
    if support::child::ran_in_child(TEST) {
        return;
    }
    let path = support::child_directory().join("missing").join("log");
    let config = support::config(path).listener(Level::Info, Arc::new(StderrListener::new()));
    assert!(Logger::open(config).is_err());
    support::os::wait_for_threads("diolog-listener", 0);
    std::io::stderr().flush().expect("open");
}
