//! Ring files that no log needs: a process has died while it made one, or right after its last log had ended; or the
//! machine has been restarted since, and no log's link leads to it.

use std::path::Path;

use super::bounds::Patience;
use super::ring_file::{DeadRingFile, NotOpened};
use crate::crash::layout::process_of_ring_file;
use crate::sys::directory::OpenDirectory;

/// Removes such files from `directory`, unless others may change that. A file that somebody has locked, or that is not
/// to be trusted, stays.
pub(crate) fn sweep(directory: &Path) {
    let names = OpenDirectory::open_owned(directory).ok().and_then(|opened| opened.names().ok());
    for name in names.unwrap_or_default() {
        if name.to_str().and_then(process_of_ring_file).is_none() {
            continue;
        }
        // If it cannot be removed, the next open tries again.
        let _ = match DeadRingFile::open(&directory.join(name), &mut Patience::none()) {
            Ok(file) => file.finish().map(drop),
            Err(NotOpened::Unfinished(file)) => file.remove(),
            Err(NotOpened::Missing | NotOpened::Refused(_)) => Ok(()),
        };
    }
}
