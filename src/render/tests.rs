//! Values are shown as `std::fmt` shows them, and records with all their fields.

use std::fmt::{self, Display};

use proptest::prelude::*;

use super::{Plan, value};
use crate::format::{FieldType, Layout, PackedHead, Type, Value, pack_record, packed_room};
use crate::template::Template;

/// `value` by `spec`, such as `>8`.
fn shown(value: &Value<'_>, spec: &str) -> String {
    let template = Template::parse(&format!("{{a:{spec}}}"), &["a"]);
    let [placeholder] = template.placeholders() else { panic!("{spec:?} is not known") };
    let mut out = Vec::new();
    value::formatted(value, &placeholder.spec, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// How `std` is to write a value.
type Write<'a> = &'a dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result;

/// Has `std` write a value with the flags of any format string.
struct ByStd<'a>(Write<'a>);

impl Display for ByStd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

/// All combinations of fill and alignment, sign, `#` and `0`, each with and without a width and a precision: the flags,
/// whether there is a width and a precision, and what `std` writes.
macro_rules! by_std {
    ($value:ident $width:ident $precision:ident) => {
        by_std!(@ $value $width $precision [] "" "<" "^" ">" "*<" "ü^" "0>")
    };
    (@ $value:ident $width:ident $precision:ident [] $($align:literal)*) => {
        [$(by_std!(@ $value $width $precision [$align] "" "+")),*].concat()
    };
    (@ $value:ident $width:ident $precision:ident [$align:literal] $($sign:literal)*) => {
        [$(by_std!(@ $value $width $precision [$align $sign] "" "#" "0" "#0")),*].concat()
    };
    (@ $value:ident $width:ident $precision:ident [$align:literal $sign:literal] $($rest:literal)*) => {
        vec![$(
            (concat!($align, $sign, $rest), false, false, format!(concat!("{:", $align, $sign, $rest, "}"), $value)),
            (concat!($align, $sign, $rest), true, false, format!(concat!("{:", $align, $sign, $rest, "1$}"), $value, $width)),
            (concat!($align, $sign, $rest), false, true, format!(concat!("{:", $align, $sign, $rest, ".1$}"), $value, $precision)),
            (concat!($align, $sign, $rest), true, true, format!(concat!("{:", $align, $sign, $rest, "1$.2$}"), $value, $width, $precision))
        ),*]
    };
}

/// Compares the value with what `std` writes for it, by `kind` and every combination of flags.
#[track_caller]
fn compare(value: Value<'_>, kind: &str, width: u8, precision: u8, write: Write<'_>) {
    let (by_std, width_std, precision_std) = (ByStd(write), usize::from(width), usize::from(precision));
    for (flags, with_width, with_precision, expected) in by_std!(by_std width_std precision_std) {
        // A width does not begin with a zero: that is a flag.
        let width = if with_width && width > 0 { width.to_string() } else { String::new() };
        let precision = if with_precision { format!(".{precision}") } else { String::new() };
        let spec = format!("{flags}{width}{precision}{kind}");
        assert_eq!(shown(&value, &spec), expected, "{value:?} by {spec:?}");
    }
}

/// Compares an integer in every radix.
macro_rules! compare_integer {
    ($value:expr, $number:ident, $width:ident, $precision:ident) => {
        compare($value, "", $width, $precision, &|f| Display::fmt(&$number, f));
        compare($value, "?", $width, $precision, &|f| fmt::Debug::fmt(&$number, f));
        compare($value, "x", $width, $precision, &|f| fmt::LowerHex::fmt(&$number, f));
        compare($value, "X", $width, $precision, &|f| fmt::UpperHex::fmt(&$number, f));
        compare($value, "o", $width, $precision, &|f| fmt::Octal::fmt(&$number, f));
        compare($value, "b", $width, $precision, &|f| fmt::Binary::fmt(&$number, f));
        compare($value, "e", $width, $precision, &|f| fmt::LowerExp::fmt(&$number, f));
        compare($value, "E", $width, $precision, &|f| fmt::UpperExp::fmt(&$number, f));
    };
}

/// Compares a number with a fraction in every notation.
macro_rules! compare_float {
    ($value:expr, $number:ident, $width:ident, $precision:ident) => {
        compare($value, "", $width, $precision, &|f| Display::fmt(&$number, f));
        compare($value, "?", $width, $precision, &|f| fmt::Debug::fmt(&$number, f));
        compare($value, "e", $width, $precision, &|f| fmt::LowerExp::fmt(&$number, f));
        compare($value, "E", $width, $precision, &|f| fmt::UpperExp::fmt(&$number, f));
    };
}

fn compare_floats(number: f64, width: u8, precision: u8) {
    compare_float!(Value::F64(number), number, width, precision);
    let short = number as f32;
    compare_float!(Value::F32(short), short, width, precision);
}

#[test]
fn numbers_that_are_none_and_zeros_are_those_of_std() {
    for number in [f64::NAN, -f64::NAN, f64::INFINITY, -f64::INFINITY, 0.0, -0.0, 1e16, 1e-5, 2.5, f64::MAX] {
        compare_floats(number, 12, 3);
        compare_floats(number, 0, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn integers_are_those_of_std(bits: u128, shift in 0..128_u32, width: u8, precision in 0..40_u8) {
        let (wide, signed) = (bits >> shift, (bits as i128) >> shift);
        let (narrow, narrow_signed) = (wide as u64, signed as i64);
        compare_integer!(Value::Unsigned128(wide), wide, width, precision);
        compare_integer!(Value::Signed128(signed), signed, width, precision);
        compare_integer!(Value::Unsigned(narrow), narrow, width, precision);
        compare_integer!(Value::Signed(narrow_signed), narrow_signed, width, precision);
    }

    #[test]
    fn numbers_with_a_fraction_are_those_of_std(bits: u64, number in -1e9..1e9_f64, width: u8, precision: u8) {
        compare_floats(f64::from_bits(bits), width, precision);
        compare_floats(number, width, precision);
        compare_floats((number * 100.0).round() / 100.0, width, precision % 8);
    }

    #[test]
    fn text_characters_and_truth_are_those_of_std(text: String, letter: char, truth: bool, width: u8, precision in 0..20_u8) {
        compare(Value::Str(&text), "", width, precision, &|f| Display::fmt(&text, f));
        compare(Value::Str(&text), "?", width, precision, &|f| fmt::Debug::fmt(&text, f));
        compare(Value::Text(&text), "?", width, precision, &|f| Display::fmt(&text, f));
        compare(Value::Char(letter), "", width, precision, &|f| Display::fmt(&letter, f));
        compare(Value::Char(letter), "?", width, precision, &|f| fmt::Debug::fmt(&letter, f));
        compare(Value::Bool(truth), "", width, precision, &|f| Display::fmt(&truth, f));
        compare(Value::Bool(truth), "?", width, precision, &|f| fmt::Debug::fmt(&truth, f));
        compare(Value::Bytes(text.as_bytes()), "", width, precision, &|f| Display::fmt(&text, f));
    }

    #[test]
    fn any_template_and_any_values_make_text(
        template in r"([a-z {}:]|\{[abc](:[a-z<>^+#0-9.?*$]{0,6})?\}|\PC){0,20}",
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        packed: bool,
    ) {
        let fields = [("a", FieldType::new(Type::Unsigned)), ("b", FieldType::new(Type::Str).optional()), ("c", FieldType::new(Type::Fields))];
        let layout = if packed { Layout::Packed } else { Layout::Plain };
        let mut out = b"\xFFbefore".to_vec();
        super::record(&Plan::of(&template, &fields), &bytes, layout, &mut out);
        prop_assert_eq!(&out[..7], b"\xFFbefore", "what stood there stays");
        prop_assert!(std::str::from_utf8(&out[7..]).is_ok());
    }
}

#[test]
fn bytes_are_shown_as_text_as_a_literal_or_in_hexadecimal() {
    let bytes = Value::Bytes(b"a\xFF\x00\xC3\xA9");
    assert_eq!(shown(&bytes, ""), "a\\xff\0é");
    assert_eq!(shown(&bytes, "?"), r#"b"a\xff\x00\xc3\xa9""#);
    assert_eq!(shown(&bytes, "x"), "61ff00c3a9");
    assert_eq!(shown(&bytes, "*>12X"), "**61FF00C3A9");
    assert_eq!(shown(&bytes, "ü^14.4x"), "üüüüü61ffüüüüü");
    assert_eq!(shown(&bytes, "4.1"), "a   ");
}

#[test]
fn a_format_that_does_not_fit_the_value_is_left_out_and_its_width_holds() {
    assert_eq!(shown(&Value::Str("ab"), ">4x"), "  ab");
    assert_eq!(shown(&Value::Bool(true), "6e"), "true  ");
    assert_eq!(shown(&Value::F64(1.5), ">5x"), "  1.5");
    assert_eq!(shown(&Value::Text("it"), ">4?"), "  it");
    for (spec, text) in [(">6x", "  None"), ("08.3", "None    "), ("*^9.1", "**None***"), (".0", "None")] {
        assert_eq!(shown(&Value::None, spec), text, "no precision shortens it: {spec}");
    }
    let displayed = format!("{0:.3}|{0:08.3}|{0:*>6.1}|{0:^8.0}|{0:2}", Value::None);
    assert_eq!(displayed, "None|None    |**None|  None  |None");
    assert_eq!(shown(&Value::Signed(-1), "x"), "f".repeat(16), "signed integers have 64 bits");
}

#[test]
fn a_value_displays_as_it_is_appended() {
    let texts = [Value::Str("a b"), Value::Text("c"), Value::Bytes(b"x\xFF"), Value::Char('é'), Value::None];
    let numbers = [Value::F64(-0.0), Value::F64(1.25), Value::F32(0.1), Value::Bool(false), Value::Signed(-7)];
    let wide = [Value::Unsigned(u64::MAX), Value::Unsigned128(u128::MAX), Value::Signed128(i128::MIN)];
    for value in texts.into_iter().chain(numbers).chain(wide) {
        let mut out = Vec::new();
        value.append_to(&mut out);
        assert_eq!(value.to_string().as_bytes(), out, "{value:?}");
    }
    assert_eq!(format!("{:>4}|{:04}", Value::Text("ab"), Value::Unsigned(7)), "  ab|0007");
}

/// A record of these fields: names, types, and plain values.
fn text(template: &str, fields: &[(&str, Type, Vec<u8>)]) -> String {
    let (mut types, mut values) = (Vec::new(), Vec::new());
    for (name, of, bytes) in fields {
        types.push((*name, FieldType::new(*of)));
        values.extend(bytes);
    }
    let mut out = Vec::new();
    super::record(&Plan::of(template, &types), &values, Layout::Plain, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn unsigned(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn texts(text: &[u8], cut: bool) -> Vec<u8> {
    [&((text.len() as u32) << 1 | u32::from(cut)).to_le_bytes(), text].concat()
}

#[test]
fn values_stand_in_their_places_and_the_other_fields_after_the_text() {
    let fields = &[
        ("id", Type::Unsigned, unsigned(42)),
        ("price", Type::F64, 101.256_f64.to_le_bytes().to_vec()),
        ("symbol", Type::Str, texts(b"ACME", false)),
    ];
    assert_eq!(text("order {id} filled at {price:.2}", fields), "order 42 filled at 101.26 symbol=ACME");
    assert_eq!(text("{symbol:>6}: {id:04} {id}", fields), "  ACME: 0042 42 price=101.256");
    assert_eq!(text("", fields), "id=42 price=101.256 symbol=ACME");
    assert_eq!(
        text("{{}} {other} {id:4000000000}", fields),
        "{} {other} {id:4000000000} id=42 price=101.256 symbol=ACME"
    );
    assert_eq!(text("no field", &[]), "no field");
}

#[test]
fn a_field_after_the_text_has_quotes_unless_it_is_one_word() {
    for (value, quoted) in [
        ("word", "word"),
        ("größe/ü", "größe/ü"),
        ("", r#""""#),
        ("two words", r#""two words""#),
        ("a=b", r#""a=b""#),
        (r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#),
        ("line\nfeed", "\"line\nfeed\""),
        ("None", r#""None""#),
    ] {
        assert_eq!(text("x", &[("v", Type::Str, texts(value.as_bytes(), false))]), format!("x v={quoted}"));
        assert_eq!(text("{v}", &[("v", Type::Display, texts(value.as_bytes(), false))]), value);
    }
}

#[test]
fn a_field_after_the_text_is_never_taken_for_another() {
    let after = |of, value: &[u8]| text("x", &[("v", of, texts(value, false))]);
    // What `?` has made a literal is one word.
    assert_eq!(after(Type::Debug, r#""näme""#.as_bytes()), r#"x v="näme""#);
    assert_eq!(after(Type::Debug, br#""say \"hi\" \\""#), r#"x v="say \"hi\" \\""#);
    assert_eq!(after(Type::Display, br#""a""#), r#"x v="\"a\"""#);
    for (value, quoted) in [(r#"""#, r#""\"""#), (r#""a" "b""#, r#""\"a\" \"b\"""#), (r#""a\""#, r#""\"a\\\"""#)] {
        assert_eq!(after(Type::Debug, value.as_bytes()), format!("x v={quoted}"), "it is no literal");
    }
    // `?` of an absent value is absent.
    assert_eq!(after(Type::Debug, b"None"), "x v=None");
    assert_eq!(after(Type::Display, b"None"), r#"x v="None""#);
    let mut absent = Vec::new();
    let optional = [("v", FieldType::new(Type::Str).optional())];
    super::record(&Plan::of("x", &optional), &[0], Layout::Plain, &mut absent);
    assert_eq!(absent, b"x v=None");
    assert_eq!(after(Type::Bytes, b"\xFF\0\n\\xff\""), r#"x v=b"\xff\x00\n\\xff\"""#);
    assert_eq!(after(Type::Bytes, "wörd".as_bytes()), "x v=wörd");
    assert_eq!(after(Type::Bytes, b"None"), r#"x v="None""#);
    for (name, shown) in [("a.b", "a.b"), ("two words", r#""two words""#), ("a=b", r#""a=b""#), ("", r#""""#)] {
        assert_eq!(text("x", &[(name, Type::Unsigned, unsigned(1))]), format!("x {shown}=1"));
    }
}

#[test]
fn cut_and_unreadable_values_are_marked() {
    let fields = &[("a", Type::Str, texts(b"long", true)), ("b", Type::Debug, texts(b"also long", true))];
    assert_eq!(text("{a}!", fields), r#"long…! b="also long"…"#);
    let fields = &[("a", Type::Unsigned, unsigned(1)), ("b", Type::Bool, vec![7]), ("c", Type::Unsigned, vec![])];
    assert_eq!(text("{a} {b}", fields), "1 (unreadable) c=(unreadable)");
    assert_eq!(text("{c} {b} {a}", fields), "(unreadable) (unreadable) 1");
}

#[test]
fn fields_with_names_of_their_own_come_one_after_the_other() {
    let mut content = Vec::new();
    for (name, of, value) in [("a", Type::Unsigned, unsigned(1)), ("b c", Type::Str, texts(b"x y", false))] {
        content.push(name.len() as u8);
        content.extend(name.as_bytes());
        content.push(FieldType::new(of).code());
        content.extend(value);
    }
    let of = |cut| [("id", Type::Unsigned, unsigned(7)), ("more", Type::Fields, texts(&content, cut))];
    assert_eq!(text("{id}", &of(false)), r#"7 a=1 "b c"="x y""#);
    assert_eq!(text("{id}: {more}.", &of(true)), r#"7: a=1 "b c"="x y" …."#);
    assert_eq!(text("", &of(false)[1..]), r#"a=1 "b c"="x y""#);
    let damaged = [("more", Type::Fields, texts(&content[..content.len() - 1], false))];
    assert_eq!(text("x", &damaged), "x a=1 …");
}

#[test]
fn a_template_that_shows_a_long_value_again_and_again_is_bounded() {
    let long = "é".repeat(100_000);
    let shown = text(&"{a} ".repeat(256), &[("a", Type::Str, texts(long.as_bytes(), false))]);
    assert!(shown.len() <= (32 << 20) + 8 && shown.ends_with("é…"), "{}", shown.len());
}

#[test]
fn many_fields_in_any_order_are_shown() {
    let names: Vec<_> = (0..100).map(|n| format!("f{n}")).collect();
    let fields: Vec<_> = names.iter().zip(0..).map(|(name, n)| (&**name, Type::Unsigned, unsigned(n))).collect();
    let template: String = names.iter().rev().map(|name| format!("{{{name}}} ")).collect();
    let expected: String = (0..100).rev().map(|n| format!("{n} ")).collect();
    assert_eq!(text(&template, &fields), expected);
}

#[test]
fn members_of_a_json_object_are_the_text_and_the_numbers_of_each_value() {
    let fields = [("u", Type::Unsigned), ("s", Type::Signed), ("a.name", Type::F64)];
    let fields = fields.map(|(name, of)| (name, FieldType::new(of)));
    let types = fields.map(|(_, of)| of);
    let limit = 1 << 53;
    let integers = [0, 1, 99, 12_345_678, 123_456_789, limit, limit + 1, 1 << 63, u64::MAX, u64::MAX - limit];
    let fractions = [0.0, -0.0, 1.5, -12.34, 100.0, 0.000_001, 1e15, 1e300, f64::NAN, f64::NEG_INFINITY, 0.1 + 0.2];
    let long = "{u} and {s:>20} and more ".repeat(40);
    for template in ["", "{u}", "order {u} of {s} at {a.name:.2}", "nothing", "{a.name:e}{u:#x}", &long] {
        let (text, plan) = (Plan::of(template, &fields), Plan::of_json(template, &fields).expect("numbers"));
        for (integer, fraction) in integers.iter().flat_map(|integer| fractions.map(|fraction| (*integer, fraction))) {
            let plain = [integer, integer, fraction.to_bits()].map(u64::to_le_bytes).concat();
            let mut expected = b",\"message\":\"".to_vec();
            super::record(&text, &plain, Layout::Plain, &mut expected);
            expected.extend(b"\",\"fields\":{");
            let values = [Value::Unsigned(integer), Value::Signed(integer as i64), Value::F64(fraction)];
            for ((name, _), value) in fields.iter().zip(values) {
                expected.extend(format!("\"{name}\":").bytes());
                assert!(value.append_json_number(&mut expected));
                expected.push(b',');
            }
            expected.pop();
            expected.push(b'}');
            let mut room = vec![0; packed_room(plain.len())];
            let end = pack_record(&mut room, 0, 1, 0, &types, &plain).expect("it fits");
            let head = PackedHead::read(&room[..end]).expect("a record");
            for (values, layout) in [(&plain[..], Layout::Plain), (&room[head.head_bytes..end], Layout::Packed)] {
                let mut out = Vec::new();
                super::members(&plan, values, layout, &mut out);
                assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected), "{layout:?}");
            }
        }
    }
}

#[test]
fn only_numbers_and_plain_texts_have_members_without_a_look_at_each_byte() {
    let of_json = |template, name, of| Plan::of_json(template, &[(name, of)]);
    let number = FieldType::new(Type::Signed);
    assert!(of_json("{a}", "a", number).is_some());
    assert!(of_json("{a}", "\"", number).is_none() && of_json("", "two words", number).is_none());
    assert!(of_json("\\ {a}", "a", number).is_none());
    assert!(of_json("{a:\">9}", "a", number).is_none());
    assert!(of_json("größer als {a}", "a", number).is_none());
    assert!(of_json("{a}", "a", number.optional()).is_none());
    assert!(of_json("{a}", "a", FieldType::new(Type::Str)).is_none());
    assert!(Plan::of_json("", &[("a", number), ("a", number)]).is_none(), "an object has no two equal keys");
    let mut out = Vec::new();
    super::members(&Plan::of_json::<&str>("started", &[]).expect("plain"), &[], Layout::Packed, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), ",\"message\":\"started\",\"fields\":{}");
}
