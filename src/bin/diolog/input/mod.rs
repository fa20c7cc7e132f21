//! What comes from outside: standard input, cut into lines, and signals.

pub(crate) mod stdin;
pub(crate) mod lines;
pub(crate) mod signals;
