//! The list of cases: which files there are, and what is suspicious.

use super::super::runs::sort;
use super::*;
use crate::format::{self, SegmentHeader};

const BOOT: [u8; 16] = [4; 16];

fn path(number: u64) -> Arc<Path> {
    Path::new(&format!("{number}")).into()
}

/// A log's files from words such as `3b+`: a number, then a run's letter for a segment, or `-` for a prepared file,
/// `?` for one that cannot be read, `n` for one of a newer version. After a run's letter, `+` says that retention was
/// set, `*` that the segment is another log's, `!` that its header is damaged, `~` that it names another segment
/// before it, digits that the run begins with this block, `r` that a recovery has written it, `R` that the machine was
/// restarted since the run began, and each `^` that one more file before it held no block, each `'` that an earlier run
/// had left it. A run's later segments begin with block 10.
fn facts(files: &str) -> Facts {
    let mut facts = Facts::in_boot(BOOT);
    let mut segments: Vec<Segment> = Vec::new();
    for word in files.split(' ') {
        let (number, what) = word.split_at(word.find(|letter: char| !letter.is_ascii_digit()).expect("a kind"));
        let number = number.parse().expect("a number");
        let inspected = match &what[..1] {
            "-" => Inspected::Prepared,
            "?" => Inspected::Unreadable("is something else".into()),
            "n" => Inspected::Newer(String::new()),
            _ => {
                let run = format::StoredRunId([what.as_bytes()[0]; 16]);
                let begins_with: String = what.chars().filter(char::is_ascii_digit).collect();
                let goes_on = segments.iter().any(|segment| segment.run() == Some(run)) || !begins_with.is_empty();
                let header = SegmentHeader {
                    log: LogId([if what.contains('*') { 8 } else { 9 }; 16]),
                    run,
                    previous_segment_id: match segments.iter().rfind(|segment| segment.run() == Some(run)) {
                        Some(before) if !what.contains('~') => before.segment_id,
                        _ if goes_on => 777,
                        _ => 0,
                    },
                    compatible_features: if what.contains('+') { SegmentHeader::RETENTION } else { 0 },
                    unused_before: what.matches(['^', '\'']).count() as u32,
                    left_before: what.matches('\'').count() as u16,
                    rings_of: what.contains(['r', 'R']).then_some(run),
                    boot: if what.contains('R') { [5; 16] } else { BOOT },
                    ..SegmentHeader::example(number)
                };
                let segment = Segment {
                    path: path(number),
                    number,
                    segment_id: number,
                    header: (!what.contains('!')).then(|| header.into()),
                    block_0: None,
                    first_offset: 4096,
                    first_number: begins_with.parse().unwrap_or(if goes_on { 10 } else { 0 }),
                    is_displaced: false,
                };
                segments.push(segment.clone());
                Inspected::Segment(segment)
            }
        };
        facts.note_file(number, &path(number), &inspected);
    }
    facts.note_log(|| Some(LogId([9; 16])));
    let mut before = 0;
    let sorted = sort(segments, facts.log);
    facts.note_foreign(&sorted.foreign);
    for mut run in sorted.runs {
        facts.note_run(&mut run, before);
        before = run.last().index();
    }
    facts
}

