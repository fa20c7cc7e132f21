//! The packed encoding: the writer makes it from plain values, and the reader finds the records in it.
//!
//! A packed record consists of the callsite's id, the time since the record before it, a length, and the packed values.
//! The id 0 marks a message, which has no callsite. There is no padding. The callsite's definition has the level and
//! the types of the values.

use super::value::{FieldType, POWERS, Type};
use super::varint::{
    EIGHT_BYTES_LIMIT, VARINT_BYTES_MAX, low_varint, put_varint, put_varint_wide, set_nine, set_varint, split_varint,
    varint_bytes, zigzag, zigzag_128,
};

/// The fewest bytes of a packed record.
pub(crate) const PACKED_RECORD_BYTES_MIN: usize = 3;

/// The code of a message. Callsites have codes from 1 on.
pub(crate) const MESSAGE_CODE: u32 = 0;

/// This bit of a message's first byte says that the message was cut. The bits below it are its level.
pub(super) const MESSAGE_TRUNCATED: u8 = 1 << 3;

/// The most bytes before the values: code, time, length.
const HEAD_BYTES_MAX: usize = 5 + VARINT_BYTES_MAX + 5;

/// How many bytes the store of a varint may change after the varint.
const SLACK_BYTES: usize = VARINT_BYTES_MAX - 1;

/// The most bytes that the packed form of `plain_bytes` of plain values takes.
#[inline(always)]
const fn values_bytes_max(plain_bytes: usize) -> usize {
    // At most, 8 plain bytes become 9 packed ones, and 16 become 18. No other value grows.
    plain_bytes + plain_bytes / 8
}

/// The room that [`pack_record`] and [`pack_message`] need for a record with `payload_bytes`. The record takes less.
/// The two may overwrite the rest of the room.
#[inline(always)]
pub(crate) const fn packed_room(payload_bytes: usize) -> usize {
    HEAD_BYTES_MAX + values_bytes_max(payload_bytes) + SLACK_BYTES + 1
}

/// Packs a record of callsite `code`, at least 1, with values of these types, into `buffer` at `at`. Returns the offset
/// after it; `None` if `buffer` has less than [`packed_room`] there, or if `plain` does not hold these values.
#[inline]
pub(crate) fn pack_record(
    buffer: &mut [u8],
    at: usize,
    code: u32,
    delta_ns: u64,
    types: &[FieldType],
    plain: &[u8],
) -> Option<usize> {
    let buffer = buffer.get_mut(..at.checked_add(packed_room(plain.len()))?)?;
    let at = put_varint(buffer, at, code.into());
    let at = put_varint(buffer, at, delta_ns);
    let length_bytes = varint_bytes(values_bytes_max(plain.len()) as u64);
    let start = at + length_bytes;
    let end = pack_values(buffer, start, types, plain)?;
    put_varint_wide(buffer, at, (end - start) as u64, length_bytes);
    Some(end)
}

/// A type whose plain values take eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Word {
    Unsigned,
    Signed,
    F64,
}

impl Word {
    /// The type as a `Word`; `None` if its plain values do not take eight bytes.
    pub(crate) const fn of(field: FieldType) -> Option<Word> {
        match field {
            FieldType { of: Type::Unsigned, optional: false } => Some(Word::Unsigned),
            FieldType { of: Type::Signed, optional: false } => Some(Word::Signed),
            FieldType { of: Type::F64, optional: false } => Some(Word::F64),
            _ => None,
        }
    }
}

/// The most values that [`pack_words`] packs.
pub(crate) const WORDS_MAX: usize = 12;

/// Masks an offset in [`WordsRoom`]: a varint fits after the masked offset, so the compiler needs no bounds check.
const WORDS_MASK: usize = 127;

/// Room for a record of at most [`WORDS_MAX`] values.
pub(crate) type WordsRoom = [u8; WORDS_MASK + 1 + VARINT_BYTES_MAX];

const _: () = assert!(HEAD_BYTES_MAX + WORDS_MAX * VARINT_BYTES_MAX <= WORDS_MASK);
// The length of the values fits into a varint of one byte.
const _: () = assert!(WORDS_MAX * VARINT_BYTES_MAX < 1 << 7);

/// The code of a callsite as a varint, made once for all of its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedCode {
    bytes: [u8; 8],
    length: u8,
}

