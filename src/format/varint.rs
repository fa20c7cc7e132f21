//! Prefix varints: a number of 64 bits in one to nine bytes, whose first byte says how many.
//!
//! The first byte's trailing ones, plus one, are the number of bytes. So a reader needs one look at that byte and one
//! load, and a writer one store, without a branch for each byte.

/// The most bytes that a varint takes, and the room that [`put_varint`] needs.
pub(crate) const VARINT_BYTES_MAX: usize = 9;

/// Numbers below this take at most eight bytes. The form of nine bytes is 0xFF and the number itself.
pub(super) const EIGHT_BYTES_LIMIT: u64 = 1 << 56;

/// The first byte of the form of nine bytes.
const NINE_BYTES: u8 = 0xFF;

/// The fewest bytes that hold `value`, from 1 to 9.
#[inline]
pub(crate) const fn varint_bytes(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    // Without the division by seven: it is exact for 1 to 63 bits, and 64 give ten.
    let bytes = ((bits + 7) * 9 + 1) / 64;
    if bytes > 9 { 9 } else { bytes as usize }
}

/// Writes `value` to `buffer` at `at`, in as few bytes as it takes, and returns the offset after it. It changes up to
/// nine bytes from `at` on.
///
/// # Panics
/// If fewer than nine bytes follow `at`.
#[inline(always)]
pub(crate) fn put_varint(buffer: &mut [u8], at: usize, value: u64) -> usize {
    at + set_varint((&mut buffer[at..at + VARINT_BYTES_MAX]).try_into().expect("nine bytes"), value)
}

/// Writes `value` to the beginning of `room`, in as few bytes as it takes, and returns how many these are. It may
/// change all nine.
#[inline(always)]
pub(super) fn set_varint(room: &mut [u8; VARINT_BYTES_MAX], value: u64) -> usize {
    /// The bytes after the first, by the number of the highest bit.
    const MORE: [u8; 64] = {
        let mut more = [0; 64];
        let mut bit = 0;
        while bit < 64 {
            more[bit] = (bit / 7) as u8;
            bit += 1;
        }
        more
    };
    /// Two to the power of that number: a multiplication takes fewer instructions than a shift by a variable.
    const FACTOR: [u64; 64] = {
        let mut factor = [0; 64];
        let mut bit = 0;
        while bit < 64 {
            factor[bit] = 1 << MORE[bit];
            bit += 1;
        }
        factor
    };
    if value >= EIGHT_BYTES_LIMIT {
        return set_nine(room, value);
    }
    let bit = (value | 1).ilog2() as usize;
    // The same as `word_of`.
    let word = (value << 1 | 1).wrapping_mul(FACTOR[bit]).wrapping_sub(1);
    room[..8].copy_from_slice(&word.to_le_bytes());
    usize::from(MORE[bit]) + 1
}

/// Writes `value` in the form of nine bytes, and returns that number.
#[inline(always)]
pub(super) fn set_nine(room: &mut [u8; VARINT_BYTES_MAX], value: u64) -> usize {
    room[0] = NINE_BYTES;
    room[1..].copy_from_slice(&value.to_le_bytes());
    VARINT_BYTES_MAX
}

/// Writes `value` to `buffer` at `at` in `bytes` bytes, at most eight, and changes no others: for a length whose place
/// was left free until it was known.
///
/// # Panics
/// If fewer than `bytes` bytes follow `at`.
#[inline(always)]
pub(crate) fn put_varint_wide(buffer: &mut [u8], at: usize, value: u64, bytes: usize) {
    debug_assert!((varint_bytes(value)..=8).contains(&bytes), "{value} in {bytes} bytes");
    let word = word_of(value, bytes).to_le_bytes();
    match bytes {
        1 => buffer[at] = word[0],
        2 => buffer[at..at + 2].copy_from_slice(&word[..2]),
        _ => buffer[at..at + bytes].copy_from_slice(&word[..bytes]),
    }
}

/// The word whose low `bytes` bytes, from 1 to 8, are the varint of `value`.
#[inline(always)]
const fn word_of(value: u64, bytes: usize) -> u64 {
    value << bytes | ((1 << (bytes - 1)) - 1)
}

/// The varint that `bytes` begins with, and how many bytes it takes; `None` if `bytes` ends before it does. A number
/// may take more bytes than it needs.
#[inline(always)]
pub(super) fn split_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let Some(word) = bytes.first_chunk::<8>() else { return split_last_varint(bytes) };
    let (value, length) = low_varint(u64::from_le_bytes(*word));
    if length <= 8 { Some((value, length)) } else { split_nine(bytes) }
}

/// How many bytes the varint takes that begins with `first`.
#[inline(always)]
pub(super) const fn varint_length(first: u8) -> usize {
    // The bits above the byte are set to end the count at eight.
    (!(first as u32)).trailing_zeros() as usize + 1
}

/// As [`split_varint`], for fewer than eight bytes: the end of a record, where most of its varints are.
#[inline(always)]
fn split_last_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let (value, length) = low_varint(last_word(bytes).wrapping_shr(64 - 8 * bytes.len() as u32));
    (length <= bytes.len()).then_some((value, length))
}

