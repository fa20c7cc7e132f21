//! A field that the template does not name, as `name=value`: with quotes around what would not be one word.

use crate::format::{Type, Value};

use super::value::{literal, plain};

/// Appends a field's name and `=`, with quotes around a name that would not be one word.
pub(super) fn name(name: &str, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(name.as_bytes());
    if !is_word(&out[at..]) {
        quote(at, out);
    }
    out.push(b'=');
}

/// Appends the value of a field of type `of`. A text has quotes if it would not be one word, or look like a value that
/// is absent, unless it is what `?` has made of either. Bytes that are not UTF-8 are a literal of Rust.
pub(super) fn value(value: &Value<'_>, of: Type, out: &mut Vec<u8>) {
    let at = out.len();
    match value {
        Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => return literal(bytes, out),
        _ => plain(value, out),
    }
    let is_text = matches!(value, Value::Char(_) | Value::Str(_) | Value::Text(_) | Value::Bytes(_));
    let text = &out[at..];
    let is_whole = match of {
        Type::Debug => is_word(text) || is_literal(text),
        _ => is_word(text) && text != b"None",
    };
    if is_text && !is_whole {
        quote(at, out);
    }
}

/// Whether the text is in quotes already, and each quote in it after a backslash.
fn is_literal(text: &[u8]) -> bool {
    let Some(inner) = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else { return false };
    let mut is_escaped = false;
    let is_inner = |&byte: &u8| {
        let is_quote = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        !is_quote
    };
    inner.iter().all(is_inner) && !is_escaped
}

/// Whether the text is seen to be one word: not empty, and without spaces, quotes, `=` and control characters.
pub(super) fn is_word(text: &[u8]) -> bool {
    let is_apart = |byte: &u8| matches!(byte, 0..=b' ' | b'"' | b'=' | b'\\' | 0x7F);
    !text.is_empty() && !text.iter().any(is_apart)
}

/// Puts what begins at `at` in quotes, and a backslash before quotes and backslashes in it.
fn quote(at: usize, out: &mut Vec<u8>) {
    let is_special = |byte: u8| byte == b'"' || byte == b'\\';
    let specials = out[at..].iter().filter(|&&byte| is_special(byte)).count();
    let mut from = out.len();
    out.resize(from + specials + 2, b'"');
    // From the end, so that nothing is overwritten that has not been moved.
    let mut to = out.len() - 1;
    while from > at {
        from -= 1;
        to -= 1;
        out[to] = out[from];
        if is_special(out[to]) {
            to -= 1;
            out[to] = b'\\';
        }
    }
    out[at] = b'"';
}
