//! What a macro's fields are when the log is read: the same values, of the same types, to the bit.

mod support;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use diolog::{Level, Log, Logger, MemoryLog, MemoryRecord, Outcome, Producer, Reader, Value, Verdict};

fn in_memory() -> (Producer, MemoryLog) {
    let (logger, log) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    // The producer does not keep it open.
    std::mem::forget(logger);
    (producer, log)
}

fn fields(record: &MemoryRecord) -> Vec<(&str, Value<'_>)> {
    record.fields().map(|field| (field.name, field.value)).collect()
}

#[test]
fn numbers_are_the_same_to_the_bit() {
    let (log, memory) = in_memory();
    for (unsigned, signed) in [(0, 0), (u128::MAX, i128::MIN), (1 << 64, i128::MAX), (u128::MAX << 64, -1)] {
        diolog::info!(
            log,
            "",
            a = unsigned as u8,
            b = unsigned as u16,
            c = unsigned as u32,
            d = unsigned as u64,
            e = unsigned as usize,
            f = unsigned,
            g = signed as i8,
            h = signed as i16,
            i = signed as i32,
            j = signed as i64,
            k = signed as isize,
            l = signed,
        );
        let record = memory.take().pop().expect("one");
        let values: Vec<_> = record.fields().map(|field| field.value).collect();
        let unsigned = [unsigned as u8 as u64, unsigned as u16 as u64, unsigned as u32 as u64, unsigned as u64];
        let signed_ones = [signed as i8 as i64, signed as i16 as i64, signed as i32 as i64, signed as i64];
        assert_eq!(values[..4], unsigned.map(Value::Unsigned));
        assert_eq!(values[6..10], signed_ones.map(Value::Signed));
        assert_eq!(values[11], Value::Signed128(signed));
    }
}

#[test]
fn floats_are_the_same_to_the_bit() {
    let (log, memory) = in_memory();
    for bits in [0, 1, u64::MAX, 0x7FF0_0000_0000_0001, 0xFFF8_DEAD_BEEF_0001, (-0.0_f64).to_bits(), 1.5_f64.to_bits()]
    {
        let half = (bits >> 32) as u32;
        diolog::info!(log, "", whole = f64::from_bits(bits), half = f32::from_bits(half));
        let record = memory.take().pop().expect("one");
        assert!(matches!(record.field("whole"), Some(Value::F64(value)) if value.to_bits() == bits), "{bits:x}");
        assert!(matches!(record.field("half"), Some(Value::F32(value)) if value.to_bits() == half), "{half:x}");
    }
}

#[test]
fn texts_bytes_and_what_points_to_them_come_back() {
    let (log, memory) = in_memory();
    let owned = String::from("größer");
    let bytes = vec![0, 0xFF, b'\n', 0x80];
    let (boxed, shared, counted): (Box<str>, Arc<str>, Rc<u64>) = ("b".into(), "s".into(), Rc::new(9));
    let mut changed = 7_u8;
    diolog::info!(log, "", owned, part = &owned[..2], empty = "", cow = Cow::Borrowed("c"), boxed, shared);
    diolog::info!(log, "", bytes, array = [1_u8, 2], slice = &bytes[1..], none = [0_u8; 0], literal = b"lit");
    diolog::info!(
        log,
        "",
        counted,
        changed = &mut changed,
        twice = &&&8_i8,
        letter = 'é',
        last = '\u{10FFFF}',
        yes = true
    );
    let records = memory.take();
    let text = Value::Str;
    assert_eq!(
        fields(&records[0]),
        [
            ("owned", text("größer")),
            ("part", text("gr")),
            ("empty", text("")),
            ("cow", text("c")),
            ("boxed", text("b")),
            ("shared", text("s"))
        ]
    );
    assert_eq!(
        fields(&records[1]),
        [
            ("bytes", Value::Bytes(&bytes)),
            ("array", Value::Bytes(&[1, 2])),
            ("slice", Value::Bytes(&bytes[1..])),
            ("none", Value::Bytes(&[])),
            ("literal", Value::Bytes(b"lit")),
        ]
    );
    assert_eq!(
        fields(&records[2]),
        [
            ("counted", Value::Unsigned(9)),
            ("changed", Value::Unsigned(7)),
            ("twice", Value::Signed(8)),
            ("letter", Value::Char('é')),
            ("last", Value::Char('\u{10FFFF}')),
            ("yes", Value::Bool(true)),
        ]
    );
    assert_eq!(owned.len() + bytes.len() + usize::from(changed), 19, "nothing was moved");
}