/// The last eight bytes as a number; zeros come before them if there are fewer. Some are loaded twice then, so that
/// nothing is copied.
#[inline(always)]
pub(super) fn last_word(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    if let Some(word) = bytes.last_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (low, high) = (u64::from(u32::from_le_bytes(*low)), u64::from(u32::from_le_bytes(*high)));
        return low << (8 * (8 - length)) | high << 32;
    }
    let byte = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte) << (8 * (at + 8 - length)));
    byte(0) | byte(length / 2) | byte(length.saturating_sub(1))
}

#[cold]
#[inline(never)]
fn split_nine(bytes: &[u8]) -> Option<(u64, usize)> {
    let value = bytes.get(1..VARINT_BYTES_MAX)?.try_into().ok()?;
    Some((u64::from_le_bytes(value), VARINT_BYTES_MAX))
}

/// The varint in the low bytes of `word`, and how many bytes it takes. If it takes more than eight, the returned number
/// means nothing.
#[inline(always)]
pub(super) fn low_varint(word: u64) -> (u64, usize) {
    /// For each number of trailing ones, the bits of the number, once those of the length are shifted out.
    const BITS: [u64; 65] = {
        let mut bits = [0; 65];
        let mut more = 0;
        while more < 8 {
            bits[more] = (1 << (7 * (more + 1))) - 1;
            more += 1;
        }
        bits
    };
    let more = word.trailing_ones() as usize;
    (word.wrapping_shr(more as u32 + 1) & BITS[more], more + 1)
}

/// A signed number as an unsigned one that is small if it is near zero: 0, −1, 1, −2, … become 0, 1, 2, 3, …
#[inline(always)]
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The signed number that [`zigzag`] gave `value` for.
#[inline(always)]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// [`zigzag`] for 128 bits.
pub(super) const fn zigzag_128(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

/// [`unzigzag`] for 128 bits.
pub(super) const fn unzigzag_128(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(value: u64) -> Vec<u8> {
        let mut buffer = [0xAA; 12];
        let end = put_varint(&mut buffer, 1, value);
        assert_eq!((buffer[0], buffer[10]), (0xAA, 0xAA), "nine bytes at most are changed");
        buffer[1..end].to_vec()
    }

    #[test]
    fn the_bytes_are_golden() {
        for (value, golden) in [
            (0, &[0x00][..]),
            (1, &[0x02]),
            (127, &[0xFE]),
            (128, &[0x01, 0x02]),
            (300, &[0xB1, 0x04]),
            ((1 << 14) - 1, &[0xFD, 0xFF]),
            (1 << 14, &[0x03, 0x00, 0x02]),
            ((1 << 56) - 1, &[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
            (1 << 56, &[0xFF, 0, 0, 0, 0, 0, 0, 0, 1]),
            (u64::MAX, &[0xFF; 9]),
        ] {
            assert_eq!(put(value), golden, "{value}");
        }
    }

    #[test]
    fn a_number_takes_as_few_bytes_as_hold_it() {
        for bits in 0..=64_u32 {
            let largest = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
            let expected = bits.div_ceil(7).clamp(1, 9) as usize;
            assert_eq!((varint_bytes(largest), put(largest).len()), (expected, expected), "{bits} bits");
        }
    }

    #[test]
    fn a_varint_that_is_cut_is_none() {
        for value in [0, 127, 128, 1 << 20, (1 << 56) - 1, 1 << 56, u64::MAX] {
            let bytes = put(value);
            for length in 0..bytes.len() {
                assert_eq!(split_varint(&bytes[..length]), None, "{value} in {length} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_put_comes_back(value: u64, shift in 0..64_u32, wider in 0..9_usize, before in 0..10_usize, after in 9..20_usize) {
            let value = value >> shift;
            let mut buffer = vec![0x55; before + after];
            let mut end = put_varint(&mut buffer, before, value);
            if (1..=8 - varint_bytes(value).min(8)).contains(&wider) {
                let bytes = varint_bytes(value) + wider;
                buffer.fill(0x55);
                put_varint_wide(&mut buffer, before, value, bytes);
                end = before + bytes;
                prop_assert!(buffer[end..].iter().all(|&byte| byte == 0x55), "no others are changed");
            }
            prop_assert_eq!(split_varint(&buffer[before..]), Some((value, end - before)));
            prop_assert_eq!(split_varint(&buffer[before..end]), Some((value, end - before)), "right before the end");
        }

        #[test]
        fn any_bytes_are_a_number_or_none(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Some((value, length)) = split_varint(&bytes) {
                let mut longer = bytes[..length].to_vec();
                longer.resize(16, 0xA5);
                prop_assert_eq!(split_varint(&longer), Some((value, length)), "what follows does not count");
            }
        }

        #[test]
        fn zigzag_comes_back_and_is_small_near_zero(value: i64, wide: i128) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
            prop_assert_eq!(unzigzag_128(zigzag_128(wide)), wide);
            prop_assert_eq!((zigzag(0), zigzag(-1), zigzag(1), zigzag(-2)), (0, 1, 2, 3));
        }
    }
}
