//! Numbers in decimal and bytes in hexadecimal, at the rate of records.

use diolog::Value;

/// Appends a decimal number. `write!` takes several times as long, which matters at millions of records.
#[inline]
pub(crate) fn number(number: impl Into<u64>, out: &mut Vec<u8>) {
    Value::Unsigned(number.into()).append_to(out);
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

/// Appends a point, and nanoseconds within a second in nine digits.
#[inline]
pub(crate) fn nanoseconds(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b".000000000");
    let Some([_, first, a, b, c, d, e, f, g, h]) = out.last_chunk_mut::<10>() else { return };
    let pair = |number: u32| PAIRS[(number % 100) as usize];
    let (high, low) = (number / 10_000, number % 10_000);
    *first = b'0' + (high / 10_000 % 10) as u8;
    ([*a, *b], [*c, *d]) = (pair(high / 100), pair(high));
    ([*e, *f], [*g, *h]) = (pair(low / 100), pair(low));
}

/// A number that may exceed 2⁵³, as a string: many programs read JSON numbers as doubles, and would round it.
pub(crate) fn quoted_number(value: u64, out: &mut Vec<u8>) {
    out.push(b'"');
    number(value, out);
    out.push(b'"');
}

/// Appends a byte in two digits.
pub(crate) fn hexadecimal(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}
