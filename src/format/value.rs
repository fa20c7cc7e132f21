//! The values of a structured record: their types, and how they are read from the plain and from the packed encoding.
//!
//! The plain encoding is what a producer stores in its ring, value after value, each with the same bytes as in memory.
//! `packed` makes the packed one from it. Neither holds names or types: a callsite's definition does.

use zerocopy::TryFromBytes;

use super::newer::Newer;
use super::varint::{VARINT_BYTES_MAX, last_word, low_varint, split_varint, unzigzag, unzigzag_128, varint_length};

/// What a value is. The numbers are in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, TryFromBytes)]
#[repr(u8)]
pub(crate) enum Type {
    Bool = 1,
    Char = 2,
    /// An unsigned integer of up to 64 bits.
    Unsigned = 3,
    /// A signed integer of up to 64 bits.
    Signed = 4,
    Unsigned128 = 5,
    Signed128 = 6,
    F32 = 7,
    F64 = 8,
    /// Text.
    Str = 9,
    Bytes = 10,
    /// What `Display` has made of a value.
    Display = 11,
    /// What `Debug` has made of a value.
    Debug = 12,
    /// Fields with names and types of their own, which no callsite knows in advance.
    Fields = 13,
}

impl Type {
    /// Bytes of a value in the plain encoding, if all values take the same number.
    #[cfg(test)]
    pub(super) const fn plain_bytes(self) -> Option<usize> {
        Some(match self {
            Type::Bool => 1,
            Type::Char | Type::F32 => 4,
            Type::Unsigned | Type::Signed | Type::F64 => 8,
            Type::Unsigned128 | Type::Signed128 => 16,
            Type::Str | Type::Bytes | Type::Display | Type::Debug | Type::Fields => return None,
        })
    }
}

/// The type of a field: a [`Type`], and whether a value may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FieldType {
    pub(crate) of: Type,
    pub(crate) optional: bool,
}

impl FieldType {
    /// The bit of the types whose values may be absent.
    const OPTIONAL: u8 = 0x80;

    /// A field that always has a value.
    pub(crate) const fn new(of: Type) -> FieldType {
        FieldType { of, optional: false }
    }

    /// The same type, of a value that may be absent.
    pub(crate) const fn optional(self) -> FieldType {
        FieldType { of: self.of, optional: true }
    }

    /// Whether the plain values take eight bytes, and the packed ones are varints.
    pub(crate) const fn is_word(self) -> bool {
        !self.optional && matches!(self.of, Type::Unsigned | Type::Signed | Type::F64)
    }

    /// The type's number in the files.
    pub(crate) const fn code(self) -> u8 {
        self.of as u8 | if self.optional { FieldType::OPTIONAL } else { 0 }
    }