impl PackedCode {
    pub(crate) fn new(code: u32) -> PackedCode {
        let mut room = [0; VARINT_BYTES_MAX];
        let length = set_varint(&mut room, code.into()) as u8;
        PackedCode { bytes: *room.first_chunk().expect("eight of nine"), length }
    }
}

/// [`pack_record`] for at most [`WORDS_MAX`] values of eight plain bytes each, into `room`. Returns the record's
/// length.
#[inline(always)]
pub(crate) fn pack_words(
    room: &mut WordsRoom,
    code: PackedCode,
    delta_ns: u64,
    words: &[Word],
    plain: &[[u8; 8]],
) -> usize {
    room[..8].copy_from_slice(&code.bytes);
    let mut at = usize::from(code.length);
    at += set_varint(words_room(room, at), delta_ns);
    let length_at = at;
    at += 1;
    for (word, plain) in words.iter().zip(plain) {
        let bits = u64::from_le_bytes(*plain);
        let room = words_room(room, at);
        at += match word {
            Word::Unsigned => set_varint(room, bits),
            Word::Signed => set_varint(room, zigzag(bits as i64)),
            Word::F64 => set_decimal(room, f64::from_bits(bits)),
        };
    }
    room[length_at & WORDS_MASK] = ((at - length_at - 1) as u8) << 1;
    at
}

#[inline(always)]
fn words_room(room: &mut WordsRoom, at: usize) -> &mut [u8; VARINT_BYTES_MAX] {
    let at = at & WORDS_MASK;
    (&mut room[at..at + VARINT_BYTES_MAX]).try_into().expect("nine bytes")
}

/// Packs a message into `buffer` at `at`. Returns the offset after it; `None` if `buffer` has less than [`packed_room`]
/// there.
#[inline]
pub(crate) fn pack_message(
    buffer: &mut [u8],
    at: usize,
    delta_ns: u64,
    level: u8,
    truncated: bool,
    message: &[u8],
) -> Option<usize> {
    let buffer = buffer.get_mut(..at.checked_add(packed_room(message.len()))?)?;
    let at = put_varint(buffer, at, MESSAGE_CODE.into());
    let at = put_varint(buffer, at, delta_ns);
    let at = put_varint(buffer, at, 1 + message.len() as u64);
    buffer[at] = level & 0b111 | if truncated { MESSAGE_TRUNCATED } else { 0 };
    Some(copy(buffer, at + 1, message))
}

/// Packs all values of `plain`. The caller has checked that there is room.
#[inline]
fn pack_values(buffer: &mut [u8], mut at: usize, types: &[FieldType], plain: &[u8]) -> Option<usize> {
    let mut rest = plain;
    for field in types {
        if field.optional {
            let present = take::<1>(&mut rest)?[0];
            buffer[at] = u8::from(present != 0);
            at += 1;
            if present == 0 {
                continue;
            }
        }
        at = match field.of {
            Type::Bool => {
                buffer[at] = take::<1>(&mut rest)?[0];
                at + 1
            }
            Type::Char => put_varint(buffer, at, u32::from_le_bytes(*take(&mut rest)?).into()),
            Type::Unsigned => put_varint(buffer, at, u64::from_le_bytes(*take(&mut rest)?)),
            Type::Signed => put_varint(buffer, at, zigzag(i64::from_le_bytes(*take(&mut rest)?))),
            Type::Unsigned128 => put_wide(buffer, at, u128::from_le_bytes(*take(&mut rest)?)),
            Type::Signed128 => put_wide(buffer, at, zigzag_128(i128::from_le_bytes(*take(&mut rest)?))),
            Type::F32 => {
                buffer[at..at + 4].copy_from_slice(take::<4>(&mut rest)?);
                at + 4
            }
            Type::F64 => {
                let room = (&mut buffer[at..at + VARINT_BYTES_MAX]).try_into().expect("nine bytes");
                at + set_decimal(room, f64::from_le_bytes(*take(&mut rest)?))
            }
            Type::Str | Type::Bytes | Type::Display | Type::Debug | Type::Fields => {
                let length = u32::from_le_bytes(*take(&mut rest)?);
                let (text, after) = rest.split_at_checked(length as usize >> 1)?;
                rest = after;
                let at = put_varint(buffer, at, length.into());
                copy(buffer, at, text)
            }
        };
    }
    rest.is_empty().then_some(at)
}

