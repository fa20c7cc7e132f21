//! Values with their names, for a bridge: no callsite knows these fields in advance.
//!
//! A bridge's record has up to three values: the names of the spans around it, its text, and a value of type
//! [`Fields`](Type::Fields) with all other fields. They are written to the scratch in this order. In the last value
//! each field is its name (a byte with the length, then the bytes), its type, and its plain value.
//!
//! A text takes as much room as it needs, up to all that is left. A field that finds no room after it gets some: the
//! longest texts before it are shortened: for a number as far as it needs, for a text until it has as much room as they
//! have. So a long text costs no later field, and it is whole if nothing comes after it.

use std::fmt::{self, Write};

use super::kept::{Formatted, Kept, LENGTH_BYTES, length_word};
use super::scratch::Scratch;
use crate::format::{FIELD_NAME_BYTES_MAX, FieldType, Layout, Type, Values, cut_at};
use crate::ring::Claimed;

/// A sequence of fields at the end of a scratch.
pub(crate) struct InlineFields<'s, 'b> {
    scratch: &'s mut Scratch<'b>,
    begin: usize,
    cut: bool,
}

impl<'s, 'b> InlineFields<'s, 'b> {
    /// No fields yet. They will come after what the scratch already holds.
    pub(crate) fn new(scratch: &'s mut Scratch<'b>) -> InlineFields<'s, 'b> {
        let begin = scratch.bytes().len();
        InlineFields { scratch, begin, cut: false }
    }

    /// Adds a field with the bytes of its plain value. The name is given in parts.
    pub(crate) fn value(&mut self, name: &[&str], of: FieldType, plain: &[u8]) {
        self.make_room(head_bytes(name) + plain.len());
        let begin = self.scratch.bytes().len();
        if !(self.head(name, of) && self.scratch.put(plain)) {
            self.leave_out(begin);
        }
    }

    /// Adds a field with a formatted text, of type [`Type::Str`], [`Type::Display`] or [`Type::Debug`]. Runs the
    /// formatter.
    pub(crate) fn text(&mut self, name: &[&str], of: Type, text: fmt::Arguments<'_>) {
        self.long(name, of, usize::MAX, |scratch| scratch.format(text).is_cut());
    }

    /// Adds a text field without formatting.
    pub(crate) fn str(&mut self, name: &[&str], text: &str) {
        self.long(name, Type::Str, text.len(), |scratch| scratch.write_str(text).is_err());
    }

    /// Adds a field whose value begins with its length and has `bytes_max` at most. `write` writes the value, and
    /// returns whether it was cut.
    fn long(&mut self, name: &[&str], of: Type, bytes_max: usize, write: impl FnOnce(&mut Scratch<'b>) -> bool) {
        self.make_room_for_text(head_bytes(name) + LENGTH_BYTES, bytes_max);
        let begin = self.scratch.bytes().len();
        if !(self.head(name, FieldType::new(of)) && self.scratch.put(&[0; LENGTH_BYTES])) {
            return self.leave_out(begin);
        }
        let value = self.scratch.bytes().len();
        let cut = write(self.scratch);
        self.cut |= cut;
        let length = self.scratch.bytes().len() - value;
        self.scratch.bytes_mut()[value - LENGTH_BYTES..value].copy_from_slice(&length_word(length, cut));
    }

    /// Shortens texts of the fields before, until `bytes` are left or no text is.
    fn make_room(&mut self, bytes: usize) {
        while self.shorten(|longest, left| longest.min(bytes.saturating_sub(left))) {}
    }

    /// Shortens texts of the fields before for a text of `bytes_max`, until it has a quarter of the record's room, or
    /// as much as the longest of them. There must be room for the `head_bytes` before it.
    fn make_room_for_text(&mut self, head_bytes: usize, bytes_max: usize) {
        self.make_room(head_bytes);
        let quarter = (self.scratch.bytes().len() + self.scratch.left()) / 4;
        let bytes = bytes_max.min(quarter);
        while self.shorten(|longest, left| {
            let left = left.saturating_sub(head_bytes);
            longest.saturating_sub(left).div_ceil(2).min(bytes.saturating_sub(left))
        }) {}
    }

    /// Shortens the longest text by what `by` returns for its length and for the room that is left, or by a little
    /// more. Returns whether this was more than nothing.
    fn shorten(&mut self, by: impl Fn(usize, usize) -> usize) -> bool {
        let left = self.scratch.left();
        // Nothing has to be looked for as long as there is room, even if a text were as long as the record.
        if by(usize::MAX, left) == 0 {
            return false;
        }
        let removed = shorten_longest(&mut self.scratch.bytes_mut()[self.begin..], |longest| by(longest, left));
        self.scratch.truncate(self.scratch.bytes().len() - removed);
        self.cut |= removed > 0;
        removed > 0
    }

    /// Writes a field's name and type. Returns whether they fit.
    fn head(&mut self, name: &[&str], of: FieldType) -> bool {
        let at = self.scratch.bytes().len();
        let mut length = 0;
        let mut fits = self.scratch.put(&[0]);
        for part in name {
            let kept = cut_at(part, FIELD_NAME_BYTES_MAX - length);
            fits &= self.scratch.put(kept.as_bytes());
            length += kept.len();
            if kept.len() < part.len() {
                self.cut = true;
                break;
            }
        }
        if fits {
            self.scratch.bytes_mut()[at] = length as u8;
        }
        fits && self.scratch.put(&[of.code()])
    }

    /// Removes the field that began at `begin`.
    fn leave_out(&mut self, begin: usize) {
        self.scratch.truncate(begin);
        self.cut = true;
    }

    fn end(&self) -> Formatted {
        Formatted { begin: self.begin, length: self.scratch.bytes().len() - self.begin, cut: self.cut }
    }
}

/// Used by the bridge from `tracing`, not by that from `log`.
#[cfg(feature = "tracing")]
impl InlineFields<'_, '_> {
    /// Whether a field was cut or left out.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, name: &[&str], bytes: &[u8]) {
        self.long(name, Type::Bytes, bytes.len(), |scratch| {
            let fits = &bytes[..bytes.len().min(scratch.left())];
            scratch.put(fits);
            fits.len() < bytes.len()
        });
    }

