//! A directory for a measurement, removed at its end, also if Ctrl-C is that end.

use std::fs;
use std::path::Path;

use diolog::unstable::measure;
use diolog::unstable::measure::place::Scratch;

use crate::exit::{Failure, Status};
use crate::input::signals;

/// Runs `measure` with a new directory within `directory`.
pub(super) fn in_scratch<R>(
    directory: &Path,
    measure: impl FnOnce(&Scratch) -> Result<R, measure::Failure>,
) -> Result<R, Failure> {
    let scratch = Scratch::new(directory)
        .map_err(|error| failed(format!("cannot make a directory in {}: {error}", directory.display()).into()))?;
    let files = scratch.path("");
    let clean_up = move || {
        let _ = fs::remove_dir_all(files);
        signals::exit();
    };
    signals::on_stop(clean_up, signals::exit).map_err(|error| failed(error.into()))?;
    measure(&scratch).map_err(failed)
}

/// The exit status and message of a measurement that failed.
fn failed(error: measure::Failure) -> Failure {
    match error.downcast::<diolog::Error>() {
        Ok(error) => Failure::from(*error),
        Err(error) => Failure { message: error.to_string(), status: Status::Unusable },
    }
}
