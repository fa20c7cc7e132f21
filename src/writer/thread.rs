//! The handle of a writer thread: starts it, gives it logs, lets it end.

use std::io;
use std::mem;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use super::begin::Resources;
use super::buffers::{BlockMemory, Pool};
use super::new_log::{Begin, NewLog};
use super::serve::serve;
use crate::device::{DeviceSet, LogCount};
use crate::error::{Error, Result};
use crate::own_thread::{self, Role, WriterId};
use crate::shared::OwnWriter;
use crate::sync::lock;
use crate::sys::MadeIn;
use crate::sys::cpu::{self, Affinity};

/// The logs that a writer thread serves.
#[derive(Clone, Copy)]
pub(crate) enum Serves<'a> {
    /// The log at this path, with buffers of its own.
    OneLog(&'a Path),
    /// The logs of an engine, whose blocks together may take this memory.
    Engine(BlockMemory),
}

impl Serves<'_> {
    /// The path, for messages.
    fn path(&self) -> &Path {
        match self {
            Serves::OneLog(path) => path,
            Serves::Engine(_) => Path::new("an engine"),
        }
    }
}

/// A writer thread, which serves the logs that it is given. After this handle was dropped, or
/// [takes no more logs](Writer::take_no_more_logs), the thread ends with its last log.
pub(crate) struct Writer {
    id: WriterId,
    made_in: MadeIn,
    thread: Thread,
    /// A record of one of its logs has asked for a flush or a snapshot.
    asked: Arc<AtomicBool>,
    /// `None` after the thread was told to take no more logs.
    new_logs: Mutex<Option<Sender<NewLog>>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread for `serves`, and pins it to `core` if one is given.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if there is no such CPU or the kernel refuses it; [`Error::Io`] if no thread can be
    /// started.
    pub(crate) fn start(serves: Serves<'_>, core: Option<usize>) -> Result<Writer> {
        let (logs, blocks) = match serves {
            Serves::OneLog(_) => (LogCount::One, None),
            Serves::Engine(memory) => (LogCount::Many, Some(memory)),
        };
        let failed = |source| Error::io("start the writer thread for", serves.path(), source);
        let id = WriterId::new();
        let (pinned_sender, pinned) = sync_channel(1);
        let (new_logs, received) = channel();
        let asked = Arc::new(AtomicBool::new(false));
        let asked_here = Arc::clone(&asked);
        let handle = own_thread::spawn("diolog-writer", Role::Writer(id), move || {
            // Taken before pinning: helper threads of the device must not share the writer's CPU.
            let affinity = Affinity::of_this_thread();
            let refused = core.filter(|core| !cpu::pin_to(*core));
            cpu::minimal_timer_slack();
            // The starter waits for this.
            let _ = pinned_sender.send(refused.map_or(Ok(()), |core| Err(refused_core(core))));
            if refused.is_none() {
                let devices = DeviceSet::new(logs, move || affinity.apply());
                let pool = blocks.map(|memory| Pool::new(memory, devices.clone()));
                serve(&received, Resources { devices, pool }, &asked_here);
            }
        })
        .map_err(failed)?;
        pinned.recv().map_err(|_| failed(thread_ended()))??;
        let thread = handle.thread().clone();
        let (new_logs, handle) = (Mutex::new(Some(new_logs)), Mutex::new(Some(handle)));
        Ok(Writer { id, made_in: MadeIn::this_process(), thread, asked, new_logs, handle })
    }

    /// Which writer this is.
    pub(crate) fn id(&self) -> WriterId {
        self.id
    }

    /// Whether the calling process is a fork of the one that has the thread.
    pub(crate) fn is_forked(&self) -> bool {
        !self.made_in.is_this_process()
    }

    /// Gives the thread a log, and waits until its device is made.
    ///
    /// # Errors
    /// The error that making the device failed with; [`Error::Closed`] after
    /// [`take_no_more_logs`](Self::take_no_more_logs).
    pub(crate) fn add(&self, begin: Begin) -> Result<()> {
        let path = begin.shared.settings.config.path.clone();
        let ended = || Error::io("reach the writer thread for", &path, thread_ended());
        let (thread, asked) = (self.thread.clone(), Arc::clone(&self.asked));
        begin.shared.set_writer(OwnWriter { thread, id: self.id, asked });
        let (begun_sender, begun) = sync_channel(1);
        match &*lock(&self.new_logs) {
            Some(new_logs) => {
                new_logs.send(NewLog { begin: Box::new(begin), answer: begun_sender }).map_err(|_| ended())?;
            }
            None => {
                begin.undo();
                return Err(Error::Closed);
            }
        }
        self.thread.unpark();
        begun.recv().map_err(|_| ended())?
    }

    /// Whether the thread takes no more logs.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.new_logs).is_none()
    }

    /// Makes the thread end with its last log. Returns its handle, unless that was taken before.
    pub(crate) fn take_no_more_logs(&self) -> Option<JoinHandle<()>> {
        *lock(&self.new_logs) = None;
        // A thread that sleeps with logs looks for new logs when it wakes; one without logs waits for them.
        self.thread.unpark();
        lock(&self.handle).take()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_forked() {
            // The other end is in the parent, with locks that its threads may have held. The child has no thread to
            // detach.
            mem::forget(self.new_logs.get_mut().unwrap_or_else(PoisonError::into_inner).take());
            mem::forget(self.handle.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        } else {
            drop(self.take_no_more_logs());
        }
    }
}

/// The error after a panic on the thread, which is a bug in diolog.
fn thread_ended() -> io::Error {
    io::Error::other("the thread has ended")
}

fn refused_core(core: usize) -> Error {
    let allowed: Vec<_> = cpu::allowed_cpus().iter().map(usize::to_string).collect();
    let remedy = if allowed.is_empty() {
        "threads cannot be pinned on this platform: leave writer_core out".to_owned()
    } else {
        format!("the kernel does not run the writer there; this process may use CPU {}", allowed.join(", "))
    };
    Error::invalid("writer_core", core, remedy)
}
