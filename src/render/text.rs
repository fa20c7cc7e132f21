//! A structured record as text: its template with the values in place, and after it the fields that the template does
//! not name, as `name=value`.

use crate::format::{Decoded, FieldType, Fraction, Layout, PLACE, Type, Value, Values, take_named, unzigzag};
use crate::template::Spec;

use super::json;
use super::number::{self, NumberRoom, ShortDigits};
use super::plan::{Plan, STEP_BYTES, Shows, Step};
use super::value;
use super::word;

/// The longest text of one record, in bytes: a template may show a long value again and again. Twice the largest block.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// What stands for a value that was cut, after its text, and for the rest of a text that is too long.
const CUT: &[u8] = "…".as_bytes();

/// Ends the line of a record that was cut, for people. If the last value was cut, its mark is there.
pub(crate) fn cut_mark(line: &[u8]) -> &'static str {
    if line.ends_with(CUT) { " (cut)" } else { "… (cut)" }
}

/// Shown in place of a value that cannot be decoded.
const UNREADABLE: &[u8] = b"(unreadable)";

/// Appends the text of a record, in UTF-8. `values` are its values, in this `layout`. Control characters of the
/// template, names and values are left as they are.
#[inline]
pub(crate) fn record(plan: &Plan, values: &[u8], layout: Layout, out: &mut Vec<u8>) {
    write_all::<0>(plan, Values::new(values, layout), out);
}

/// Appends the members of a record by a plan of [`Plan::of_json`].
#[inline]
pub(crate) fn members(plan: &Plan, values: &[u8], layout: Layout, out: &mut Vec<u8>) {
    write_all::<FEW>(plan, Values::new(values, layout), out);
}

/// Fields whose values are kept on the stack.
const FEW: usize = 12;

/// `AGAIN`: the digits of this many first fields are cached, because they are shown more than once.
#[inline(always)]
fn write_all<const AGAIN: usize>(plan: &Plan, values: Values<'_>, out: &mut Vec<u8>) {
    if plan.types.len() <= FEW {
        write::<AGAIN>(plan, values, &mut [0; FEW], out);
    } else {
        write::<AGAIN>(plan, values, &mut vec![0; plan.types.len()], out);
    }
}

/// As [`record`]; `bits` has room for each field.
#[inline(always)]
fn write<const AGAIN: usize>(plan: &Plan, values: Values<'_>, bits: &mut [u64], out: &mut Vec<u8>) {
    let start = out.len();
    let readable = take(&plan.types, plan.words, values, bits);
    let taken = TypedValues { types: &plan.types, bits: &bits[..readable], all: values };
    let mut seen = [ShortDigits::default(); AGAIN];
    let mut steps = &plan.steps[..];
    loop {
        // The common steps write to memory that is allocated already; `show` does the others.
        let begin = out.len();
        // In halves, which are set to zero without a call.
        out.extend_from_slice(&[0; ROOM_BYTES / 2]);
        out.extend_from_slice(&[0; ROOM_BYTES / 2]);
        let Some(room) = out.last_chunk_mut() else { return };
        let (rest, length) = put(steps, taken, begin == start, &mut seen, room);
        out.truncate(begin + length);
        steps = rest;
        if length <= ROOM_END {
            let Some((step, rest)) = steps.split_first() else { return };
            // Passes a copy, so that `taken` itself can stay in registers.
            show(step, &{ taken }, start, out);
            steps = rest;
        }
        if out.len() - start > TEXT_BYTES_MAX {
            return shorten(start, out);
        }
    }
}

/// The values of a record.
#[derive(Clone, Copy)]
struct TypedValues<'a, 'v> {
    types: &'a [FieldType],
    /// For each field that can be read: the [word](Values::split_words) that it is packed as, or else where its value
    /// begins, with the highest bit.
    bits: &'a [u64],
    all: Values<'v>,
}

