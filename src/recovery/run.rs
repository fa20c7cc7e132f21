//! The recovery of one run after the other: the steps, their order, and the report.
//!
//! The order makes it safe to be killed:
//!
//! 1. The segment is durable and gets its name.
//! 2. The log's entry in the ring file says that it was recovered.
//! 3. The link is removed.
//! 4. The ring file is removed, if no other log needs it.
//!
//! The next recovery finds the run's end, or nothing that is missing, and goes on from there. A ring file that is
//! missing may be elsewhere, so its link stays until the machine is restarted, or until somebody gives the rings up. A
//! ring file without a link is removed by the next open in its directory.

use std::path::{Path, PathBuf};

use super::account::RunAccount;
use super::bounds::Patience;
use super::missing::{DeadRun, write_missing};
use super::report::{OrStop, Recovery, RecoveryOutcome, Stop};
use super::ring_file::{DeadRingFile, NotOpened, RingsState};
use crate::crash::layout::process_of_ring_file;
use crate::crash::link::Link;
use crate::error::{Error, Result};
use crate::format::StoredRunId;
use crate::reader::RunTail;
use crate::segment::Directory;
use crate::sys::cpu;
use crate::sys::directory::OpenDirectory;

const RESTARTED: &str = "the machine has been restarted since";

/// Recovers all runs of a log that have left rings. The caller has opened the log's `directory` for writing, and writes
/// nothing yet. `watch` is called with the number of rings of a run that were read, and of all of its rings.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be listed.
pub(crate) fn recover_runs(
    directory: &mut Directory,
    rings: Option<&Path>,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Recovery>> {
    recover_patiently(directory, rings, &mut Patience::of_recovery(), watch)
}

/// The same, with a `patience` that all runs share.
pub(super) fn recover_patiently(
    directory: &mut Directory,
    rings: Option<&Path>,
    patience: &mut Patience,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Recovery>> {
    let runs = Link::list(&directory.opened())?;
    Ok(runs.into_iter().map(|run| recover_run(directory, run, rings, patience, watch)).collect())
}

fn recover_run(
    directory: &mut Directory,
    run: StoredRunId,
    rings: Option<&Path>,
    patience: &mut Patience,
    watch: &mut dyn FnMut(u64, u64),
) -> Recovery {
    let opened = directory.opened();
    let link = match Link::read(&opened, run) {
        Ok(Some(link)) => link,
        Ok(None) => return left(run, "the file that should name its rings is damaged".into()),
        Err(error) => return left(run, format!("cannot read the file that names its rings: {error}")),
    };
    let path = match (rings, link.path.file_name()) {
        (Some(rings), Some(name)) => rings.join(name),
        _ => link.path.clone(),
    };
    let mut recovery = Recovery::new(run.into(), Some(path.clone()));
    let file = match try_to_recover(directory, &link, &path, patience, watch, &mut recovery) {
        Ok(file) => file,
        Err(Stop::Left(reason)) => {
            // What has been written by now stays in the report: the next recovery finds it done.
            let reason = recovery.reason.take().map_or_else(|| reason.clone(), |found| format!("{found}; {reason}"));
            (recovery.outcome, recovery.reason) = (RecoveryOutcome::Left, Some(reason));
            return recovery;
        }
        Err(Stop::Gone) => {
            (recovery.outcome, recovery.reason) = (RecoveryOutcome::Gone, Some(RESTARTED.into()));
            None
        }
    };
    if let Err(reason) = clear_away(&opened, run, file, &mut recovery.rings) {
        recovery.reason.get_or_insert(reason.to_string());
    }
    recovery
}

/// Removes the link of a run that is recovered, and its ring file if no other log needs that. While the link is there,
/// so is the file: the next open finds that there is nothing to do.
fn clear_away(
    directory: &OpenDirectory,
    run: StoredRunId,
    file: Option<DeadRingFile>,
    rings: &mut Option<PathBuf>,
) -> Result<()> {
    Link::remove(directory, run)?;
    let Some(file) = file else { return Ok(()) };
    let path = file.path();
    if let Some(kept) = file.finish().map_err(|source| Error::io("remove", &path, source))? {
        *rings = Some(kept);
    }
    Ok(())
}

/// A run of which the log does not say where its rings are.
fn left(run: StoredRunId, reason: String) -> Recovery {
    Recovery { outcome: RecoveryOutcome::Left, reason: Some(reason), ..Recovery::new(run.into(), None) }
}

/// Recovers what is in the ring file at `path`, and returns that. `None` if it is gone, and the run has its end.
fn try_to_recover(
    directory: &mut Directory,
    link: &Link,
    path: &Path,
    patience: &mut Patience,
    watch: &mut dyn FnMut(u64, u64),
    recovery: &mut Recovery,
) -> OrStop<Option<DeadRingFile>> {
    let io = |operation| move |source| Stop::from(Error::io(operation, path, source));
    // The rings of another boot are lost, so there is no reason to wait for the lock.
    let mut none = Patience::none();
    let is_lost = link.boot != cpu::boot_id();
    let opened = DeadRingFile::open(path, if is_lost { &mut none } else { &mut *patience });
    let file = match opened {
        Ok(file) => file,
        Err(_) if is_lost => return gone(directory, link),
        Err(NotOpened::Refused(reason)) => return Err(Stop::Left(reason)),
        Err(NotOpened::Unfinished(_)) => {
            return Err(Stop::Left(format!("{} is no ring file of diolog", path.display())));
        }
        // It may be elsewhere: below another mount, or in another directory than the caller has named.
        Err(NotOpened::Missing) if path == link.path && is_ended(directory, link)? => return Ok(None),
        Err(NotOpened::Missing) if !path.parent().is_some_and(Path::is_dir) => {
            return Err(Stop::Left(format!("there is no directory for {}", path.display())));
        }
        Err(NotOpened::Missing) => return Err(Stop::Left(format!("{} is missing", path.display()))),
    };
    let named = path.file_name().and_then(|name| process_of_ring_file(name.to_str()?));
    let is_others = named.is_some_and(|process| process != file.process());
    if !is_others {
        recovery.process = Some(file.process());
    }
    if is_lost || !is_others && !file.is_of_this_boot() {
        if !is_others {
            // If it cannot be removed now, the next open with rings in its directory tries it.
            let _ = file.give_up(link.run);
        }
        return gone(directory, link);
    }
    if is_others {
        let why = format!("{} has the rings of process {}, not of the one in its name", path.display(), file.process());
        return Err(Stop::Left(why));
    }
    if let Some(entry) = file.log_of(link.run).map_err(io("read"))? {
        if entry.state == RingsState::Damaged {
            let reason = "an earlier recovery has found that a part of it is damaged";
            (recovery.outcome, recovery.reason) = (RecoveryOutcome::Damaged, Some(reason.into()));
        }
        // If it has ended, the run's end was written, and only its link is left. The state has no checksum.
        if entry.state != RingsState::Ended || !is_ended(directory, link)? {
            // Rings that the caller names may be a copy themselves.
            if path == link.path
                && let Some(original) = file.another_log(&entry, &directory.opened()).map_err(io("read"))?
            {
                let what = "whose rings these are: recover that one";
                return Err(Stop::Left(format!("this log is a copy of the one in {}, {what}", original.display())));
            }
            write_missing(directory, DeadRun { link, file: &file, entry: &entry }, patience, watch, recovery)?;
        }
        let is_damaged = recovery.outcome == RecoveryOutcome::Damaged;
        let state = if is_damaged { RingsState::Damaged } else { RingsState::Ended };
        file.set_log_state(&entry, state).map_err(io("write to"))?;
    }
    Ok(Some(file))
}

/// The rings are gone. If the run has its end, nobody needs them: a power cut may have brought its link back.
fn gone(directory: &Directory, link: &Link) -> OrStop<Option<DeadRingFile>> {
    if is_ended(directory, link)? { Ok(None) } else { Err(Stop::Gone) }
}

/// Whether the run has its end.
fn is_ended(directory: &Directory, link: &Link) -> Result<bool> {
    match RunTail::open(directory.opened().path(), link.run)? {
        Some(mut tail) => Ok(RunAccount::read(&mut tail)?.is_ended),
        None => Ok(false),
    }
}
