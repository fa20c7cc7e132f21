//! `diolog completions`: prints what a shell needs to complete the command line.

use clap::CommandFactory as _;

use crate::args::{Arguments, Completions};
use crate::exit::{Failure, Status};
use crate::text::output::Output;

/// Prints the script for the shell.
pub(crate) fn run(arguments: &Completions) -> Result<Status, Failure> {
    let mut output = Output::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "diolog", output.line());
    output.finish()?;
    Ok(Status::CLEAN)
}