impl<'v> TypedValues<'_, 'v> {
    /// The value of the field; `None` if it cannot be read.
    fn get(&self, field: u32) -> Option<Decoded<'v>> {
        let bits = *self.bits.get(field as usize)?;
        let of = self.types[field as usize];
        if bits & PLACE != 0 {
            return self.from(bits).next(of);
        }
        let value = match of.of {
            Type::Unsigned => Value::Unsigned(bits),
            Type::Signed => Value::Signed(unzigzag(bits)),
            _ => Value::F64(Fraction::from_word(bits).number()),
        };
        Some(Decoded::Value { value, cut: false })
    }

    /// The values from the one that begins there.
    #[inline(always)]
    fn from(&self, begin: u64) -> Values<'v> {
        self.all.from((begin & !PLACE) as usize)
    }

    /// The integer of these bits.
    #[inline(always)]
    fn unsigned(&self, bits: u64) -> Option<u64> {
        if bits & PLACE == 0 { Some(bits) } else { self.from(bits).next_integer(Type::Unsigned) }
    }

    /// The integer of these bits, which may be negative.
    #[inline(always)]
    fn signed(&self, bits: u64) -> Option<i64> {
        if bits & PLACE == 0 {
            Some(unzigzag(bits))
        } else {
            self.from(bits).next_integer(Type::Signed).map(|bits| bits as i64)
        }
    }

    /// The number with a fraction of these bits.
    #[inline(always)]
    fn fraction(&self, bits: u64) -> Option<Fraction> {
        if bits & PLACE == 0 { Some(Fraction::from_word(bits)) } else { self.from(bits).next_fraction() }
    }
}

/// Reads the values, up to the first one that cannot be read, and returns how many these are. The first `words` are
/// numbers of 64 bits.
#[inline(always)]
fn take(types: &[FieldType], words: usize, all: Values<'_>, bits: &mut [u64]) -> usize {
    let (mut taken, begin) = all.split_words(&mut bits[..words]);
    if taken < types.len() {
        taken = take_others(types, taken, begin, all, bits);
    }
    taken
}

/// As [`take`], after `taken` values, for any others; the first of them `begin`s there.
#[inline(never)]
fn take_others(types: &[FieldType], mut taken: usize, begin: usize, all: Values<'_>, bits: &mut [u64]) -> usize {
    let mut values = all.from(begin);
    for (bits, &field) in bits.iter_mut().zip(types).skip(taken) {
        *bits = PLACE | (all.rest().len() - values.rest().len()) as u64;
        if values.pass(field).is_none() {
            break;
        }
        taken += 1;
    }
    taken
}

/// Room for texts and numbers, before it is known how long they are.
const ROOM_BYTES: usize = 256;

/// Where no step begins any more: up to here there is room for a space, a text and a number.
const ROOM_END: usize = ROOM_BYTES - 1 - STEP_BYTES - size_of::<NumberRoom>();

/// Writes the first `steps` whose values are numbers, as far as there is room. Returns the steps that are left, and
/// the bytes that were written. `is_begin`: nothing of the record has been written before. `seen` are the digits of the
/// first fields, once they have been shown.
#[inline(always)]
fn put<'a, const AGAIN: usize>(
    mut steps: &'a [Step],
    taken: TypedValues<'_, '_>,
    is_begin: bool,
    seen: &mut [ShortDigits; AGAIN],
    room: &mut [u8; ROOM_BYTES],
) -> (&'a [Step], usize) {
    let mut at = 0;
    while let Some((step, rest)) = steps.split_first()
        && at <= ROOM_END
    {
        let mut next = at;
        if step.is_separate && !(is_begin && at == 0) {
            room[next] = b' ';
            next += 1;
        }
        room[next..next + STEP_BYTES].copy_from_slice(&step.text);
        // The `min` never applies. It tells the compiler that there is room.
        next += usize::from(step.text_bytes).min(STEP_BYTES);
        if step.shows != Shows::Nothing {
            let value = taken.bits.get(step.field as usize);
            let (Some(number), Some(&value)) = (room[next..].first_chunk_mut(), value) else { return (steps, at) };
            let seen = seen.get_mut(step.field as usize);
            let length = match step.shows {
                Shows::Unsigned => put_unsigned(number, taken.unsigned(value), u64::MAX, seen),
                Shows::UnsignedJson => put_unsigned(number, taken.unsigned(value), json::EXACT_MAX, seen),
                Shows::Signed => put_signed(number, taken.signed(value), u64::MAX, seen),
                Shows::SignedJson => put_signed(number, taken.signed(value), json::EXACT_MAX, seen),
                Shows::Fraction => put_fraction(number, taken.fraction(value), step.spec.precision, seen),
                Shows::FractionJson => put_fraction_json(number, taken.fraction(value), seen),
                Shows::Any | Shows::Nothing => None,
            };
            let Some(length) = length else { return (steps, at) };
            next += length;
        }
        (steps, at) = (rest, next);
    }
    (steps, at)
}

