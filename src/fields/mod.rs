//! The fields of a structured record: from the values of a macro to the bytes in a ring.
//!
//! A record is made in two phases. First every value is *kept*: a number is copied, a text is borrowed, and a value
//! with `%` or `?` is formatted into a scratch buffer. User code runs only in this phase, before the append begins, so
//! it may log, panic, or take long. Then the append asks the kept values how many bytes they need, and they write
//! themselves into the ring, each by a store of its own size.
//!
//! `value` defines which types can be fields, `kept` how they are encoded (as plain values, see `format/value.rs`).
//! `scratch` formats, `list` combines the fields of a record, and `record` makes them the payload of a ring. `event`
//! uses all this for the macros. `inline` has the values of a bridge, which carry their names.

mod kept;
mod scratch;
mod value;
mod list;
mod record;
#[cfg(any(feature = "log", feature = "tracing"))]
mod inline;

#[cfg(feature = "tracing")]
pub(crate) use inline::merge_fields;
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) use inline::{Inline, InlineFields};
pub(crate) use kept::Kept;
pub(crate) use list::FieldList;
pub use list::assert_few;
pub(crate) use record::Structured;
pub(crate) use scratch::{Scratch, ScratchCell, with_scratch};
pub use value::{Debug, Display, FieldValue};
