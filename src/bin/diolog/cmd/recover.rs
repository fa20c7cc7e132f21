//! `diolog recover`: brings what processes that died have left in shared memory into their log.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diolog::{Reader, Recovery, RecoveryOutcome};
use serde_json::json;

use super::report;
use crate::args::Recover;
use crate::exit::{Failure, Status};
use crate::text::escape;
use crate::text::progress::Progress;
use crate::text::units::{counted, grouped};

/// Recovers the log and prints what was done. The exit status says whether anything is missing.
pub(crate) fn run(arguments: &Recover) -> Result<Status, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::new("recovering", 0);
    let watch = |done, all| progress.show(|| format!("recovering: {} of {}", grouped(done), counted(all, "ring")));
    let (log, rings) = (&arguments.directory, arguments.rings.as_deref());
    let runs = if arguments.forget { diolog::forget(log, rings) } else { diolog::recover_watched(log, rings, watch) };
    let runs = runs.map_err(refused)?;
    if runs.is_empty() {
        // A wrong path has nothing to recover either.
        drop(Reader::open(log)?);
    }
    let elapsed = begun.elapsed();
    drop(progress);
    let text = |out: &mut Vec<u8>| text(arguments, &runs, elapsed, out);
    report::print(arguments.format, false, text, |out| json_text(arguments, &runs, elapsed, out))?;
    let verdict = runs.iter().map(Recovery::verdict).max();
    Ok(verdict.map_or(Status::CLEAN, Status::from))
}

/// The failure to recover. The rings of a log in use are those of a process that still writes what they hold, unless
/// that process recovers the log.
fn refused(error: diolog::Error) -> Failure {
    let diolog::Error::InUse { path, holder } = error else { return error.into() };
    let path = escape::path(&path);
    let message =
        format!("{path} is in use by {holder}, which writes what its rings hold itself: recover after it has ended");
    Failure { message, status: Status::Unusable }
}

fn text(arguments: &Recover, runs: &[Recovery], elapsed: Duration, out: &mut Vec<u8>) {
    let path = escape::path(&arguments.directory);
    // Writing to memory does not fail.
    if runs.is_empty() {
        let _ = writeln!(out, "{path}: nothing to recover");
        return;
    }
    let records: u64 = runs.iter().map(|run| run.records).sum();
    let (records, of) = (counted(records, "record"), counted(runs.len() as u64, "run"));
    let _ = writeln!(out, "{path}: {records} recovered of {of}, in {:.3} s", elapsed.as_secs_f64());
    for run in runs {
        let _ = writeln!(out, "  {}", escape::name(&run.to_string()));
    }
    if runs.iter().any(is_missing) {
        let _ = writeln!(
            out,
            "  if the rings are elsewhere: run `diolog recover --rings`; if they will never be there again: run `diolog \
             recover --forget`"
        );
    }
    if runs.iter().any(is_unnamed) {
        let _ = writeln!(out, "  nothing names the rings any more: to give them up, run `diolog recover --forget`");
    }
}

/// Whether a run was left because its rings, or the directory for them, cannot be found.
fn is_missing(run: &Recovery) -> bool {
    let is_gone = |rings: &PathBuf| {
        let error = rings.symlink_metadata().err();
        error.is_some_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    run.outcome == RecoveryOutcome::Left && run.rings.as_ref().is_some_and(is_gone)
}

/// Whether a run was left because the log does not say where its rings are. No directory that is named leads to them.
fn is_unnamed(run: &Recovery) -> bool {
    run.outcome == RecoveryOutcome::Left && run.rings.is_none()
}

fn json_text(arguments: &Recover, runs: &[Recovery], elapsed: Duration, out: &mut Vec<u8>) {
    let path = arguments.directory.to_string_lossy();
    escape::json_value(&json!({ "path": path, "seconds": elapsed.as_secs_f64(), "runs": runs }), out);
}
