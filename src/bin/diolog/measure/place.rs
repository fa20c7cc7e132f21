//! Where a measurement takes place: its CPUs, and a directory on the disk that is measured.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The CPUs that producer and writer are pinned to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) producer: Option<usize>,
    pub(crate) writer: Option<usize>,
}

impl Cores {
    /// The first CPU that this process may use for the producer, the last for the writer; none where there is only one,
    /// or where the system does not pin threads.
    pub(crate) fn choose() -> Cores {
        let allowed = allowed_cpus();
        match allowed[..] {
            [first, .., last] => Cores { producer: Some(first), writer: Some(last) },
            _ => Cores { producer: None, writer: None },
        }
    }

    /// Where threads run, for the report.
    pub(crate) fn describe(self) -> String {
        match (self.producer, self.writer) {
            (Some(producer), Some(writer)) => format!("producer on CPU {producer}, writer on CPU {writer}"),
            _ => "threads not pinned: there is one CPU, or the system pins none".to_owned(),
        }
    }
}

#[cfg(all(target_os = "linux", not(diolog_portable)))]
fn allowed_cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

#[cfg(not(all(target_os = "linux", not(diolog_portable))))]
fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

/// Runs the calling thread on `cpu` from now on, if one is given.
pub(crate) fn pin(cpu: Option<usize>) {
    #[cfg(target_os = "linux")]
    if let Some(id) = cpu {
        // A refusal shows in the noise.
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = cpu;
}

/// A directory for the files of one measurement, removed with them.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new directory in `parent`, which must be there: a disk that was named by mistake is not the one to measure.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new(parent: &Path) -> io::Result<Scratch> {
        let path = parent.join(format!("diolog-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    /// The path of `name` in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the way of nobody but the person who sees it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
