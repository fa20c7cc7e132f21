//! A log whose directory is renamed, removed or replaced while it is read is an error: its files cannot be found then, and
//! none of them is lost.
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use diolog::{Error, ReadOptions, Reader};
use support::segments::{run, small};

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
fn a_reader_says_so_once_after_what_it_could_read() {
    for leave in moves() {
        let directory = support::directory();
        let path = directory.path().join("log");
        run(small(&path), 12);
        let mut reader = Reader::open(&path).expect("a log");
        assert!(reader.next_record().expect("readable").is_some());
        leave(&path);
        let mut errors = Vec::new();
        loop {
            match reader.next_record() {
                Ok(Some(_)) => assert_eq!(errors.len(), 0, "no record comes after the error"),
                Ok(None) => break,
                Err(error) => errors.push(error),
            }
        }
        let error = errors.pop();
        assert_moved(Err::<(), _>(error.expect("an error")));
        assert_eq!(errors.len(), 0);
    }
}
