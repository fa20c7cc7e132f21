//! How serde writes what JSON's numbers and strings cannot hold as they are.
//!
//! Nanoseconds and sequence numbers may exceed 2^53, above which many readers of JSON round numbers: they are texts,
//! always, so that a program that reads them needs one case. Paths need not be UTF-8; their other bytes are replaced.
//! Counts and bytes do not become so large: they are numbers.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::Serializer;

/// A number that may be large.
pub(crate) fn some_number<T: Display, S: Serializer>(number: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => to.serialize_some(&number.to_string()),
        None => to.serialize_none(),
    }
}

/// The same, of a number that is there.
pub(crate) fn number<T: Display, S: Serializer>(number: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

/// A name: null if there is none.
pub(crate) fn name<S: Serializer>(name: &str, to: S) -> Result<S::Ok, S::Error> {
    match name {
        "" => to.serialize_none(),
        name => to.serialize_str(name),
    }
}

/// The path of a file.
pub(crate) fn path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// The path of a file, if there is one.
pub(crate) fn some_path<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.serialize_some(&path.to_string_lossy()),
        None => to.serialize_none(),
    }
}

/// Paths of files.
pub(crate) fn paths<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