#[test]
fn an_option_is_its_value_or_none() {
    let (log, memory) = in_memory();
    for present in [true, false] {
        let some = |value: i128| present.then_some(value);
        let text = present.then(|| String::from("text"));
        diolog::info!(
            log,
            "",
            flag = present.then_some(true),
            letter = present.then_some('x'),
            small = present.then_some(1_u8),
            signed = present.then_some(-1_i64),
            wide = some(i128::MIN),
            half = present.then_some(0.5_f32),
            whole = present.then_some(0.25_f64),
            text,
            part = text.as_deref(),
            bytes = present.then_some(b"bytes"),
            number = NonZero::new(u32::from(present)),
        );
        let record = memory.take().pop().expect("one");
        let values: Vec<_> = record.fields().map(|field| field.value).collect();
        let expected = [
            Value::Bool(true),
            Value::Char('x'),
            Value::Unsigned(1),
            Value::Signed(-1),
            Value::Signed128(i128::MIN),
            Value::F32(0.5),
            Value::F64(0.25),
            Value::Str("text"),
            Value::Str("text"),
            Value::Bytes(b"bytes"),
            Value::Unsigned(1),
        ];
        assert_eq!(values, if present { expected } else { [Value::None; 11] });
    }
}

struct Shown;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shown")
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("debugged")
    }
}

#[test]
fn a_percent_sign_takes_the_display_and_a_question_mark_the_debug() {
    let (log, memory) = in_memory();
    let shown = Shown;
    let pair = (1, "two");
    diolog::info!(log, "{a}", a = %Shown, b = ?Shown, %shown, c = ?pair, d = format_args!("{}-{}", 1, 2), e = %"");
    diolog::info!(log, "", ?shown, number = 5_u8, n = %5_u8);
    let records = memory.take();
    let text = Value::Text;
    assert_eq!(
        fields(&records[0]),
        [
            ("a", text("shown")),
            ("b", text("debugged")),
            ("shown", text("shown")),
            ("c", text("(1, \"two\")")),
            ("d", text("1-2")),
            ("e", text(""))
        ]
    );
    assert_eq!(fields(&records[1]), [("shown", text("debugged")), ("number", Value::Unsigned(5)), ("n", text("5"))]);
}

