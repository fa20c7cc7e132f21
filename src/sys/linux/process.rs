//! Processes of this machine. Called by `reader`; the user that this one runs as, by `config`.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Whether no process that this one can see has this id. An id that no process can have proves nothing.
pub(crate) fn is_gone(id: u32) -> bool {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| test_kill_process(id) == Err(Errno::SRCH))
}

/// The number of the user whose rights this process has.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_one_that_has_ended_is_gone() {
        assert!(!is_gone(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(is_gone(child.id()));
        assert_eq!([is_gone(0), is_gone(u32::MAX)], [false; 2]);
    }
}
