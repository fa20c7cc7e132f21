//! Random identities of logs, runs and segments.

use std::path::Path;

use crate::error::{Error, Result};

/// The id of a new segment, never 0, which means "none".
pub(crate) fn random_id(path: &Path) -> Result<u64> {
    Ok(u64::from_le_bytes(random_bytes(path)?).max(1))
}

/// Random bytes, for the log at `path`.
pub(crate) fn random_bytes<const N: usize>(path: &Path) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|source| Error::io("draw a random identity for", path, std::io::Error::other(source.to_string())))?;
    Ok(bytes)
}
