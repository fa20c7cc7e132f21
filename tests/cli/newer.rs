//! Logs that a newer diolog wrote, in part or wholly: each command says so, and its status is 3.
//!
//! The tests change bytes of a log by the format's description, and put the checksums right.

use std::fs;

use crate::process::{Place, run, status, stderr, stdout};
use crate::support::segments::{length_at, seal};

const BLOCK_HEADER_BYTES: usize = 64;
const SHARD_HEADER_BYTES: usize = 32;

/// The offsets of a segment's blocks, block 0 first.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let mut blocks = vec![];
    let mut at = 0;
    while bytes.get(at + 8..at + 11) == Some(b"DLB") {
        blocks.push(at);
        at += length_at(bytes, at);
    }
    blocks
}

/// The offset of the first shard of a producer in the block at `block`.
fn shard(bytes: &[u8], block: usize) -> usize {
    let mut at = block + BLOCK_HEADER_BYTES;
    while length_at(bytes, at + 4) == 0 {
        at += SHARD_HEADER_BYTES + length_at(bytes, at);
    }
    at
}

/// Changes the block at an offset.
type Change = fn(&mut [u8], usize);

/// Changes that only a newer diolog makes, with the words for each in reports.
const CHANGES: [(&str, Change); 4] = [
    ("record kind 0x30", |bytes, block| bytes[shard(bytes, block) + SHARD_HEADER_BYTES + 4] = 0x30),
    ("shard encoding 9", |bytes, block| bytes[shard(bytes, block) + 20] = 9),
    ("block flags 0x100", |bytes, block| bytes[block + 21] = 1),
    ("format version 2", |bytes, block| bytes[block + 11] = b'2'),
];

/// Changes the `n`th block of a segment; block 1 is the first one with records.
fn change(segment: &std::path::Path, n: usize, change: Change) {
    let mut bytes = fs::read(segment).expect("a segment");
    let block = blocks(&bytes)[n];
    change(&mut bytes, block);
    seal(&mut bytes, block);
    fs::write(segment, bytes).expect("written");
}

/// The output of a command, and its status.
fn said(command: &[&str], place: &Place) -> (i32, String) {
    let log = place.log();
    let output = run([command, &[log.to_str().expect("UTF-8")]].concat(), b"");
    (status(&output), stdout(&output) + &stderr(&output))
}

const COMMANDS: [&[&str]; 4] = [&["cat"], &["tail"], &["verify"], &["info"]];

#[test]
fn each_command_says_that_a_newer_diolog_wrote_parts_of_the_log_with_status_3() {
    for (mark, newer) in CHANGES {
        let place = Place::with_log(b"one\n");
        change(&place.segments()[0], 1, newer);
        for command in COMMANDS {
            let (status, said) = said(command, &place);
            assert_eq!(status, 3, "{command:?}: {said}");
            assert!(said.contains("written by a newer diolog") && said.contains(mark), "{command:?}: {said}");
            assert!(!said.contains("lost"), "{command:?}: {said}");
        }
        let (status, said) = said(&["verify", "--format", "json"], &place);
        let report: serde_json::Value = serde_json::from_str(&said).expect("an object");
        assert_eq!((status, &report["verdict"]), (3, &"newer".into()), "{report}");
        let producer = &report["runs"][0]["producers"][0];
        assert_eq!((&producer["holds"], &producer["damaged"]), (&true.into(), &0.into()), "{report}");
        // If nothing of the block can be read, and the final counts are in it too, nothing says what it holds.
        let is_unreadable = ["block flags 0x100", "format version 2"].contains(&mark);
        assert!(producer["records"] == 1 || is_unreadable && producer["records"] == 0, "{mark}: {report}");
    }
}

#[test]
fn a_newer_segment_beside_others_is_named_with_status_3_and_alone_it_is_refused_with_status_3() {
    // The segment header's incompatible features, and the version.
    let changes: [(&str, Change); 2] = [
        ("features 0x1", |bytes, block| bytes[block + 64 + 32 + 16 + 4 * 16 + 2 * 8 + 2 * 4] = 1),
        ("format version 2", |bytes, block| bytes[block + 11] = b'2'),
    ];
    for (mark, newer) in changes {
        let place = Place::with_log(b"one\n");
        change(&place.segments()[0], 0, newer);
        for command in COMMANDS {
            let (status, said) = said(command, &place);
            assert_eq!(status, 3, "{command:?}: {said}");
            assert!(said.contains("was written by a newer diolog") && said.contains(mark), "{command:?}: {said}");
        }
        let output = run(["write", place.log().to_str().expect("UTF-8")], b"two\n");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        for command in COMMANDS {
            let (status, said) = said(command, &place);
            assert_eq!(status, 3, "{command:?}: {said}");
            assert!(said.contains("written by a newer diolog") && said.contains(mark), "{command:?}: {said}");
            assert!(!matches!(command[0], "cat" | "tail") || said.contains(" two\n"), "{command:?}: {said}");
        }
    }
}

#[test]
fn a_loss_beside_newer_parts_has_status_2_and_both_are_named() {
    let place = Place::new();
    let log = place.log();
    let input = "x".repeat(1000) + "\n";
    let write = ["write", "--block-bytes", "4096", "--ring-bytes", "65536", log.to_str().expect("UTF-8")];
    assert_eq!(status(&run(write, input.repeat(64).as_bytes())), 0);
    let segment = &place.segments()[0];
    change(segment, 2, CHANGES[2].1);
    let mut bytes = fs::read(segment).expect("a segment");
    let damaged = blocks(&bytes)[4] + 2000;
    bytes[damaged] ^= 1;
    fs::write(segment, bytes).expect("written");
    for command in &COMMANDS[..3] {
        let (status, said) = said(command, &place);
        assert_eq!(status, 2, "{command:?}: {said}");
        assert!(said.contains("written by a newer diolog") && said.contains("is lost"), "{command:?}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_follower_names_the_parts_that_a_newer_diolog_wrote_and_ends_with_status_3() {
    use std::io::{BufRead as _, BufReader};
    let place = Place::with_log(b"one\n");
    change(&place.segments()[0], 1, CHANGES[2].1);
    let log = place.log();
    let mut tail = crate::process::diolog(["tail", "-f", log.to_str().expect("UTF-8")]).spawn().expect("a child");
    let mut line = String::new();
    BufReader::new(tail.stderr.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.contains("written by a newer diolog (block flags 0x100)"), "{line}");
    crate::process::interrupt(&tail);
    assert_eq!(status(&tail.wait_with_output().expect("its end")), 3);
}
