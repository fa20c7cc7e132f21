//! How a log is to be read: what the caller of the reader and of `verify` may choose.

use super::filter::Filter;

/// How to read a log.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let logger = diolog::Logger::open(diolog::Config::new(&path))?;
/// # let producer = logger.producer()?;
/// # for number in 0..100 { producer.log(diolog::Level::Info, format!("message {number}")); }
/// # drop(producer);
/// # logger.close()?;
/// use diolog::ReadOptions;
///
/// // The last segments are enough for the last ten records.
/// let reader = ReadOptions::new().at_least_last(10).open(&path)?;
/// let records = reader.collect::<diolog::Result<Vec<_>>>()?;
/// let last = &records[records.len() - 10..];
/// assert_eq!(last[9].message(), b"message 99");
///
/// // Nothing that this verification saw can be lost to a power cut.
/// let verification = ReadOptions::new().durable(true).verify(&path)?;
/// assert_eq!(verification.report.records, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ReadOptions {
    pub(super) durable: bool,
    pub(super) at_least_last: Option<u64>,
    pub(super) fold_producers: bool,
    pub(super) filter: Option<Filter>,
}

impl ReadOptions {
    /// The defaults: what the files hold now, durable or not.
    pub fn new() -> ReadOptions {
        ReadOptions::default()
    }

    /// Makes each file durable before it is read, so that a power cut cannot lose a record that was read. Costs one
    /// `fsync` for each file.
    pub fn durable(mut self, durable: bool) -> ReadOptions {
        self.durable = durable;
        self
    }

    /// Reads at least the last `records` of the log, or all if it has fewer. It begins with the segment that holds the
    /// first of them, or with the one before, so more records are read as a rule: which are the last ones is known only
    /// at the end of the log, and the caller keeps as many as it wants. Earlier segments are neither read nor reported.
    ///
    /// With a [`filter`](Self::filter), these are the last ones that it takes; they are looked for from the log's end.
    /// If it asks for times, the reader begins with the log: of blocks of other times it reads only the headers.
    ///
    /// 0 is for a caller that wants only later records: the reader begins with the segment of the log's last record,
    /// or with the one before, since later records follow there. The filter does not matter then.
    pub fn at_least_last(mut self, records: u64) -> ReadOptions {
        self.at_least_last = Some(records);
        self
    }

    /// Keeps no row in the report for a producer that ended without a loss, and counts it in
    /// [`folded_producers`](crate::RunReport::folded_producers) instead. A reader that follows a log in which many
    /// producers come and go needs this, so that its memory does not grow with each.
    pub fn fold_producers(mut self, fold: bool) -> ReadOptions {
        self.fold_producers = fold;
        self
    }

    /// Returns only the records that pass `filter`. Gaps are filtered only by time and producer, because nothing is
    /// known of the missing records. [`verify`](Self::verify) ignores it.
    pub fn filter(mut self, filter: Filter) -> ReadOptions {
        self.filter = Some(filter);
        self
    }
}
