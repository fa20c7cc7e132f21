//! The thread of one listener: it takes the entries that the writers have passed on, makes records of them, and calls
//! the listener.
//!
//! All logs of this process with the same listener share its thread, which begins with the first of them and ends with
//! the last.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::entry::{Entries, Entry, RecordEntry};
use super::list::is_same;
use super::listener::Listener;
use super::outlet::{Batch, Outlet, Queue};
use super::record::{LiveRecord, Missed};
use crate::callsite;
use crate::clock::Clock;
use crate::format::{CallsiteInfo, Kind, Layout};
use crate::level::Level;
use crate::own_thread::{self, Role};
use crate::render::{self, Plan};
use crate::sync::lock;
use crate::sys::PerProcess;

/// How long a listener is not called after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// How long after the last record a listener is asked to flush again.
const QUIET: Duration = Duration::from_secs(1);

/// The outlets of all listeners of this process. A forked child has no threads of its parent, so it begins without
/// outlets.
static OUTLETS: PerProcess<Mutex<Vec<Arc<Outlet>>>> = PerProcess::new();

/// The outlet of `listener`, for one more log. Starts its thread unless it runs already.
///
/// # Errors
/// The system cannot start a thread.
pub(super) fn attach(listener: &Arc<dyn Listener>) -> io::Result<Arc<Outlet>> {
    let mut outlets = lock(OUTLETS.get_or_make());
    if let Some(outlet) = outlets.iter().find(|outlet| is_same(&outlet.listener, listener)) {
        outlet.add_log();
        return Ok(Arc::clone(outlet));
    }
    let outlet = Arc::new(Outlet::new(Arc::clone(listener)));
    let of_thread = Arc::clone(&outlet);
    let thread = own_thread::spawn("diolog-listener", Role::Listener, move || serve(of_thread))?;
    outlet.set_thread(thread.thread().clone());
    outlets.push(Arc::clone(&outlet));
    Ok(outlet)
}

/// Removes the outlet from the list if no log needs it. Returns whether it did.
fn detach(outlet: &Arc<Outlet>) -> bool {
    let mut outlets = lock(OUTLETS.get_or_make());
    // The list is locked, so no log can be attached now.
    if !outlet.is_unused() {
        return false;
    }
    outlets.retain(|other| !Arc::ptr_eq(other, outlet));
    true
}

/// Calls the listener until no log needs it.
fn serve(outlet: Arc<Outlet>) {
    let mut caller = Caller { outlet: Arc::clone(&outlet), plans: BTreeMap::new(), text: Vec::new() };
    // Whether the listener has been asked to flush after a second without a record.
    let mut is_quiet = true;
    loop {
        if let Some(batches) = outlet.begin_round() {
            for batch in batches {
                if caller.give_all(&batch) {
                    outlet.remove_log();
                }
            }
            caller.call(|listener| listener.flush());
            outlet.end_round();
            is_quiet = false;
        } else if detach(&outlet) {
            return;
        } else if is_quiet {
            thread::park();
        } else {
            let begun = Instant::now();
            thread::park_timeout(QUIET);
            if begun.elapsed() >= QUIET {
                caller.call(|listener| listener.flush());
                is_quiet = true;
            }
        }
    }
}

/// The difference between the wall clock and the monotonic clock, in nanoseconds. It is the most exact of a few
/// readings, because the thread may be interrupted between the two clocks.
fn wall_offset_ns(clock: Clock) -> i64 {
    let reading = |_| {
        let before = clock.monotonic_ns();
        let unix_ns = clock.unix_ns();
        (clock.monotonic_ns().saturating_sub(before), unix_ns.wrapping_sub_unsigned(before))
    };
    (0..3).map(reading).min().map_or(0, |(_, offset)| offset)
}

/// Calls one listener.
struct Caller {
    outlet: Arc<Outlet>,
    /// How the records of each callsite are rendered.
    plans: BTreeMap<u32, Plan>,
    /// The text of the present structured record.
    text: Vec<u8>,
}

