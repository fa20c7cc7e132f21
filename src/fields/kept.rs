//! Kept values: how many bytes each takes in a ring, and how it is written there.

use crate::format::cut_at;
use crate::ring::Claimed;

/// One value, or several, that can be written without running user code.
pub(crate) trait Kept: Copy {
    /// Bytes of the plain encoding.
    fn bytes(&self) -> usize;

    /// Writes the plain encoding. Formatted text is in `scratch`.
    fn write(&self, scratch: &[u8], claimed: &mut Claimed<'_>);

    /// How many bytes [`cut`](Self::cut) can remove.
    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        0
    }

    /// Shortens texts and bytes to at most `room` bytes, and subtracts their new length from `room`.
    #[inline(always)]
    fn cut(&mut self, _scratch: &[u8], _room: &mut usize) {}

    /// Whether any part was cut.
    #[inline(always)]
    fn is_cut(&self) -> bool {
        false
    }
}

/// Numbers, which are written as their little-endian bytes.
macro_rules! kept_as_bytes {
    ($($number:ty),*) => {
        $(impl Kept for $number {
            #[inline(always)]
            fn bytes(&self) -> usize {
                size_of::<$number>()
            }

            #[inline(always)]
            fn write(&self, _scratch: &[u8], claimed: &mut Claimed<'_>) {
                claimed.put(self.to_le_bytes());
            }
        })*
    };
}

kept_as_bytes!(u8, u32, u64, i64, u128, i128, f32, f64);

impl<K: Kept> Kept for Option<K> {
    #[inline(always)]
    fn bytes(&self) -> usize {
        1 + self.as_ref().map_or(0, Kept::bytes)
    }

    #[inline(always)]
    fn write(&self, scratch: &[u8], claimed: &mut Claimed<'_>) {
        match self {
            Some(value) => {
                claimed.put([1]);
                value.write(scratch, claimed);
            }
            None => claimed.put([0]),
        }
    }

    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        self.as_ref().map_or(0, Kept::flexible_bytes)
    }

    #[inline(always)]
    fn cut(&mut self, scratch: &[u8], room: &mut usize) {
        if let Some(value) = self {
            value.cut(scratch, room);
        }
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.as_ref().is_some_and(Kept::is_cut)
    }
}

/// Bytes of the length before a text.
pub(super) const LENGTH_BYTES: usize = 4;

/// The bytes of a text's length, and of the bit that says whether the text is cut.
#[inline(always)]
pub(super) fn length_word(length: usize, cut: bool) -> [u8; LENGTH_BYTES] {
    // A length that fits a ring has far fewer than 31 bits.
    ((length as u32) << 1 | u32::from(cut)).to_le_bytes()
}

/// A text. It is cut only between characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) cut: bool,
}

impl Kept for Text<'_> {
    #[inline(always)]
    fn bytes(&self) -> usize {
        LENGTH_BYTES + self.text.len()
    }

    #[inline(always)]
    fn write(&self, _scratch: &[u8], claimed: &mut Claimed<'_>) {
        claimed.put(length_word(self.text.len(), self.cut));
        claimed.put_bytes(self.text.as_bytes());
    }

    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        self.text.len()
    }

    fn cut(&mut self, _scratch: &[u8], room: &mut usize) {
        if self.text.len() > *room {
            self.text = cut_at(self.text, *room);
            self.cut = true;
        }
        *room -= self.text.len();
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.cut
    }
}

/// Bytes. They can be cut anywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) cut: bool,
}

impl Kept for Bytes<'_> {
    #[inline(always)]
    fn bytes(&self) -> usize {
        LENGTH_BYTES + self.bytes.len()
    }

    #[inline(always)]
    fn write(&self, _scratch: &[u8], claimed: &mut Claimed<'_>) {
        claimed.put(length_word(self.bytes.len(), self.cut));
        claimed.put_bytes(self.bytes);
    }

    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn cut(&mut self, _scratch: &[u8], room: &mut usize) {
        if self.bytes.len() > *room {
            self.bytes = &self.bytes[..*room];
            self.cut = true;
        }
        *room -= self.bytes.len();
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.cut
    }
}

/// Text that a formatter has written: a part of the scratch buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formatted {
    pub(super) begin: usize,
    pub(super) length: usize,
    pub(super) cut: bool,
}

impl Formatted {
    /// Whether the text was cut.
    pub(crate) fn is_cut(self) -> bool {
        self.cut
    }

    pub(super) fn of(self, scratch: &[u8]) -> &[u8] {
        scratch.get(self.begin..self.begin + self.length).unwrap_or_default()
    }
}

impl Kept for Formatted {
    #[inline(always)]
    fn bytes(&self) -> usize {
        LENGTH_BYTES + self.length
    }

    #[inline(always)]
    fn write(&self, scratch: &[u8], claimed: &mut Claimed<'_>) {
        claimed.put(length_word(self.length, self.cut));
        claimed.put_bytes(self.of(scratch));
    }

    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        self.length
    }

    fn cut(&mut self, scratch: &[u8], room: &mut usize) {
        if self.length > *room {
            // The bytes are whole characters of UTF-8, so this does not fail.
            let text = std::str::from_utf8(self.of(scratch)).unwrap_or_default();
            self.length = cut_at(text, *room).len();
            self.cut = true;
        }
        *room -= self.length;
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.cut
    }
}

/// No value.
impl Kept for () {
    #[inline(always)]
    fn bytes(&self) -> usize {
        0
    }

    #[inline(always)]
    fn write(&self, _scratch: &[u8], _claimed: &mut Claimed<'_>) {}
}

/// A list of values, and one more.
impl<A: Kept, B: Kept> Kept for (A, B) {
    #[inline(always)]
    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes()
    }

    #[inline(always)]
    fn write(&self, scratch: &[u8], claimed: &mut Claimed<'_>) {
        self.0.write(scratch, claimed);
        self.1.write(scratch, claimed);
    }

    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        self.0.flexible_bytes() + self.1.flexible_bytes()
    }

    #[inline(always)]
    fn cut(&mut self, scratch: &[u8], room: &mut usize) {
        self.0.cut(scratch, room);
        self.1.cut(scratch, room);
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.0.is_cut() || self.1.is_cut()
    }
}
