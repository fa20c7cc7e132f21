//! The names of `--producer`, `--target` and `--field` that nothing in the logs has, for `cat` and `tail`: a note, with
//! the names that there are. A misspelt name would otherwise look like a log without such records.

use std::borrow::Cow;
use std::collections::BTreeSet;

use diolog::{CallsiteInfo, Filter, InUse, Reader};

use crate::args::{FieldTest, Select};
use crate::text::escape;
use crate::text::output::say;

/// The most names in a note.
const LISTED_MAX: usize = 10;

/// The most characters of a name in a note. The log may have a target of any length.
const NAME_LETTERS_MAX: usize = 80;

/// Says which names of `select` nothing has that the readers have read: all of their logs, as far as it asks for times.
pub(super) fn say_unmatched(select: &Select, readers: &[&Reader]) {
    if readers.is_empty() {
        return;
    }
    let reports = || readers.iter().map(|reader| reader.report());
    let at = match (reports().any(|report| report.unread_blocks > 0), reports().any(|it| it.in_use == InUse::Yes)) {
        (true, _) => " at these times",
        (false, true) => " so far",
        (false, false) => "",
    };
    let rows: Vec<_> = reports().flat_map(|report| &report.runs).flat_map(|run| &run.producers).collect();
    // Of those that are folded, nobody knows the names.
    let are_all_known = reports().flat_map(|report| &report.runs).all(|run| run.folded_producers == 0);
    for wanted in select.producer.iter().filter(|_| are_all_known) {
        let filter = Filter::new().producer(wanted);
        if !rows.iter().any(|row| filter.takes_producer(row.id, &row.name)) {
            let there = rows.iter().map(|row| escape::producer(row.id, &row.name)).collect();
            say(format_args!("--producer {wanted:?} fits no producer{at}: there {}", list(&there)));
        }
    }
    let callsites = || readers.iter().flat_map(|reader| reader.callsites());
    // Records of a callsite without a target may name theirs in a field.
    let may_name_target = |callsite: &CallsiteInfo| {
        let mut names = callsite.field_names();
        let is_shared = callsite.file().is_empty() && callsite.has_named_fields();
        callsite.target().is_empty() && (is_shared || names.any(|name| name == "target"))
    };
    for wanted in select.target.iter().filter(|_| !callsites().any(may_name_target)) {
        let filter = Filter::new().target(wanted);
        if !callsites().any(|callsite| filter.takes_target(callsite.target())) {
            let there = callsites().map(CallsiteInfo::target).filter(|target| !target.is_empty());
            let there = there.map(escape::name).collect();
            say(format_args!("--target {wanted:?} fits no target{at}: there {}", list(&there)));
        }
    }
    for FieldTest { name, .. } in select.field.iter().filter(|wanted| wanted.compares_no_number()) {
        say(format_args!("--field {name:?} has no number{at}: < and > compare numbers, = and ~ compare texts too"));
    }
    let names = || callsites().flat_map(CallsiteInfo::field_names);
    let is_missing = |name: &str| !names().any(|other| other == name);
    for wanted in select.field.iter().filter(|wanted| is_missing(&wanted.name) && !wanted.was_asked()) {
        let name = &wanted.name;
        if callsites().any(CallsiteInfo::has_named_fields) {
            // The names of further fields only the records say.
            say(format_args!("--field {name:?} fits no field{at} of the records that the other options select"));
        } else {
            let there = names().map(escape::name).collect();
            say(format_args!("--field {name:?} fits no field{at}: there {}", list(&there)));
        }
    }
}

/// "is none", "is stdin", "are orders, stdin", "are a, b, c and 12 more".
fn list(names: &BTreeSet<String>) -> String {
    let listed: Vec<_> = names.iter().take(LISTED_MAX).map(|name| shortened(name)).collect();
    let is = if names.len() > 1 { "are" } else { "is" };
    match names.len() - listed.len() {
        _ if names.is_empty() => "is none".to_owned(),
        0 => format!("{is} {}", listed.join(", ")),
        more => format!("{is} {} and {more} more", listed.join(", ")),
    }
}

/// The name, or its beginning.
fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(NAME_LETTERS_MAX) {
        Some((at, _)) => format!("{}…", &name[..at]).into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_up_to_a_limit() {
        let listed = |count: usize| list(&(0..count).map(|number| format!("n{number}")).collect());
        assert_eq!([0, 1, 2].map(listed), ["is none", "is n0", "are n0, n1"]);
        let long: BTreeSet<_> = ["ü".repeat(80), "ö".repeat(81)].into();
        assert_eq!(list(&long), format!("are {}…, {}", "ö".repeat(80), "ü".repeat(80)));
        assert_eq!(listed(12), "are n0, n1, n10, n11, n2, n3, n4, n5, n6, n7 and 2 more");
    }
}
