//! A template as a reader uses it: parsed once for each callsite. Nothing in a file's template is fatal: a part that is
//! faulty, or names no field, is text.

use super::check::PLACEHOLDERS_MAX;
use super::scan::{Scanned, next};
use super::spec::Spec;

/// A place for a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// Where the text before it stands in the template's literals.
    start: u32,
    end: u32,
    /// The field, by its place in the callsite.
    pub(crate) field: u32,
    pub(crate) spec: Spec,
}

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// The literals, one after the other.
    text: Box<str>,
    placeholders: Box<[Placeholder]>,
    /// The fields without a placeholder, in order.
    others: Box<[u32]>,
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
        Template { text: text.into(), placeholders: placeholders.into(), others }
    }

    /// The placeholders, in order.
    #[inline]
    pub(crate) fn placeholders(&self) -> &[Placeholder] {
        &self.placeholders
    }

    /// The text before `placeholder`, which is one of these, and after the one before it.
    pub(crate) fn before(&self, placeholder: &Placeholder) -> &str {
        &self.text[placeholder.start as usize..placeholder.end as usize]
    }

    /// The text after the last placeholder.
    pub(crate) fn end(&self) -> &str {
        &self.text[self.placeholders.last().map_or(0, |placeholder| placeholder.end as usize)..]
    }

    /// The fields without a placeholder, in order: they are shown after the text.
    pub(crate) fn others(&self) -> &[u32] {
        &self.others
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Align, Style};
    use super::*;

    fn shown(template: &str, names: &[&str]) -> String {
        let parsed = Template::parse(template, names);
        let mut shown = String::new();
        for placeholder in parsed.placeholders() {
            let Placeholder { field, spec, .. } = placeholder;
            shown.push_str(parsed.before(placeholder));
            let mark = match *spec {
                Spec::DEFAULT => format!("<{field}>"),
                _ => format!("<{field} {}.{:?}>", spec.width, spec.precision),
            };
            shown.push_str(&mark);
        }
        shown + parsed.end()
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
            style: Style::UpperExp,
        };
        assert_eq!(parsed.placeholders()[0].spec, spec);
        for (text, style) in [("?", Style::Debug), ("x", Style::LowerHex), ("X", Style::UpperHex), ("o", Style::Octal)]
        {
            let parsed = Template::parse(&format!("{{a:€<{text}}}"), &["a"]);
            let spec = Spec { fill: '€', align: Some(Align::Left), style, ..Spec::DEFAULT };
            assert_eq!(parsed.placeholders()[0].spec, spec, "{text}");
        }
    }

    #[test]
    fn fields_without_a_placeholder_are_known() {
        let others = |template: &str, names: &[&str]| Template::parse(template, names).others().to_vec();
        assert!(others("{a} {b}", &["a", "b"]).is_empty());
        assert_eq!(others("{a}", &["a", "b", "c"]), [1, 2]);
        assert_eq!(others("", &["a"]), [0]);
        assert_eq!(others("{b}", &["a", "b"]), [0]);
        assert!(others("{a} {a}", &["a"]).is_empty());
        assert_eq!(others("{a}", &["a", "a"]), [1], "the first of two");
    }

    #[test]
    fn placeholders_beyond_the_bound_are_text() {
        let shown = shown(&"{a}".repeat(PLACEHOLDERS_MAX + 2), &["a"]);
        assert_eq!(shown, "<0>".repeat(PLACEHOLDERS_MAX) + "{a}{a}");
    }
}
