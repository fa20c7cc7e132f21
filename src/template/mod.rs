//! Templates: a record's text with named placeholders, such as `order {id} filled at {price:.2}`.
//!
//! The grammar is that of `std::fmt` for named arguments, without a width or a precision taken from an argument (`$`
//! and `*`). `{{` and `}}` are braces.
//!
//! In the order of use: `scan` takes one piece at a time off a template, at compile time and when a log is read alike.
//! `check` is for the macros: a faulty template does not compile. `parsed` is for readers: a file's template may hold
//! anything, so what is faulty there is text.

mod spec;
mod scan;
mod check;
mod parsed;

pub use check::assert_valid;
pub(crate) use parsed::Template;
pub(crate) use spec::{Align, Spec, Style};
