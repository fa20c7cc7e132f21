//! `diolog cat` and `tail` of the last records, of several logs, and how they look.

use serde_json::Value;

use crate::process::{Place, diolog, run, status, stderr, stdout};

/// The output of a command that must succeed, without anything on standard error.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, b"");
    assert_eq!((status(&output), stderr(&output)), (0, String::new()), "{arguments:?}");
    stdout(&output)
}

fn line(number: usize) -> String {
    format!("{number:060}\n")
}

fn numbered(lines: std::ops::Range<usize>) -> String {
    lines.map(line).collect()
}

#[test]
fn the_last_records_and_the_newest_first_are_those_of_cat() {
    // Two runs in several segments each, however well the lines are packed: they have 300 KB.
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    for lines in [0..3000, 3000..5000] {
        let sizes = ["--block-bytes", "4096", "--segment-bytes", "32KiB", "--message-bytes-max", "1KiB"];
        let output = run(["write", log].into_iter().chain(sizes), numbered(lines).as_bytes());
        assert_eq!(status(&output), 0, "{}", stderr(&output));
    }
    assert!(place.segments().len() >= 6);
    let message = |options: &[&str]| printed(&[&["cat", "--format", "message", log], options].concat());
    assert_eq!(message(&[]), numbered(0..5000));
    let reversed: String = (0..5000).rev().map(line).collect();
    assert!(message(&["-r"]) == reversed);
    for last in [0, 1, 7, 1999, 2001, 4999, 6000] {
        let number = last.to_string();
        let first = 5000_usize.saturating_sub(last);
        assert!(message(&["-n", &number]) == numbered(first..5000), "{last}");
        let newest: String = (first..5000).rev().map(line).collect();
        for long in ["--last", "--lines"] {
            assert!(message(&["--reverse", long, &number]) == newest, "{last}");
            assert!(printed(&["tail", "--format", "message", long, &number, log]) == numbered(first..5000), "{last}");
        }
        assert!(printed(&["tail", "--format", "message", "-n", &number, log]) == numbered(first..5000), "{last}");
    }
}

#[test]
fn a_path_that_is_no_log_hides_no_other() {
    let place = Place::with_log(b"one\n");
    let log = place.log();
    let missing = place.join("missing");
    let paths = [missing.to_str().expect("UTF-8"), log.to_str().expect("UTF-8")];
    for command in
        [&["cat", "--format", "message"][..], &["cat", "-r", "--format", "message"], &["tail", "--format", "message"]]
    {
        let output = run([command, &paths].concat(), b"");
        assert_eq!((status(&output), stdout(&output).as_str()), (3, "one\n"), "{command:?}");
        assert!(stderr(&output).contains("missing"), "{}", stderr(&output));
    }
}

#[test]
fn several_logs_are_merged_by_wall_time_and_each_record_names_its_log() {
    let place = Place::new();
    let paths = ["a", "b"].map(|name| place.join(name).to_str().expect("UTF-8").to_owned());
    let [a, b] = [&paths[0], &paths[1]];
    // One run after the other: their times do not overlap.
    for (log, line) in [(a, "one\n"), (b, "two\n"), (b, "three\n"), (a, "four\n")] {
        assert_eq!(status(&run(["write", log], line.as_bytes())), 0);
    }
    let lines = ["one", "two", "three", "four"];
    assert_eq!(printed(&["cat", "--format", "message", b, a]), "one\ntwo\nthree\nfour\n");
    for command in [&["cat"][..], &["tail", "-n", "4"]] {
        let text = printed(&[command, &[a, b]].concat());
        for ((shown, line), log) in text.lines().zip(lines).zip([a, b, b, a]) {
            assert!(shown.ends_with(&format!(" INFO  {log} stdin {line}")), "{shown}");
        }
        let json = printed(&[command, &["--format", "json", a, b]].concat());
        let logs: Vec<_> = json.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect();
        assert_eq!(
            logs.iter().map(|line| line["log"].as_str()).collect::<Vec<_>>(),
            [a, b, b, a].map(|log| Some(&**log))
        );
    }
    assert_eq!(printed(&["tail", "-n", "2", "--format", "message", a, b]), "three\nfour\n");
    assert_eq!(printed(&["cat", "-r", "-n", "3", "--format", "message", a, b]), "four\nthree\ntwo\n");
    let alone: Value = serde_json::from_str(printed(&["cat", "-n", "1", "--format", "json", a]).trim()).expect("JSON");
    assert_eq!(alone["log"], Value::Null);
}

