//! `diolog run`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{Place, diolog, is_received, messages, run, signal_mask, status, stderr};

/// `diolog run` of a shell script, which has `$1` as its argument.
fn script(place: &Place, options: &[&str], script: &str, argument: &Path) -> Command {
    let mut command = diolog(["run", "--flush-interval", "1 ms"]);
    command.args(options).arg(place.log()).args(["--", "sh", "-c", script, "sh"]).arg(argument);
    command
}

fn run_script(place: &Place, options: &[&str], text: &str) -> Output {
    script(place, options, text, Path::new("")).output().expect("a child")
}

/// The records of the log, sorted: producer's name, level, message.
fn records(place: &Place) -> Vec<(String, String, String)> {
    let output = run(["cat", "--format", "json", place.log().to_str().expect("UTF-8")], b"");
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let field = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        (field("name"), field("level"), field("message"))
    };
    let mut records: Vec<_> = crate::process::stdout(&output).lines().map(record).collect();
    records.sort();
    records
}

fn expect_records(place: &Place, expected: &[(&str, &str, &str)]) {
    let records = records(place);
    let records: Vec<_> = records.iter().map(|(name, level, text)| (&name[..], &level[..], &text[..])).collect();
    assert_eq!(records, expected);
}

/// Waits until the log holds this line, and returns once it does.
fn until_logged(place: &Place, line: &str) {
    let log = place.log();
    let printed = || run(["cat", "--format", "message", log.to_str().expect("UTF-8")], b"").stdout;
    while !String::from_utf8_lossy(&printed()).lines().any(|logged| logged == line) {}
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a signal");
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
}

#[test]
fn both_streams_are_logged_by_two_producers_at_their_levels() {
    let place = Place::new();
    let text = "echo out; echo err >&2; printf 'no line feed'";
    let output = run_script(&place, &[], text);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", stderr(&output));
    expect_records(&place, &[("stderr", "warn", "err"), ("stdout", "info", "no line feed"), ("stdout", "info", "out")]);
    let place = Place::new();
    let output = run_script(&place, &["--stdout-level", "debug", "--stderr-level", "error"], text);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    expect_records(
        &place,
        &[("stderr", "error", "err"), ("stdout", "debug", "no line feed"), ("stdout", "debug", "out")],
    );
    let verified = run(["verify", place.log().to_str().expect("UTF-8")], b"");
    assert_eq!(status(&verified), 0, "closed cleanly");
}

#[test]
fn a_prefix_is_the_level_of_its_line_and_is_not_logged() {
    let text = "printf '<3>failed\\n<7>detail\\n<38>from syslog\\n<999>text\\n<3>\\n'; echo '<6>usual' >&2";
    let place = Place::new();
    assert_eq!(status(&run_script(&place, &[], text)), 0);
    expect_records(
        &place,
        &[
            ("stderr", "info", "usual"),
            ("stdout", "debug", "detail"),
            ("stdout", "error", ""),
            ("stdout", "error", "failed"),
            ("stdout", "info", "<999>text"),
            ("stdout", "info", "from syslog"),
        ],
    );
    let place = Place::new();
    assert_eq!(status(&run_script(&place, &["--no-prefixes"], text)), 0);
    assert!(records(&place).contains(&("stdout".into(), "info".into(), "<3>failed".into())));
}

#[test]
fn the_exit_status_is_the_commands() {
    for (text, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15)] {
        let place = Place::new();
        let output = run_script(&place, &[], text);
        assert_eq!(status(&output), expected, "{text}: {}", stderr(&output));
    }
}

#[test]
fn signals_are_passed_on_to_the_command() {
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        // A shell cannot trap a signal that was ignored when it started.
        if !is_received(signal) {
            continue;
        }
        let place = Place::new();
        let pipe = place.join("pipe");
        make_fifo(&pipe);
        // Nobody writes the pipe: the shell waits until a signal interrupts it.
        let text = format!("trap 'echo got {name}; exit 5' {name}; exec 3<>\"$1\"; echo ready; read line <&3");
        let child = script(&place, &[], &text, &pipe).spawn().expect("a child");
        until_logged(&place, "ready");
        send(&child, signal);
        let output = child.wait_with_output().expect("its end");
        assert_eq!(status(&output), 5, "{name}: {}", stderr(&output));
        assert_eq!(messages(&place), format!("ready\ngot {name}\n").into_bytes());
    }
}

