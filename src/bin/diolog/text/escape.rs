//! Escaping: whatever bytes a record holds, a line stays one line, and no bytes control the terminal.

use std::io::Write as _;
use std::path::Path;

pub(crate) use diolog::unstable::{escape_text as text, is_plain};
use diolog::unstable::{has_only_printable, is_unsafe_to_show};

/// Escapes what stands in `out` from `start` on, as [`text`] does.
#[inline]
pub(crate) fn text_from(start: usize, out: &mut Vec<u8>) {
    if !is_plain(&out[start..]) {
        let message = out.split_off(start);
        text(&message, out);
    }
}

/// [`text`] of a string, such as a name.
pub(crate) fn name(name: &str) -> String {
    let mut out = Vec::new();
    text(name.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The name of a producer, as [`name`] shows it; its number, as `#3`, if it has none.
pub(crate) fn producer(id: u32, named: &str) -> String {
    if named.is_empty() { format!("#{id}") } else { name(named) }
}

/// [`text`] of a path, as a string.
pub(crate) fn path(path: &Path) -> String {
    name(&path.to_string_lossy())
}

/// A name for JSON: null if there is none.
pub(crate) fn known(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

/// Ends the JSON string whose quote stands in `out` right before `start`: escapes what follows the quote, as [`json`]
/// does.
#[inline]
pub(crate) fn end_json(start: usize, out: &mut Vec<u8>) {
    if is_json(&out[start..]) {
        out.push(b'"');
    } else {
        let message = out.split_off(start);
        out.truncate(start - 1);
        json(&message, out);
    }
}

/// Whether every byte is printable ASCII that stands in a JSON string as it is.
#[inline]
pub(crate) fn is_json(message: &[u8]) -> bool {
    has_only_printable(message, |byte| (byte != b'"') & (byte != b'\\'))
}

/// Appends `message` to `out` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
///
/// Escapes all that [`text`] escapes, although JSON would allow some of it: JSON is read on terminals too.
pub(crate) fn json(message: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if is_json(message) {
        out.extend_from_slice(message);
    } else {
        for letter in String::from_utf8_lossy(message).chars() {
            match letter {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // All of these are in the Basic Multilingual Plane: one UTF-16 unit.
                _ if is_unsafe_to_show(letter) => formatted(out, format_args!("\\u{:04x}", u32::from(letter))),
                _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

/// Appends `value` to `out` as JSON with a line feed, with the same characters escaped in its strings.
pub(crate) fn json_value(value: &serde_json::Value, out: &mut Vec<u8>) {
    for letter in value.to_string().chars() {
        match letter {
            // They stand in strings only, and are in the Basic Multilingual Plane.
            _ if is_unsafe_to_show(letter) => formatted(out, format_args!("\\u{:04x}", u32::from(letter))),
            _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'\n');
}

fn formatted(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_json(message: &[u8]) -> String {
        let mut out = Vec::new();
        json(message, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn every_byte_and_every_character_gives_json_that_reads_back() {
        for byte in 0..=255_u8 {
            let message = [b'a', byte, b'z'];
            let read: String = serde_json::from_str(&as_json(&message)).expect("JSON");
            assert_eq!(read, String::from_utf8_lossy(&message));
        }
        for letter in ('\0'..=char::MAX).step_by(7).chain(['\u{9b}', '\u{2028}', '\u{202e}']) {
            let mut message = [0; 4];
            let message = letter.encode_utf8(&mut message);
            let json = as_json(message.as_bytes());
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), *message);
            assert!(!json.contains(is_unsafe_to_show), "{letter:?}");
        }
    }
}
