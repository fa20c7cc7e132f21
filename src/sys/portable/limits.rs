//! The limits that this process is under: not known here. Called by `registry` and `error`.

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

/// `None`: there is no portable way to ask.
pub(crate) fn refused_open_files(_error: &std::io::Error) -> Option<u64> {
    None
}
