//! Numbers and bytes that look random, the same each time.

/// xorshift64 (Marsaglia 2003). Its state is never 0.
pub struct Random(u64);

/// An odd number, so that a multiple of it modulo 2^64 is 0 for 0 alone: the golden ratio's fraction.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The first sequence of numbers.
    pub(super) fn new() -> Random {
        Random::of(0)
    }

    /// The sequence with this number: each thread takes another one.
    pub fn of(sequence: u32) -> Random {
        Random(SEED.wrapping_mul(u64::from(sequence) + 1))
    }

    /// The next number; it is never 0.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bytes that no disk can compress.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut random = Random::new();
    (0..bytes).map(|_| random.draw().to_le_bytes()[0]).collect()
}
