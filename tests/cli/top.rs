//! `diolog top`.

use serde_json::Value;

use crate::process::{Place, diolog, run, status, stderr, stdout};

/// The figures that `top --once --json` prints.
fn figures(log: &str) -> Value {
    let output = run(["top", "--once", "--json", log], b"");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("one object")
}

/// Elsewhere nothing tells who has a log in use.
#[cfg(all(target_os = "linux", not(diolog_portable)))]
mod in_use {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::process::{Child, ChildStdin, Command, Stdio};

    use serde_json::Value;

    use super::figures;
    use crate::process::{Place, diolog, run, start_writer, status, stderr, stdout};
    use crate::support;

    /// Logs lines until the log has figures.
    fn log_until_there_are_figures(stdin: &mut ChildStdin, log: &str) -> Value {
        loop {
            for _ in 0..100 {
                writeln!(stdin, "a line").expect("written");
            }
            if std::fs::metadata(log).is_ok() {
                let output = run(["top", "--once", "--json", log], b"");
                // The log may not have its first segment yet.
                if status(&output) == 0 && !figures(log)["figures"].is_null() {
                    return figures(log);
                }
            }
        }
    }

    #[test]
    fn the_figures_of_a_live_log_are_shown_until_ctrl_c() {
        let place = Place::new();
        let log = place.log();
        let log = log.to_str().expect("UTF-8");
        let (writer, mut stdin) = start_writer(log);
        let pid = writer.id();
        let seen = log_until_there_are_figures(&mut stdin, log);
        assert_eq!((&seen["in_use"], &seen["in_use_by"]), (&Value::Bool(true), &pid.into()));
        assert!(seen["figures"]["written"].as_u64().is_some_and(|written| written > 0), "{seen}");
        assert!(seen["age_ns"].is_string() && seen["figures"]["unix_ns"].is_string(), "{seen}");

        let once = run(["top", "--once", log], b"");
        assert_eq!(status(&once), 0, "{}", stderr(&once));
        let text = stdout(&once);
        assert!(text.contains(&format!("{log}: written by process {pid}, figures ")), "{text}");
        for part in
            ["  records  ", " written in this run, none lost", "  disk     ", "  writes   ", "  rings    ", "stdin"]
        {
            assert!(text.contains(part), "{part:?} in {text}");
        }

        let mut top = diolog(["top", log]).spawn().expect("a child");
        let mut lines = BufReader::new(top.stdout.take().expect("piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert!(line.contains(&format!("Z {log}: ")) && line.ends_with(" old\n"), "{line}");
        assert!(line.contains("writes succeed"), "{line}");
        crate::process::interrupt(&top);
        let output = top.wait_with_output().expect("its end");
        assert_eq!((status(&output), stderr(&output).as_str()), (0, ""));
        drop(stdin);
        let output = writer.wait_with_output().expect("its end");
        assert_eq!(status(&output), 0, "{}", stderr(&output));

        let shows_rates = |text: &str| text.replace(log, "").contains("/s");
        let after = stdout(&run(["top", "--once", log], b""));
        assert!(after.contains(": not in use, figures ") && !shows_rates(&after), "{after}");
        let records = stdout(&run(["cat", "--format", "message", log], b"")).lines().count();
        assert_eq!(figures(log)["figures"]["written"], records, "the last figures are final");
        let mut top = diolog(["top", log]).spawn().expect("a child");
        let mut line = String::new();
        BufReader::new(top.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert!(line.contains(&format!("Z {log}: not in use; ")) && !shows_rates(&line), "{line}");
        assert_eq!(status(&top.wait_with_output().expect("its end")), 0, "its reader has gone");
    }

    #[test]
    fn the_figures_of_a_killed_log_say_that_they_are_not_the_last() {
        let place = Place::new();
        let log = place.log();
        let log = log.to_str().expect("UTF-8");
        let (mut writer, mut stdin) = start_writer(log);
        let seen = log_until_there_are_figures(&mut stdin, log);
        assert_eq!(seen["figures"]["is_final"], false);
        writer.kill().expect("killed");
        writer.wait().expect("its end");
        let text = stdout(&run(["top", "--once", log], b""));
        assert!(text.starts_with(&format!("{log}: ended without close, figures ")), "{text}");
        assert!(text.contains(" none lost by then: diolog verify says what the files hold\n"), "{text}");
        let mut top = diolog(["top", log]).spawn().expect("a child");
        let mut line = String::new();
        BufReader::new(top.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert!(line.contains(": ended without close; ") && line.contains(" 0 lost by then, "), "{line}");
        assert_eq!(status(&top.wait_with_output().expect("its end")), 0, "its reader has gone");
    }

    /// What stands before each screen.
    const CLEAR: &str = "\x1b[H\x1b[2J";

    /// Reads until `text` has come.
    fn read_until(shown: &mut String, text: &str, output: &mut impl std::io::Read) {
        let mut bytes = [0; 4096];
        while !shown.contains(text) {
            let read = output.read(&mut bytes).expect("readable");
            assert!(read > 0, "ended before {text:?}: {shown}");
            shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    /// Runs `line` in a shell on a terminal, which `script` provides; it passes on what is typed.
    fn on_a_terminal(line: &str) -> std::io::Result<Child> {
        let mut script = Command::new("script");
        script.args(["-q", "-c", line, "/dev/null"]).env("TERM", "xterm").env_remove("DIOLOG_LEVEL");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    }

    #[test]
    fn more_logs_than_a_terminal_has_room_for_are_rows_of_a_table_up_to_its_last_line() {
        let place = Place::new();
        let paths: Vec<_> = (1..=5).map(|number| place.log().with_file_name(format!("log-{number}"))).collect();
        for path in &paths {
            assert_eq!(status(&run(["write".as_ref(), path.as_os_str()], b"a line\n")), 0);
        }
        let logs = paths.iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>().join(" ");
        let program = env!("CARGO_BIN_EXE_diolog");
        let missing = place.join("missing");
        let line = format!("stty rows 6 columns 150; {program} top '{}' {logs}", missing.display());
        let mut terminal = match on_a_terminal(&line) {
            Ok(terminal) => terminal,
            Err(error) => return support::not_shown("top on a small terminal", format!("script: {error}")),
        };
        let (mut typed, mut output) = (terminal.stdin.take().expect("piped"), terminal.stdout.take().expect("piped"));
        let mut shown = String::new();
        read_until(&mut shown, "and 3 more logs", &mut output);
        typed.write_all(b"\x03").expect("typed");
        output.read_to_string(&mut shown).expect("readable");
        terminal.wait().expect("its end");
        let screen = shown.split(CLEAR).nth(1).expect("a screen");
        let lines: Vec<_> = screen.lines().map(str::trim_end).collect();
        assert!(lines[0].starts_with("log ") && lines[0].ends_with("age  state"), "{shown:?}");
        for (line, path) in lines[1..].iter().zip(&paths[..2]) {
            assert!(line.starts_with(&path.display().to_string()) && line.ends_with("not in use"), "{shown:?}");
        }
        assert_eq!(lines[3], "and 3 more logs: a larger terminal shows them", "{shown:?}");
        let says = lines[4].starts_with("diolog: ") && lines[4].contains(&missing.display().to_string());
        assert!(says, "it stays on the screen: {shown:?}");
    }

    #[test]
    fn on_a_terminal_the_figures_are_shown_in_place_and_ctrl_c_leaves_it_as_it_was() {
        let place = Place::new();
        let log = place.log();
        let log = log.to_str().expect("UTF-8");
        let (mut writer, mut lines) = start_writer(log);
        log_until_there_are_figures(&mut lines, log);

        let program = env!("CARGO_BIN_EXE_diolog");
        let line = format!("trap : INT; stty -g; {program} top '{log}'; echo \"status $?\"; stty -g");
        let mut terminal = match on_a_terminal(&line) {
            Ok(terminal) => terminal,
            Err(error) => {
                drop(lines);
                writer.wait().expect("its end");
                return support::not_shown("top on a terminal", format!("script: {error}"));
            }
        };
        let mut typed = terminal.stdin.take().expect("piped");
        let mut output = terminal.stdout.take().expect("piped");
        let mut shown = String::new();
        read_until(&mut shown, &format!("written by process {}", writer.id()), &mut output);
        drop(lines);
        assert!(writer.wait().expect("its end").success());
        read_until(&mut shown, "not in use", &mut output);
        typed.write_all(b"\x03").expect("typed");
        output.read_to_string(&mut shown).expect("readable");
        terminal.wait().expect("its end");

        let screens: Vec<_> = shown.split(CLEAR).collect();
        assert!(screens.len() > 2, "{shown:?}");
        for screen in &screens[1..] {
            assert_eq!(screen.matches(&format!("{log}: ")).count(), 1, "one on each screen: {shown:?}");
        }
        let (_, ended) = screens[screens.len() - 1].split_once("^C").expect("Ctrl-C is echoed");
        assert!(!ended.contains('\x1b'), "{shown:?}");
        let before = screens[0].trim();
        let ended: Vec<_> = ended.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(ended, ["status 0", before], "the terminal's settings are those before: {shown:?}");
    }
}

#[test]
fn a_closed_log_has_its_final_figures_however_short_it_was() {
    let place = Place::with_log(b"one\n");
    let log = place.log();
    let output = run(["top".as_ref(), "--once".as_ref(), log.as_os_str()], b"");
    let tells_use = cfg!(all(target_os = "linux", not(diolog_portable)));
    let in_use = if tells_use { "not in use" } else { "in use or not: unknown here" };
    assert_eq!(status(&output), 0);
    assert!(stdout(&output).starts_with(&format!("{}: {in_use}, figures ", log.display())), "{}", stdout(&output));
    let figures = &figures(log.to_str().expect("UTF-8"))["figures"];
    assert_eq!((&figures["written"], &figures["is_final"]), (&1.into(), &true.into()));
}

#[test]
fn counts_are_of_the_last_run_and_waits_are_no_trouble() {
    let place = Place::with_log(b"one\ntwo\n");
    let log = place.log();
    let config = crate::support::config(&log).ring_bytes(4096).reserve_bytes(0).overflow(diolog::Overflow::Block);
    let logger = diolog::Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a ring");
    while logger.stats().waits == 0 {
        assert_eq!(producer.log(diolog::Level::Info, [b'x'; 512]), diolog::Outcome::Written);
    }
    let written = logger.stats().accepted();
    drop(producer);
    logger.close().expect("a clean end");
    let text = stdout(&run(["top".as_ref(), "--once".as_ref(), log.as_os_str()], b""));
    let rings = text.lines().find(|line| line.starts_with("  rings ")).expect("a line");
    assert!(rings.contains(" for room") && !text.contains("  trouble "), "{text}");
    let written = diolog::unstable::grouped(written);
    assert!(text.contains(&format!(" {written} written in this run, none lost\n")), "{text}");
}

// Off Linux, nothing tells that a process has the log open.
#[cfg(all(target_os = "linux", not(diolog_portable)))]
#[test]
fn figures_of_a_closed_run_are_not_those_of_the_process_that_writes_now() {
    let place = Place::with_log(b"one\ntwo\n");
    let log = place.log();
    let logger = diolog::Logger::open(crate::support::config(&log)).expect("a log");
    let text = stdout(&run(["top".as_ref(), "--once".as_ref(), log.as_os_str()], b""));
    assert!(text.contains(&format!(": written by process {}, no figures yet\n", std::process::id())), "{text}");
    assert_eq!(logger.log(diolog::Level::Info, "three"), diolog::Outcome::Written);
    logger.close().expect("a clean end");
    let text = stdout(&run(["top".as_ref(), "--once".as_ref(), log.as_os_str()], b""));
    assert!(text.contains("1 written in this run"), "{text}");
}

#[test]
fn what_is_no_log_is_an_error() {
    let place = Place::new();
    std::fs::create_dir(place.log()).expect("a directory");
    let other = place.join("passwd");
    std::fs::write(&other, "root:x:0:0").expect("written");
    for (path, message) in [
        (place.log(), " is an empty directory: nothing was logged there yet"),
        (place.join("missing"), "No such file or directory (os error 2): name the directory of a log"),
        (other, " is not a diolog segment: it starts with \"root:x:0:0\""),
    ] {
        for format in [&[][..], &["--json"]] {
            let output = diolog(["top", "--once"]).args(format).arg(&path).output().expect("a child");
            assert_eq!((status(&output), stdout(&output).as_str()), (3, ""));
            assert!(stderr(&output).ends_with(&format!("{message}\n")), "{}", stderr(&output));
        }
    }
    let output = run(["top"], b"");
    assert_eq!(status(&output), 64);
}

#[test]
fn a_path_that_is_no_log_hides_no_other() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    assert_eq!(status(&run(["write", log], b"a line\n")), 0);
    let nowhere = place.join("nowhere");
    let nowhere = nowhere.to_str().expect("UTF-8");
    for logs in [[log, nowhere], [nowhere, log]] {
        let output = run(["top", "--once"].iter().chain(&logs), b"");
        assert_eq!(status(&output), 3);
        assert!(stdout(&output).starts_with(&format!("{log}: ")), "{}", stdout(&output));
        assert!(stderr(&output).contains(nowhere), "{}", stderr(&output));
    }
    let output = run(["top", nowhere], b"");
    assert_eq!((status(&output), &*stdout(&output)), (3, ""));
}
