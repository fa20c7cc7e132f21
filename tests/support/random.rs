//! Numbers that look random, the same for the same seed.

/// xorshift64 (Marsaglia 2003).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of a seed; neighbouring seeds have nothing in common.
    pub(crate) fn new(seed: u64) -> Random {
        // The state is never 0.
        Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.number() >> 16) % bound
    }

    /// Whether something happens that happens once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// The seeds of a test: those given, or the one in `DIOLOG_SEED`, to repeat a failure.
pub(crate) fn seeds(given: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("DIOLOG_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("DIOLOG_SEED is a number");
            seed..seed + 1
        }
        Err(_) => given,
    }
}