    /// The type with number `code`.
    pub(crate) fn from_code(code: u8) -> Result<FieldType, Newer> {
        match Type::try_read_from_bytes(&[code & !FieldType::OPTIONAL]) {
            Ok(of) => Ok(FieldType { of, optional: code & FieldType::OPTIONAL != 0 }),
            Err(_) => Err(Newer::FieldType(code)),
        }
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value: the program's `Option` was `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A character.
    Char(char),
    /// An unsigned integer of up to 64 bits.
    Unsigned(u64),
    /// A signed integer of up to 64 bits.
    Signed(i64),
    /// An unsigned integer of 128 bits.
    Unsigned128(u128),
    /// A signed integer of 128 bits.
    Signed128(i128),
    /// A number with a fraction, of 32 bits.
    F32(f32),
    /// A number with a fraction, of 64 bits.
    F64(f64),
    /// Text.
    Str(&'a str),
    /// Bytes; also a text that is not valid UTF-8.
    Bytes(&'a [u8]),
    /// What `Display` (`%`) or `Debug` (`?`) has made of a value.
    Text(&'a str),
}

/// The value as a type of Rust, whatever the program logged: `id = 42` is a signed integer, and `42_u64` an unsigned
/// one.
impl<'a> Value<'a> {
    /// The integer, if it is one that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::Unsigned(value) => Some(value),
            Value::Signed(value) => value.try_into().ok(),
            Value::Unsigned128(value) => value.try_into().ok(),
            Value::Signed128(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The integer, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Unsigned(value) => value.try_into().ok(),
            Value::Signed(value) => Some(value),
            Value::Unsigned128(value) => value.try_into().ok(),
            Value::Signed128(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The number, if it is one. Of an integer beyond 2^53 it is the nearest double.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Unsigned(value) => Some(value as f64),
            Value::Signed(value) => Some(value as f64),
            Value::Unsigned128(value) => Some(value as f64),
            Value::Signed128(value) => Some(value as f64),
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is one, or what was formatted. [`Display`](std::fmt::Display) makes a text of any value.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::Str(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What is stored for one field of a callsite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decoded<'a> {
    /// A value, and whether it was cut.
    Value { value: Value<'a>, cut: bool },
    /// The content of fields with names of their own, and whether some were left out.
    Fields { content: &'a [u8], cut: bool },
}

/// What [`Values::skip`] has stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped<'a> {
    Value { cut: bool },
    Fields { content: &'a [u8], cut: bool },
}

/// How values are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each value has the same bytes as in memory.
    #[default]
    Plain,
    /// Each value takes as few bytes as it needs.
    Packed,
}

/// The bit of an offset among the values.
pub(crate) const PLACE: u64 = 1 << 63;

/// Reads the values of one record, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    rest: &'a [u8],
    layout: Layout,
}

impl<'a> Values<'a> {
    /// Reads the values in `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], layout: Layout) -> Values<'a> {
        Values { rest: bytes, layout }
    }

    /// The values from the byte at `offset` on; no values if there are fewer bytes than that.
    #[inline(always)]
    pub(crate) fn from(&self, offset: usize) -> Values<'a> {
        Values { rest: self.rest.get(offset..).unwrap_or_default(), layout: self.layout }
    }

    /// The bytes that have not been read.
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the next value, of type `field`; `None` if the bytes are not such a value.
    // Always inlined. Otherwise the value is returned through memory, where it is read in pieces of another size than
    // it was written in. The CPU cannot forward such stores to the loads, and that takes as long as all the rest.
    #[inline(always)]
    pub(crate) fn next(&mut self, field: FieldType) -> Option<Decoded<'a>> {
        if field.optional {
            match self.take::<1>()? {
                [0] => return Some(Decoded::Value { value: Value::None, cut: false }),
                [1] => {}
                _ => return None,
            }
        }
        let value = match field.of {
            Type::Bool => match self.take::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            Type::Char => Value::Char(char::from_u32(self.char_code()?)?),
            Type::Unsigned => Value::Unsigned(self.next_integer(field.of)?),
            Type::Signed => Value::Signed(self.next_integer(field.of)? as i64),
            Type::F64 => Value::F64(self.next_fraction()?.number()),
            Type::Unsigned128 => Value::Unsigned128(match self.layout {
                Layout::Plain => u128::from_le_bytes(*self.take()?),
                Layout::Packed => self.wide_varint()?,
            }),
            Type::Signed128 => Value::Signed128(match self.layout {
                Layout::Plain => i128::from_le_bytes(*self.take()?),
                Layout::Packed => unzigzag_128(self.wide_varint()?),
            }),
            Type::F32 => Value::F32(f32::from_le_bytes(*self.take()?)),
            Type::Str | Type::Display | Type::Debug | Type::Bytes | Type::Fields => return self.text(field.of),
        };
        Some(Decoded::Value { value, cut: false })
    }

    /// Reads the next value, an integer of 64 bits, and returns its bits; `None` if the bytes are not one.
    #[inline(always)]
    pub(crate) fn next_integer(&mut self, of: Type) -> Option<u64> {
        match (self.layout, of) {
            (Layout::Plain, _) => Some(u64::from_le_bytes(*self.take()?)),
            (Layout::Packed, Type::Signed) => Some(unzigzag(self.varint()?) as u64),
            (Layout::Packed, _) => self.varint(),
        }
    }

    /// Reads the next value, an `f64`, in the form in which it is stored; `None` if the bytes are not one.
    #[inline(always)]
    pub(crate) fn next_fraction(&mut self) -> Option<Fraction> {
        if self.layout == Layout::Plain {
            return Some(Fraction::Number(f64::from_le_bytes(*self.take()?)));
        }
        let (word, length) = split_varint(self.rest)?;
        self.rest = &self.rest[length..];
        if length == VARINT_BYTES_MAX {
            return Some(Fraction::Number(f64::from_bits(word)));
        }
        Some(Fraction::from_word(word))
    }

    /// Takes the first values apart, which must be numbers of 64 bits. Gives for each the word that it is packed as,
    /// which is below 2⁵⁶, or [`PLACE`] and the offset of its bytes, if it is not packed or takes nine bytes. Returns
    /// how many can be read, and the offset after them.
    #[inline(always)]
    pub(crate) fn split_words(&self, words: &mut [u64]) -> (usize, usize) {
        let bytes = self.rest;
        if self.layout == Layout::Plain {
            let count = words.len().min(bytes.len() / 8);
            words.iter_mut().take(count).enumerate().for_each(|(at, word)| *word = PLACE | (8 * at as u64));
            return (count, 8 * count);
        }
        let mut rest = bytes;
        let last = last_word(bytes);
        let mut count = 0;
        for word in words {
            // No load goes beyond the end.
            let next = match rest.first_chunk() {
                Some(next) => u64::from_le_bytes(*next),
                None => last.wrapping_shr(64 - 8 * rest.len() as u32),
            };
            let (value, length) = low_varint(next);
            let (value, length) = match length {
                ..VARINT_BYTES_MAX => (value, length),
                _ => (PLACE | (bytes.len() - rest.len()) as u64, VARINT_BYTES_MAX),
            };
            let Some(after) = rest.get(length..) else { break };
            *word = value;
            rest = after;
            count += 1;
        }
        (count, bytes.len() - rest.len())
    }

    /// Steps over the next `count` values. They must be packed, and of types whose plain values take eight bytes.
    /// `None` if there are fewer bytes.
    #[inline(always)]
    pub(crate) fn skip_words(&mut self, count: usize) -> Option<()> {
        let mut at = 0;
        for _ in 0..count {
            at += varint_length(*self.rest.get(at)?);
        }
        self.rest = self.rest.get(at..)?;
        Some(())
    }

    /// Steps over the next value, of type `field`. `None` if [`next`](Self::next) would return `None`.
    #[inline(always)]
    pub(crate) fn pass(&mut self, field: FieldType) -> Option<()> {
        let is_packed = self.layout == Layout::Packed;
        if is_packed && field.is_word() { self.skip_words(1) } else { self.skip(field).map(drop) }
    }

    /// As [`pass`](Self::pass), but returns what it has stepped over.
    #[inline(never)]
    pub(super) fn skip(&mut self, field: FieldType) -> Option<Skipped<'a>> {
        if field.optional {
            match self.take::<1>()? {
                [0] => return Some(Skipped::Value { cut: false }),
                [1] => {}
                _ => return None,
            }
        }
        let is_packed = self.layout == Layout::Packed;
        match field.of {
            Type::Bool => _ = self.take::<1>().filter(|[value]| *value <= 1)?,
            Type::Char => _ = char::from_u32(self.char_code()?)?,
            Type::Unsigned | Type::Signed | Type::F64 if is_packed => self.skip_words(1)?,
            Type::Unsigned | Type::Signed | Type::F64 => _ = self.take::<8>()?,
            Type::Unsigned128 | Type::Signed128 if is_packed => _ = self.wide_varint()?,
            Type::Unsigned128 | Type::Signed128 => _ = self.take::<16>()?,
            Type::F32 => _ = self.take::<4>()?,
            Type::Fields => {
                let (content, cut) = self.content()?;
                return Some(Skipped::Fields { content, cut });
            }
            Type::Str | Type::Bytes | Type::Display | Type::Debug => {
                return Some(Skipped::Value { cut: self.content()?.1 });
            }
        }
        Some(Skipped::Value { cut: false })
    }

    /// Reads the name of a field whose name is stored before its value.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let [length] = *self.take::<1>()?;
        let (name, rest) = self.rest.split_at_checked(length.into())?;
        self.rest = rest;
        std::str::from_utf8(name).ok()
    }

    #[inline]
    fn char_code(&mut self) -> Option<u32> {
        match self.layout {
            Layout::Plain => Some(u32::from_le_bytes(*self.take()?)),
            Layout::Packed => u32::try_from(self.varint()?).ok(),
        }
    }

    /// The bytes of a value of a type whose values have a length, and whether they were cut.
    #[inline]
    fn content(&mut self) -> Option<(&'a [u8], bool)> {
        let length = match self.layout {
            Layout::Plain => u64::from(u32::from_le_bytes(*self.take()?)),
            Layout::Packed => self.varint()?,
        };
        let (content, rest) = self.rest.split_at_checked(usize::try_from(length >> 1).ok()?)?;
        self.rest = rest;
        Some((content, length & 1 != 0))
    }

    /// A value of a type whose values have a length.
    #[inline]
    fn text(&mut self, of: Type) -> Option<Decoded<'a>> {
        let (content, cut) = self.content()?;
        let value = match of {
            Type::Fields => return Some(Decoded::Fields { content, cut }),
            Type::Bytes => Value::Bytes(content),
            // The checksums are right, so somebody has made this invalid text on purpose. It is shown as bytes.
            _ => match std::str::from_utf8(content) {
                Ok(text) if of == Type::Str => Value::Str(text),
                Ok(text) => Value::Text(text),
                Err(_) => Value::Bytes(content),
            },
        };
        Some(Decoded::Value { value, cut })
    }

    #[inline]
    pub(super) fn take<const BYTES: usize>(&mut self) -> Option<&'a [u8; BYTES]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        let (value, length) = split_varint(self.rest)?;
        self.rest = &self.rest[length..];
        Some(value)
    }

