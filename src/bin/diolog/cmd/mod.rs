//! The commands, one file each. `main` calls `run` of the one that was given.

pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod info;
#[cfg(target_os = "linux")]
pub(crate) mod run;
pub(crate) mod tail;
pub(crate) mod verify;
pub(crate) mod write;

use std::time::Duration;

/// How long `cat` and `tail` wait for a missing block that may still be in flight. It becomes durable within
/// milliseconds unless the disk is overloaded; a block that a crash prevented never comes.
const MISSING_WAIT: Duration = Duration::from_secs(1);
