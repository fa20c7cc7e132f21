//! CRC-32C (Castagnoli), the one checksum of the format.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of the bytes that gave `so_far`, followed by `bytes`.
pub(crate) fn checksum_append(so_far: u32, bytes: &[u8]) -> u32 {
    // The state is the checksum before the inversion that ends it.
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!so_far));
    digest.update(bytes);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C in the catalogue of parametrised CRC algorithms (RFC 3720, B.4 has others).
    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(checksum(b"123456789"), 0xE306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8A91_36AA);
        assert_eq!(checksum_append(checksum(b"1234"), b"56789"), 0xE306_9283);
    }
}
