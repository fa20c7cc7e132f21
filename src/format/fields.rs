//! The fields of a structured record: the names of its callsite, and the values of the record.
//!
//! A program may know the names of some fields only when it runs. One field of the callsite then stands for all of
//! these: its value contains their names, types and values. A reader returns them like other fields.

use super::callsite::CallsiteInfo;
use super::newer::Newer;
use super::value::{Decoded, FieldType, Layout, Skipped, Type, Value, Values};

/// A field of a structured record.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Field<'a> {
    /// The field's name.
    pub name: &'a str,
    /// Its value.
    pub value: Value<'a>,
    /// Whether the value was cut, because the record was longer than the log's `message_bytes_max`.
    pub cut: bool,
    /// Its place in the list of the callsite's fields; `None` if its name came with the record.
    pub(crate) index: Option<usize>,
}

impl Field<'_> {
    /// Its place among the [names](CallsiteInfo::field_names) of the callsite's fields; `None` if its name came with
    /// the record.
    pub fn index(&self) -> Option<usize> {
        self.index
    }
}

/// The fields of one record, in the order of the program's text.
///
/// They end early at a value that this version cannot read.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// The fields still to come.
    callsite: &'a [(Box<str>, FieldType)],
    index: usize,
    values: Values<'a>,
    /// The fields with names of their own that are still to come.
    named: Values<'a>,
}

impl<'a> Fields<'a> {
    /// The fields of a record of `callsite` with these values.
    #[inline]
    pub(crate) fn new(callsite: &'a CallsiteInfo, values: &'a [u8], layout: Layout) -> Fields<'a> {
        Fields {
            callsite: &callsite.fields,
            index: 0,
            values: Values::new(values, layout),
            named: Values::new(&[], Layout::Plain),
        }
    }

    /// The fields of a record without any.
    pub(crate) fn none() -> Fields<'a> {
        let nothing = Values::new(&[], Layout::Plain);
        Fields { callsite: &[], index: 0, values: nothing, named: nothing }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    // Always inlined for the reason that `Values::next` gives.
    #[inline(always)]
    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if !self.named.rest().is_empty() {
                match take_named(&mut self.named) {
                    Ok((name, _, Decoded::Value { value, cut })) => {
                        return Some(Field { name, value, cut, index: None });
                    }
                    _ => self.named = Values::new(&[], Layout::Plain),
                }
                continue;
            }
            let ((name, of), rest) = self.callsite.split_first()?;
            self.callsite = rest;
            let index = self.index;
            self.index += 1;
            match self.values.next(*of) {
                Some(Decoded::Value { value, cut }) => return Some(Field { name, value, cut, index: Some(index) }),
                Some(Decoded::Fields { content, .. }) => self.named = Values::new(content, Layout::Plain),
                None => {
                    self.callsite = &[];
                    return None;
                }
            }
        }
    }
}

/// Takes a field with a name of its own: the name, the type and the value.
pub(crate) fn take_named<'a>(values: &mut Values<'a>) -> Result<(&'a str, Type, Decoded<'a>), Unreadable> {
    let (name, field) = take_name(values)?;
    Ok((name, field.of, values.next(field).ok_or(Unreadable::Invalid)?))
}

/// Takes the name and the type of a field with a name of its own.
fn take_name<'a>(values: &mut Values<'a>) -> Result<(&'a str, FieldType), Unreadable> {
    let name = values.name().ok_or(Unreadable::Invalid)?;
    let [code] = *values.take::<1>().ok_or(Unreadable::Invalid)?;
    let field = FieldType::from_code(code).map_err(Unreadable::Newer)?;
    // Such a field cannot contain others: there would be no limit to the depth.
    if field.of == Type::Fields { Err(Unreadable::Invalid) } else { Ok((name, field)) }
}

/// Why the values of a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// They do not have the types of the callsite's fields.
    Invalid,
    /// A newer diolog wrote them.
    Newer(Newer),
}

