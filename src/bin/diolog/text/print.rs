//! Records and gaps from the reader as lines, for `cat` and `tail`.

use diolog::{CallsiteInfo, Gap, RecordRef, RunId};

use crate::text::fields::CallsiteJson;
use crate::text::gap;
use crate::text::line::{Content, Form, Line, Structured, origin_json, producer_json, tail_json};

/// Prints records, and keeps the text of the run's identity, which rarely changes.
pub(crate) struct Printer {
    form: Form,
    /// The log's name, if there are several.
    log: String,
    run: Option<RunId>,
    pid: Option<u32>,
    /// The end of an object.
    tail: Vec<u8>,
    callsites: Callsites,
    who: Who,
}

impl Printer {
    /// Prints records in this form, those of the log named `log` if there are several.
    pub(crate) fn new(form: Form, log: Option<String>) -> Printer {
        Printer {
            form,
            log: log.unwrap_or_default(),
            run: None,
            pid: None,
            tail: Vec::new(),
            callsites: Callsites::default(),
            who: Who::default(),
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
        let is_json = matches!(self.form, Form::Json { .. });
        if is_json && (self.run != Some(record.run()) || self.pid != record.pid()) {
            (self.run, self.pid) = (Some(record.run()), record.pid());
            self.tail.clear();
            tail_json(&record.run().to_string(), &self.log, &mut self.tail);
            (self.callsites, self.who) = Default::default();
        }
        let content = match record.callsite_id() {
            None => Content::Message(record.message()),
            Some(id) => {
                let callsite = record.callsite();
                let target = callsite.map_or("", CallsiteInfo::target);
                let callsite = if is_json { Some(self.callsites.json(id, callsite)) } else { None };
                Content::Structured(Structured { target, callsite, record })
            }
        };
        let line = Line {
            unix_ns: record.unix_ns(),
            monotonic_ns: record.timestamp_ns(),
            level: record.level(),
            producer: record.producer_id(),
            name: record.producer_name(),
            sequence: record.sequence(),
            content,
            truncated: record.is_truncated(),
            who: if is_json { self.who.json(record) } else { &[] },
            tail: &self.tail,
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

/// What JSON says of who wrote and appended the record that was printed last.
#[derive(Default)]
struct Who {
    id: u32,
    tid: u32,
    name: String,
    json: Vec<u8>,
}

impl Who {
    /// The members of an object that say who wrote and appended the record, which is of the same run as the last one.
    fn json(&mut self, record: &RecordRef<'_>) -> &[u8] {
        let (id, tid, name) = (record.producer_id(), record.tid(), record.producer_name());
        if self.json.is_empty() || self.id != id || self.tid != tid || self.name != name {
            let mut json = origin_json(record.service(), record.host(), record.pid());
            producer_json(id, name, tid, &mut json);
            *self = Who { id, tid, name: name.to_owned(), json };
        }
        &self.json
    }
}

/// What JSON says of the callsites of a run, by their numbers.
#[derive(Default)]
struct Callsites {
    /// With the places of the callsite and of its template in memory.
    known: Vec<Option<((usize, usize), CallsiteJson)>>,
    /// That of a callsite that is not known, or has a number beyond all bounds.
    other: Option<CallsiteJson>,
}

/// Callsites that are kept: a program has far fewer.
const CALLSITES_MAX: usize = 1 << 14;

impl Callsites {
    /// What JSON says of the callsite with this number.
    fn json(&mut self, id: u32, callsite: Option<&CallsiteInfo>) -> &CallsiteJson {
        let at = id as usize;
        let Some(callsite) = callsite.filter(|_| at < CALLSITES_MAX) else {
            return self.other.insert(CallsiteJson::of(id, callsite));
        };
        if self.known.len() <= at {
            self.known.resize_with(at + 1, || None);
        }
        // The reader keeps the callsites of a run where they are, unless they are very many. A file may define a number
        // more than once, differently, but not a program's.
        let place = (std::ptr::from_ref(callsite).addr(), callsite.template().as_ptr().addr());
        if self.known[at].as_ref().is_none_or(|(known, _)| *known != place) {
            self.known[at] = None;
        }
        &self.known[at].get_or_insert_with(|| (place, CallsiteJson::of(id, Some(callsite)))).1
    }
}
