//! The place of a measurement: its CPUs, and a directory on the disk that is measured.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, EngineConfig};
use crate::sys::cpu;

/// The CPUs that producer and writer are pinned to.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    producer: Option<usize>,
    writer: Option<usize>,
}

impl Cores {
    /// The first CPU that this process may use for the producer, the last one for the writer; none if there is only
    /// one CPU, or if the system does not pin threads.
    pub fn choose() -> Cores {
        match cpu::allowed_cpus()[..] {
            [first, .., last] => Cores { producer: Some(first), writer: Some(last) },
            _ => Cores { producer: None, writer: None },
        }
    }

    /// Pins the calling thread to the producer's CPU, if there is one.
    pub fn pin_producer(self) {
        // A refusal shows in the noise.
        let _ = self.producer.map(cpu::pin_to);
    }

    /// Pins the calling thread to the writer's CPU, if there is one.
    pub fn pin_beside_writer(self) {
        // A refusal shows in the noise.
        let _ = self.writer.map(cpu::pin_to);
    }

    /// `config` with the writer on its CPU, if there is one.
    pub fn pin_writer(self, config: Config) -> Config {
        match self.writer {
            Some(core) => config.writer_core(core),
            None => config,
        }
    }

    /// `config` with the engine's writer on its CPU, if there is one.
    pub fn pin_engine(self, config: EngineConfig) -> EngineConfig {
        match self.writer {
            Some(core) => config.writer_core(core),
            None => config,
        }
    }

    /// The CPUs of the threads, for the report.
    pub fn describe(self) -> String {
        match (self.producer, self.writer) {
            (Some(producer), Some(writer)) => format!("producer on CPU {producer}, writer on CPU {writer}"),
            _ => "threads not pinned: there is only one CPU, or the system pins no threads".to_owned(),
        }
    }
}

/// A directory for the files of one measurement, removed with them.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new directory in `parent`, which must exist: a mistyped path would measure another disk.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(parent: &Path) -> io::Result<Scratch> {
        let path = parent.join(format!("diolog-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed does no harm, and its name says where it comes from.
        let _ = fs::remove_dir_all(&self.0);
    }
}