#[test]
fn a_command_that_dies_of_a_passed_on_signal_gives_128_and_its_number() {
    if !is_received(Signal::TERM) {
        return;
    }
    let place = Place::new();
    let pipe = place.join("pipe");
    make_fifo(&pipe);
    let child = script(&place, &[], "exec 3<>\"$1\"; echo ready; read line <&3", &pipe).spawn().expect("a child");
    until_logged(&place, "ready");
    send(&child, Signal::TERM);
    assert_eq!(status(&child.wait_with_output().expect("its end")), 128 + 15);
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored_for_the_command() {
    let place = Place::new();
    let command = "trap '' HUP; exec \"$0\" run \"$1\" -- grep SigIgn: /proc/self/status";
    let mut shell = Command::new("sh");
    shell.args(["-c", command, env!("CARGO_BIN_EXE_diolog")]).arg(place.log()).env_remove("DIOLOG_LEVEL");
    let output = shell.output().expect("a shell");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let printed = String::from_utf8(messages(&place)).expect("text");
    let mask = u64::from_str_radix(printed.trim_start_matches("SigIgn:").trim(), 16).expect("a mask");
    let bit = |signal: Signal| 1 << (signal.as_raw() - 1);
    // What this process ignores, and SIGHUP, but not SIGPIPE, which a Rust program ignores by itself.
    let expected = (signal_mask("self", "SigIgn:") | bit(Signal::HUP)) & !bit(Signal::PIPE);
    // The numbers from 32 on belong to the C library.
    assert_eq!(mask & 0x7fff_ffff, expected & 0x7fff_ffff, "{printed}");
}

#[test]
fn what_is_passed_on_is_the_same_bytes() {
    let place = Place::new();
    let output = run_script(&place, &["--tee"], "printf '<3>out\\n\\000\\377end'; printf 'err\\n' >&2; exit 3");
    assert_eq!(status(&output), 3);
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"<3>out\n\0\xffend"[..], &b"err\n"[..]));
    assert_eq!(records(&place).len(), 3);
}

#[test]
fn a_reader_that_has_gone_does_not_end_the_log() {
    let place = Place::new();
    let pipe = place.join("pipe");
    make_fifo(&pipe);
    let text = "echo one; read line < \"$1\"; echo two; exit 4";
    let mut child = script(&place, &["--tee"], text, &pipe).spawn().expect("a child");
    let mut printed = BufReader::new(child.stdout.take().expect("piped"));
    printed.read_line(&mut String::new()).expect("a line");
    drop(printed);
    fs::write(&pipe, "go on\n").expect("the command waits for it");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 4, "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot pass standard output on"), "{}", stderr(&output));
    assert_eq!(messages(&place), b"one\ntwo\n");
}

#[test]
fn a_command_that_is_missing_or_cannot_be_run_is_named() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let output = run(["run", log, "--", "no-such-command"], b"");
    assert_eq!(status(&output), 127);
    assert_eq!(stderr(&output), "diolog: cannot run no-such-command: not found in PATH\n");
    let output = run(["run", log, "--", "/no/such/command"], b"");
    assert_eq!(status(&output), 127);
    assert!(stderr(&output).starts_with("diolog: cannot run /no/such/command: No such file"), "{}", stderr(&output));
    let file = place.join("file");
    fs::write(&file, "text").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("not executable");
    let output = run(["run", log, "--", file.to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 126, "{}", stderr(&output));
    let output = run(["run", log, "--", "/"], b"");
    assert_eq!(status(&output), 126, "{}", stderr(&output));
    let output = run(["run", log, "--", ""], b"");
    assert_eq!((status(&output), &*stderr(&output)), (127, "diolog: cannot run \"\": not found in PATH\n"));
    assert!(!place.log().exists(), "no log was opened");

    // Only the start shows that the interpreter is missing.
    fs::write(&file, "#!/no/such/interpreter\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
    let output = run(["run", log, "--", file.to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 127, "{}", stderr(&output));
    assert_eq!(status(&run(["verify", log], b"")), 0, "the log was closed");
    assert_eq!(status(&run(["run", log], b"")), 64);
}

#[test]
fn the_command_needs_no_dashes_before_it_and_its_options_are_its_own() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let output = run(["run", log, "--tee", "sh", "-c", "echo $0 $1", "one", "--tee"], b"");
    assert_eq!((status(&output), &*output.stdout), (0, &b"one --tee\n"[..]), "{}", stderr(&output));
    expect_records(&place, &[("stdout", "info", "one --tee")]);
    assert_eq!(status(&run(["run", log, "--tea", "echo"], b"")), 64, "an option of diolog's, and no such one");
}

#[test]
fn a_log_that_cannot_be_opened_exits_with_3_and_the_command_is_not_run() {
    let place = Place::new();
    let made = place.join("made");
    let missing = place.join("missing/log");
    let arguments = ["run".as_ref(), missing.as_os_str(), "--".as_ref(), "touch".as_ref(), made.as_os_str()];
    let output = run(arguments, b"");
    assert_eq!(status(&output), 3, "{}", stderr(&output));
    assert!(!made.exists());
}

/// Waits until the process has ended and was waited for.
fn until_gone(process: &str) {
    while Path::new("/proc").join(process).exists() {}
}

#[test]
fn what_a_grandchild_writes_after_the_commands_end_is_logged() {
    let place = Place::new();
    let pipe = place.join("pipe");
    make_fifo(&pipe);
    let text = "(read line < \"$1\"; echo late; echo later >&2) & echo $$; exit 6";
    let mut child = script(&place, &["--tee"], text, &pipe).spawn().expect("a child");
    let mut printed = BufReader::new(child.stdout.take().expect("piped"));
    let mut process = String::new();
    printed.read_line(&mut process).expect("a line");
    until_gone(process.trim());
    fs::write(&pipe, "go on\n").expect("the grandchild waits for it");
    let mut rest = String::new();
    printed.read_to_string(&mut rest).expect("the rest");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((status(&output), &rest[..], stderr(&output)), (6, "late\n", "later\n".to_owned()));
    expect_records(
        &place,
        &[("stderr", "warn", "later"), ("stdout", "info", process.trim()), ("stdout", "info", "late")],
    );
}

#[test]
fn a_signal_after_the_commands_end_ends_the_log_with_what_was_written() {
    if !is_received(Signal::TERM) {
        return;
    }
    let place = Place::new();
    let pipe = place.join("pipe");
    make_fifo(&pipe);
    // The grandchild, which gets no signal, holds both outputs and waits.
    let text = "(read line < \"$1\") & echo $$; printf 'the end'; exit 6";
    let mut child = script(&place, &["--tee"], text, &pipe).spawn().expect("a child");
    let mut printed = BufReader::new(child.stdout.take().expect("piped"));
    let mut process = String::new();
    printed.read_line(&mut process).expect("a line");
    until_gone(process.trim());
    send(&child, Signal::TERM);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 6, "{}", stderr(&output));
    assert_eq!(messages(&place), format!("{process}the end\n").into_bytes());
    assert_eq!(status(&run(["verify", place.log().to_str().expect("UTF-8")], b"")), 0);
    // Lets the grandchild end.
    fs::write(&pipe, "end\n").expect("the grandchild waits for it");
}

