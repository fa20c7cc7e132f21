//! What a reader shows of a structured record: its template and its values as text.
//!
//! `number` and `value` write one value as `std::fmt` would, without its machinery where a value is common. `text` goes
//! through a record. Nothing here knows files: it takes a parsed template and the values, and appends to a buffer.

mod number;
mod value;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use text::record;
