//! tracing, with tracing-subscriber's lines through the non-blocking writer of tracing-appender.

use std::path::Path;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

use crate::rival::{Failure, Rival};

/// The non-blocking writer into a file that is never rolled.
pub struct TracingAppender {
    guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Rival for TracingAppender {
    type Handle = ();

    fn start(place: &Path, waits: bool) -> Result<TracingAppender, Failure> {
        let file = tracing_appender::rolling::never(place, "tracing.log");
        let (writer, guard) = NonBlockingBuilder::default().lossy(!waits).finish(file);
        let dropped = writer.error_counter();
        tracing_subscriber::fmt().with_writer(writer).with_ansi(false).init();
        Ok(TracingAppender { guard, dropped })
    }

    fn handle(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[inline]
    fn log(_: &mut (), message: &str) {
        tracing::info!("{message}");
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        drop(self.guard);
        Ok(self.dropped.dropped_lines() as u64)
    }
}