    /// Adds fields that are encoded already.
    pub(crate) fn copy(&mut self, content: &[u8], cut: bool) {
        self.cut |= cut;
        for field in fields_in(content) {
            match field.split_at(text_at(field)) {
                (_, []) => self.make_room(field.len()),
                (head, text) => self.make_room_for_text(head.len(), text.len()),
            }
            if !self.scratch.put(field) {
                self.copy_cut(field);
            }
        }
    }

    /// Adds as much of a field as fits, if its value is a text.
    fn copy_cut(&mut self, field: &[u8]) {
        self.cut = true;
        let (head, text) = field.split_at(text_at(field));
        if !text.is_empty() && self.scratch.put(head) {
            let end = self.scratch.bytes().len();
            let kept = cut_bytes(text, self.scratch.left());
            self.scratch.bytes_mut()[end - LENGTH_BYTES..].copy_from_slice(&length_word(kept, true));
            self.scratch.put(&text[..kept]);
        }
    }
}

/// A bridge's record while its values are being written.
pub(crate) struct Inline<'s, 'b> {
    spans: Option<Formatted>,
    message: Option<Formatted>,
    fields: InlineFields<'s, 'b>,
}

impl<'s, 'b> Inline<'s, 'b> {
    /// No values yet.
    pub(crate) fn new(scratch: &'s mut Scratch<'b>) -> Inline<'s, 'b> {
        // The callsite's id and the lengths of the three values also take room in the record.
        scratch.keep_back(4 * LENGTH_BYTES);
        Inline { spans: None, message: None, fields: InlineFields::new(scratch) }
    }

    /// Sets the names of the spans. Called at most once, and before anything else.
    #[cfg(feature = "tracing")]
    pub(crate) fn spans(&mut self, names: &str, cut: bool) {
        let room = self.fields.scratch.left() / 4;
        let mut spans = self.fields.scratch.format_within(room, format_args!("{names}"));
        spans.cut |= cut;
        self.fields.begin += spans.length;
        self.spans = Some(spans);
    }

    /// Sets the text, once. Fields may already have been added. With `are_fields`, a quarter of the room is kept for
    /// fields.
    pub(crate) fn message(&mut self, are_fields: bool, text: fmt::Arguments<'_>) {
        self.fields.make_room_for_text(0, usize::MAX);
        let InlineFields { scratch, begin, .. } = &mut self.fields;
        let room = scratch.left() - if are_fields { scratch.left() / 4 } else { 0 };
        let mut message = scratch.format_within(room, text);
        // Move the text before the fields.
        scratch.bytes_mut()[*begin..].rotate_right(message.length);
        message.begin = *begin;
        *begin += message.length;
        self.message = Some(message);
    }

