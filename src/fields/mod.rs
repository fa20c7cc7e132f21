//! The fields of a structured record: from the values of a macro to the bytes in a ring.
//!
//! A record is made in two phases. First every value is *kept*: a number is copied, a text is borrowed, and what `%` or
//! `?` names is formatted into a scratch buffer. User code runs in this phase alone, so it may log, panic, or take its
//! time: no append has begun. Then the append asks the kept values for their bytes, and they write themselves into the
//! ring, each by a store of its own size.
//!
//! `value` says which types can be fields, `kept` how they are encoded (plain values, see `format/value.rs`), `scratch`
//! formats, `list` puts the fields of a record together, and `record` makes a ring's payload of them. `event` calls all
//! this for the macros. `inline` has the values of a bridge, which bring their names with them.

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
pub(crate) use list::Fields;
pub use list::assert_few;
pub(crate) use record::Structured;
pub(crate) use scratch::{Scratch, ScratchCell, with_scratch};
pub use value::{Debug, Display, FieldValue};
