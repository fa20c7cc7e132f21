//! The part of a JSON object that a structured record has beside its text: where it was logged, and its fields.

use diolog::{CallsiteInfo, Level, Value};

use crate::text::digits::{hexadecimal, number};
use crate::text::escape;
use crate::text::piece::Piece;

/// Appends what the callsite with this number says, as members of an object, each after a comma.
pub(crate) fn callsite_json(id: u32, callsite: Option<&CallsiteInfo>, out: &mut Vec<u8>) {
    out.extend_from_slice(level_json(callsite.and_then(CallsiteInfo::level)));
    key_json("callsite", out);
    number(id, out);
    let Some(callsite) = callsite else { return };
    for (name, text) in [("target", callsite.target()), ("file", callsite.file()), ("template", callsite.template())] {
        key_json(name, out);
        escape::json(text.as_bytes(), out);
    }
    key_json("line", out);
    number(callsite.line(), out);
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
pub(crate) fn key_json(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    escape::json(name.as_bytes(), out);
    out.push(b':');
}

/// Appends the member `fields`, an object with the fields in their order. `write` appends each after a comma.
#[inline]
pub(crate) fn fields_json(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b",\"fields\":");
    let start = out.len();
    write(out);
    // The comma before the first field.
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Appends fields as members of an object, each after a comma, and returns whether a value was cut. Each field is its
/// place among the `keys` if it is one of them, its name, its value, and whether it was cut.
pub(crate) fn members_json<'a>(
    keys: &[Piece],
    fields: impl Iterator<Item = (Option<usize>, &'a str, Value<'a>, bool)>,
    out: &mut Vec<u8>,
) -> bool {
    let mut any_cut = false;
    for (index, name, value, cut) in fields {
        match index.and_then(|index| keys.get(index)) {
            Some(key) => key.append_to(out),
            None => key_json(name, out),
        }
        value_json(name, &value, out);
        any_cut |= cut;
    }
    any_cut
}

/// Appends the member `cut`, the names of the fields whose values were cut.
pub(crate) fn cut_json<'a>(names: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"cut\":[");
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        escape::json(name.as_bytes(), out);
    }
    out.push(b']');
}

/// Appends the value of the field `name`.
#[inline]
fn value_json(name: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    if value.append_json_number(out) {
        return;
    }
    match *value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &[(&str, Value<'_>, bool)]) -> (String, serde_json::Value) {
        let mut out = b"{\"x\":0".to_vec();
        let unindexed = fields.iter().map(|(name, value, cut)| (None, *name, *value, *cut));
        let mut any_cut = false;
        fields_json(&mut out, |out| any_cut = members_json(&[], unindexed, out));
        let mut with_keys = b"{\"x\":0".to_vec();
        let keys: Vec<_> = fields.iter().map(|(name, ..)| Piece::of(|out| key_json(name, out))).collect();
        let indexed = fields.iter().enumerate().map(|(index, (name, value, cut))| (Some(index), *name, *value, *cut));
        fields_json(&mut with_keys, |out| assert_eq!(members_json(&keys, indexed, out), any_cut));
        if any_cut {
            for out in [&mut out, &mut with_keys] {
                cut_json(fields.iter().filter(|(.., cut)| *cut).map(|(name, ..)| *name), out);
            }
        }
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
