//! Records and gaps from the reader as lines, for `cat` and `tail`.

use diolog::{CallsiteInfo, Gap, RecordRef, RunId};

use crate::text::fields::callsite_json;
use crate::text::gap;
use crate::text::line::{Content, Form, Line, Structured, origin_json, producer_json};

/// Prints records, and keeps the text of the run's identity, which rarely changes.
pub(crate) struct Printer {
    form: Form,
    /// The log's name, if there are several.
    log: String,
    run: Option<RunId>,
    run_name: String,
    /// Who wrote the run's records.
    origin: Vec<u8>,
    pid: Option<u32>,
    callsites: Callsites,
    producer: Producer,
}

impl Printer {
    /// Prints records in this form, those of the log named `log` if there are several.
    pub(crate) fn new(form: Form, log: Option<String>) -> Printer {
        Printer {
            form,
            log: log.unwrap_or_default(),
            run: None,
            run_name: String::new(),
            origin: Vec::new(),
            pid: None,
            callsites: Callsites::default(),
            producer: Producer::default(),
        }
    }

    /// Appends the record to `out`.
    pub(crate) fn print(&mut self, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        if let Form::Message = self.form {
            // Computing the wall time would take longer than copying the message.
            record.write_message(out);
            out.push(b'\n');
            return;
        }
        if self.run != Some(record.run()) || self.pid != record.pid() {
            (self.run, self.pid) = (Some(record.run()), record.pid());
            self.run_name = record.run().to_string();
            self.origin = origin_json(record.service(), record.host(), record.pid());
            self.callsites = Callsites::default();
        }
        let content = match record.callsite_id() {
            None => Content::Message(record.message()),
            Some(id) => {
                let callsite = record.callsite();
                let target = callsite.map_or("", CallsiteInfo::target);
                let json = match (&self.form, callsite) {
                    (Form::Json { .. }, Some(callsite)) => self.callsites.json(id, callsite),
                    _ => &[],
                };
                Content::Structured(Structured { callsite: id, target, json, record })
            }
        };
        let producer_json = match &self.form {
            Form::Json { .. } => self.producer.json(record),
            _ => &[],
        };
        let line = Line {
            unix_ns: record.unix_ns(),
            monotonic_ns: record.timestamp_ns(),
            level: record.level(),
            producer: record.producer_id(),
            name: record.producer_name(),
            producer_json,
            sequence: record.sequence(),
            content,
            truncated: record.is_truncated(),
            run: &self.run_name,
            origin: &self.origin,
            log: &self.log,
        };
        self.form.write(&line, out);
    }

    /// Appends the gap to `out`. Among messages it is a sentence, which does not belong on standard output.
    pub(crate) fn print_gap(&mut self, gap: &Gap, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Text { colours, .. } => gap::text(gap, &self.log, *colours, out),
            Form::Json { when } => gap::json(gap, &self.log, when, out),
            Form::Message => gap::text(gap, &self.log, false, out),
        }
    }

    /// The gap as a sentence.
    pub(crate) fn sentence(&self, gap: &Gap) -> String {
        gap::sentence(gap, &self.log)
    }
}

/// What JSON says of the producer of the record that was printed last.
#[derive(Default)]
struct Producer {
    id: u32,
    tid: u32,
    name: String,
    json: Vec<u8>,
}

impl Producer {
    /// The members of an object that say who appended the record.
    fn json(&mut self, record: &RecordRef<'_>) -> &[u8] {
        let (id, tid, name) = (record.producer_id(), record.tid(), record.producer_name());
        if self.json.is_empty() || self.id != id || self.tid != tid || self.name != name {
            *self = Producer { id, tid, name: name.to_owned(), json: Vec::new() };
            producer_json(id, name, tid, &mut self.json);
        }
        &self.json
    }
}

/// What JSON says of the callsites of a run, by their numbers.
#[derive(Default)]
struct Callsites {
    known: Vec<Option<(CallsiteInfo, Vec<u8>)>>,
    /// That of a callsite with a number beyond all bounds.
    other: Vec<u8>,
}

/// Callsites that are kept: a program has far fewer.
const CALLSITES_MAX: usize = 1 << 14;

impl Callsites {
    /// The members of an object that say what the callsite with this number is.
    fn json(&mut self, id: u32, callsite: &CallsiteInfo) -> &[u8] {
        let at = id as usize;
        if at >= CALLSITES_MAX {
            self.other = callsite_json(callsite);
            return &self.other;
        }
        if self.known.len() <= at {
            self.known.resize(at + 1, None);
        }
        // A file may define a number more than once, differently.
        let is_same = |known: &CallsiteInfo| {
            known.line() == callsite.line()
                && known.template() == callsite.template()
                && known.file() == callsite.file()
                && known.target() == callsite.target()
        };
        let known = self.known[at].take().filter(|(known, _)| is_same(known));
        let (_, json) = self.known[at].insert(known.unwrap_or_else(|| (callsite.clone(), callsite_json(callsite))));
        json
    }
}
