//! A structured record as text: its template with the values in place, and after it the fields that the template does
//! not name, as `name=value`.

use crate::format::{Decoded, FieldType, Layout, Value, Values, take_named};
use crate::template::Template;

use super::value;

/// The longest text of one record, in bytes: a template may show a long value again and again. Twice the largest block.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// What stands for a value that was cut, after its text, and for the rest of a text that is too long.
const CUT: &[u8] = "…".as_bytes();

/// What stands for a value whose bytes are not one.
const UNREADABLE: &[u8] = b"(unreadable)";

/// Values that are kept on the stack, if a template does not show them in their order.
const KEPT_MAX: usize = 16;

/// Appends the record's text, in UTF-8. `fields` are the names and types of the callsite, and `template` is its
/// template, parsed with these names. Control characters of the template, names and values are left as they are.
#[inline]
pub(crate) fn record<N: AsRef<str>>(
    template: &Template,
    fields: &[(N, FieldType)],
    mut values: Values<'_>,
    out: &mut Vec<u8>,
) {
    if template.is_in_order() {
        return in_turn(template, fields, |field| values.next(fields[field].1), out);
    }
    kept(template, fields, values, out);
}

/// As [`record`], for a template that takes the values in another order than theirs.
#[inline(never)]
fn kept<N: AsRef<str>>(template: &Template, fields: &[(N, FieldType)], mut values: Values<'_>, out: &mut Vec<u8>) {
    let mut few = [None; KEPT_MAX];
    let mut many = Vec::new();
    let kept = match few.get_mut(..fields.len()) {
        Some(few) => few,
        None => {
            many.resize(fields.len(), None);
            &mut many[..]
        }
    };
    for (kept, (_, of)) in kept.iter_mut().zip(fields) {
        *kept = values.next(*of);
        if kept.is_none() {
            break;
        }
    }
    in_turn(template, fields, |field| kept[field], out);
}

/// Appends the record's text. `value_of` gives the value of a field; `None` if it cannot be read.
#[inline]
fn in_turn<'v, N: AsRef<str>>(
    template: &Template,
    fields: &[(N, FieldType)],
    mut value_of: impl FnMut(usize) -> Option<Decoded<'v>>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    for placeholder in template.placeholders() {
        template.append_before(placeholder, out);
        match value_of(placeholder.field as usize) {
            Some(Decoded::Value { value, cut }) => {
                if placeholder.is_plain {
                    value::plain(&value, out);
                } else {
                    value::formatted(&value, &placeholder.spec, out);
                }
                if cut {
                    out.extend_from_slice(CUT);
                }
            }
            Some(Decoded::Fields { content, cut }) => inline_fields(content, cut, out.len(), out),
            None => out.extend_from_slice(UNREADABLE),
        }
        if out.len() - start > TEXT_BYTES_MAX {
            return shorten(start, out);
        }
    }
    template.append_end(out);
    for field in template.others() {
        match value_of(field) {
            Some(Decoded::Value { value, cut }) => named(fields[field].0.as_ref(), &value, cut, start, out),
            Some(Decoded::Fields { content, cut }) => inline_fields(content, cut, start, out),
            None => {
                name(fields[field].0.as_ref(), start, out);
                out.extend_from_slice(UNREADABLE);
            }
        }
    }
    if out.len() - start > TEXT_BYTES_MAX {
        shorten(start, out);
    }
}

/// Cuts the text to the bound, after a whole character.
#[cold]
fn shorten(start: usize, out: &mut Vec<u8>) {
    let mut end = start + TEXT_BYTES_MAX;
    while end > start && out[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    out.truncate(end);
    out.extend_from_slice(CUT);
}

/// Appends fields that have their names with them. `start` is where the text begins: nothing separates the first word.
fn inline_fields(content: &[u8], mut cut: bool, start: usize, out: &mut Vec<u8>) {
    let mut values = Values::new(content, Layout::Plain);
    while !values.rest().is_empty() {
        let Ok((field, Decoded::Value { value, cut: is_cut })) = take_named(&mut values) else {
            // The rest cannot be read.
            cut = true;
            break;
        };
        named(field, &value, is_cut, start, out);
    }
    if cut {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(CUT);
    }
}

/// Appends ` name=value`, with quotes around a text that would not be one word.
fn named(field: &str, value: &Value<'_>, cut: bool, start: usize, out: &mut Vec<u8>) {
    name(field, start, out);
    let at = out.len();
    value::plain(value, out);
    let is_text = matches!(value, Value::Char(_) | Value::Str(_) | Value::Text(_) | Value::Bytes(_));
    if is_text && !is_word(&out[at..]) {
        quote(at, out);
    }
    if cut {
        out.extend_from_slice(CUT);
    }
}

/// Appends ` name=`.
fn name(field: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b' ');
    }
    out.extend_from_slice(field.as_bytes());
    out.push(b'=');
}

/// Whether the text is seen to be one word: not empty, and without spaces, quotes, `=` and control characters.
fn is_word(text: &[u8]) -> bool {
    let is_apart = |byte: &u8| matches!(byte, 0..=b' ' | b'"' | b'=' | b'\\' | 0x7F);
    !text.is_empty() && !text.iter().any(is_apart)
}

/// Puts what begins at `at` in quotes, and a backslash before quotes and backslashes in it.
fn quote(at: usize, out: &mut Vec<u8>) {
    let is_special = |byte: u8| byte == b'"' || byte == b'\\';
    let specials = out[at..].iter().filter(|&&byte| is_special(byte)).count();
    let mut from = out.len();
    out.resize(from + specials + 2, b'"');
    // From the end, so that nothing is overwritten that has not been moved.
    let mut to = out.len() - 1;
    while from > at {
        from -= 1;
        to -= 1;
        out[to] = out[from];
        if is_special(out[to]) {
            to -= 1;
            out[to] = b'\\';
        }
    }
    out[at] = b'"';
}
