//! `diolog`: the command line, which writes, reads and verifies logs.

mod args;
mod cmd;
mod exit;
mod input;
mod ready;
mod text;

use std::io::Write as _;
use std::process::ExitCode;

use args::{Arguments, Command};
use cmd::{bench, cat, completions, info, man, recover, snapshots, tail, top, verify, write};
use exit::Status;

fn main() -> ExitCode {
    let arguments = match Arguments::parsed(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            return (if error.use_stderr() { invalid(&error) } else { show_help(&error) }).into();
        }
    };
    let done = match arguments.command {
        Command::Write(write) => write::run(&write),
        #[cfg(target_os = "linux")]
        Command::Run(run) => cmd::run::run(&run),
        Command::Cat(cat) => cat::run(&cat),
        Command::Tail(tail) => tail::run(&tail),
        Command::Info(info) => info::run(&info),
        Command::Snapshots(snapshots) => snapshots::run(&snapshots),
        Command::Top(top) => top::run(&top),
        Command::Verify(verify) => verify::run(&verify),
        Command::Recover(recover) => recover::run(&recover),
        Command::Bench(bench) => bench::run(&bench),
        Command::Completions(completions) => completions::run(&completions),
        Command::Man(man) => man::run(&man),
    };
    done.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            failure.message.lines().for_each(text::output::say);
        }
        failure.status
    })
    .into()
}

/// Says what is invalid in the command line.
fn invalid(error: &clap::Error) -> Status {
    // If it cannot be printed, the failure could not be either.
    let _ = error.print();
    Status::Usage
}

/// Prints what `--help` and `--version` ask for, which comes as an error.
fn show_help(help: &clap::Error) -> Status {
    let printed = help.print().and_then(|()| std::io::stdout().flush());
    match printed.map_err(text::output::cannot_write) {
        Err(failure) if !failure.message.is_empty() => {
            text::output::say(failure.message);
            failure.status
        }
        _ => Status::CLEAN,
    }
}
