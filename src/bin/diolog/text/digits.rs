//! Numbers in decimal and bytes in hexadecimal, at the rate of records.

/// Appends a decimal number. `write!` takes several times as long, which matters at millions of records.
#[inline]
pub(crate) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
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
