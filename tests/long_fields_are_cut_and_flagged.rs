//! A structured record is cut to `message_bytes_max`: texts and bytes, the last ones first, never numbers, and no
//! character in two.

mod support;

use diolog::{Level, Logger, Outcome, Value};

#[test]
fn the_last_texts_are_cut_first_and_numbers_stay() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    let longest = producer.message_bytes_max();
    let (half, whole) = ("é".repeat(longest / 4), vec![7; longest]);
    assert_eq!(
        diolog::info!(producer, "", a = 1_u8, half, b = Some(-2_i128), whole, c = 0.5, last = Some("last"), d = 'x'),
        Outcome::Truncated
    );
    let record = memory.take().pop().expect("one");
    assert!(record.is_truncated());
    assert_eq!(record.field("half"), Some(Value::Str(&half)));
    // The callsite's id, the numbers, the lengths, and the marks of options take the rest.
    let others = 4 + 8 + (4 + half.len()) + 17 + 4 + 8 + (1 + 4) + 4;
    assert_eq!(record.field("whole"), Some(Value::Bytes(&whole[..longest - others])));
    assert_eq!(record.field("last"), Some(Value::Str("")));
    for (name, value) in
        [("a", Value::Unsigned(1)), ("b", Value::Signed128(-2)), ("c", Value::F64(0.5)), ("d", Value::Char('x'))]
    {
        assert_eq!(record.field(name), Some(value));
    }
}

#[test]
fn a_record_that_fits_to_the_byte_is_whole_and_no_character_is_cut_in_two() {
    let (logger, memory) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    let room = producer.message_bytes_max() - 4 - 4;
    for (text, outcome, kept) in [
        ("x".repeat(room), Outcome::Written, room),
        ("x".repeat(room + 1), Outcome::Truncated, room),
        (format!("{}é", "x".repeat(room - 1)), Outcome::Truncated, room - 1),
        (format!("{}é", "x".repeat(room - 2)), Outcome::Written, room),
    ] {
        assert_eq!(diolog::info!(producer, "", text), outcome);
        assert_eq!(diolog::info!(producer, "", shown = %text), outcome);
        let records = memory.take();
        assert_eq!(records[0].field("text"), Some(Value::Str(&text[..kept])));
        assert_eq!(records[1].field("shown"), Some(Value::Text(&text[..kept])));
    }
}

#[test]
fn fields_without_texts_are_kept_however_small_the_longest_message_is() {
    let directory = support::directory();
    let path = directory.path().join("log");
    let config = support::config(&path).message_bytes_max(1).ring_bytes(4096).level(Level::Trace);
    let logger = Logger::open(config).expect("a log");
    let producer = logger.producer().expect("a producer");
    let v = Some(i128::MIN);
    for _ in 0..100 {
        let outcome = diolog::info!(
            producer,
            "",
            a1 = v,
            a2 = v,
            a3 = v,
            a4 = v,
            a5 = v,
            a6 = v,
            a7 = v,
            a8 = v,
            b1 = v,
            b2 = v,
            b3 = v,
            b4 = v,
            b5 = v,
            b6 = v,
            b7 = v,
            b8 = v,
            c1 = v,
            c2 = v,
            c3 = v,
            c4 = v,
            c5 = v,
            c6 = v,
            c7 = v,
            c8 = v,
            d1 = v,
            d2 = v,
            d3 = v,
            d4 = v,
            d5 = v,
            d6 = v,
            d7 = v,
            d8 = v
        );
        assert_eq!(outcome, Outcome::Written);
        assert_eq!(diolog::debug!(producer, "", text = "text"), Outcome::Truncated);
        logger.flush().expect("durable");
    }
    logger.close().expect("a clean end");
    assert_eq!(logger.stats().durable_records, 200);
}