#[inline(always)]
fn take<'a, const BYTES: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; BYTES]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

#[inline(always)]
fn put_wide(buffer: &mut [u8], at: usize, value: u128) -> usize {
    let at = put_varint(buffer, at, value as u64);
    put_varint(buffer, at, (value >> 64) as u64)
}

/// Copies `bytes` to `buffer` at `at`, and returns the offset after them. Short ones are copied without a call.
#[inline(always)]
fn copy(buffer: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    const SHORT: usize = 16;
    let end = at + bytes.len();
    let to = &mut buffer[at..end];
    match bytes.len() {
        SHORT..=32 => copy_ends::<SHORT>(bytes, to),
        8..SHORT => copy_ends::<8>(bytes, to),
        4..8 => copy_ends::<4>(bytes, to),
        _ => to.copy_from_slice(bytes),
    }
    end
}

/// Copies the first and the last `BYTES` bytes, which may overlap.
#[inline(always)]
pub(crate) fn copy_ends<const BYTES: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<BYTES>(), to.first_chunk_mut::<BYTES>()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<BYTES>(), to.last_chunk_mut::<BYTES>()) {
        *to = *from;
    }
}

/// Writes a number with a fraction to the beginning of `room`. If an integer divided by a power of ten is the same
/// number, bit for bit, this writes the integer and the power, otherwise the number's bits. Returns how many bytes it
/// has written.
#[inline(always)]
fn set_decimal(room: &mut [u8; VARINT_BYTES_MAX], value: f64) -> usize {
    // Two decimal places are tried first: they suit prices, and also integers, whose last two digits are then zeros.
    let two = decimal(value, 1);
    let word = match two {
        Some(integer) if integer % 100 != 0 => Some(decimal_word(integer, 1)),
        _ => other_decimal(value, two),
    };
    match word {
        Some(word) => set_varint(room, word),
        None => set_nine(room, value.to_bits()),
    }
}

/// The word of a number that does not need exactly two decimal places; `None` if it is no decimal. `two` is the
/// number's integer with two places, if it has one.
#[inline(never)]
fn other_decimal(value: f64, two: Option<i64>) -> Option<u64> {
    // A number with fewer than six places also is one with six, unless it is so large that the product with 10⁶ is
    // rounded. So if this one division fails, a smaller number is no decimal at all.
    const PRODUCT_MAX: f64 = (1_u64 << 49) as f64;
    if let Some(integer) = two {
        return Some(decimal_word(integer / 100, 0));
    }
    let six = decimal(value, 3);
    if six.is_none() && (value * POWERS[3]).abs() <= PRODUCT_MAX {
        return None;
    }
    let with = |power| decimal(value, power).map(|integer| decimal_word(integer, power));
    with(0).or_else(|| with(2)).or(six.map(|integer| decimal_word(integer, 3)))
}

/// The integer that, divided by this power of ten, is `value` bit for bit; `None` if there is none.
#[inline(always)]
fn decimal(value: f64, power: usize) -> Option<i64> {
    // Adding this number rounds the product to an integer, which is then in the low bits of the sum. This holds up to
    // `INTEGER_MAX`. A larger product, infinity and NaN leave other bits there, and the check below refuses them.
    const ROUND: f64 = (3_u64 << 51) as f64;
    let sum = value * POWERS[power] + ROUND;
    let integer = sum.to_bits().wrapping_sub(ROUND.to_bits()) as i64;
    let quotient = integer as f64 / POWERS[power];
    // The comparison of bits also refuses −0.0, because the quotient is +0.0.
    (quotient.to_bits() == value.to_bits() && integer.unsigned_abs() <= INTEGER_MAX).then_some(integer)
}

/// The largest integer of a decimal.
const INTEGER_MAX: u64 = 1 << 51;

const _: () = assert!(decimal_word(INTEGER_MAX as i64, POWERS.len() - 1) < EIGHT_BYTES_LIMIT);

const fn decimal_word(integer: i64, power: usize) -> u64 {
    zigzag(integer) << 2 | power as u64
}

/// The head of a packed record. Its values, or its message, follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedHead {
    /// The callsite's id, or [`MESSAGE_CODE`].
    pub(crate) code: u32,
    /// The time since the record before it, or since the shard's `base_ns`.
    pub(crate) delta_ns: u64,
    /// Bytes of the head.
    pub(crate) head_bytes: usize,
    /// Bytes of the values.
    pub(crate) length: usize,
}

