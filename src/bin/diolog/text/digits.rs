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

/// The digits of a number below 10⁹.
#[inline]
pub(crate) fn put_nine(number: u32, digits: &mut [u8; 9]) {
    /// Two to the power of 57 divided by 10⁸, rounded up.
    const FIRST: u64 = 1_441_151_881;
    // The first digit is in the upper half, and the others are a fraction in the lower one, a little too large, by less
    // than one of the last digit. A product with 100 brings the next two digits up.
    let rest = ((u64::from(number) * FIRST) >> 25) + 1;
    let [first, pairs @ ..] = digits;
    *first = b'0' + (rest >> 32) as u8;
    put_fraction(rest, pairs);
}

/// The digits of a number below 10⁸.
#[inline]
fn put_eight(number: u32, digits: &mut [u8; 8]) {
    /// Two to the power of 57 divided by 10⁶, rounded up.
    const FIRST: u64 = 144_115_188_076;
    let rest = ((u64::from(number) * FIRST) >> 25) + 1;
    let [first @ .., _, _, _, _, _, _] = digits;
    *first = PAIRS[(rest >> 32) as usize];
    put_fraction(rest, &mut digits[2..]);
}

/// The first digits of the fraction that the lower half of `rest` is.
#[inline]
fn put_fraction(mut rest: u64, digits: &mut [u8]) {
    for pair in digits.as_chunks_mut().0 {
        rest = (rest & u64::from(u32::MAX)) * 100;
        *pair = PAIRS[(rest >> 32) as usize];
    }
}

/// The digits of a number below 10⁶.
#[inline]
pub(crate) fn put_six(number: u32, [a, b, c, d, e, f]: &mut [u8; 6]) {
    let pair = |number: u32| PAIRS[(number % 100) as usize];
    ([*a, *b], [*c, *d], [*e, *f]) = (pair(number / 10_000), pair(number / 100), pair(number));
}

/// A large number whose first digits rarely change from one that is written to the next, such as a time.
#[derive(Default)]
pub(crate) struct SlowNumber {
    /// The last one without its last eight digits, and those that are left of it.
    high: u64,
    text: [u8; 16],
    length: usize,
}

impl SlowNumber {
    /// Appends the number.
    #[inline]
    pub(crate) fn write(&mut self, value: u64, out: &mut Vec<u8>) {
        let (high, low) = (value / 100_000_000, (value % 100_000_000) as u32);
        if high != self.high {
            self.change(high);
        }
        if high == 0 {
            return number(value, out);
        }
        let begin = out.len();
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&[0; 8]);
        out.truncate(begin + self.length + 8);
        out.last_chunk_mut().into_iter().for_each(|digits| put_eight(low, digits));
    }

    #[cold]
    fn change(&mut self, high: u64) {
        let text = high.to_string();
        (self.high, self.length) = (high, text.len());
        // Of 64 bits at most twelve digits are left.
        self.text[..text.len()].copy_from_slice(text.as_bytes());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_and_nine_digits_are_those_of_std() {
        let powers = (0..9).flat_map(|power| (0..20).map(move |more| 10_u32.pow(power).saturating_sub(10) + more));
        for number in powers.chain((0..1_000_000_000).step_by(9_973)).chain(999_999_000..1_000_000_000) {
            let mut digits = [0; 9];
            put_nine(number, &mut digits);
            assert_eq!(String::from_utf8_lossy(&digits), format!("{number:09}"));
            let (number, mut digits) = (number % 100_000_000, [0; 8]);
            put_eight(number, &mut digits);
            assert_eq!(String::from_utf8_lossy(&digits), format!("{number:08}"));
        }
    }

    #[test]
    fn a_slow_number_is_written_as_any_other() {
        let mut slow = SlowNumber::default();
        let limits = [0, 7, 99_999_999, 100_000_000, 100_000_001, 52_981_006_004_421, u64::MAX];
        for value in limits.into_iter().chain(limits.into_iter().rev()) {
            let mut out = b"x".to_vec();
            slow.write(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("x{value}"));
        }
    }
}
