//! Losses that the callback of `Logger::on_loss` has not heard of.

use super::sources::Sources;
use crate::shared::Shared;
use crate::stats::{Losses, ProducerLosses, RefusedBy};
use crate::writer::schedule::Every;
use crate::writer::source::Source;

/// How often losses are reported, in nanoseconds: each report reads the counts of all producers, and the callback is
/// the caller's code on the writer thread.
const REPORT_NS: u64 = 1_000_000_000;

/// The losses of one log that were not reported.
pub(super) struct UnreportedLosses {
    every: Every,
    /// Of producers that have ended since the last report.
    ended: Vec<ProducerLosses>,
    /// The refused appends that were reported.
    refused_by: RefusedBy,
}

impl UnreportedLosses {
    pub(super) fn new() -> UnreportedLosses {
        UnreportedLosses { every: Every::new(REPORT_NS), ended: Vec::new(), refused_by: RefusedBy::default() }
    }

    /// Keeps the losses of a producer that has ended until the next report.
    pub(super) fn note_ended(&mut self, shared: &Shared, source: &mut Source) {
        if shared.published.reports_losses() {
            self.ended.extend(source.take_losses());
        }
    }

    /// Reports losses if it is time, and if there are any.
    pub(super) fn report_if_due(&mut self, shared: &Shared, sources: &mut Sources, now_ns: u64) {
        if self.every.take_due(now_ns) {
            self.report(shared, sources);
        }
    }

    /// Reports losses if there are any.
    pub(super) fn report(&mut self, shared: &Shared, sources: &mut Sources) {
        if !shared.published.reports_losses() {
            return;
        }
        let mut producers = std::mem::take(&mut self.ended);
        producers.extend(sources.iter_mut().filter_map(|(_, source)| source.take_losses()));
        let refused_by = shared.refused_by();
        let losses = Losses { producers, refused_by: refused_by.since(self.refused_by) };
        self.refused_by = refused_by;
        if losses.total() > 0 {
            shared.published.report_losses(&losses);
        }
    }
}
