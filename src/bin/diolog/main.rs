//! `diolog`: the command line, which writes, reads and verifies logs.

mod args;
mod cmd;
mod exit;
mod input;
mod ready;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
use cmd::{bench, cat, completions, info, man, recover, snapshots, tail, top, verify, write};
use exit::Status;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too. If they cannot be printed, the message could not be either.
            let _ = error.print();
            return if error.use_stderr() { Status::Usage } else { Status::CLEAN }.into();
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
