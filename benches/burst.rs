//! Is a burst taken whole with the default settings, what do its appends cost, and what do those after it?
//!
//! `cargo bench --features unstable --bench burst [-- [--test] [--repetitions N] [DIR]]`

mod support;

use diolog::unstable::measure::Failure;
use diolog::unstable::measure::burst::{Effort, run};
use diolog::unstable::measure::place::Scratch;

fn main() -> Result<(), Failure> {
    let arguments = support::Arguments::parse();
    let mut effort = if arguments.smoke { Effort::SMOKE } else { Effort::FULL };
    effort.rounds = arguments.repetitions.unwrap_or(effort.rounds);
    support::report(&run(effort, &Scratch::new(&arguments.directory)?)?);
    Ok(())
}
