//! The bridge from the crate `tracing`: a `tracing_subscriber` layer that writes to a diolog log.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, LevelFilter, Metadata, Subscriber};
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::append::{append, most_verbose};
use super::places::{Place, Shape};
use super::span;
use super::visitor::{EventVisitor, MESSAGE};
use crate::level::Level;
use crate::logger::Logger;

/// Logs what the program and its libraries log by the macros of the crate `tracing`, with the spans around each event.
/// For the feature `tracing`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// use diolog::{Config, Logger, Reader, TracingBridge, Value};
/// use tracing_subscriber::prelude::*;
///
/// let logger = Logger::open(Config::new(&path).level("info,hyper=off"))?;
/// tracing_subscriber::registry().with(TracingBridge::layer(&logger)).init();
///
/// tracing::info_span!("request", id = 7_u64).in_scope(|| {
///     tracing::info_span!("handler").in_scope(|| tracing::warn!(target: "net", attempt = 3, "no connection"));
/// });
/// logger.close()?;
///
/// let record = Reader::open(&path)?.next().ok_or("no record")??;
/// assert_eq!(record.message(), b"request:handler: no connection attempt=3 request.id=7");
/// assert_eq!(record.callsite().map(|callsite| callsite.target()), Some("net"));
/// assert_eq!(record.field("request.id"), Some(Value::Unsigned(7)));
/// # Ok(())
/// # }
/// ```
///
/// # What a record has
///
/// Level, target, file and line of the event are those of the record's callsite. Its fields are:
///
/// - `spans`: the names of the spans around the event, from the outermost one, with colons between them. Without a span
///   there is no such field.
/// - `message`: the text of the event, if it has one.
/// - the event's own fields, under their names.
/// - the fields of its spans, those of the innermost one first, each as the span's name, a dot and the field's: the
///   `id` of a span `request` is `request.id`. So it can be looked for as a value, wherever the span is nested. Spans
///   of one name give fields of one name; [`RecordRef::field`](crate::RecordRef::field) returns that of the innermost.
///   In the JSON of `diolog cat` the next one is `request.id_2`.
///
/// As text that is `request:handler: no connection attempt=3 request.id=7`. `tracing_subscriber`'s own text would be
/// `request{id=7}:handler: no connection attempt=3`; here each value is in the record once, and keeps its type.
///
/// Integers of up to 128 bits, floats, `bool`, texts and bytes are kept as they are; what `%` and `?` name, and errors,
/// as text. The sources of an error are a field of their own, such as `error.sources`. A span's own number is not kept,
/// since `tracing` gives it to another span later.
///
/// A span's fields are formatted when it begins and when it records more of them, up to 4 KiB, and copied into each
/// record. Text and fields of an event are formatted on the calling thread, before the append begins, into a buffer
/// that the thread's ring has. Nothing is allocated, with two exceptions: the first event of a place in the program
/// registers the place, and the first event of a thread makes its ring. If a formatter logs, its record comes first; if
/// it panics, the event is not logged.
///
/// An event longer than the log's [`message_bytes_max`](crate::Config::message_bytes_max) is cut and flagged. Its text
/// leaves a quarter of that to the fields, if there may be any. A field that finds no room takes it from the longest
/// texts among those before it; their ends are cut. The fields of one span share their 4 KiB in the same way. A number
/// is never cut. It is left out only if there is no text to take room from, and then the record is flagged too.
///
/// For records of the crate `log`, use [`LogBridge`](crate::LogBridge) (feature `log`), and set the subscriber by
/// `tracing::subscriber::set_global_default`: `init`, with the feature `tracing-log` that `tracing_subscriber` has by
/// default, installs a bridge for `log` too, and panics if there is one. If that bridge turns the records into events
/// instead, their target and place are fields, such as `log.target`.
///
/// # Levels
///
/// The log's levels decide, those of targets too. [`layer`](Self::layer) is the bridge with a filter by these levels,
/// which does not affect other layers. `tracing` remembers for each place whether anybody wants its events. An event
/// that nobody wants costs one load, and none of its fields is evaluated. So after [`Logger::set_level`] and the like
/// have admitted more, call `tracing::callsite::rebuild_interest_cache()`.
///
/// [`new`](Self::new) is the bridge without a filter, for a filter of your own:
/// `TracingBridge::new(&logger).with_filter(EnvFilter::from_default_env())`. The log's levels count as well.
///
/// There is no limit on the records of a place, as the macros of this crate have one. To silence a place that logs too
/// much, give its target another level, or add a filter.
///
/// To know that everything logged before is durable, call [`Logger::flush`].
#[derive(Clone)]
pub struct TracingBridge {
    logger: Logger,
    /// A number of its own: a span keeps one context for each bridge.
    number: u64,
}

impl TracingBridge {
    /// A bridge to the log of `logger`. A bridge in a global subscriber keeps the log open until somebody calls
    /// [`Logger::close`] or the process exits; the exit drains the log (see [`Logger`]).
    pub fn new(logger: &Logger) -> TracingBridge {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        TracingBridge { logger: logger.clone(), number: NUMBER.fetch_add(1, Relaxed) }
    }

    /// A bridge with its own filter, which admits what the log's levels do.
    pub fn layer<S>(logger: &Logger) -> Filtered<TracingBridge, TracingBridge, S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let bridge = TracingBridge::new(logger);
        bridge.clone().with_filter(bridge)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for TracingBridge {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span::begin(self.number, &span, |visitor| attributes.record(visitor));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span::update(self.number, &span, |visitor| values.record(visitor));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let place = Place {
            level: level_of(metadata.level()),
            target: metadata.target(),
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
        };
        let innermost = context.event_span(event);
        let has_message = metadata.fields().field(MESSAGE).is_some();
        append(&self.logger, place, Shape { spans: innermost.is_some(), message: has_message }, |inline| {
            if let Some(span) = &innermost {
                span::write_names(self.number, span, inline);
            }
            let are_fields = innermost.is_some() || metadata.fields().len() > usize::from(has_message);
            event.record(&mut EventVisitor { inline, are_fields });
            if let Some(span) = &innermost {
                span::write_fields(self.number, span, inline);
            }
        });
    }
}

impl<S> Filter<S> for TracingBridge {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.logger.is_enabled_for(level_of(metadata.level()), metadata.target())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Not `sometimes`: then `tracing` would evaluate values that no layer wants. The level is checked again for
        // each event.
        match self.logger.is_enabled_for(level_of(metadata.level()), metadata.target()) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match most_verbose(&self.logger) {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        })
    }
}

impl fmt::Debug for TracingBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingBridge").field("logger", &self.logger).finish_non_exhaustive()
    }
}

fn level_of(level: &tracing_core::Level) -> Level {
    match *level {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::TRACE => Level::Trace,
    }
}
