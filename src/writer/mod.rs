//! The writer: one pinned thread that serves a list of logs, and never waits for the disk while rings fill.

mod idle;
mod log;
mod pipeline;
mod rota;
mod source;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::buffer::AlignedBuffer;
use crate::device::{self, Device, DeviceReport};
use crate::error::{Error, Result};
use crate::flush::FlushFault;
use crate::segment::{Directory, Segments};
use crate::shared::Shared;
use crate::stats::Publisher;
use crate::sys::cpu::{self, Affinity};
use idle::Idle;
use log::{LogWriter, Turn};
use pipeline::Pipeline;

/// How long the writer waits for the device where no record can be taken before a block has ended. What is due at a time
/// can be late by that: a close's deadline, another try after an error, a look for a deleted file.
const DEVICE_WAIT: Duration = Duration::from_millis(2);

/// What the writer needs to begin a log, made by `open` after the thread was pinned.
pub(crate) struct Begin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) publisher: Publisher,
    /// What the probe has chosen.
    pub(crate) device: DeviceReport,
    pub(crate) directory: Directory,
    pub(crate) segments: Segments,
    pub(crate) wrap_device: Option<WrapDevice>,
}

/// Puts another device around the one that was made, on the writer thread.
pub(crate) type WrapDevice = Box<dyn FnOnce(Box<dyn Device>) -> Box<dyn Device> + Send>;

/// A writer thread that is pinned where it should be, and waits for its log.
pub(crate) struct Writer {
    thread: JoinHandle<()>,
    begin: SyncSender<Begin>,
    begun: Receiver<Result<()>>,
}

impl Writer {
    /// Starts the thread and pins it to `core`, if one is given.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] where there is no such CPU or the kernel refuses it; [`Error::Io`] where no thread can
    /// be started.
    pub(crate) fn start(core: Option<usize>) -> Result<Writer> {
        let (pinned, is_pinned) = sync_channel(1);
        let (begin, begins) = sync_channel::<Begin>(1);
        let (begun_sender, begun) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("diolog-writer".into())
            .spawn(move || {
                // Taken before pinning: helper threads of the device must not share the writer's CPU.
                let affinity = Affinity::of_this_thread();
                let is_pinned = core.is_none_or(cpu::pin_to);
                cpu::minimal_timer_slack();
                if pinned.send(is_pinned).is_err() || !is_pinned {
                    return;
                }
                let Ok(begin) = begins.recv() else { return };
                let last_word = LastWord(Arc::clone(&begin.shared));
                match begin_log(begin, affinity) {
                    Ok(log) => {
                        // The opener waits for this word; if it is gone, the log is closed in the next turn.
                        let _ = begun_sender.send(Ok(()));
                        serve(vec![log]);
                    }
                    Err(error) => drop(begun_sender.send(Err(error))),
                }
                drop(last_word);
            })
            .map_err(|source| Error::io("start the writer thread for", "a log".as_ref(), source))?;
        if is_pinned.recv() != Ok(true) {
            return Err(refused_core(core.unwrap_or_default()));
        }
        Ok(Writer { thread, begin, begun })
    }

    /// Hands the thread its log, and waits until its device is made.
    ///
    /// # Errors
    /// What making the device failed with.
    pub(crate) fn begin(self, begin: Begin) -> Result<JoinHandle<()>> {
        let gone = || Error::io("start the writer thread for", "a log".as_ref(), std::io::ErrorKind::Other.into());
        begin.shared.set_writer(self.thread.thread().clone());
        self.begin.send(begin).map_err(|_| gone())?;
        self.begun.recv().map_err(|_| gone())??;
        Ok(self.thread)
    }
}

/// Answers those who wait for a writer thread that dies. A panic there is a bug of ours; it must not hang the host.
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
        shared.closing.finish(shared.close_summary(Some(reason.into())));
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

/// Makes buffers and device on the writer thread, which alone will use them. Where that fails, what `open` has made for
/// the run is taken away again.
fn begin_log(begin: Begin, affinity: Affinity) -> Result<LogWriter> {
    let Begin { shared, publisher, device, directory, segments, wrap_device } = begin;
    let (device, buffers) = match make_device(&shared, &device, affinity) {
        Ok(made) => made,
        Err(error) => {
            let unused = segments.path().to_owned();
            segments.end(false);
            let _ = std::fs::remove_file(unused);
            directory.undo();
            return Err(error);
        }
    };
    let device = match wrap_device {
        Some(wrap) => wrap(device),
        None => device,
    };
    let pipeline = Pipeline::new(publisher, device, segments, buffers);
    Ok(LogWriter::new(Arc::clone(&shared), pipeline, directory, crate::sys::cpu::boot_id()))
}

fn make_device(
    shared: &Shared,
    report: &DeviceReport,
    affinity: Affinity,
) -> Result<(Box<dyn Device>, Vec<AlignedBuffer>)> {
    let settings = &shared.settings;
    // One block being filled and one that waits while all others are in flight.
    let count = settings.blocks_in_flight + 2;
    let memory_failed = |source| Error::io("allocate block buffers for", &settings.path, source);
    let mut buffers = (0..count)
        .map(|index| AlignedBuffer::new(settings.block_bytes, index as u16))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(memory_failed)?;
    let leave_core = move || affinity.apply();
    let device = device::create(report, settings.blocks_in_flight, &mut buffers, leave_core)
        .map_err(|source| Error::io("make a device for", &settings.path, source))?;
    Ok((device, buffers))
}

/// Serves `logs` until the last has ended.
fn serve(mut logs: Vec<LogWriter>) {
    let intervals = logs.iter().map(LogWriter::flush_interval);
    let mut idle = Idle::new(intervals.min().unwrap_or_default());
    while !logs.is_empty() {
        let (mut worked, mut calm) = (false, None::<Duration>);
        let mut at = 0;
        while at < logs.len() {
            match logs[at].turn() {
                Turn::Ended => {
                    logs.swap_remove(at).finish();
                    continue;
                }
                Turn::Worked => worked = true,
                Turn::FoundFew(time) => calm = Some(calm.map_or(time, |calm| calm.min(time))),
                Turn::Idle => {}
            }
            at += 1;
        }
        idle.set_flushing(logs.iter().any(LogWriter::is_flushing), logs.iter().map(LogWriter::flushes_asked).sum());
        if worked {
            idle.reset();
        } else if let Some(calm) = calm {
            idle.reset_after_few(calm);
        } else if let Some(sleep) = idle.snooze() {
            // The end of a write wakes the thread; a timer that runs out just before it would only be in its way.
            let awaits_devices = logs.iter().all(LogWriter::awaits_device);
            let sleep = if awaits_devices { DEVICE_WAIT.max(sleep) } else { sleep };
            match logs.iter_mut().find(|log| log.is_writing()) {
                Some(log) => log.wait_for_device(sleep),
                // Woken early by a flush, a close, or a producer that waits for space.
                None => std::thread::park_timeout(sleep),
            }
        }
    }
}
