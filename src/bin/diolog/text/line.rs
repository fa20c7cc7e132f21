//! One record as one line: as text, as JSON, or as the bytes that were written.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use diolog::{Level, RecordRef};

use crate::text::digits::{number, quoted_number};
use crate::text::escape;
use crate::text::fields::{CallsiteJson, bytes_json, fields_json, level_json};
use crate::text::when::When;

/// The fields of a record to print.
pub(crate) struct Line<'a> {
    /// Nanoseconds since the Unix epoch; `None` if the files hold no wall-clock anchor for it.
    pub(crate) unix_ns: Option<i64>,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) monotonic_ns: u64,
    /// `None` if the file has a number that is not a level.
    pub(crate) level: Option<Level>,
    pub(crate) producer: u32,
    /// Empty if the producer has no name.
    pub(crate) name: &'a str,
    pub(crate) sequence: u64,
    pub(crate) content: Content<'a>,
    /// The message was longer and has been cut.
    pub(crate) truncated: bool,
    /// Who wrote and appended it, as members of a JSON object: see [`origin_json`] and [`producer_json`].
    pub(crate) who: &'a [u8],
    /// The end of a JSON object: see [`tail_json`].
    pub(crate) tail: &'a [u8],
    /// The log's name; empty if there is only one.
    pub(crate) log: &'a str,
}

/// What a record says.
pub(crate) enum Content<'a> {
    /// The message as it was logged.
    Message(&'a [u8]),
    /// Values, and the text that is made of them.
    Structured(Structured<'a>),
}

/// A record with fields.
pub(crate) struct Structured<'a> {
    /// Empty if it is not known.
    pub(crate) target: &'a str,
    /// What its callsite says, for JSON; not for text.
    pub(crate) callsite: Option<&'a CallsiteJson>,
    /// It makes the text, and has the fields.
    pub(crate) record: &'a RecordRef<'a>,
}

/// How records are printed.
pub(crate) enum Form {
    /// For people: time, level, producer, message, with control characters escaped.
    Text {
        /// Local or UTC.
        when: When,
        /// Whether levels and names have colours.
        colours: bool,
    },
    /// For programs: one object for each line.
    Json {
        /// UTC.
        when: When,
    },
    /// The bytes that were logged, and a line feed.
    Message,
}

/// Times and names are dimmed, so that the message stands out.
const ASIDE: Style = Style::new().dimmed();

/// Printed after a message that has been cut.
const CUT: &str = "… (cut)";

impl Form {
    /// Text with local times, or with UTC times.
    pub(crate) fn text(local: bool, colours: bool) -> Form {
        Form::Text { when: if local { When::local() } else { When::utc() }, colours }
    }

    /// One object for each line.
    pub(crate) fn json() -> Form {
        Form::Json { when: When::utc() }
    }

    /// Appends the record to `out`, with a line feed.
    pub(crate) fn write(&mut self, line: &Line<'_>, out: &mut Vec<u8>) {
        match self {
            Form::Text { when, colours } => text(line, when, *colours, out),
            Form::Json { when } => json(line, when, out),
            Form::Message => match &line.content {
                Content::Message(message) => out.extend_from_slice(message),
                Content::Structured(structured) => structured.record.write_message(out),
            },
        }
        out.push(b'\n');
    }
}

fn text(line: &Line<'_>, when: &mut When, colours: bool, out: &mut Vec<u8>) {
    styled(colours, ASIDE, out, |out| match line.unix_ns {
        Some(unix_ns) => when.write(unix_ns, out),
        None => since_boot(line.monotonic_ns, out),
    });
    out.push(b' ');
    styled(colours, style_of(line.level), out, |out| out.extend_from_slice(padded_name(line.level)));
    out.push(b' ');
    if !line.log.is_empty() {
        styled(colours, ASIDE, out, |out| escape::text(line.log.as_bytes(), out));
        out.push(b' ');
    }
    styled(colours, ASIDE, out, |out| match line.name {
        "" => {
            out.push(b'#');
            number(line.producer, out);
        }
        name => escape::text(name.as_bytes(), out),
    });
    out.push(b' ');
    match &line.content {
        Content::Message(message) => escape::text(message, out),
        Content::Structured(Structured { target, record, .. }) => {
            if !target.is_empty() {
                styled(colours, ASIDE, out, |out| {
                    escape::text(target.as_bytes(), out);
                    out.push(b':');
                });
                out.push(b' ');
            }
            let start = out.len();
            record.write_message(out);
            escape::text_from(start, out);
        }
    }
    if line.truncated {
        styled(colours, ASIDE, out, |out| out.extend_from_slice(CUT.as_bytes()));
    }
}

