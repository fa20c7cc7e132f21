//! Lines that are kept to be printed later: the last ones, or all of them in reverse.
//!
//! They are in memory up to [`MEMORY_BYTES_MAX`], then in a temporary file without a name. Each stands between two
//! copies of its length, so that lines can be walked in both directions, and after its asides: lines that do not count,
//! and are printed beside it, such as a gap before a record.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::exit::{Failure, Status};
use crate::text::output::{Output, say};

/// Bytes of lines that are kept in memory.
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Bytes after which lines that are not wanted any more are dropped.
const DROP_BYTES_MIN: usize = 1 << 20;

/// Bytes of the file that are read at once.
const WINDOW_BYTES: u64 = 1 << 20;

const LENGTH_BYTES: usize = size_of::<u32>();

/// Bytes in front of a line: its length, with that of its asides, and the latter.
const FRONT_BYTES: usize = 2 * LENGTH_BYTES;

/// Kept lines, the oldest first.
pub(crate) struct Spool {
    /// The number of lines that are wanted; all if `None`.
    wanted: Option<u64>,
    /// The lines after those in the file.
    memory: Vec<u8>,
    /// The end of the last whole line in it.
    ended: usize,
    /// The asides of the next line.
    asides: Vec<u8>,
    /// The length of `memory` from which unwanted lines are dropped, or all written to the file.
    full_at: usize,
    file: Option<File>,
    file_bytes: u64,
}

impl Spool {
    /// Keeps the last `wanted` lines, or all.
    pub(crate) fn new(wanted: Option<u64>) -> Spool {
        Spool {
            wanted,
            memory: Vec::new(),
            ended: 0,
            asides: Vec::new(),
            full_at: DROP_BYTES_MIN,
            file: None,
            file_bytes: 0,
        }
    }

    /// The buffer to append the next line to, its line feed included. Call [`Spool::end_line`] after each; a line that
    /// is not ended is dropped.
    pub(crate) fn line(&mut self) -> &mut Vec<u8> {
        self.memory.truncate(self.ended);
        self.memory.extend_from_slice(&[0; FRONT_BYTES]);
        &mut self.memory
    }

    /// Makes the line an aside of the next one.
    pub(crate) fn end_aside(&mut self) {
        self.asides.extend_from_slice(&self.memory[self.ended + FRONT_BYTES..]);
        self.memory.truncate(self.ended);
    }

