//! `diolog bench`: the measurements of the package's benches, shorter, on the caller's machine and disk.

mod disk;
mod load;
mod scratch;

use std::fmt::Display;
use std::time::Duration;

use diolog::unstable::measure::place::Scratch;
use diolog::unstable::measure::{self, append, sustained};

use crate::args::{Bench, Measure};
use crate::exit::{Failure, Status};
use crate::text::output::{Output, say};
use scratch::in_scratch;

/// Each percentile is the median of this many repetitions.
const REPETITIONS: u32 = 3;

/// Measures, and prints the report.
pub(crate) fn run(bench: &Bench) -> Result<Status, Failure> {
    match bench {
        Bench::Append(arguments) => measured(arguments, |scratch| append::run(append_effort(arguments.time), scratch)),
        Bench::Sustained(arguments) => {
            measured(arguments, |scratch| sustained::run(sustained_effort(arguments.time), scratch))
        }
        Bench::Disk(arguments) => disk::run(arguments),
        Bench::Load(arguments) => load::run(arguments),
    }
}

/// The effort for about `time`: bursts are a millisecond apart, and the rows take turns.
fn append_effort(time: Duration) -> append::Effort {
    let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let bursts = (milliseconds / append::ROWS / REPETITIONS).max(100);
    append::Effort { bursts, warm_up_bursts: bursts.min(append::Effort::FULL.warm_up_bursts), repetitions: REPETITIONS }
}

/// The effort for about `limit`, in rounds of a second or less on most disks.
fn sustained_effort(limit: Duration) -> sustained::Effort {
    sustained::Effort { records: sustained::Effort::FULL.records / 4, rounds: u32::MAX, limit }
}

fn measured<R: Display>(
    arguments: &Measure,
    measure: impl FnOnce(&Scratch) -> Result<R, measure::Failure>,
) -> Result<Status, Failure> {
    let report = in_scratch(&arguments.directory, Failure::from, |scratch| {
        let time = humantime::format_duration(arguments.time);
        say(format_args!("measuring in {}, about {time}", arguments.directory.display()));
        measure(scratch)
    })?;
    let mut output = Output::new();
    output.line().extend_from_slice(format!("{report}\n").as_bytes());
    output.flush()?;
    Ok(Status::CLEAN)
}
