//! Names for files that exist only until their creator has opened them: made and recognised here alone.

use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

const PREFIX: &str = ".probe-";
const SUFFIX: &str = ".tmp";

/// A name that no other process uses at this moment: `.probe-<process>-<nanoseconds>.tmp`.
pub(crate) fn temporary_name() -> String {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{PREFIX}{}-{nanoseconds}{SUFFIX}", process::id())
}

/// Whether [`temporary_name`] may have made `name`, in this process or another.
pub(crate) fn is_temporary_name(name: &str) -> bool {
    let numbers = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    numbers.and_then(|numbers| numbers.split_once('-')).is_some_and(|(process, time)| {
        [process, time].iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_here_are_recognised() {
        assert!(is_temporary_name(&temporary_name()));
        for name in [".probe-1-2.tmp", ".probe-4711-1700000000000000000.tmp"] {
            assert!(is_temporary_name(name), "{name}");
        }
        for other in [
            "lock",
            "a.tmp",
            ".probe.tmp",
            ".probe-.tmp",
            ".probe--.tmp",
            ".probe-1.tmp",
            ".probe-a-1.tmp",
            "probe-1-2.tmp",
        ] {
            assert!(!is_temporary_name(other), "{other}");
        }
    }
}
