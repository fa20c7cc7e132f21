//! What became of everything that was logged, as [`Logger::close`](crate::Logger::close) returns it.

use std::fmt;

use super::RefusedBy;
use super::words::write_losses;
use crate::format::DroppedBy;
use crate::grouped::Grouped;

/// What became of everything that was logged between open and close. It prints as one sentence.
///
/// ```
/// # fn main() -> diolog::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("diolog-report-doc-{}", std::process::id()));
/// use diolog::{Config, Level, Logger};
///
/// let logger = Logger::open(Config::new(&directory))?;
/// logger.log(Level::Info, "order 42 filled");
/// let report = logger.close()?;
/// assert_eq!(report.to_string(), "1 record durable");
/// if report.lost() > 0 {
///     eprintln!("{report}"); // such as "1,000 records durable; 12 dropped (ring full)"
/// }
/// # std::fs::remove_dir_all(&directory).expect("removable");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CloseReport {
    /// Records that entered a ring.
    pub accepted: u64,
    /// Records that are durable.
    pub durable: u64,
    /// Attempts that found no room, and were given up.
    pub dropped: u64,
    /// The same by cause.
    pub dropped_by: DroppedBy,
    /// Records that entered a ring, and that newer ones replaced before the writer read them.
    pub overwritten: u64,
    /// Appends refused without a sequence number, until the log had ended.
    pub refused: u64,
    /// The same by cause.
    pub refused_by: RefusedBy,
    /// Records that their callsite's [limit](macro@crate::info#a-limit) has hidden: no attempts, and no losses. A
    /// record in the log says how many only if the callsite logged again.
    pub hidden: u64,
}

impl CloseReport {
    /// Records that callers logged and that are not in the files: dropped, overwritten and refused ones.
    pub fn lost(&self) -> u64 {
        self.dropped + self.overwritten + self.refused
    }

    /// Adds what became of the records of another log.
    pub(crate) fn add(&mut self, other: &CloseReport) {
        let CloseReport { accepted, durable, dropped, dropped_by, overwritten, refused, refused_by, hidden } = *other;
        self.accepted += accepted;
        self.durable += durable;
        self.dropped += dropped;
        self.dropped_by += dropped_by;
        self.overwritten += overwritten;
        self.refused += refused;
        self.refused_by += refused_by;
        self.hidden += hidden;
    }
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = if self.durable == 1 { "record" } else { "records" };
        write!(f, "{} {records} durable", Grouped(self.durable))?;
        write_losses(f, "; ", self.dropped_by, self.overwritten, self.refused_by)?;
        if self.hidden > 0 {
            write!(f, "; {} hidden by limits", Grouped(self.hidden))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_sentence_that_leaves_out_what_did_not_happen() {
        let mut report = CloseReport { accepted: 1_234_567, durable: 1_234_567, ..CloseReport::default() };
        assert_eq!((report.to_string().as_str(), report.lost()), ("1,234,567 records durable", 0));
        report.durable = 1;
        (report.dropped, report.dropped_by.ring_full) = (12, 12);
        assert_eq!(report.to_string(), "1 record durable; 12 dropped (ring full)");
        (report.dropped, report.dropped_by.timed_out) = (1_012, 1_000);
        report.overwritten = 5;
        (report.refused, report.refused_by.closed) = (2, 2);
        assert_eq!(
            report.to_string(),
            "1 record durable; 1,012 dropped (12 ring full, 1,000 no room within BlockFor's limit); 5 overwritten; \
             2 refused (closed)"
        );
        assert_eq!(report.lost(), 1_019);
        report = CloseReport { durable: 3, hidden: 1_027, ..CloseReport::default() };
        assert_eq!((report.to_string().as_str(), report.lost()), ("3 records durable; 1,027 hidden by limits", 0));
    }
}
