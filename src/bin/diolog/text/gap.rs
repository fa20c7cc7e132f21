//! One gap as one line: as text for people, or as JSON.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use diolog::{Gap, LossCause};

use crate::text::escape;
use crate::text::units::counted;
use crate::text::when::When;

/// Gaps stand out from records.
const STYLE: Style = AnsiColor::Yellow.on_default();

/// The gap as a sentence, such as "3,374 records of worker-1 dropped here: ring full".
pub(crate) fn sentence(gap: &Gap, log: &str) -> String {
    let of_log = if log.is_empty() { String::new() } else { format!("{}: ", escape::name(log)) };
    let producer = match gap.producer_name() {
        "" => format!("#{}", gap.producer_id()),
        name => escape::name(name),
    };
    let records = counted(gap.count(), "record");
    let are = if gap.is_dropped() { "dropped" } else { "missing" };
    format!("{of_log}{records} of {producer} {are} here: {}", gap.cause())
}

/// Appends the sentence to `out`, with a line feed.
pub(crate) fn text(gap: &Gap, log: &str, colours: bool, out: &mut Vec<u8>) {
    let sentence = sentence(gap, log);
    // Writing to memory does not fail.
    let _ = if colours { writeln!(out, "{STYLE}{sentence}{STYLE:#}") } else { writeln!(out, "{sentence}") };
}

/// Appends the gap to `out` as an object, with a line feed. `run` is its run's identity.
pub(crate) fn json(gap: &Gap, log: &str, run: &str, when: &mut When, out: &mut Vec<u8>) {
    let mut object = serde_json::json!({
        "kind": "gap",
        "time": gap.unix_ns().map(|unix_ns| when.format(unix_ns)),
        "monotonic_ns": gap.timestamp_ns().to_string(),
        "producer": gap.producer_id(),
        "name": gap.producer_name(),
        "tid": gap.tid(),
        "first_sequence": gap.first_sequence().to_string(),
        "count": gap.count(),
        "cause": word(gap.cause()),
        "run": run,
    });
    if !log.is_empty() {
        object["log"] = log.into();
    }
    escape::json_value(&object, out);
}

/// The cause as programs read it.
fn word(cause: LossCause) -> &'static str {
    match cause {
        LossCause::RingFull => "ring_full",
        LossCause::RingMemory => "ring_memory",
        LossCause::TimedOut => "timed_out",
        LossCause::DeviceFailed => "device_failed",
        LossCause::Overwritten => "overwritten",
        LossCause::Unwritten => "unwritten",
        LossCause::Damaged => "damaged",
        LossCause::Removed => "removed",
        _ => "unknown",
    }
}
