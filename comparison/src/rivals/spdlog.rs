//! spdlog-rs with its asynchronous sink into a file.

use std::path::Path;
use std::sync::Arc;

use spdlog::sink::{AsyncPoolSink, FileSink};
use spdlog::{Logger, ThreadPool};

use crate::rival::{Failure, Rival};

/// The default logger, so that it is flushed at exit. The sink's policy is to wait, by default.
pub struct SpdlogRs {
    logger: Arc<Logger>,
    pool: Arc<ThreadPool>,
}

impl Rival for SpdlogRs {
    type Handle = ();

    fn start(place: &Path, _: bool) -> Result<SpdlogRs, Failure> {
        let file = FileSink::builder().path(place.join("spdlog.log")).build_arc()?;
        let pool = ThreadPool::builder().build_arc()?;
        let sink = AsyncPoolSink::builder().sink(file).thread_pool(Arc::clone(&pool)).build_arc()?;
        let logger = Logger::builder().sink(sink).build_arc()?;
        spdlog::set_default_logger(Arc::clone(&logger));
        Ok(SpdlogRs { logger, pool })
    }

    fn handle(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[inline]
    fn log(_: &mut (), message: &str) {
        spdlog::info!("{message}");
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        // The flush is a task in the same queue; the pool waits for its tasks when the last one lets it go.
        self.logger.flush();
        spdlog::set_default_logger(Arc::new(Logger::builder().build()?));
        drop(self.logger);
        drop(self.pool);
        Ok(0)
    }
}
