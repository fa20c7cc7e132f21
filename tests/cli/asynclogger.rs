//! `diolog cat --input asynclogger`.

use std::fs;

use serde_json::Value;

use crate::process::{Place, run, status, stderr, stdout};

/// A block of 512 bytes.
fn block(entries: &[&[u8]]) -> Vec<u8> {
    let data: Vec<u8> =
        entries.iter().flat_map(|entry| [&(entry.len() as u32).to_le_bytes()[..], entry].concat()).collect();
    let mut block = [512_u32.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    block.extend(data);
    block.resize(512, 0);
    block
}

fn cat(arguments: &[&str], files: &[&std::path::Path]) -> std::process::Output {
    let files = files.iter().map(|file| file.to_str().expect("UTF-8"));
    run(["cat", "--input", "asynclogger"].into_iter().chain(arguments.iter().copied()).chain(files), b"")
}

fn write(place: &Place, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = place.join(name);
    fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn the_entries_are_printed_in_each_format_and_a_summary_on_standard_error() {
    let place = Place::new();
    let bytes = [block(&[b"one\n", b"say \"hi\"\x1b\n"]), block(&[b"no line feed", b"\xff\x00\n"])].concat();
    let file = write(&place, "app.log", &bytes);
    let output = cat(&[], &[&file]);
    assert_eq!((status(&output), stdout(&output)), (0, "one\nsay \"hi\"\\x1b\nno line feed\n\\xff\\x00\n".into()));
    assert_eq!(stderr(&output), format!("diolog: {}: 4 entries in 2 blocks, none damaged\n", file.display()));

    let output = cat(&["--format", "message"], &[&file]);
    assert_eq!((status(&output), &output.stdout[..]), (0, &b"one\nsay \"hi\"\x1b\nno line feed\n\xff\x00\n"[..]));

    let output = cat(&["--format", "json"], &[&file]);
    let objects: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(objects[0], serde_json::json!({"kind": "entry", "offset": "8", "message": "one\n"}));
    assert_eq!((&objects[1]["message"], &objects[3]["message_hex"]), (&"say \"hi\"\u{1b}\n".into(), &"ff000a".into()));
}

#[test]
fn the_last_entries_and_the_newest_first_and_several_files() {
    let place = Place::new();
    let one = write(&place, "1.log", &block(&[b"one\n", b"two\n"]));
    let two = write(&place, "2.log", &block(&[b"three\n"]));
    let output = cat(&["-n", "2", "-r", "--format", "message"], &[&one, &two]);
    assert_eq!((status(&output), stdout(&output)), (0, "three\ntwo\n".into()));
    let output = cat(&[], &[&one, &two]);
    let [one, two] = [one, two].map(|path| path.display().to_string());
    assert_eq!(stdout(&output), format!("{one} one\n{one} two\n{two} three\n"));
}

#[test]
fn the_exit_status_says_what_is_damaged() {
    let place = Place::new();
    let whole = [block(&[b"one\n", b"two\n"]), block(&[b"three\n"])].concat();
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    for (bytes, expected, printed, said) in [
        (whole.clone(), 0, "one\ntwo\nthree\n", "3 entries in 2 blocks, none damaged"),
        (Vec::new(), 0, "", "0 entries in 0 blocks, none damaged"),
        (vec![0; 4096], 0, "", "0 entries in 0 blocks, none damaged"),
        (whole[..526].to_vec(), 1, "one\ntwo\n", "2 entries in 2 blocks, 1 damaged; 6 bytes not read"),
        (whole[..900].to_vec(), 1, "one\ntwo\nthree\n", "none damaged; the file ends before its last block does"),
        (changed(16, 0), 2, "one\nthree\n", "2 entries in 2 blocks, 1 damaged; 8 bytes not read"),
        (changed(0, 1), 2, "three\n", "1 entry in 1 block, 0 damaged; 512 bytes not read"),
        (b"a text file, and no file of asynclogger at all\n".to_vec(), 3, "", "no entry of asynclogger can be read"),
    ] {
        let file = write(&place, "app.log", &bytes);
        let output = cat(&[], &[&file]);
        assert_eq!((status(&output), stdout(&output)), (expected, printed.into()), "{said}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{said}: {}", stderr(&output));
    }
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other() {
    let place = Place::new();
    let one = write(&place, "1.log", &block(&[b"one\n"]));
    let output = cat(&["--format", "message"], &[&place.join("none.log"), &one]);
    assert_eq!((status(&output), stdout(&output)), (3, "one\n".into()));
    assert!(stderr(&output).contains("cannot open"), "{}", stderr(&output));
    // A directory can be opened, and not read: of what it holds nothing is said.
    let output = cat(&["--format", "message"], &[&place.join("."), &one]);
    assert_eq!((status(&output), stdout(&output)), (3, "one\n".into()));
    assert_eq!(stderr(&output).matches("none damaged").count(), 1, "{}", stderr(&output));
    let output = cat(&["--durable"], &[&one]);
    assert_eq!(status(&output), 64);
    assert!(stderr(&output).contains("--durable"), "{}", stderr(&output));
}