    /// Whether the text has been set.
    #[cfg(feature = "tracing")]
    pub(crate) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// The fields, for adding more.
    pub(crate) fn fields(&mut self) -> &mut InlineFields<'s, 'b> {
        &mut self.fields
    }

    /// The values, ready to be appended.
    pub(crate) fn keep(&self) -> KeptInline {
        KeptInline { spans: self.spans, message: self.message, fields: self.fields.end() }
    }
}

/// The values of a bridge's record, ready to be appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptInline {
    spans: Option<Formatted>,
    message: Option<Formatted>,
    fields: Formatted,
}

impl KeptInline {
    pub(crate) fn has_spans(&self) -> bool {
        self.spans.is_some()
    }

    pub(crate) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// All values, in their order. The fields begin with a length, as a text does.
    fn values(&self) -> impl Iterator<Item = Formatted> {
        self.spans.into_iter().chain(self.message).chain([self.fields])
    }
}

impl Kept for KeptInline {
    fn bytes(&self) -> usize {
        self.values().map(|value| value.bytes()).sum()
    }

    fn write(&self, scratch: &[u8], claimed: &mut Claimed<'_>) {
        self.values().for_each(|value| value.write(scratch, claimed));
    }

    fn flexible_bytes(&self) -> usize {
        self.values().map(|value| value.length).sum()
    }

    fn cut(&mut self, scratch: &[u8], room: &mut usize) {
        let kept_back = self.fields.length.min(*room / 4);
        let mut for_texts = *room - kept_back;
        for text in [&mut self.spans, &mut self.message].into_iter().flatten() {
            text.cut(scratch, &mut for_texts);
        }
        *room = for_texts + kept_back;
        let fits = whole_fields(self.fields.of(scratch), *room);
        self.fields.cut |= fits < self.fields.length;
        self.fields.length = fits;
        *room -= fits;
    }

    fn is_cut(&self) -> bool {
        self.values().any(|value| value.is_cut())
    }
}

/// How many bytes a field has before its value. The name is given in parts.
fn head_bytes(name: &[&str]) -> usize {
    2 + name.iter().map(|part| part.len()).sum::<usize>().min(FIELD_NAME_BYTES_MAX)
}

/// Shortens the longest text in `content` by what `by` returns for its length, or by a little more, and flags it.
/// Returns by how much: `content` has that many bytes less, and the same number at its end means nothing.
fn shorten_longest(content: &mut [u8], by: impl FnOnce(usize) -> usize) -> usize {
    let mut at = 0;
    let mut longest = at..at;
    for field in fields_in(content) {
        let text = at + text_at(field)..at + field.len();
        if text.len() > longest.len() {
            longest = text;
        }
        at += field.len();
    }
    let kept = cut_bytes(&content[longest.clone()], longest.len() - by(longest.len()));
    if kept < longest.len() {
        content[longest.start - LENGTH_BYTES..longest.start].copy_from_slice(&length_word(kept, true));
        content.copy_within(longest.end.., longest.start + kept);
    }
    longest.len() - kept
}

/// How many bytes of a text fit into `bytes_max`. Bytes that are not text may be cut anywhere.
fn cut_bytes(text: &[u8], bytes_max: usize) -> usize {
    std::str::from_utf8(text).map_or(bytes_max.min(text.len()), |text| cut_at(text, bytes_max).len())
}

/// Where in a field its text or its bytes begin; the field's end if its value is of another type.
fn text_at(field: &[u8]) -> usize {
    let of = 1 + field.first().map_or(0, |length| usize::from(*length));
    let is_text = field.get(of).and_then(|code| FieldType::from_code(*code).ok()).is_some_and(|of| {
        [Type::Str, Type::Display, Type::Debug, Type::Bytes].iter().any(|text| of == FieldType::new(*text))
    });
    if is_text { of + 1 + LENGTH_BYTES } else { field.len() }
}

/// How many bytes at the beginning of `content` are whole fields that fit into `bytes_max`.
fn whole_fields(content: &[u8], bytes_max: usize) -> usize {
    if content.len() <= bytes_max {
        return content.len();
    }
    let mut whole = 0;
    for field in fields_in(content) {
        if whole + field.len() > bytes_max {
            break;
        }
        whole += field.len();
    }
    whole
}

/// The fields in `content`, each as all of its bytes.
fn fields_in(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (field, after) = rest.split_at_checked(field_bytes(rest)?)?;
        rest = after;
        Some(field)
    })
}

