//! Escaping: whatever bytes a record holds, a line stays one line, and no bytes control the terminal.

use std::io::Write as _;
use std::path::Path;

use diolog::unstable::is_unsafe_to_show;

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
    // What is known of the first bytes from the window before.
    let mut known: Option<[u16; MORE_BYTES]> = None;
    while !rest.is_empty() {
        let mut padded;
        let window: &Window = match rest.first_chunk() {
            Some(window) => window,
            None => {
                padded = [0; size_of::<Window>()];
                match rest.split_first_chunk::<WINDOW_BYTES>() {
                    // A copy of a known length needs no call.
                    Some((first, more)) => {
                        padded[..WINDOW_BYTES].copy_from_slice(first);
                        padded[WINDOW_BYTES..WINDOW_BYTES + more.len()].copy_from_slice(more);
                    }
                    None => padded[..rest.len()].copy_from_slice(rest),
                }
                &padded
            }
        };
        // In two passes: an offset in `out` depends on all that stands before it, and must not wait until the CPU knows
        // whether some bytes are a character.
        let mut forms = window.map(u16::from);
        if let Some(known) = known {
            forms[..MORE_BYTES].copy_from_slice(&known);
        }
        find_letters(window, &mut forms);
        known = forms.last_chunk().copied();
        let taken = rest.len().min(WINDOW_BYTES);
        // Written in its place: bytes that are copied right after they were written have to be waited for.
        let begin = out.len();
        out.resize(begin + WINDOW_BYTES * SHOWN_BYTES + EIGHT_ROOM_BYTES, 0);
        let length = show(&forms[..taken], &mut out[begin..]);
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

/// The most bytes that a character has after its first.
const MORE_BYTES: usize = 3;

/// Bytes of a message in which the characters begin that are shown at once.
const WINDOW_BYTES: usize = 64;

/// They, and the rest of the last character.
type Window = [u8; WINDOW_BYTES + MORE_BYTES];

/// What each byte of a window is shown as, by its place in [`SHOWN`].
type Forms = [u16; WINDOW_BYTES + MORE_BYTES];

/// Characters of several bytes that are looked at without a branch, which the CPU would foresee wrongly: in random
/// bytes there are rarely more in a window.
const LETTERS_AT_ONCE: usize = 4;

/// Marks the bytes of characters of several bytes.
#[inline(always)]
fn find_letters(window: &Window, forms: &mut Forms) {
    let mut any_doubtful = false;
    let mut left = begins(window);
    while left != 0 {
        for _ in 0..LETTERS_AT_ONCE {
            let at = place(left);
            let (Some(bytes), Some(forms)) = (window[at..].first_chunk(), forms[at..].first_chunk_mut::<4>()) else {
                return;
            };
            let word = u32::from_le_bytes(*bytes);
            let lead = &LEADS[word as usize % LEADS.len()];
            let is_letter = (word & lead.compared == lead.bits) & (left != 0);
            let is_doubtful = bytes[1].wrapping_sub(lead.harmless_from) > lead.harmless_more;
            any_doubtful |= is_letter & is_doubtful;
            left &= left.wrapping_sub(1);
            for (form, part) in forms.iter_mut().zip(lead.parts[usize::from(is_letter & !is_doubtful)]) {
                *form |= part;
            }
        }
    }
    if any_doubtful {
        find_letters_one_by_one(window, forms);
    }
}

/// As [`find_letters`], if some may be invalid or unsafe to show.
#[cold]
#[inline(never)]
fn find_letters_one_by_one(window: &Window, forms: &mut Forms) {
    let mut left = begins(window);
    while left != 0 {
        let at = place(left);
        left &= left - 1;
        let forms = &mut forms[at..];
        let Some((letter, bytes)) = letter_of_several_bytes(&window[at..]) else { continue };
        if !is_unsafe_to_show(letter) {
            forms[..bytes.len()].iter_mut().for_each(|form| *form |= PART);
            continue;
        }
        // Each byte stands for some of the letters and digits of `\u{202e}`, the middle one for a digit.
        let code = u32::from(letter) as u16;
        let digit = |digit: u16| PART + u16::from(b"0123456789abcdef"[usize::from(digit % 16)]);
        match bytes.len() {
            2 if code <= 0xFF => forms[..2].copy_from_slice(&[OPEN, CLOSE + code]),
            2 => forms[..2].copy_from_slice(&[OPEN_DIGIT + (code >> 8), CLOSE + (code & 0xFF)]),
            _ => forms[..3].copy_from_slice(&[OPEN_DIGIT + (code >> 12), digit(code >> 8), CLOSE + (code & 0xFF)]),
        }
    }
}

/// Bytes that are compared together, in a vector of the CPU.
const LANES: usize = 16;

/// A bit for each byte with which a character of several bytes may begin: see [`place`].
#[inline(always)]
fn begins(window: &Window) -> u64 {
    let is_more = |byte: u8| byte & 0xC0 == 0x80;
    let mut marks = [0; LANES];
    for (lane, mark) in marks.iter_mut().enumerate() {
        let bit = |row: usize| {
            let at = LANES * row + lane;
            let (first, second, third) = (window[at], window[at + 1], window[at + 2]);
            let begins = (first >= 0xC2) & is_more(second) & ((first < 0xE0) | is_more(third));
            if begins { 1_u8 << row } else { 0 }
        };
        *mark = bit(0) | bit(1) | bit(2) | bit(3);
    }
    let (low, high) = marks.split_at(LANES / 2);
    let word = |half: &[u8]| half.first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
    word(low) | word(high) << 4
}

/// Where in the window the byte is that the lowest bit of `left` is for; any place if `left` is zero.
#[inline(always)]
fn place(left: u64) -> usize {
    /// The low half of each byte has bits for the same lane in all rows, the high half for the lane that is eight
    /// further.
    const PLACES: [u8; WINDOW_BYTES + 1] = {
        let mut places = [0; WINDOW_BYTES + 1];
        let mut bit = 0;
        while bit < WINDOW_BYTES {
            let (lane, row) = (bit / 8 + bit % 8 / 4 * 8, bit % 4);
            places[bit] = (LANES * row + lane) as u8;
            bit += 1;
        }
        places
    };
    usize::from(PLACES[left.trailing_zeros() as usize]) % WINDOW_BYTES
}

/// Writes what these forms show to `room`, and returns how many bytes that is.
#[inline(always)]
fn show(forms: &[u16], room: &mut [u8]) -> usize {
    let mut end = 0;
    let (eights, others) = forms.as_chunks::<8>();
    for eight in eights {
        end += room[end..].first_chunk_mut().map_or(0, |room| show_eight(eight, room));
    }
    if !others.is_empty() {
        let mut eight = [NOTHING; 8];
        eight[..others.len()].copy_from_slice(others);
        end += room[end..].first_chunk_mut().map_or(0, |room| show_eight(&eight, room));
    }
    end
}

/// Bytes of room for eight forms.
const EIGHT_ROOM_BYTES: usize = EIGHT_MASK + 1 + SHOWN_BYTES;

/// Lets the compiler see that an offset is within the room, which is cheaper than a check for each byte.
const EIGHT_MASK: usize = 8 * SHOWN_BYTES - 1;

#[inline(always)]
fn show_eight(forms: &[u16; 8], room: &mut [u8; EIGHT_ROOM_BYTES]) -> usize {
    let mut end = 0;
    for form in forms {
        // There is a place for each. A mask would make the compiler load all eight as a vector, and take it apart
        // again.
        let Some(&shown) = SHOWN.get(usize::from(*form)) else { return end };
        let place = end & EIGHT_MASK;
        room[place..place + SHOWN_BYTES].copy_from_slice(&(shown as u32).to_le_bytes());
        end += (shown >> LENGTH_AT) as usize;
    }
    end
}

/// Shared by characters of several bytes with a certain first byte.
#[repr(align(32))]
struct Lead {
    /// The bits of the first four bytes that tell that it is one.
    compared: u32,
    /// Their values; the first byte is the lowest.
    bits: u32,
    /// For each of four bytes: nothing; and [`PART`] if it is one of the character's.
    parts: [[u16; 4]; 2],
    /// The first of the second bytes with which it is valid and safe to show, and how many more there are, modulo 256.
    harmless_from: u8,
    harmless_more: u8,
}

/// For the first bytes from 0xC0 on.
const LEADS: [Lead; 64] = {
    let none = [0; 4];
    // No character begins so: these bits cannot be equal.
    let mut all =
        [const { Lead { compared: 0, bits: 1, parts: [[0; 4]; 2], harmless_from: 0, harmless_more: u8::MAX } }; 64];
    let mut first = 0xC2;
    while first <= 0xF4 {
        let (compared, bits, parts) = match first {
            0xC2..=0xDF => (0xC0FF, 0x8000, [PART, PART, 0, 0]),
            0xE0..=0xEF => (0xC0_C0FF, 0x80_8000, [PART, PART, PART, 0]),
            _ => (0xC0C0_C0FF, 0x8080_8000, [PART; 4]),
        };
        let (from, to) = match first {
            // Not U+0080 to U+009F; not U+061C, whose second byte is 0x9C.
            0xC2 => (0xA0, 0xBF),
            0xD8 => (0x9D_u8, 0x9B),
            // Not what is too long.
            0xE0 => (0xA0, 0xBF),
            0xF0 => (0x90, 0xBF),
            // Not U+200E, U+2028, U+2066 and their like.
            0xE2 => (0x82, 0xBF),
            // Not half a pair; not beyond U+10FFFF.
            0xED => (0x80, 0x9F),
            0xF4 => (0x80, 0x8F),
            _ => (0x80, 0xBF_u8),
        };
        all[first as usize - 0xC0] = Lead {
            compared,
            bits: bits | first,
            parts: [none, parts],
            harmless_from: from,
            harmless_more: to.wrapping_sub(from),
        };
        first += 1;
    }
    all
};

/// The most bytes that one byte is shown as.
const SHOWN_BYTES: usize = 4;

/// The bit of [`SHOWN`] from which on the number of bytes stands.
const LENGTH_AT: u32 = 32;

/// Where [`SHOWN`] has bytes that are shown as they are, as parts of a longer character.
const PART: u16 = 256;

/// Where it has two digits and the end of `\u{9b}`.
const CLOSE: u16 = 512;

/// Where it has the beginning of `\u{9b}`, with the first digit.
const OPEN_DIGIT: u16 = 768;

/// The same without a digit.
const OPEN: u16 = OPEN_DIGIT + 16;

/// Where it has nothing.
const NOTHING: u16 = OPEN_DIGIT + 255;

/// What a byte is shown as: the bytes in the low half, and their number. First all bytes alone.
const SHOWN: [u64; 1024] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut all = [0; 1024];
    let mut byte = 0;
    while byte < 256 {
        let (high, low) = (DIGITS[byte >> 4], DIGITS[byte & 15]);
        let alone = match byte as u8 {
            b'\n' => (*b"\\n\0\0", 2),
            b'\r' => (*b"\\r\0\0", 2),
            b'\t' => (*b"\\t\0\0", 2),
            plain @ b' '..=b'~' => ([plain, 0, 0, 0], 1),
            _ => ([b'\\', b'x', high, low], 4),
        };
        let open = match byte {
            0..16 => ([b'\\', b'u', b'{', low], 4),
            255 => ([0; 4], 0),
            _ => ([b'\\', b'u', b'{', 0], 3),
        };
        let forms = [alone, ([byte as u8, 0, 0, 0], 1), ([high, low, b'}', 0], 3), open];
        let mut page = 0;
        while page < forms.len() {
            let (bytes, length) = forms[page];
            all[256 * page + byte] = u32::from_le_bytes(bytes) as u64 | length << LENGTH_AT;
            page += 1;
        }
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

/// Bytes that are looked at together where no vector is needed.
const WORD_BYTES: usize = 8;

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
    fn characters_across_the_ends_of_windows_are_shown_as_anywhere() {
        let letters = ["é", "日", "🦀", "\u{9b}", "\u{202e}", "\u{61c}"].map(str::as_bytes);
        let invalid = [&b"\xe0\x80\x80"[..], b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xe6\x97"];
        for before in 0..3 * WINDOW_BYTES {
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
