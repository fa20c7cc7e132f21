//! Records and gaps from the reader as lines, for `cat` and `tail`.

use diolog::unstable::RecordOrigin;
use diolog::{CallsiteInfo, Gap, RecordRef};

use crate::text::gap;
use crate::text::line::{CallsiteShown, Content, Form, Line, Origin, ends_json};
use crate::text::piece::Piece;

/// Prints records, and keeps what rarely changes from one to the next as it is shown.
pub(crate) struct Printer {
    form: Form,
    /// The log's name, if there are several.
    log: String,
    /// That of the last run's first record.
    source: Option<RecordOrigin>,
    /// The ends of objects: see [`ends_json`].
    ends: [Piece; 2],
    callsites: Known<Callsite>,
    producers: Known<Producer>,
}

impl Printer {
    /// Prints records in this form, those of the log named `log` if there are several.
    pub(crate) fn new(form: Form, log: Option<String>) -> Printer {
        Printer {
            form,
            log: log.unwrap_or_default(),
            source: None,
            ends: Default::default(),
            callsites: Known::default(),
            producers: Known::default(),
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
        if !self.source.as_ref().is_some_and(|source| source.has_process_of(record)) {
            self.begin_run(record);
        }
        let (form, log) = (&self.form, &self.log);
        let is_known = |known: &Producer| known.source.has_producer_of(record);
        let producer = self.producers.get(record.producer_id(), is_known, || Producer::of(record, form, log));
        let content = match record.callsite_id() {
            None => Content::Message(record.message()),
            Some(id) => {
                let callsite = record.callsite();
                let known =
                    self.callsites.get(id, |known| known.is_of(id, callsite), || Callsite::of(id, callsite, form));
                Content::Structured { callsite: &known.shown, record }
            }
        };
        let is_cut = matches!(content, Content::Structured { callsite, .. } if callsite.is_cut);
        let line = Line {
            unix_ns: record.unix_ns(),
            monotonic_ns: record.timestamp_ns(),
            level: record.level(),
            sequence: record.sequence(),
            content,
            truncated: record.is_truncated() || is_cut,
            who: &producer.who,
            ends: &self.ends,
        };
        self.form.write(&line, out);
    }

    #[cold]
    fn begin_run(&mut self, record: &RecordRef<'_>) {
        self.source = Some(RecordOrigin::of(record));
        self.ends = ends_json(&record.run().to_string(), &self.log);
        (self.callsites, self.producers) = Default::default();
    }

    /// Appends the gap to `out`. Among messages it is a sentence, which does not belong on standard output.
    pub(crate) fn print_gap(&mut self, gap: &Gap, out: &mut Vec<u8>) {
        match &self.form {
            Form::Text { colours, .. } => gap::text(gap, &self.log, *colours, out),
            Form::Json { .. } => gap::json(gap, &self.log, out),
            Form::Message => gap::text(gap, &self.log, false, out),
        }
    }

    /// The gap as a sentence.
    pub(crate) fn sentence(&self, gap: &Gap) -> String {
        gap::sentence(gap, &self.log)
    }
}

/// A producer as it is shown.
struct Producer {
    source: RecordOrigin,
    who: Piece,
}

impl Producer {
    // Not among what each record needs.
    #[cold]
    #[inline(never)]
    fn of(record: &RecordRef<'_>, form: &Form, log: &str) -> Producer {
        let (id, tid, name) = (record.producer_id(), record.tid(), record.producer_name());
        let (service, host, pid) = (record.service(), record.host(), record.pid());
        let who = form.who(&Origin { log, service, host, pid, producer: id, name, tid });
        Producer { source: RecordOrigin::of(record), who }
    }
}

/// A callsite as it is shown.
struct Callsite {
    id: u32,
    place: Option<(usize, usize)>,
    shown: CallsiteShown,
}

impl Callsite {
    #[cold]
    #[inline(never)]
    fn of(id: u32, callsite: Option<&CallsiteInfo>, form: &Form) -> Callsite {
        Callsite { id, place: callsite.map(place), shown: form.callsite(id, callsite) }
    }

    #[inline]
    fn is_of(&self, id: u32, callsite: Option<&CallsiteInfo>) -> bool {
        self.id == id && self.place == callsite.map(place)
    }
}

/// Where the callsite and its template are in memory. The reader keeps the callsites of a run where they are, unless
/// they are very many. A file may define a number more than once, differently, but not a program's.
#[inline]
fn place(callsite: &CallsiteInfo) -> (usize, usize) {
    (std::ptr::from_ref(callsite).addr(), callsite.template().as_ptr().addr())
}

/// What was made for things of one run, by their numbers. Those with very large numbers share the last place.
struct Known<T>(Vec<Option<T>>);

/// Numbers with places of their own: a program has far fewer callsites.
const KNOWN_MAX: usize = 1 << 14;

impl<T> Default for Known<T> {
    fn default() -> Known<T> {
        Known(Vec::new())
    }
}

impl<T> Known<T> {
    /// What was made for this number, if it `is_it`, or else what `make` makes.
    #[inline]
    fn get(&mut self, number: u32, is_it: impl FnOnce(&T) -> bool, make: impl FnOnce() -> T) -> &T {
        let at = (number as usize).min(KNOWN_MAX);
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        let known = &mut self.0[at];
        if !known.as_ref().is_some_and(is_it) {
            *known = None;
        }
        known.get_or_insert_with(make)
    }
}
