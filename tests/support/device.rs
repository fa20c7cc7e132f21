//! A device under the test's control, around the real one: it records the writes, and on demand holds completions back,
//! blocks submissions, or fails writes.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use diolog::unstable::{BlockWrite, Completion, Device, DeviceLayer, Hooks};

/// The error number of a failing disk: the same on every Unix.
pub(crate) const EIO: i32 = 5;

/// A write that the writer submitted.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) token: u64,
    pub(crate) offset: u64,
    /// The address of the bytes in memory.
    pub(crate) address: usize,
    pub(crate) bytes: Vec<u8>,
    /// Whether the writer has reaped it as durable.
    pub(crate) acknowledged: bool,
}

impl Write {
    /// Whether it is a segment's header, by the lowest flag of a block's header.
    pub(crate) fn is_segment_header(&self) -> bool {
        self.bytes[20] & 1 != 0
    }

    /// The number of times that it contains `message`.
    pub(crate) fn count(&self, message: &[u8]) -> usize {
        self.bytes.windows(message.len()).filter(|window| *window == message).count()
    }
}

/// The test's end of the device.
#[derive(Clone, Default)]
pub(crate) struct Control {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: bool,
    block_submit: bool,
    errno: Option<i32>,
    writes: Vec<Write>,
}

impl Control {
    /// Hooks that put the device under a log.
    pub(crate) fn hooks(&self) -> Hooks {
        let shared = Arc::clone(&self.shared);
        Hooks::new().device_layer(|| Controlled { shared, in_flight: 0, failed: Vec::new(), held: Vec::new() })
    }

    /// Holds all completions back from now on.
    pub(crate) fn hold(&self) {
        self.lock().held = true;
    }

    /// Lets completions through again, with those held back.
    pub(crate) fn release(&self) {
        self.lock().held = false;
    }

    /// While `block`, a thread that submits a write waits in the call, as it may wait in the kernel.
    pub(crate) fn block_submit(&self, block: bool) {
        self.lock().block_submit = block;
        self.shared.changed.notify_all();
    }

    /// Fails writes submitted from now on with `errno`; with `None` they succeed again.
    pub(crate) fn fail_with(&self, errno: Option<i32>) {
        self.lock().errno = errno;
    }

    /// Waits until `enough` accepts the writes submitted so far, and returns them.
    pub(crate) fn wait_for(&self, enough: impl Fn(&[Write]) -> bool) -> Vec<Write> {
        let mut state = self.lock();
        while !enough(&state.writes) {
            state = self.shared.changed.wait(state).expect("the writer thread lives");
        }
        state.writes.clone()
    }

    /// Waits until a block that holds `message` is submitted, and returns it.
    pub(crate) fn wait_for_message(&self, message: &[u8]) -> Write {
        let writes = self.wait_for(|writes| writes.iter().any(|write| write.count(message) > 0));
        writes.into_iter().find(|write| write.count(message) > 0).expect("just seen")
    }

    /// The writes submitted so far.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.lock().writes.clone()
    }

    /// The writes submitted so far, without segments' headers.
    pub(crate) fn blocks(&self) -> Vec<Write> {
        self.writes().into_iter().filter(|write| !write.is_segment_header()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread panics with the lock")
    }
}

/// The device itself, on the writer thread.
struct Controlled {
    shared: Arc<Shared>,
    /// Writes that the device below has.
    in_flight: usize,
    /// Writes failed here, to be reaped.
    failed: Vec<Completion>,
    /// Completions of the device below that the writer has not reaped.
    held: Vec<Completion>,
}

impl DeviceLayer for Controlled {
    fn submit(&mut self, below: &mut dyn Device, write: BlockWrite) {
        let errno = {
            let state = self.shared.state.lock().expect("no thread panics with the lock");
            let waited = self.shared.changed.wait_while(state, |state| state.block_submit);
            let mut state = waited.expect("no thread panics with the lock");
            state.writes.push(Write {
                token: write.token,
                offset: write.offset,
                address: write.buffer.as_ptr().addr(),
                bytes: write.buffer[..write.length].to_vec(),
                acknowledged: false,
            });
            state.errno
        };
        self.shared.changed.notify_all();
        match errno {
            Some(errno) => {
                let result = Err(io::Error::from_raw_os_error(errno));
                self.failed.push(Completion { token: write.token, buffer: write.buffer, result });
            }
            None => {
                self.in_flight += 1;
                below.submit(write);
            }
        }
    }

    fn reap(&mut self, below: &mut dyn Device, completions: &mut Vec<Completion>) {
        let before = self.held.len();
        below.reap(&mut self.held);
        self.in_flight -= self.held.len() - before;
        self.held.append(&mut self.failed);
        let mut state = self.shared.state.lock().expect("no thread panics with the lock");
        if state.held || self.held.is_empty() {
            return;
        }
        for completion in self.held.drain(..) {
            let write = state.writes.iter_mut().rfind(|write| write.token == completion.token);
            write.expect("submitted once").acknowledged = completion.result.is_ok();
            completions.push(completion);
        }
        self.shared.changed.notify_all();
    }

    fn wait(&mut self, below: &mut dyn Device, timeout: Duration) {
        // With nothing in flight the device below has nothing to wait for.
        if self.in_flight > 0 { below.wait(timeout) } else { std::thread::park_timeout(timeout) }
    }
}
