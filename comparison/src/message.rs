//! The messages: 64 bytes of text, each with its number, so that a file can be searched for them.

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of a message.
pub const BYTES: usize = 64;

/// What a message begins with, before its number in [`DIGITS`] digits.
const MARK: &[u8] = b"n=";
const DIGITS: usize = 9;

/// A message.
#[derive(Clone, Copy)]
pub struct Message([u8; BYTES]);

impl Message {
    /// Message `number`, which is below 1,000,000,000.
    #[inline]
    pub fn new(number: u64) -> Message {
        let mut bytes = *b"n=000000000 the book of instrument 7 has a new best price, 101.5";
        let mut rest = number;
        for digit in bytes[MARK.len()..MARK.len() + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Message(bytes)
    }

    #[inline]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII")
    }
}

/// Which messages were found.
#[derive(Debug, Default)]
pub struct Found {
    bits: Vec<u64>,
    /// Different ones.
    pub count: u64,
    /// Found once more.
    pub repeated: u64,
}

impl Found {
    /// Adds all messages in `text`.
    pub fn search(&mut self, text: &[u8]) {
        let mut from = 0;
        while let Some(at) = text[from..].windows(MARK.len()).position(|window| window == MARK) {
            from += at + MARK.len();
            let Some(digits) = text.get(from..from + DIGITS) else { return };
            // The rest of the message must be there too: a line that was cut is not in the file.
            let whole = text.get(from - MARK.len()..from - MARK.len() + BYTES);
            if digits.iter().all(u8::is_ascii_digit) {
                let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
                if whole == Some(&Message::new(number).0) {
                    self.add(number);
                }
            }
        }
    }

    fn add(&mut self, number: u64) {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.count += 1;
        } else {
            self.repeated += 1;
        }
    }

    /// How many messages below `number` were found.
    pub fn below(&self, number: u64) -> u64 {
        let whole = (number / 64) as usize;
        let words: u64 = self.bits.iter().take(whole).map(|word| u64::from(word.count_ones())).sum();
        let rest = self.bits.get(whole).map_or(0, |word| (word & ((1 << (number % 64)) - 1)).count_ones());
        words + u64::from(rest)
    }
}

/// Bytes of all files in `directory`, and in the directories below it.
pub fn bytes_of_files(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { bytes_of_files(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}

/// Searches all files in `directory` as text.
pub fn search_files(directory: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.metadata()?.is_file() {
            found.search(&fs::read(entry.path())?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_messages_are_found_once_and_cut_ones_are_not() {
        let mut text = Vec::new();
        for number in [0, 63, 64, 7, 7] {
            text.extend_from_slice(b"INFO n=, ");
            text.extend_from_slice(Message::new(number).text().as_bytes());
        }
        text.extend_from_slice(&Message::new(9).0[..40]);
        let mut found = Found::default();
        found.search(&text);
        assert_eq!((found.count, found.repeated), (4, 1));
        assert_eq!([0, 1, 8, 64, 65, 100_000].map(|number| found.below(number)), [0, 1, 2, 3, 4, 4]);
    }
}
