//! The commands, one file each. `main` calls `run` of the one that was given.

pub(crate) mod bench;
pub(crate) mod cat;
mod cat_asynclogger;
pub(crate) mod completions;
pub(crate) mod info;
mod line_log;
mod logs;
pub(crate) mod man;
pub(crate) mod recover;
mod report;
#[cfg(target_os = "linux")]
pub(crate) mod run;
pub(crate) mod snapshots;
pub(crate) mod tail;
pub(crate) mod top;
mod unmatched;
pub(crate) mod verify;
pub(crate) mod write;
