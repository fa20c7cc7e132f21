//! How a unit test reports that it cannot show its claim on this machine. (Integration tests have theirs in
//! `tests/support`.)

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints that a test cannot show `claim` on this machine, and why: no test passes in silence.
pub(crate) fn not_shown(claim: &str, reason: impl Display) {
    // Not `eprintln!`: the test harness discards its output if the test passes.
    writeln!(io::stderr(), "NOT SHOWN HERE: {claim}: {reason}").expect("standard error is open");
}
