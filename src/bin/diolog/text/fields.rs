//! The part of a JSON object that a structured record has beside its text: where it was logged, and its fields.

use std::borrow::Cow;
use std::collections::HashMap;

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

/// The keys of an object, of which no two are equal: of equal ones many programs keep only the last.
#[derive(Default)]
pub(crate) struct Keys<'a> {
    /// Each with the first number that may be free for another member of this name.
    taken: HashMap<Cow<'a, str>, u64>,
}

impl<'a> Keys<'a> {
    /// The key of one more member: its name, or `NAME_2`, `NAME_3` and so on if that is taken.
    pub(crate) fn take(&mut self, name: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let name = name.into();
        let Some(mut number) = self.taken.get(&name).copied() else {
            self.taken.insert(name.clone(), 2);
            return name;
        };
        loop {
            let key = Cow::from(format!("{name}_{number}"));
            number += 1;
            if !self.taken.contains_key(&key) {
                self.taken.insert(name, number);
                self.taken.insert(key.clone(), 2);
                return key;
            }
        }
    }
}

/// Appends fields as members of an object, each after a comma, and to `cut` a comma and the key of each whose value was
/// cut. Each field is its place among the callsite's `keys` if it is one of them, its name, its value, and whether that
/// was cut.
pub(crate) fn members_json<'a>(
    keys: &[Piece],
    fields: impl Iterator<Item = (Option<usize>, &'a str, Value<'a>, bool)> + Clone,
    out: &mut Vec<u8>,
    cut: &mut Vec<u8>,
) {
    let start = out.len();
    for (index, name, value, is_cut) in fields.clone() {
        let key = index.and_then(|index| keys.get(index));
        let (Some(key), false) = (key, is_not_text(&value)) else {
            // This record has keys that its callsite does not know: any of them may be equal to one that it knows.
            out.truncate(start);
            cut.clear();
            return members_of_any_keys_json(fields, out, cut);
        };
        key.append_to(out);
        value_json(&value, out);
        if is_cut {
            cut.push(b',');
            escape::json(name.as_bytes(), cut);
        }
    }
}

/// As [`members_json`], with keys that are found for this record alone.
#[inline(never)]
fn members_of_any_keys_json<'a>(
    fields: impl Iterator<Item = (Option<usize>, &'a str, Value<'a>, bool)>,
    out: &mut Vec<u8>,
    cut: &mut Vec<u8>,
) {
    let mut keys = Keys::default();
    for (_, name, value, is_cut) in fields {
        let key = keys.take(name);
        key_json(&key, out);
        value_json(&value, out);
        if let Value::Bytes(bytes) = value
            && is_not_text(&value)
        {
            hex_json(&keys.take(format!("{key}_hex")), bytes, out);
        }
        if is_cut {
            cut.push(b',');
            escape::json(key.as_bytes(), cut);
        }
    }
}

/// Appends the member `cut`, the keys of the fields whose values were cut; `keys` begins with a comma.
pub(crate) fn cut_json(keys: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"cut\":[");
    out.extend_from_slice(&keys[1..]);
    out.push(b']');
}

/// Whether the value is bytes that are not UTF-8.
fn is_not_text(value: &Value<'_>) -> bool {
    matches!(value, Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err())
}

/// Appends the value of a field. Bytes are text, with replacement characters if they are not UTF-8.
#[inline]
fn value_json(value: &Value<'_>, out: &mut Vec<u8>) {
    if value.append_json_number(out) {
        return;
    }
    match *value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Str(text) | Value::Text(text) => escape::json(text.as_bytes(), out),
        Value::Bytes(bytes) => escape::json(bytes, out),
        Value::Char(letter) => escape::json(letter.encode_utf8(&mut [0; 4]).as_bytes(), out),
        // A value of a kind that this program does not know yet, as text.
        ref value => escape::json(value.to_string().as_bytes(), out),
    }
}

/// Appends the member `key`: bytes in hexadecimal.
pub(crate) fn hex_json(key: &str, bytes: &[u8], out: &mut Vec<u8>) {
    key_json(key, out);
    out.push(b'"');
    bytes.iter().for_each(|byte| hexadecimal(*byte, out));
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &[(&str, Value<'_>, bool)]) -> (String, serde_json::Value) {
        let object = |keys: &[Piece], index: &dyn Fn(usize) -> Option<usize>| {
            let (mut out, mut cut) = (b"{\"x\":0".to_vec(), Vec::new());
            let of = |(at, (name, value, cut)): (usize, &(_, _, _))| (index(at), *name, *value, *cut);
            fields_json(&mut out, |out| members_json(keys, fields.iter().enumerate().map(of), out, &mut cut));
            if !cut.is_empty() {
                cut_json(&cut, &mut out);
            }
            out.push(b'}');
            String::from_utf8(out).expect("UTF-8")
        };
        let keys: Vec<_> = fields.iter().map(|(name, ..)| Piece::of(|out| key_json(name, out))).collect();
        let (text, with_keys) = (object(&[], &|_| None), object(&keys, &Some));
        assert_eq!(text, with_keys);
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

    #[test]
    fn no_two_keys_of_an_object_are_equal() {
        let mut keys = Keys::default();
        for (name, key) in [("a", "a"), ("a_2", "a_2"), ("a", "a_3"), ("a", "a_4"), ("a_2", "a_2_2"), ("a_3", "a_3_2")]
        {
            assert_eq!(keys.take(name), key);
        }
        let fields =
            [("b_hex", Value::Bool(true), false), ("b", Value::Bytes(b"\xFF"), true), ("b", Value::None, true)];
        let mut out = b"{\"x\":0".to_vec();
        let mut cut = Vec::new();
        fields_json(&mut out, |out| {
            members_json(&[], fields.into_iter().map(|(name, value, cut)| (None, name, value, cut)), out, &mut cut);
        });
        cut_json(&cut, &mut out);
        let expected = r#"{"x":0,"fields":{"b_hex":true,"b":"�","b_hex_2":"ff","b_2":null},"cut":["b","b_2"]"#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
