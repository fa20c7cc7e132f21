//! A log's handle to its listeners, which begin at open and end at close.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::list::Listeners;
use super::outlet::Queue;
use super::tap::Taps;
use super::thread;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::level::Level;
use crate::own_thread::{self, Role};
use crate::stats::ListenerStats;

/// The listeners of one log.
#[derive(Default)]
pub(crate) struct Listening {
    queues: Vec<Arc<Queue>>,
}

impl Listening {
    /// Begins to listen, with a queue of `bytes_max` for each listener. The writer gets the second value; its drop ends
    /// the listening. The listeners hear nothing of a log whose taps are dropped before [`Taps::begin_log`].
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started.
    pub(crate) fn begin(
        listeners: &Listeners,
        bytes_max: usize,
        clock: Clock,
        log: &Path,
        service: &str,
    ) -> Result<(Listening, Taps)> {
        let mut queues = Vec::new();
        for (level, listener) in listeners.iter().filter(|(level, _)| *level != Level::Off) {
            match thread::attach(listener) {
                Ok(outlet) => queues.push(Arc::new(Queue {
                    level,
                    clock,
                    log: log.to_owned(),
                    service: service.to_owned(),
                    outlet,
                    seen: Default::default(),
                    done: Default::default(),
                    has_begun: AtomicBool::new(false),
                })),
                Err(source) => {
                    // End the listeners that have begun.
                    drop(Taps::new(&queues, bytes_max));
                    return Err(Error::io("start the thread of a listener of", log, source));
                }
            }
        }
        let taps = Taps::new(&queues, bytes_max);
        Ok((Listening { queues }, taps))
    }

    /// Waits until the listeners have got everything that the writer has passed on, at most until `deadline`. They do
    /// not get what is left then. Does not wait on a listener's own thread.
    pub(crate) fn wait_until_given(&self, deadline: Instant) {
        if own_thread::role() == Role::Listener {
            return;
        }
        for queue in &self.queues {
            if !queue.outlet.wait_until_given(deadline) {
                queue.abandon();
            }
        }
    }

    /// The figures of each listener, in the order in which they were set.
    pub(crate) fn stats(&self) -> Vec<ListenerStats> {
        let row = |queue: &Arc<Queue>| {
            let (given, missed, waiting) = queue.counts();
            ListenerStats { level: queue.level, given, missed, waiting }
        };
        self.queues.iter().map(row).collect()
    }
}
