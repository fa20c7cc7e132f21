//! Lines of text for people: whatever bytes a record holds, a line stays one line, and no bytes control the terminal.

use std::io::Write as _;

use crate::letters::is_unsafe_to_show;

/// Appends `message` to `out` as text: control characters of ASCII as `\n`, `\t`, `\x1b`; others, and invisible
/// characters that reorder or break lines, as `\u{202e}`; bytes that are not UTF-8 as `\xff`.
///
/// Of a message that is binary, all bytes beyond ASCII are shown as `\xff`: a few of them would make up characters by
/// chance. It is if it is not UTF-8, and has control characters that text does not have.
///
/// A backslash is not escaped, for the sake of paths: the text cannot be unescaped. JSON can.
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
#[inline]
pub fn text(message: &[u8], out: &mut Vec<u8>) {
    if is_plain(message) { out.extend_from_slice(message) } else { escape(message, out) }
}

/// Whether every byte is printable ASCII, so that nothing has to be escaped.
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
#[inline]
pub fn is_plain(message: &[u8]) -> bool {
    has_only(message, |_| true)
}

/// Whether every byte is printable ASCII and fits.
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
#[inline(always)]
pub fn has_only(message: &[u8], fits: impl Fn(u8) -> bool) -> bool {
    // Without an early return within a piece, so that the compiler can vectorise the loop.
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) & fits(byte);
    message.chunks(PIECE_BYTES).all(|piece| piece.iter().fold(true, |plain, byte| plain & is_plain(*byte)))
}

/// Bytes that are looked at before the search may end.
const PIECE_BYTES: usize = 256;

#[inline(never)]
fn escape(message: &[u8], out: &mut Vec<u8>) {
    if is_binary(message) {
        return bytes(message, out);
    }
    for chunk in message.utf8_chunks() {
        letters(chunk.valid(), out);
        bytes(chunk.invalid(), out);
    }
}

fn is_binary(message: &[u8]) -> bool {
    // Without an early return: in random bytes, the CPU would predict its place wrongly.
    let has = |kind: fn(u8) -> bool| message.iter().fold(false, |found, byte| found | kind(*byte));
    // The second question is a quick answer to the third.
    has(is_no_text) && (has(|byte| matches!(byte, 0xc0 | 0xc1 | 0xf5..)) || str::from_utf8(message).is_err())
}

/// Whether text does not have this byte: a control character other than the bell, those that move the cursor, and ESC.
fn is_no_text(byte: u8) -> bool {
    matches!(byte, 0..=0x06 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

/// Appends text of which the unsafe characters are escaped.
fn letters(text: &str, out: &mut Vec<u8>) {
    let mut shown = 0;
    for (at, letter) in text.char_indices().filter(|(_, letter)| is_unsafe_to_show(*letter)) {
        out.extend_from_slice(&text.as_bytes()[shown..at]);
        shown = at + letter.len_utf8();
        if letter.is_ascii() {
            bytes(&text.as_bytes()[at..shown], out);
        } else {
            // Writing to memory does not fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
        }
    }
    out.extend_from_slice(&text.as_bytes()[shown..]);
}

/// Appends each byte that is not printable ASCII escaped.
fn bytes(message: &[u8], out: &mut Vec<u8>) {
    for message in message.chunks(WINDOW_BYTES) {
        let begin = out.len();
        // Written in its place: bytes that are copied right after they were written have to be waited for.
        out.resize(begin + ROOM_BYTES, 0);
        let mut length = 0;
        if let Some(room) = out[begin..].first_chunk_mut::<ROOM_BYTES>() {
            for byte in message {
                let shown = SHOWN[usize::from(*byte)];
                // A mask is cheaper than a check for each byte.
                let place = length % (WINDOW_BYTES * SHOWN_BYTES);
                room[place..place + SHOWN_BYTES].copy_from_slice(&(shown as u32).to_le_bytes());
                length += (shown >> LENGTH_AT) as usize;
            }
        }
        out.truncate(begin + length);
    }
}

/// Bytes for which there is room at once.
const WINDOW_BYTES: usize = 64;

/// Room for what they are shown as; the last place that the mask allows is a whole one.
const ROOM_BYTES: usize = (WINDOW_BYTES + 1) * SHOWN_BYTES;

/// The most bytes that one byte is shown as.
const SHOWN_BYTES: usize = 4;

/// The bit of [`SHOWN`] from which on the number of bytes stands.
const LENGTH_AT: u32 = 32;

/// What each byte is shown as if it stands alone: the bytes in the low half, and their number. One load gives both.
const SHOWN: [u64; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < all.len() {
        let (shown, length) = match byte as u8 {
            b'\n' => (*b"\\n\0\0", 2),
            b'\r' => (*b"\\r\0\0", 2),
            b'\t' => (*b"\\t\0\0", 2),
            plain @ b' '..=b'~' => ([plain, 0, 0, 0], 1),
            _ => ([b'\\', b'x', DIGITS[byte >> 4], DIGITS[byte & 15]], 4),
        };
        all[byte] = u32::from_le_bytes(shown) as u64 | length << LENGTH_AT;
        byte += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    fn as_text(message: &[u8]) -> String {
        let mut out = Vec::new();
        text(message, &mut out);
        String::from_utf8(out).expect("text is UTF-8")
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
            ("größer\0".as_bytes(), r"größer\x00"),
            (b"gr\xc3\xb6\xc3\nr", "grö\\xc3\\nr"),
        ] {
            assert_eq!(as_text(message), shown);
        }
    }

    #[test]
    fn a_binary_message_has_no_characters_by_chance() {
        assert_eq!(as_text(b"\x02\x00\xc3\xb6\xff7"), r"\x02\x00\xc3\xb6\xff7");
    }

    /// As [`text`] describes it, a character at a time.
    fn described(message: &[u8]) -> String {
        let is_text = |byte: &u8| !byte.is_ascii_control() || b"\x07\x08\t\n\x0b\x0c\r\x1b".contains(byte);
        if str::from_utf8(message).is_err() && !message.iter().all(is_text) {
            return message.iter().map(described_byte).collect();
        }
        let mut shown = String::new();
        for chunk in message.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    _ if letter.is_ascii() => shown.push_str(&described_byte(&(letter as u8))),
                    _ if is_unsafe_to_show(letter) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
                    _ => shown.push(letter),
                }
            }
            shown.extend(chunk.invalid().iter().map(described_byte));
        }
        shown
    }

    fn described_byte(byte: &u8) -> String {
        match byte {
            b'\n' | b'\r' | b'\t' => byte.escape_ascii().to_string(),
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        }
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
}
