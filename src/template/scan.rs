//! Takes one piece at a time off a template. Nothing here allocates, so that the compiler can run it.

use super::spec::{Fault, Spec, is_space};

/// A piece of a template: its bytes from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// Nothing is left.
    End,
    /// Text. For `{{` and `}}` it is one of the two braces.
    Literal { start: usize, end: usize, next: usize },
    /// A placeholder: its name, and the place after it.
    Placeholder { start: usize, end: usize, spec: Spec, next: usize },
    /// A part that is neither. `start` and `end` are the whole part, with its braces.
    Faulty { fault: Fault, start: usize, end: usize },
}

/// The piece at `at`, of a template in UTF-8.
pub(super) const fn next(template: &[u8], at: usize) -> Scanned {
    if at >= template.len() {
        return Scanned::End;
    }
    let first = template[at];
    if first != b'{' && first != b'}' {
        let mut end = at + 1;
        while end < template.len() && template[end] != b'{' && template[end] != b'}' {
            end += 1;
        }
        return Scanned::Literal { start: at, end, next: end };
    }
    if at + 1 < template.len() && template[at + 1] == first {
        return Scanned::Literal { start: at, end: at + 1, next: at + 2 };
    }
    if first == b'}' {
        return Scanned::Faulty { fault: Fault::Close, start: at, end: at + 1 };
    }
    let mut close = at + 1;
    while close < template.len() && template[close] != b'{' && template[close] != b'}' {
        close += 1;
    }
    if close == template.len() || template[close] == b'{' {
        return Scanned::Faulty { fault: Fault::Open, start: at, end: close };
    }
    placeholder(template, at, close)
}

/// The placeholder between the braces at `open` and `close`.
const fn placeholder(template: &[u8], open: usize, close: usize) -> Scanned {
    let start = open + 1;
    let mut colon = start;
    while colon < close && template[colon] != b':' {
        colon += 1;
    }
    let mut end = colon;
    while colon == close && end > start && is_space(template[end - 1]) {
        end -= 1;
    }
    if end == start || template[start].is_ascii_digit() {
        return Scanned::Faulty { fault: Fault::Unnamed, start: open, end: close + 1 };
    }
    let spec = if colon == close { Ok(Spec::DEFAULT) } else { Spec::parse(template, colon + 1, close) };
    match spec {
        Ok(spec) => Scanned::Placeholder { start, end, spec, next: close + 1 },
        Err(fault) => Scanned::Faulty { fault, start: open, end: close + 1 },
    }
}
