//! One value as text, by the format of its placeholder.
//!
//! A format means what it means in `std::fmt`, and is left out as far as it does not fit the value: text has no
//! radix. What differs: signed integers have 64 bits in every radix, a value that may be absent is shown as if it may
//! not, or as `None` whatever the precision, and what `%` and `?` have formatted is text.

use std::fmt::{self, Display};
use std::io::Write as _;

use crate::format::Value;
use crate::template::{Align, Spec, Style};

use super::number::{self, Digits};

impl Value<'_> {
    /// Appends the value's text to `out`: the same as `to_string`, in a fraction of its time.
    ///
    /// It is the text that `{}` gives for the program's value. Bytes are shown as text, those that are not UTF-8 as
    /// `\xff`.
    #[inline(always)]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        plain(self, out);
    }
}

/// As [`Value::append_to`] has it.
impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::None => {
                let align = match f.align() {
                    Some(fmt::Alignment::Right) => Align::Right,
                    Some(fmt::Alignment::Center) => Align::Center,
                    Some(fmt::Alignment::Left) | None => Align::Left,
                };
                let missing = f.width().unwrap_or(0).saturating_sub("None".len());
                let mut text = Vec::new();
                filled(missing, align, f.fill(), &mut text, |text| text.extend_from_slice(b"None"));
                f.write_str(&String::from_utf8_lossy(&text))
            }
            Value::Bool(value) => value.fmt(f),
            Value::Char(value) => value.fmt(f),
            Value::Unsigned(value) => value.fmt(f),
            Value::Signed(value) => value.fmt(f),
            Value::Unsigned128(value) => value.fmt(f),
            Value::Signed128(value) => value.fmt(f),
            Value::F32(value) => value.fmt(f),
            Value::F64(value) => value.fmt(f),
            Value::Str(value) | Value::Text(value) => value.fmt(f),
            Value::Bytes(value) => {
                let mut text = Vec::new();
                bytes(value, &mut text);
                f.pad(&String::from_utf8_lossy(&text))
            }
        }
    }
}

/// Appends the value as `{}` would.
#[inline(always)]
pub(super) fn plain(value: &Value<'_>, out: &mut Vec<u8>) {
    match *value {
        Value::None => out.extend_from_slice(b"None"),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Char(value) => out.extend_from_slice(value.encode_utf8(&mut [0; 4]).as_bytes()),
        Value::Unsigned(value) => number::integer(value, out),
        Value::Signed(value) => number::signed(value, out),
        Value::Unsigned128(value) => number::wide(value, out),
        Value::Signed128(value) => number::wide(value, out),
        Value::F32(value) => number::shortest_f32(value, out),
        Value::F64(value) => number::shortest(value, out),
        Value::Str(value) | Value::Text(value) => out.extend_from_slice(value.as_bytes()),
        Value::Bytes(value) => bytes(value, out),
    }
}

/// Appends the value by `spec`.
#[inline]
pub(super) fn formatted(value: &Value<'_>, spec: &Spec, out: &mut Vec<u8>) {
    // A precision alone is the commonest format of a number with a fraction.
    if let Value::F64(value) = *value
        && let Some(places) = spec.only_places()
    {
        return number::fixed(value, places, out);
    }
    any(value, spec, out);
}

