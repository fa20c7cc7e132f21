//! Causes with their counts in the sentences that reports print.

use std::fmt;

use crate::grouped::Grouped;

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
