//! What the commands print: records as lines, tables, numbers and times in words, and the two streams they go to.
//!
//! Nothing here reads a log or decides an exit status, but for the one that a report or a closed pipe gives.

pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod damage;
pub(crate) mod print;
pub(crate) mod line;
pub(crate) mod escape;
pub(crate) mod when;
pub(crate) mod table;
pub(crate) mod units;
