//! Which log a directory holds, and the identities of logs and runs.

use std::fmt;

/// The identity of a log: random, drawn when its first segment is made, and the same in every segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LogId(pub(crate) [u8; 16]);

/// The identity of a run as a segment header stores it: random, drawn each time the log is opened for writing. (The
/// reader's `RunId` also stands for a run whose headers cannot be read.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StoredRunId(pub(crate) [u8; 16]);

impl LogId {
    /// The log that a directory holds, by its readable segments, newest first: the log of the newest two if they agree,
    /// else the one with the most segments, and on a tie the one with the newest segment. `None` without a segment.
    ///
    /// Copies of another log's files must not decide whose log a directory is. In a sound directory two segments are
    /// enough, and no more are asked for. On a tie, the last run that was written after the copy came must not be
    /// hidden.
    pub(crate) fn of_directory(newest_first: impl IntoIterator<Item = LogId>) -> Option<LogId> {
        let mut newest_first = newest_first.into_iter();
        let newest = newest_first.next()?;
        let Some(second) = newest_first.next().filter(|second| *second != newest) else { return Some(newest) };
        // Each log with its number of segments, the one with the newest segment first.
        let mut counts: Vec<(LogId, u64)> = Vec::new();
        for log in [newest, second].into_iter().chain(newest_first) {
            match counts.iter_mut().find(|(counted, _)| *counted == log) {
                Some((_, count)) => *count += 1,
                None => counts.push((log, 1)),
            }
        }
        // `max_by_key` returns the last of several equal counts.
        counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(log, _)| log)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for StoredRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_holds_the_log_of_most_segments_and_on_a_tie_that_of_the_newest() {
        for (newest_first, log) in [
            ("", None),
            ("a", Some(b'a')),
            ("ab", Some(b'a')),
            ("ba", Some(b'b')),
            ("baa", Some(b'a')),
            ("bab", Some(b'b')),
            ("baba", Some(b'b')),
            ("babacc", Some(b'b')),
            ("abccba", Some(b'a')),
            ("abccb", Some(b'b')),
            // The newest two agree, whatever comes before them.
            ("aabbbb", Some(b'a')),
        ] {
            let ids = newest_first.bytes().map(|name| LogId([name; 16]));
            assert_eq!(LogId::of_directory(ids), log.map(|name| LogId([name; 16])), "{newest_first}");
        }
    }

    #[test]
    fn two_segments_of_one_log_decide_without_a_look_at_the_others() {
        let mut asked = 0;
        let ids = std::iter::repeat_with(|| LogId([1; 16])).inspect(|_| asked += 1);
        assert_eq!(LogId::of_directory(ids), Some(LogId([1; 16])));
        assert_eq!(asked, 2);
    }

    #[test]
    fn identities_are_shown_in_hexadecimal() {
        assert_eq!(StoredRunId([0xAB; 16]).to_string(), "ab".repeat(16));
    }
}
