//! Zero bytes: space that was prepared and never written. They are no valid block, shard or record.

/// Whether all of `bytes` is zero; true for none.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // A cache line at a time: without a branch for each byte the compiler uses vector instructions.
    bytes.chunks(64).all(|line| line.iter().fold(0, |all, &byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_not_zero_is_found() {
        let mut bytes = vec![0; 1000];
        assert!(is_zero(&bytes) && is_zero(&[]));
        bytes[999] = 1;
        assert!(!is_zero(&bytes));
    }
}
