//! The trait that a listener implements.

use super::record::{LiveRecord, Missed};

/// Gets the records of a log while it is written, for example to show them elsewhere, to count them, or to raise an
/// alarm.
///
/// [`Config::listener`](crate::Config::listener) adds a listener to a log, with the least severe level that it gets.
/// One thread, `diolog-listener`, calls all its methods, even if it listens to several logs. It gets each record of its
/// level that the log admits, when the writer takes the record from its ring. Records of one producer come in their
/// order, and records of several producers about in the order of their times. A record may not be durable yet. On Linux
/// the thread blocks all signals but those of faults, and so does a process that a listener starts.
///
/// **It cannot harm the log.** Between the writer and a listener is a queue of
/// [`listener_queue_bytes`](crate::Config::listener_queue_bytes). If the listener is slower than the log, it misses the
/// records that do not fit. [`Stats::listeners`](crate::Stats::listeners) counts them, and [`missed`](Listener::missed)
/// tells the listener how many. If the listener panics, that record counts as missed, and it gets the next one after a
/// second; if the log is being closed, it gets no more.
///
/// **It may log**, even to the log that it listens to. No listener gets a record that was logged on a listener's
/// thread, through whatever [`Logger`](crate::Logger) or [`Producer`](crate::Producer). A `Logger` that a listener
/// holds keeps the log open until somebody closes it.
///
/// **At the end**, `close` and the exit of the process wait, within [`close_deadline`](crate::Config::close_deadline),
/// until the listener has got all records. It misses those that are left after that. If a listener calls `close`, this
/// waits for the log, and not for the listener.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-listener-doc-{}", std::process::id()));
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use diolog::{Config, Level, Listener, LiveRecord, Logger};
///
/// #[derive(Default)]
/// struct Alarm {
///     large_orders: AtomicU64,
/// }
///
/// impl Listener for Alarm {
///     fn record(&self, record: &LiveRecord<'_>) {
///         if let Some(diolog::Value::Unsigned(1_000_000..)) = record.field("quantity") {
///             self.large_orders.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let alarm = Arc::new(Alarm::default());
/// let logger = Logger::open(Config::new(&directory).listener(Level::Warn, alarm.clone()))?;
/// diolog::warn!(logger, "order over {quantity}", quantity = 2_000_000_u64);
/// logger.close()?;
/// assert_eq!(alarm.large_orders.load(Ordering::Relaxed), 1);
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
pub trait Listener: Send + Sync {
    /// Gets a record.
    fn record(&self, record: &LiveRecord<'_>);

    /// Gets the number of records that it has missed since the last record. Does nothing by default.
    fn missed(&self, missed: &Missed<'_>) {
        let _ = missed;
    }

    /// No more records are waiting: a listener that collects output should write it now. Called after the last of
    /// several records that came together, again after a second without a record, and before `close` returns. Does
    /// nothing by default.
    fn flush(&self) {}

    /// A log has ended, and the listener has got its last record. [`flush`](Listener::flush) follows. Does nothing by
    /// default.
    fn log_ended(&self) {}
}