#[test]
fn what_the_other_files_do_not_explain_is_suspicious() {
    const BLANK_BEFORE: &str = "holds no block, and the segment after it says that some came before it";
    const PREPARED: &str = "holds no block: the process ended before its first write to it, or it was emptied since";
    const TWO_PREPARED: &str = "holds no block, nor does one other file: the process ended before its first write to it, or it was emptied since";
    const FOREIGN: &str = "belongs to another log, and was not read: this log's own may be gone";
    const REPLACED: &str = "names another segment before it than the one that is there, which may have replaced it";
    const BLOCK_10: &str =
        "block 10 of its run comes first: the segments before it are gone, and nothing says that retention was set";
    const ONE_MISSING: &str = "one of the log's files before it is missing: \
        a whole run may be gone, and nothing says that retention was set";
    const TWO_MISSING: &str = "2 of the log's files before it are missing: \
        whole runs may be gone, and nothing says that retention was set";
    const THREE_PREPARED: &str =
        "holds no block, nor do 2 other files: the process ended before its first write to it, or it was emptied since";
    const ONE_ENDED: &str = "one run right before it ended before its first write: \
        what was accepted then is in no file, unless it was recovered later";
    const TWO_ENDED: &str = "2 runs right before it ended before their first write: \
        what was accepted then is in no file, unless it was recovered later";
    const UNREADABLE: &str = "is something else";
    const NOTED: &str = "note: is something else";
    use InUse::{No, Unknown, Yes};
    /// Files, the runs that were not closed, whether the log is in use; what is suspicious.
    type Case = (&'static str, &'static str, InUse, &'static [(u64, &'static str)], &'static str);
    let cases: [Case; 59] = [
        ("1a 2a 3b", "", No, &[], "a whole log"),
        ("1a", "a", Yes, &[], "one that is in use"),
        // Files that are gone.
        ("2b 3c", "", No, &[(2, ONE_MISSING)], "a run before the first one"),
        ("1a 3c", "", No, &[(3, ONE_MISSING)], "a run between two"),
        ("1a 3c", "", Yes, &[(3, ONE_MISSING)], "in use or not"),
        ("1a 4c", "", No, &[(4, TWO_MISSING)], "or several"),
        ("3a+ 4b", "", No, &[], "retention removes the oldest"),
        ("3a 4b+", "", No, &[], "if a later run says that it was set"),
        ("1a+ 3b", "", No, &[(3, ONE_MISSING)], "an earlier one does not count"),
        ("2a10 3b", "", No, &[(2, BLOCK_10)], "a run's first segments"),
        ("2a10 3a+", "", No, &[], "which retention removes, if any later segment says that it was set"),
        ("1a 3b10", "", No, &[(3, BLOCK_10)], "also after another run"),
        ("1a 3a", "", No, &[], "a segment between two is the account's: it knows which blocks are missing"),
        ("2a!", "", No, &[], "a damaged header says nothing of what comes before it"),
        ("1a 2n 3b", "", No, &[], "a file of a newer version is there"),
        ("1n 2a10", "", No, &[], "and may hold a run's first blocks"),
        ("1a 3n 4b10", "", No, &[(4, ONE_MISSING)], "which a file before it does not"),
        ("1n 3a10", "", No, &[(3, BLOCK_10)], "unless another is missing between the two"),
        // Files that cannot be read.
        ("1a 2? 3b", "", No, &[(2, UNREADABLE)], "an unreadable file may have been a run"),
        ("1a 2? 3b", "", Yes, &[(2, UNREADABLE)], "in use or not"),
        ("1a 2? 3a", "", No, &[(2, NOTED)], "or a run's own segment: its blocks tell whether one is missing"),
        ("1? 2a0", "", No, &[(1, NOTED)], "also before its first block, if it names a segment there"),
        ("1? 2? 3a0", "", No, &[(1, UNREADABLE), (2, NOTED)], "which is one file"),
        ("1? 2a", "", No, &[(1, UNREADABLE)], "and not if it names none"),
        // Another log's files.
        ("1a 2b* 3c", "", No, &[(2, FOREIGN)], "a run of another log"),
        (
            "1a 2b* 3b*",
            "",
            No,
            &[(
                2,
                "belongs to another log, as do all 2 segments of its run, and was not read: this log's own may be gone",
            )],
            "is named once",
        ),
        ("1a 2a~ 3a", "", No, &[(2, REPLACED)], "another segment in the place of one"),
        ("1a 3a~", "", No, &[], "which failed at once, if it is not there"),
        ("1a 2b* 4c", "", No, &[(2, FOREIGN), (4, ONE_MISSING)], "and takes its place in the order"),
        // Files without a block before a run that says that it goes on.
        ("1- 2a10", "", No, &[], "all files are there: the account says what is lost"),
        ("1? 2a10", "", No, &[(1, UNREADABLE)], "also if one cannot be read"),
        ("1a 2- 3b10", "", No, &[], "also after another run"),
        ("2- 3a10", "", No, &[(2, BLANK_BEFORE), (3, BLOCK_10)], "one is gone"),
        ("2- 3a10+", "", No, &[(2, BLANK_BEFORE)], "which retention may have removed, but it empties none"),
        ("2? 3- 4a10+", "", No, &[(2, UNREADABLE), (2, BLANK_BEFORE)], "the first of several is named"),
        ("2- 4a10+", "", No, &[(2, PREPARED)], "only of those right before the run"),
        // Prepared files.
        ("1a 2-", "", No, &[(2, PREPARED)], "after a run that was closed"),
        ("1a 2- 3-", "", No, &[(2, TWO_PREPARED)], "the first of several is named"),
        ("1a 2- 3- 4-", "", No, &[(2, THREE_PREPARED)], "however many"),
        ("1a 2-", "", Unknown, &[(2, PREPARED)], "also if it is unknown whether the log is in use"),
        ("1a 2-", "", Yes, &[], "a logger at work prepares files"),
        ("1a 2-", "a", No, &[], "a killed one leaves them"),
        ("1a 2- 3b", "a", No, &[], "to the next run"),
        ("1a 2- 3b", "", No, &[(2, PREPARED)], "a closed one does not"),
        ("1a 3b^", "a", No, &[], "which removes them and says so"),
        ("1a 4b^", "a", No, &[(4, ONE_MISSING)], "one that it does not mention is missing"),
        ("1a 4b^^", "a", No, &[], "however many"),
        ("3b^", "", No, &[(3, ONE_MISSING)], "also if the killed run is gone"),
        ("1a 2- 3a", "", No, &[], "inside a run, its segment failed at once"),
        ("1a 2- 3b 4-", "a", No, &[(4, PREPARED)], "each file by the run before it"),
        ("1-", "", No, &[(1, PREPARED)], "a log without a segment"),
        // Runs that ended before their first write, as the next one says.
        ("2b'", "", No, &[(2, ONE_ENDED)], "the log's first run"),
        ("1a 3b'", "", No, &[(3, ONE_ENDED)], "one after a run that was closed"),
        ("1a 2- 3b'", "", Yes, &[(3, ONE_ENDED)], "as soon as the next one says so, in use or not"),
        ("1a 4b''", "", No, &[(4, TWO_ENDED)], "or two"),
        ("1a 4b'^", "", No, &[(4, ONE_ENDED)], "but not this run's own segment that failed at once"),
        ("1a 3b'", "a", No, &[], "a killed run may have prepared the file"),
        ("1a 4b''", "a", No, &[(4, ONE_ENDED)], "but not two"),
        ("3b'+", "", No, &[], "nor is it known of a run that is gone"),
    ];
    for (files, unclosed, in_use, expected, claim) in cases {
        let facts = facts(files);
        let is_closed =
            |run: &RunFacts| !unclosed.contains(|letter| run.id == format::StoredRunId([letter as u8; 16]).into());
        let ends: Vec<_> = facts.runs.iter().map(|run| (run.last_index, is_closed(run))).collect();
        let found = suspicions(&facts, ends, in_use);
        let expected: Vec<_> = expected
            .iter()
            .map(|&(number, what)| match what.strip_prefix("note: ") {
                Some(what) => Suspicion { severity: Severity::Note, path: path(number), what: what.into() },
                None => Suspicion::new(&path(number), what.into()),
            })
            .collect();
        assert_eq!(found, expected, "{claim}: {files}, {in_use:?}");
    }
}

