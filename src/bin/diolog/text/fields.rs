//! The part of a JSON object that a structured record has beside its text: where it was logged, and its fields.

use diolog::{CallsiteInfo, Level, Value};

use crate::text::digits::{hexadecimal, number};
use crate::text::escape;

/// Beyond this, integers are strings: many programs read JSON numbers as doubles, and would round them.
const EXACT_MAX: u64 = 1 << 53;

/// What the records of a callsite have in common, as JSON.
pub(crate) struct CallsiteJson {
    /// Members of an object, each after a comma.
    pub(crate) members: Vec<u8>,
    /// For each field its name as a key, after a comma.
    pub(crate) keys: Vec<Vec<u8>>,
}

impl CallsiteJson {
    /// Of the callsite with this number, if it is known.
    pub(crate) fn of(id: u32, callsite: Option<&CallsiteInfo>) -> CallsiteJson {
        let mut members = level_json(callsite.and_then(CallsiteInfo::level)).to_vec();
        members.extend_from_slice(b",\"callsite\":");
        number(id, &mut members);
        let Some(callsite) = callsite else { return CallsiteJson { members, keys: Vec::new() } };
        for (name, text) in
            [("target", callsite.target()), ("file", callsite.file()), ("template", callsite.template())]
        {
            key_json(name, &mut members);
            escape::json(text.as_bytes(), &mut members);
        }
        key_json("line", &mut members);
        number(callsite.line(), &mut members);
        let key = |name| {
            let mut key = Vec::new();
            key_json(name, &mut key);
            key
        };
        CallsiteJson { members, keys: callsite.field_names().map(key).collect() }
    }
}

/// The member `level`, after a comma.
pub(crate) fn level_json(level: Option<Level>) -> &'static [u8] {
    match level {
        Some(Level::Error) => b",\"level\":\"error\"",
        Some(Level::Warn) => b",\"level\":\"warn\"",
        Some(Level::Info) => b",\"level\":\"info\"",
        Some(Level::Debug) => b",\"level\":\"debug\"",
        Some(Level::Trace) => b",\"level\":\"trace\"",
        _ => b",\"level\":null",
    }
}

/// Appends a comma, the name of a member and a colon.
fn key_json(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    escape::json(name.as_bytes(), out);
    out.push(b':');
}

/// Appends the member `fields`, an object with the fields in their order, and if some values were cut the member `cut`
/// with their names. Each field is its place among the `keys` if it is one of them, its name, its value, and whether it
/// was cut.
pub(crate) fn fields_json<'a>(
    keys: &[Vec<u8>],
    fields: impl Iterator<Item = (Option<usize>, &'a str, Value<'a>, bool)> + Clone,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b",\"fields\":");
    let start = out.len();
    let mut any_cut = false;
    for (index, name, value, cut) in fields.clone() {
        match index.and_then(|index| keys.get(index)) {
            Some(key) => out.extend_from_slice(key),
            None => key_json(name, out),
        }
        value_json(name, &value, out);
        any_cut |= cut;
    }
    // The comma before the first field.
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    if any_cut {
        out.extend_from_slice(b",\"cut\":");
        let start = out.len();
        for (_, name, ..) in fields.filter(|(.., cut)| *cut) {
            out.push(b',');
            escape::json(name.as_bytes(), out);
        }
        out[start] = b'[';
        out.push(b']');
    }
}

/// Appends the value of the field `name`.
fn value_json(name: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    match *value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Unsigned(number) => quoted_if(number > EXACT_MAX, value, out),
        Value::Signed(number) => quoted_if(number.unsigned_abs() > EXACT_MAX, value, out),
        Value::Unsigned128(number) => quoted_if(number > EXACT_MAX.into(), value, out),
        Value::Signed128(number) => quoted_if(number.unsigned_abs() > EXACT_MAX.into(), value, out),
        Value::F32(number) => fraction(number.into(), value, out),
        Value::F64(number) => fraction(number, value, out),
        Value::Str(text) | Value::Text(text) => escape::json(text.as_bytes(), out),
        Value::Bytes(bytes) => bytes_json(name, bytes, out),
        Value::Char(letter) => escape::json(letter.encode_utf8(&mut [0; 4]).as_bytes(), out),
        // A value of a kind that this program does not know yet, as text.
        ref value => escape::json(value.to_string().as_bytes(), out),
    }
}

/// Appends bytes as the string of the member `name`, and if they are not UTF-8 a member `NAME_hex` with all of them.
pub(crate) fn bytes_json(name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    escape::json(bytes, out);
    if std::str::from_utf8(bytes).is_err() {
        // The string has replacement characters.
        out.push(b',');
        escape::json(format!("{name}_hex").as_bytes(), out);
        out.extend_from_slice(b":\"");
        bytes.iter().for_each(|byte| hexadecimal(*byte, out));
        out.push(b'"');
    }
}

/// Appends the value's text, in quotes if `quoted`.
#[inline]
fn quoted_if(quoted: bool, value: &Value<'_>, out: &mut Vec<u8>) {
    if quoted {
        out.push(b'"');
    }
    value.append_to(out);
    if quoted {
        out.push(b'"');
    }
}

/// Appends a value that is the number `fraction`: always with a point, so that it stays one. JSON has no number for
/// `NaN` and `inf`: they are strings.
#[inline]
fn fraction(fraction: f64, value: &Value<'_>, out: &mut Vec<u8>) {
    quoted_if(!fraction.is_finite(), value, out);
    // What is too large for the conversion is whole.
    let is_whole = (fraction as i64) as f64 == fraction || fraction.abs() >= i64::MAX as f64;
    if is_whole && fraction.is_finite() {
        out.extend_from_slice(b".0");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &[(&str, Value<'_>, bool)]) -> (String, serde_json::Value) {
        let mut out = b"{\"x\":0".to_vec();
        fields_json(&[], fields.iter().map(|(name, value, cut)| (None, *name, *value, *cut)), &mut out);
        let mut with_keys = b"{\"x\":0".to_vec();
        let keys: Vec<_> = fields.iter().map(|(name, ..)| format!(",{}:", json!(name)).into_bytes()).collect();
        let indexed = fields.iter().enumerate().map(|(index, (name, value, cut))| (Some(index), *name, *value, *cut));
        fields_json(&keys, indexed, &mut with_keys);
        with_keys.push(b'}');
        out.push(b'}');
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text.as_bytes(), with_keys);
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
