//! diolog beside what a Rust program would log with instead, by one protocol in one run.
//!
//! `cargo run --release -- --help` says how to run it. Each measurement runs in a child process: this program again.
//! The tables and plots go to `results/`.

mod child;
mod effort;
mod message;
mod parent;
mod plot;
mod report;
mod rival;
mod rivals;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use effort::Effort;
use parent::Runner;
use rival::{Failure, Name};

const USAGE: &str = "usage: cargo run --release -- [--quick] [--only NAME,…] [--results DIR] [DIR]

Measures diolog and its rivals on the disk of DIR (default: target), and writes tables, plots and all figures to the
directory of the results (default: results). It takes some five minutes; with --quick less than one, for figures that
only show that everything works. Leave the machine alone meanwhile.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [child, name, task, place] if child == "child" => run_child(name, task, Path::new(place)),
        _ => match Options::parse(&arguments) {
            Ok(options) => compare(&options, &arguments),
            Err(error) => {
                eprintln!("{error}\n{USAGE}");
                return ExitCode::from(64);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("comparison: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_child(name: &str, task: &str, place: &Path) -> Result<(), Failure> {
    let name = Name::parse(name).ok_or("no such logger")?;
    child::run(name, serde_json::from_str(task)?, place)
}

struct Options {
    effort: Effort,
    names: Vec<Name>,
    results: PathBuf,
    disk: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options, String> {
        let mut options = Options {
            effort: Effort::FULL,
            names: Name::ALL.to_vec(),
            results: "results".into(),
            disk: "target".into(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => options.effort = Effort::QUICK,
                "--results" => options.results = value()?.into(),
                "--only" => {
                    let parse = |word| Name::parse(word).ok_or_else(|| format!("\"{word}\" is not one of {}", words()));
                    options.names = value()?.split(',').map(parse).collect::<Result<_, _>>()?;
                }
                "--help" => return Err(String::new()),
                option if option.starts_with('-') => return Err(format!("\"{option}\" is no option")),
                disk => options.disk = disk.into(),
            }
        }
        Ok(options)
    }
}

fn words() -> String {
    Name::ALL.map(Name::word).join(", ")
}

fn compare(options: &Options, arguments: &[String]) -> Result<(), Failure> {
    let scratch = options.disk.join(format!("comparison-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    fs::create_dir_all(&options.results)?;
    let begin = Instant::now();
    let all = Runner::new(options.effort, fs::canonicalize(&scratch)?)?.run(&options.names);
    let seconds = begin.elapsed().as_secs_f64();
    fs::remove_dir_all(&scratch)?;
    let command = ["cargo run --release --"].into_iter().chain(arguments.iter().map(String::as_str));
    let command = command.collect::<Vec<_>>().join(" ");
    let command = command.strip_suffix(" --").unwrap_or(&command);
    report::write(&options.results, command, options.effort, seconds, &all)?;
    plot::write(&options.results, &all).map_err(|error| error.to_string())?;
    println!("{}", fs::read_to_string(options.results.join("README.md"))?);
    Ok(())
}
