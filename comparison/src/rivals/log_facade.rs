//! Loggers behind the facade `log`: fern, flexi_logger and ftlog. diolog has a row of its own behind it.

use std::path::Path;
use std::time::SystemTime;

use flexi_logger::{FileSpec, LoggerHandle, WriteMode};

use crate::rival::{Failure, Rival};

/// A logger that gets the messages of the facade `log`.
pub trait Backend: Sized + Sync {
    /// As [`Rival::start`]; also makes it the logger of the facade.
    fn start(place: &Path, waits: bool) -> Result<Self, Failure>;

    /// As [`Rival::finish`].
    fn finish(self) -> Result<u64, Failure>;
}

/// A logger that is called by the macros of `log`.
pub struct BehindLog<B>(B);

impl<B: Backend> Rival for BehindLog<B> {
    type Handle = ();

    fn start(place: &Path, waits: bool) -> Result<BehindLog<B>, Failure> {
        B::start(place, waits).map(BehindLog)
    }

    fn handle(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[inline]
    fn log(_: &mut (), message: &str) {
        log::info!("{message}");
    }

    fn finish(self, _: &Path) -> Result<u64, Failure> {
        self.0.finish()
    }
}

/// fern, with the format that its documentation shows, into a file. It writes each record on the calling thread.
pub struct Fern;

impl Backend for Fern {
    fn start(place: &Path, _: bool) -> Result<Fern, Failure> {
        fern::Dispatch::new()
            .format(|out, message, record| {
                out.finish(format_args!(
                    "[{} {} {}] {}",
                    humantime::format_rfc3339(SystemTime::now()),
                    record.level(),
                    record.target(),
                    message
                ));
            })
            .level(log::LevelFilter::Info)
            .chain(fern::log_file(place.join("fern.log"))?)
            .apply()?;
        Ok(Fern)
    }

    fn finish(self) -> Result<u64, Failure> {
        log::logger().flush();
        Ok(0)
    }
}

/// flexi_logger in its mode `Async`: an unbounded channel to a thread that writes.
pub struct FlexiLogger(LoggerHandle);

impl Backend for FlexiLogger {
    fn start(place: &Path, _: bool) -> Result<FlexiLogger, Failure> {
        let handle = flexi_logger::Logger::with(log::LevelFilter::Info)
            .log_to_file(FileSpec::default().directory(place).basename("flexi"))
            .write_mode(WriteMode::Async)
            .start()?;
        Ok(FlexiLogger(handle))
    }

    fn finish(self) -> Result<u64, Failure> {
        self.0.shutdown();
        Ok(0)
    }
}

/// ftlog with its default queue, which drops what it does not hold.
pub struct Ftlog(ftlog::LoggerGuard);

/// Records that ftlog's queue holds by default.
const FTLOG_QUEUE: usize = 100_000;

impl Backend for Ftlog {
    fn start(place: &Path, waits: bool) -> Result<Ftlog, Failure> {
        let file = ftlog::appender::FileAppender::builder().path(place.join("ftlog.log")).build();
        let guard = ftlog::builder()
            .max_log_level(ftlog::LevelFilter::Info)
            .bounded(FTLOG_QUEUE, waits)
            .root(file)
            .utc()
            .try_init()
            .map_err(|error| error.to_string())?;
        Ok(Ftlog(guard))
    }

    fn finish(self) -> Result<u64, Failure> {
        drop(self.0);
        Ok(0)
    }
}

/// Lost messages, as ftlog says on standard error: every five seconds at most, and counted from 0.
pub fn said_by_ftlog(stderr: &str) -> u64 {
    let counts = stderr.lines().filter_map(|line| line.strip_prefix("Excessive log messages. Log omitted: "));
    counts.filter_map(|count| count.trim().parse().ok()).max().unwrap_or(0)
}
