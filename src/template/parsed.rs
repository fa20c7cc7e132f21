//! A template as a reader uses it: parsed once for each callsite. Nothing in a file's template is fatal: a part that is
//! faulty, or names no field, is text.

use super::check::PLACEHOLDERS_MAX;
use super::scan::{Scanned, next};
use super::spec::Spec;

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text, as it is.
    Literal(&'a str),
    /// A field, by its place in the callsite.
    Field(usize, &'a Spec),
}

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// The literals, one after the other.
    text: Box<str>,
    /// In order: where in `text` the literal before the placeholder ends, the field, and its format.
    placeholders: Box<[(u32, u32, Spec)]>,
    /// The fields without a placeholder, in order.
    others: Box<[u32]>,
    /// Whether placeholders and others together take each field once, in order.
    is_in_order: bool,
}

impl Template {
    /// Parses `template` for fields with these names. Of two fields with the same name, a placeholder means the first.
    pub(crate) fn parse<N: AsRef<str>>(template: &str, names: &[N]) -> Template {
        let mut text = String::with_capacity(template.len());
        let mut placeholders = Vec::new();
        let mut is_named = vec![false; names.len()];
        let mut at = 0;
        loop {
            at = match next(template.as_bytes(), at) {
                Scanned::End => break,
                Scanned::Literal { start, end, next } => {
                    text.push_str(&template[start..end]);
                    next
                }
                Scanned::Placeholder { start, end, spec, next } => {
                    let is_room = placeholders.len() < PLACEHOLDERS_MAX;
                    let name = &template[start..end];
                    match names.iter().position(|field| is_room && field.as_ref() == name) {
                        Some(field) => {
                            is_named[field] = true;
                            placeholders.push((text.len() as u32, field as u32, spec));
                        }
                        None => text.push_str(&template[at..next]),
                    }
                    next
                }
                Scanned::Faulty { start, end, .. } => {
                    text.push_str(&template[start..end]);
                    end
                }
            };
        }
        let others: Box<[u32]> = (0..names.len()).filter(|field| !is_named[*field]).map(|field| field as u32).collect();
        let used = placeholders.iter().map(|(_, field, _)| field).chain(&others);
        let is_in_order = used.copied().eq(0..names.len() as u32);
        Template { text: text.into(), placeholders: placeholders.into(), others, is_in_order }
    }

    /// Its parts, in order. No literal is empty.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut from = 0;
        let literal = |from: usize, to: usize| (from < to).then(|| Piece::Literal(&self.text[from..to]));
        let last = self.placeholders.last().map_or(0, |(end, ..)| *end as usize);
        let placed = self.placeholders.iter().flat_map(move |(end, field, spec)| {
            let before = literal(std::mem::replace(&mut from, *end as usize), *end as usize);
            before.into_iter().chain([Piece::Field(*field as usize, spec)])
        });
        placed.chain(literal(last, self.text.len()))
    }

    /// The fields without a placeholder, in order: they are shown after the text.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> {
        self.others.iter().map(|field| *field as usize)
    }

    /// Whether the placeholders, and then the others, take each field once and in order, so that the values need not be
    /// kept.
    pub(crate) fn is_in_order(&self) -> bool {
        self.is_in_order
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Align, Kind};
    use super::*;

    fn shown(template: &str, names: &[&str]) -> String {
        let parsed = Template::parse(template, names);
        let shown = parsed.pieces().map(|piece| match piece {
            Piece::Literal(text) => text.to_owned(),
            Piece::Field(field, spec) if *spec == Spec::DEFAULT => format!("<{field}>"),
            Piece::Field(field, spec) => format!("<{field} {}.{:?}>", spec.width, spec.precision),
        });
        shown.collect()
    }

    #[test]
    fn literals_placeholders_and_faults_come_in_order() {
        let names = &["a", "b"];
        assert_eq!(shown("", names), "");
        assert_eq!(shown("x {a} y {b:8} z", names), "x <0> y <1 8.None> z");
        assert_eq!(shown("{b}{a}{b}", names), "<1><0><1>");
        assert_eq!(shown("{{{a}}} {{a}}", names), "{<0>} {a}");
        for fault in ["{c}", "{}", "{a:4000000000}", "{a:.4000000000}", "}", "{", "{a", "{a:$}", "{\u{1b}[2J}", "a\nb"]
        {
            assert_eq!(shown(&format!("x {fault}"), names), format!("x {fault}"), "{fault:?} is text");
        }
        assert_eq!(shown("{a {b} }", names), "{a <1> }", "what follows a fault is read");
    }

    #[test]
    fn a_spec_is_read_whole() {
        let parsed = Template::parse("{a:ü^+#012.7E }", &["a"]);
        let spec = Spec {
            fill: 'ü',
            align: Some(Align::Center),
            plus: true,
            alternate: true,
            zero: true,
            width: 12,
            precision: Some(7),
            kind: Kind::UpperExp,
        };
        assert!(parsed.pieces().eq([Piece::Field(0, &spec)]));
        for (text, kind) in [("?", Kind::Debug), ("x", Kind::LowerHex), ("X", Kind::UpperHex), ("o", Kind::Octal)] {
            let parsed = Template::parse(&format!("{{a:€<{text}}}"), &["a"]);
            let spec = Spec { fill: '€', align: Some(Align::Left), kind, ..Spec::DEFAULT };
            assert!(parsed.pieces().eq([Piece::Field(0, &spec)]), "{text}");
        }
    }

    #[test]
    fn fields_without_a_placeholder_are_known() {
        let others = |template: &str, names: &[&str]| {
            let parsed = Template::parse(template, names);
            (parsed.others().collect::<Vec<_>>(), parsed.is_in_order())
        };
        assert_eq!(others("{a} {b}", &["a", "b"]), (vec![], true));
        assert_eq!(others("{a}", &["a", "b", "c"]), (vec![1, 2], true));
        assert_eq!(others("", &["a"]), (vec![0], true));
        assert_eq!(others("{b}", &["a", "b"]), (vec![0], false));
        assert_eq!(others("{b} {a}", &["a", "b"]), (vec![], false));
        assert_eq!(others("{a} {a}", &["a"]), (vec![], false));
        assert_eq!(others("{a}", &["a", "a"]), (vec![1], true), "the first of two");
    }

    #[test]
    fn placeholders_beyond_the_bound_are_text() {
        let shown = shown(&"{a}".repeat(PLACEHOLDERS_MAX + 2), &["a"]);
        assert_eq!(shown, "<0>".repeat(PLACEHOLDERS_MAX) + "{a}{a}");
    }
}