fn json(line: &Line<'_>, when: &mut When, out: &mut Vec<u8>) {
    head_json("record", line.unix_ns, line.monotonic_ns, line.who, when, out);
    out.extend_from_slice(b",\"sequence\":");
    quoted_number(line.sequence, out);
    match &line.content {
        Content::Message(message) => {
            out.extend_from_slice(level_json(line.level));
            out.push(b',');
            message_json(message, out);
        }
        Content::Structured(Structured { callsite, record, .. }) => {
            if let Some(callsite) = callsite {
                out.extend_from_slice(&callsite.members);
            }
            out.extend_from_slice(b",\"message\":\"");
            let start = out.len();
            record.write_message(out);
            escape::end_json(start, out);
            let keys = callsite.map_or(&[][..], |callsite| &callsite.keys);
            fields_json(keys, record.fields().map(|field| (field.index(), field.name, field.value, field.cut)), out);
        }
    }
    out.extend_from_slice(if line.truncated { b",\"truncated\":true" } else { b",\"truncated\":false" });
    out.extend_from_slice(line.tail);
}

/// Begins an object: what it is, its time, and who wrote it, by [`origin_json`].
pub(crate) fn head_json(
    kind: &str,
    unix_ns: Option<i64>,
    monotonic_ns: u64,
    origin: &[u8],
    when: &mut When,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"time\":");
    match unix_ns {
        Some(unix_ns) => {
            out.push(b'"');
            when.write(unix_ns, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"monotonic_ns\":");
    quoted_number(monotonic_ns, out);
    out.extend_from_slice(origin);
}

/// The fields that name the producer.
pub(crate) fn producer_json(id: u32, name: &str, tid: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"producer\":");
    number(id, out);
    out.extend_from_slice(b",\"name\":");
    escape::json(name.as_bytes(), out);
    out.extend_from_slice(b",\"tid\":");
    number(tid, out);
}

/// Ends an object: its run, and its log if that has a name.
pub(crate) fn tail_json(run: &str, log: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"run\":");
    escape::json(run.as_bytes(), out);
    if !log.is_empty() {
        out.extend_from_slice(b",\"log\":");
        escape::json(log.as_bytes(), out);
    }
    out.push(b'}');
}

/// Appends the message as fields of a JSON object.
pub(crate) fn message_json(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"message\":");
    bytes_json("message", message, out);
}

/// Appends a time without a wall-clock anchor, as "boot+12.000000007".
fn since_boot(monotonic_ns: u64, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "boot+{}.{:09}", monotonic_ns / 1_000_000_000, monotonic_ns % 1_000_000_000);
}

/// Calls `write`, between the style's escape sequences if `colours`.
fn styled(colours: bool, style: Style, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if colours {
        // Writing to memory does not fail.
        let _ = write!(out, "{style}");
        write(out);
        let _ = write!(out, "{style:#}");
    } else {
        write(out);
    }
}

fn style_of(level: Option<Level>) -> Style {
    match level {
        Some(Level::Error) => AnsiColor::Red.on_default().bold(),
        Some(Level::Warn) => AnsiColor::Yellow.on_default(),
        Some(Level::Info) => AnsiColor::Green.on_default(),
        Some(Level::Debug) => AnsiColor::Blue.on_default(),
        _ => ASIDE,
    }
}

/// The level's name, padded to five letters.
fn padded_name(level: Option<Level>) -> &'static [u8] {
    match level {
        Some(Level::Error) => b"ERROR",
        Some(Level::Warn) => b"WARN ",
        Some(Level::Info) => b"INFO ",
        Some(Level::Debug) => b"DEBUG",
        Some(Level::Trace) => b"TRACE",
        _ => b"?    ",
    }
}

