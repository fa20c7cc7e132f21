//! Escaping: whatever bytes a record holds, a line stays one line, and no bytes control the terminal.

use std::io::Write as _;
use std::path::Path;

/// Appends `message` to `out` as text: control characters as `\n`, `\t`, `\x1b`, invisible characters that reorder or
/// break lines as `\u{202e}`, bytes that are not UTF-8 as `\xff`.
///
/// A backslash is not escaped, for the sake of paths: the text cannot be unescaped. JSON can.
pub(crate) fn text(message: &[u8], out: &mut Vec<u8>) {
    if is_plain(message) {
        out.extend_from_slice(message);
        return;
    }
    let mut rest = message;
    while !rest.is_empty() {
        let mut room = [0; ROOM_BYTES];
        let (taken, end) = fill(rest, &mut room);
        out.extend_from_slice(&room[..end]);
        rest = &rest[taken..];
    }
}

/// Escapes what stands in `out` from `start` on, as [`text`] does.
#[inline]
pub(crate) fn text_from(start: usize, out: &mut Vec<u8>) {
    if !is_plain(&out[start..]) {
        let message = out.split_off(start);
        text(&message, out);
    }
}

/// Bytes that are shown before they are appended; a power of two, and room for what is stored beyond them.
const ROOM_BYTES: usize = ROOM_MASK + 1 + SHOWN_BYTES;

/// Lets the compiler see that an offset is within the room, which is cheaper than a check for each byte.
const ROOM_MASK: usize = 255;

/// Shows the beginning of `message` in `room`. Returns how many bytes were shown, and as how many.
#[inline]
fn fill(message: &[u8], room: &mut [u8; ROOM_BYTES]) -> (usize, usize) {
    // The last character may go beyond these by three bytes, which take as much room as four.
    let piece = message.len().min(ROOM_MASK / SHOWN_BYTES - 4);
    let (mut at, mut end) = (0, 0);
    let mut put = |shown: u64| {
        let place = end & ROOM_MASK;
        room[place..place + SHOWN_BYTES].copy_from_slice(&(shown as u32).to_le_bytes());
        end += (shown >> LENGTH_AT) as usize;
    };
    while at < piece {
        let single = singles(&message[at..]).min(piece - at);
        message[at..at + single].iter().for_each(|byte| put(SHOWN[usize::from(*byte)]));
        at += single;
        if single == WORD_BYTES || at == piece {
            continue;
        }
        match letter_of_several_bytes(&message[at..]) {
            Some((letter, bytes)) => {
                let escaped = is_unsafe_to_show(letter).then(|| format!("\\u{{{:x}}}", u32::from(letter)));
                let shown = escaped.as_ref().map_or(bytes, String::as_bytes);
                shown.iter().for_each(|byte| put(u64::from(*byte) | 1 << LENGTH_AT));
                at += bytes.len();
            }
            None => {
                put(SHOWN[usize::from(message[at])]);
                at += 1;
            }
        }
    }
    (at, end)
}

/// Bytes that are looked at together.
const WORD_BYTES: usize = 8;

/// The number of bytes before the first one that may begin a character of several bytes: at most [`WORD_BYTES`].
#[inline]
fn singles(bytes: &[u8]) -> usize {
    if let (Some(these), Some(next)) = (bytes.first_chunk(), bytes.get(1..).and_then(|next| next.first_chunk())) {
        return singles_of(u64::from_le_bytes(*these), u64::from_le_bytes(*next));
    }
    let mut padded = [0; WORD_BYTES];
    let length = bytes.len().min(WORD_BYTES);
    padded[..length].copy_from_slice(&bytes[..length]);
    let these = u64::from_le_bytes(padded);
    // No byte follows the last one.
    singles_of(these, these >> 8).min(length)
}

/// As [`singles`], for eight bytes and the eight that begin one later, the first one lowest.
#[inline]
fn singles_of(these: u64, next: u64) -> usize {
    // The first byte of such a character begins with the bits 11, the ones after it with 10.
    let begins = these & these << 1 & next & !(next << 1) & 0x8080_8080_8080_8080;
    begins.trailing_zeros() as usize / 8
}

/// The most bytes that one byte is shown as.
const SHOWN_BYTES: usize = 4;

/// The bit of [`SHOWN`] from which on the number of bytes stands.
const LENGTH_AT: u32 = 32;

