//! Counts and causes in the sentences that reports print.

use std::fmt;

/// Writes " (ring full)", or with the counts if there are several causes " (3 ring full, 2 ...)"; nothing for none.
pub(super) fn write_causes<C: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    causes: impl Iterator<Item = (C, u64)>,
) -> fmt::Result {
    let causes: Vec<_> = causes.collect();
    match &causes[..] {
        [] => Ok(()),
        [(cause, _)] => write!(f, " ({cause})"),
        several => {
            for (at, (cause, count)) in several.iter().enumerate() {
                write!(f, "{}{} {cause}", if at == 0 { " (" } else { ", " }, Grouped(*count))?;
            }
            write!(f, ")")
        }
    }
}

/// A count as "1,234,567".
pub(super) struct Grouped(pub(super) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                write!(f, ",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
