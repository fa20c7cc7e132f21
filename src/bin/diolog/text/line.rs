//! One record as one line: as text, as JSON, or as the bytes that were written.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use diolog::unstable::cut_mark;
use diolog::{CallsiteInfo, Level, RecordRef};

use crate::text::digits::{SlowNumber, number, quoted_number};
use crate::text::escape;
use crate::text::fields::{Keys, callsite_json, cut_json, fields_json, hex_json, key_json, level_json, members_json};
use crate::text::piece::{NOTHING, Piece};
use crate::text::when::When;

/// The fields of a record to print.
pub(crate) struct Line<'a> {
    /// Nanoseconds since the Unix epoch; `None` if the files hold no wall-clock anchor for it.
    pub(crate) unix_ns: Option<i64>,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) monotonic_ns: u64,
    /// `None` if the file has a number that is not a level.
    pub(crate) level: Option<Level>,
    pub(crate) sequence: u64,
    pub(crate) content: Content<'a>,
    /// The message was longer and has been cut, or the definition of its callsite.
    pub(crate) truncated: bool,
    /// Who wrote and appended it: see [`Form::who`].
    pub(crate) who: &'a Piece,
    /// The ends of JSON objects: see [`ends_json`].
    pub(crate) ends: &'a [Piece; 2],
}

/// What a record says.
pub(crate) enum Content<'a> {
    /// The message as it was logged.
    Message(&'a [u8]),
    /// Values, and the text that is made of them: by the record, which has the fields too.
    Structured { callsite: &'a CallsiteShown, record: &'a RecordRef<'a> },
}

/// Shared by the records of a callsite: see [`Form::callsite`].
pub(crate) struct CallsiteShown {
    /// What stands before the message: as text the target, as JSON the members, after the quote that ends the sequence.
    before: Piece,
    /// As JSON for each field its name as a key, after a comma; none if two names are equal, because they were cut.
    keys: Vec<Piece>,
    /// Whether no record's text needs an escape.
    is_plain: bool,
    /// Whether its definition in the files is not whole, so that no record's text is.
    pub(crate) is_cut: bool,
}

/// Who wrote and appended a record.
pub(crate) struct Origin<'a> {
    /// The log's name; empty if there is only one.
    pub(crate) log: &'a str,
    /// Empty if the service has no name.
    pub(crate) service: &'a str,
    pub(crate) host: Option<&'a str>,
    pub(crate) pid: Option<u32>,
    pub(crate) producer: u32,
    /// Empty if the producer has no name.
    pub(crate) name: &'a str,
    pub(crate) tid: u32,
}

/// How records are printed.
pub(crate) enum Form {
    /// For people: time, level, producer, message, with control characters escaped.
    Text {
        /// Local or UTC, with the space after it.
        when: When,
        /// The levels by their numbers, with the space after each; first of all one that is not known.
        levels: Box<[Piece; Level::ALL.len() + 1]>,
        /// Whether levels and names have colours.
        colours: bool,
    },
    /// For programs: one object for each line.
    Json {
        /// UTC, with the begin of the object before it, and the next member up to the quote that begins it.
        when: When,
        /// Of `CLOCK_MONOTONIC`.
        monotonic: SlowNumber,
    },
    /// The bytes that were logged, and a line feed.
    Message,
}

/// Times and names are dimmed, so that the message stands out.
const ASIDE: Style = Style::new().dimmed();

impl Form {
    /// Text with local times, or with UTC times.
    pub(crate) fn text(local: bool, colours: bool) -> Form {
        Form::text_with(if local { When::local() } else { When::utc() }, colours)
    }

    fn text_with(when: When, colours: bool) -> Form {
        let (before, after) =
            if colours { (format!("{ASIDE}"), format!("{ASIDE:#} ")) } else { (String::new(), " ".into()) };
        let level = |number: usize| {
            let level = number.checked_sub(1).and_then(|at| Level::ALL.get(at).copied());
            Piece::of(|out| {
                styled(colours, style_of(level), out, |out| out.extend_from_slice(padded_name(level)));
                out.push(b' ');
            })
        };
        Form::Text { when: when.within(before, after), levels: Box::new(std::array::from_fn(level)), colours }
    }

