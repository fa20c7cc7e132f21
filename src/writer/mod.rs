//! The writer: one thread that serves a list of logs, and never waits for the disk while rings fill.
//!
//! `log` serves one log; `source` is one of its rings; `pipeline` brings its blocks to the disk; `schedule` decides
//! which rings come next and when the thread sleeps. `Logger::open` starts the thread, which pins itself to
//! `writer_core` if that is set, and then hands it the log.

mod log;
mod source;
mod callsites;
mod contents;
mod gap_causes;
mod pipeline;
mod schedule;

#[cfg(all(test, not(loom)))]
mod packing_tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::buffer::AlignedBuffer;
use crate::device::{self, Device, DeviceReport};
use crate::error::{Error, Result};
use crate::flush::FlushFault;
use crate::own_thread::{self, Role};
use crate::segment::{Directory, Segments};
use crate::shared::Shared;
use crate::stats::Publisher;
use crate::sys::cpu::{self, Affinity};
use log::LogWriter;
use pipeline::Pipeline;
use schedule::{Idle, Turn};

/// The parts that the writer needs to begin a log. `open` makes them once the thread has started, and is pinned if it is
/// to be.
pub(crate) struct Begin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) publisher: Publisher,
    /// The device that the probe has chosen.
    pub(crate) device: DeviceReport,
    pub(crate) directory: Directory,
    pub(crate) segments: Segments,
    pub(crate) wrap_device: Option<WrapDevice>,
}

/// Puts another device around the one that was made, on the writer thread.
pub(crate) type WrapDevice = Box<dyn FnOnce(Box<dyn Device>) -> Box<dyn Device> + Send>;

/// A writer thread that waits for its log, pinned if `writer_core` is set.
pub(crate) struct Writer {
    thread: JoinHandle<()>,
    begin: SyncSender<Begin>,
    begun: Receiver<Result<()>>,
}

impl Writer {
    /// Starts the thread for the log in `path`, and pins it to `core`, if one is given.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if there is no such CPU or the kernel refuses it; [`Error::Io`] if no thread can be
    /// started.
    pub(crate) fn start(core: Option<usize>, path: &Path) -> Result<Writer> {
        let (pinned_sender, pinned) = sync_channel(1);
        let (begin, begins) = sync_channel::<Begin>(1);
        let (begun_sender, begun) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("diolog-writer".into())
            .spawn(move || {
                own_thread::mark(Role::Helper);
                // Taken before pinning: helper threads of the device must not share the writer's CPU.
                let affinity = Affinity::of_this_thread();
                let refused = core.filter(|core| !cpu::pin_to(*core));
                cpu::minimal_timer_slack();
                // The opener waits for this.
                let _ = pinned_sender.send(refused.map_or(Ok(()), |core| Err(refused_core(core))));
                // If nothing comes, the opener has failed.
                let Ok(begin) = begins.recv() else { return };
                own_thread::mark(Role::Writer(Arc::as_ptr(&begin.shared).addr()));
                let last_word = LastWord(Arc::clone(&begin.shared));
                match begin_log(begin, affinity) {
                    Ok(log) => {
                        // The opener waits for this. If it is gone, the log is closed in the next turn.
                        let _ = begun_sender.send(Ok(()));
                        serve(vec![log]);
                    }
                    Err(error) => drop(begun_sender.send(Err(error))),
                }
                drop(last_word);
            })
            .map_err(|source| start_failed(path, source))?;
        pinned.recv().map_err(|_| start_failed(path, thread_ended()))??;
        Ok(Writer { thread, begin, begun })
    }

    /// Hands the thread its log, and waits until its device is made.
    ///
    /// # Errors
    /// The error that making the device failed with.
    pub(crate) fn begin(self, begin: Begin) -> Result<JoinHandle<()>> {
        let path = begin.shared.settings.config.path.clone();
        let ended = || start_failed(&path, thread_ended());
        begin.shared.set_writer(self.thread.thread().clone());
        self.begin.send(begin).map_err(|_| ended())?;
        self.begun.recv().map_err(|_| ended())??;
        Ok(self.thread)
    }
}

