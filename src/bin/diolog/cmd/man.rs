//! `diolog man`: writes the manual pages, one for each command.

use std::fs;

use clap::CommandFactory as _;

use crate::args::{Arguments, Man};
use crate::exit::{Failure, Status};
use crate::text::escape;

/// Writes the pages into the directory.
pub(crate) fn run(arguments: &Man) -> Result<Status, Failure> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Arguments::command(), directory)).map_err(
        |error| Failure {
            message: format!("cannot write the manual pages to {}: {error}", escape::path(directory)),
            status: Status::Unusable,
        },
    )?;
    Ok(Status::CLEAN)
}
