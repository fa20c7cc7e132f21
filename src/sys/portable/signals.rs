//! What signals do to this process: not known here. Called by `ends`.

use std::io;

/// Whether `signal` has its default effect on this process.
///
/// # Errors
/// Always: there is no portable way to ask.
pub(crate) fn is_default(_signal: i32) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing.
///
/// # Errors
/// None here.
pub(crate) fn keep_default_in_children(_signal: i32) -> io::Result<()> {
    Ok(())
}
