//! A record as a line of text, as `diolog cat` prints it: time, level, producer, target, message.

use std::io::Write as _;

use super::record::LiveRecord;
use super::when;
use crate::escape;
use crate::level::Level;
use crate::render::cut_mark;

/// The escape sequence that ends a colour.
const PLAIN: &str = "\x1b[0m";

/// The style of times and names: dimmed, so that the message stands out.
const ASIDE: &str = "\x1b[2m";

impl LiveRecord<'_> {
    /// Appends the record as one line of text, without a line feed: time in UTC, level, the name of the log's directory
    /// (if the listener has had several logs), producer, target (if the record has fields), and message. Control
    /// characters are escaped, so the text stays one line and does not control a terminal.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        line(self, false, out);
    }
}

/// Appends the record as a line, without a line feed.
pub(super) fn line(record: &LiveRecord<'_>, colours: bool, out: &mut Vec<u8>) {
    styled(colours, ASIDE, out, |out| when::write_utc(record.unix_ns, out));
    out.push(b' ');
    let (name, colour) = level(record.level);
    styled(colours, colour, out, |out| out.extend_from_slice(name.as_bytes()));
    out.push(b' ');
    if let Some(log) = record.log_name {
        styled(colours, ASIDE, out, |out| escape::text(log.as_bytes(), out));
        out.push(b' ');
    }
    styled(colours, ASIDE, out, |out| match record.producer_name {
        // Writing to memory does not fail.
        "" => drop(write!(out, "#{}", record.producer_id)),
        name => escape::text(name.as_bytes(), out),
    });
    out.push(b' ');
    if let Some(target) = record.callsite.map(|callsite| callsite.target()).filter(|target| !target.is_empty()) {
        styled(colours, ASIDE, out, |out| {
            escape::text(target.as_bytes(), out);
            out.push(b':');
        });
        out.push(b' ');
    }
    escape::text(record.message, out);
    if record.is_truncated() {
        let mark = cut_mark(out);
        styled(colours, ASIDE, out, |out| out.extend_from_slice(mark.as_bytes()));
    }
}

/// Appends a line of the listener itself, without a line feed.
pub(super) fn note(text: &str, colours: bool, out: &mut Vec<u8>) {
    styled(colours, ASIDE, out, |out| escape::text(text.as_bytes(), out));
}

/// Calls `write`. With `colours`, between the escape sequences of `colour`.
fn styled(colours: bool, colour: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if colours {
        out.extend_from_slice(colour.as_bytes());
        write(out);
        out.extend_from_slice(PLAIN.as_bytes());
    } else {
        write(out);
    }
}

/// The level's name, padded to five letters, and its colour: bold red, yellow, green, blue, or dimmed.
fn level(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Error => ("ERROR", "\x1b[1m\x1b[31m"),
        Level::Warn => ("WARN ", "\x1b[33m"),
        Level::Info => ("INFO ", "\x1b[32m"),
        Level::Debug => ("DEBUG", "\x1b[34m"),
        Level::Trace | Level::Off => ("TRACE", ASIDE),
    }
}