#[test]
fn rings_of_a_run_without_a_segment_are_suspicious() {
    let mut facts = facts("1a 2b");
    let rings = |run: u8| NamedRings {
        run: format::StoredRunId([run; 16]).into(),
        path: Path::new(&format!("{run}.rings")).into(),
        has_snapshot: false,
    };
    facts.note_rings(vec![rings(b'a'), rings(7)]);
    let found = |facts: &Facts, in_use| {
        let found = suspicions(facts, [(1, false), (2, true)], in_use);
        found.iter().map(|suspicion| suspicion.path.to_path_buf()).collect::<Vec<_>>()
    };
    assert_eq!(found(&facts, InUse::No), [Path::new("7.rings")]);
    assert!(found(&facts, InUse::Yes).is_empty(), "they may be those of the logger at work");
    facts.note_rings(vec![rings(7), rings(8)]);
    assert_eq!(found(&facts, InUse::Yes), [Path::new("7.rings")], "only the newest");
    facts.note_rings(vec![NamedRings { has_snapshot: true, ..rings(7) }]);
    assert!(found(&facts, InUse::No).is_empty(), "its recovery has found no record for the log");
    facts.note_rings(Vec::new());
    assert!(found(&facts, InUse::No).is_empty());
}

#[test]
fn rings_that_are_still_named_after_a_recovery_are_suspicious() {
    use InUse::{No, Unknown, Yes};
    let cases = [
        ("1a 2ar", No, true, "it was cut short, or has no snapshot yet"),
        ("1a 2ar", Unknown, true, "also if it is unknown whether the log is in use"),
        ("1a 2ar", Yes, false, "it may be at work"),
        ("1a 2ar 3b", Yes, true, "it is not if a later segment follows"),
        ("1a 2b 3ar", Yes, false, "the run need not be the last one"),
        ("1a 2aR", No, false, "a restart of the machine has brought the name back"),
        ("1a", No, false, "a run that was not recovered has no end, which says more"),
    ];
    for (files, in_use, is_suspicious, claim) in cases {
        let mut facts = facts(files);
        let path: Arc<Path> = Path::new("a.rings").into();
        let rings =
            NamedRings { run: format::StoredRunId([b'a'; 16]).into(), path: Arc::clone(&path), has_snapshot: false };
        facts.note_rings(vec![rings.clone()]);
        let ends: Vec<_> = facts.runs.iter().map(|run| (run.last_index, true)).collect();
        let found = suspicions(&facts, ends.clone(), in_use);
        assert_eq!(found.iter().any(|found| found.path == path), is_suspicious, "{claim}: {files}: {found:?}");
        assert_eq!(found.len(), usize::from(is_suspicious), "{claim}: {files}");
        facts.keep_rings(|_| false);
        assert_eq!(suspicions(&facts, ends.clone(), in_use), [], "{claim}: it has ended since: {files}");
        facts.note_rings(vec![NamedRings { has_snapshot: true, ..rings }]);
        assert_eq!(suspicions(&facts, ends, in_use), [], "{claim}: the snapshot is there: {files}");
    }
}

#[test]
fn nothing_is_said_of_a_beginning_that_was_skipped() {
    for (files, found) in [("2a10 3b 4-", 2), ("4a 5-", 2), ("1- 3b", 2)] {
        let mut facts = facts(files);
        let found_in =
            |facts: &Facts| suspicions(facts, facts.runs.iter().map(|run| (run.last_index, true)), InUse::No).len();
        assert_eq!(found_in(&facts), found, "{files}");
        facts.beginning_skipped = true;
        assert_eq!(
            found_in(&facts),
            usize::from(!files.starts_with('1')),
            "{files}: only what follows a run that was read"
        );
    }
}

#[test]
fn a_file_that_comes_into_use_is_no_longer_prepared() {
    let mut facts = facts("1a 2-");
    facts.forget_prepared();
    assert!(!facts.depends_on_use());
    assert_eq!(suspicions(&facts, [(1, true)], InUse::No), []);
}
