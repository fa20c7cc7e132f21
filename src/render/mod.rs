//! What a reader shows of a structured record: its template and its values as text.
//!
//! `number` and `value` write one value as `std::fmt` would, without its machinery where a value is common, `json` as
//! JSON, and `word` as a field after the text. `plan` takes a callsite's template apart, once, and `text` goes through
//! a record. Nothing here knows files: it takes a template and the values, and appends to a buffer.

mod number;
mod value;
mod json;
mod word;
mod plan;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use plan::Plan;
pub(crate) use text::{cut_mark, members, record};
