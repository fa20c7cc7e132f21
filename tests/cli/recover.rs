//! `diolog recover`: what a killed process has left in shared rings, and the exit statuses.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::process::{Place, diolog, run, status, stderr, stdout};

/// A log whose writer was killed after it had read some lines, and its rings, beside it.
fn killed() -> Place {
    let place = Place::new();
    let log = place.log();
    let settings = place.join("settings.toml");
    std::fs::write(&settings, format!("ring_memory = {:?}\n", place.join("rings"))).expect("written");
    let mut command = diolog(["write", "--flush-interval", "1 ms", "--config"]);
    let mut child = command.arg(&settings).arg(&log).stdin(Stdio::piped()).spawn().expect("a child");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"one\n").expect("written");
    while run(["cat", "--format", "message", log.to_str().expect("text")], b"").stdout != b"one\n" {}
    child.kill().expect("killed");
    child.wait().expect("its end");
    place
}

#[test]
fn a_killed_run_is_recovered_once_and_verifies() {
    let place = killed();
    let log = place.log();
    let log = log.to_str().expect("text");
    for command in ["verify", "info"] {
        let text = stdout(&run([command, log], b""));
        assert!(text.contains("run `diolog recover`"), "{text}");
    }
    let recovered = run(["recover", log], b"");
    assert_eq!(status(&recovered), 0, "{}", stderr(&recovered));
    assert!(stdout(&recovered).contains("recovered of 1 run, in "), "{}", stdout(&recovered));
    for command in ["verify", "info"] {
        let output = run([command, log], b"");
        assert!(stdout(&output).contains("recovered after its process had died"), "{}", stdout(&output));
        assert_eq!(status(&output), 0, "{}", stdout(&output));
    }
    assert_eq!(stdout(&run(["cat", "--format", "message", log], b"")), "one\n");
    let again = run(["recover", log, log], b"");
    assert_eq!((status(&again), stdout(&again)), (0, format!("{log}: nothing to recover\n").repeat(2)));
    assert_eq!(std::fs::read_dir(place.join("rings")).expect("there").count(), 0);
}