    /// One object for each line.
    pub(crate) fn json() -> Form {
        Form::Json { when: When::utc().within(BEFORE_TIME_JSON, AFTER_TIME_JSON), monotonic: SlowNumber::default() }
    }

    /// Who wrote and appended a record, as it stands in each line: as text the log and the producer, each with a space
    /// after it; as JSON the members from the quote that ends the monotonic time to the one that begins the sequence.
    pub(crate) fn who(&self, origin: &Origin<'_>) -> Piece {
        Piece::of(|out| match self {
            Form::Text { colours, .. } => {
                let parts = [escape::name(origin.log), escape::producer(origin.producer, origin.name)];
                for part in parts.iter().filter(|part| !part.is_empty()) {
                    styled(*colours, ASIDE, out, |out| out.extend_from_slice(part.as_bytes()));
                    out.push(b' ');
                }
            }
            Form::Json { .. } => {
                out.push(b'"');
                origin_json(origin.service, origin.host, origin.pid, out);
                producer_json(origin.producer, origin.name, origin.tid, out);
                key_json("sequence", out);
                out.push(b'"');
            }
            Form::Message => {}
        })
    }

    /// What the records of the callsite with this number share; `None` if it is not known.
    pub(crate) fn callsite(&self, id: u32, callsite: Option<&CallsiteInfo>) -> CallsiteShown {
        let mut keys = Vec::new();
        let is_plain = |part: &str| match self {
            Form::Json { .. } => escape::is_json(part.as_bytes()),
            _ => escape::is_plain(part.as_bytes()),
        };
        // A name that is not one word has quotes.
        let is_word = |name: &str| !name.is_empty() && !name.contains([' ', '=']);
        // Of numbers that is known before there is one.
        let is_plain = callsite.is_some_and(|callsite| {
            let mut names = callsite.field_names();
            callsite.has_only_numbers()
                && is_plain(callsite.template())
                && names.all(|name| is_plain(name) && is_word(name))
        });
        let before = Piece::of(|out| match self {
            Form::Text { colours, .. } => {
                let target = callsite.map_or("", CallsiteInfo::target);
                if !target.is_empty() {
                    styled(*colours, ASIDE, out, |out| {
                        escape::text(target.as_bytes(), out);
                        out.push(b':');
                    });
                    out.push(b' ');
                }
            }
            Form::Json { .. } => {
                out.push(b'"');
                callsite_json(id, callsite, out);
                let mut names = callsite.into_iter().flat_map(CallsiteInfo::field_names);
                let mut known = Keys::default();
                if names.all(|name| known.take(name) == name) {
                    let names = callsite.into_iter().flat_map(CallsiteInfo::field_names);
                    keys.extend(names.map(|name| Piece::of(|out| key_json(name, out))));
                }
            }
            Form::Message => {}
        });
        CallsiteShown { before, keys, is_plain, is_cut: callsite.is_some_and(CallsiteInfo::is_cut) }
    }

    /// Appends the record to `out`, with a line feed.
    // Inlined with all of its parts, so that no line is built in memory.
    #[inline(always)]
    pub(crate) fn write(&mut self, line: &Line<'_>, out: &mut Vec<u8>) {
        match self {
            Form::Text { when, levels, colours } => text(line, when, &levels[..], *colours, out),
            Form::Json { when, monotonic } => return json(line, when, monotonic, out),
            Form::Message => match line.content {
                Content::Message(message) => out.extend_from_slice(message),
                Content::Structured { record, .. } => record.write_message(out),
            },
        }
        out.push(b'\n');
    }
}

#[inline(always)]
fn text(line: &Line<'_>, when: &mut When, levels: &[Piece], colours: bool, out: &mut Vec<u8>) {
    let level = levels.get(line.level.map_or(0, |level| level as usize)).unwrap_or(&NOTHING);
    let before = match &line.content {
        Content::Message(_) => &NOTHING,
        Content::Structured { callsite, .. } => &callsite.before,
    };
    let pieces = [level, line.who, before];
    match line.unix_ns {
        Some(unix_ns) => when.write_before(unix_ns, pieces, out),
        None => {
            since_boot(line.monotonic_ns, when, out);
            pieces.iter().for_each(|piece| piece.append_to(out));
        }
    }
    match line.content {
        Content::Message(message) => escape::text(message, out),
        Content::Structured { callsite, record } => {
            let start = out.len();
            record.write_message(out);
            if !callsite.is_plain {
                escape::text_from(start, out);
            }
        }
    }
    if line.truncated {
        let mark = cut_mark(out);
        styled(colours, ASIDE, out, |out| out.extend_from_slice(mark.as_bytes()));
    }
}

