//! The bridge from the crate `log`: a `log::Log` that writes to a diolog log.

use std::fmt;

use ::log::kv::{self, Key, Value, VisitSource, VisitValue};
use ::log::{LevelFilter, Metadata, Record, SetLoggerError};

use super::append::{append, most_verbose};
use super::places::{Place, Shape};
use crate::fields::{Inline, InlineFields};
use crate::format::{FieldType, Type};
use crate::level::Level;
use crate::logger::Logger;

/// Logs what the program and its libraries log by the macros of the crate `log`. For the feature `log`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// use diolog::{Config, LogBridge, Logger, Reader, Value};
///
/// let logger = Logger::open(Config::new(&path).level("info,hyper=off"))?;
/// LogBridge::new(&logger).install()?;
///
/// log::warn!(target: "net", peer = "10.0.0.7", attempt = 3; "no connection");
/// logger.close()?;
///
/// let record = Reader::open(&path)?.next().ok_or("no record")??;
/// assert_eq!(record.message(), b"no connection peer=10.0.0.7 attempt=3");
/// assert_eq!(record.callsite().map(|callsite| callsite.target()), Some("net"));
/// assert_eq!(record.field("attempt"), Some(Value::Signed(3)));
/// # Ok(())
/// # }
/// ```
///
/// # What a record has
///
/// Level, target, file and line of the event are those of the record's callsite. Its fields are `message`, the text,
/// and the key-values, each under its key. These keep their types: integers of up to 128 bits, floats, `bool`, `char`
/// and texts as they are, `None` as no value, all others as the text of their `Display` (or of their `Debug`, if they
/// were given by `:?`).
///
/// Text and fields are formatted on the calling thread, before the append begins, into a buffer that the thread's ring
/// has. Nothing is allocated, with two exceptions: the first event of a place in the program registers the place, and
/// the first event of a thread makes its ring. If a formatter logs, its record comes first; if it panics, the event is
/// not logged.
///
/// An event longer than the log's [`message_bytes_max`](crate::Config::message_bytes_max) is cut and flagged. The text
/// leaves a quarter of that to the key-values, if there are any. A key-value that finds no room takes it from the
/// longest texts among those before it; their ends are cut. A number is never cut. It is left out only if there is no
/// text to take room from, and then the record is flagged too.
///
/// A program that makes up targets as it runs may have more than 16,384 places. Further ones share a callsite, and
/// target, file and line are fields of their records.
///
/// # Levels
///
/// The log's levels decide, those of targets too. [`install`](Self::install) makes the most verbose one the maximum of
/// the crate `log`, so that events beyond it cost one load. After [`Logger::set_level`] and the like have admitted
/// more, call [`update_max_level`](Self::update_max_level).
///
/// There is no limit on the records of a place, as the macros of this crate have one. To silence a place that logs too
/// much, give its target another level.
///
/// `log::logger().flush()` waits until everything logged before is durable, as [`Logger::flush`] does; it cannot say if
/// that fails.
#[derive(Clone)]
pub struct LogBridge {
    logger: Logger,
}

impl LogBridge {
    /// A bridge to the log of `logger`. An installed bridge keeps the log open until somebody calls [`Logger::close`]
    /// or the process exits; the exit drains the log (see [`Logger`]).
    pub fn new(logger: &Logger) -> LogBridge {
        LogBridge { logger: logger.clone() }
    }

    /// Makes this the program's logger, and sets the maximum level.
    ///
    /// # Errors
    /// Another logger is installed.
    pub fn install(self) -> Result<(), SetLoggerError> {
        ::log::set_boxed_logger(Box::new(self.clone()))?;
        self.update_max_level();
        Ok(())
    }

    /// Sets the maximum level of the crate `log` to the most verbose of the log's levels. Call it after these have
    /// changed.
    pub fn update_max_level(&self) {
        ::log::set_max_level(match most_verbose(&self.logger) {
            Level::Off => LevelFilter::Off,
            Level::Error => LevelFilter::Error,
            Level::Warn => LevelFilter::Warn,
            Level::Info => LevelFilter::Info,
            Level::Debug => LevelFilter::Debug,
            Level::Trace => LevelFilter::Trace,
        });
    }
}

impl ::log::Log for LogBridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.is_enabled_for(level_of(metadata.level()), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        let place = Place {
            level: level_of(record.level()),
            target: record.target(),
            file: record.file().unwrap_or_default(),
            line: record.line().unwrap_or_default(),
        };
        append(&self.logger, place, Shape { spans: false, message: true }, |inline| {
            let values = record.key_values();
            inline.message(values.count() > 0, *record.args());
            // The visitor never fails.
            let _ = values.visit(&mut Pairs { inline });
        });
    }

    fn flush(&self) {
        // The facade cannot return an error. `Logger::on_state_change` reports the log's state.
        let _ = self.logger.flush();
    }
}

impl fmt::Debug for LogBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBridge").field("logger", &self.logger).finish()
    }
}

fn level_of(level: ::log::Level) -> Level {
    match level {
        ::log::Level::Error => Level::Error,
        ::log::Level::Warn => Level::Warn,
        ::log::Level::Info => Level::Info,
        ::log::Level::Debug => Level::Debug,
        ::log::Level::Trace => Level::Trace,
    }
}

/// Writes the key-values that `log` visits.
struct Pairs<'w, 's, 'b> {
    inline: &'w mut Inline<'s, 'b>,
}

impl<'kvs> VisitSource<'kvs> for Pairs<'_, '_, '_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(Pair { fields: self.inline.fields(), key: key.as_str() })
    }
}

/// Writes one key-value.
struct Pair<'w, 's, 'b, 'k> {
    fields: &'w mut InlineFields<'s, 'b>,
    key: &'k str,
}

impl Pair<'_, '_, '_, '_> {
    fn value(&mut self, of: Type, plain: &[u8]) -> Result<(), kv::Error> {
        self.fields.value(&[self.key], FieldType::new(of), plain);
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Pair<'_, '_, '_, '_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.fields.text(&[self.key], Type::Display, format_args!("{value}"));
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.fields.value(&[self.key], FieldType::new(Type::Bool).optional(), &[0]);
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.value(Type::Unsigned, &value.to_le_bytes())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.value(Type::Signed, &value.to_le_bytes())
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        self.value(Type::Unsigned128, &value.to_le_bytes())
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        self.value(Type::Signed128, &value.to_le_bytes())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.value(Type::F64, &value.to_le_bytes())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.value(Type::Bool, &[u8::from(value)])
    }

    fn visit_char(&mut self, value: char) -> Result<(), kv::Error> {
        self.value(Type::Char, &u32::from(value).to_le_bytes())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.fields.str(&[self.key], value);
        Ok(())
    }
}
