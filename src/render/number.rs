//! Numbers as text, with the digits that `std::fmt` gives. What is common takes a few nanoseconds: integers, and
//! numbers with a fraction of a few digits. The rest goes through `std::fmt`.

use std::fmt::{self, Write as _};

/// Digits of one number, before signs and padding. The longest are those of `f64::MAX` with 255 digits after the point.
pub(super) struct Digits {
    bytes: [u8; Digits::BYTES_MAX],
    length: usize,
}

impl Digits {
    const BYTES_MAX: usize = 640;

    /// What `arguments` write.
    pub(super) fn of(arguments: fmt::Arguments<'_>) -> Digits {
        let mut digits = Digits { bytes: [0; Digits::BYTES_MAX], length: 0 };
        // There is room for any number: see the constant.
        let _ = digits.write_fmt(arguments);
        digits
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

/// Room for a number of 64 bits that is no more than an integer, or has few digits after its point.
pub(super) type NumberRoom = [u8; NUMBER_MASK + 1 + 8];

/// Lets the compiler see that an offset is within the room, which is cheaper than a check. The longest number is
/// shorter.
const NUMBER_MASK: usize = 31;

/// Numbers below this have at most eight digits.
const EIGHT_DIGITS_LIMIT: u64 = 100_000_000;

/// The digits of a number of at most eight as letters, with zeros before them. The first one is in the lowest byte.
#[inline(always)]
const fn eight_letters(value: u64) -> u64 {
    /// The numbers below a hundred, in two letters. There are more places than numbers, so that no offset is checked.
    const PAIRS: [u16; 128] = {
        let mut pairs = [0; 128];
        let mut number = 0;
        while number < 100 {
            pairs[number] = u16::from_le_bytes([b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
            number += 1;
        }
        pairs
    };
    /// Two to the power of 57 divided by 10⁶, rounded up.
    const FIRST: u64 = (1_u64 << 57).div_ceil(1_000_000);
    const LOW: u64 = u32::MAX as u64;
    // The first two digits are in the upper half, and the others are a fraction in the lower one, a little too large,
    // by less than one of the last digit. A product with 100 brings the next two digits up.
    let first = ((value * FIRST) >> 25) + 1;
    let second = (first & LOW) * 100;
    let third = (second & LOW) * 100;
    let fourth = (third & LOW) * 100;
    PAIRS[(first >> 32) as usize % PAIRS.len()] as u64
        | (PAIRS[(second >> 32) as usize % PAIRS.len()] as u64) << 16
        | (PAIRS[(third >> 32) as usize % PAIRS.len()] as u64) << 32
        | (PAIRS[(fourth >> 32) as usize % PAIRS.len()] as u64) << 48
}

/// Writes eight bytes at `at`, the lowest one first.
#[inline(always)]
fn put_word(room: &mut NumberRoom, at: usize, word: u64) {
    let at = at & NUMBER_MASK;
    room[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// Eight zeros as letters.
const LETTERS: u64 = u64::from_le_bytes([b'0'; 8]);

/// How many digits a number of at most eight has. What stands after it can be written before its digits are known.
#[inline(always)]
fn digits_of(value: u64) -> usize {
    /// For each highest bit, what carries into the upper half the number of digits: one more from a power of ten on.
    const BY_BIT: [u64; 32] = {
        let mut by_bit = [0; 32];
        let mut bit = 0;
        while bit < 32 {
            let fewest = (1_u64 << bit).ilog10() as u64 + 1;
            let power = 10_u64.pow(fewest as u32);
            by_bit[bit] = if power >> bit < 2 { ((fewest + 1) << 32) - power } else { fewest << 32 };
            bit += 1;
        }
        by_bit
    };
    ((value + BY_BIT[(value | 1).ilog2() as usize & 31]) >> 32) as usize
}

/// The digits of an integer of at most eight, as letters: the first one is in the lowest byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShortDigits {
    letters: u64,
    length: usize,
}

impl ShortDigits {
    /// Those of a value that has at most eight.
    #[inline(always)]
    fn of_short(value: u64) -> ShortDigits {
        ShortDigits::with_length(value, digits_of(value))
    }

    /// The last `length` digits of a value that has no more.
    #[inline(always)]
    fn with_length(value: u64, length: usize) -> ShortDigits {
        /// What puts so many digits first of eight. There are more places than lengths, so that no offset is checked.
        const TO_THE_FRONT: [u64; 16] = {
            let mut factors = [1; 16];
            let mut length = 0;
            while length < 8 {
                factors[length] = POWERS[8 - length];
                length += 1;
            }
            factors
        };
        ShortDigits { letters: eight_letters(value * TO_THE_FRONT[length % TO_THE_FRONT.len()]), length }
    }

    /// These, if they are of a number and not the default; or else those that are made, which are noted.
    #[inline(always)]
    fn get_or_make(&mut self, make: impl FnOnce() -> ShortDigits) -> ShortDigits {
        if self.length == 0 {
            *self = make();
        }
        *self
    }
}

/// Writes these digits at `at`, and returns the offset after them.
#[inline(always)]
fn put_digits(room: &mut NumberRoom, at: usize, digits: ShortDigits) -> usize {
    put_word(room, at, digits.letters);
    at + digits.length
}

/// Writes an integer of at most eight digits at `at`, and returns the offset after it.
#[inline(always)]
fn put_short(room: &mut NumberRoom, at: usize, value: u64) -> usize {
    put_digits(room, at, ShortDigits::of_short(value))
}

/// Writes a decimal integer at `at`, and returns the offset after it. `seen` are its digits, if it was written before.
#[inline(always)]
pub(super) fn put_seen(room: &mut NumberRoom, at: usize, value: u64, seen: Option<&mut ShortDigits>) -> usize {
    match seen {
        Some(seen) if value < EIGHT_DIGITS_LIMIT => {
            put_digits(room, at, seen.get_or_make(|| ShortDigits::of_short(value)))
        }
        _ => put_integer(room, at, value),
    }
}

/// Writes a decimal integer at `at`, and returns the offset after it.
#[inline(always)]
fn put_integer(room: &mut NumberRoom, at: usize, value: u64) -> usize {
    if value < EIGHT_DIGITS_LIMIT { put_short(room, at, value) } else { put_long(room, at, value) }
}

/// As [`put_integer`], of more than eight digits.
#[inline(never)]
fn put_long(room: &mut NumberRoom, at: usize, value: u64) -> usize {
    let (head, tail) = (value / EIGHT_DIGITS_LIMIT, value % EIGHT_DIGITS_LIMIT);
    let at = if head < EIGHT_DIGITS_LIMIT {
        put_short(room, at, head)
    } else {
        let at = put_short(room, at, head / EIGHT_DIGITS_LIMIT);
        put_word(room, at, eight_letters(head % EIGHT_DIGITS_LIMIT));
        at + 8
    };
    put_word(room, at, eight_letters(tail));
    at + 8
}

/// Writes a decimal integer that may be negative, and returns its length.
#[inline(always)]
pub(super) fn put_signed(room: &mut NumberRoom, value: i64) -> usize {
    room[0] = b'-';
    put_integer(room, usize::from(value < 0), value.unsigned_abs())
}

/// Appends what `put` writes; `None` if that is nothing.
#[inline(always)]
fn append(out: &mut Vec<u8>, put: impl FnOnce(&mut NumberRoom) -> Option<usize>) -> Option<usize> {
    // Written in its place: bytes that are copied right after they were written have to be waited for.
    let begin = out.len();
    out.extend_from_slice(&[0; size_of::<NumberRoom>()]);
    let length = out.last_chunk_mut().and_then(put);
    out.truncate(begin + length.unwrap_or(0));
    length
}

/// Appends a decimal integer.
#[inline]
pub(super) fn integer(value: u64, out: &mut Vec<u8>) {
    append(out, |room| Some(put_integer(room, 0, value)));
}

/// Appends a decimal integer that may be negative.
#[inline]
pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    append(out, |room| Some(put_signed(room, value)));
}

/// Appends a decimal integer that may be large.
pub(super) fn wide(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The powers of ten that may be tried, the likelier ones first: prices, then times with microseconds.
const PLACES: [usize; 3] = [2, 6, 0];

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

const POWERS_F64: [f64; 9] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

/// Below this, all decimals are different doubles: if one of them is the double that is to be shown, no other is
/// shorter.
const EXACT_MAX: f64 = 1e15;

/// The integer of which `magnitude` is the quotient by ten to the power of `places`, to the bit, if there is one below
/// [`EXACT_MAX`].
#[inline(always)]
fn decimal(magnitude: f64, places: usize) -> Option<u64> {
    /// A number of this size has no bits below one: the low bits of a sum with it are the nearest integer.
    const ROUND: f64 = (1_u64 << 52) as f64;
    let power = POWERS_F64[places];
    let scaled = magnitude * power;
    if scaled.is_nan() || scaled >= EXACT_MAX {
        return None;
    }
    let sum = scaled + ROUND;
    ((sum - ROUND) / power == magnitude).then_some(sum.to_bits() - ROUND.to_bits())
}

/// Which digits after the point are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FractionDigits {
    /// All.
    Whole,
    /// Without the zeros at the end, and without the point if no digit is left.
    Shortest,
    /// The same with one zero if no digit is left.
    Point,
}

/// Writes the quotient of `integer` by ten to the power of `places`, which is a number that has been stored so. Returns
/// its length; `None` if that is not quickly done. `seen` are the digits of this integer, if it was written before.
#[inline(always)]
pub(super) fn put_decimal(
    room: &mut NumberRoom,
    integer: i64,
    places: usize,
    which: FractionDigits,
    seen: Option<&mut ShortDigits>,
) -> Option<usize> {
    let magnitude = integer.unsigned_abs();
    room[0] = b'-';
    if magnitude >= EXACT_MAX as u64 {
        return None;
    }
    Some(put_with_point(room, usize::from(integer < 0), magnitude, places, which, seen))
}

/// Writes the shortest decimal that reads back as `value`, as `{}` does, and returns its length; `None` if that is not
/// quickly done.
#[inline(always)]
pub(super) fn put_shortest(room: &mut NumberRoom, value: f64, digits: FractionDigits) -> Option<usize> {
    let magnitude = value.abs();
    room[0] = b'-';
    let at = usize::from(value.is_sign_negative());
    for places in PLACES {
        if let Some(integer) = decimal(magnitude, places) {
            return Some(put_with_point(room, at, integer, places, digits, None));
        }
    }
    None
}

/// Appends the shortest decimal that reads back as `value`, as `{}` does.
#[inline]
pub(super) fn shortest(value: f64, out: &mut Vec<u8>) {
    if append(out, |room| put_shortest(room, value, FractionDigits::Shortest)).is_none() {
        std_format(format_args!("{value}"), out);
    }
}

/// As [`shortest`], for 32 bits, which have other shortest decimals.
pub(super) fn shortest_f32(value: f32, out: &mut Vec<u8>) {
    std_format(format_args!("{value}"), out);
}

/// Writes `value` with `places` digits after the point, the last one rounded as `{:.2}` rounds, and returns its length;
/// `None` if that is not quickly done.
#[inline(always)]
pub(super) fn put_fixed(room: &mut NumberRoom, value: f64, places: u8) -> Option<usize> {
    let few = usize::from(places);
    if few > FEW_PLACES {
        return None;
    }
    // A number that is a decimal of so many places is less than half a unit of the last one away from it.
    let integer =
        decimal(value.abs(), few).or_else(|| scaled(value.abs(), places)).filter(|integer| integer >> 63 == 0)?;
    room[0] = b'-';
    Some(put_with_point(room, usize::from(value.is_sign_negative()), integer, few, FractionDigits::Whole, None))
}

/// Appends `value` with `places` digits after the point, the last one rounded as `{:.2}` rounds.
#[inline]
pub(super) fn fixed(value: f64, places: u8, out: &mut Vec<u8>) {
    if append(out, |room| put_fixed(room, value, places)).is_none() {
        std_format(format_args!("{value:.*}", usize::from(places)), out);
    }
}

/// `magnitude` times ten to the power of `places`, rounded to the nearest integer, of two the even one; `None` if that
/// is not quickly done.
#[inline(never)]
fn scaled(magnitude: f64, places: u8) -> Option<u64> {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let power = POWERS[usize::from(places)];
    let bits = magnitude.to_bits();
    let exponent = (bits >> MANTISSA_BITS) as u32;
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    // The value is mantissa / 2^shift: below 2^53, and without denormals, infinities and NaN, or zero.
    let (mantissa, shift) = match exponent {
        0 if mantissa == 0 => (0, 1),
        0 => return None,
        exponent => (mantissa | 1 << MANTISSA_BITS, (1023 + MANTISSA_BITS).checked_sub(exponent)?),
    };
    let product = u128::from(mantissa) * u128::from(power);
    if shift == 0 {
        return u64::try_from(product).ok();
    }
    // At most 53 and 30 bits: with a larger shift it is less than a half.
    if shift > 84 {
        return Some(0);
    }
    let (whole, rest, half) = (product >> shift, product & ((1 << shift) - 1), 1_u128 << (shift - 1));
    let is_up = rest > half || rest == half && whole & 1 == 1;
    u64::try_from(whole + u128::from(is_up)).ok()
}

/// Digits after the point that fit a word.
const FEW_PLACES: usize = POWERS.len() - 1;

/// `value`, below 2⁶³, divided by ten to the power of `places`: by a product, which takes a fraction of a division's
/// time.
#[inline(always)]
fn quotient(value: u64, places: usize) -> u64 {
    /// For each power two to the power of 64 + n, divided by it and rounded up, and n: as much as fits 64 bits.
    const INVERSES: [(u64, u32); POWERS.len()] = {
        let mut inverses = [(0, 0); POWERS.len()];
        let mut places = 1;
        while places < POWERS.len() {
            let bits = POWERS[places].ilog2();
            inverses[places] = ((1_u128 << (64 + bits)).div_ceil(POWERS[places] as u128) as u64, bits);
            places += 1;
        }
        inverses
    };
    if places == 0 {
        return value;
    }
    let (inverse, bits) = INVERSES[places];
    ((u128::from(value) * u128::from(inverse)) >> 64) as u64 >> bits
}

/// Writes an integer below 2⁶³ with a point before its last `places` digits, at most [`FEW_PLACES`], at `at`. Returns
/// the offset after it. `seen` are its digits, if it was written before.
#[inline(always)]
fn put_with_point(
    room: &mut NumberRoom,
    at: usize,
    value: u64,
    places: usize,
    which: FractionDigits,
    seen: Option<&mut ShortDigits>,
) -> usize {
    let (at, fraction) = if value < EIGHT_DIGITS_LIMIT && (1..8).contains(&places) {
        // With a digit before the point.
        let make = || ShortDigits::with_length(value, digits_of(value).max(places + 1));
        let digits = match seen {
            Some(seen) => seen.get_or_make(make),
            None => make(),
        };
        put_digits(room, at, digits);
        let whole = digits.length - places;
        (at + whole, digits.letters >> (8 * whole))
    } else {
        put_whole(room, at, value, places)
    };
    room[at & NUMBER_MASK] = b'.';
    put_word(room, at + 1, fraction);
    // The digits without the zeros after them.
    let digits = (fraction ^ LETTERS) & u64::MAX.checked_shr(8 * (8 - places as u32)).unwrap_or(0);
    let length = match which {
        FractionDigits::Whole => places,
        FractionDigits::Shortest => 8 - digits.leading_zeros() as usize / 8,
        FractionDigits::Point => 8 - (digits | 1).leading_zeros() as usize / 8,
    };
    if length == 0 { at } else { at + 1 + length }
}

/// Writes what stands before the point. Returns the offset after it, and as letters what stands after the point.
#[inline(never)]
fn put_whole(room: &mut NumberRoom, at: usize, value: u64, places: usize) -> (usize, u64) {
    let whole = quotient(value, places);
    let fraction = (value - whole * POWERS[places]) * POWERS[8 - places];
    (put_integer(room, at, whole), eight_letters(fraction))
}

#[cold]
fn std_format(arguments: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(Digits::of(arguments).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    fn check(value: f64) {
        assert_eq!(written(|out| shortest(value, out)), value.to_string());
        for places in 0..12 {
            let expected = format!("{value:.*}", usize::from(places));
            assert_eq!(written(|out| fixed(value, places, out)), expected, "{value:?} with {places} places");
        }
    }

    #[test]
    fn numbers_at_the_bounds_are_those_of_std() {
        let powers = (-40..40).flat_map(|power| [2_f64.powi(power), 10_f64.powi(power)]);
        let bounds = [0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, f64::MIN_POSITIVE / 4.0, EXACT_MAX];
        for value in powers.chain(bounds).chain([0.125, 0.375, 2.5, 3.5, 0.05, 1.005, 99.995, 0.3, 0.1 + 0.2, 1e23]) {
            for value in [value, value.next_up(), value.next_down(), value * 3.0, value + 0.5] {
                check(value);
                check(-value);
            }
        }
    }

    #[test]
    fn integers_of_every_length_are_those_of_std() {
        for length in 0..=u64::MAX.ilog10() {
            let power = 10_u64.pow(length);
            for value in [power, power - 1, power + 1, power.wrapping_mul(7), u64::MAX / power] {
                assert_eq!(written(|out| integer(value, out)), value.to_string());
                assert_eq!(written(|out| signed(-((value >> 1) as i64), out)), (-((value >> 1) as i64)).to_string());
            }
        }
        assert_eq!(written(|out| signed(i64::MIN, out)), i64::MIN.to_string());
    }

    #[test]
    fn the_longest_number_has_room() {
        let longest = Digits::of(format_args!("{:.255}", f64::MIN));
        assert_eq!(longest.as_bytes(), format!("{:.255}", f64::MIN).as_bytes());
    }

    proptest! {
        #[test]
        fn any_number_is_that_of_std(bits: u64, cents: i32, places in 0..10_u32, large: i64) {
            check(f64::from_bits(bits));
            check(f64::from(cents) / f64::from(10_u32.pow(places)));
            check(large as f64 / 10_f64.powi(places as i32));
        }
    }
}
