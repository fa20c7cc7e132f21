//! The arguments that all benches of the package understand.

use std::path::PathBuf;

/// What `cargo bench --bench NAME -- …` was given.
pub(crate) struct Arguments {
    /// `--test`: see that it works, and measure nothing worth quoting.
    pub(crate) smoke: bool,
    /// `--gate`: exit with 1 where a floor is missed. Not for CI: other machines are busy in other ways.
    pub(crate) gate: bool,
    /// `--repetitions N`: rounds to take the median of, other than the bench's own.
    pub(crate) repetitions: Option<u32>,
    /// Where the files go: a directory on the disk to be measured, by default the build's own.
    pub(crate) directory: PathBuf,
}

impl Arguments {
    /// Those of this process; ends it where they are not understood.
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
    report(&format!("{option} is not understood; there are: [--test] [--gate] [--repetitions N] [DIR]"));
    std::process::exit(64)
}

/// Prints a report, whoever reads it.
pub(crate) fn report(text: &impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}
