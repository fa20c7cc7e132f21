//! If the directory of a log is renamed, removed or replaced while it is read, its files are not found, but none is
//! lost: the reader says so, and `verify` has no verdict.
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use diolog::{Error, ReadOptions, Reader};
use support::segments::{file, run, small};

/// The ways in which a log leaves its path.
fn moves() -> [fn(&Path); 3] {
    [
        |path| fs::rename(path, path.with_extension("1")).expect("renamed"),
        |path| fs::remove_dir_all(path).expect("removed"),
        |path| {
            fs::rename(path, path.with_extension("1")).expect("renamed");
            run(small(path), 2);
        },
    ]
}

fn assert_moved<T>(result: diolog::Result<T>) {
    let error = result.err().expect("an error");
    assert!(matches!(&error, Error::NotALog { what, .. } if what.contains("was removed, or another")), "{error}");
}

#[test]
fn verify_says_so_instead_of_a_verdict() {
    for leave in moves() {
        let directory = support::directory();
        let path = directory.path().join("log");
        run(small(&path), 12);
        let mut leave = Some(leave);
        let watch = |_: &diolog::Report| leave.take().into_iter().for_each(|leave| leave(&path));
        assert_moved(ReadOptions::new().verify_watched(&path, watch));
    }
}

#[test]
fn a_reader_says_so_beside_its_report() {
    for leave in moves() {
        let directory = support::directory();
        let path = directory.path().join("log");
        run(small(&path), 12);
        let mut reader = Reader::open(&path).expect("a log");
        assert!(reader.next_record().expect("readable").is_some() && !reader.is_replaced());
        leave(&path);
        while reader.next_record().expect("readable").is_some() {}
        assert!(reader.is_replaced());
    }
}

#[test]
fn a_reader_of_one_file_has_it_open() {
    let directory = support::directory();
    let path = directory.path().join("log");
    run(small(&path), 2);
    let mut reader = Reader::open(file(&path, 1)).expect("a segment");
    assert!(reader.next_record().expect("readable").is_some());
    fs::remove_file(file(&path, 1)).expect("removed");
    while reader.next_record().expect("readable").is_some() {}
    assert!(!reader.is_replaced());
}
