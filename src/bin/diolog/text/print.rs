//! Records and gaps from the reader as lines, for `cat` and `tail`.

use diolog::{Gap, RecordRef, RunId};

use crate::text::gap;
use crate::text::line::{Form, Line, origin_json};

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
        }
    }

    /// Appends the record to `out`.
    pub(crate) fn print(&mut self, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        if let Form::Message = self.form {
            // Computing the wall time would take longer than copying the message.
            out.extend_from_slice(record.message());
            out.push(b'\n');
            return;
        }
        if self.run != Some(record.run()) || self.pid != record.pid() {
            (self.run, self.pid) = (Some(record.run()), record.pid());
            self.run_name = record.run().to_string();
            self.origin = origin_json(record.service(), record.host(), record.pid());
        }
        let line = Line {
            unix_ns: record.unix_ns(),
            monotonic_ns: record.timestamp_ns(),
            level: record.level(),
            producer: record.producer_id(),
            name: record.producer_name(),
            tid: record.tid(),
            sequence: record.sequence(),
            message: record.message(),
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
