//! Arguments, help, and the exit statuses that scripts rely on.

use crate::process::{Place, diolog, run, status, stderr, stdout};

#[test]
fn invalid_arguments_exit_with_64_and_name_the_valid_ones() {
    for arguments in [
        &[][..],
        &["wriet", "log"],
        &["write"],
        &["cat"],
        &["cat", "log", "--format", "xml"],
        &["tail", "log", "-n", "many"],
        &["write", "log", "--ring-bytes", "much"],
        &["write", "log", "--level", "loud"],
    ] {
        let output = run(arguments, b"");
        assert_eq!(status(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty() && !stderr(&output).is_empty(), "{arguments:?}");
    }
    assert!(stderr(&run(["write", "log", "--level", "loud"], b"")).contains("use error, warn, info, debug or trace"));
    assert!(stderr(&run(["cat", "log", "--format", "xml"], b"")).contains("text, json, message"));
}

#[test]
fn a_number_of_records_that_is_none_is_named_with_what_is_wanted() {
    for command in ["cat", "tail"] {
        for number in ["x", "-1", "+1", ""] {
            let output = run([command, "log", "-n", number], b"");
            assert_eq!(status(&output), 64, "{}", stderr(&output));
            let said = format!("invalid value '{number}' for '--last <NUMBER>': use a number of records, such as 100");
            assert!(stderr(&output).contains(&said), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_path_that_is_no_log_is_named_with_a_remedy() {
    let place = Place::with_log(b"one\n");
    let (nowhere, empty) = (place.join("nowhere"), place.join("empty"));
    std::fs::create_dir(&empty).expect("made");
    let [nowhere, empty] = [&nowhere, &empty].map(|path| path.to_str().expect("UTF-8"));
    for command in ["cat", "tail", "info", "verify"] {
        let said = |path| {
            let output = run([command, path], b"");
            (status(&output), stderr(&output))
        };
        let (status, message) = said(nowhere);
        assert_eq!(status, 3, "{message}");
        assert!(message.contains(nowhere) && message.ends_with(": name the directory of a log\n"), "{message}");
        if command == "tail" {
            let output = run(["tail", "-f", nowhere], b"");
            assert!(stderr(&output).ends_with(" a log, or wait for it with tail -F\n"), "{}", stderr(&output));
        }
        let expected = format!("diolog: {empty} is an empty directory: nothing was logged there yet\n");
        assert_eq!(said(empty), (3, expected), "{command}");
        let (status, message) = said("-");
        assert_eq!(status, 64, "{message}");
        assert!(message.contains("a log is read from its directory, not from standard input"), "{message}");
    }
}

#[test]
fn each_command_has_the_exit_statuses_that_it_gives() {
    let help = |command| {
        let help = stdout(&run([command, "--help"], b""));
        help.split_once("Exit status").expect("statuses").1.to_owned()
    };
    for reads_records in ["cat", "tail", "verify"] {
        assert!(help(reads_records).contains("--allow-drops"), "{reads_records}");
    }
    for part in ["cat", "tail"] {
        assert!(help(part).contains("it covers only what was read"), "{part}");
    }
    assert!(!help("info").contains("--allow-drops") && !help("write").contains("--allow-drops"));
    assert!(help("write").contains("130 after Ctrl-C") && !help("cat").contains("Ctrl-C"));
    assert!(help("run").contains("127"));
}

#[test]
fn the_help_has_each_status_once_in_the_order_of_numbers() {
    let help = stdout(&run(["--help"], b""));
    let (_, statuses) = help.split_once("Exit status").expect("statuses");
    let (rows, order) = statuses.split_once("\n\n").expect("the order");
    let numbers: Vec<_> = rows.lines().filter_map(|row| row.split_whitespace().next()?.parse::<u8>().ok()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 64, 128], "{help}");
    assert!(order.split_whitespace().collect::<Vec<_>>().join(" ").contains("2 (lost), 3 (cannot be read)."), "{help}");
}

#[test]
fn json_is_a_short_form_and_top_takes_the_long_one() {
    let place = Place::with_log(b"one\n");
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    for command in [&["cat"][..], &["tail"], &["info"], &["verify"], &["top", "--once"]] {
        for format in [&["--json"][..], &["--format", "json"]] {
            let output = run([command, format, &[log]].concat(), b"");
            assert_eq!(status(&output), 0, "{command:?}: {}", stderr(&output));
            serde_json::from_str::<serde_json::Value>(&stdout(&output)).expect("one object");
        }
    }
}

#[test]
fn options_of_other_programs_and_commands_are_answered_with_the_right_one() {
    for (arguments, tip) in [
        (&["cat", "-f", "log"][..], "use 'diolog tail -f'"),
        (&["cat", "log", "--follow"], "use 'diolog tail -f'"),
        (&["tail", "-r", "log"], "use 'diolog cat -r', with -n for the last records"),
        (&["write", "--tee", "log"], "use 'diolog run --tee DIR -- COMMAND'"),
        (&["write", "--file-mode=0640", "log"], "set file_mode in the file of --config"),
        (&["bench", "load", "--duration", "5 s"], "use '--time'"),
        (&["cat", "--frmat", "json", "log"], "a similar argument exists: '--format'"),
    ] {
        let output = run(arguments, b"");
        let said = stderr(&output);
        assert_eq!(status(&output), 64, "{said}");
        assert_eq!(said.matches("tip: ").count(), 1, "{said}");
        assert!(said.contains(&format!("  tip: {tip}\n")), "{said}");
    }
    let said = stderr(&run(["info", "-f", "log"], b""));
    assert!(said.contains("unexpected argument '-f'") && !said.contains("tip:"), "{said}");
    assert!(!said.contains("\n\n\n"), "no empty line is in the place of tips: {said}");
    assert_eq!(stdout(&run(["version"], b"")), stdout(&run(["--version"], b"")));
}

#[test]
fn the_heading_of_the_options_that_select_records_is_above_those_alone() {
    for command in ["cat", "tail"] {
        let help = stdout(&run([command, "--help"], b""));
        let (before, after) = help.split_once("Which records:").expect("a heading");
        let is_option = |line: &&str| line.trim_start().starts_with('-');
        let selecting: Vec<_> =
            after.lines().filter(is_option).filter_map(|line| line.split_whitespace().next()).collect();
        let all = ["--level", "--since", "--until", "--target", "--producer", "--field", "--grep"];
        assert_eq!(selecting, all, "{help}");
        assert!(before.contains("--durable") && before.contains("--no-gaps"), "{help}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    for arguments in [&["--help"][..], &["--version"], &["write", "--help"], &["help", "cat"]] {
        let output = run(arguments, b"");
        assert_eq!((status(&output), stderr(&output)), (0, String::new()), "{arguments:?}");
        assert!(!output.stdout.is_empty());
    }
    let help = stdout(&run(["--help"], b""));
    for word in ["write", "run", "cat", "tail", "info", "verify", "bench", "Exit status"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_an_error() {
    for arguments in [&["--help"][..], &["--version"], &["cat", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
        let output = diolog(arguments).stdout(full).output().expect("a child");
        assert_eq!(status(&output), 3, "{arguments:?}");
        assert!(stderr(&output).contains("cannot write standard output: No space left"), "{}", stderr(&output));
    }
}