/// Checks that the values of a record have the types of its callsite's fields, and that nothing follows them. Returns
/// whether one of them was cut.
#[inline]
pub(crate) fn check_values(callsite: &CallsiteInfo, values: &[u8], layout: Layout) -> Result<bool, Unreadable> {
    if let Some(newer) = callsite.newer {
        return Err(Unreadable::Newer(newer));
    }
    let mut values = Values::new(values, layout);
    let (words, others) = match layout {
        Layout::Packed => callsite.fields.split_at(callsite.leading_words),
        Layout::Plain => (&[][..], &callsite.fields[..]),
    };
    values.skip_words(words.len()).ok_or(Unreadable::Invalid)?;
    if others.is_empty() {
        return if values.rest().is_empty() { Ok(false) } else { Err(Unreadable::Invalid) };
    }
    check_others(others, values)
}

/// Checks that `values` have the types of these fields, and that nothing follows them. Returns whether one of them was
/// cut.
#[inline(never)]
fn check_others(fields: &[(Box<str>, FieldType)], mut values: Values<'_>) -> Result<bool, Unreadable> {
    let mut any_cut = false;
    for &(_, field) in fields {
        any_cut |= match values.skip(field).ok_or(Unreadable::Invalid)? {
            Skipped::Value { cut } => cut,
            Skipped::Fields { content, cut } => check_named(content)? | cut,
        };
    }
    if values.rest().is_empty() { Ok(any_cut) } else { Err(Unreadable::Invalid) }
}

