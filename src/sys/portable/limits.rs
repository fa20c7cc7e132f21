//! The limits that this process's memory is under: not known here. Called by `registry`.

/// `None`: there is no portable way to ask.
pub(crate) fn group_memory_bytes() -> Option<u64> {
    None
}

/// `None`: there is no portable way to ask.
pub(crate) fn address_space_bytes() -> Option<u64> {
    None
}

/// `false`: there is no portable way to ask.
pub(crate) fn counts_address_space() -> bool {
    false
}