#[test]
fn fields_have_the_names_that_were_written() {
    let (log, memory) = in_memory();
    let (r#type, point) = (1_u8, (2, 3));
    struct Inner {
        id: u8,
    }
    let user = Inner { id: 4 };
    let line = line!() + 1;
    diolog::warn!(log, target: "net", "type {type}", r#type, user.id, point.x = point.0);
    diolog::trace!(log, "in its own module");
    let records = memory.take();
    assert_eq!(
        fields(&records[0]),
        [("type", Value::Unsigned(1)), ("user.id", Value::Unsigned(4)), ("point.x", Value::Signed(2))]
    );
    assert_eq!(records[0].text(), "type 1 user.id=4 point.x=2");
    let info = records[0].callsite().expect("structured");
    assert_eq!((info.level(), info.target(), info.file(), info.line()), (Some(Level::Warn), "net", file!(), line));
    assert_eq!(info.template(), "type {type}");
    assert_eq!(records[1].callsite().expect("structured").target(), module_path!());
    assert_eq!((records[0].level(), records[1].level()), (Level::Warn, Level::Trace));
    log.log(Level::Info, "a message");
    assert!(memory.records()[0].callsite().is_none() && memory.records()[0].fields().next().is_none());
}

#[test]
fn a_generic_function_logs_values_of_several_types_in_one_place() {
    fn generic<V: diolog::FieldValue>(log: &impl Log, value: V) -> Outcome {
        diolog::info!(log, "generic", value)
    }
    let (log, memory) = in_memory();
    for _ in 0..3 {
        generic(&log, 1_u8);
        generic(&log, "text");
        generic(&log, Some(-2_i16));
        generic(&log, None::<i16>);
        generic(&log, [0.5_f64].map(f64::to_bits)[0]);
        generic(&log, 0.5_f32);
    }
    let records = memory.take();
    let values: Vec<_> = records.iter().map(|record| record.field("value").expect("a value")).collect();
    let expected = [
        Value::Unsigned(1),
        Value::Str("text"),
        Value::Signed(-2),
        Value::None,
        Value::Unsigned(0.5_f64.to_bits()),
        Value::F32(0.5),
    ];
    assert!(values.chunks(6).all(|values| values == expected), "{values:?}");
    let line = |at: usize| records[at].callsite().expect("structured").line();
    assert!((1..18).all(|at| line(at) == line(0)), "one place");
}

#[test]
fn every_macro_has_its_level_and_logs_to_all_that_leads_to_a_log() {
    static LOGGER: LazyLock<(Logger, MemoryLog)> = LazyLock::new(Logger::in_memory);
    let (logger, memory) = &*LOGGER;
    let producer = logger.producer().expect("a producer");
    let (shared, boxed) = (Arc::new(logger.clone()), Box::new(&producer));
    struct Service {
        log: Arc<Logger>,
    }
    let service = Service { log: Arc::clone(&shared) };
    diolog::error!(producer, "1");
    diolog::warn!(&producer, "2");
    diolog::info!(shared, "3");
    diolog::debug!(*boxed, "4");
    diolog::trace!(service.log, "5");
    diolog::event!(LOGGER.0, Level::Error, "6");
    for level in Level::ALL {
        assert_eq!(diolog::event!(&&logger, level, target: "t", "{n}", n = level as u8), Outcome::Written);
    }
    let levels: Vec<_> = memory.take().iter().map(MemoryRecord::level).collect();
    assert_eq!(levels[..5], Level::ALL);
    assert_eq!((levels[5], &levels[6..]), (Level::Error, &Level::ALL[..]));
    assert_eq!(diolog::event!(producer, Level::Off, "{n}", n = 1), Outcome::Filtered);
}

#[test]
fn nothing_is_evaluated_if_the_level_is_off() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    let evaluated = Cell::new(0);
    let count = || {
        evaluated.set(evaluated.get() + 1);
        evaluated.get()
    };
    logger.set_level(Level::Warn);
    assert_eq!(diolog::info!(producer, "", a = count(), b = %count()), Outcome::Filtered);
    assert_eq!(diolog::info!(logger, limit: 1/s, "", a = count(), b = ?count()), Outcome::Filtered);
    assert_eq!(diolog::event!(logger, Level::Debug, "", a = count()), Outcome::Filtered);
    logger.close().expect("nothing to end");
    assert_eq!(diolog::error!(producer, "", a = count()), Outcome::Closed);
    assert_eq!(diolog::error!(logger, "", a = count()), Outcome::Closed);
    assert_eq!((evaluated.get(), logger.stats().refused_by.closed), (0, 2));
    let disabled = Logger::disabled();
    assert_eq!(diolog::error!(disabled, "", a = count()), Outcome::Filtered);
    assert!(evaluated.get() == 0 && memory.records().is_empty());
}

#[test]
fn values_are_evaluated_once_in_order_and_live_until_they_are_logged() {
    let (log, memory) = in_memory();
    let order = Cell::new(0);
    let next = || {
        order.set(order.get() + 1);
        order.get()
    };
    diolog::info!(log, "{b} {a}", a = next(), b = %next(), c = String::from("temporary").as_str(), d = next());
    let record = memory.take().pop().expect("one");
    let expected =
        [("a", Value::Signed(1)), ("b", Value::Text("2")), ("c", Value::Str("temporary")), ("d", Value::Signed(3))];
    assert_eq!(fields(&record), expected);
}

#[test]
fn names_of_the_program_do_not_mix_with_those_of_the_macros() {
    let (logger, memory) = in_memory();
    let (log, level, callsite, report, fields) = (&logger, 1_u8, 2_u8, 3_u8, 4_u8);
    diolog::event!(log, Level::Info, limit: 5/h, "{level}", level, callsite, report, fields, log = level);
    let record = memory.take().pop().expect("one");
    let values: Vec<_> = record.fields().map(|field| field.value).collect();
    assert_eq!(values, [1, 2, 3, 4, 1].map(Value::Unsigned));
}

#[test]
#[allow(non_upper_case_globals)]
fn statics_of_the_program_do_not_reach_into_the_macros() {
    // In a pattern, such a name would be the static instead of a variable.
    static log: u8 = 1;
    static level: u8 = 2;
    static callsite: u8 = 3;
    static report: u8 = 4;
    let (logger, memory) = in_memory();
    diolog::info!(logger, limit: 10/s, "{log} {level}", log, level);
    diolog::event!(logger, Level::Warn, limit: 10/s, "{callsite} {report}", callsite, report);
    let texts: Vec<_> = memory.records().iter().map(|record| record.text().into_owned()).collect();
    assert_eq!(texts, ["1 2", "3 4"]);
}

#[test]
fn a_value_is_taken_as_the_type_that_the_reader_wants() {
    let (log, memory) = in_memory();
    diolog::info!(log, a = 42, b = 42_u64, c = 42_u128, d = 42_i128, e = -1, f = u128::MAX, g = 1.5_f32);
    let record = memory.take().pop().expect("one");
    let value = |name| record.field(name).expect("a field");
    for name in ["a", "b", "c", "d"] {
        let value = value(name);
        assert_eq!((value.as_u64(), value.as_i64(), value.as_f64()), (Some(42), Some(42), Some(42.0)), "{name}");
        assert_eq!((value.as_str(), value.as_bool()), (None, None), "{name}");
    }
    assert_eq!((value("e").as_u64(), value("e").as_i64(), value("e").as_f64()), (None, Some(-1), Some(-1.0)));
    assert_eq!((value("f").as_u64(), value("f").as_i64()), (None, None));
    assert_eq!((value("g").as_f64(), value("g").as_u64()), (Some(1.5), None));
    diolog::info!(log, h = "text", i = %"shown", j = true, k = None::<u8>);
    let record = memory.take().pop().expect("one");
    let value = |name| record.field(name).expect("a field");
    assert_eq!(
        (value("h").as_str(), value("i").as_str(), value("j").as_bool()),
        (Some("text"), Some("shown"), Some(true))
    );
    assert_eq!((value("k").as_str(), value("k").as_u64(), value("k").as_bool()), (None, None, None));
}

#[test]
fn thirty_two_fields_are_kept() {
    let (log, memory) = in_memory();
    let v = 7_u8;
    diolog::info!(
        log, "", a1 = v, a2 = v, a3 = v, a4 = v, a5 = v, a6 = v, a7 = v, a8 = v, b1 = v, b2 = v, b3 = v, b4 = v,
        b5 = v, b6 = v, b7 = v, b8 = v, c1 = v, c2 = v, c3 = v, c4 = v, c5 = v, c6 = v, c7 = v, c8 = v, d1 = v, d2 = v,
        d3 = v, d4 = v, d5 = v, d6 = v, d7 = v, d8 = %v
    );
    let record = memory.take().pop().expect("one");
    assert_eq!((record.fields().count(), record.field("d8")), (32, Some(Value::Text("7"))));
}

#[test]
fn texts_without_fields_are_formatted_if_they_are_wanted() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    assert_eq!(producer.log_args(Level::Info, format_args!("{} and {:>3}", 1, 2)), Outcome::Written);
    assert_eq!(logger.log_args(Level::Info, format_args!("constant")), Outcome::Written);
    assert_eq!(logger.log_args(Level::Info, format_args!("{:?}", "quoted")), Outcome::Written);
    let long = "x".repeat(100_000);
    assert_eq!(producer.log_args(Level::Info, format_args!("{long}é")), Outcome::Truncated);
    let records = memory.take();
    assert_eq!(records[0].text(), "1 and   2");
    assert_eq!((records[1].text(), records[2].text()), ("constant".into(), "\"quoted\"".into()));
    assert!(records[3].is_truncated() && records[3].message().len() == producer.message_bytes_max());
    assert!(records.iter().all(|record| record.callsite().is_none()));
    struct Unwanted;
    impl fmt::Display for Unwanted {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("nobody wants it")
        }
    }
    logger.set_level(Level::Off);
    assert_eq!(producer.log_args(Level::Error, format_args!("{Unwanted}")), Outcome::Filtered);
    assert_eq!(logger.log_args(Level::Error, format_args!("{Unwanted}")), Outcome::Filtered);
}

