//! `diolog recover`: brings what processes that died have left in shared memory into their log.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diolog::{Reader, Recovery, RecoveryOutcome};
use serde_json::json;

use super::report;
use crate::args::Recover;
use crate::exit::{Failure, Status};
use crate::text::escape;
use crate::text::progress::Progress;
use crate::text::units::{counted, grouped};

/// What a recovery did with the runs of one log.
struct Recovered {
    runs: Vec<Recovery>,
    elapsed: Duration,
}

/// Recovers the logs and prints what was done. The exit status says whether anything is missing.
pub(crate) fn run(arguments: &Recover) -> Result<Status, Failure> {
    let (reports, status) = report::of_each(&arguments.paths, |path| {
        let recovered = recover(path, arguments)?;
        let verdict = recovered.runs.iter().map(Recovery::verdict).max();
        Ok((recovered, verdict.map_or(Status::CLEAN, Status::from)))
    });
    let text = |out: &mut Vec<u8>| reports.iter().for_each(|(path, recovered)| text(path, recovered, out));
    let json = |out: &mut Vec<u8>| reports.iter().for_each(|(path, recovered)| json_text(path, recovered, out));
    report::print(arguments.format, false, text, json)?;
    Ok(status)
}

fn recover(log: &Path, arguments: &Recover) -> Result<Recovered, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::new("recovering", 0);
    let watch = |done, all| progress.show(|| format!("recovering: {} of {}", grouped(done), counted(all, "ring")));
    let rings = arguments.rings.as_deref();
    let runs = if arguments.forget { diolog::forget(log, rings) } else { diolog::recover_watched(log, rings, watch) };
    let runs = runs.map_err(refused)?;
    if runs.is_empty() {
        // A wrong path has nothing to recover either.
        drop(Reader::open(log)?);
    }
    Ok(Recovered { runs, elapsed: begun.elapsed() })
}

/// The failure to recover. A logger recovers what earlier runs left when it opens the log.
fn refused(error: diolog::Error) -> Failure {
    let diolog::Error::InUse { path, holder } = error else { return error.into() };
    let path = escape::path(&path);
    let message = format!(
        "{path} is in use by {holder}, which needs no recovery: if rings of an earlier run are left, recover them \
         after it has ended"
    );
    Failure { message, status: Status::Unusable }
}

fn text(path: &Path, recovered: &Recovered, out: &mut Vec<u8>) {
    let Recovered { runs, elapsed } = recovered;
    let path = escape::path(path);
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

fn json_text(path: &Path, recovered: &Recovered, out: &mut Vec<u8>) {
    let Recovered { runs, elapsed } = recovered;
    let object = json!({ "path": path.to_string_lossy(), "seconds": elapsed.as_secs_f64(), "runs": runs });
    escape::json_value(&object, out);
}
