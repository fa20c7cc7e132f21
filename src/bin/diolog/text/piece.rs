//! Bytes that stand in many lines, such as a name: made once, and appended quickly.

/// So many bytes are copied together if there are no more. A copy of a known length needs no call.
pub(crate) const SHORT_BYTES: usize = 32;

/// The same for longer pieces.
const LONG_BYTES: usize = 128;

/// Bytes to append again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    /// The first of the bytes.
    first: [u8; SHORT_BYTES],
    length: usize,
    /// The bytes, and [`LONG_BYTES`] more.
    padded: Vec<u8>,
}

/// No bytes.
pub(crate) static NOTHING: Piece = Piece { first: [0; SHORT_BYTES], length: 0, padded: Vec::new() };

impl Piece {
    /// What `write` appends.
    pub(crate) fn of(write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let mut padded = Vec::new();
        write(&mut padded);
        let length = padded.len();
        padded.resize(length + LONG_BYTES, 0);
        Piece { first: *padded.first_chunk().unwrap_or(&[0; SHORT_BYTES]), length, padded }
    }

    /// Appends the bytes.
    #[inline(always)]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match self.short() {
            Some((bytes, length)) => append(bytes, length, out),
            None => self.append_long(out),
        }
    }

    /// The bytes with some after them, and how many they are; `None` if they are more.
    #[inline(always)]
    pub(crate) fn short(&self) -> Option<(&[u8; SHORT_BYTES], usize)> {
        (self.length <= SHORT_BYTES).then_some((&self.first, self.length))
    }

    #[inline(never)]
    fn append_long(&self, out: &mut Vec<u8>) {
        match self.padded.first_chunk::<LONG_BYTES>() {
            Some(bytes) if self.length <= LONG_BYTES => append(bytes, self.length, out),
            _ => out.extend_from_slice(&self.padded[..self.length]),
        }
    }
}

/// Appends the first `length` of these bytes.
#[inline(always)]
fn append<const BYTES: usize>(bytes: &[u8; BYTES], length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    out.extend_from_slice(bytes);
    out.truncate(end);
}