/// Service, machine and process of a record as fields of a JSON object; null if unknown.
pub(crate) fn origin_json(service: &str, host: Option<&str>, pid: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [(&b",\"service\":"[..], escape::known(service)), (b",\"host\":", host)] {
        out.extend_from_slice(name);
        match value {
            Some(value) => escape::json(value.as_bytes(), &mut out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b",\"pid\":");
    match pid {
        Some(pid) => number(pid, &mut out),
        None => out.extend_from_slice(b"null"),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &[u8]) -> Line<'_> {
        Line {
            unix_ns: Some(1_700_000_000_000_000_007),
            monotonic_ns: 12_000_000_007,
            level: Some(Level::Warn),
            producer: 3,
            name: "orders",
            sequence: u64::MAX,
            content: Content::Message(message),
            truncated: false,
            who: b",\"pid\":42,\"producer\":3,\"name\":\"orders\",\"tid\":77",
            tail: b",\"run\":\"ab01\"}",
            log: "",
        }
    }

    fn printed(mut form: Form, line: &Line<'_>) -> String {
        let mut out = Vec::new();
        form.write(line, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn text_is_time_level_producer_and_message() {
        let text = printed(Form::text(false, false), &line(b"a\nb"));
        assert_eq!(text, "2023-11-14T22:13:20.000000007Z WARN  orders a\\nb\n");
        let unnamed = Line { name: "", level: None, unix_ns: None, truncated: true, ..line(b"long") };
        let text = printed(Form::text(false, false), &unnamed);
        assert_eq!(text, "boot+12.000000007 ?     #3 long… (cut)\n");
    }

    #[test]
    fn a_record_says_which_of_several_logs_it_is_from() {
        let mut tail = Vec::new();
        tail_json("ab01", "logs/a", &mut tail);
        let of_several = Line { log: "logs/a", tail: &tail, ..line(b"hello") };
        let text = printed(Form::text(false, false), &of_several);
        assert_eq!(text, "2023-11-14T22:13:20.000000007Z WARN  logs/a orders hello\n");
        let read: serde_json::Value = serde_json::from_str(&printed(Form::json(), &of_several)).expect("JSON");
        assert_eq!(read["log"], "logs/a");
    }

    #[test]
    fn colours_are_only_escape_sequences_around_the_same_text() {
        let coloured = printed(Form::Text { when: When::utc(), colours: true }, &line(b"hello"));
        assert!(coloured.contains("\x1b[33mWARN \x1b[0m"), "{coloured:?}");
        let plain = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(plain, printed(Form::text(false, false), &line(b"hello")));
    }

    #[test]
    fn json_has_every_field_and_all_bytes_of_a_message_that_is_not_utf_8() {
        let json = printed(Form::json(), &line(b"say \"hi\""));
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected = serde_json::json!({
            "kind": "record", "time": "2023-11-14T22:13:20.000000007Z", "monotonic_ns": "12000000007", "level": "warn",
            "pid": 42, "producer": 3, "name": "orders", "tid": 77, "sequence": u64::MAX.to_string(), "message": "say \"hi\"",
            "truncated": false, "run": "ab01",
        });
        assert_eq!(read, expected);
        let json = printed(Form::json(), &Line { unix_ns: None, ..line(b"\xff\x00") });
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&read["message_hex"], &read["time"]), (&"ff00".into(), &serde_json::Value::Null));
    }

    #[test]
    fn an_origin_has_null_for_what_is_unknown() {
        let read = |origin: Vec<u8>| {
            let object = ["{\"x\":0", std::str::from_utf8(&origin).expect("UTF-8"), "}"].concat();
            serde_json::from_str::<serde_json::Value>(&object).expect("JSON")
        };
        let known = read(origin_json("a \"b\"", Some("host"), Some(7)));
        assert_eq!(known, serde_json::json!({"x": 0, "service": "a \"b\"", "host": "host", "pid": 7}));
        let unknown = read(origin_json("", None, None));
        assert_eq!(unknown, serde_json::json!({"x": 0, "service": null, "host": null, "pid": null}));
    }

    #[test]
    fn a_message_is_printed_as_the_bytes_that_were_logged() {
        let mut out = Vec::new();
        Form::Message.write(&line(b"\x00\xff\r"), &mut out);
        assert_eq!(out, b"\x00\xff\r\n");
    }
}
