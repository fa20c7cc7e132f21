//! A structured record as text: its template with the values in place, and after it the fields that the template does
//! not name, as `name=value`.

use crate::format::{Decoded, FieldType, Fraction, Layout, Type, Value, Values, take_named};
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

/// What stands for a value whose bytes are not one.
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

/// `AGAIN`: of so many fields the integers are shown more than once.
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
    let readable = take(&plan.types, values, bits);
    let taken = Taken { types: &plan.types, bits: &bits[..readable], all: values };
    let mut seen = Seen { digits: [ShortDigits::default(); AGAIN] };
    let mut steps = &plan.steps[..];
    loop {
        // What is common is written to memory that is there already. Then comes something else.
        let begin = out.len();
        out.resize(begin + size_of::<Room>(), 0);
        let Some(room) = out.last_chunk_mut() else { return };
        let (done, length) = put(steps, taken, begin == start, &mut seen, room);
        out.truncate(begin + length);
        steps = &steps[done..];
        if length <= ROOM_END {
            let Some((step, rest)) = steps.split_first() else { return };
            // A copy: what a call reads through a pointer would be in memory from the beginning.
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
struct Taken<'a, 'v> {
    types: &'a [FieldType],
    /// For each field that can be read: the bits of an integer of 64 bits, the word of a
    /// [decimal](Fraction::from_word), or else where its value begins, with the highest bit.
    bits: &'a [u64],
    all: Values<'v>,
}

impl<'v> Taken<'_, 'v> {
    /// The value of the field; `None` if it cannot be read.
    fn get(&self, field: u32) -> Option<Decoded<'v>> {
        let bits = *self.bits.get(field as usize)?;
        let of = self.types[field as usize];
        let value = match of {
            FieldType { of: Type::Unsigned, optional: false } => Value::Unsigned(bits),
            FieldType { of: Type::Signed, optional: false } => Value::Signed(bits as i64),
            _ if bits & PLACE == 0 => Value::F64(Fraction::from_word(bits).number()),
            _ => return self.from(bits).next(of),
        };
        Some(Decoded::Value { value, cut: false })
    }

    /// The values from the one that begins there.
    #[inline(always)]
    fn from(&self, begin: u64) -> Values<'v> {
        self.all.from((begin & !PLACE) as usize)
    }

    /// The number with a fraction of these bits.
    #[inline(always)]
    fn fraction(&self, bits: u64) -> Option<Fraction> {
        if bits & PLACE == 0 { Some(Fraction::from_word(bits)) } else { self.from(bits).next_fraction() }
    }
}

/// The bit of a place among the values.
const PLACE: u64 = 1 << 63;

/// Reads the values, up to the first one that cannot be read, and returns how many these are.
#[inline(always)]
fn take(types: &[FieldType], all: Values<'_>, bits: &mut [u64]) -> usize {
    let mut values = all;
    let mut taken = 0;
    for (bits, &field) in bits.iter_mut().zip(types) {
        if !field.optional && matches!(field.of, Type::Unsigned | Type::Signed) {
            let Some(integer) = values.next_integer(field.of) else { break };
            *bits = integer;
        } else if field == FieldType::new(Type::F64)
            && let Some(word) = values.next_decimal_word()
        {
            *bits = word;
        } else {
            *bits = PLACE | (all.rest().len() - values.rest().len()) as u64;
            // A copy for the call, so that the other values are read from registers.
            let mut after = values;
            if after.pass(field).is_none() {
                break;
            }
            values = after;
        }
        taken += 1;
    }
    taken
}

/// Room for texts and numbers, before it is known how long they are.
type Room = [u8; ROOM_MASK + 1 + size_of::<NumberRoom>()];

/// Lets the compiler see that an offset is within the room, which is cheaper than a check.
const ROOM_MASK: usize = 255;

/// Where no step begins any more: after this there is room for a space, a text and a number.
const ROOM_END: usize = ROOM_MASK - 1 - STEP_BYTES - size_of::<NumberRoom>();

/// The digits of the first fields' integers, once they have been shown.
struct Seen<const FIELDS: usize> {
    digits: [ShortDigits; FIELDS],
}

impl<const FIELDS: usize> Seen<FIELDS> {
    /// Writes the integer of a field that may be negative, and returns its length.
    #[inline(always)]
    fn put_signed(&mut self, field: u32, value: i64, room: &mut NumberRoom) -> usize {
        self.put(field, value < 0, value.unsigned_abs(), room)
    }