#[inline(always)]
fn json(line: &Line<'_>, when: &mut When, monotonic: &mut SlowNumber, out: &mut Vec<u8>) {
    match line.unix_ns {
        Some(unix_ns) => when.write(unix_ns, out),
        None => out.extend_from_slice(br#"{"kind":"record","time":null,"monotonic_ns":""#),
    }
    monotonic.write(line.monotonic_ns, out);
    line.who.append_to(out);
    number(line.sequence, out);
    match line.content {
        Content::Message(message) => {
            out.push(b'"');
            out.extend_from_slice(level_json(line.level));
            out.push(b',');
            message_json(message, out);
        }
        Content::Structured { callsite, record } => {
            callsite.before.append_to(out);
            if !record.write_json_members(out) {
                structured_json(callsite, record, out);
            }
        }
    }
    line.ends[usize::from(line.truncated)].append_to(out);
}

/// Appends the message and the fields of a record, whatever they are.
#[inline(never)]
fn structured_json(callsite: &CallsiteShown, record: &RecordRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"message\":\"");
    let start = out.len();
    record.write_message(out);
    if callsite.is_plain {
        out.push(b'"');
    } else {
        escape::end_json(start, out);
    }
    let mut cut = Vec::new();
    fields_json(out, |out| {
        let fields = record.fields().map(|field| (field.index(), field.name, field.value, field.cut));
        members_json(&callsite.keys, fields, out, &mut cut);
    });
    if !cut.is_empty() {
        cut_json(&cut, out);
    }
}

/// What stands before the time of a record.
const BEFORE_TIME_JSON: &str = r#"{"kind":"record","time":""#;

/// What stands between it and the nanoseconds of `CLOCK_MONOTONIC`.
const AFTER_TIME_JSON: &str = r#"","monotonic_ns":""#;

