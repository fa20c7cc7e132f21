//! Input: lines from standard input, and signals.

pub(crate) mod stdin;
pub(crate) mod lines;
pub(crate) mod signals;
