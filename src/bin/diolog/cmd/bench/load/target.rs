//! Where a thread's messages go.

use diolog::{EventLogs, Level, Outcome, Producer};

/// One log, or several.
pub(super) enum Target<'a> {
    /// One log, by a producer of the thread's own.
    Producer(Box<Producer>),
    /// Several logs in turn.
    Events(&'a Events),
}

/// The logs of several events, by their names.
pub(super) struct Events {
    pub(super) logs: EventLogs,
    pub(super) names: Vec<String>,
}

impl Target<'_> {
    /// Logs the thread's message `number`.
    pub(super) fn log(&self, number: u64, message: &[u8]) -> Outcome {
        match self {
            Target::Producer(producer) => producer.log(Level::Info, message),
            Target::Events(Events { logs, names }) => {
                let name = &names[(number % names.len() as u64) as usize];
                logs.log(name, Level::Info, message)
            }
        }
    }
}
