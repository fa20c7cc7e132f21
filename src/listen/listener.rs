//! What a listener implements.

use super::record::{LiveRecord, Missed};

/// Gets the records of a log while it is written: to show them elsewhere too, to count them, to raise an alarm.
///
/// [`Config::listener`](crate::Config::listener) gives one to a log, with the least severe level that it gets. All its
/// methods are called by one thread of its own, `diolog-listener`, also if it is given to several logs. It gets each record
/// of the level, and of a target that the log admits, as the writer takes it from its ring: those of one producer in their
/// order, those of several producers about in the order of their times. A record that it gets may not be durable yet.
///
/// **It cannot harm the log.** Between the writer and a listener stands a queue of
/// [`listener_queue_bytes`](crate::Config::listener_queue_bytes). If the listener is slower than the log, records that do
/// not fit are not shown: they are counted in [`Stats::listeners`](crate::Stats::listeners), and the listener hears of
/// their number ([`missed`](Listener::missed)). If it panics, the record counts as not shown too,
/// and the listener gets the next one after a second; if the log is being closed, it gets no more.
///
/// **It may log**, also to the log that it listens to: records of producers that were made on a listener's thread, as
/// [`Logger::log`](crate::Logger::log) makes them, are given to no listener. (Those of a producer that was made on another
/// thread are: a listener must not log through one.) A [`Logger`](crate::Logger) that a listener holds keeps the log open
/// until somebody closes it.
///
/// **At the end**, `close` and the exit of the process wait until the listener has got all records, within
/// [`close_deadline`](crate::Config::close_deadline); what is left then is not shown. A listener that calls `close`
/// waits for the log, and not for itself.
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

    /// Hears how many records it did not get since the last one. Does nothing by default.
    fn missed(&self, missed: &Missed<'_>) {
        let _ = missed;
    }

    /// No record waits any more. Called after the last of those that came together, once more after a second without a
    /// record, and before `close` returns: a listener that collects its output writes it now. Does nothing by default.
    fn flush(&self) {}

    /// A log has ended, and its last record was given. [`flush`](Listener::flush) follows. Does nothing by default.
    fn log_ended(&self) {}
}