/// Shared by the records of a batch.
struct BatchContext<'a> {
    queue: &'a Queue,
    /// From monotonic to wall time.
    wall_offset: i64,
    /// The log's name, if the listener has several logs.
    log_name: Option<&'a str>,
    /// The producer of the records that come next.
    producer_id: u32,
    producer_name: &'a str,
}

impl Caller {
    /// Calls the listener. Returns `false` if it panicked. After a panic, waits for a while before it returns, unless a
    /// log waits for its end.
    fn call(&self, call: impl FnOnce(&dyn Listener)) -> bool {
        // A listener that panics is responsible for its own state.
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(&*self.outlet.listener))) else { return true };
        // The payload's drop is code of the program, and might panic too.
        std::mem::forget(payload);
        let resume_at = Instant::now() + AFTER_PANIC;
        while !self.outlet.is_awaited() {
            let left = resume_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        false
    }

    /// Gives the listener the entries of a batch. Returns whether the log has ended.
    fn give_all(&mut self, batch: &Batch) -> bool {
        let Batch { queue, bytes } = batch;
        // Read for each batch, to follow steps of the wall clock.
        let wall_offset = wall_offset_ns(queue.clock);
        let log_name = if self.outlet.has_several() { queue.log.file_name().and_then(OsStr::to_str) } else { None };
        let mut context = BatchContext { queue, wall_offset, log_name, producer_id: 0, producer_name: "" };
        let mut has_ended = false;
        let mut entries = Entries(bytes);
        let mut left = bytes.len();
        while let Some(entry) = entries.next() {
            match entry {
                Entry::Producer { id, name } => (context.producer_id, context.producer_name) = (id, name),
                Entry::Record(entry) => {
                    let is_given = !queue.is_abandoned() && self.give(&context, entry);
                    queue.count(is_given);
                }
                Entry::Missed(records) => {
                    if !queue.is_abandoned() {
                        self.call(|listener| listener.missed(&Missed { records, log: &queue.log, log_name }));
                    }
                }
                Entry::End => {
                    if queue.has_begun.load(Relaxed) {
                        self.call(|listener| listener.log_ended());
                    }
                    has_ended = true;
                }
            }
            queue.done.bytes.fetch_add((left - entries.0.len()) as u64, Relaxed);
            left = entries.0.len();
        }
        queue.done.bytes.fetch_add(left as u64, Relaxed);
        has_ended
    }

    /// Gives the listener a record. Returns `false` if it panicked.
    fn give(&mut self, context: &BatchContext<'_>, entry: RecordEntry<'_>) -> bool {
        let BatchContext { queue, wall_offset, log_name, producer_id, producer_name } = *context;
        let RecordEntry { kind, level, flags, sequence, timestamp_ns, payload } = entry;
        let Some(level) = Level::from_u8(level) else { return false };
        let structured = if kind == Kind::Structured as u8 { self.render(payload) } else { None };
        let (callsite, message, values) = match structured {
            Some((callsite, values)) => (Some(callsite), &self.text[..], values),
            None => (None, payload, &[][..]),
        };
        let record = LiveRecord {
            level,
            unix_ns: wall_offset.wrapping_add_unsigned(timestamp_ns),
            timestamp_ns,
            producer_id,
            producer_name,
            sequence,
            flags,
            callsite,
            message,
            values,
            log: &queue.log,
            log_name,
            service: &queue.service,
        };
        let is_given = self.call(|listener| listener.record(&record));
        if !is_given && self.outlet.is_awaited() {
            // Further panics must not delay a close.
            queue.abandon();
        }
        is_given
    }

    /// Renders a structured record to `self.text`. Returns its callsite and its values.
    fn render<'p>(&mut self, payload: &'p [u8]) -> Option<(&'static CallsiteInfo, &'p [u8])> {
        let (id, values) = payload.split_first_chunk()?;
        let id = u32::from_le_bytes(*id);
        let callsite = callsite::definition(id)?;
        let plan = self.plans.entry(id).or_insert_with(|| Plan::of(callsite.template(), &callsite.fields));
        self.text.clear();
        render::record(plan, values, Layout::Plain, &mut self.text);
        Some((callsite, values))
    }
}