impl PackedHead {
    /// The head of the record that `bytes` begins with; `None` if the record ends after `bytes`, or is not one.
    pub(crate) fn read(bytes: &[u8]) -> Option<PackedHead> {
        let (code, code_bytes) = split_varint(bytes)?;
        let (delta_ns, delta_bytes) = split_varint(&bytes[code_bytes..])?;
        let before_length = code_bytes + delta_bytes;
        let (length, length_bytes) = split_varint(&bytes[before_length..])?;
        PackedHead::of(bytes, code, delta_ns, length, before_length + length_bytes)
    }

    /// As [`read`](Self::read), quickly: `None` also for a head of more than eight bytes, which few have, and for one
    /// at the end of `bytes`.
    #[inline(always)]
    pub(crate) fn read_short(bytes: &[u8]) -> Option<PackedHead> {
        // One load gives all three numbers.
        let word = u64::from_le_bytes(*bytes.first_chunk()?);
        let (code, code_bytes) = low_varint(word);
        // If a shift is too far for a word, the head takes more than eight bytes.
        let word = word.wrapping_shr(8 * code_bytes as u32);
        let (delta_ns, delta_bytes) = low_varint(word);
        let word = word.wrapping_shr(8 * delta_bytes as u32);
        let (length, length_bytes) = low_varint(word);
        let head_bytes = code_bytes + delta_bytes + length_bytes;
        if head_bytes > 8 { None } else { PackedHead::of(bytes, code, delta_ns, length, head_bytes) }
    }

    #[inline(always)]
    fn of(bytes: &[u8], code: u64, delta_ns: u64, length: u64, head_bytes: usize) -> Option<PackedHead> {
        let fits = length <= (bytes.len() - head_bytes) as u64;
        let code = u32::try_from(code).ok().filter(|_| fits)?;
        Some(PackedHead { code, delta_ns, head_bytes, length: length as usize })
    }
}