    /// Writes the integer of a field, and returns its length.
    #[inline(always)]
    fn put(&mut self, field: u32, is_negative: bool, magnitude: u64, room: &mut NumberRoom) -> usize {
        let seen = self.digits.get_mut(field as usize);
        room[0] = b'-';
        let at = usize::from(is_negative);
        match seen {
            Some(digits) if digits.are_known() => number::put_digits(room, at, *digits),
            _ => {
                let Some(digits) = ShortDigits::of(magnitude) else { return number::put_long(room, at, magnitude) };
                if let Some(seen) = seen {
                    *seen = digits;
                }
                number::put_digits(room, at, digits)
            }
        }
    }
}

/// Writes the first `steps` whose values are numbers, as far as there is room. Returns how many steps these are, and
/// their bytes. `is_begin`: nothing of the record has been written before.
#[inline(always)]
fn put<const AGAIN: usize>(
    steps: &[Step],
    taken: Taken<'_, '_>,
    is_begin: bool,
    seen: &mut Seen<AGAIN>,
    room: &mut Room,
) -> (usize, usize) {
    let mut at = 0;
    for (done, step) in steps.iter().enumerate() {
        let mut next = at;
        if step.is_separate && !(is_begin && at == 0) {
            room[next & ROOM_MASK] = b' ';
            next += 1;
        }
        let place = next & ROOM_MASK;
        room[place..place + STEP_BYTES].copy_from_slice(&step.text);
        next += usize::from(step.text_bytes);
        if step.shows != Shows::Nothing {
            let place = next & ROOM_MASK;
            let number = (&mut room[place..place + size_of::<NumberRoom>()]).try_into();
            let value = taken.bits.get(step.field as usize);
            let (Ok(number), Some(&value)) = (number, value) else { return (done, at) };
            let length = match step.shows {
                Shows::Unsigned => Some(seen.put(step.field, false, value, number)),
                Shows::UnsignedJson if value <= json::EXACT_MAX => Some(seen.put(step.field, false, value, number)),
                Shows::Signed => Some(seen.put_signed(step.field, value as i64, number)),
                Shows::SignedJson if (value as i64).unsigned_abs() <= json::EXACT_MAX => {
                    Some(seen.put_signed(step.field, value as i64, number))
                }
                Shows::Fraction => put_fraction(number, taken.fraction(value), step.spec.precision),
                Shows::FractionJson => put_fraction_json(number, taken.fraction(value)),
                Shows::UnsignedJson | Shows::SignedJson | Shows::Any | Shows::Nothing => None,
            };
            let Some(length) = length else { return (done, at) };
            next += length;
        }
        at = next;
        if at > ROOM_END {
            return (done + 1, at);
        }
    }
    (steps.len(), at)
}

/// Writes a number with a fraction, as it is or with so many digits after the point, and returns its length; `None` if
/// it is not quickly written.
#[inline(always)]
fn put_fraction(room: &mut NumberRoom, fraction: Option<Fraction>, places: Option<u8>) -> Option<usize> {
    match (fraction?, places) {
        (Fraction::Decimal { integer, power }, None) => {
            number::put_decimal(room, integer, Fraction::PLACES[power], number::Fraction::Shortest)
        }
        (Fraction::Decimal { integer, power }, Some(places)) if Fraction::PLACES[power] == usize::from(places) => {
            number::put_decimal(room, integer, places.into(), number::Fraction::Whole)
        }
        (fraction, places) => put_any_fraction(room, fraction.number(), places),
    }
}

/// The same as JSON.
#[inline(always)]
fn put_fraction_json(room: &mut NumberRoom, fraction: Option<Fraction>) -> Option<usize> {
    match fraction? {
        Fraction::Decimal { integer, power } => {
            number::put_decimal(room, integer, Fraction::PLACES[power], number::Fraction::Point)
        }
        Fraction::Number(value) => number::put_shortest(room, value, number::Fraction::Point),
    }
}

#[inline(never)]
fn put_any_fraction(room: &mut NumberRoom, value: f64, places: Option<u8>) -> Option<usize> {
    match places {
        None => number::put_shortest(room, value, number::Fraction::Shortest),
        Some(places) => number::put_fixed(room, value, places),
    }
}

/// Appends the text and the value of any step. `start` is where the record's text begins.
#[inline(never)]
fn show(step: &Step, taken: &Taken<'_, '_>, start: usize, out: &mut Vec<u8>) {
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