#[test]
fn rings_that_are_not_found_give_the_status_of_what_is_unconfirmed() {
    let place = killed();
    let log = place.log();
    let log = log.to_str().expect("text");
    let rings = place.join("rings");
    let moved = place.join("elsewhere");
    std::fs::rename(&rings, &moved).expect("renamed");
    let output = run(["recover", log], b"");
    assert_eq!(status(&output), 1, "{}", stdout(&output));
    assert!(stdout(&output).contains("there is no directory for"), "{}", stdout(&output));
    let output = run(["recover", "--format", "json", "--rings", moved.to_str().expect("text"), log], b"");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((status(&output), &report["runs"][0]["outcome"]), (0, &"complete".into()), "{report}");

    let place = killed();
    let log = place.log();
    let entries = std::fs::read_dir(place.join("rings")).expect("there");
    entries.for_each(|entry| std::fs::remove_file(entry.expect("an entry").path()).expect("removed"));
    let output = run(["recover", log.to_str().expect("text")], b"");
    assert_eq!(status(&output), 1, "{}", stdout(&output));
    assert!(stdout(&output).contains(".rings is missing\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("diolog recover --forget"), "{}", stdout(&output));
    assert_eq!(status(&run(["recover", "no/such/log"], b"")), 3);
}

#[test]
fn rings_that_nothing_names_can_only_be_given_up() {
    let place = killed();
    let log = place.log();
    let mut links = std::fs::read_dir(&log).expect("there").map(|entry| entry.expect("an entry").path());
    let link = links.find(|path| path.extension().is_some_and(|extension| extension == "rings")).expect("a link");
    std::fs::write(&link, "damaged").expect("written");
    let (log, rings) = (log.to_str().expect("text"), place.join("rings"));
    for options in [&["recover"][..], &["recover", "--rings", rings.to_str().expect("text")]] {
        let output = run([options, &[log]].concat(), b"");
        assert_eq!(status(&output), 1, "{}", stdout(&output));
        let said = stdout(&output);
        assert!(said.contains("the file that should name its rings is damaged"), "{said}");
        assert!(said.contains("recover --forget") && !said.contains("recover --rings"), "{said}");
    }
    let report: Value = serde_json::from_slice(&run(["recover", "--format", "json", log], b"").stdout).expect("JSON");
    assert_eq!(report["runs"][0]["rings"], Value::Null, "{report}");
    let output = run(["recover", "--forget", log], b"");
    assert!(stdout(&output).contains("given up") && !stdout(&output).contains("--forget"), "{}", stdout(&output));
    assert!(!link.exists());
}

/// A log whose writer was killed before its first block, and its rings, beside it.
fn killed_before_a_block() -> Place {
    let place = Place::new();
    let log = place.log();
    let settings = place.join("settings.toml");
    std::fs::write(&settings, format!("ring_memory = {:?}\n", place.join("rings"))).expect("written");
    let mut command = diolog(["write", "--flush-interval", "1 h", "--config"]);
    let mut child = command.arg(&settings).arg(&log).stdin(Stdio::piped()).spawn().expect("a child");
    child.stdin.as_mut().expect("piped").write_all(b"one\n").expect("written");
    while !log.exists() || rings_named_in(&log) == 0 {
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("its end");
    place
}

/// How many runs' rings the log names.
fn rings_named_in(log: &std::path::Path) -> usize {
    let names = std::fs::read_dir(log).expect("there").map(|entry| entry.expect("an entry").path());
    names.filter(|name| name.extension().is_some_and(|extension| extension == "rings")).count()
}

#[test]
fn rings_of_a_run_without_a_block_are_named_by_every_reader() {
    let place = killed_before_a_block();
    let log = place.log();
    let log = log.to_str().expect("text");
    for command in ["verify", "info", "cat"] {
        let output = run([command, log], b"");
        let said = stdout(&output) + &stderr(&output);
        assert!(said.contains("run `diolog recover`"), "{command}: {said}");
        assert!(command == "info" || status(&output) == 1, "{command}: {said}");
        assert!(!said.contains("records*") && !said.contains("* including"), "there is no table to explain: {said}");
    }
}

#[test]
fn rings_that_are_given_up_leave_the_log_unconfirmed() {
    let place = killed_before_a_block();
    let log = place.log();
    let log = log.to_str().expect("text");
    std::fs::remove_dir_all(place.join("rings")).expect("removed");
    let verified = || {
        let output = run(["verify", log], b"");
        (status(&output), stdout(&output))
    };
    assert_eq!(status(&run(["write", log], b"two\n")), 0);
    let (code, text) = verified();
    assert!(code == 1 && text.contains("run `diolog recover`"), "{text}");
    let left = run(["recover", log], b"");
    assert!(status(&left) == 1 && stdout(&left).contains("diolog recover --forget"), "{}", stdout(&left));
    let given_up = run(["recover", "--forget", log], b"");
    assert!(status(&given_up) == 1 && stdout(&given_up).contains("given up: there is no"), "{}", stdout(&given_up));
    assert_eq!(stdout(&run(["recover", log], b"")), format!("{log}: nothing to recover\n"));
    for _ in 0..2 {
        let (code, text) = verified();
        assert!(
            code == 1 && text.contains("ended before its first write") && !text.contains("diolog recover"),
            "{text}"
        );
        assert_eq!(status(&run(["write", log], b"three\n")), 0);
    }
}

#[test]
fn rings_that_are_there_and_cannot_be_recovered_are_not_to_be_given_up() {
    let place = killed();
    let log = place.log();
    let entries = std::fs::read_dir(place.join("rings")).expect("there");
    let files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let access = |mode| std::fs::set_permissions(&files[0], std::os::unix::fs::PermissionsExt::from_mode(mode));
    access(0o666).expect("ours");
    let output = run(["recover", log.to_str().expect("text")], b"");
    let said = stdout(&output);
    assert!(status(&output) == 1 && said.contains("may be written by others"), "{said}");
    assert!(!said.contains("--forget"), "{said}");
    access(0o600).expect("ours");
    assert_eq!(status(&run(["recover", log.to_str().expect("text")], b"")), 0);
}

#[test]
fn rings_of_a_run_that_has_no_segment_are_a_finding() {
    let place = Place::with_log(b"one\n");
    std::fs::write(place.log().join("00112233445566778899aabbccddeeff.rings"), "").expect("written");
    let log = place.log();
    let log = log.to_str().expect("text");
    for command in ["verify", "info", "cat"] {
        let output = run([command, log], b"");
        let said = stdout(&output) + &stderr(&output);
        assert!(
            status(&output) == 1 && said.contains("has no segment here, and is not recovered"),
            "{command}: {said}"
        );
    }
}

#[test]
fn a_log_in_use_is_refused_with_the_process_that_has_it_whatever_rings_it_has() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("text");
    let settings = place.join("settings.toml");
    for memory in ["private".into(), place.join("rings")] {
        std::fs::write(&settings, format!("ring_memory = {memory:?}\n")).expect("written");
        let mut command = diolog(["write", "--flush-interval", "1 ms", "--config"]);
        let mut child = command.arg(&settings).arg(log).stdin(Stdio::piped()).spawn().expect("a child");
        child.stdin.as_mut().expect("piped").write_all(b"one\n").expect("written");
        while !stdout(&run(["info", log], b"")).contains(&format!("in use by process {}", child.id())) {}
        for options in [&["recover"][..], &["recover", "--forget"]] {
            let output = run([options, &[log]].concat(), b"");
            let said = stderr(&output);
            assert_eq!((status(&output), stdout(&output).as_str()), (3, ""), "{said}");
            let expected = format!("diolog: {log} is in use by process {}, which needs no recovery", child.id());
            assert!(said.starts_with(&expected), "{said}");
        }
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success());
        assert_eq!(status(&run(["recover", log], b"")), 0, "{memory:?}");
    }
}

#[test]
fn a_directory_that_is_no_log_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.log()).expect("made");
    let log = place.log();
    let log = log.to_str().expect("text");
    for (arguments, said) in [
        (&["recover", log][..], "is an empty directory"),
        (&["recover", "/no/such/log"], ": name the directory of a log"),
        (&["recover", "/dev/null/log"], ": name the directory of a log"),
        (&["recover", "--forget", log], "is an empty directory"),
        (&["recover", "--format", "json", "/dev"], "holds no .dlog file"),
    ] {
        let output = run(arguments, b"");
        assert_eq!((status(&output), stdout(&output)), (3, String::new()), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}
