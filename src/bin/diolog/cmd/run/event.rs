//! What the threads of `diolog run` report to the main one.

use crate::cmd::line_log::Tally;

pub(super) enum Event {
    /// The command has ended, with the status that a shell would give it.
    Ended(u8),
    /// One of its outputs has ended.
    Read(Tally),
    /// A signal that could not be passed on, because the command has ended.
    Stop,
}
