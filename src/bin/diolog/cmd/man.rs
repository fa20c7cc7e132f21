//! `diolog man`: writes the manual pages, one for each command.

use std::fs;

use clap::{Command, CommandFactory as _};

use crate::args::{Arguments, Man};
use crate::exit::{Failure, Status};
use crate::text::escape;

/// Writes the pages into the directory.
pub(crate) fn run(arguments: &Man) -> Result<Status, Failure> {
    let directory = &arguments.directory;
    // Built, so that each command knows its full name.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let command = with_usage(command);
    fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory)).map_err(|error| {
        Failure {
            message: format!("cannot write the manual pages to {}: {error}", escape::path(directory)),
            status: Status::Unusable,
        }
    })?;
    Ok(Status::CLEAN)
}

/// The command and those below it, with the line of `--help` as the synopsis: the pages' own one would lack the "..."
/// of what may be repeated.
fn with_usage(mut command: Command) -> Command {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    command.override_usage(usage).mut_subcommands(with_usage)
}
