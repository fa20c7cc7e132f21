//! `diolog verify` and `diolog info`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::process::{Place, run, status, stderr, stdout};

fn json(command: &str, place: &Place) -> (i32, Value) {
    let output = run([command, "--format", "json", place.log().to_str().expect("UTF-8")], b"");
    (status(&output), serde_json::from_str(&stdout(&output)).expect("an object"))
}

#[test]
fn a_closed_log_is_clean_and_the_equation_is_printed() {
    let place = Place::with_log(b"one\ntwo\nthree\n");
    let output = run(["verify", place.log().to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.ends_with("\n  attempted 3 = in the files 3: holds for each producer\n"), "{text}");

    let (status, report) = json("verify", &place);
    assert_eq!((status, &report["verdict"], &report["records"]), (0, &"clean".into(), &3.into()));
    let producer = &report["runs"][0]["producers"][0];
    assert_eq!((&producer["name"], &producer["records"]), (&"stdin".into(), &3.into()));
    assert_eq!((&producer["first_sequence"], &producer["last_sequence"]), (&"0".into(), &"2".into()));
    assert_eq!((&producer["ended"], &producer["holds"]), (&true.into(), &true.into()));
}

#[test]
fn records_that_a_limit_has_hidden_are_shown_and_are_no_losses() {
    let place = Place::new();
    let logger = diolog::Logger::open(crate::support::config(place.log())).expect("a log");
    for attempt in 0..1_030 {
        diolog::info!(logger, limit: 3/h, "no connection", attempt);
    }
    logger.close().expect("a clean end");
    let output = run(["verify", place.log().to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("\n  hidden: 1,027 records by limits of callsites\n"), "{text}");
    assert_eq!(json("verify", &place).1["runs"][0]["hidden"], 1_027);
}

#[test]
fn a_killed_run_is_unconfirmed_and_its_written_records_are_there() {
    let place = Place::with_killed_log(b"one\ntwo\n");
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let printed = run(["cat", log], b"");
    assert_eq!(crate::process::status(&printed), 1);
    // Off Linux nothing tells whether a logger has the log open.
    let is_known = cfg!(not(diolog_portable));
    let ended = if is_known { "1 run ended without close" } else { "1 run not closed: in use, or ended without close" };
    let state = format!("{log}: unconfirmed: {ended}\n");
    assert_eq!(stderr(&printed), format!("diolog: {state}"));
    let verified = stdout(&run(["verify", log], b""));
    assert!(verified.starts_with(&state), "{verified}");
    let no_end = "attempted 2 = in the files 2: no final count from 1 producer, so later records may be missing";
    assert!(!is_known || verified.ends_with(&format!("  {no_end}\n")), "{verified}");
    let (status, report) = json("verify", &place);
    assert_eq!((status, &report["verdict"], &report["records"]), (1, &"unconfirmed".into(), &2.into()), "{report}");
    assert_eq!(&report["runs"][0]["clean_end"], &false);
    if is_known {
        assert_eq!(&report["runs"][0]["in_use"], &false);
        for command in ["verify", "info"] {
            let text = stdout(&run([command, log], b""));
            assert!(text.contains("ended without close"), "{text}");
        }
    }
}

#[test]
fn a_producer_without_a_name_is_shown_by_its_number() {
    let place = Place::new();
    let logger = diolog::Logger::open(crate::support::config(place.log())).expect("a log");
    let producer = logger.producer_named("").expect("a ring");
    producer.log(diolog::Level::Info, "hello");
    drop(producer);
    logger.close().expect("closed");
    let log = place.log();
    let said = |arguments: &[&str]| stdout(&run([arguments, &[log.to_str().expect("UTF-8")]].concat(), b""));
    let printed = said(&["cat", "--format", "text"]);
    assert!(printed.ends_with(" #1 hello\n"), "{printed}");
    let verified = said(&["verify"]);
    assert!(verified.contains("\n         1  #1  "), "{verified}");
}

/// Appends until a record is dropped. Returns how many were.
fn drop_some(producer: &diolog::Producer) -> u64 {
    let message = [b'x'; 512];
    while producer.log(diolog::Level::Info, message) != diolog::Outcome::Dropped {}
    1
}

#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn a_log_in_use_is_called_that_with_its_process_and_status_0() {
    let place = Place::new();
    let log = place.log();
    let logger = diolog::Logger::open(crate::support::config(&log).service("orders")).expect("a log");
    let log = log.to_str().expect("UTF-8");
    let in_use = format!("in use by process {}", std::process::id());
    let said = |command: &[&str]| {
        let output = run([command, &[log]].concat(), b"");
        (status(&output), stdout(&output) + &stderr(&output))
    };
    logger.log(diolog::Level::Info, "hello");
    logger.flush().expect("durable");
    for command in ["cat", "tail", "verify"] {
        let (status, said) = said(&[command]);
        assert_eq!(status, 0, "{command}: {said}");
        assert!(said.contains(&format!("{log}: {in_use}; nothing lost so far\n")), "{command}: {said}");
    }
    let (status, text) = said(&["info"]);
    assert!(status == 0 && text.contains(&format!("  end      {in_use}\n")), "{text}");
    let (_, text) = said(&["verify"]);
    assert!(text.contains(&format!("  segment 1; {in_use}\n")), "{text}");
    assert!(text.contains(": holds for each producer so far\n"), "{text}");
    let (status, report) = json("verify", &place);
    assert_eq!((status, &report["verdict"]), (0, &"in_use".into()), "{report}");
    assert_eq!(report["in_use_by"], std::process::id());
    let (_, info) = json("info", &place);
    assert_eq!((&info["in_use"], &info["in_use_by"]), (&true.into(), &std::process::id().into()));

    logger.close().expect("a clean end");
    let (status, text) = said(&["verify"]);
    assert!(status == 0 && text.starts_with(&format!("{log}: clean\n")), "{text}");
}

#[test]
fn records_that_were_dropped_are_named_first_with_status_4() {
    let place = Place::new();
    let log = place.log();
    let logger = diolog::Logger::open(crate::support::config(&log).ring_bytes(4096)).expect("a log");
    let dropped = drop_some(&logger.producer().expect("a ring"));
    logger.close().expect("a clean end");
    let log = log.to_str().expect("UTF-8");
    for command in ["verify", "cat", "tail"] {
        let output = run([command, log], b"");
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(status(&output), 4, "{command}: {said}");
        assert!(said.contains(&format!("{log}: clean; {dropped} dropped (ring full)\n")), "{command}: {said}");
        assert_eq!(status(&run([command, "--allow-drops", log], b"")), 0, "{command}");
    }
    let (status, report) = json("verify", &place);
    assert_eq!((status, &report["verdict"], &report["dropped"]), (4, &"dropped".into(), &dropped.into()), "{report}");
}

#[test]
fn the_rows_of_many_producers_without_losses_are_folded() {
    let place = Place::new();
    let log = place.log();
    let logger = diolog::Logger::open(crate::support::config(&log).ring_bytes(4096)).expect("a log");
    let log = log.to_str().expect("UTF-8");
    for number in 0..25 {
        let producer = logger.producer_named(&format!("worker-{number}")).expect("a ring");
        assert_eq!(producer.log(diolog::Level::Info, "hello"), diolog::Outcome::Written);
        if number == 7 {
            drop_some(&producer);
        }
    }
    logger.close().expect("a clean end");
    let folded = stdout(&run(["verify", log], b""));
    assert!(folded.contains("… and 24 producers without losses, 24 records: --all shows them"), "{folded}");
    assert!(folded.contains("worker-7") && !folded.contains("worker-8"), "{folded}");
    let all = stdout(&run(["verify", "--all", log], b""));
    assert!((0..25).all(|number| all.contains(&format!(" worker-{number} "))) && !all.contains('…'), "{all}");
}

#[test]
fn a_path_cannot_control_the_terminal() {
    let place = Place::new();
    let evil = place.join("evil\n\x1b[31m\u{202e}");
    for command in ["cat", "tail", "info", "verify"] {
        let output = run([command.as_ref(), evil.as_os_str()], b"");
        let said = stderr(&output);
        assert_eq!(status(&output), 3, "{said}");
        assert!(said.contains(r"evil\n\x1b[31m\u{202e}") && said.lines().count() == 1, "{said}");
    }
    let output = run(["write".as_ref(), evil.as_os_str()], b"one\n");
    let said = stderr(&output);
    assert!(said.contains(r"evil\n\x1b[31m\u{202e}") && !said.contains('\x1b'), "{said}");
    fs::write(evil.join("00000007.dlog"), "no segment").expect("ours");
    for command in ["cat", "tail", "info", "verify"] {
        for format in ["text", "json"] {
            let format = if command == "tail" { None } else { Some(["--format", format]) };
            let mut arguments = vec![command.as_ref()];
            arguments.extend(format.iter().flatten().map(std::ffi::OsStr::new));
            arguments.push(evil.as_os_str());
            let output = run(arguments, b"");
            let said = stdout(&output) + &stderr(&output);
            assert!(said.contains("00000007.dlog") && !said.contains(['\x1b', '\u{202e}']), "{command}: {said}");
        }
    }
}

#[test]
fn damage_counts_as_lost_records() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let input = "x".repeat(1000) + "\n";
    run(["write", "--block-bytes", "4096", "--ring-bytes", "65536", log], input.repeat(64).as_bytes());
    let segment = &place.segments()[0];
    let mut bytes = fs::read(segment).expect("read");
    bytes[4096 + 2000] ^= 1;
    fs::write(segment, &bytes).expect("written");
    let (status, report) = json("verify", &place);
    assert_eq!((status, &report["verdict"]), (2, &"lost".into()), "{report}");
    assert_eq!(report["runs"][0]["blocks"]["lost"], 1);
    let producer = &report["runs"][0]["producers"][0];
    assert!(producer["damaged"].as_u64() > Some(0), "{report}");
}