/// What each byte is shown as if it is no part of a longer character: its bytes in the low half, and their number.
const SHOWN: [u64; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (bytes, length) = match byte as u8 {
            b'\n' => (*b"\\n\0\0", 2),
            b'\r' => (*b"\\r\0\0", 2),
            b'\t' => (*b"\\t\0\0", 2),
            plain @ b' '..=b'~' => ([plain, 0, 0, 0], 1),
            _ => ([b'\\', b'x', DIGITS[byte >> 4], DIGITS[byte & 15]], 4),
        };
        all[byte] = u32::from_le_bytes(bytes) as u64 | length << LENGTH_AT;
        byte += 1;
    }
    all
};

/// The character at the start of `bytes`, and its bytes, if it has two or more.
#[inline]
fn letter_of_several_bytes(bytes: &[u8]) -> Option<(char, &[u8])> {
    let length = match bytes[0] {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return None,
    };
    let letter = bytes.get(..length)?;
    Some((std::str::from_utf8(letter).ok()?.chars().next()?, letter))
}

/// [`text`] of a string, such as a name.
pub(crate) fn name(name: &str) -> String {
    let mut out = Vec::new();
    text(name.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
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

/// Whether every byte is printable ASCII that stands in a JSON string as it is. Without an early return, as
/// [`is_plain`].
#[inline]
fn is_json(message: &[u8]) -> bool {
    let needs_escape = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
    !message.iter().fold(false, |other, byte| other | needs_escape(*byte))
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

/// Whether every byte is printable ASCII. Without an early return, so that the compiler can vectorise the loop.
fn is_plain(message: &[u8]) -> bool {
    !message.iter().fold(false, |other, byte| other | !(b' '..=b'~').contains(byte))
}

/// Whether it is a control character, a line separator of Unicode, or a mark that changes the direction of the text.
fn is_unsafe_to_show(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn formatted(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_text(message: &[u8]) -> String {
        let mut out = Vec::new();
        text(message, &mut out);
        String::from_utf8(out).expect("text is UTF-8")
    }

    fn as_json(message: &[u8]) -> String {
        let mut out = Vec::new();
        json(message, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn harmless_text_is_not_escaped() {
        for message in ["", "order 42 filled", "C:\\temp", "\"quoted\"", "größer ≤ 日本 🦀"] {
            assert_eq!(as_text(message.as_bytes()), message);
        }
    }

    #[test]
    fn control_characters_and_invalid_utf_8_are_escaped() {
        for (message, shown) in [
            (&b"a\nb\r\tc"[..], r"a\nb\r\tc"),
            (b"\x1b[31mred\x00\x7f", r"\x1b[31mred\x00\x7f"),
            ("\u{9b}31m \u{202e}evil \u{2028}".as_bytes(), r"\u{9b}31m \u{202e}evil \u{2028}"),
            (b"half \xe6\x97 \xff", r"half \xe6\x97 \xff"),
        ] {
            assert_eq!(as_text(message), shown);
        }
    }

    /// As [`text`] describes it, a character at a time.
    fn described(message: &[u8]) -> String {
        let mut shown = String::new();
        for chunk in message.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\n' | '\r' | '\t' => shown.extend(letter.escape_default()),
                    _ if letter.is_ascii_control() => shown.push_str(&format!("\\x{:02x}", u32::from(letter))),
                    _ if is_unsafe_to_show(letter) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
                    _ => shown.push(letter),
                }
            }
            chunk.invalid().iter().for_each(|byte| shown.push_str(&format!("\\x{byte:02x}")));
        }
        shown
    }

    #[test]
    fn text_is_what_its_description_says_for_every_byte_and_character_and_for_noise() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let message = [b'a', first, second, 0x80, b'z'];
                assert_eq!(as_text(&message), described(&message), "{message:x?}");
            }
        }
        for letter in '\0'..=char::MAX {
            let message = letter.to_string();
            assert_eq!(as_text(message.as_bytes()), described(message.as_bytes()), "{letter:?}");
        }
        let mut state = 1_u64;
        for length in (0..300).chain([5_000]) {
            let mut noise = Vec::new();
            noise.resize_with(length, || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Half of it makes the bytes of long characters frequent.
                (state >> 56) as u8 | if length % 2 == 0 { 0x80 } else { 0 }
            });
            assert_eq!(as_text(&noise), described(&noise), "{length} bytes");
        }
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