    /// Ends the line.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        let asides = self.asides.len();
        let at = self.ended + FRONT_BYTES;
        self.memory.splice(at..at, self.asides.drain(..));
        let length = self.memory.len() - self.ended - LENGTH_BYTES;
        let length = u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?.to_le_bytes();
        self.memory[self.ended..][..LENGTH_BYTES].copy_from_slice(&length);
        // They are no longer than all of it.
        self.memory[self.ended..][LENGTH_BYTES..FRONT_BYTES].copy_from_slice(&(asides as u32).to_le_bytes());
        self.memory.extend_from_slice(&length);
        self.ended = self.memory.len();
        if self.memory.len() >= self.full_at { self.make_room() } else { Ok(()) }
    }

    fn make_room(&mut self) -> io::Result<()> {
        if let Some(wanted) = self.wanted
            && self.file.is_none()
        {
            let mut kept = Kept {
                memory: &self.memory,
                file: None,
                end: self.memory.len() as u64,
                window: Vec::new(),
                window_at: 0,
            };
            let from = kept.start_of_last(wanted)? as usize;
            self.memory.drain(..from);
            self.ended = self.memory.len();
            self.full_at = (2 * self.memory.len()).max(DROP_BYTES_MIN);
        }
        if self.memory.len() > MEMORY_BYTES_MAX / 2 {
            self.spill()?;
            self.full_at = MEMORY_BYTES_MAX;
        } else if self.wanted.is_none() {
            self.full_at = MEMORY_BYTES_MAX;
        }
        Ok(())
    }

    /// Moves all lines to the file.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            file => file.insert(tempfile::tempfile()?),
        };
        file.write_all(&self.memory)?;
        self.file_bytes += self.memory.len() as u64;
        self.memory.clear();
        self.ended = 0;
        Ok(())
    }

    /// Prints the wanted lines with their asides, the newest first if `reverse`, and forgets them. With `says_asides`,
    /// asides go to standard error.
    ///
    /// # Errors
    /// Those of the temporary file, and those of `output`.
    pub(crate) fn print(self, reverse: bool, says_asides: bool, output: &mut Output) -> Result<(), Failure> {
        self.each(reverse, |part, is_aside| {
            if is_aside && says_asides {
                say(String::from_utf8_lossy(part).trim_end());
                return Ok(());
            }
            output.line().extend_from_slice(part);
            output.end_line()
        })
    }

    /// Calls `print` for the wanted lines and for each of their asides, the newest first if `reverse`, and says whether
    /// it is an aside.
    fn each(mut self, reverse: bool, mut print: impl FnMut(&[u8], bool) -> Result<(), Failure>) -> Result<(), Failure> {
        self.memory.truncate(self.ended);
        // Who wants no lines wants nothing beside them.
        let after_all = if self.wanted == Some(0) { Vec::new() } else { std::mem::take(&mut self.asides) };
        let mut print = |asides: &[u8], line: Option<&[u8]>| {
            let mut asides = asides.split_inclusive(|&byte| byte == b'\n');
            if reverse {
                line.map_or(Ok(()), |line| print(line, false))?;
                return asides.rev().try_for_each(|line| print(line, true));
            }
            asides.try_for_each(|line| print(line, true))?;
            line.map_or(Ok(()), |line| print(line, false))
        };
        if reverse {
            print(&after_all, None)?;
        }
        let mut end = self.memory.len() as u64;
        if self.file.is_some() {
            self.spill().map_err(cannot_keep)?;
            end = self.file_bytes;
        }
        let wanted = self.wanted.unwrap_or(u64::MAX);
        let mut kept = Kept { memory: &self.memory, file: self.file.as_ref(), end, window: Vec::new(), window_at: 0 };
        if reverse {
            let mut at = end;
            for _ in 0..wanted {
                let Some(line) = kept.line_before(at).map_err(cannot_keep)? else { break };
                at = line.start - LENGTH_BYTES as u64;
                let (asides, line) = parts(kept.bytes(line.start, line.end, true).map_err(cannot_keep)?);
                print(asides, Some(line))?;
            }
        } else {
            let mut at = kept.start_of_last(wanted).map_err(cannot_keep)?;
            while at < end {
                let start = at + LENGTH_BYTES as u64;
                let line = start..start + kept.length_at(at, false).map_err(cannot_keep)?;
                at = line.end + LENGTH_BYTES as u64;
                let (asides, line) = parts(kept.bytes(line.start, line.end, false).map_err(cannot_keep)?);
                print(asides, Some(line))?;
            }
            print(&after_all, None)?;
        }
        Ok(())
    }
}

/// A line's asides, and the line, from what stands between the two copies of its length.
fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (asides, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().expect("written by `end_line`");
    rest.split_at(u32::from_le_bytes(*asides) as usize)
}

/// The failure of the temporary file.
pub(crate) fn cannot_keep(error: io::Error) -> Failure {
    let directory = std::env::temp_dir();
    let message = format!("cannot keep lines in a temporary file in {}: {error}; set TMPDIR", directory.display());
    Failure { message, status: Status::Unusable }
}

/// The lines that are kept, to walk along.
struct Kept<'a> {
    /// All of them, if there is no file.
    memory: &'a [u8],
    file: Option<&'a File>,
    end: u64,
    /// A part of the file, which begins at `window_at`.
    window: Vec<u8>,
    window_at: u64,
}