#[test]
fn info_lists_runs_and_segments() {
    let place = Place::with_log(b"one\n");
    run(["write", "--service", "orders", place.log().to_str().expect("UTF-8")], b"two\n");
    let (status, info) = json("info", &place);
    assert_eq!(status, 0);
    assert_eq!(info["segments"].as_array().map(Vec::len), Some(2), "{info}");
    assert_eq!(info["runs"].as_array().map(Vec::len), Some(2), "{info}");
    let output = run(["info", place.log().to_str().expect("UTF-8")], b"");
    let text = stdout(&output);
    assert!(text.contains("orders") && text.contains("00000001.dlog"), "{text}");
    let services = ["info", "verify"].map(|command| {
        let (_, report) = json(command, &place);
        [0, 1].map(|run| report["runs"][run]["service"].clone())
    });
    assert_eq!(services, [[Value::Null, "orders".into()], [Value::Null, "orders".into()]]);
}

// Off Linux the name of the host is not known.
#[test]
#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn info_says_which_process_wrote_a_run_and_where() {
    let place = Place::new();
    diolog::Logger::open(crate::support::config(place.log())).expect("a log").close().expect("a clean end");
    let (_, info) = json("info", &place);
    let run_of = &info["runs"][0];
    assert_eq!(run_of["pid"], std::process::id());
    let host = run_of["host"].as_str().expect("a host");
    let text = stdout(&run(["info", place.log().to_str().expect("UTF-8")], b""));
    assert!(text.contains(&format!("  writer   process {} on {host}\n", std::process::id())), "{text}");
}

