//! `diolog tail`: prints the last records, and with `-f` new ones as they are written.

use std::collections::VecDeque;
use std::time::Duration;

use diolog::{ReadOptions, Verdict};

use super::MISSING_WAIT;
use crate::args::Tail;
use crate::exit::{Failure, Status};
use crate::input::signals::{self, Asked};
use crate::text::damage::{Losses, ReadErrors, print_findings};
use crate::text::line::Form;
use crate::text::output::{Output, stdout_has_colours, stdout_is_terminal};
use crate::text::print::Printer;

/// The time between two looks for new records. Blocks are at most 100 ms apart by default.
const POLL: Duration = Duration::from_millis(50);

/// Prints the last records, and with `follow` new ones until Ctrl-C.
pub(crate) fn run(arguments: &Tail) -> Result<Status, Failure> {
    let options = ReadOptions::new().durable(arguments.durable).last(arguments.lines as u64);
    let mut reader = options.open(&arguments.path)?;
    let asked = if arguments.follow { listen()? } else { Asked::default() };
    let mut printer = Printer::new(Form::text(stdout_is_terminal(), stdout_has_colours()));
    let mut output = Output::new();
    let mut errors = ReadErrors::default();
    let mut last = Last::new(arguments.lines);
    loop {
        match reader.next_record() {
            Ok(Some(record)) => printer.print(&record, last.next_line()),
            Ok(None) => match reader.pass_over_missing(MISSING_WAIT) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => errors.report(error)?,
            },
            Err(error) => errors.report(error)?,
        }
        if asked.get().is_some() {
            return Ok(Status::CLEAN);
        }
    }
    for line in last.lines() {
        output.line().extend_from_slice(line);
        output.end_line()?;
    }
    output.flush()?;
    if !arguments.follow {
        return Ok(print_findings(&arguments.path, reader.report(), arguments.allow_drops).max(errors.status()));
    }
    let mut losses = Losses::default();
    losses.print_new(reader.report());
    while asked.get().is_none() {
        match reader.next_record() {
            Ok(Some(record)) => {
                printer.print(&record, output.line());
                output.end_line()?;
            }
            Ok(None) => {
                output.flush()?;
                losses.print_new(reader.report());
                if output.wait_until_closed(POLL) {
                    return Ok(Status::CLEAN);
                }
                // One look without a wait, which has just ended.
                if let Err(error) = reader.follow(Duration::ZERO) {
                    errors.report(error)?;
                }
            }
            Err(error) => errors.report(error)?,
        }
    }
    output.flush()?;
    // Not `print_findings`: while following, an open end only means "not finished yet".
    let status = match reader.report().verdict() {
        Verdict::Unconfirmed if reader.report().dropped() > 0 => Status::of(Verdict::Dropped, arguments.allow_drops),
        Verdict::Unconfirmed => Status::CLEAN,
        verdict => Status::of(verdict, arguments.allow_drops),
    };
    Ok(status.max(errors.status()))
}

fn listen() -> Result<Asked, Failure> {
    signals::listen(|_| {}, || None)
        .map_err(|error| Failure { message: format!("cannot listen for signals: {error}"), status: Status::Unusable })
}

/// The last lines. The memory of older lines is used again.
struct Last {
    lines: VecDeque<Vec<u8>>,
    wanted: usize,
    /// The line buffer if no lines are wanted.
    spare: Vec<u8>,
}

impl Last {
    fn new(wanted: usize) -> Last {
        Last { lines: VecDeque::new(), wanted, spare: Vec::new() }
    }

    /// The buffer for the next line, empty; drops the oldest line if there are enough.
    fn next_line(&mut self) -> &mut Vec<u8> {
        let mut line = match self.lines.len() < self.wanted {
            true => Vec::new(),
            false => self.lines.pop_front().unwrap_or_else(|| std::mem::take(&mut self.spare)),
        };
        line.clear();
        if self.wanted == 0 {
            self.spare = line;
            return &mut self.spare;
        }
        self.lines.push_back(line);
        self.lines.back_mut().unwrap_or(&mut self.spare)
    }

    /// The lines, the oldest first.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_order() {
        for wanted in [0, 1, 3, 10, 100] {
            let mut last = Last::new(wanted);
            for number in 0..20_u8 {
                last.next_line().push(number);
            }
            let kept: Vec<_> = last.lines().map(|line| line[0]).collect();
            assert_eq!(kept, (0..20).skip(20_usize.saturating_sub(wanted)).collect::<Vec<u8>>(), "{wanted}");
        }
    }
}
