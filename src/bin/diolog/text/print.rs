//! Records from the reader as lines, for `cat` and `tail`.

use diolog::{RecordRef, RunId};

use crate::text::line::{Form, Line};

/// Prints records, and keeps the text of the run's identity, which rarely changes.
pub(crate) struct Printer {
    form: Form,
    /// The log's name, if there are several.
    log: String,
    run: Option<RunId>,
    run_name: String,
}

impl Printer {
    /// Prints records in this form, those of the log named `log` if there are several.
    pub(crate) fn new(form: Form, log: Option<String>) -> Printer {
        Printer { form, log: log.unwrap_or_default(), run: None, run_name: String::new() }
    }

    /// Appends the record to `out`.
    pub(crate) fn print(&mut self, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        if let Form::Message = self.form {
            // Computing the wall time would take longer than copying the message.
            out.extend_from_slice(record.message());
            out.push(b'\n');
            return;
        }
        if self.run != Some(record.run()) {
            self.run = Some(record.run());
            self.run_name = record.run().to_string();
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
            log: &self.log,
        };
        self.form.write(&line, out);
    }
}
