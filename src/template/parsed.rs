//! A template as a reader uses it: parsed once for each callsite. Nothing in a file's template is fatal: a part that is
//! faulty, or names no field, is text.

use super::check::PLACEHOLDERS_MAX;
use super::scan::{Scanned, next};
use super::spec::Spec;

/// Most literals are at most this long, in bytes.
const SHORT: usize = 16;

/// A place for a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// Where the text before it stands in the template's literals.
    start: u32,
    end: u32,
    /// The field, by its place in the callsite.
    pub(crate) field: u32,
    /// Whether `spec` is that of a placeholder without a colon.
    pub(crate) is_plain: bool,
    pub(crate) spec: Spec,
}

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// The literals, one after the other, and [`SHORT`] more bytes.
    text: Box<str>,
    /// Bytes of the literals.
    literals: usize,
    placeholders: Box<[Placeholder]>,
    /// The fields without a placeholder, in order.
    others: Box<[u32]>,
    /// Whether placeholders and others together take each field once, in order.
    is_in_order: bool,
}

impl Template {
    /// Parses `template` for fields with these names. Of two fields with the same name, a placeholder means the first.
    pub(crate) fn parse<N: AsRef<str>>(template: &str, names: &[N]) -> Template {
        let mut text = String::with_capacity(template.len());
        let mut placeholders: Vec<Placeholder> = Vec::new();
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
                    let field = is_room.then(|| names.iter().position(|field| field.as_ref() == name)).flatten();
                    match field {
                        Some(field) => {
                            is_named[field] = true;
                            placeholders.push(Placeholder {
                                start: placeholders.last().map_or(0, |placeholder| placeholder.end),
                                end: text.len() as u32,
                                field: field as u32,
                                is_plain: spec == Spec::DEFAULT,
                                spec,
                            });
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
        let literals = text.len();
        text.extend([' '; SHORT]);
        let used = placeholders.iter().map(|placeholder| &placeholder.field).chain(&others);
        let is_in_order = used.copied().eq(0..names.len() as u32);
        Template { text: text.into(), literals, placeholders: placeholders.into(), others, is_in_order }
    }

    /// The placeholders, in order.
    #[inline]
    pub(crate) fn placeholders(&self) -> &[Placeholder] {
        &self.placeholders
    }

    /// Appends the text before `placeholder`, which is one of these, and after the one before it.
    #[inline]
    pub(crate) fn append_before(&self, placeholder: &Placeholder, out: &mut Vec<u8>) {
        self.append(placeholder.start as usize, placeholder.end as usize, out);
    }

    /// Appends the text after the last placeholder.
    #[inline]
    pub(crate) fn append_end(&self, out: &mut Vec<u8>) {
        let start = self.placeholders.last().map_or(0, |placeholder| placeholder.end as usize);
        self.append(start, self.literals, out);
    }

    /// Appends the literals from `start` to `end`.
    #[inline(always)]
    fn append(&self, start: usize, end: usize, out: &mut Vec<u8>) {
        let (bytes, length) = (self.text.as_bytes(), end - start);
        match bytes[start..].first_chunk::<SHORT>() {
            // A copy of a known length needs no call.
            Some(chunk) if length <= SHORT => {
                out.extend_from_slice(chunk);
                out.truncate(out.len() - (SHORT - length));
            }
            _ => out.extend_from_slice(&bytes[start..end]),
        }
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
        let mut shown = Vec::new();
        for placeholder in parsed.placeholders() {
            let Placeholder { field, is_plain, spec, .. } = placeholder;
            parsed.append_before(placeholder, &mut shown);
            let mark = match is_plain {
                true => format!("<{field}>"),
                false => format!("<{field} {}.{:?}>", spec.width, spec.precision),
            };
            shown.extend_from_slice(mark.as_bytes());
        }
        parsed.append_end(&mut shown);
        String::from_utf8(shown).expect("UTF-8")
    }

    #[test]
    fn literals_placeholders_and_faults_come_in_order() {
        let names = &["a", "b"];
        assert_eq!(shown("", names), "");
        assert_eq!(shown("x {a} y {b:8} z", names), "x <0> y <1 8.None> z");
        assert_eq!(shown("{b}{a}{b}", names), "<1><0><1>");
        assert_eq!(shown("{{{a}}} {{a}}", names), "{<0>} {a}");
        for length in 14..19 {
            let long = "é".repeat(length);
            assert_eq!(shown(&format!("{long}{{a}}{long}"), names), format!("{long}<0>{long}"));
            let long = "e".repeat(length);
            assert_eq!(shown(&format!("{long}{{a}}{long}"), names), format!("{long}<0>{long}"));
        }
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
        assert_eq!(parsed.placeholders()[0].spec, spec);
        for (text, kind) in [("?", Kind::Debug), ("x", Kind::LowerHex), ("X", Kind::UpperHex), ("o", Kind::Octal)] {
            let parsed = Template::parse(&format!("{{a:€<{text}}}"), &["a"]);
            let spec = Spec { fill: '€', align: Some(Align::Left), kind, ..Spec::DEFAULT };
            assert_eq!(parsed.placeholders()[0].spec, spec, "{text}");
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
