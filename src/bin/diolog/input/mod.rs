//! Input: lines from standard input, and signals.

pub(crate) mod stdin;
pub(crate) mod lines;
#[cfg(target_os = "linux")]
pub(crate) mod prefix;
pub(crate) mod signals;
