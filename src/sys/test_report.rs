//! How a unit test says that this machine cannot show what it tests. (Integration tests have theirs in `tests/support`.)

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints that a test could not show something on this machine, and why: no test passes in silence.
pub(crate) fn not_shown(claim: &str, reason: impl Display) {
    // Not `eprintln!`: the test harness discards its output if the test passes.
    writeln!(io::stderr(), "NOT SHOWN HERE: {claim}: {reason}").expect("standard error is open");
}
