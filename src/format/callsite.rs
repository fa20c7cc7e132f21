//! The definition of a callsite: what all records of one place in a program have in common.
//!
//! The writer puts it into every block that has a record of the callsite. Its parts are cut if it would take too much
//! of the block; the types never are, since values cannot be read without them.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::limits::{FIELD_NAME_BYTES_MAX, FIELDS_MAX};
use super::newer::Newer;
use super::value::{FieldType, Type};
use crate::level::Level;

/// What comes before the texts of a definition.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RawCallsite {
    pub(super) id: U32,
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) fields: U16,
    pub(super) line: U32,
}

const _: () = assert!(size_of::<RawCallsite>() == 12 && align_of::<RawCallsite>() == 1);

/// [`RawCallsite::flags`]: parts were too long, and were cut.
pub(super) const CUT: u8 = 1;

/// A definition that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallsiteParts<'a> {
    /// From 1; unique within the run.
    pub(crate) id: u32,
    /// [`crate::Level`], as its number.
    pub(crate) level: u8,
    pub(crate) line: u32,
    pub(crate) target: &'a str,
    pub(crate) file: &'a str,
    pub(crate) template: &'a str,
    /// Names and types, in the order of the values; at most [`FIELDS_MAX`].
    pub(crate) fields: &'a [(&'a str, FieldType)],
}

impl CallsiteParts<'_> {
    /// The most bytes that a definition takes if all its texts are empty. Every block has more room than this for one.
    pub(crate) const BYTES_MIN: usize = size_of::<RawCallsite>() + 3 * 2 + 2 * FIELDS_MAX;

    /// The most bytes that a definition takes.
    pub(crate) const BYTES_MAX: usize =
        size_of::<RawCallsite>() + 3 * (2 + u16::MAX as usize) + (2 + FIELD_NAME_BYTES_MAX) * FIELDS_MAX;

    /// Appends the definition to `out`, in at most `bytes_max` bytes. If it is longer, the longest texts are cut.
    /// `bytes_max` is at least [`Self::BYTES_MIN`].
    ///
    /// # Panics
    /// In a debug build, if there are more fields than [`FIELDS_MAX`].
    pub(crate) fn encode(&self, bytes_max: usize, out: &mut Vec<u8>) {
        debug_assert!(self.fields.len() <= FIELDS_MAX && bytes_max >= CallsiteParts::BYTES_MIN);
        let texts_max = bytes_max.saturating_sub(size_of::<RawCallsite>() + 3 * 2 + 2 * self.fields.len());
        let texts = || {
            let limits = [self.target, self.file, self.template].map(|text| (text, usize::from(u16::MAX)));
            limits.into_iter().chain(self.fields.iter().map(|(name, _)| (*name, FIELD_NAME_BYTES_MAX)))
        };
        let longest = longest_text(texts_max, texts().map(|(text, limit)| text.len().min(limit)));
        let cut = |text, limit: usize| cut_at(text, limit.min(longest));
        let is_cut = texts().any(|(text, limit)| cut(text, limit).len() < text.len());
        let raw = RawCallsite {
            id: U32::new(self.id),
            level: self.level,
            flags: if is_cut { CUT } else { 0 },
            fields: U16::new(self.fields.len() as u16),
            line: U32::new(self.line),
        };
        out.extend_from_slice(raw.as_bytes());
        for text in [self.target, self.file, self.template] {
            let text = cut(text, usize::from(u16::MAX));
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        for (name, field) in self.fields {
            let name = cut(name, FIELD_NAME_BYTES_MAX);
            out.extend_from_slice(&[field.code(), name.len() as u8]);
            out.extend_from_slice(name.as_bytes());
        }
    }
}

/// The largest length for which texts of these `lengths`, each cut to it, take at most `bytes_max` bytes together.
fn longest_text(bytes_max: usize, lengths: impl Iterator<Item = usize> + Clone) -> usize {
    let (mut fits, mut too_long) = (0, usize::from(u16::MAX) + 1);
    while too_long - fits > 1 {
        let middle = fits.midpoint(too_long);
        let total: usize = lengths.clone().map(|length| length.min(middle)).sum();
        if total <= bytes_max { fits = middle } else { too_long = middle }
    }
    fits
}

