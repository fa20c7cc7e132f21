//! Printing: records as lines, tables, numbers with units, times, and the two streams that they go to.
//!
//! Nothing here opens a log.

pub(crate) mod output;
pub(crate) mod pager;
pub(crate) mod spool;
pub(crate) mod progress;
pub(crate) mod damage;
pub(crate) mod print;
pub(crate) mod line;
pub(crate) mod fields;
pub(crate) mod digits;
pub(crate) mod piece;
pub(crate) mod gap;
pub(crate) mod escape;
pub(crate) mod when;
pub(crate) mod table;
pub(crate) mod units;
pub(crate) mod top;