/// How many bytes the first field in `content` has.
fn field_bytes(content: &[u8]) -> Option<usize> {
    let value = 1 + usize::from(*content.first()?) + 1;
    let of = FieldType::from_code(*content.get(value - 1)?).ok()?;
    let mut values = Values::new(&content[value..], Layout::Plain);
    values.next(of)?;
    Some(content.len() - values.rest().len())
}

/// A field's name with its length byte: the beginning of the field's bytes.
#[cfg(feature = "tracing")]
fn name_of(field: &[u8]) -> &[u8] {
    let length = field.first().map_or(0, |length| 1 + usize::from(*length));
    field.get(..length).unwrap_or(field)
}

/// Adds the fields in `new` to those in `kept`, as far as they fit into `bytes_max`. A new field replaces one with the
/// same name. Returns whether all fit.
#[cfg(feature = "tracing")]
pub(crate) fn merge_fields(kept: &mut Vec<u8>, new: &[u8], bytes_max: usize) -> bool {
    let mut fits = true;
    for field in fields_in(new) {
        let mut at = 0;
        while let Some(bytes) = field_bytes(&kept[at..]) {
            if name_of(&kept[at..]) == name_of(field) {
                kept.drain(at..at + bytes);
            } else {
                at += bytes;
            }
        }
        let mut merged = InlineFields { scratch: &mut Scratch::growing(kept, bytes_max), begin: 0, cut: false };
        merged.copy(field, false);
        fits &= !merged.cut;
    }
    fits
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::appendable::{Appendable, Destination};
    use crate::fields::Structured;
    use crate::ring::to_vec;

    fn names_in(content: &[u8]) -> Vec<String> {
        fields_in(content).map(|field| String::from_utf8_lossy(&field[1..1 + usize::from(field[0])]).into()).collect()
    }

    #[test]
    fn a_record_for_a_smaller_ring_loses_whole_fields_and_the_ends_of_texts() {
        let mut buffer = Vec::new();
        let mut scratch = Scratch::growing(&mut buffer, 4096);
        let mut inline = Inline::new(&mut scratch);
        inline.fields().str(&["before"], "the text");
        inline.message(true, format_args!("{:é<400}", ""));
        for number in 0..20_u64 {
            inline.fields().value(&["n", "umber"], FieldType::new(Type::Unsigned), &number.to_le_bytes());
        }
        let whole = inline.keep();
        assert!(!whole.is_cut() && names_in(whole.fields.of(inline.fields.scratch.bytes())).len() == 21);
        for bytes_max in [0, 20, 21, 300, 301, 302, 303, 600, 1100, 1300, 4096] {
            let mut record = Structured {
                callsite: 1,
                values: whole,
                scratch: inline.fields.scratch.bytes(),
                destination: Destination::Log,
            };
            record.cut_to(bytes_max);
            let bytes = to_vec(&record);
            assert!(bytes.len() <= bytes_max.max(12), "{} of {bytes_max}", bytes.len());
            assert_eq!(record.is_cut(), bytes_max < 1136, "{bytes_max}");
            let mut values = Values::new(&bytes[4..], Layout::Plain);
            let message = values.next(FieldType::new(Type::Display)).expect("a text");
            let fields = values.next(FieldType::new(Type::Fields)).expect("fields");
            assert!(values.rest().is_empty() && matches!(message, crate::format::Decoded::Value { .. }));
            let crate::format::Decoded::Fields { content, .. } = fields else { panic!("{fields:?}") };
            assert_eq!(fields_in(content).map(<[u8]>::len).sum::<usize>(), content.len(), "whole fields alone");
            assert!(bytes_max < 300 || names_in(content)[0] == "before", "{bytes_max}");
        }
    }

    #[test]
    fn a_name_of_several_parts_is_cut_as_one() {
        let mut buffer = Vec::new();
        let mut scratch = Scratch::growing(&mut buffer, 4096);
        let mut fields = InlineFields::new(&mut scratch);
        fields.str(&[&"é".repeat(100), ".", "name"], "");
        assert!(!fields.cut);
        fields.str(&[&"é".repeat(127), ".", "name"], "");
        fields.str(&[&"é".repeat(200), ".", "name"], "");
        assert!(fields.cut);
        let names = names_in(&buffer);
        assert_eq!(names, [format!("{}.name", "é".repeat(100)), format!("{}.", "é".repeat(127)), "é".repeat(127)]);
    }
}