/// Appends the value by any format.
fn any(value: &Value<'_>, spec: &Spec, out: &mut Vec<u8>) {
    let is_debug = spec.style == Style::Debug;
    match *value {
        Value::None => padded("None", &Spec { precision: None, ..*spec }, out),
        Value::Bool(value) => padded(if value { "true" } else { "false" }, spec, out),
        // As in `std`, `?` pads neither text nor characters.
        Value::Char(value) if is_debug => debug(format_args!("{value:?}"), out),
        Value::Char(value) => padded(value.encode_utf8(&mut [0; 4]), spec, out),
        Value::Str(value) if is_debug => debug(format_args!("{value:?}"), out),
        Value::Str(value) | Value::Text(value) => padded(value, spec, out),
        Value::Bytes(value) => byte_string(value, spec, out),
        Value::Unsigned(value) => integer(false, value.into(), value.into(), spec, out),
        Value::Unsigned128(value) => integer(false, value, value, spec, out),
        Value::Signed(value) => integer(value < 0, value.unsigned_abs().into(), (value as u64).into(), spec, out),
        Value::Signed128(value) => integer(value < 0, value.unsigned_abs(), value as u128, spec, out),
        Value::F32(value) => float_of_32_bits(value, spec, out),
        Value::F64(value) => float(value, spec, out),
    }
}

/// Appends bytes as text; those that are not UTF-8 as `\xff`.
fn bytes(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hexadecimal(byte, b"0123456789abcdef"));
        }
    }
}

fn hexadecimal(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Appends bytes: as text, or with `?` as a literal of Rust, or their digits in hexadecimal.
fn byte_string(value: &[u8], spec: &Spec, out: &mut Vec<u8>) {
    let start = out.len();
    match spec.style {
        Style::Debug => return literal(value, out),
        Style::LowerHex => value.iter().for_each(|&byte| out.extend(hexadecimal(byte, b"0123456789abcdef"))),
        Style::UpperHex => value.iter().for_each(|&byte| out.extend(hexadecimal(byte, b"0123456789ABCDEF"))),
        _ => bytes(value, out),
    }
    // All of it is UTF-8.
    let Ok(text) = std::str::from_utf8(&out[start..]) else { return };
    let (length, missing) = (shortened(text, spec).len(), missing(shortened(text, spec), spec));
    out.truncate(start + length);
    let text_end = out.len();
    filled(missing, spec.align.unwrap_or(Align::Left), spec.fill, out, |_| {});
    let before = match spec.align {
        Some(Align::Right) => missing,
        Some(Align::Center) => missing / 2,
        _ => 0,
    };
    let fill_bytes = before * spec.fill.len_utf8();
    out[start..text_end + fill_bytes].rotate_left(length);
}

/// Appends bytes as a literal of Rust.
pub(super) fn literal(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"b\"");
    out.extend(value.escape_ascii());
    out.push(b'"');
}

fn debug(arguments: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(arguments);
}

/// Appends text, cut to the precision and filled up to the width. By itself it stands on the left.
fn padded(text: &str, spec: &Spec, out: &mut Vec<u8>) {
    let text = shortened(text, spec);
    let align = spec.align.unwrap_or(Align::Left);
    filled(missing(text, spec), align, spec.fill, out, |out| out.extend_from_slice(text.as_bytes()));
}

/// The text up to the precision.
fn shortened<'a>(text: &'a str, spec: &Spec) -> &'a str {
    let Some(precision) = spec.precision else { return text };
    text.char_indices().nth(precision.into()).map_or(text, |(end, _)| &text[..end])
}

/// How many characters the text is short of the width.
fn missing(text: &str, spec: &Spec) -> usize {
    let width = usize::from(spec.width);
    width - text.chars().take(width).count()
}

/// Appends what `write` appends, and `missing` characters around it.
fn filled(missing: usize, align: Align, fill: char, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let before = match align {
        Align::Left => 0,
        Align::Center => missing / 2,
        Align::Right => missing,
    };
    let mut letter = [0; 4];
    let letter = fill.encode_utf8(&mut letter).as_bytes();
    (0..before).for_each(|_| out.extend_from_slice(letter));
    write(out);
    (before..missing).for_each(|_| out.extend_from_slice(letter));
}

