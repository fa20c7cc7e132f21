//! Which types can be fields, and how their values are kept.

use std::borrow::Cow;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;

use super::kept::{Bytes, Formatted, Kept, Text};
use super::scratch::Scratch;
use crate::format::{FieldType, Type};

/// A type that a field can have: integers, floats, `bool`, `char`, text, bytes, and an `Option` of these; also behind a
/// reference, a `Box`, an `Rc` or an `Arc`.
///
/// No other type can implement it. A value of any other type is logged as text: `name = %value` uses its `Display`,
/// `name = ?value` its `Debug`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a field",
    note = "use `name = %value` for its `Display`, or `name = ?value` for its `Debug`"
)]
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait FieldValue: Value {}

impl<V: Value + ?Sized> FieldValue for V {}

/// [`FieldValue`], with what only the macros may use. Of a macro's call, the compiler reports this bound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a field",
    note = "use `name = %value` for its `Display`, or `name = ?value` for its `Debug`"
)]
pub(crate) trait Value {
    /// The field's type in the files.
    const TYPE: FieldType;

    /// Whether keeping the value runs a formatter.
    const FORMATS: bool = false;

    type Kept<'a>: Kept
    where
        Self: 'a;

    fn keep(&self, scratch: &mut Scratch<'_>) -> Self::Kept<'_>;
}

/// A value that is not an `Option`.
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot be the value of a field",
    note = "use `name = ?value` for its `Debug`"
)]
pub(crate) trait Present: Value {}

/// Types whose kept value is made by a conversion.
macro_rules! values {
    ($($type:ty, $field:ident, $kept:ty, $value:ident => $convert:expr;)*) => {
        $(
            impl Value for $type {
                const TYPE: FieldType = FieldType::new(Type::$field);
                type Kept<'a> = $kept where Self: 'a;

                #[inline(always)]
                fn keep(&self, _scratch: &mut Scratch<'_>) -> Self::Kept<'_> {
                    let $value = self;
                    $convert
                }
            }

            impl Present for $type {}
        )*
    };
}

values! {
    bool, Bool, u8, value => u8::from(*value);
    char, Char, u32, value => u32::from(*value);
    u8, Unsigned, u64, value => u64::from(*value);
    u16, Unsigned, u64, value => u64::from(*value);
    u32, Unsigned, u64, value => u64::from(*value);
    u64, Unsigned, u64, value => *value;
    usize, Unsigned, u64, value => *value as u64;
    u128, Unsigned128, u128, value => *value;
    i8, Signed, i64, value => i64::from(*value);
    i16, Signed, i64, value => i64::from(*value);
    i32, Signed, i64, value => i64::from(*value);
    i64, Signed, i64, value => *value;
    isize, Signed, i64, value => *value as i64;
    i128, Signed128, i128, value => *value;
    f32, F32, f32, value => *value;
    f64, F64, f64, value => *value;
    str, Str, Text<'a>, value => Text { text: value, cut: false };
    String, Str, Text<'a>, value => Text { text: value, cut: false };
    Cow<'_, str>, Str, Text<'a>, value => Text { text: value, cut: false };
    [u8], Bytes, Bytes<'a>, value => Bytes { bytes: value, cut: false };
    Vec<u8>, Bytes, Bytes<'a>, value => Bytes { bytes: value, cut: false };
    Cow<'_, [u8]>, Bytes, Bytes<'a>, value => Bytes { bytes: value, cut: false };
    NonZero<u8>, Unsigned, u64, value => u64::from(value.get());
    NonZero<u16>, Unsigned, u64, value => u64::from(value.get());
    NonZero<u32>, Unsigned, u64, value => u64::from(value.get());
    NonZero<u64>, Unsigned, u64, value => value.get();
    NonZero<usize>, Unsigned, u64, value => value.get() as u64;
    NonZero<u128>, Unsigned128, u128, value => value.get();
    NonZero<i8>, Signed, i64, value => i64::from(value.get());
    NonZero<i16>, Signed, i64, value => i64::from(value.get());
    NonZero<i32>, Signed, i64, value => i64::from(value.get());
    NonZero<i64>, Signed, i64, value => value.get();
    NonZero<isize>, Signed, i64, value => value.get() as i64;
    NonZero<i128>, Signed128, i128, value => value.get();
}

impl<const BYTES: usize> Value for [u8; BYTES] {
    const TYPE: FieldType = FieldType::new(Type::Bytes);
    type Kept<'a> = Bytes<'a>;

    #[inline(always)]
    fn keep(&self, _scratch: &mut Scratch<'_>) -> Bytes<'_> {
        Bytes { bytes: self, cut: false }
    }
}

impl<const BYTES: usize> Present for [u8; BYTES] {}

/// A pointer is kept as the value that it points to.
macro_rules! pointers {
    ($($pointer:ty),*) => {
        $(
            impl<V: Value + ?Sized> Value for $pointer {
                const TYPE: FieldType = V::TYPE;
                const FORMATS: bool = V::FORMATS;
                type Kept<'a> = V::Kept<'a> where Self: 'a;

                #[inline(always)]
                fn keep(&self, scratch: &mut Scratch<'_>) -> V::Kept<'_> {
                    (**self).keep(scratch)
                }
            }

            impl<V: Present + ?Sized> Present for $pointer {}
        )*
    };
}

pointers!(&V, &mut V, Box<V>, Rc<V>, Arc<V>);

impl<V: Present> Value for Option<V> {
    const TYPE: FieldType = V::TYPE.optional();
    const FORMATS: bool = V::FORMATS;
    type Kept<'a>
        = Option<V::Kept<'a>>
    where
        Self: 'a;

    #[inline(always)]
    fn keep(&self, scratch: &mut Scratch<'_>) -> Option<V::Kept<'_>> {
        self.as_ref().map(|value| value.keep(scratch))
    }
}

/// The `Display` of a value: `%value` in a macro.
#[derive(Clone, Copy, Debug)]
pub struct Display<'v, V: ?Sized>(pub &'v V);

/// The `Debug` of a value: `?value` in a macro.
#[derive(Clone, Copy, Debug)]
pub struct Debug<'v, V: ?Sized>(pub &'v V);

/// Types whose kept value is the text that a formatter writes.
macro_rules! texts {
    ($([$($generics:tt)*] $type:ty, $field:ident, $value:ident => $arguments:expr;)*) => {
        $(
            impl<$($generics)*> Value for $type {
                const TYPE: FieldType = FieldType::new(Type::$field);
                const FORMATS: bool = true;
                type Kept<'a> = Formatted where Self: 'a;

                fn keep(&self, scratch: &mut Scratch<'_>) -> Formatted {
                    let $value = self;
                    scratch.format($arguments)
                }
            }
        )*
    };
}

texts! {
    [V: std::fmt::Display + ?Sized] Display<'_, V>, Display, value => format_args!("{}", value.0);
    [V: std::fmt::Debug + ?Sized] Debug<'_, V>, Debug, value => format_args!("{:?}", value.0);
    [] std::fmt::Arguments<'_>, Display, value => *value;
}
