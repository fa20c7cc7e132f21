//! How long does an append take the calling thread, compared with reading the clock?
//!
//! `cargo bench --features unstable --bench append_latency [-- [--test] [--gate] [--repetitions N] [DIR]]`

use std::process::ExitCode;

mod support;

use diolog::unstable::measure::Failure;
use diolog::unstable::measure::append::{Effort, run};
use diolog::unstable::measure::place::Scratch;

fn main() -> Result<ExitCode, Failure> {
    let arguments = support::Arguments::parse();
    let mut effort = if arguments.smoke { Effort::SMOKE } else { Effort::FULL };
    effort.repetitions = arguments.repetitions.unwrap_or(effort.repetitions).max(1);
    let report = run(effort, &Scratch::new(&arguments.directory)?)?;
    support::report(&format_args!("{report:#}"));
    Ok(ExitCode::from(u8::from(arguments.gate && !report.passes())))
}
