//! Closes one log, in two steps: ask for it, and wait. Several logs that are all asked first share the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::shared::{CloseSummary, Shared};

/// How long a close waits for the writer beyond the deadline before it gives the thread up. The writer ends by itself
/// at the deadline, unless it hangs in a system call.
const WRITER_GRACE: Duration = Duration::from_millis(500);

/// Refuses further appends, and asks the writer to drain and to end. Returns the deadline: that of the first call.
pub(crate) fn begin_close(shared: &Shared, begun: Instant) -> Instant {
    // The check of the settings allows a day at most.
    let deadline = begun + shared.settings.config.close_deadline;
    shared.registry.close();
    // The writer waits for appends that have begun; a later one returns `Closed`.
    shared.gate.close();
    let deadline = shared.closing.request(deadline);
    shared.wake_writer();
    deadline
}

/// Waits for the end of a log that was asked to close by `deadline`: a little longer for its writer, but not for its
/// listeners. Returns how the log ended.
///
/// In a callback on the log's own writer it does not wait: the log ends after the callback.
pub(crate) fn wait_until_closed(shared: &Shared, deadline: Instant) -> CloseSummary {
    if shared.is_on_own_writer() {
        let reason = "close was called on the writer thread, in a callback, which does not wait for itself";
        return shared.close_summary_without_writer(reason);
    }
    // Counted from the deadline, so that several logs do not add up.
    let left = (deadline + WRITER_GRACE).saturating_duration_since(Instant::now());
    let summary = shared.closing.wait(left).unwrap_or_else(|| {
        let reason = "the writer thread does not answer: the kernel holds it in a call";
        shared.closing.finish(shared.close_summary_without_writer(reason))
    });
    shared.listening.wait_until_given(deadline);
    summary
}

/// Closes all `logs`, whose deadlines run at the same time. Returns the sums of how they ended.
pub(crate) fn close_all(logs: &[Arc<Shared>]) -> CloseSummary {
    wait_until_all_closed(&begin_close_all(logs, Instant::now()))
}

/// A log that was asked to close, and its deadline.
pub(super) type Closing<'a> = (&'a Shared, Instant);

/// [`begin_close`] of each of the `logs`.
pub(super) fn begin_close_all(logs: &[Arc<Shared>], begun: Instant) -> Vec<Closing<'_>> {
    logs.iter().map(|log| (&**log, begin_close(log, begun))).collect()
}

/// [`wait_until_closed`] for each of the `logs`. Returns the sums of how they ended.
pub(super) fn wait_until_all_closed(logs: &[Closing<'_>]) -> CloseSummary {
    let mut all = CloseSummary::default();
    for (log, deadline) in logs {
        let summary = wait_until_closed(log, *deadline);
        all.report.add(&summary.report);
        all.unconfirmed += summary.unconfirmed;
        if let Some(reason) = summary.reason {
            let reason = format!("{}: {reason}", log.settings.config.path.display());
            all.reason = Some(all.reason.map_or_else(|| reason.clone(), |before| format!("{before}; {reason}")));
        }
    }
    all
}
