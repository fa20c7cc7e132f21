//! How many records a second become durable, beside a bare ring into the same disk, and at what CPU time?
//!
//! `cargo bench --features unstable --bench sustained [-- [--test] [--gate] [--repetitions N] [DIR]]`

use std::process::ExitCode;

mod support;

use diolog::unstable::measure::Failure;
use diolog::unstable::measure::place::Scratch;
use diolog::unstable::measure::sustained::{Effort, run};

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let mut effort = if arguments.smoke { Effort::SMOKE } else { Effort::FULL };
    effort.rounds = arguments.repetitions.unwrap_or(effort.rounds);
    let report = run(effort, &Scratch::new(&arguments.directory)?)?;
    support::report(&report);
    Ok(ExitCode::from(u8::from(arguments.gate && !report.passes())))
}
