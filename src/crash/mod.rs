//! Rings that outlive their process: the file that they share with whoever recovers them.

pub(crate) mod layout;
