//! The macros: they turn a call into a static callsite and a list of fields.
//!
//! `info!(log, options, template, fields)` goes through four stages of `__event!`: the log is taken off, then the
//! options, then the fields one by one, then `@end` expands to the code. Each stage ends with arms for what it cannot
//! take. All that is behind the macros is in `event`.

/// Calls that must not compile.
#[cfg(doctest)]
mod refused;

/// Logs a record of level [`Info`](crate::Level::Info): a text with typed fields. The reader of the log formats it.
///
/// ```
/// # let (logger, log) = diolog::Logger::in_memory();
/// # let producer = logger.producer()?;
/// # let (id, price, venue, error) = (42_u64, 101.25, "XETR", std::fmt::Error);
/// diolog::info!(producer, "order {id} filled at {price:.2}", id, price, symbol = "ACME", venue = %venue, ?error);
/// # assert_eq!(log.records().len(), 1);
/// # Ok::<(), diolog::Error>(())
/// ```
///
/// The arguments, in this order:
///
/// - the [`Producer`](crate::Producer) or [`Logger`](crate::Logger), by itself or behind a pointer such as an `Arc` or
///   a `LazyLock`;
/// - options: `target: "net"` in place of the module's path, and `limit: 10/s`;
/// - the template, a string literal: `{name}` stands for a field, with a [format](#formats) after a colon, and `{{` is
///   a brace. It may be left out;
/// - the fields: `name = value`, or `name` for a variable. The value is one of [`FieldValue`](crate::FieldValue), and
///   keeps its type. `name = %value` or `%name` takes the text of its `Display`, `name = ?value` or `?name` that of its
///   `Debug`. A field without a placeholder is shown after the text.
///
/// The result is the [`Outcome`](crate::Outcome), as that of [`Producer::log`](crate::Producer::log). If the level is
/// not admitted, nothing is evaluated.
///
/// Placeholders without a field, unmatched braces, two fields of one name, and more than 32 fields do not compile.
///
/// # Formats
///
/// Those of `std::fmt`, as far as they do not take a width or a precision from an argument. What differs:
///
/// - a negative integer in hexadecimal, octal or binary has 64 bits, or 128, whatever its type was: `{a:x}` of `-1_i8`
///   is `ffffffffffffffff`;
/// - the text of `%` and `?`, and the `None` of an absent value, are padded and cut as any text: `{a:.2}` of `None` is
///   `No`;
/// - a radix is ignored for text, `bool` and `char`, and shows bytes in hexadecimal.
///
/// # What it costs
///
/// The values are copied into the ring as they are, and nothing is formatted. This takes about as long as
/// [`Producer::log`](crate::Producer::log) takes for a short message.
///
/// `%` and `?` format when the record is logged, into a buffer of the producer's; nothing is allocated. Such a text is
/// cut to the producer's [`message_bytes_max`](crate::Producer::message_bytes_max), and flagged. A record that is
/// longer than this in all is cut too, the last texts first. Numbers are never cut.
///
/// Formatting happens before the append begins. So a formatter may itself log; its record comes first, and the text
/// that it formats is cut to 1 KiB. If a formatter panics, nothing is logged. [`close`](crate::Logger::close) does not
/// wait for a formatter; the record is [`Closed`](crate::Outcome::Closed) then.
///
/// The first record of a place in a program takes a lock and allocates, to register the place. A signal handler must
/// not do that: if its handlers log, a program should run such a place once before.
///
/// # A limit
///
/// With `limit: 10/s` (or `/min`, `/h`), the place logs at most ten records in a second. The second begins with the
/// first record after the end of the last one. Further records are [`Hidden`](crate::Outcome::Hidden), and their fields
/// are not evaluated. Before the place's next record stands one that says how many: it has the same level, target and
/// line, and the field `hidden`. [`Stats::hidden`](crate::Stats::hidden) counts them for the log; they are not losses.
/// A limit costs one more look at the clock.
///
/// ```
/// # let (logger, log) = diolog::Logger::in_memory();
/// # let producer = logger.producer()?;
/// use diolog::Outcome;
///
/// let outcomes = [1, 2, 3].map(|attempt| diolog::info!(producer, limit: 2/h, "no connection", attempt));
/// assert_eq!(outcomes, [Outcome::Written, Outcome::Written, Outcome::Hidden]);
/// # Ok::<(), diolog::Error>(())
/// ```
#[macro_export]
macro_rules! info {
    ($($arguments:tt)*) => {
        $crate::__event!(@log [$crate::Level::Info] $($arguments)*)
    };
}

