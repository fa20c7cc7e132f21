//! What the macros expand to names these items, in the user's crate. There is no promise: any release may change or
//! remove them.

pub use core::primitive::str;

pub use crate::callsite::{Callsite, name};
pub use crate::event::{Target, admits, append, of_level, pass_limit, refuse};
pub use crate::fields::{Debug, Display, assert_few};
pub use crate::limit::Limit;
pub use crate::template::assert_valid;
