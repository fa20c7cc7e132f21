//! The marks by which a reader distinguishes bytes of a newer version from damage.
//!
//! Bytes whose checksum is right were written on purpose. If this version does not know their meaning, a newer diolog
//! wrote them. A reader reports that, and calls nothing lost because of it.

use std::fmt;

/// A mark of a newer diolog on some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Newer {
    /// A block of another major version, with this digit in its magic.
    Version(u8),
    /// Incompatible block flags that this version does not know.
    BlockFlags(u16),
    /// A block whose lengths are beyond the limits of this version.
    BlockBytes(u32),
    /// Incompatible features of a segment that this version does not know.
    Features(u32),
    /// A shard whose records have an encoding that this version does not know.
    Encoding(u8),
    /// A record of an unknown kind that must not be skipped.
    Kind(u8),
    /// A field of a type that this version does not know.
    FieldType(u8),
}

impl fmt::Display for Newer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Newer::Version(digit) => write!(f, "format version {}", char::from(*digit).escape_default()),
            Newer::BlockFlags(flags) => write!(f, "block flags {flags:#x}"),
            Newer::BlockBytes(bytes) => write!(f, "a block of {bytes} bytes"),
            Newer::Features(features) => write!(f, "features {features:#x}"),
            Newer::Encoding(encoding) => write!(f, "shard encoding {encoding}"),
            Newer::Kind(kind) => write!(f, "record kind {kind:#x}"),
            Newer::FieldType(code) => write!(f, "field type {code}"),
        }
    }
}
