//! Gives a complete file its name, durably. Used for prepared segments and for those written offline.

use std::io;

use crate::error::{Error, Result};
use crate::sys::directory::OpenDirectory;

/// Renames the file `temporary` to `name`, and syncs the directory.
///
/// The caller holds the log's lock, so nobody else can make a file of that name at the same time.
///
/// # Errors
/// [`Error::Io`], with `AlreadyExists` if the name is taken, because a rename would replace that file. After an error,
/// `name` was not added; `temporary` may still be there.
pub(super) fn publish(temporary: &str, directory: &OpenDirectory, name: &str) -> Result<()> {
    let failed = |operation, source| Error::io(operation, &directory.path_of(name), source);
    if directory.entry(name).is_ok() {
        return Err(failed("create", io::ErrorKind::AlreadyExists.into()));
    }
    directory.rename(temporary, name).map_err(|source| failed("name", source))?;
    if let Err(source) = directory.sync() {
        // A power cut could remove the name of a file with durable blocks.
        let _ = directory.remove(name);
        return Err(Error::io("sync the directory", directory.path(), source));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::format::segment_file_name;
    use crate::sys::test_directory::directory;

    #[test]
    fn a_name_that_is_taken_is_refused_whatever_has_it() {
        let directory = directory();
        let opened = OpenDirectory::open(directory.path()).expect("a directory");
        let temporary = directory.path().join("temporary");
        fs::write(&temporary, "new").expect("written");
        fs::write(directory.path().join(segment_file_name(1)), "old").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", directory.path().join(segment_file_name(2))).expect("linked");
        for number in 1..=if cfg!(unix) { 2 } else { 1 } {
            let error = publish("temporary", &opened, &segment_file_name(number)).expect_err("taken");
            assert_eq!(error.io_error().map(io::Error::kind), Some(io::ErrorKind::AlreadyExists), "{error}");
        }
        assert_eq!(fs::read(directory.path().join(segment_file_name(1))).expect("readable"), b"old");
        let name = segment_file_name(3);
        publish("temporary", &opened, &name).expect("free");
        assert_eq!(fs::read(directory.path().join(name)).expect("readable"), b"new");
        assert!(!temporary.exists());
    }
}
