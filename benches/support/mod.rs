//! The arguments that all benches of the package understand.

use std::path::PathBuf;

/// The arguments after `cargo bench --bench NAME --`.
pub(crate) struct Arguments {
    /// `--test`: only see that it works; the figures are worthless.
    pub(crate) smoke: bool,
    /// `--gate`: exit with 1 if a figure is out of its limit. Not for CI, where machines are busy.
    pub(crate) gate: bool,
    /// `--repetitions N`: the number of rounds, instead of the bench's own.
    pub(crate) repetitions: Option<u32>,
    /// The directory for files, on the disk to measure; by default in the build's.
    pub(crate) directory: PathBuf,
}

impl Arguments {
    /// Parses the arguments of this process; exits with 64 if they are invalid.
    pub(crate) fn parse() -> Arguments {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let mut arguments = Arguments { smoke: false, gate: false, repetitions: None, directory };
        let mut given = std::env::args_os().skip(1);
        while let Some(argument) = given.next() {
            match argument.to_str() {
                // Cargo's own.
                Some("--bench") => {}
                Some("--test") => arguments.smoke = true,
                Some("--gate") => arguments.gate = true,
                Some("--repetitions") => {
                    let number = given.next().and_then(|number| number.to_str()?.parse().ok());
                    arguments.repetitions = Some(number.unwrap_or_else(|| usage("--repetitions without a number")));
                }
                Some(option) if option.starts_with('-') => usage(option),
                _ => arguments.directory = argument.into(),
            }
        }
        arguments
    }
}

fn usage(option: &str) -> ! {
    report(&format!("invalid argument {option}; usage: [--test] [--gate] [--repetitions N] [DIR]"));
    std::process::exit(64)
}

/// Prints a report; an error of standard output is ignored.
pub(crate) fn report(text: &impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}