/// The level of a packed message, and whether it was cut, by the byte before its text.
#[inline]
pub(crate) const fn message_mark(byte: u8) -> (u8, bool) {
    (byte & 0b111, byte & MESSAGE_TRUNCATED != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_values::{TYPES, any_f64, any_plain, put_plain, put_value};
    use super::super::value::{Decoded, Layout, Value, Values};
    use super::*;

    /// What [`PackedHead::read_short`] must find.
    fn short_head(bytes: &[u8]) -> Option<PackedHead> {
        PackedHead::read(bytes).filter(|head| bytes.len() >= 8 && head.head_bytes <= 8)
    }

    /// A record's values, packed.
    fn pack(types: &[FieldType], plain: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = vec![0xAA; 5 + packed_room(plain.len())];
        let end = pack_record(&mut buffer, 5, 1, 0, types, plain)?;
        assert_eq!(buffer[..5], [0xAA; 5]);
        let head = PackedHead::read(&buffer[5..end]).expect("a record");
        assert_eq!(PackedHead::read_short(&buffer[5..]), short_head(&buffer[5..]));
        assert_eq!((head.code, head.delta_ns, 5 + head.head_bytes + head.length), (1, 0, end));
        Some(buffer[end - head.length..end].to_vec())
    }

    fn unpack(types: &[FieldType], packed: &[u8]) -> Option<Vec<u8>> {
        let mut values = Values::new(packed, Layout::Packed);
        let mut plain = Vec::new();
        for &field in types {
            put_plain(field, values.next(field)?, &mut plain);
        }
        values.rest().is_empty().then_some(plain)
    }

    fn pack_one(of: Type, value: Value<'_>) -> Vec<u8> {
        let types = [FieldType::new(of)];
        let mut plain = Vec::new();
        put_value(types[0], value, &mut plain);
        let packed = pack(&types, &plain).expect("it fits");
        assert_eq!(unpack(&types, &packed), Some(plain));
        packed
    }

    #[test]
    fn the_bytes_of_every_type_are_golden() {
        for (of, value, golden) in [
            (Type::Bool, Value::Bool(true), &[1][..]),
            (Type::Char, Value::Char('é'), &[0xA5, 0x03]),
            (Type::Unsigned, Value::Unsigned(42), &[0x54]),
            (Type::Unsigned, Value::Unsigned(u64::MAX), &[0xFF; 9]),
            (Type::Signed, Value::Signed(-1), &[0x02]),
            (Type::Signed, Value::Signed(300), &[0x61, 0x09]),
            (Type::Unsigned128, Value::Unsigned128(1 << 64 | 3), &[0x06, 0x02]),
            (Type::Signed128, Value::Signed128(-2), &[0x06, 0x00]),
            (Type::F32, Value::F32(1.5), &[0, 0, 0xC0, 0x3F]),
            (Type::F64, Value::F64(0.0), &[0x00]),
            (Type::F64, Value::F64(-0.0), &[0xFF, 0, 0, 0, 0, 0, 0, 0, 0x80]),
            (Type::F64, Value::F64(3.0), &[0x30]),
            // 12.34 is 1234 / 10²: 1234 · 2 · 4 + 1.
            (Type::F64, Value::F64(12.34), &[0x45, 0x9A]),
            (Type::F64, Value::F64(-0.000_001), &[0x0E]),
            (Type::F64, Value::F64(0.1 + 0.2), &[0xFF, 0x34, 0x33, 0x33, 0x33, 0x33, 0x33, 0xD3, 0x3F]),
            (Type::Str, Value::Str("ab"), &[0x08, b'a', b'b']),
            (Type::Bytes, Value::Bytes(&[0xFF, 0]), &[0x08, 0xFF, 0]),
            (Type::Display, Value::Text(""), &[0x00]),
            (Type::Debug, Value::Text("x"), &[0x04, b'x']),
        ] {
            assert_eq!(pack_one(of, value), golden, "{value:?}");
        }
    }

    #[test]
    fn an_absent_value_takes_a_byte_and_a_cut_one_says_so() {
        let types = [FieldType::new(Type::Str).optional(), FieldType::new(Type::Str).optional()];
        let mut plain = Vec::new();
        put_value(types[0], Value::None, &mut plain);
        put_plain(types[1], Decoded::Value { value: Value::Str("a"), cut: true }, &mut plain);
        assert_eq!(plain, [0, 1, 3, 0, 0, 0, b'a']);
        assert_eq!(pack(&types, &plain).expect("it fits"), [0, 1, 6, b'a']);
    }

    #[test]
    fn records_and_messages_are_golden() {
        let mut buffer = [0; 100];
        let types = [FieldType::new(Type::Unsigned), FieldType::new(Type::Bool)];
        let mut plain = Vec::new();
        put_value(types[0], Value::Unsigned(300), &mut plain);
        put_value(types[1], Value::Bool(true), &mut plain);
        let end = pack_record(&mut buffer, 0, 7, 1000, &types, &plain).expect("it fits");
        assert_eq!(buffer[..end], [0x0E, 0xA1, 0x0F, 0x06, 0xB1, 0x04, 0x01]);
        let end = pack_message(&mut buffer, 0, 0, 3, true, b"hello").expect("it fits");
        assert_eq!(buffer[..end], *b"\x00\x00\x0C\x0Bhello");
        assert_eq!(message_mark(buffer[3]), (3, true));
        let head = PackedHead::read(&buffer[..end]).expect("a record");
        assert_eq!(head, PackedHead { code: MESSAGE_CODE, delta_ns: 0, head_bytes: 3, length: 6 });
    }

    #[test]
    fn decimals_of_all_places_take_the_fewest_and_eight_bytes_at_most() {
        for (value, bytes) in [(1e6, 4), (0.5, 2), (99.99, 3), (123_456.789_012, 6), (2_251_799_813_685_248.0, 8)] {
            assert_eq!(pack_one(Type::F64, Value::F64(value)).len(), bytes, "{value}");
            assert_eq!(pack_one(Type::F64, Value::F64(-value)).len(), bytes, "{value}");
        }
        assert_eq!(pack_one(Type::F64, Value::F64(2_251_799_813_685_249.0)).len(), 9, "beyond the writer's bound");
    }

    #[test]
    fn a_buffer_without_room_and_plain_bytes_that_are_no_values_are_refused() {
        let types = [FieldType::new(Type::Unsigned), FieldType::new(Type::Str)];
        let mut plain = Vec::new();
        put_value(types[0], Value::Unsigned(1), &mut plain);
        put_value(types[1], Value::Str("abc"), &mut plain);
        for length in 0..packed_room(plain.len()) {
            let mut buffer = vec![0; length];
            assert_eq!(pack_record(&mut buffer, 0, 1, 0, &types, &plain), None);
            assert!(pack_message(&mut buffer, 0, 0, 1, false, &plain).is_none());
        }
        assert_eq!(pack_record(&mut [0; 64], usize::MAX, 1, 0, &types, &plain), None);
        for length in 0..plain.len() {
            assert_eq!(pack(&types, &plain[..length]), None, "{length}");
        }
        assert_eq!(pack(&types[..1], &plain), None, "more bytes than values");
    }

    #[test]
    fn plain_bytes_of_a_type_are_those_of_its_values() {
        for of in TYPES {
            let zeros = [0; 16];
            let mut values = Values::new(&zeros, Layout::Plain);
            values.next(FieldType::new(of)).expect("zeros are a value of every type");
            assert_eq!(of.plain_bytes().unwrap_or(4), 16 - values.rest().len(), "{of:?}");
        }
    }

    proptest! {
        #[test]
        fn packed_values_are_the_plain_ones_to_the_bit(fields in prop::collection::vec(any_plain(), 0..12)) {
            let (types, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            let plain = values.concat();
            let packed = pack(&types, &plain).expect("it fits");
            prop_assert!(packed.len() <= values_bytes_max(plain.len()));
            prop_assert_eq!(unpack(&types, &packed), Some(plain.clone()));
            let mut read = Values::new(&plain, Layout::Plain);
            let mut again = Vec::new();
            for &field in &types {
                put_plain(field, read.next(field).expect("a plain value"), &mut again);
            }
            prop_assert_eq!(again, plain);
            for length in 0..packed.len() {
                prop_assert_eq!(unpack(&types, &packed[..length]), None, "cut at {}", length);
            }
        }

        #[test]
        fn values_of_eight_bytes_are_packed_alike_on_the_short_way(
            values in prop::collection::vec((0..3_u8, any::<u64>(), 0..64_u32, any_f64()), 0..=WORDS_MAX),
            code in prop_oneof![1..1000_u32, 1..u32::MAX],
            delta_ns: u64,
            shift in 0..64_u32,
        ) {
            let delta_ns = delta_ns >> shift;
            let (mut types, mut plain) = (Vec::new(), Vec::new());
            for (of, integer, shift, fraction) in values {
                let of = [Type::Unsigned, Type::Signed, Type::F64][usize::from(of)];
                types.push(FieldType::new(of));
                plain.push(if of == Type::F64 { fraction.to_bits() } else { integer >> shift }.to_le_bytes());
            }
            let words: Vec<_> = types.iter().map(|&of| Word::of(of).expect("eight bytes")).collect();
            let mut room = [0xAA; size_of::<WordsRoom>()];
            let length = pack_words(&mut room, PackedCode::new(code), delta_ns, &words, &plain);
            let plain = plain.concat();
            let mut buffer = vec![0; packed_room(plain.len())];
            prop_assert_eq!(pack_record(&mut buffer, 0, code, delta_ns, &types, &plain), Some(length));
            prop_assert_eq!(&buffer[..length], &room[..length]);
        }

        #[test]
        fn a_number_with_a_fraction_comes_back_to_the_bit(value in any_f64()) {
            pack_one(Type::F64, Value::F64(value));
        }

        #[test]
        fn any_bytes_are_values_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40), fields in prop::collection::vec((prop::sample::select(&TYPES[..]), any::<bool>()), 0..8)) {
            for layout in [Layout::Plain, Layout::Packed] {
                let mut values = Values::new(&bytes, layout);
                for &(of, optional) in &fields {
                    if values.next(FieldType { of, optional }).is_none() {
                        break;
                    }
                }
            }
            let types: Vec<_> = fields.iter().map(|&(of, optional)| FieldType { of, optional }).collect();
            let mut buffer = vec![0; packed_room(bytes.len())];
            pack_record(&mut buffer, 0, 1, 0, &types, &bytes);
            prop_assert_eq!(PackedHead::read_short(&bytes), short_head(&bytes));
            if let Some(head) = PackedHead::read(&bytes) {
                prop_assert!(head.head_bytes + head.length <= bytes.len());
            }
        }
    }
}
