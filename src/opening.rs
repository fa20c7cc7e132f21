//! Opens a log on a writer thread: its settings checked, its directory locked, its first segment made, its parts put
//! together.
//!
//! Called by `logger` for a log with a writer of its own, and by `engine` for one of many.

use std::sync::Arc;
use std::time::Duration;
#[cfg(feature = "signals")]
use std::time::Instant;

use crate::clock::Clock;
use crate::config::{Config, RingMemory, Validated};
use crate::crash::{LogRings, NewLog, RingFiles};
use crate::device::{self, DeviceReport};
use crate::ends;
use crate::error::{Error, Result};
use crate::format::Process;
use crate::gate::Gate;
use crate::listen::Listening;
use crate::recorder::SnapshotPlace;
use crate::recovery::{Recovery, recover_runs, retire_snapshots, sweep};
use crate::ring::Budget;
use crate::segment::{
    Beside, Directory, FIRST_FILL_PATIENCE, Limits, Making, Owner, PreparingThreads, Rules, SegmentSizes, Segments,
};
use crate::shared::{RingResources, Shared};
use crate::snapshot::SnapshotOrigin;
use crate::stats::Published;
use crate::sys::cpu;
use crate::writer::{self, Begin, WrapDevice, Writer};

/// Replacements for parts of a log, for tests and measurements: set and documented in `unstable`, empty otherwise.
#[derive(Default)]
#[cfg_attr(not(feature = "unstable"), expect(unreachable_pub, reason = "public with the feature alone"))]
pub struct Hooks {
    pub(crate) wrap_device: Option<WrapDevice>,
    pub(crate) clock: Option<Clock>,
    pub(crate) first_fill_patience: Option<Duration>,
}

/// A log whose settings are valid. Nothing of it exists yet.
pub(crate) struct Opening {
    settings: Validated,
    hooks: Hooks,
    rules: Rules,
    owner: Option<Owner>,
}

impl Opening {
    /// Checks the settings of a log that is to be opened with `hooks`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub(crate) fn new(config: Config, hooks: Hooks) -> Result<Opening> {
        let settings = config.validate()?;
        let patience = hooks.first_fill_patience.unwrap_or(FIRST_FILL_PATIENCE);
        let rules = segment_rules(&settings, patience);
        rules.check_file_size_limit()?;
        Ok(Opening { settings, hooks, rules, owner: None })
    }

    /// Makes it the log of an event: opening it fails if the directory belongs to another event.
    pub(crate) fn with_owner(self, owner: Option<Owner>) -> Opening {
        Opening { owner, ..self }
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Config {
        &self.settings.config
    }

    /// Opens the log on `writer`, with `threads` for its segments; `engine` has what the logs of
    /// an engine share. If that fails, it leaves nothing behind.
    ///
    /// # Errors
    /// See [`Logger::open`](crate::Logger::open).
    pub(crate) fn open_on(
        self,
        writer: &Writer,
        threads: &PreparingThreads,
        engine: Option<EngineRings>,
    ) -> Result<Arc<Shared>> {
        let Config { level, listeners, listener_queue_bytes, path, service, .. } = &self.settings.config;
        // Before there is a file: what may be refused for want of a thread or a descriptor leaves nothing then.
        #[cfg(feature = "signals")]
        if self.settings.config.rotate_on_hangup {
            ends::prepare_for_hangup().map_err(|source| Error::io("handle SIGHUP for", path, source))?;
        }
        let gate = Gate::new(level.level() as u8).map_err(|source| Error::io("map a page for", path, source))?;
        let clock = self.hooks.clock.unwrap_or_else(Clock::detect);
        let (listening, taps) = Listening::begin(listeners, *listener_queue_bytes, clock, path, service)?;
        if let Some(owner) = &self.owner {
            owner.check(path)?;
        }
        let mut directory = Directory::open(path, making(&self.settings.config))?;
        let begun = match self.begin_run(&mut directory, clock, threads, engine.as_ref()) {
            Ok(begun) => begun,
            Err(error) => {
                directory.undo();
                return Err(error);
            }
        };
        let Opening { settings, hooks, owner, .. } = self;
        let BegunRun { recovered, device, segments, rings } = begun;
        let write_link = rings.as_ref().map(LogRings::write_link_if_missing);
        directory.complete_by(Box::new(move |directory| {
            if let Some(owner) = &owner {
                owner.write_if_missing(directory)?;
            }
            write_link.as_ref().map_or(Ok(()), |write| write(directory))
        }));
        let (published, publisher) = Published::new(device.clone());
        let memory = RingResources {
            budget: engine.map(|engine| engine.budget),
            slots: rings.as_ref().map(LogRings::slots),
            recorder_slots: rings.as_ref().map(LogRings::recorder_slots),
        };
        let mut shared = Shared::new(settings, clock, gate, segments.producers_max(), published, memory);
        shared.listening = listening;
        shared.recovered = recovered;
        let shared = Arc::new(shared);
        if let Some(recorder) = &shared.recorder {
            recorder.set_place(snapshot_place(&shared, &directory, &segments));
            if shared.settings.config.snapshot_on_panic {
                ends::snapshot_on_panic();
            }
        }
        writer.add(Begin {
            shared: Arc::clone(&shared),
            publisher,
            device,
            directory,
            segments,
            rings,
            taps,
            wrap_device: hooks.wrap_device,
        })?;
        ends::drain_at_exit(&shared);
        // After all that can refuse the log, because it holds for the whole process from now on. It is refused only if
        // the system knows no such signal.
        #[cfg(feature = "signals")]
        if shared.settings.config.rotate_on_hangup
            && let Err(source) = ends::rotate_on_hangup()
        {
            let _ = ends::wait_until_closed(&shared, ends::begin_close(&shared, Instant::now()));
            return Err(Error::io("handle SIGHUP for", &shared.settings.config.path, source));
        }
        Ok(shared)
    }

    /// Recovers the runs that processes have left in the directory, and makes what the new run has there. If that
    /// fails, the directory is still to be undone.
    fn begin_run(
        &self,
        directory: &mut Directory,
        clock: Clock,
        threads: &PreparingThreads,
        engine: Option<&EngineRings>,
    ) -> Result<BegunRun> {
        let Opening { settings, rules, .. } = self;
        let config = &settings.config;
        if let Some(owner) = &self.owner {
            directory.take_for(owner)?;
        }
        // Before the run's first segment, which comes after all of the runs before it.
        let recovered = recover_runs(directory, None, &mut |_, _| {})?;
        retire_snapshots(directory, &recovered, config.snapshots_max, clock.unix_ns());
        let device = device::probe(&directory.opened(), config.device)?;
        let segments = Segments::begin(directory, device.kind.is_direct(), *rules, clock, threads)?;
        let files = match (engine, &config.ring_memory) {
            (Some(engine), _) => engine.files.clone(),
            (None, RingMemory::Shared(path)) => Some(Arc::new(RingFiles::new(path, clock))),
            (None, RingMemory::Private) => None,
        };
        if let Some(directory_of_rings) = files.as_ref().and_then(|files| files.directory_of_next()) {
            sweep(directory_of_rings);
        }
        let entered = files.map(|files| files.enter(&new_log(settings, directory, &segments), &directory.opened()));
        match entered.transpose() {
            Ok(rings) => Ok(BegunRun { recovered, device, segments, rings }),
            Err(error) => {
                segments.undo();
                Err(error)
            }
        }
    }
}