/// As [`check_others`], for the content of fields with names of their own.
fn check_named(content: &[u8]) -> Result<bool, Unreadable> {
    let mut values = Values::new(content, Layout::Plain);
    let mut any_cut = false;
    while !values.rest().is_empty() {
        let (_, field) = take_name(&mut values)?;
        any_cut |= matches!(values.skip(field).ok_or(Unreadable::Invalid)?, Skipped::Value { cut: true });
    }
    Ok(any_cut)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_values::{TYPES, any_plain, put_plain, put_value};
    use super::*;

    fn callsite(fields: &[(&str, FieldType)]) -> CallsiteInfo {
        CallsiteInfo {
            id: 1,
            level: 3,
            flags: 0,
            line: 1,
            target: "".into(),
            file: "".into(),
            template: "".into(),
            fields: fields.iter().map(|&(name, field)| (name.into(), field)).collect(),
            newer: None,
            leading_words: CallsiteInfo::count_leading_words(fields),
        }
    }

    /// The content of fields with names of their own.
    fn named(fields: &[(&str, FieldType, Value<'_>)]) -> Vec<u8> {
        let mut content = Vec::new();
        for &(name, field, value) in fields {
            content.push(name.len() as u8);
            content.extend_from_slice(name.as_bytes());
            content.push(field.code());
            put_value(field, value, &mut content);
        }
        content
    }

    #[test]
    fn fields_with_names_of_their_own_come_in_the_place_of_their_field() {
        let (str, unsigned) = (FieldType::new(Type::Str), FieldType::new(Type::Unsigned));
        let callsite = callsite(&[("a", unsigned), ("more", FieldType::new(Type::Fields)), ("b", str)]);
        let content = named(&[
            ("x", str, Value::Str("1")),
            ("y", str.optional(), Value::None),
            ("", unsigned, Value::Unsigned(2)),
        ]);
        let mut plain = Vec::new();
        put_value(unsigned, Value::Unsigned(7), &mut plain);
        put_plain(FieldType::new(Type::Fields), Decoded::Fields { content: &content, cut: false }, &mut plain);
        put_value(str, Value::Str("end"), &mut plain);
        assert_eq!(check_values(&callsite, &plain, Layout::Plain), Ok(false));
        let fields: Vec<_> = Fields::new(&callsite, &plain, Layout::Plain).collect();
        let field = |name, value, index| Field { name, value, cut: false, index };
        assert_eq!(
            fields,
            [
                field("a", Value::Unsigned(7), Some(0)),
                field("x", Value::Str("1"), None),
                field("y", Value::None, None),
                field("", Value::Unsigned(2), None),
                field("b", Value::Str("end"), Some(2)),
            ]
        );
        for length in 0..plain.len() {
            assert_eq!(check_values(&callsite, &plain[..length], Layout::Plain), Err(Unreadable::Invalid), "{length}");
            assert!(Fields::new(&callsite, &plain[..length], Layout::Plain).count() < 5);
        }
    }

    #[test]
    fn named_fields_that_are_cut_newer_or_nested_are_told_apart() {
        let field = FieldType::new(Type::Fields);
        let callsite = callsite(&[("more", field)]);
        let check = |content: &[u8], cut| {
            let mut plain = Vec::new();
            put_plain(field, Decoded::Fields { content, cut }, &mut plain);
            let fields = Fields::new(&callsite, &plain, Layout::Plain).count();
            check_values(&callsite, &plain, Layout::Plain).map(|cut| (cut, fields))
        };
        assert_eq!(check(b"", false), Ok((false, 0)));
        assert_eq!(check(b"", true), Ok((true, 0)));
        assert_eq!(check(b"\x01x\x01\x01", false), Ok((false, 1)));
        assert_eq!(check(b"\x01x\x09\x03\0\0\0a", false), Ok((true, 1)));
        assert_eq!(check(b"\x01x\x0E\x01", false), Err(Unreadable::Newer(Newer::FieldType(14))));
        assert_eq!(check(b"\x01x\x0D\0\0\0\0", false), Err(Unreadable::Invalid), "nested");
        assert_eq!(check(b"\x01\xFF\x01\x01", false), Err(Unreadable::Invalid), "a name that is not UTF-8");
    }

    #[test]
    fn a_callsite_with_a_newer_type_has_records_of_a_newer_diolog() {
        let callsite = CallsiteInfo { newer: Some(Newer::FieldType(99)), ..callsite(&[]) };
        assert_eq!(check_values(&callsite, b"", Layout::Packed), Err(Unreadable::Newer(Newer::FieldType(99))));
    }

    proptest! {
        #[test]
        fn values_that_pass_the_check_are_all_given(fields in prop::collection::vec(any_plain(), 0..8)) {
            let types: Vec<_> = fields.iter().filter(|field| field.0.of != Type::Fields).collect();
            let plain = types.iter().map(|(_, plain)| &plain[..]).collect::<Vec<_>>().concat();
            let callsite = callsite(&types.iter().map(|(field, _)| ("f", *field)).collect::<Vec<_>>());
            let any_cut = check_values(&callsite, &plain, Layout::Plain).expect("values");
            let given: Vec<_> = Fields::new(&callsite, &plain, Layout::Plain).collect();
            prop_assert_eq!(given.len(), types.len());
            prop_assert_eq!(any_cut, given.iter().any(|field| field.cut));
        }

        #[test]
        fn the_check_refuses_what_cannot_be_given(bytes in prop::collection::vec(any::<u8>(), 0..40), fields in prop::collection::vec((prop::sample::select(&TYPES[..]), any::<bool>()), 0..6)) {
            let callsite = callsite(&fields.iter().map(|&(of, optional)| ("f", FieldType { of, optional })).collect::<Vec<_>>());
            for layout in [Layout::Plain, Layout::Packed] {
                let mut values = Values::new(&bytes, layout);
                let all = callsite.fields.iter().all(|&(_, field)| values.next(field).is_some());
                let is_whole = all && values.rest().is_empty();
                let checked = check_values(&callsite, &bytes, layout);
                prop_assert!(is_whole || checked.is_err());
                prop_assert!(checked.is_ok() || !is_whole || fields.iter().any(|field| field.0 == Type::Fields));
                let _ = Fields::new(&callsite, &bytes, layout).count();
            }
        }
    }
}
