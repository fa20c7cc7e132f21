//! Counts and sizes in sentences for people: digits in groups of three, nouns in the plural, and units.

use std::fmt;

/// A number that is not negative as "1,234,567".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grouped<N = u64>(pub(crate) N);

impl<N: fmt::Display> fmt::Display for Grouped<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                write!(f, ",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A count with its noun, as "1 record", "2,000 records".
pub(crate) fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", Grouped(count), if count == 1 { "" } else { "s" })
}

/// A number of bytes as "1 MiB", or as "5,000 bytes" if it is no multiple of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match in_units(self.0) {
            Some((number, unit)) => write!(f, "{number} {unit}"),
            None => f.write_str(&counted(self.0, "byte")),
        }
    }
}

/// The largest unit of which `bytes` is a multiple, after how many of it they are; `None` if there is no such unit.
pub(crate) fn in_units(bytes: u64) -> Option<(u64, &'static str)> {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let powers = bytes.trailing_zeros() / 10;
    let unit = UNITS.get((powers as usize).checked_sub(1)?).filter(|_| bytes > 0)?;
    Some((bytes >> (10 * powers), unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_of_which_they_are_a_multiple() {
        for (size, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (5_000, "5,000 bytes"),
            (4096, "4 KiB"),
            (266_240, "260 KiB"),
            (1 << 20, "1 MiB"),
            (3 << 60, "3 EiB"),
            (u64::MAX, "18,446,744,073,709,551,615 bytes"),
        ] {
            assert_eq!(Size(size).to_string(), shown);
        }
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (count, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Grouped(count).to_string(), shown);
        }
        assert_eq!([counted(1, "record"), counted(2_000, "record")], ["1 record", "2,000 records"]);
    }
}
