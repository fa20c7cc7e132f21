//! Values on their way into a ring: how many bytes each takes, and how it is written.

use crate::format::cut_at;
use crate::ring::Claimed;

/// A value, or several, that no user code is needed for any more.
pub(crate) trait Kept: Copy {
    /// Bytes of the plain encoding.
    fn bytes(&self) -> usize;

    /// Writes the plain encoding. What was formatted is in `scratch`.
    fn write(&self, scratch: &[u8], claimed: &mut Claimed<'_>);

    /// Bytes that [`cut`](Self::cut) can take away.
    #[inline(always)]
    fn flexible_bytes(&self) -> usize {
        0
    }

    /// Shortens texts and bytes to what is left of `room`, which is less by what they take then.
    #[inline(always)]
    fn cut(&mut self, _scratch: &[u8], _room: &mut usize) {}

    /// Whether a part is not whole.
    #[inline(always)]
    fn is_cut(&self) -> bool {
        false
    }
}

/// Numbers are written as they are in memory.
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

/// Bytes of the length of a text.
pub(super) const LENGTH_BYTES: usize = 4;

/// The bytes of a text's length, and of whether it is cut.
#[inline(always)]
pub(super) fn length_word(length: usize, cut: bool) -> [u8; LENGTH_BYTES] {
    // A length that fits a ring has far fewer than 31 bits.
    ((length as u32) << 1 | u32::from(cut)).to_le_bytes()
}

/// A text, which is cut between characters alone.
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

/// Bytes, which are cut anywhere.
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

/// What a formatter has written, as a part of the scratch buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formatted {
    pub(super) begin: usize,
    pub(super) length: usize,
    pub(super) cut: bool,
}

impl Formatted {
    /// Whether it is not whole.
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
            // Always text: whatever it is cut to, all characters before that are whole.
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

/// The values before one, and that one.
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