/// Begins an object that is not a record's: what it is, with the key of its time, and its times.
pub(crate) fn head_json(kind: &[u8], unix_ns: Option<i64>, monotonic_ns: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(kind);
    match unix_ns {
        Some(unix_ns) => escape::json(When::utc().format(unix_ns).as_bytes(), out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"monotonic_ns\":");
    quoted_number(monotonic_ns, out);
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

/// The ends of the objects of whole records, and of those that were cut, each with a line feed: see [`tail_json`].
pub(crate) fn ends_json(run: &str, log: &str) -> [Piece; 2] {
    [&b",\"truncated\":false"[..], b",\"truncated\":true"].map(|truncated| {
        Piece::of(|out| {
            out.extend_from_slice(truncated);
            tail_json(run, log, out);
            out.push(b'\n');
        })
    })
}

/// Appends the message as fields of a JSON object.
pub(crate) fn message_json(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"message\":");
    escape::json(message, out);
    if std::str::from_utf8(message).is_err() {
        hex_json("message_hex", message, out);
    }
}

/// Appends a time without a wall-clock anchor, as "boot+12.000000007", within what stands around times.
fn since_boot(monotonic_ns: u64, when: &When, out: &mut Vec<u8>) {
    out.extend_from_slice(when.before());
    // Writing to memory does not fail.
    let _ = write!(out, "boot+{}.{:09}", monotonic_ns / 1_000_000_000, monotonic_ns % 1_000_000_000);
    out.extend_from_slice(when.after());
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
fn padded_name(level: Option<Level>) -> &'static [u8; 5] {
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
pub(crate) fn origin_json(service: &str, host: Option<&str>, pid: Option<u32>, out: &mut Vec<u8>) {
    for (name, value) in [("service", escape::known(service)), ("host", host)] {
        key_json(name, out);
        match value {
            Some(value) => escape::json(value.as_bytes(), out),
            None => out.extend_from_slice(b"null"),
        }
    }
    key_json("pid", out);
    match pid {
        Some(pid) => number(pid, out),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> =
        Origin { log: "", service: "", host: None, pid: Some(42), producer: 3, name: "orders", tid: 77 };

    /// A line with this message, changed by `change`.
    fn printed(mut form: Form, origin: &Origin<'_>, message: &[u8], change: impl FnOnce(&mut Line<'_>)) -> String {
        let (who, ends) = (form.who(origin), ends_json("ab01", origin.log));
        let mut line = Line {
            unix_ns: Some(1_700_000_000_000_000_007),
            monotonic_ns: 12_000_000_007,
            level: Some(Level::Warn),
            sequence: u64::MAX,
            content: Content::Message(message),
            truncated: false,
            who: &who,
            ends: &ends,
        };
        change(&mut line);
        let mut out = Vec::new();
        form.write(&line, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn text_is_time_level_producer_and_message() {
        let text = printed(Form::text(false, false), &ORIGIN, b"a\nb", |_| ());
        assert_eq!(text, "2023-11-14T22:13:20.000000007Z WARN  orders a\\nb\n");
        let unnamed = Origin { name: "", ..ORIGIN };
        let text = printed(Form::text(false, false), &unnamed, b"long", |line| {
            (line.level, line.unix_ns, line.truncated) = (None, None, true);
        });
        assert_eq!(text, "boot+12.000000007 ?     #3 long… (cut)\n");
        let text = printed(Form::text(false, false), &ORIGIN, "x v=…".as_bytes(), |line| line.truncated = true);
        assert!(text.ends_with(" x v=… (cut)\n"), "one mark is enough: {text}");
    }

    #[test]
    fn a_record_says_which_of_several_logs_it_is_from() {
        let of_several = Origin { log: "logs/a", ..ORIGIN };
        let text = printed(Form::text(false, false), &of_several, b"hello", |_| ());
        assert_eq!(text, "2023-11-14T22:13:20.000000007Z WARN  logs/a orders hello\n");
        let json = printed(Form::json(), &of_several, b"hello", |_| ());
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["log"], "logs/a");
    }

    #[test]
    fn colours_are_only_escape_sequences_around_the_same_text() {
        let coloured = printed(Form::text_with(When::utc(), true), &ORIGIN, b"hello", |_| ());
        assert!(coloured.contains("\x1b[33mWARN \x1b[0m"), "{coloured:?}");
        let plain = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(plain, printed(Form::text(false, false), &ORIGIN, b"hello", |_| ()));
    }

    #[test]
    fn json_has_every_field_and_all_bytes_of_a_message_that_is_not_utf_8() {
        let json = printed(Form::json(), &ORIGIN, b"say \"hi\"", |_| ());
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected = serde_json::json!({
            "kind": "record", "time": "2023-11-14T22:13:20.000000007Z", "monotonic_ns": "12000000007", "level": "warn",
            "service": null, "host": null, "pid": 42, "producer": 3, "name": "orders", "tid": 77, "sequence": u64::MAX.to_string(), "message": "say \"hi\"",
            "truncated": false, "run": "ab01",
        });
        assert_eq!(read, expected);
        let json = printed(Form::json(), &ORIGIN, b"\xff\x00", |line| line.unix_ns = None);
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&read["message_hex"], &read["time"]), (&"ff00".into(), &serde_json::Value::Null));
    }

    #[test]
    fn an_origin_has_null_for_what_is_unknown() {
        let read = |service, host, pid| {
            let mut origin = Vec::new();
            origin_json(service, host, pid, &mut origin);
            let object = ["{\"x\":0", std::str::from_utf8(&origin).expect("UTF-8"), "}"].concat();
            serde_json::from_str::<serde_json::Value>(&object).expect("JSON")
        };
        let known = read("a \"b\"", Some("host"), Some(7));
        assert_eq!(known, serde_json::json!({"x": 0, "service": "a \"b\"", "host": "host", "pid": 7}));
        let unknown = read("", None, None);
        assert_eq!(unknown, serde_json::json!({"x": 0, "service": null, "host": null, "pid": null}));
    }

    #[test]
    fn a_message_is_printed_as_the_bytes_that_were_logged() {
        assert_eq!(printed(Form::Message, &ORIGIN, b"\x00\\r\r", |_| ()).as_bytes(), b"\x00\\r\r\n");
    }
}
