//! Bytes that stand in many lines, such as a name: made once, and appended quickly.

/// Bytes that are appended together.
const CHUNK_BYTES: usize = 32;

/// Bytes to append again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    /// The bytes, and [`CHUNK_BYTES`] more.
    padded: Vec<u8>,
    length: usize,
}

impl Piece {
    /// What `write` appends.
    pub(crate) fn of(write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let mut padded = Vec::new();
        write(&mut padded);
        let length = padded.len();
        padded.resize(length + CHUNK_BYTES, 0);
        Piece { padded, length }
    }

    /// Appends the bytes.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match self.padded.first_chunk::<CHUNK_BYTES>() {
            // A copy of a known length needs no call.
            Some(chunk) if self.length <= CHUNK_BYTES => {
                out.extend_from_slice(chunk);
                out.truncate(out.len() - (CHUNK_BYTES - self.length));
            }
            _ => out.extend_from_slice(&self.padded[..self.length]),
        }
    }
}