impl Kept<'_> {
    /// The bytes from `start` to `end`. If they have to be read, more is read before or after them.
    fn bytes(&mut self, start: u64, end: u64, backwards: bool) -> io::Result<&[u8]> {
        let Some(file) = self.file else { return Ok(&self.memory[start as usize..end as usize]) };
        if start < self.window_at || end > self.window_at + self.window.len() as u64 {
            let (from, to) = if backwards {
                (start.min(end.saturating_sub(WINDOW_BYTES)), end)
            } else {
                (start, end.max((start + WINDOW_BYTES).min(self.end)))
            };
            self.window.resize((to - from) as usize, 0);
            file.read_exact_at(&mut self.window, from)?;
            self.window_at = from;
        }
        Ok(&self.window[(start - self.window_at) as usize..(end - self.window_at) as usize])
    }

    /// The length that stands at `at`.
    fn length_at(&mut self, at: u64, backwards: bool) -> io::Result<u64> {
        let bytes = self.bytes(at, at + LENGTH_BYTES as u64, backwards)?;
        Ok(bytes.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    /// The line that ends at `end`, with its lengths; `None` at the beginning.
    fn line_before(&mut self, end: u64) -> io::Result<Option<std::ops::Range<u64>>> {
        if end == 0 {
            return Ok(None);
        }
        let after = end - LENGTH_BYTES as u64;
        let length = self.length_at(after, true)?;
        Ok(Some(after - length..after))
    }

    /// Where the last `lines` begin, or all if there are fewer.
    fn start_of_last(&mut self, lines: u64) -> io::Result<u64> {
        let mut at = if lines == u64::MAX { 0 } else { self.end };
        for _ in 0..lines {
            let Some(line) = self.line_before(at)? else { break };
            at = line.start - LENGTH_BYTES as u64;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(spool: Spool, reverse: bool) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let print = |line: &[u8], _is_aside: bool| {
            lines.push(line.to_vec());
            Ok(())
        };
        spool.each(reverse, print).expect("a temporary file");
        lines
    }

    #[test]
    fn the_last_lines_come_back_in_both_orders_from_memory_and_from_a_file() {
        let lines: Vec<Vec<u8>> = (0..500_u32).map(|n| n.to_string().repeat(n as usize % 50).into_bytes()).collect();
        for wanted in [Some(0), Some(1), Some(3), Some(499), Some(500), Some(1000), None] {
            for spilled in [0, 1, 250, 500] {
                for reverse in [false, true] {
                    let mut spool = Spool::new(wanted);
                    for (at, line) in lines.iter().enumerate() {
                        spool.line().extend_from_slice(line);
                        spool.end_line().expect("in memory");
                        if at + 1 == spilled {
                            spool.spill().expect("a temporary file");
                        }
                    }
                    spool.line().extend_from_slice(b"dropped");
                    let skipped = wanted.map_or(0, |wanted| 500_usize.saturating_sub(wanted as usize));
                    let mut expected = lines[skipped..].to_vec();
                    if reverse {
                        expected.reverse();
                    }
                    assert!(printed(spool, reverse) == expected, "{wanted:?} {spilled} {reverse}");
                }
            }
        }
    }

    #[test]
    fn asides_do_not_count_and_stay_beside_their_line() {
        for spills in [false, true] {
            for (wanted, reverse, expected) in [
                (None, false, "one (two) TWO (three) (four) FOUR (end)"),
                (None, true, "(end) FOUR (four) (three) TWO (two) one"),
                (Some(1), false, "(three) (four) FOUR (end)"),
                (Some(0), false, ""),
            ] {
                let mut spool = Spool::new(wanted);
                for (aside, line) in [("", "one"), ("(two)\n", "TWO"), ("(three)\n|(four)\n", "FOUR")] {
                    for aside in aside.split('|').filter(|aside| !aside.is_empty()) {
                        spool.line().extend_from_slice(aside.as_bytes());
                        spool.end_aside();
                    }
                    spool.line().extend_from_slice(line.as_bytes());
                    spool.end_line().expect("no file");
                    if spills {
                        spool.spill().expect("a temporary file");
                    }
                }
                spool.line().extend_from_slice(b"(end)\n");
                spool.end_aside();
                let mut printed = Vec::new();
                let print = |part: &[u8], is_aside: bool| {
                    assert_eq!(part.starts_with(b"("), is_aside);
                    printed.push(String::from_utf8_lossy(part).trim_end().to_owned());
                    Ok(())
                };
                spool.each(reverse, print).expect("readable");
                assert_eq!(printed.join(" "), expected, "{wanted:?} {reverse} {spills}");
            }
        }
    }

    #[test]
    fn memory_stays_bounded_and_lines_that_are_not_wanted_go_to_no_file() {
        let line = vec![b'x'; 100_000];
        for wanted in [Some(10), Some(100_000), None] {
            let mut spool = Spool::new(wanted);
            for _ in 0..1500 {
                spool.line().extend_from_slice(&line);
                spool.end_line().expect("a temporary file");
                assert!(spool.memory.len() <= MEMORY_BYTES_MAX + line.len());
            }
            assert_eq!(spool.file.is_some(), wanted != Some(10));
            assert!(wanted != Some(10) || spool.memory.len() <= 4 << 20);
            assert_eq!(printed(spool, true).len(), wanted.map_or(1500, |wanted| wanted.min(1500) as usize));
        }
    }
}
