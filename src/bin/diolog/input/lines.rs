//! Cuts chunks of input into lines, in bounded memory however long a line is.

use std::io::BufRead as _;

/// A line of the input, without its line feed.
pub(crate) struct InputLine<'a> {
    /// Counted from 1.
    pub(crate) number: u64,
    /// Its bytes; of a long line that spans chunks, the first `kept_max` + 1, so that the logger sees that it must be
    /// cut.
    pub(crate) bytes: &'a [u8],
    /// Its length in the input.
    pub(crate) length: u64,
}

/// Finds lines in chunks that end anywhere.
pub(crate) struct Lines {
    /// The first bytes of a line whose end has not come yet, at most `kept_max` + 1.
    begun: Vec<u8>,
    /// Bytes of that line so far.
    begun_length: u64,
    kept_max: usize,
    finished: u64,
}

impl Lines {
    /// Finds lines of which at most `kept_max` bytes are logged.
    pub(crate) fn new(kept_max: usize) -> Lines {
        Lines { begun: Vec::new(), begun_length: 0, kept_max, finished: 0 }
    }

    /// Calls `each` for the lines that end in `chunk`, and keeps the beginning of the one that does not.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut each: impl FnMut(InputLine<'_>)) {
        while !chunk.is_empty() {
            let whole = chunk;
            // `skip_until` finds the line feed a word at a time. Reading from memory cannot fail.
            let taken = chunk.skip_until(b'\n').unwrap_or(whole.len());
            match whole[..taken].strip_suffix(b"\n") {
                Some(line) if self.begun_length == 0 => self.finish(line, line.len() as u64, &mut each),
                Some(end) => {
                    self.keep(end);
                    self.finish_begun(&mut each);
                }
                None => self.keep(whole),
            }
        }
    }

    /// Calls `each` for a last line without a line feed, if there is one.
    pub(crate) fn end(&mut self, mut each: impl FnMut(InputLine<'_>)) {
        if self.begun_length > 0 {
            self.finish_begun(&mut each);
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (self.kept_max + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&part[..room.min(part.len())]);
        self.begun_length += part.len() as u64;
    }

    fn finish_begun(&mut self, each: &mut impl FnMut(InputLine<'_>)) {
        let mut line = std::mem::take(&mut self.begun);
        let length = std::mem::take(&mut self.begun_length);
        self.finish(&line, length, each);
        // The memory is used again for the next line that spans chunks.
        line.clear();
        self.begun = line;
    }

    fn finish(&mut self, bytes: &[u8], length: u64, each: &mut impl FnMut(InputLine<'_>)) {
        self.finished += 1;
        each(InputLine { number: self.finished, bytes, length });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `input` in chunks of `chunk_bytes`, each with its number and its length.
    fn lines(input: &[u8], chunk_bytes: usize, kept_max: usize) -> Vec<(u64, Vec<u8>, u64)> {
        let mut found = Vec::new();
        let mut lines = Lines::new(kept_max);
        let mut each = |line: InputLine<'_>| found.push((line.number, line.bytes.to_vec(), line.length));
        for chunk in input.chunks(chunk_bytes) {
            lines.feed(chunk, &mut each);
        }
        lines.end(&mut each);
        found
    }

    #[test]
    fn lines_are_the_same_wherever_chunks_end() {
        let inputs: [&[u8]; 8] =
            [b"", b"\n", b"a", b"a\n", b"a\n\nbc", b"\n\n\n", b"\0\xff\r\nx\n", b"one\ntwo\nthree without an end"];
        for input in inputs {
            let mut expected: Vec<_> = input.split(|&byte| byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            for chunk_bytes in 1..=input.len().max(1) {
                let found = lines(input, chunk_bytes, 100);
                assert_eq!(found.iter().map(|line| &line.1[..]).collect::<Vec<_>>(), expected, "{chunk_bytes}");
                assert!(found.iter().enumerate().all(|(at, line)| line.0 == at as u64 + 1));
                assert!(found.iter().all(|line| line.2 == line.1.len() as u64));
            }
        }
    }

    #[test]
    fn a_long_line_keeps_one_byte_more_than_the_limit_and_its_length() {
        for chunk_bytes in [1, 3, 7] {
            let found = lines(b"0123456789abcdef\nnext", chunk_bytes, 4);
            assert_eq!((&found[0].1[..], found[0].2), (&b"01234"[..], 16), "{chunk_bytes}");
            assert_eq!((found[1].1.len(), found[1].2), (4, 4));
        }
    }
}
