//! Numbers as text, with the digits that `std::fmt` gives. What is common takes a few nanoseconds: integers, and numbers
//! with a fraction of a few digits. The rest goes through `std::fmt`.

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

/// Appends the `length` bytes at `start` of `bytes`, at most `N` and so many before the end of `bytes`: in `N` bytes at
/// once, without a call.
#[inline(always)]
pub(super) fn append_short<const N: usize>(bytes: &[u8], start: usize, length: usize, out: &mut Vec<u8>) {
    if let Some(chunk) = bytes[start..].first_chunk::<N>() {
        out.extend_from_slice(chunk);
        out.truncate(out.len() - (N - length));
    }
}

/// The numbers below a hundred, in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The most digits of 64 bits.
const DIGITS_MAX: usize = 20;

/// Appends a decimal integer.
#[inline]
pub(super) fn integer(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 2 * DIGITS_MAX];
    let (mut rest, mut start) = (value, DIGITS_MAX);
    while rest >= 10 {
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest > 0 || start == DIGITS_MAX {
        start -= 1;
        digits[start] = b'0' + rest as u8;
    }
    append_short::<DIGITS_MAX>(&digits, start, DIGITS_MAX - start, out);
}

/// Appends a decimal integer that may be negative.
#[inline]
pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    integer(value.unsigned_abs(), out);
}

/// Appends a decimal integer that may be large.
pub(super) fn wide(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The powers of ten that may be tried, the likelier ones first: prices, then times with microseconds.
const PLACES: [usize; 3] = [2, 6, 0];

const POWERS: [u64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Below this, all decimals are different doubles: if one of them is the double that is to be shown, no other is
/// shorter.
const EXACT_MAX: f64 = 1e15;

/// Appends the shortest decimal that reads back as `value`, as `{}` does.
#[inline]
pub(super) fn shortest(value: f64, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    for places in PLACES {
        let scaled = magnitude * POWERS[places] as f64;
        if scaled >= EXACT_MAX || scaled.is_nan() {
            continue;
        }
        let rounded = (scaled + 0.5) as u64;
        if (rounded as f64 / POWERS[places] as f64).to_bits() == magnitude.to_bits() {
            if value.is_sign_negative() {
                out.push(b'-');
            }
            let (mut fraction, mut places) = (rounded % POWERS[places], places);
            integer(rounded / POWERS[places], out);
            if fraction > 0 {
                while fraction.is_multiple_of(10) {
                    fraction /= 10;
                    places -= 1;
                }
                decimals(fraction, places, out);
            }
            return;
        }
    }
    std_format(format_args!("{value}"), out);
}

/// As [`shortest`], for 32 bits, which have other shortest decimals.
pub(super) fn shortest_f32(value: f32, out: &mut Vec<u8>) {
    std_format(format_args!("{value}"), out);
}

/// Appends `value` with `places` digits after the point, the last one rounded as `{:.2}` rounds.
#[inline]
pub(super) fn fixed(value: f64, places: u8, out: &mut Vec<u8>) {
    match scaled(value, places) {
        Some(scaled) => {
            if value.is_sign_negative() {
                out.push(b'-');
            }
            let power = POWERS[usize::from(places)];
            integer(scaled / power, out);
            if places > 0 {
                decimals(scaled % power, usize::from(places), out);
            }
        }
        None => std_format(format_args!("{value:.*}", usize::from(places)), out),
    }
}

/// The magnitude of `value` times ten to the power of `places`, rounded to the nearest integer, of two the even one;
/// `None` if that is not quickly done.
#[inline]
fn scaled(value: f64, places: u8) -> Option<u64> {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let power = *POWERS.get(usize::from(places))?;
    let bits = value.abs().to_bits();
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

/// Appends a point and `places` digits, from 1 to 9.
#[inline]
fn decimals(fraction: u64, places: usize, out: &mut Vec<u8>) {
    let mut digits = [b'.'; 10];
    let mut rest = fraction;
    for digit in digits[1..=places].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    append_short::<10>(&digits, 0, places + 1, out);
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