/// Appends an integer with this sign and magnitude, whose bits are `bits`.
fn integer(is_negative: bool, magnitude: u128, bits: u128, spec: &Spec, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits;
    let (is_signed, prefix, body) = match spec.style {
        Style::LowerHex | Style::UpperHex | Style::Octal | Style::Binary => {
            let prefix;
            (prefix, digits) = match spec.style {
                Style::LowerHex => ("0x", Digits::of(format_args!("{bits:x}"))),
                Style::UpperHex => ("0x", Digits::of(format_args!("{bits:X}"))),
                Style::Octal => ("0o", Digits::of(format_args!("{bits:o}"))),
                _ => ("0b", Digits::of(format_args!("{bits:b}"))),
            };
            (false, if spec.alternate { prefix } else { "" }, digits.as_bytes())
        }
        Style::LowerExp | Style::UpperExp => {
            digits = match (spec.style, spec.precision) {
                (Style::LowerExp, None) => Digits::of(format_args!("{magnitude:e}")),
                (Style::LowerExp, Some(places)) => Digits::of(format_args!("{magnitude:.*e}", usize::from(places))),
                (_, None) => Digits::of(format_args!("{magnitude:E}")),
                (_, Some(places)) => Digits::of(format_args!("{magnitude:.*E}", usize::from(places))),
            };
            (is_negative, "", digits.as_bytes())
        }
        Style::Display | Style::Debug => (is_negative, "", buffer.format(magnitude).as_bytes()),
    };
    number(is_signed, prefix, body, spec, out);
}

fn float(value: f64, spec: &Spec, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    let digits = match (spec.style, spec.precision) {
        (Style::Debug, None) => Digits::of(format_args!("{magnitude:?}")),
        (Style::LowerExp, None) => Digits::of(format_args!("{magnitude:e}")),
        (Style::LowerExp, Some(places)) => Digits::of(format_args!("{magnitude:.*e}", usize::from(places))),
        (Style::UpperExp, None) => Digits::of(format_args!("{magnitude:E}")),
        (Style::UpperExp, Some(places)) => Digits::of(format_args!("{magnitude:.*E}", usize::from(places))),
        (_, None) => Digits::of(format_args!("{magnitude}")),
        (_, Some(places)) => Digits::of(format_args!("{magnitude:.*}", usize::from(places))),
    };
    float_digits(value.is_nan(), value.is_sign_negative(), digits.as_bytes(), spec, out);
}

fn float_of_32_bits(value: f32, spec: &Spec, out: &mut Vec<u8>) {
    // With a precision, the digits are those of the same number in 64 bits.
    if spec.precision.is_some() {
        return float(value.into(), spec, out);
    }
    let magnitude = value.abs();
    let digits = match spec.style {
        Style::Debug => Digits::of(format_args!("{magnitude:?}")),
        Style::LowerExp => Digits::of(format_args!("{magnitude:e}")),
        Style::UpperExp => Digits::of(format_args!("{magnitude:E}")),
        _ => Digits::of(format_args!("{magnitude}")),
    };
    float_digits(value.is_nan(), value.is_sign_negative(), digits.as_bytes(), spec, out);
}

fn float_digits(is_nan: bool, is_negative: bool, digits: &[u8], spec: &Spec, out: &mut Vec<u8>) {
    // What is not a number has no sign.
    number(is_negative && !is_nan, "", digits, &Spec { plus: spec.plus && !is_nan, ..*spec }, out);
}

/// Appends sign, prefix and digits, filled up to the width. By itself a number stands on the right.
fn number(is_negative: bool, prefix: &str, digits: &[u8], spec: &Spec, out: &mut Vec<u8>) {
    let sign = match (is_negative, spec.plus) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    };
    let missing = usize::from(spec.width).saturating_sub(sign.len() + prefix.len() + digits.len());
    let write_head = |out: &mut Vec<u8>| [sign, prefix].iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    if spec.zero {
        write_head(out);
        filled(missing, Align::Right, '0', out, |out| out.extend_from_slice(digits));
    } else {
        filled(missing, spec.align.unwrap_or(Align::Right), spec.fill, out, |out| {
            write_head(out);
            out.extend_from_slice(digits);
        });
    }
}
