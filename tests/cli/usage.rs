//! Arguments, help, and the exit statuses that scripts rely on.

use crate::process::{run, status, stderr, stdout};

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