/// The first `bytes_max` bytes of `text`, or fewer, so that no character is cut.
pub(crate) fn cut_at(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The definition of a callsite: what all records of one place in a program share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsiteInfo {
    pub(crate) id: u32,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    pub(crate) line: u32,
    pub(crate) target: Box<str>,
    pub(crate) file: Box<str>,
    pub(crate) template: Box<str>,
    /// The fields before the first one of a type that this version does not know.
    pub(crate) fields: Box<[(Box<str>, FieldType)]>,
    /// The type that this version does not know. Values from there on cannot be read.
    pub(crate) newer: Option<Newer>,
    /// The fields before the first one whose packed values are not varints.
    pub(crate) leading_words: usize,
}

impl CallsiteInfo {
    /// Appends the definition to `out`, as [`CallsiteParts::encode`] does.
    pub(crate) fn encode(&self, bytes_max: usize, out: &mut Vec<u8>) {
        let fields: Vec<_> = self.fields.iter().map(|(name, of)| (&**name, *of)).collect();
        let CallsiteInfo { id, level, line, target, file, template, .. } = self;
        let parts = CallsiteParts { id: *id, level: *level, line: *line, target, file, template, fields: &fields };
        parts.encode(bytes_max, out);
    }

    /// The level of its records; `None` if this version does not know its number.
    pub fn level(&self) -> Option<Level> {
        Level::from_u8(self.level)
    }

    /// The target: the path of the module, or what the program has named instead.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The source file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in the source file, from 1; 0 if it is not known.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The template of the records' text, such as `order {id} filled`.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Whether every value of its records is an integer or a number with a fraction, so that the text of a record holds
    /// nothing but ASCII besides what the template and the names have.
    pub fn has_only_numbers(&self) -> bool {
        use Type::*;
        let is_number = |of| matches!(of, Unsigned | Signed | Unsigned128 | Signed128 | F32 | F64);
        self.newer.is_none() && self.fields.iter().all(|(_, field)| is_number(field.of) && !field.optional)
    }

    /// The names of its fields, in the order of the program's text. A record may have more than these: those whose
    /// names the program knew only when it logged them.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }

    /// Whether its records may have fields with names of their own, beside [`field_names`](Self::field_names).
    pub fn has_named_fields(&self) -> bool {
        self.fields.iter().any(|(_, field)| field.of == Type::Fields)
    }

    /// Whether the file, the target, the template or a name was too long for the log's blocks, and was cut.
    pub fn is_cut(&self) -> bool {
        self.flags & CUT != 0
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names: usize = self.fields.iter().map(|(name, _)| name.len()).sum();
        let texts = self.target.len() + self.file.len() + self.template.len() + names;
        size_of::<CallsiteInfo>() + size_of_val(&*self.fields) + texts
    }

    /// How many fields come before the first one whose packed values are not varints.
    pub(crate) fn count_leading_words<N>(fields: &[(N, FieldType)]) -> usize {
        fields.iter().take_while(|(_, field)| field.is_word()).count()
    }

    /// Reads a definition; `None` if the bytes are not one. Bytes after it are a later revision's, and are ignored.
    pub(crate) fn decode(payload: &[u8]) -> Option<CallsiteInfo> {
        let (raw, mut rest) = RawCallsite::read_from_prefix(payload).ok()?;
        if raw.id.get() == 0 {
            return None;
        }
        let mut text = || {
            let length = u16::from_le_bytes(*take(&mut rest, 2)?.first_chunk()?);
            Some(lossy(take(&mut rest, length.into())?))
        };
        let (target, file, template) = (text()?, text()?, text()?);
        let mut fields = Vec::new();
        let mut newer = None;
        for _ in 0..raw.fields.get() {
            let &[code, length] = take(&mut rest, 2)?.first_chunk()?;
            let name = take(&mut rest, length.into())?;
            match FieldType::from_code(code) {
                Ok(field) if newer.is_none() => fields.push((lossy(name), field)),
                Ok(_) => {}
                Err(unknown) => {
                    newer.get_or_insert(unknown);
                }
            }
        }
        Some(CallsiteInfo {
            id: raw.id.get(),
            level: raw.level,
            flags: raw.flags,
            line: raw.line.get(),
            target,
            file,
            template,
            leading_words: CallsiteInfo::count_leading_words(&fields),
            fields: fields.into(),
            newer,
        })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn lossy(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(text).into()
}

#[cfg(test)]
mod tests {
    use super::super::value::Type;
    use super::*;

    const FIELDS: [(&str, FieldType); 2] =
        [("id", FieldType::new(Type::Unsigned)), ("name", FieldType::new(Type::Str).optional())];

    fn parts() -> CallsiteParts<'static> {
        let (target, file, template) = ("orders", "src/a.rs", "{id}");
        CallsiteParts { id: 7, level: 3, line: 300, target, file, template, fields: &FIELDS }
    }

    fn encode(parts: &CallsiteParts<'_>, bytes_max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        parts.encode(bytes_max, &mut bytes);
        assert!(bytes.len() <= bytes_max, "{} of {bytes_max} bytes", bytes.len());
        bytes
    }

    #[test]
    fn a_definition_reads_back_and_its_bytes_are_golden() {
        let bytes = encode(&parts(), 512);
        let golden = [
            &[7, 0, 0, 0, 3, 0, 2, 0, 0x2C, 1, 0, 0][..],
            b"\x06\0orders\x08\0src/a.rs\x04\0{id}",
            b"\x03\x02id\x89\x04name",
        ]
        .concat();
        assert_eq!(bytes, golden);
        let read = CallsiteInfo::decode(&bytes).expect("a definition");
        assert_eq!((read.id, read.level, read.flags, read.line, read.newer), (7, 3, 0, 300, None));
        assert_eq!((&*read.target, &*read.file, &*read.template), ("orders", "src/a.rs", "{id}"));
        assert_eq!(*read.fields, FIELDS.map(|(name, field)| (name.into(), field)));
        let longer = [&bytes[..], b"a later revision's"].concat();
        assert_eq!(CallsiteInfo::decode(&longer), Some(read));
        for length in 0..bytes.len() {
            assert_eq!(CallsiteInfo::decode(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_definition_without_an_id_is_refused() {
        assert_eq!(CallsiteInfo::decode(&encode(&CallsiteParts { id: 0, ..parts() }, 512)), None);
    }

    #[test]
    fn the_longest_texts_are_cut_at_a_character_and_it_says_so() {
        let template = "é".repeat(40_000);
        let long = CallsiteParts { template: &template, ..parts() };
        for bytes_max in [512, 513, 4096] {
            let bytes = encode(&long, bytes_max);
            assert!(bytes.len() > bytes_max - 4, "it takes what it may: {} of {bytes_max}", bytes.len());
            let read = CallsiteInfo::decode(&bytes).expect("a definition");
            assert_eq!((read.flags & CUT, &*read.target, &*read.file), (CUT, "orders", "src/a.rs"));
            assert!(template.starts_with(&*read.template) && read.fields.len() == 2);
        }
        let read = CallsiteInfo::decode(&encode(&long, 1 << 20)).expect("a definition");
        assert_eq!((read.flags, read.template.len()), (CUT, 65_534), "a length has 16 bits");
        let name = "n".repeat(300);
        let fields = [(&*name, FieldType::new(Type::Bool))];
        let read = CallsiteInfo::decode(&encode(&CallsiteParts { fields: &fields, ..parts() }, 512)).expect("one");
        assert_eq!((read.flags, read.fields[0].0.len()), (CUT, 255));
    }

    #[test]
    fn every_type_stays_however_little_room_there_is() {
        let names: Vec<_> = (0..FIELDS_MAX).map(|n| format!("a rather long name {n}")).collect();
        let fields: Vec<_> = names.iter().map(|name| (&**name, FieldType::new(Type::F64))).collect();
        for bytes_max in [CallsiteParts::BYTES_MIN, CallsiteParts::BYTES_MIN + 100, 512] {
            let read = CallsiteInfo::decode(&encode(&CallsiteParts { fields: &fields, ..parts() }, bytes_max));
            let read = read.expect("a definition");
            assert_eq!((read.flags, read.fields.len()), (CUT, FIELDS_MAX));
        }
    }

    #[test]
    fn a_type_of_a_newer_version_ends_what_can_be_read() {
        let mut bytes = encode(&parts(), 512);
        let at = bytes.len() - b"\x89\x04name".len();
        bytes[at] = 14;
        let read = CallsiteInfo::decode(&bytes).expect("a definition");
        assert_eq!((read.newer, read.fields.len()), (Some(Newer::FieldType(14)), 1));
    }

    #[test]
    fn text_that_is_not_utf_8_is_survived() {
        let mut bytes = encode(&parts(), 512);
        bytes[14] = 0xFF;
        assert_eq!(&*CallsiteInfo::decode(&bytes).expect("a definition").target, "\u{FFFD}rders");
    }
}
