//! Processes of this machine. Called by `reader`; the user that this one runs as, by `config`.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Whether a process with this id exists, as far as this one sees processes. `None` if that cannot be told.
pub(crate) fn exists(id: u32) -> Option<bool> {
    let id = Pid::from_raw(i32::try_from(id).ok()?)?;
    match test_kill_process(id) {
        Ok(()) | Err(Errno::PERM) => Some(true),
        Err(Errno::SRCH) => Some(false),
        Err(_) => None,
    }
}

/// The number of the user whose rights this process has.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_exists_and_one_that_has_ended_does_not() {
        assert_eq!(exists(std::process::id()), Some(true));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(exists(child.id()), Some(false));
        assert_eq!([exists(0), exists(u32::MAX)], [None, None]);
    }
}