    fn wide_varint(&mut self) -> Option<u128> {
        let (low, high) = (self.varint()?, self.varint()?);
        Some(u128::from(high) << 64 | u128::from(low))
    }
}

/// How a number with a fraction is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fraction {
    /// The quotient of an integer by one of the [`POWERS`].
    Decimal { integer: i64, power: usize },
    /// All its bits.
    Number(f64),
}

impl Fraction {
    /// For each power, how many digits a decimal has after the point.
    pub(crate) const PLACES: [usize; POWERS.len()] = [0, 2, 4, 6];

    /// The decimal that is packed as this word.
    #[inline(always)]
    pub(crate) fn from_word(word: u64) -> Fraction {
        Fraction::Decimal { integer: unzigzag(word >> 2), power: (word & 3) as usize }
    }

    /// The number.
    #[inline(always)]
    pub(crate) fn number(self) -> f64 {
        match self {
            Fraction::Decimal { integer, power } => integer as f64 / POWERS[power],
            Fraction::Number(number) => number,
        }
    }
}

/// The integer of a decimal is divided by one of these. Integer and power are exact as `f64`. Therefore the quotient is
/// the `f64` nearest to the decimal, the same that the parser makes of the decimal's text.
pub(super) const POWERS: [f64; 4] = [1.0, 1e2, 1e4, 1e6];
