//! `diolog write`.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::process::{Place, diolog, messages, run, status, stderr};

/// Bytes that look random, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn arbitrary_bytes_come_back_unchanged_with_a_line_feed_after_each_line() {
    let mut inputs: Vec<Vec<u8>> = [
        &b""[..],
        b"\n",
        b"\n\n\n",
        b"one\n",
        b"one\n\nthree",
        b"\0\r\n\xff\xfe\x1b[31m\n\r\r\n\0\n",
        b"no line feed at the end",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    for seed in 1..=3 {
        println!("seed {seed}");
        let mut input = noise(seed, 700_000);
        // Fewer line feeds than chance gives, so that some lines span several reads.
        input[100_000..400_000].iter_mut().for_each(|byte| *byte |= 1 << 4);
        inputs.push(input);
    }
    for input in inputs {
        let place = Place::with_log(&input);
        let mut expected = input.clone();
        if !expected.is_empty() && !expected.ends_with(b"\n") {
            expected.push(b'\n');
        }
        // Not `assert_eq!`, which would print all of them.
        assert!(messages(&place) == expected, "{} bytes", input.len());
    }
}

#[test]
fn two_runs_in_one_directory_are_printed_in_order() {
    let place = Place::with_log(b"first\nsecond\n");
    let output = run(["write", place.log().to_str().expect("UTF-8")], b"third\n");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(messages(&place), b"first\nsecond\nthird\n");
}

#[test]
fn the_summary_counts_durable_records_and_quiet_omits_it() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let output = run(["write", log], b"first\nsecond\n");
    let summary = stderr(&output);
    assert!(summary.starts_with("diolog: 2 records, 11 B, in "), "{summary}");
    assert!(summary.contains(", all durable; "), "{summary}");
    assert_eq!(stderr(&run(["write", "--quiet", log], b"third\n")), "");
}

#[test]
fn a_closed_standard_input_counts_as_empty() {
    let place = Place::new();
    let script = format!("exec \"$0\" write '{}' <&-", place.log().display());
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_diolog")])
        .env_remove("DIOLOG_LEVEL")
        .output()
        .expect("a shell");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(messages(&place), b"");
}

#[test]
fn a_line_that_is_too_long_is_cut_and_reported_with_its_number_and_the_remedy() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let mut input = b"short\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', 3_000_000));
    input.extend_from_slice(b"\nlast\n");
    let output = run(["write", log], &input);
    assert_eq!(status(&output), 2, "{}", stderr(&output));
    let expected = "line 2 has 3,000,000 bytes and was cut to 1,048,576: use --message-bytes-max 3000000";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    let kept = messages(&place);
    assert_eq!(kept.len(), 6 + (1 << 20) + 1 + 5);
    assert!(kept.starts_with(b"short\nxxx") && kept.ends_with(b"xxx\nlast\n"));

    let place = Place::new();
    let log = place.log();
    let output = run(["write", "--message-bytes-max", "3000000", log.to_str().expect("UTF-8")], &input);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(messages(&place) == input);
}

