//! Losses and their causes in the sentences that reports print.

use std::fmt;

use super::RefusedBy;
use crate::format::DroppedBy;
use crate::grouped::Grouped;

/// Writes a clause for each kind of loss that occurred, such as "12 dropped (ring full); 5 overwritten". Puts
/// `separator` before the first.
pub(super) fn write_losses(
    f: &mut fmt::Formatter<'_>,
    mut separator: &str,
    dropped_by: DroppedBy,
    overwritten: u64,
    refused_by: RefusedBy,
) -> fmt::Result {
    if dropped_by.total() > 0 {
        write!(f, "{separator}{} dropped", Grouped(dropped_by.total()))?;
        write_causes(f, dropped_by.causes())?;
        separator = "; ";
    }
    if overwritten > 0 {
        write!(f, "{separator}{} overwritten", Grouped(overwritten))?;
        separator = "; ";
    }
    if refused_by.total() > 0 {
        write!(f, "{separator}{} refused", Grouped(refused_by.total()))?;
        write_causes(f, refused_by.causes())?;
    }
    Ok(())
}

/// Writes " (ring full)", or with the counts if there are several causes " (3 ring full, 2 ...)"; nothing for none.
fn write_causes<C: fmt::Display>(f: &mut fmt::Formatter<'_>, causes: impl Iterator<Item = (C, u64)>) -> fmt::Result {
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
