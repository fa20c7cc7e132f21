//! Bytes that stand in many lines, such as a name: made once, and appended quickly.

/// So many bytes are appended together if there are no more. A copy of a known length needs no call.
const SHORT_BYTES: usize = 32;

/// The same for longer pieces.
const LONG_BYTES: usize = 128;

/// Bytes to append again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    /// The bytes, and [`LONG_BYTES`] more.
    padded: Vec<u8>,
    length: usize,
}

impl Piece {
    /// What `write` appends.
    pub(crate) fn of(write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let mut padded = Vec::new();
        write(&mut padded);
        let length = padded.len();
        padded.resize(length + LONG_BYTES, 0);
        Piece { padded, length }
    }

    /// Appends the bytes.
    #[inline(always)]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        if self.length <= SHORT_BYTES { self.append_first::<SHORT_BYTES>(out) } else { self.append_long(out) }
    }

    #[inline(never)]
    fn append_long(&self, out: &mut Vec<u8>) {
        if self.length <= LONG_BYTES {
            self.append_first::<LONG_BYTES>(out);
        } else {
            out.extend_from_slice(&self.padded[..self.length]);
        }
    }

    /// Appends the bytes, which are among the first `BYTES`.
    #[inline(always)]
    fn append_first<const BYTES: usize>(&self, out: &mut Vec<u8>) {
        let Some(bytes) = self.padded.first_chunk::<BYTES>() else { return };
        let end = out.len() + self.length;
        out.extend_from_slice(bytes);
        out.truncate(end);
    }
}