#[test]
fn a_line_that_is_too_long_is_cut_and_reported_with_its_stream() {
    let place = Place::new();
    let text = "echo short; echo '<3>12345678901' >&2; echo '<3>1234567890' >&2; echo '12345678901' >&2";
    let output = run_script(&place, &["--message-bytes-max", "10"], text);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let cut =
        |line: u64| format!("line {line} of standard error has 11 bytes and was cut to 10: use --message-bytes-max 11");
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains(&cut(1)) && said.contains(&cut(3)), "{said}");
    expect_records(
        &place,
        &[
            ("stderr", "error", "1234567890"),
            ("stderr", "error", "1234567890"),
            ("stderr", "warn", "1234567890"),
            ("stdout", "info", "short"),
        ],
    );
}

#[test]
fn the_command_has_this_standard_input() {
    let place = Place::new();
    let log = place.log();
    let output = run(["run".as_ref(), log.as_os_str(), "--".as_ref(), "cat".as_ref()], b"one\ntwo\n");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(messages(&place), b"one\ntwo\n");
}

#[test]
fn lines_excluded_by_the_level_in_the_environment_are_counted() {
    let place = Place::new();
    let mut command = script(&place, &[], "echo out; echo err >&2", Path::new(""));
    let output = command.env("DIOLOG_LEVEL", "warn").output().expect("a child");
    assert_eq!(status(&output), 0);
    assert!(
        stderr(&output).contains("1 line of standard output not logged: DIOLOG_LEVEL excludes its level\n"),
        "{}",
        stderr(&output)
    );
    assert_eq!(messages(&place), b"err\n");
}

#[test]
#[cfg(not(diolog_portable))]
fn a_full_disk_makes_the_command_wait_and_loses_nothing() {
    use std::process::Stdio;

    let test = "run::a_full_disk_makes_the_command_wait_and_loses_nothing";
    crate::support::disk::on_a_disk(32 << 20, "defaults", test, |disk| {
        let ballast = disk.join("ballast");
        fs::write(&ballast, vec![0xBA; 16 << 20]).expect("room for the ballast");
        // More than the disk holds, and less than it holds without the ballast.
        let text = "yes \"$1\" | head -n 16000; exit 9";
        let mut command =
            diolog(["run", "--block-bytes", "64 KiB", "--ring-bytes", "1 MiB", "--flush-interval", "1 ms"]);
        command.arg(disk.join("log")).args(["--", "sh", "-c", text, "sh"]).arg("x".repeat(999));
        let mut child = command.stdout(Stdio::null()).spawn().expect("a child");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut next = || said.next().expect("a line").expect("text");
        let full = next();
        assert!(full.contains("no space left for the log: the command waits for space"), "{full}");
        fs::remove_file(&ballast).expect("ours to remove");
        let again = next();
        assert!(again.contains("the log can be written again"), "{again}");
        assert_eq!(status(&child.wait_with_output().expect("its end")), 9);
        let verified =
            run(["verify".as_ref(), "--format".as_ref(), "json".as_ref(), disk.join("log").as_os_str()], b"");
        let report: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
        assert_eq!((&report["verdict"], &report["records"]), (&"clean".into(), &16_000.into()), "{report}");
    });
}
