//! CRC-32C (Castagnoli), the one checksum of the format.

/// The checksum of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The checksum of the bytes that gave `so_far`, followed by `bytes`.
pub(crate) fn checksum_append(so_far: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(so_far, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C in the catalogue of parametrised CRC algorithms (RFC 3720, B.4 has others).
    #[test]
    fn is_crc_32c() {
        assert_eq!(checksum(b"123456789"), 0xE306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8A91_36AA);
        assert_eq!(checksum_append(checksum(b"1234"), b"56789"), 0xE306_9283);
    }
}