/// A run whose first segment is there.
struct BegunRun {
    /// The runs before it that were recovered.
    recovered: Vec<Recovery>,
    device: DeviceReport,
    segments: Segments,
    /// `None` for rings in private memory.
    rings: Option<LogRings>,
}

/// Where the logs of an engine have their rings.
pub(crate) struct EngineRings {
    /// The memory of all of them.
    pub(crate) budget: Arc<Budget>,
    /// Where they are; `None` if in memory of the process.
    pub(crate) files: Option<Arc<RingFiles>>,
}

/// The log, as the ring file lists it.
fn new_log(settings: &Validated, directory: &Directory, segments: &Segments) -> NewLog {
    NewLog {
        log: segments.log.0,
        run: segments.run.0,
        block_bytes: settings.config.block_bytes as u32,
        message_bytes_max: settings.message_bytes_max as u32,
        path: directory.opened().path().to_owned(),
    }
}

/// Where the snapshots of a log's recorder go.
fn snapshot_place(shared: &Shared, directory: &Directory, segments: &Segments) -> SnapshotPlace {
    let Shared { settings, clock, .. } = shared;
    let config = &settings.config;
    SnapshotPlace {
        beside: Beside::of(directory),
        origin: SnapshotOrigin {
            log: segments.log,
            run: segments.run,
            boot: cpu::boot_id(),
            process: Process { id: std::process::id(), host: cpu::host_name() },
            service: config.service.clone(),
            block_bytes: config.block_bytes,
            message_bytes_max: settings.message_bytes_max,
        },
        clock: *clock,
        lookup: writer::define,
        max: config.snapshots_max,
    }
}

/// The part of the settings that concerns the making of files.
fn making(config: &Config) -> Making {
    Making { file_mode: config.file_mode, group: config.group, create_parents: config.create_parents }
}

/// The part of the settings that concerns segments.
fn segment_rules(settings: &Validated, first_fill_patience: Duration) -> Rules {
    let config = &settings.config;
    Rules {
        sizes: SegmentSizes {
            first: settings.first_segment_bytes.min(config.segment_bytes),
            max: config.segment_bytes,
            block: config.block_bytes,
        },
        first_fill_patience,
        rotate_after: config.rotate_after,
        rotate_at: config.rotate_at,
        keep: Limits { bytes: config.retain_bytes, segments: config.retain_segments, age: config.retain_for },
    }
}
