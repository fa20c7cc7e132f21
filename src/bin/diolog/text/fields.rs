//! The part of a JSON object that a structured record has beside its text: where it was logged, and its fields.

use diolog::{CallsiteInfo, Value};

use crate::text::digits::{hexadecimal, number};
use crate::text::escape;

/// Beyond this, integers are strings: many programs read JSON numbers as doubles, and would round them.
const EXACT_MAX: u64 = 1 << 53;

/// The members of an object that a callsite's records share.
pub(crate) fn callsite_json(callsite: &CallsiteInfo) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, text) in [
        (&b",\"target\":"[..], callsite.target()),
        (b",\"file\":", callsite.file()),
        (b",\"template\":", callsite.template()),
    ] {
        out.extend_from_slice(name);
        escape::json(text.as_bytes(), &mut out);
    }
    out.extend_from_slice(b",\"line\":");
    number(callsite.line(), &mut out);
    out
}

/// Appends the member `fields`, an object with the fields in their order, and if some values were cut the member `cut`
/// with their names. Each field is its name, its value, and whether it was cut.
pub(crate) fn fields_json<'a>(fields: impl Iterator<Item = (&'a str, Value<'a>, bool)> + Clone, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"fields\":{");
    let (mut is_first, mut any_cut) = (true, false);
    for (name, value, cut) in fields.clone() {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        escape::json(name.as_bytes(), out);
        out.push(b':');
        value_json(name, &value, out);
        any_cut |= cut;
    }
    out.push(b'}');
    if any_cut {
        out.extend_from_slice(b",\"cut\":[");
        for (at, (name, ..)) in fields.filter(|(.., cut)| *cut).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            escape::json(name.as_bytes(), out);
        }
        out.push(b']');
    }
}

/// Appends the value of the field `name`.
fn value_json(name: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    match *value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Unsigned(value) => quoted_if(value > EXACT_MAX, out, |out| number(value, out)),
        Value::Signed(value) => quoted_if(value.unsigned_abs() > EXACT_MAX, out, |out| number(value, out)),
        Value::Unsigned128(value) => quoted_if(value > EXACT_MAX.into(), out, |out| number(value, out)),
        Value::Signed128(value) => {
            quoted_if(value.unsigned_abs() > EXACT_MAX.into(), out, |out| number(value, out));
        }
        Value::F32(number) => fraction(number.is_finite(), value, out),
        Value::F64(number) => fraction(number.is_finite(), value, out),
        Value::Str(text) | Value::Text(text) => escape::json(text.as_bytes(), out),
        Value::Bytes(bytes) => {
            escape::json(bytes, out);
            if std::str::from_utf8(bytes).is_err() {
                // The string has replacement characters: this member has all bytes.
                out.push(b',');
                escape::json(format!("{name}_hex").as_bytes(), out);
                out.extend_from_slice(b":\"");
                bytes.iter().for_each(|byte| hexadecimal(*byte, out));
                out.push(b'"');
            }
        }
        Value::Char(letter) => escape::json(letter.encode_utf8(&mut [0; 4]).as_bytes(), out),
        // A value of a kind that this program does not know yet, as text.
        ref value => escape::json(value.to_string().as_bytes(), out),
    }
}

/// Appends what `write` appends, in quotes if `quoted`.
fn quoted_if(quoted: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quoted {
        out.push(b'"');
    }
    write(out);
    if quoted {
        out.push(b'"');
    }
}

/// Appends a number with a fraction: always with a point, so that it stays one. JSON has no number for `NaN` and `inf`:
/// they are strings.
fn fraction(is_finite: bool, value: &Value<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    quoted_if(!is_finite, out, |out| value.append_to(out));
    if is_finite && !out[start..].contains(&b'.') {
        out.extend_from_slice(b".0");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &[(&str, Value<'_>, bool)]) -> (String, serde_json::Value) {
        let mut out = b"{\"x\":0".to_vec();
        fields_json(fields.iter().copied(), &mut out);
        out.push(b'}');
        let text = String::from_utf8(out).expect("UTF-8");
        let read = serde_json::from_str(&text).expect("JSON");
        (text, read)
    }

    #[test]
    fn values_keep_their_types() {
        let (text, object) = read(&[
            ("id", Value::Unsigned(42), false),
            ("change", Value::Signed(-7), false),
            ("price", Value::F64(101.25), false),
            ("whole", Value::F64(100.0), false),
            ("half", Value::F32(0.5), false),
            ("ok", Value::Bool(true), false),
            ("nothing", Value::None, false),
            ("letter", Value::Char('"'), false),
            ("a \"name\"", Value::Str("line\nfeed"), false),
            ("shown", Value::Text("1ms"), false),
        ]);
        let expected = json!({
            "id": 42, "change": -7, "price": 101.25, "whole": 100.0, "half": 0.5, "ok": true, "nothing": null,
            "letter": "\"", "a \"name\"": "line\nfeed", "shown": "1ms",
        });
        assert_eq!(object["fields"], expected);
        assert!(text.contains("\"whole\":100.0,") && object.get("cut").is_none(), "{text}");
    }

    #[test]
    fn what_a_double_cannot_hold_is_a_string() {
        let limit = 1 << 53;
        let (_, object) = read(&[
            ("exact", Value::Unsigned(limit), false),
            ("beyond", Value::Unsigned(limit + 1), false),
            ("below", Value::Signed(-(limit as i64) - 1), false),
            ("small", Value::Signed128(-5), false),
            ("wide", Value::Unsigned128(u128::MAX), false),
            ("nan", Value::F64(f64::NAN), false),
            ("infinite", Value::F32(f32::NEG_INFINITY), false),
            ("zero", Value::F64(-0.0), false),
            ("large", Value::F64(1e300), false),
        ]);
        let expected = json!({
            "exact": 9_007_199_254_740_992_u64, "beyond": "9007199254740993", "below": "-9007199254740993", "small": -5,
            "wide": u128::MAX.to_string(), "nan": "NaN", "infinite": "-inf", "zero": -0.0, "large": 1e300,
        });
        assert_eq!(object["fields"], expected);
    }

    #[test]
    fn bytes_are_text_with_all_bytes_beside_it_if_they_are_none() {
        let (_, object) = read(&[("a", Value::Bytes(b"plain"), false), ("b", Value::Bytes(b"\xFF\x00"), true)]);
        assert_eq!(object["fields"], json!({ "a": "plain", "b": "\u{FFFD}\0", "b_hex": "ff00" }));
        assert_eq!(object["cut"], json!(["b"]), "it names what was cut");
        assert_eq!(read(&[]).1["fields"], json!({}));
    }
}