#[test]
fn invalid_settings_exit_with_64_and_create_nothing() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    for (arguments, named) in [
        (&["--ring-bytes", "5000"][..], "--ring-bytes is 5,000 bytes: use"),
        (&["--block-bytes", "100"], "--block-bytes is 100 bytes: use"),
        (&["--segment-bytes", "4096"], "--segment-bytes is 4 KiB: a segment holds"),
        (&["--writer-core", "100000"], "--writer-core is 100000: "),
        (&["--message-bytes-max", "1 TiB"], "--message-bytes-max is 1 TiB: use"),
        (&["--retain-bytes", "1 MiB"], "a segment takes up to --segment-bytes, 256 MiB; use at least that, or smaller"),
        (
            &["--message-bytes-max", "1 MiB", "--ring-bytes", "1 MiB"],
            "--message-bytes-max is 1 MiB: half a --ring-bytes of 1 MiB holds 524,264 bytes; use at most that, or a",
        ),
    ] {
        let output = run([&["write", log], arguments].concat(), b"line\n");
        assert_eq!(status(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
        assert!(!place.log().exists(), "{arguments:?}");
    }
}

#[test]
fn a_path_that_cannot_hold_a_log_is_named_and_exits_with_3() {
    let place = Place::new();
    fs::write(place.join("file"), "text").expect("written");
    for path in [place.join("missing/log"), place.join("file")] {
        let path = path.to_str().expect("UTF-8");
        let output = run(["write", path], b"line\n");
        assert_eq!(status(&output), 3, "{}", stderr(&output));
        assert!(stderr(&output).contains(path), "{}", stderr(&output));
    }
}

#[test]
fn parents_of_the_log_are_created_if_asked_for() {
    let place = Place::new();
    let log = place.join("a/b/log");
    let log = log.to_str().expect("UTF-8");
    let refused = run(["write", log], b"line\n");
    assert_eq!(status(&refused), 3);
    let said = format!("because the directory {} does not exist", place.join("a/b").display());
    assert!(stderr(&refused).contains(&said), "{}", stderr(&refused));
    assert!(stderr(&refused).ends_with("or set --create-parents\n"), "{}", stderr(&refused));
    let output = run(["write", "--create-parents", log], b"line\n");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(run(["cat", "--format", "message", log], b"").stdout, b"line\n");
}

#[test]
fn settings_come_from_a_file_and_options_override_it() {
    let place = Place::new();
    let file = place.join("log.toml");
    fs::write(&file, "path = 'elsewhere'\nmessage_bytes_max = 4\nservice = 'orders'").expect("written");
    let (log, file) = (place.log(), file.to_str().expect("UTF-8").to_owned());
    let log = log.to_str().expect("UTF-8");
    let output = run(["write", "--config", &file, log], b"longer\n");
    assert_eq!(status(&output), 2, "{}", stderr(&output));
    let output = run(["write", "--config", &file, "--message-bytes-max", "10", log], b"longer\n");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(messages(&place), b"long\nlonger\n");
    for (missing, said) in [("no/such/file", "no/such/file"), (log, "directory")] {
        let output = run(["write", "--config", missing, log], b"line\n");
        assert_eq!(status(&output), 64, "{}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    let verified = run(["verify", "--format", "json", log], b"");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("\"service\":\"orders\""));
}

#[test]
fn an_invalid_setting_is_named_as_the_file_or_the_option_names_it() {
    let place = Place::new();
    let (log, file) = (place.log(), place.join("log.toml"));
    let [log, file] = [&log, &file].map(|path| path.to_str().expect("UTF-8"));
    let refusal = |settings: &str, options: &[&str]| {
        fs::write(file, settings).expect("written");
        let output = run([&["write", "--config", file, log], options].concat(), b"line\n");
        assert_eq!(status(&output), 64, "{}", stderr(&output));
        stderr(&output)
    };
    let said = refusal("ring_bytes = 5000\npath = 'x'", &[]);
    assert!(said.starts_with("diolog: ring_bytes is 5,000 bytes: use"), "{said}");
    let said = refusal("segment_bytes = '1 MiB'\npath = 'x'", &["--retain-bytes", "4096"]);
    assert!(said.contains("--retain-bytes is 4 KiB: a segment takes up to segment_bytes, 1 MiB;"), "{said}");
    let said = refusal("file_mode = 640\npath = 'x'", &[]);
    assert!(said.contains("file_mode is 640, which is 0o1200 in octal: did you mean 0o640?"), "{said}");
    assert!(!place.log().exists());
}

#[test]
fn lines_excluded_by_the_level_in_the_environment_are_counted() {
    let place = Place::new();
    let log = place.log();
    let mut command = diolog(["write", log.to_str().expect("UTF-8")]);
    let mut child = command.env("DIOLOG_LEVEL", "error").stdin(Stdio::piped()).spawn().expect("a child");
    child.stdin.take().expect("piped").write_all(b"one\ntwo\n").expect("written");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 0);
    assert!(stderr(&output).contains("2 lines not logged: DIOLOG_LEVEL"), "{}", stderr(&output));
    assert_eq!(messages(&place), b"");
}

// The portable fallback does not know the limit.
#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_file_size_limit_smaller_than_a_block_is_refused() {
    let place = Place::new();
    // The signal SIGXFSZ would kill the process at the limit.
    let script = "ulimit -f 64; exec \"$0\" write \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_diolog")]).arg(place.log()).env_remove("DIOLOG_LEVEL");
    let output = shell.output().expect("a shell");
    assert_eq!(status(&output), 64, "{}", stderr(&output));
    assert!(stderr(&output).contains("ulimit -f"), "{}", stderr(&output));
    assert!(!place.log().exists());
}

// The portable fallback does not notice that a file is deleted.
#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_log_that_can_no_longer_be_written_is_reported_at_once_and_its_losses_at_the_end() {
    use std::io::{BufRead as _, BufReader, Read as _};

    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let (mut child, mut stdin) = crate::process::start_writer_of(log, b"one\n");
    fs::remove_dir_all(log).expect("removed");
    stdin.write_all(b"two\n").expect("written");
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    errors.read_line(&mut said).expect("a line");
    assert!(said.contains("cannot be written"), "{said}");
    drop(stdin);
    errors.read_to_string(&mut said).expect("the rest");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 2, "{said}");
    // The second line went with the deleted file, or still waits for a directory at the deadline of close. If it is in
    // a directory that was made again, the first one is gone.
    let is_told = said.contains("not confirmed durable") || said.contains("was deleted while in use");
    assert!(is_told && !said.contains("all durable"), "{said}");
}

// As above.
#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn lines_that_went_with_a_deleted_file_are_not_called_durable() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let (child, mut stdin) = crate::process::start_writer_of(log, b"one\n");
    fs::remove_file(place.log().join("00000001.dlog")).expect("removed");
    // Soon the log goes on in the next file, and has no fault at its end.
    while !run(["cat", "--format", "message", log], b"").stdout.ends_with(b"two\n") {
        stdin.write_all(b"two\n").expect("written");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(status(&output), 2, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("was deleted while in use") && !said.contains("all durable"), "{said}");
}

#[test]
fn old_segments_are_removed_as_the_options_say() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let sizes = ["--block-bytes", "4096", "--segment-bytes", "32KiB", "--message-bytes-max", "1KiB"];
    let limits =
        ["--retain-segments", "1", "--retain-for", "30 days", "--retain-bytes", "1 MiB", "--rotate-after", "1h"];
    for line in ["first\n", "second\n", "third\n"] {
        let output = run(["write", log].into_iter().chain(sizes).chain(limits), line.as_bytes());
        assert_eq!(status(&output), 0, "{}", stderr(&output));
    }
    assert_eq!(messages(&place), b"third\n");
    let output = run(["write", log, "--retain-segments", "0"], b"fourth\n");
    assert!(stderr(&output).contains("--retain-segments is 0: use at least 1"), "{}", stderr(&output));
    assert_eq!(messages(&place), b"third\n");
}
