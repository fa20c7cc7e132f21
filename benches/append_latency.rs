//! What does an append cost the calling thread, beside reading the clock?
//!
//! `cargo bench --bench append_latency [-- [--test] [--gate] [--repetitions N] [DIR]]`

use std::process::ExitCode;

#[allow(dead_code, reason = "each bench uses a part")]
#[path = "../src/bin/diolog/measure/mod.rs"]
mod measure;
mod support;

use measure::append::{Effort, run};
use measure::{Failure, Scratch};

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let mut effort = if arguments.smoke { Effort::SMOKE } else { Effort::FULL };
    effort.repetitions = arguments.repetitions.unwrap_or(effort.repetitions).max(1);
    let report = run(effort, &Scratch::new(&arguments.directory)?)?;
    support::report(&report);
    Ok(ExitCode::from(u8::from(arguments.gate && !report.passes())))
}
