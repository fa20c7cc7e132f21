//! A panic on the writer thread, while the kernel still reads a block of the log that it serves, leaves that block as
//! it is until its write has ended. Meanwhile it counts in the memory of the engine's blocks, and the other logs go on.
#![cfg(all(target_os = "linux", not(diolog_portable), feature = "unstable"))]

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};

use diolog::unstable::{BlockWrite, Completion, Device, DeviceLayer, Hooks};
use diolog::{DeviceKind, Engine, EngineConfig, Error, Level, Outcome, State, Verdict};

const BLOCK_BYTES: usize = 16 << 10;

/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// A device that panics when it is asked for completions, once it is told to.
struct Stalled {
    /// A file that gets the next write instead of the segment.
    instead: Receiver<File>,
    /// Gets the bytes of that write, once the device below has it.
    written: Sender<Vec<u8>>,
    panics: Arc<AtomicBool>,
}

impl DeviceLayer for Stalled {
    fn submit(&mut self, below: &mut dyn Device, mut write: BlockWrite) {
        let Ok(file) = self.instead.try_recv() else { return below.submit(write) };
        let bytes = write.buffer[..write.length].to_vec();
        write.file = Arc::new(file.into());
        below.submit(write);
        self.written.send(bytes).expect("the test waits");
    }

    fn reap(&mut self, below: &mut dyn Device, completions: &mut Vec<Completion>) {
        assert!(!self.panics.load(SeqCst), "a bug, made by the test");
        below.reap(completions);
    }
}

#[test]
fn a_block_that_the_kernel_has_at_a_panic_is_left_alone_until_its_write_has_ended() {
    let directory = support::directory();
    let config = |name: &str| support::config(directory.path().join(name)).block_bytes(BLOCK_BYTES).blocks_in_flight(2);
    // Two blocks for each of two logs.
    let engine = Engine::start(EngineConfig::new().blocks_bytes_max(4 * BLOCK_BYTES)).expect("a thread");
    let healthy = engine.open(config("healthy")).expect("a log");
    let ((put_instead, instead), (written, submitted)) = (channel(), channel());
    let panics = Arc::new(AtomicBool::new(false));
    let stalled = Stalled { instead, written, panics: Arc::clone(&panics) };
    let broken = Hooks::new().device_layer(|| stalled).open_on(&engine, config("broken")).expect("a log");
    let device = broken.stats().device;
    if device.kind != DeviceKind::IoUring {
        return support::not_shown("a write in flight at a panic: only io_uring writes to a pipe", device);
    }
    assert_eq!(broken.log(Level::Info, "before"), Outcome::Written);
    broken.flush().expect("durable");

    // A full pipe stands for a disk that stalls: the kernel keeps the block until somebody reads the pipe.
    let (mut reader, mut writer) = pipe().expect("a pipe");
    writer.write_all(&[0; PIPE_BYTES]).expect("room");
    put_instead.send(File::from(OwnedFd::from(writer))).expect("the device is there");
    assert_eq!(broken.log(Level::Info, "in flight"), Outcome::Written);
    let block = submitted.recv().expect("a write");
    panics.store(true, SeqCst);
    assert!(matches!(broken.flush(), Err(Error::Closed)));
    assert_eq!((broken.log(Level::Info, "refused"), broken.stats().state), (Outcome::Closed, State::Failed));
    let error = broken.close().expect_err("one record is not durable");
    assert!(matches!(error, Error::CloseIncomplete { unconfirmed: 1, .. }), "{error}");

    // The other log goes on.
    for _ in 0..100 {
        assert_eq!(healthy.log(Level::Info, [b'x'; 4 << 10]), Outcome::Written);
        healthy.flush().expect("durable");
    }
    // The block counts: there is no room for the two of a third log.
    let refused = engine.open(config("third")).expect_err("the kernel has a block");
    assert!(matches!(refused, Error::InvalidConfig { setting: "blocks_bytes_max", .. }), "{refused}");
    // Nobody has written to it meanwhile.
    let mut received = vec![0; PIPE_BYTES + block.len()];
    reader.read_exact(&mut received).expect("the block after what filled the pipe");
    assert!(received[PIPE_BYTES..] == block && block.windows(9).any(|bytes| bytes == b"in flight"));
    // Its memory is free for others once the writer has seen the end of the write.
    let third = std::iter::repeat_with(|| engine.open(config("third"))).find_map(Result::ok).expect("a log");
    for logger in [&healthy, &third] {
        assert_eq!(logger.log(Level::Info, "after"), Outcome::Written);
        logger.flush().expect("durable");
    }
    assert_eq!(engine.close().expect("clean ends").durable, 102);
    for (name, expected) in [("healthy", Verdict::Clean), ("third", Verdict::Clean), ("broken", Verdict::Unconfirmed)] {
        assert_eq!(diolog::verify(directory.path().join(name)).expect("a log").verdict, expected, "{name}");
    }
}
