//! Two small loggers: ttlog with its file listener, and llt-rs, which prints.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ttlog::event::LogLevel;
use ttlog::file_listener::FileListener;
use ttlog::trace::Trace;
use ttlog::ttlog_macros::info;

use crate::message::bytes_of_files;
use crate::rival::{Failure, Rival};

/// ttlog. The message is a value, because its texts are literals, and a `String`, because its values live for ever.
pub struct Ttlog(Trace);

impl Rival for Ttlog {
    type Handle = ();

    fn start(place: &Path, _: bool) -> Result<Ttlog, Failure> {
        let snapshots = place.join("snapshots");
        let snapshots = snapshots.to_str().ok_or("the path is not UTF-8")?;
        let file = place.join("ttlog.log");
        let trace = Trace::init(4096, 64, "comparison", Some(snapshots));
        trace.set_level(LogLevel::INFO);
        trace.add_listener(Arc::new(FileListener::new(file.to_str().ok_or("the path is not UTF-8")?)?));
        Ok(Ttlog(trace))
    }

    fn handle(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[inline]
    fn log(_: &mut (), message: &str) {
        info!("order", text = message.to_owned());
    }

    fn finish(mut self, _: &Path) -> Result<u64, Failure> {
        self.0.shutdown();
        Ok(0)
    }
}

/// llt-rs. It has no end: nobody can tell when it has printed everything.
pub struct LltRs(llt_rs::logger::Logger);

/// What llt-rs prints is complete if nothing has come for so long.
const QUIET: Duration = Duration::from_millis(200);

impl Rival for LltRs {
    type Handle = llt_rs::logger::Logger;
    const WAITS_IN_VAIN: Duration = QUIET;

    fn start(_: &Path, _: bool) -> Result<LltRs, Failure> {
        Ok(LltRs(llt_rs::logger::Logger::new(4096)))
    }

    fn handle(&self) -> Result<Self::Handle, Failure> {
        Ok(self.0.clone())
    }

    #[inline]
    fn log(handle: &mut Self::Handle, message: &str) {
        handle.log(message);
    }

    fn finish(self, place: &Path) -> Result<u64, Failure> {
        let (mut bytes, mut since) = (bytes_of_files(place)?, Instant::now());
        while since.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(5));
            let now = bytes_of_files(place)?;
            if now != bytes {
                (bytes, since) = (now, Instant::now());
            }
        }
        Ok(self.0.get_dropped_count())
    }
}
