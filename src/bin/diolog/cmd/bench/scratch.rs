//! A directory for a measurement, removed at its end, also if a signal is that end.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use diolog::unstable::measure;
use diolog::unstable::measure::place::Scratch;

use crate::exit::{Failure, Status};
use crate::input::signals::{self, Signal};
use crate::text::escape;

/// Runs `measure` with a new directory within `directory`. `refused` is the failure for an error of the library.
pub(super) fn in_scratch<R>(
    directory: &Path,
    refused: impl Fn(diolog::Error) -> Failure,
    measure: impl FnOnce(&Scratch) -> Result<R, measure::Failure>,
) -> Result<R, Failure> {
    let failed = |error: measure::Failure| match error.downcast::<diolog::Error>() {
        Ok(error) => refused(*error),
        Err(error) => Failure { message: error.to_string(), status: Status::Unusable },
    };
    let scratch = new(directory)?;
    let files = scratch.path("");
    let clean_up = move |signal: Signal| {
        let _ = fs::remove_dir_all(files);
        signals::exit(signal);
    };
    // A thread of its own, so that the next signal is received even if the disk hangs.
    let start = |signal| drop(thread::Builder::new().spawn(move || clean_up(signal)));
    signals::listen(start, || None)?;
    measure(&scratch).map_err(failed)
}

/// A new directory within `directory`, which must exist: a mistyped path would measure another disk.
pub(super) fn new(directory: &Path) -> Result<Scratch, Failure> {
    Scratch::new(directory).map_err(|error| {
        let path = escape::path(directory);
        let message = match error.kind() {
            io::ErrorKind::NotFound => format!("{path} does not exist: create it first, on the disk to measure"),
            _ => format!("cannot create a directory in {path}: {error}"),
        };
        Failure { message, status: Status::Unusable }
    })
}
