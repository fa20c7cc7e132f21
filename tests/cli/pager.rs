//! The pager, and local times: on a terminal, which `script` provides.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::process::Place;
use crate::support;

/// The output of the program on a terminal, with its arguments in a shell's words; `None` if this machine cannot
/// provide one.
fn on_a_terminal(arguments: &str, environment: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new("script");
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_diolog"));
    command.args(["-q", "-e", "-c", &line, "/dev/null"]).stdin(std::process::Stdio::null());
    for name in ["DIOLOG_PAGER", "PAGER", "LESS", "NO_COLOR", "DIOLOG_LEVEL"] {
        command.env_remove(name);
    }
    match command.env("TERM", "xterm").envs(environment.iter().copied()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            Some(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
        }
        Err(error) => {
            support::not_shown("the pager", format!("script: {error}"));
            None
        }
    }
}

fn log_of(lines: &[u8]) -> (Place, String) {
    let place = Place::with_log(lines);
    let log = place.log().to_str().expect("UTF-8").to_owned();
    (place, log)
}

#[test]
fn text_on_a_terminal_goes_through_the_pager_and_a_missing_one_is_no_error() {
    let (_place, log) = log_of(b"hello\n");
    for command in ["cat", "verify", "info"] {
        let shown = |options: &str, environment: &[(&str, &str)]| {
            on_a_terminal(&format!("{command} {options} '{log}'"), environment)
        };
        let marked = ("DIOLOG_PAGER", "sed 's/^/paged: /'");
        let Some(paged) = shown("", &[marked, ("PAGER", "false")]) else { return };
        assert!(paged.lines().count() > 0 && paged.lines().all(|line| line.starts_with("paged: ")), "{paged}");
        let paged = shown("", &[("PAGER", "sed 's/^/paged: /'")]).expect("a terminal");
        assert!(paged.contains("paged: "), "{paged}");
        for plain in [
            shown("--no-pager", &[marked]),
            shown("", &[("DIOLOG_PAGER", ""), ("PAGER", "false")]),
            shown("", &[("DIOLOG_PAGER", "no-such-pager")]),
            shown("", &[("PAGER", "cat")]),
        ] {
            let plain = plain.expect("a terminal");
            assert!(!plain.contains("paged: ") && plain.lines().count() > 0, "{plain}");
        }
    }
    let output = crate::process::diolog(["cat", &log]).env("DIOLOG_PAGER", "false").output().expect("a child");
    assert!(crate::process::stdout(&output).ends_with(" hello\n"), "a pipe has no pager");
}

#[test]
fn a_pager_that_ends_early_is_success() {
    let (_place, log) = log_of(&b"a line that is printed many times\n".repeat(200_000));
    let Some(shown) = on_a_terminal(&format!("cat '{log}'"), &[("PAGER", "head -n 2")]) else { return };
    assert_eq!(shown.lines().count(), 2, "{shown}");
}

#[test]
fn times_on_a_terminal_are_local_with_their_offset_and_utc_if_asked_for() {
    let (_place, log) = log_of(b"hello\n");
    let times = |options: &str, zone: &str| {
        let options = format!("tail --color never {options} '{log}'");
        let text = on_a_terminal(&options, &[("TZ", zone)])?;
        let time = text.split(' ').next().expect("a time").to_owned();
        time.parse::<jiff::Timestamp>().expect("RFC 3339");
        Some(time)
    };
    let Some(local) = times("", "Asia/Kolkata") else { return };
    assert!(local.ends_with("+05:30") && local.len() == "2026-11-21T20:17:48.998342+01:00".len(), "{local}");
    for utc in [times("--utc", "Asia/Kolkata"), times("", "UTC"), times("", "No/Such_Zone")] {
        assert!(utc.as_ref().is_some_and(|utc| utc.ends_with('Z')), "{utc:?}");
    }
}
