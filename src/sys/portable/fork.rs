//! What a forked child finds of its parent's files: without Linux, all of them.

use std::fs::File;
use std::ops::Deref;

/// A file that forked children may keep open.
#[derive(Debug)]
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
pub struct UnsharedFile(File);

impl From<File> for UnsharedFile {
    fn from(file: File) -> UnsharedFile {
        UnsharedFile(file)
    }
}

impl Deref for UnsharedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}