/// Logs values of every type, long and short, in some places.
fn log_everything(log: &impl Log) {
    let text = "größer".repeat(30);
    for number in [0, 1, 127, 128, 1 << 40, u64::MAX] {
        let float = f64::from_bits(number);
        diolog::info!(
            log,
            "order {number:>8} at {float:.2}",
            number,
            float,
            signed = number as i64,
            half = number as f32
        );
        diolog::warn!(log, target: "wide", "{w:x}", w = u128::from(number) << 60, i = -i128::from(number), yes = number > 1);
        diolog::debug!(log, "{text}", text = &text[..(number % 100) as usize / 8 * 8], bytes = number.to_le_bytes());
        diolog::trace!(log, "", none = None::<u8>, some = Some(number), letter = Some('é'), shown = %number, debug = ?text);
        log_message(log, number);
    }
}

/// A message between structured records.
fn log_message(log: &impl Log, number: u64) {
    diolog::error!(log, "no fields: {{}}");
    diolog::error!(log, "", number);
}

#[test]
fn files_hold_what_a_logger_into_memory_shows() {
    let directory = support::directory();
    for packing in [true, false] {
        let path = directory.path().join(packing.to_string());
        let config = support::config(&path).level(Level::Trace).packing(packing);
        let logger = Logger::open(config).expect("a log");
        let producer = logger.producer().expect("a producer");
        log_everything(&producer);
        drop(producer);
        log_everything(&logger);
        logger.close().expect("a clean end");
        let (in_memory, memory) = Logger::in_memory();
        log_everything(&in_memory);
        log_everything(&in_memory);
        let expected = memory.take();
        let mut reader = Reader::open(&path).expect("a log");
        let mut at = 0;
        while let Some(record) = reader.next_record().expect("readable") {
            let expected = &expected[at];
            assert_eq!(record.level(), Some(expected.level()));
            assert_eq!(record.message().escape_ascii().to_string(), expected.message().escape_ascii().to_string());
            // By their bits: NaN is not equal to itself.
            let bits = |value: Value<'_>| match value {
                Value::F64(value) => format!("{:x}", value.to_bits()),
                Value::F32(value) => format!("{:x}", value.to_bits()),
                value => format!("{value:?}"),
            };
            let read: Vec<_> = record.fields().map(|field| (field.name, bits(field.value), field.cut)).collect();
            let kept: Vec<_> = expected.fields().map(|field| (field.name, bits(field.value), field.cut)).collect();
            assert_eq!(read, kept);
            let (read, kept) = (record.callsite().expect("defined"), expected.callsite().expect("defined"));
            assert_eq!((read.target(), read.file(), read.line()), (kept.target(), kept.file(), kept.line()));
            at += 1;
        }
        assert_eq!(at, expected.len());
        assert_eq!(diolog::verify(&path).expect("a log").verdict, Verdict::Clean);
    }
}
