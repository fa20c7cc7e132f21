//! Escaping: whatever bytes a record holds, a line stays one line, and no bytes control the terminal.

use std::io::Write as _;
use std::ops::RangeInclusive;
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
        // Written in its place: bytes that are copied right after they were written have to be waited for.
        let begin = out.len();
        out.resize(begin + ROOM_BYTES, 0);
        let Some(room) = out.last_chunk_mut() else { return };
        let (taken, length) = fill(rest, room);
        out.truncate(begin + length);
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

/// Bytes in which the characters that are shown at once may begin: the last one ends within the bits of a mask.
const PIECE_BYTES: usize = MASK_BYTES - 4;

/// Bytes for which a mask has a bit.
const MASK_BYTES: usize = u64::BITS as usize;

/// What is looked at for a piece: its bytes, and as many more as are read together.
type Window = [u8; MASK_BYTES + WORD_BYTES];

const _: () = assert!(MASK_BYTES * SHOWN_BYTES <= ROOM_MASK + 1);

/// Shows the beginning of `message` in `room`. Returns how many bytes were shown, and as how many.
#[inline]
fn fill(message: &[u8], room: &mut [u8; ROOM_BYTES]) -> (usize, usize) {
    let mut padded;
    let window: &Window = if let Some(window) = message.first_chunk() {
        window
    } else {
        padded = [0; size_of::<Window>()];
        padded[..message.len()].copy_from_slice(message);
        &padded
    };
    let Letters { mut parts, unsafe_at } = letters(window);
    if unsafe_at == 0
        && let Some((letter, bytes)) = letter_of_several_bytes(window)
    {
        let escaped = format!("\\u{{{:x}}}", u32::from(letter));
        room[..escaped.len()].copy_from_slice(escaped.as_bytes());
        return (bytes.len(), escaped.len());
    }
    let mut piece = message.len().min(unsafe_at);
    if piece == PIECE_BYTES {
        // With the rest of a character that is cut.
        piece += (parts >> PIECE_BYTES).trailing_ones() as usize;
    }
    let mut end = 0;
    for byte in &window[..piece] {
        let shown = SHOWN[usize::from(*byte) | (parts as usize & 1) << 8];
        parts >>= 1;
        let place = end & ROOM_MASK;
        room[place..place + SHOWN_BYTES].copy_from_slice(&(shown as u32).to_le_bytes());
        end += (shown >> LENGTH_AT) as usize;
    }
    (piece, end)
}

/// The characters of several bytes that begin in a piece.
struct Letters {
    /// A bit for each byte that is part of one that is shown as it is.
    parts: u64,
    /// Where the first one stands that is not shown as it is; the piece's end if there is none.
    unsafe_at: usize,
}