/// Writes an integer, and returns its length; `None` if it is above `max`.
#[inline(always)]
fn put_unsigned(room: &mut NumberRoom, value: Option<u64>, max: u64, seen: Option<&mut ShortDigits>) -> Option<usize> {
    Some(number::put_seen(room, 0, value.filter(|value| *value <= max)?, seen))
}

/// The same for one that may be negative.
#[inline(always)]
fn put_signed(room: &mut NumberRoom, value: Option<i64>, max: u64, seen: Option<&mut ShortDigits>) -> Option<usize> {
    let value = value.filter(|value| value.unsigned_abs() <= max)?;
    room[0] = b'-';
    Some(number::put_seen(room, usize::from(value < 0), value.unsigned_abs(), seen))
}

/// Writes a number with a fraction, as it is or with so many digits after the point, and returns its length; `None` if
/// it is not quickly written.
#[inline(always)]
fn put_fraction(
    room: &mut NumberRoom,
    fraction: Option<Fraction>,
    places: Option<u8>,
    seen: Option<&mut ShortDigits>,
) -> Option<usize> {
    match (fraction?, places) {
        (Fraction::Decimal { integer, power }, None) => {
            number::put_decimal(room, integer, Fraction::PLACES[power], number::FractionDigits::Shortest, seen)
        }
        (Fraction::Decimal { integer, power }, Some(places)) if Fraction::PLACES[power] == usize::from(places) => {
            number::put_decimal(room, integer, places.into(), number::FractionDigits::Whole, seen)
        }
        (fraction, places) => put_any_fraction(room, fraction.number(), places),
    }
}

/// The same as JSON.
#[inline(always)]
fn put_fraction_json(
    room: &mut NumberRoom,
    fraction: Option<Fraction>,
    seen: Option<&mut ShortDigits>,
) -> Option<usize> {
    match fraction? {
        Fraction::Decimal { integer, power } => {
            number::put_decimal(room, integer, Fraction::PLACES[power], number::FractionDigits::Point, seen)
        }
        Fraction::Number(value) => number::put_shortest(room, value, number::FractionDigits::Point),
    }
}

#[inline(never)]
fn put_any_fraction(room: &mut NumberRoom, value: f64, places: Option<u8>) -> Option<usize> {
    match places {
        None => number::put_shortest(room, value, number::FractionDigits::Shortest),
        Some(places) => number::put_fixed(room, value, places),
    }
}

/// Appends the text and the value of any step. `start` is where the record's text begins.
#[inline(never)]
fn show(step: &Step, taken: &TypedValues<'_, '_>, start: usize, out: &mut Vec<u8>) {
    let value = if step.shows == Shows::Nothing { None } else { Some(taken.get(step.field)) };
    if step.is_separate && !matches!(value, Some(Some(Decoded::Fields { .. }))) {
        separate(start, out);
    }
    out.extend_from_slice(&step.text[..step.text_bytes.into()]);
    match value {
        None => {}
        Some(None) => out.extend_from_slice(UNREADABLE),
        Some(Some(Decoded::Fields { content, cut })) => {
            inline_fields(content, cut, if step.is_named { start } else { out.len() }, out);
        }
        Some(Some(Decoded::Value { value, cut })) => {
            if matches!(step.shows, Shows::UnsignedJson | Shows::SignedJson | Shows::FractionJson) {
                json::number(&value, out);
            } else if step.is_named {
                word::value(&value, taken.types[step.field as usize].of, out);
            } else if step.spec == Spec::DEFAULT {
                value::plain(&value, out);
            } else {
                value::formatted(&value, &step.spec, out);
            }
            if cut {
                out.extend_from_slice(CUT);
            }
        }
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
        let Ok((name, of, Decoded::Value { value, cut: is_cut })) = take_named(&mut values) else {
            // The rest cannot be read.
            cut = true;
            break;
        };
        separate(start, out);
        word::name(name, out);
        word::value(&value, of, out);
        if is_cut {
            out.extend_from_slice(CUT);
        }
    }
    if cut {
        separate(start, out);
        out.extend_from_slice(CUT);
    }
}

/// Appends a space, if there is something since `start`.
fn separate(start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b' ');
    }
}
