//! The commands, one file each. `main` calls `run` of the one that was given.

pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod info;
pub(crate) mod tail;
pub(crate) mod verify;
pub(crate) mod write;
