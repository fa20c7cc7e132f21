//! The command line as a user or a script runs it: the real program, real logs, exit statuses and messages.

mod asynclogger;
mod bench;
mod bench_load;
mod cat_many;
mod cat;
#[cfg(feature = "unstable")]
mod gaps;
mod listen;
mod newer;
mod process;
#[cfg(all(target_os = "linux", not(diolog_portable)))]
mod recover;
mod run;
mod pager;
mod select;
mod snapshots;
mod tail;
mod tail_path;
mod top;
mod usage;
mod verify;
mod write;
mod write_ends;

#[path = "../support/mod.rs"]
mod support;