#[test]
fn one_of_several_logs_that_cannot_be_read_is_named_and_gives_the_status() {
    let place = Place::with_log(b"one\n");
    let (log, missing) = (place.log(), place.join("missing"));
    let output = run(["cat", log.to_str().expect("UTF-8"), missing.to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 3);
    assert!(stderr(&output).contains(missing.to_str().expect("UTF-8")), "{}", stderr(&output));
}

#[test]
fn each_message_about_one_of_several_logs_names_it() {
    let killed = [Place::with_killed_log(b"one\n"), Place::with_killed_log(b"two\n")];
    let paths = killed.each_ref().map(|place| place.log().to_str().expect("UTF-8").to_owned());
    for command in ["cat", "tail"] {
        let output = run([command, &paths[0], &paths[1]], b"");
        assert_eq!(status(&output), 1);
        let said = stderr(&output);
        assert_eq!(said.lines().count(), 2, "{said}");
        for path in &paths {
            assert!(said.contains(&format!("diolog: {path}: unconfirmed: 1 run ")), "{said}");
        }
    }
}

#[test]
fn colours_are_there_if_asked_for_and_only_then() {
    let place = Place::with_log(b"hello\n");
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    for command in ["cat", "tail"] {
        let text = |when| printed(&[command, "--color", when, log]);
        let coloured = text("always");
        assert!(coloured.contains("\x1b[32mINFO \x1b[0m"), "{coloured:?}");
        assert!(!text("auto").contains('\x1b') && !text("never").contains('\x1b'));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text("never"));
    }
    let mut forced = diolog(["cat", "--color=never", log]);
    let output = forced.env("CLICOLOR_FORCE", "1").output().expect("a child");
    assert!(!stdout(&output).contains('\x1b'));
}

#[test]
fn help_has_examples_for_every_command() {
    let help = printed(&["--help"]);
    let commands = help.split_once("Commands:").expect("commands").1.split_once("\n\n").expect("an end").0;
    let names = commands.lines().filter_map(|line| line.split_whitespace().next().filter(|_| line.starts_with("  ")));
    let names: Vec<_> = names.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase())).collect();
    for command in ["write", "cat", "tail", "info", "verify", "bench", "completions", "man"] {
        assert!(names.contains(&command), "{command} in {names:?}");
        let help = printed(&[command, "--help"]);
        assert!(help.contains("Examples:\n"), "{help}");
        assert!(help.contains(&format!("  diolog {command} ")) || command == "write", "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    for measurement in ["append", "sustained", "disk"] {
        let help = printed(&["bench", measurement, "--help"]);
        assert!(help.contains(&format!("Examples:\n  diolog bench {measurement}")), "{help}");
    }
}

#[test]
fn completions_name_every_command_and_manual_pages_are_written_for_each() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for word in ["diolog", "verify", "follow-path", "completions"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    assert_eq!(status(&run(["completions", "basic"], b"")), 64);
    let place = Place::new();
    let directory = place.join("man/man1");
    assert_eq!(printed(&["man", directory.to_str().expect("UTF-8")]), "");
    for page in ["diolog", "diolog-cat", "diolog-tail", "diolog-verify", "diolog-bench-disk"] {
        let text = std::fs::read_to_string(directory.join(format!("{page}.1"))).expect("a page");
        assert!(text.contains(".TH"), "{text}");
    }
    for (page, usage) in [
        ("diolog-cat", "\\fBdiolog cat\\fR [OPTIONS] <DIR|FILE>...\n"),
        ("diolog-run", "\\fBdiolog run\\fR [OPTIONS] <DIR> <COMMAND>...\n"),
    ] {
        if cfg!(not(target_os = "linux")) && page == "diolog-run" {
            continue;
        }
        let text = std::fs::read_to_string(directory.join(format!("{page}.1"))).expect("a page");
        assert!(text.contains(usage), "{text}");
    }
    let refused = run(["man", "/dev/null/pages"], b"");
    assert_eq!(status(&refused), 3);
    assert!(stderr(&refused).contains("/dev/null/pages"), "{}", stderr(&refused));
}