/// Finds the characters of several bytes in a piece, most of them by their bits alone.
#[inline]
fn letters(window: &Window) -> Letters {
    let begins = begins(window);
    let (mut parts, mut are_doubtful) = (0, false);
    let mut left = begins;
    while left != 0 {
        let at = left.trailing_zeros() as usize;
        left &= left - 1;
        let bytes = window[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let lead = &LEADS[bytes as usize % LEADS.len()];
        let is_letter = bytes & lead.compared == lead.bits;
        parts |= if is_letter { lead.parts << at } else { 0 };
        are_doubtful |= is_letter & !lead.harmless.contains(&((bytes >> 8) as u8));
    }
    if are_doubtful { letters_one_by_one(window, begins) } else { Letters { parts, unsafe_at: PIECE_BYTES } }
}

/// As [`letters`], if some look like characters and are not valid, or may be unsafe to show.
#[cold]
#[inline(never)]
fn letters_one_by_one(window: &Window, begins: u64) -> Letters {
    let mut parts = 0;
    let mut left = begins;
    while left != 0 {
        let at = left.trailing_zeros() as usize;
        left &= left - 1;
        match letter_of_several_bytes(&window[at..]) {
            Some((letter, _)) if is_unsafe_to_show(letter) => return Letters { parts, unsafe_at: at },
            Some((_, bytes)) => parts |= ((1 << bytes.len()) - 1) << at,
            None => {}
        }
    }
    Letters { parts, unsafe_at: PIECE_BYTES }
}

/// Bytes that are looked at together.
const WORD_BYTES: usize = 8;

/// A bit for each byte of a piece with which a character of several bytes may begin: one of the form 11xxxxxx before one
/// of the form 10xxxxxx.
#[inline]
fn begins(window: &Window) -> u64 {
    let mut begins = 0;
    for word in 0..MASK_BYTES / WORD_BYTES {
        let word_at = |at: usize| window[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (these, next) = (word_at(WORD_BYTES * word), word_at(WORD_BYTES * word + 1));
        let here = these & these << 1 & next & !(next << 1) & 0x8080_8080_8080_8080;
        // The highest bits of the eight bytes, side by side.
        let bits = (here >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        begins |= bits << (WORD_BYTES * word);
    }
    begins & ((1 << PIECE_BYTES) - 1)
}

/// What characters of several bytes with a certain first byte have in common.
struct Lead {
    /// The bits of the first four bytes that tell that it is one.
    compared: u32,
    /// Their values; the first byte is the lowest.
    bits: u32,
    /// A bit for each of its bytes.
    parts: u64,
    /// The second bytes with which it is valid and safe to show.
    harmless: RangeInclusive<u8>,
}

/// For the first bytes from 0xC0 on.
const LEADS: [Lead; 64] = {
    let mut all = [const { Lead { compared: 0, bits: 1, parts: 0, harmless: 0..=0xFF } }; 64];
    let mut at = 0;
    while at < all.len() {
        let first = 0xC0 + at as u32;
        let (compared, bits, parts) = match first {
            0xC2..=0xDF => (0xC0FF, 0x8000, 0b11),
            0xE0..=0xEF => (0xC0_C0FF, 0x80_8000, 0b111),
            0xF0..=0xF4 => (0xC0C0_C0FF, 0x8080_8000, 0b1111),
            // No character begins so: these bits cannot be equal.
            _ => (0, 1, 0),
        };
        let harmless = match first {
            // Not U+0080 to U+009F; not U+061C.
            0xC2 | 0xD8 => 0xA0..=0xBF,
            // Not what is too long.
            0xE0 => 0xA0..=0xBF,
            0xF0 => 0x90..=0xBF,
            // Not U+200E, U+2028, U+2066 and their like.
            0xE2 => 0x82..=0xBF,
            // Not half a pair; not beyond U+10FFFF.
            0xED => 0x80..=0x9F,
            0xF4 => 0x80..=0x8F,
            _ => 0x80..=0xBF,
        };
        all[at] = Lead { compared, bits: if parts > 0 { bits | first } else { bits }, parts, harmless };
        at += 1;
    }
    all
};

/// The most bytes that one byte is shown as.
const SHOWN_BYTES: usize = 4;

/// The bit of [`SHOWN`] from which on the number of bytes stands.
const LENGTH_AT: u32 = 32;

/// What each byte is shown as: its bytes in the low half, and their number. From 256 on: itself, as part of a longer
/// character.
const SHOWN: [u64; 512] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut all = [0; 512];
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
        all[byte + 256] = byte as u64 | 1 << LENGTH_AT;
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

/// Whether every byte is printable ASCII that stands in a JSON string as it is.
#[inline]
pub(crate) fn is_json(message: &[u8]) -> bool {
    // The subtraction borrows for a byte that is zero; no other is above 0x80, or the word is not printable.
    let has = |word: u64, byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    every_word(message, |word| unprintable(word) | has(word, b'"') | has(word, b'\\'))
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

/// Whether every byte is printable ASCII.
#[inline]
pub(crate) fn is_plain(message: &[u8]) -> bool {
    every_word(message, unprintable)
}

/// A one in each byte of a word.
const ONES: u64 = u64::from_le_bytes([1; WORD_BYTES]);

/// Sets the highest bit of a byte if one of the bytes is not printable ASCII, and none otherwise.
#[inline(always)]
fn unprintable(word: u64) -> u64 {
    // Above 0x7F; 0x7F; below a space. A carry or a borrow goes only out of a byte whose bit is set.
    word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * u64::from(b' '))
}

/// Whether the highest bit of no byte is set in what `refused` gives for the words of the message.
#[inline(always)]
fn every_word(message: &[u8], refused: impl Fn(u64) -> u64) -> bool {
    // Without an early return within a piece, so that the compiler can vectorise the loop.
    let is_taken = |piece: &[u8]| {
        let (words, rest) = piece.as_chunks::<WORD_BYTES>();
        let found = words.iter().fold(0, |found, word| found | refused(u64::from_le_bytes(*word)));
        let last = match (piece.last_chunk::<WORD_BYTES>(), rest) {
            (_, []) => u64::from_le_bytes([b' '; WORD_BYTES]),
            // Some bytes are looked at twice.
            (Some(last), _) => u64::from_le_bytes(*last),
            (None, rest) => {
                rest.iter().fold(u64::from_le_bytes([b' '; WORD_BYTES]), |word, byte| word << 8 | u64::from(*byte))
            }
        };
        (found | refused(last)) & ONES << 7 == 0
    };
    message.chunks(PLAIN_BYTES).all(is_taken)
}

/// Bytes that are looked at before the search may end.
const PLAIN_BYTES: usize = 256;

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
    fn characters_across_the_ends_of_pieces_are_shown_as_anywhere() {
        let letters = ["é", "日", "🦀", "\u{9b}", "\u{202e}", "\u{61c}"].map(str::as_bytes);
        let invalid = [&b"\xe0\x80\x80"[..], b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xe6\x97"];
        for before in 0..2 * PIECE_BYTES + 8 {
            for part in letters.iter().chain(&invalid) {
                let message = [&vec![b'x'; before], *part, *part, b"\x80"].concat();
                assert_eq!(as_text(&message), described(&message), "{before} {part:x?}");
            }
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
