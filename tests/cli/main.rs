//! The command line as a person or a script meets it: the real program, real logs, exit statuses and messages.

mod bench;
mod cat;
mod newer;
mod process;
mod tail;
mod usage;
mod verify;
mod write;
