//! How the records of one callsite are written as text: its template and its fields, taken apart once, so that a record
//! is only a matter of its values.

use std::collections::HashSet;

use crate::format::{FieldType, Type};
use crate::template::{Spec, Style, Template};

use super::word;

/// The most bytes of text in one step. A copy of a known length needs no call.
pub(super) const STEP_BYTES: usize = 32;

/// The steps of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The types of the fields.
    pub(super) types: Box<[FieldType]>,
    /// How many of the first fields are numbers of 64 bits.
    pub(super) words: usize,
    pub(super) steps: Box<[Step]>,
}

/// A text, and the value after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The text in the first bytes.
    pub(super) text: [u8; STEP_BYTES],
    pub(super) text_bytes: u8,
    pub(super) shows: Shows,
    /// The field, by its place in the callsite; any if no value is shown.
    pub(super) field: u32,
    /// A field that the template does not name. The text is the end of its name, and `=`.
    pub(super) is_named: bool,
    /// A space comes first, unless the text is empty so far.
    pub(super) is_separate: bool,
    pub(super) spec: Spec,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// There is none.
    Nothing,
    /// An integer of 64 bits as it is.
    Unsigned,
    Signed,
    /// A number with a fraction: as it is, or with as many digits after the point as the precision says.
    Fraction,
    /// The same numbers as JSON.
    UnsignedJson,
    SignedJson,
    FractionJson,
    /// All else.
    Any,
}

impl Shows {
    fn of(field: FieldType, spec: &Spec) -> Shows {
        match (field, *spec) {
            (FieldType { optional: true, .. }, _) => Shows::Any,
            (FieldType { of: Type::Unsigned, .. }, Spec::DEFAULT) => Shows::Unsigned,
            (FieldType { of: Type::Signed, .. }, Spec::DEFAULT) => Shows::Signed,
            (FieldType { of: Type::F64, .. }, spec) if spec == Spec::DEFAULT || spec.only_places().is_some() => {
                Shows::Fraction
            }
            _ => Shows::Any,
        }
    }
}

impl Spec {
    /// The precision, if that is all that it asks for.
    pub(super) fn only_places(&self) -> Option<u8> {
        let is_alone = *self == Spec { precision: self.precision, ..Spec::DEFAULT };
        self.precision.filter(|_| is_alone && self.style == Style::Display)
    }
}

impl Plan {
    /// For records of a callsite with this template, and fields of these names and types.
    pub(crate) fn of<N: AsRef<str>>(template: &str, fields: &[(N, FieldType)]) -> Plan {
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        let template = Template::parse(template, &names);
        let mut steps = Vec::new();
        for placeholder in template.placeholders() {
            let value = Some((placeholder.field, fields[placeholder.field as usize].1));
            add(&mut steps, template.before(placeholder), value, placeholder.spec, false);
        }
        add(&mut steps, template.end(), None, Spec::DEFAULT, false);
        for &field in template.others() {
            let (name, of) = &fields[field as usize];
            // Fields with names of their own stand for this one.
            let mut shown = Vec::new();
            if of.of != Type::Fields {
                word::name(name.as_ref(), &mut shown);
            }
            add(&mut steps, &shown, Some((field, *of)), Spec::DEFAULT, true);
        }
        let types: Box<_> = fields.iter().map(|(_, of)| *of).collect();
        let words = types.iter().take_while(|of| of.is_word()).count();
        Plan { types, words, steps: steps.into() }
    }

    /// For a record as members of a JSON object, each after a comma: `message`, and `fields`, an object with the
    /// values. `None` if a value may be no number of 64 bits, if the template or a name does not stand in a string of
    /// JSON as it is, without quotes, or if two names are equal.
    pub(crate) fn of_json<N: AsRef<str>>(template: &str, fields: &[(N, FieldType)]) -> Option<Plan> {
        let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        let is_number = |of: &FieldType| !of.optional && matches!(of.of, Type::Unsigned | Type::Signed | Type::F64);
        let mut texts = fields.iter().map(|(name, _)| name.as_ref()).chain([template]);
        let is_word = |name: &N| word::is_word(name.as_ref().as_bytes());
        let mut names = HashSet::new();
        if !fields.iter().all(|(name, of)| is_number(of) && is_word(name) && names.insert(name.as_ref()))
            || !texts.all(|text| text.bytes().all(is_plain))
        {
            return None;
        }
        let message = Plan::of(&format!(",\"message\":\"{template}"), fields);
        let mut steps = message.steps.into_vec();
        if let ("", [_, named, ..]) = (template, &mut steps[..]) {
            // The message is empty so far, the text is not.
            named.is_separate = false;
        }
        let mut text = "\",\"fields\":{";
        for (index, (name, of)) in fields.iter().enumerate() {
            let text = format!("{}\"{}\":", std::mem::replace(&mut text, ","), name.as_ref());
            add(&mut steps, &text, Some((index as u32, *of)), Spec::DEFAULT, false);
            steps.last_mut()?.shows = match of.of {
                Type::Unsigned => Shows::UnsignedJson,
                Type::Signed => Shows::SignedJson,
                _ => Shows::FractionJson,
            };
        }
        let end = if fields.is_empty() { "\",\"fields\":{}" } else { "}" };
        add(&mut steps, end, None, Spec::DEFAULT, false);
        Some(Plan { types: message.types, words: message.words, steps: steps.into() })
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Plan>() + size_of_val(&*self.types) + size_of_val(&*self.steps)
    }
}

/// Adds a text, and the value of a field after it.
fn add(steps: &mut Vec<Step>, text: impl AsRef<[u8]>, value: Option<(u32, FieldType)>, spec: Spec, is_named: bool) {
    let mut rest = text.as_ref();
    let mut is_first = true;
    loop {
        let (now, later) = rest.split_at(rest.len().min(STEP_BYTES));
        rest = later;
        let mut step = Step {
            text: [0; STEP_BYTES],
            text_bytes: now.len() as u8,
            shows: Shows::Nothing,
            field: 0,
            is_named,
            is_separate: is_named && is_first,
            spec,
        };
        step.text[..now.len()].copy_from_slice(now);
        is_first = false;
        if rest.is_empty() {
            if let Some((field, of)) = value {
                (step.field, step.shows) = (field, Shows::of(of, &spec));
            }
            if value.is_some() || !now.is_empty() {
                steps.push(step);
            }
            return;
        }
        steps.push(step);
    }
}
