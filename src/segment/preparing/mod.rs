//! The thread that prepares a log's segments: it makes their files ahead, cuts those that the writer has left, and
//! removes those that are not kept.
//!
//! [`Segments`](super::Segments) reaches it through a [`Preparer`], the log's handle, and so does the segment to come
//! ([`next`](super::next)). Only this thread creates and removes segment files while a log is written.

mod retention;
mod age;
mod trim;
mod archive;
mod fill;
mod orders;
mod work;
mod threads;
mod preparer;

pub(super) use archive::Archive;
pub(super) use fill::{LeftFile, NamedFile, Prepared};
pub(super) use preparer::Preparer;
pub(crate) use retention::Limits;
pub(crate) use threads::PreparingThreads;