fn start_failed(path: &Path, source: io::Error) -> Error {
    Error::io("start the writer thread for", path, source)
}

/// A panic on the thread, which is a bug of ours.
fn thread_ended() -> io::Error {
    io::Error::other("the thread ended at once")
}

/// Answers the callers that wait for a writer thread that dies. A panic there is a bug of ours; it must not hang the
/// host.
struct LastWord(Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let shared = &self.0;
        shared.gate.close();
        for ticket in shared.flushes.close() {
            ticket.answer(Err(FlushFault::Closed));
        }
        let reason = "the writer thread panicked: please report this as a bug in diolog";
        shared.closing.finish(shared.close_summary_without_writer(reason));
    }
}

fn refused_core(core: usize) -> Error {
    let allowed: Vec<_> = cpu::allowed_cpus().iter().map(usize::to_string).collect();
    let remedy = if allowed.is_empty() {
        "threads cannot be pinned on this platform: leave writer_core out".to_owned()
    } else {
        format!("the kernel does not run the writer there; this process may use CPU {}", allowed.join(", "))
    };
    Error::InvalidConfig { setting: "writer_core", value: core.to_string(), remedy }
}

/// Makes buffers and device on the writer thread, which alone uses them. If that fails, the files that `open` has made
/// for the run are removed.
fn begin_log(begin: Begin, affinity: Affinity) -> Result<LogWriter> {
    let Begin { shared, publisher, device, directory, segments, wrap_device } = begin;
    let (device, buffers) = match make_device(&shared, &device, affinity) {
        Ok(made) => made,
        Err(error) => {
            segments.undo();
            directory.undo();
            return Err(error);
        }
    };
    let device = match wrap_device {
        Some(wrap) => wrap(device),
        None => device,
    };
    let pipeline = Pipeline::new(Arc::clone(&shared), publisher, device, segments, buffers);
    Ok(LogWriter::new(shared, pipeline, directory))
}

fn make_device(
    shared: &Shared,
    report: &DeviceReport,
    affinity: Affinity,
) -> Result<(Box<dyn Device>, Vec<AlignedBuffer>)> {
    let config = &shared.settings.config;
    // One block is being filled and one waits while all others are in flight.
    let count = config.blocks_in_flight + 2;
    let mut buffers = (0..count)
        .map(|index| AlignedBuffer::new(config.block_bytes, index as u16))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|source| Error::io("allocate block buffers for", &config.path, source))?;
    let leave_core = move || affinity.apply();
    let device = device::create(report, config.blocks_in_flight, &mut buffers, leave_core)
        .map_err(|source| Error::io("make a device for", &config.path, source))?;
    Ok((device, buffers))
}

/// Serves `logs` until the last has ended.
fn serve(mut logs: Vec<LogWriter>) {
    let shortest_interval = logs.iter().map(|log| log.shared.settings.config.flush_interval).min();
    let flushes_records = logs.iter().any(|log| log.shared.settings.config.flush_on.is_some());
    let mut idle = Idle::new(shortest_interval.expect("a writer thread begins with a log"), flushes_records);
    while !logs.is_empty() {
        let mut turn = Turn::Idle;
        let mut at = 0;
        while at < logs.len() {
            turn = turn.with(logs[at].turn());
            if logs[at].has_ended() {
                logs.swap_remove(at).finish();
            } else {
                at += 1;
            }
        }
        idle.set_flushing(logs.iter().any(LogWriter::is_flushing), logs.iter().map(LogWriter::flushes_asked).sum());
        let awaits_devices = || logs.iter().all(LogWriter::awaits_device);
        let Some(sleep) = idle.rest(turn, awaits_devices) else { continue };
        match logs.iter_mut().find(|log| log.is_writing()) {
            Some(log) => log.wait_for_device(sleep),
            // A flush, a close, or a producer that waits for space ends it early.
            None => std::thread::park_timeout(sleep),
        }
    }
}
