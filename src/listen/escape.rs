//! Escapes control characters in a line of text, so that a record stays one line and its bytes do not control the
//! terminal.

use std::io::Write as _;

use crate::letters::is_unsafe_to_show;

/// Appends `text` as `diolog cat` shows it: control characters as `\n`, `\t`, `\x1b`; invisible characters that reorder
/// or break lines as `\u{202e}`; bytes that are not UTF-8 as `\xff`.
pub(super) fn text(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            // Writing to memory does not fail.
            let _ = match letter {
                '\n' => out.write_all(b"\\n"),
                '\r' => out.write_all(b"\\r"),
                '\t' => out.write_all(b"\\t"),
                _ if letter.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(letter)),
                _ if is_unsafe_to_show(letter) => write!(out, "\\u{{{:x}}}", u32::from(letter)),
                _ => out.write_all(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_invalid_utf_8_are_escaped_and_other_text_is_not() {
        for (message, shown) in [
            (&b"order 42 \\ filled"[..], r"order 42 \ filled"),
            ("größer ≤ 日本 🦀".as_bytes(), "größer ≤ 日本 🦀"),
            (b"a\nb\r\tc", r"a\nb\r\tc"),
            (b"\x1b[31mred\x00\x7f", r"\x1b[31mred\x00\x7f"),
            ("\u{9b}31m \u{202e}evil \u{2028}".as_bytes(), r"\u{9b}31m \u{202e}evil \u{2028}"),
            (b"half \xe6\x97 \xff", r"half \xe6\x97 \xff"),
        ] {
            let mut out = Vec::new();
            text(message, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), shown);
        }
    }
}
