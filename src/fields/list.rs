//! The fields of one record, put together: a list of values, and of their types.

use super::kept::Kept;
use super::scratch::Scratch;
use super::value::Value;
use crate::callsite::hash_of;
use crate::format::{FieldType, Type};

/// The most fields of a macro's record.
pub(crate) const MACRO_FIELDS_MAX: usize = 32;

/// The fields of one record: `()`, or those before one and that one, as in `(((), first), second)`. Macros make them,
/// of references.
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait Fields: List {}

impl<L: List> Fields for L {}

/// Fails to compile if a record has too many fields.
///
/// # Panics
/// If so. It is called in constants only, so that the compiler says it.
pub const fn assert_few(names: &[&str]) {
    assert!(names.len() <= MACRO_FIELDS_MAX, "a record has at most 32 fields");
}

/// The types of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    types: [FieldType; MACRO_FIELDS_MAX],
    count: usize,
}

impl Types {
    const NONE: Types = Types { types: [FieldType::new(Type::Bool); MACRO_FIELDS_MAX], count: 0 };

    const fn and(mut self, field: FieldType) -> Types {
        self.types[self.count] = field;
        self.count += 1;
        self
    }

    const fn as_slice(&self) -> &[FieldType] {
        self.types.split_at(self.count).0
    }
}

/// What [`Fields`] are for `event`.
pub(crate) trait List {
    const TYPES: Types;

    const SLICE: &'static [FieldType] = Self::TYPES.as_slice();

    const HASH: u32 = hash_of(Self::SLICE);

    /// Whether keeping them runs a formatter.
    const FORMATS: bool;

    type Kept<'a>: Kept
    where
        Self: 'a;

    fn keep(&self, scratch: &mut Scratch<'_>) -> Self::Kept<'_>;
}

impl List for () {
    const TYPES: Types = Types::NONE;
    const FORMATS: bool = false;
    type Kept<'a> = ();

    #[inline(always)]
    fn keep(&self, _scratch: &mut Scratch<'_>) {}
}

impl<L: List, V: Value> List for (L, V) {
    const TYPES: Types = L::TYPES.and(V::TYPE);
    const FORMATS: bool = L::FORMATS || V::FORMATS;
    type Kept<'a>
        = (L::Kept<'a>, V::Kept<'a>)
    where
        Self: 'a;

    #[inline(always)]
    fn keep(&self, scratch: &mut Scratch<'_>) -> Self::Kept<'_> {
        (self.0.keep(scratch), self.1.keep(scratch))
    }
}