#[test]
fn records_that_were_cut_are_counted() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    let output = run(["write", "--message-bytes-max", "3", log], b"one\nlonger\nlongest\n");
    assert_eq!(status(&output), 2);
    let text = stdout(&run(["verify", log], b""));
    assert!(text.contains("\n  2 records cut when logged: too long, or their formatter failed\n"), "{text}");
}

#[test]
fn names_in_a_log_cannot_control_the_terminal() {
    let place = Place::new();
    let log = place.log();
    let log = log.to_str().expect("UTF-8");
    assert_eq!(status(&run(["write", "--service", "evil\n\x1b[31mclean", log], b"one\n")), 0);
    for command in ["verify", "info"] {
        let text = stdout(&run([command, log], b""));
        assert!(text.contains("evil\\n\\x1b[31mclean"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }
}

#[test]
fn a_file_of_zeros_is_not_called_clean() {
    let place = Place::with_log(b"one\n");
    let segment = place.log().join("00000001.dlog");
    let bytes = fs::metadata(&segment).expect("a segment").len();
    fs::write(&segment, vec![0; bytes as usize]).expect("ours");
    let output = run(["verify", segment.to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 3, "{}", stdout(&output));
    assert!(stderr(&output).contains("holds no block"), "{}", stderr(&output));
}

#[test]
fn info_reports_a_damaged_header() {
    let place = Place::with_log(b"one\n");
    let segment = place.log().join("00000001.dlog");
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[..4096].fill(0xa5);
    fs::write(&segment, bytes).expect("ours");
    let output = run(["info", place.log().to_str().expect("UTF-8")], b"");
    assert_eq!(status(&output), 1, "{}", stdout(&output));
    assert!(stdout(&output).contains("its header is damaged"), "{}", stdout(&output));
}

/// A closed log of three segments, with several blocks in each.
fn three_segments(place: &Place) -> Vec<PathBuf> {
    crate::support::segments::run(crate::support::segments::small(place.log()), 3);
    place.segments()
}

#[test]
fn a_damaged_header_is_unconfirmed_and_no_record_is_missing() {
    let place = Place::new();
    let segments = three_segments(&place);
    let records = json("verify", &place).1["records"].clone();
    for segment in &segments {
        let intact = fs::read(segment).expect("a segment");
        let mut bytes = intact.clone();
        bytes[..4096].fill(0xa5);
        fs::write(segment, bytes).expect("ours");
        let (status, report) = json("verify", &place);
        assert_eq!((status, &report["verdict"]), (1, &"unconfirmed".into()), "{report}");
        assert_eq!((&report["records"], &report["blocks"]["damaged_headers"]), (&records, &1.into()), "{report}");
        let log = place.log();
        let output = run(["verify".as_ref(), log.as_os_str()], b"");
        let text = stdout(&output);
        assert!(text.starts_with(&format!("{}: unconfirmed: 1 segment header damaged\n", log.display())), "{text}");
        assert!(text.contains("the segment's header is damaged: no record is missing because of that\n"), "{text}");
        assert_eq!(crate::process::status(&run(["cat".as_ref(), log.as_os_str()], b"")), 1);
        fs::write(segment, intact).expect("ours");
    }
}

#[test]
fn a_missing_file_is_called_that_once() {
    let place = Place::new();
    let segments = three_segments(&place);
    fs::remove_file(&segments[1]).expect("ours");
    let (status, report) = json("verify", &place);
    assert_eq!((status, &report["verdict"]), (2, &"lost".into()), "{report}");
    let findings: Vec<_> = report["findings"].as_array().expect("findings").iter().collect();
    assert_eq!(findings.len(), 1, "{report}");
    let what = findings[0]["what"].as_str().expect("words");
    assert!(what.starts_with("is missing: blocks ") && findings[0]["offset"].is_null(), "{report}");
    assert_eq!(findings[0]["path"], segments[1].to_str().expect("UTF-8"));
}

#[test]
fn an_emptied_file_between_used_ones_is_not_called_prepared() {
    let place = Place::new();
    let segments = three_segments(&place);
    fs::write(&segments[1], "").expect("ours");
    let (status, info) = json("info", &place);
    assert_eq!((status, info["prepared_files"].as_array().map(Vec::len)), (1, Some(0)), "{info}");
    let what = info["findings"][0]["what"].as_str().expect("words").to_owned();
    assert!(what.starts_with("holds no block, and blocks ") && what.ends_with(": it was emptied"), "{info}");
    let text = stdout(&run(["info".as_ref(), place.log().as_os_str()], b""));
    assert!(text.contains(&what) && !text.contains("prepared file"), "{text}");
}

#[test]
fn a_segment_under_another_name_is_named_with_the_name_that_it_should_have() {
    for name in ["renamed.dlog", "00000002.dlog.bak", "00000002.DLOG"] {
        let place = Place::new();
        let segments = three_segments(&place);
        let renamed = place.log().join(name);
        fs::rename(&segments[1], &renamed).expect("ours");
        // Neither a copy of a segment that is there, nor what is no segment, is worth a word.
        fs::copy(&segments[0], place.log().join("copy")).expect("ours");
        fs::write(place.log().join("notes.txt"), "no segment").expect("ours");
        let is_named = |finding: &&Value| finding["path"] == renamed.to_str().expect("UTF-8");
        for command in ["verify", "info"] {
            let (_, report) = json(command, &place);
            let findings = report["findings"].as_array().expect("findings");
            let found: Vec<_> = findings.iter().filter(is_named).collect();
            let what = "holds segment 2 of this log: rename it to 00000002.dlog";
            assert!(found.len() == 1 && found[0]["what"] == what, "{command}: {report}");
            assert!(!report.to_string().contains("/copy") && !report.to_string().contains("notes.txt"), "{report}");
        }
        fs::rename(&renamed, &segments[1]).expect("ours");
        assert_eq!(json("verify", &place).0, 0, "{name}");
    }
}

#[test]
fn a_segment_alone_is_clean_if_the_next_one_goes_on_where_it_ends() {
    let place = Place::new();
    let segments = three_segments(&place);
    let verify = |segment: &PathBuf| {
        let output = run(["verify".as_ref(), segment.as_os_str()], b"");
        (status(&output), stdout(&output))
    };
    for segment in &segments[..2] {
        let (status, text) = verify(segment);
        assert!(status == 0 && text.starts_with(&format!("{}: clean\n", segment.display())), "{text}");
        assert!(text.contains("; its run goes on in the next segment, which was not given\n"), "{text}");
        assert_eq!(crate::process::status(&run(["cat".as_ref(), segment.as_os_str()], b"")), 0);
    }
    assert!(verify(&segments[2]).1.contains("; closed cleanly\n"));
    // `info` does not look at the next one.
    let end = |segment: &PathBuf| {
        let said = stdout(&run(["info".as_ref(), segment.as_os_str()], b""));
        said.lines().find_map(|line| line.strip_prefix("  end      ")).map(str::to_owned)
    };
    let unknown = "unknown: only the last segment of a run says whether the run was closed";
    assert_eq!(end(&segments[1]).as_deref(), Some(unknown));
    assert_eq!(end(&segments[2]).as_deref(), Some("closed cleanly"));
    // Without the next one, nothing shows that this one is whole; nor with one that begins elsewhere.
    fs::remove_file(&segments[1]).expect("ours");
    let (status, text) = verify(&segments[0]);
    assert!(status == 1 && text.contains("not closed: in use, or ended without close"), "{text}");
}

#[test]
fn several_logs_have_a_report_each_and_the_status_of_the_worst() {
    let (first, second) = (Place::with_log(b"one\n"), Place::with_killed_log(b"two\nthree\n"));
    let nothing = first.join("nothing");
    let [first, second] = [first.log(), second.log()];
    let [first, second, nothing] = [&first, &second, &nothing].map(|path| path.to_str().expect("UTF-8"));
    for (command, statuses) in [("verify", [0, 1, 3]), ("info", [0, 0, 3])] {
        let alone = |path: &str| stdout(&run([command, path], b""));
        let output = run([command, first, second], b"");
        assert_eq!((status(&output), stderr(&output).as_str()), (statuses[1], ""));
        assert_eq!(stdout(&output), format!("{}\n{}", alone(first), alone(second)));
        assert_eq!(status(&run([command, first, first], b"")), statuses[0]);
        // One that cannot be read does not hide the others.
        let output = run([command, "--format", "json", first, nothing, second], b"");
        assert_eq!(status(&output), statuses[2]);
        assert!(stderr(&output).contains(nothing), "{}", stderr(&output));
        let objects: Vec<Value> =
            stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(objects.iter().map(|object| &object["path"]).collect::<Vec<_>>(), [first, second]);
        let output = run([command], b"");
        assert_eq!(status(&output), 64);
    }
}