/// Logs a record of level [`Error`](crate::Level::Error). See [`info!`](crate::info!).
#[macro_export]
macro_rules! error {
    ($($arguments:tt)*) => {
        $crate::__event!(@log [$crate::Level::Error] $($arguments)*)
    };
}

/// Logs a record of level [`Warn`](crate::Level::Warn). See [`info!`](crate::info!).
#[macro_export]
macro_rules! warn {
    ($($arguments:tt)*) => {
        $crate::__event!(@log [$crate::Level::Warn] $($arguments)*)
    };
}

/// Logs a record of level [`Debug`](crate::Level::Debug). See [`info!`](crate::info!).
#[macro_export]
macro_rules! debug {
    ($($arguments:tt)*) => {
        $crate::__event!(@log [$crate::Level::Debug] $($arguments)*)
    };
}

/// Logs a record of level [`Trace`](crate::Level::Trace). See [`info!`](crate::info!).
#[macro_export]
macro_rules! trace {
    ($($arguments:tt)*) => {
        $crate::__event!(@log [$crate::Level::Trace] $($arguments)*)
    };
}

/// Logs a record of a level that is known at run time. See [`info!`](crate::info!); the level comes after the log.
///
/// ```
/// # let (logger, log) = diolog::Logger::in_memory();
/// # let producer = logger.producer()?;
/// use diolog::{Level, event};
///
/// let level = if 3 > 2 { Level::Warn } else { Level::Info };
/// event!(producer, level, target: "net", "{retries} retries", retries = 3);
/// # assert_eq!(log.records()[0].level(), Level::Warn);
/// # Ok::<(), diolog::Error>(())
/// ```
#[macro_export]
macro_rules! event {
    ($($arguments:tt)*) => {
        $crate::__event!(@log [run time] $($arguments)*)
    };
}

