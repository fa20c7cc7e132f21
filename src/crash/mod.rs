//! Rings that outlive their process: the file that they share with whoever recovers them.

pub(crate) mod layout;
#[cfg_attr(not(test), expect(dead_code, reason = "for logs with shared rings, and for their recovery"))]
pub(crate) mod link;
