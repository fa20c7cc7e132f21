//! A shared library that logs, for `tests/a_library_that_logs_may_be_unloaded.rs`. It logs to the directory that the
//! environment names.
#![allow(unsafe_code, reason = "functions that another language finds by name")]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome};

static LOGGER: Mutex<Option<Logger>> = Mutex::new(None);

/// Opens the log if it is not open, and logs a message and a structured record. Returns 0 on success.
#[unsafe(no_mangle)]
pub extern "C" fn unloadable_log() -> i32 {
    let mut logger = LOGGER.lock().unwrap_or_else(PoisonError::into_inner);
    if logger.is_none() {
        let Some(directory) = std::env::var_os("DIOLOG_TEST_DIRECTORY") else { return 1 };
        let hour = Duration::from_secs(60 * 60);
        let Ok(opened) = Logger::open(Config::new(directory).flush_interval(hour)) else { return 2 };
        *logger = Some(opened);
    }
    let Some(logger) = logger.as_ref() else { return 3 };
    let message = logger.log(Level::Info, "from a library");
    let fields = diolog::info!(logger, "{number} from a library", number = 42, shown = %"text");
    if [message, fields] == [Outcome::Written; 2] { 0 } else { 4 }
}

/// Closes the log. Returns 0 on success.
#[unsafe(no_mangle)]
pub extern "C" fn unloadable_close() -> i32 {
    let logger = LOGGER.lock().unwrap_or_else(PoisonError::into_inner).take();
    i32::from(logger.is_none_or(|logger| logger.close().is_err()))
}