/// The stages of all macros.
#[doc(hidden)]
#[macro_export]
macro_rules! __event {
    // The log: [level] log, rest
    (@log $level:tt $text:literal $($rest:tt)*) => {
        $crate::__event!(@no_log)
    };
    (@log [run time] $log:expr, $level:expr, $($rest:tt)+) => {
        $crate::__event!(@options [$log] [run time $level] [] [] $($rest)+)
    };
    (@log [run time] $($rest:tt)*) => {
        ::core::compile_error!("`event!` takes a producer or a logger, then a level, then a template or a field")
    };
    (@log $level:tt $log:expr, $($rest:tt)+) => {
        $crate::__event!(@options [$log] $level [] [] $($rest)+)
    };
    (@log $level:tt $($rest:tt)*) => {
        $crate::__event!(@no_log)
    };
    (@no_log) => {
        ::core::compile_error!("name the producer or the logger first, then options, then a template or a field")
    };

    // Options: [log] [level] [target] [limit] rest
    (@options $log:tt $level:tt [] $limit:tt target: $target:expr, $($rest:tt)*) => {
        $crate::__event!(@options $log $level [$target] $limit $($rest)*)
    };
    (@options $log:tt $level:tt $target:tt [] limit: $records:literal / $unit:ident, $($rest:tt)*) => {
        $crate::__event!(@options $log $level $target [$records $unit] $($rest)*)
    };
    (@options $log:tt $level:tt $target:tt $limit:tt target: $($rest:tt)*) => {
        $crate::__event!(@no_target)
    };
    (@options $log:tt $level:tt $target:tt $limit:tt limit: $($rest:tt)*) => {
        $crate::__event!(@no_limit)
    };
    (@options $log:tt $level:tt $target:tt $limit:tt $template:literal $(, $($fields:tt)*)?) => {
        $crate::__event!(@fields [$log $level $target $limit $template] [] [()] $($($fields)*)?)
    };
    (@options $log:tt $level:tt $target:tt $limit:tt $($fields:tt)+) => {
        $crate::__event!(@fields [$log $level $target $limit ""] [] [()] $($fields)+)
    };

    // Fields: [what is known] [names] [values, as a list] rest
    (@fields $known:tt [$($names:tt)*] [$values:expr] $($name:ident).+ = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event!(
            @fields $known [$($names)* ($($name).+)] [($values, $crate::expansion::Display(&$value))] $($($rest)*)?
        )
    };
    (@fields $known:tt [$($names:tt)*] [$values:expr] $($name:ident).+ = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event!(
            @fields $known [$($names)* ($($name).+)] [($values, $crate::expansion::Debug(&$value))] $($($rest)*)?
        )
    };
    (@fields $known:tt [$($names:tt)*] [$values:expr] $($name:ident).+ = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__event!(@fields $known [$($names)* ($($name).+)] [($values, &$value)] $($($rest)*)?)
    };
    (@fields $known:tt [$($names:tt)*] [$values:expr] % $($name:ident).+ $(, $($rest:tt)*)?) => {
        $crate::__event!(
            @fields $known [$($names)* ($($name).+)] [($values, $crate::expansion::Display(&$($name).+))] $($($rest)*)?
        )
    };
    (@fields $known:tt [$($names:tt)*] [$values:expr] ? $($name:ident).+ $(, $($rest:tt)*)?) => {
        $crate::__event!(
            @fields $known [$($names)* ($($name).+)] [($values, $crate::expansion::Debug(&$($name).+))] $($($rest)*)?
        )
    };
    (@fields $known:tt [$($names:tt)*] [$values:expr] $($name:ident).+ $(, $($rest:tt)*)?) => {
        $crate::__event!(@fields $known [$($names)* ($($name).+)] [($values, &$($name).+)] $($($rest)*)?)
    };
    (@fields $known:tt $names:tt $values:tt) => {
        $crate::__event!(@end $known $names $values)
    };
    (@fields $known:tt $names:tt $values:tt target: $($rest:tt)*) => {
        $crate::__event!(@no_target)
    };
    (@fields $known:tt $names:tt $values:tt limit: $($rest:tt)*) => {
        $crate::__event!(@no_limit)
    };
    (@fields $known:tt $names:tt $values:tt $text:literal $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "a literal among the fields: `", ::core::stringify!($text),
            "`; the template comes before the fields, and a value has a name: `name = value`"
        ))
    };
    (@fields $known:tt $names:tt $values:tt $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "no field: `", ::core::stringify!($($rest)+),
            "`; write `name`, `%name`, `?name`, `name = value`, `name = %value` or `name = ?value`, after a template, \
             which is a string literal; `log_args` takes a text that is made otherwise"
        ))
    };

    (@no_target) => {
        ::core::compile_error!("options stand before the template, each once and with a comma: `target: \"net\",`")
    };
    (@no_limit) => {
        ::core::compile_error!(
            "options stand before the template, each once and with a comma; a limit is a literal number and a time, \
             `s`, `min` or `h`: `limit: 10/s,`"
        )
    };

    (@end [[$log:expr] [run time $level:expr] $target:tt $limit:tt $template:literal] $names:tt [$values:expr]) => {{
        use $crate::expansion::Target as _;
        const __DIOLOG_NAMES: &[&$crate::expansion::str] = $crate::__event!(@names $names);
        const _: () = $crate::expansion::assert_valid($template, __DIOLOG_NAMES);
        const _: () = $crate::expansion::assert_few(__DIOLOG_NAMES);
        static __DIOLOG_CALLSITES: [$crate::expansion::Callsite; 5] = [
            $crate::__event!(@callsite [$crate::Level::Error] $target $template, __DIOLOG_NAMES),
            $crate::__event!(@callsite [$crate::Level::Warn] $target $template, __DIOLOG_NAMES),
            $crate::__event!(@callsite [$crate::Level::Info] $target $template, __DIOLOG_NAMES),
            $crate::__event!(@callsite [$crate::Level::Debug] $target $template, __DIOLOG_NAMES),
            $crate::__event!(@callsite [$crate::Level::Trace] $target $template, __DIOLOG_NAMES),
        ];
        match (($log).__expected_a_producer_or_a_logger(), $level) {
            // A pattern of a shorter name could be a constant or a static of the caller's.
            (diolog_log, diolog_level) => {
                let diolog_callsite = $crate::expansion::of_level(&__DIOLOG_CALLSITES, diolog_level);
                if !$crate::expansion::admits(diolog_log, diolog_level, diolog_callsite) {
                    $crate::expansion::refuse(diolog_log)
                } else if $crate::__event!(@hides diolog_log, diolog_level, $target $limit) {
                    $crate::Outcome::Hidden
                } else {
                    $crate::expansion::append(diolog_log, diolog_level, diolog_callsite, $values)
                }
            }
        }
    }};
    (@end [[$log:expr] [$level:expr] $target:tt $limit:tt $template:literal] $names:tt [$values:expr]) => {{
        use $crate::expansion::Target as _;
        const __DIOLOG_NAMES: &[&$crate::expansion::str] = $crate::__event!(@names $names);
        const _: () = $crate::expansion::assert_valid($template, __DIOLOG_NAMES);
        const _: () = $crate::expansion::assert_few(__DIOLOG_NAMES);
        static __DIOLOG_CALLSITE: $crate::expansion::Callsite =
            $crate::__event!(@callsite [$level] $target $template, __DIOLOG_NAMES);
        match ($log).__expected_a_producer_or_a_logger() {
            diolog_log => {
                if !$crate::expansion::admits(diolog_log, $level, &__DIOLOG_CALLSITE) {
                    $crate::expansion::refuse(diolog_log)
                } else if $crate::__event!(@hides diolog_log, $level, $target $limit) {
                    $crate::Outcome::Hidden
                } else {
                    $crate::expansion::append(diolog_log, $level, &__DIOLOG_CALLSITE, $values)
                }
            }
        }
    }};

    (@names [$(($($name:tt)+))*]) => {
        &[$($crate::expansion::name(::core::stringify!($($name)+))),*]
    };

    (@callsite [$level:expr] [] $template:expr, $names:expr) => {
        $crate::__event!(@callsite [$level] [::core::module_path!()] $template, $names)
    };
    (@callsite [$level:expr] [$target:expr] $template:expr, $names:expr) => {
        $crate::expansion::Callsite::new($level, $target, ::core::file!(), ::core::line!(), $template, $names)
    };

    // Whether the limit hides the record.
    (@hides $log:ident, $level:expr, $target:tt []) => {
        false
    };
    (@hides $log:ident, $level:expr, $target:tt [$records:literal $unit:ident]) => {{
        static __DIOLOG_LIMIT: $crate::expansion::Limit =
            $crate::expansion::Limit::new($records, ::core::stringify!($unit));
        static __DIOLOG_REPORTS: [$crate::expansion::Callsite; 5] = [
            $crate::__event!(@report [$crate::Level::Error] $target $records $unit),
            $crate::__event!(@report [$crate::Level::Warn] $target $records $unit),
            $crate::__event!(@report [$crate::Level::Info] $target $records $unit),
            $crate::__event!(@report [$crate::Level::Debug] $target $records $unit),
            $crate::__event!(@report [$crate::Level::Trace] $target $records $unit),
        ];
        let diolog_report = $crate::expansion::of_level(&__DIOLOG_REPORTS, $level);
        !$crate::expansion::pass_limit($log, &__DIOLOG_LIMIT, $level, diolog_report)
    }};
    (@report [$level:expr] $target:tt $records:literal $unit:ident) => {
        $crate::__event!(
            @callsite [$level] $target
            ::core::concat!("{hidden} records hidden by the limit of ", $records, "/", ::core::stringify!($unit)),
            &["hidden"]
        )
    };
}
