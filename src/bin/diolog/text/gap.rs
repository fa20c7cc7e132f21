//! One gap as one line: as text for people, or as JSON.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use diolog::Gap;

use crate::text::digits::{number, quoted_number};
use crate::text::escape;
use crate::text::line::{head_json, origin_json, producer_json, tail_json};

/// Gaps stand out from records.
const STYLE: Style = AnsiColor::Yellow.on_default();

/// The gap as a sentence, such as "3,374 records of worker-1 dropped here: ring full".
pub(crate) fn sentence(gap: &Gap, log: &str) -> String {
    let of_log = if log.is_empty() { String::new() } else { format!("{}: ", escape::name(log)) };
    format!("{of_log}{}", escape::name(&gap.to_string()))
}

/// Appends the sentence to `out`, with a line feed.
pub(crate) fn text(gap: &Gap, log: &str, colours: bool, out: &mut Vec<u8>) {
    let sentence = sentence(gap, log);
    // Writing to memory does not fail.
    let _ = if colours { writeln!(out, "{STYLE}{sentence}{STYLE:#}") } else { writeln!(out, "{sentence}") };
}

/// Appends the gap to `out` as an object, with a line feed: the fields that it shares with a record stand in the same
/// order.
pub(crate) fn json(gap: &Gap, log: &str, out: &mut Vec<u8>) {
    head_json(br#"{"kind":"gap","time":"#, gap.unix_ns(), gap.timestamp_ns(), out);
    origin_json(gap.service(), gap.host(), gap.pid(), out);
    producer_json(gap.producer_id(), gap.producer_name(), gap.tid(), out);
    out.extend_from_slice(b",\"first_sequence\":");
    quoted_number(gap.first_sequence(), out);
    out.extend_from_slice(b",\"count\":");
    number(gap.count(), out);
    out.extend_from_slice(b",\"cause\":");
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *out, &gap.cause());
    tail_json(&gap.run().to_string(), log, out);
    out.push(b'\n');
}
