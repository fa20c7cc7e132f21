//! The fields of one record as a list: their values, and their types.

use super::kept::Kept;
use super::scratch::Scratch;
use super::value::Value;
use crate::callsite::hash_of;
use crate::format::{FieldType, Type};

/// The most fields in one record of a macro.
const MACRO_FIELDS_MAX: usize = 32;

/// The fields of one record as nested pairs: `()` for none, `(((), first), second)` for two. The macros build it, from
/// references.
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait FieldList: List {}

impl<L: List> FieldList for L {}

/// Makes a record with too many fields fail to compile.
///
/// # Panics
/// If there are too many. It is called only in constants, so that the compiler reports the panic.
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

/// [`FieldList`], with what only `event` may use.
pub(crate) trait List {
    const TYPES: Types;

    const SLICE: &'static [FieldType] = Self::TYPES.as_slice();

    const HASH: u32 = hash_of(Self::SLICE);

    /// Whether keeping the values runs a formatter.
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
