//! From a closed block to a durable one: its place, its number, its write, and what becomes free behind it.
//!
//! Blocks are closed, submitted and made durable in the same order; the device may complete them in any. Durable is
//! the contiguous completed prefix. A write that fails stops the prefix.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::block::{Block, Place};
use crate::buffer::AlignedBuffer;
use crate::device::{BlockWrite, Completion, Device};
use crate::segment::{Segments, Spot};
use crate::shared::{Shared, lock};
use crate::stats::State;
use crate::writer::flush::FlushFault;

/// What a block holds of the rings, to be settled when it is durable.
#[derive(Default)]
pub(crate) struct Contents {
    /// Producers' records.
    pub(crate) records: u64,
    /// Ring space: the writer's slot of the source, and the position to release.
    pub(crate) releases: Vec<(usize, u64)>,
    /// Slots of the sources whose end record the block holds.
    pub(crate) ended: Vec<usize>,
}

/// A closed block that waits for its turn at the device.
struct Waiting {
    block: Block,
    spot: Spot,
    bytes: usize,
    token: u64,
    /// Its number within the run; a segment header has none.
    sequence: Option<u64>,
    contents: Contents,
}

/// A block that the device was given.
struct InFlight {
    token: u64,
    bytes: usize,
    sequence: Option<u64>,
    contents: Contents,
    submitted: Instant,
    /// Its buffer, once the device is done with it and the block is whole on the disk.
    completed: Option<AlignedBuffer>,
}

/// The stretch between filling and durable.
pub(crate) struct Pipeline {
    device: Box<dyn Device>,
    pub(crate) segments: Segments,
    free: Vec<AlignedBuffer>,
    waiting: VecDeque<Waiting>,
    in_flight: VecDeque<InFlight>,
    /// Blocks submitted and not reaped.
    outstanding: usize,
    completions: Vec<Completion>,
    /// Counts all writes, segment headers included.
    next_token: u64,
    /// The first write that is not durable.
    durable_token: u64,
    /// Counts numbered blocks.
    next_sequence: u64,
    /// The first block number that is not durable.
    durable_sequence: u64,
    fault: Option<FlushFault>,
}

impl Pipeline {
    pub(crate) fn new(device: Box<dyn Device>, segments: Segments, buffers: Vec<AlignedBuffer>) -> Pipeline {
        Pipeline {
            device,
            segments,
            free: buffers,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            outstanding: 0,
            completions: Vec::new(),
            next_token: 0,
            durable_token: 0,
            next_sequence: 0,
            durable_sequence: 0,
            fault: None,
        }
    }

    /// A free buffer for the next block; `None` while all are in use.
    pub(crate) fn take_buffer(&mut self) -> Option<AlignedBuffer> {
        self.free.pop()
    }

    /// Whether a block closed now would go to the device at once, so that closing early costs nothing.
    pub(crate) fn would_submit_now(&self) -> bool {
        self.fault.is_none() && self.waiting.is_empty() && self.outstanding < self.device.in_flight_max()
    }

    /// Whether the device is at work.
    pub(crate) fn is_writing(&self) -> bool {
        self.outstanding > 0
    }

    /// Whether all closed blocks are durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable_token == self.next_token
    }

    /// The first write that is not durable; those with smaller tokens are.
    pub(crate) fn durable_token(&self) -> u64 {
        self.durable_token
    }

    /// The token that the next closed block will have.
    pub(crate) fn next_token(&self) -> u64 {
        self.next_token
    }

    /// Why nothing more becomes durable, if so.
    pub(crate) fn fault(&self) -> Option<&FlushFault> {
        self.fault.as_ref()
    }

    /// Takes a filled block: gives it a number and a place. It is submitted when the device has room.
    pub(crate) fn close_block(&mut self, block: Block, contents: Contents) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.enqueue(block, contents, Some(sequence));
    }

    /// Takes the header of a new segment, which has no number of its own.
    pub(crate) fn close_segment_header(&mut self, block: Block) {
        self.enqueue(block, Contents::default(), None);
    }

    fn enqueue(&mut self, block: Block, contents: Contents, sequence: Option<u64>) {
        let bytes = block.sealed_bytes();
        let spot = self.segments.place(bytes);
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.push_back(Waiting { block, spot, bytes, token, sequence, contents });
    }

    /// Gives the device what it has room for. Whether it got anything.
    pub(crate) fn submit(&mut self) -> bool {
        let mut submitted = false;
        while self.fault.is_none() && self.outstanding < self.device.in_flight_max() {
            let Some(mut next) = self.waiting.pop_front() else { break };
            let sequence = next.sequence.unwrap_or(self.first_waiting_sequence());
            let place = Place {
                segment_id: next.spot.segment_id,
                file_offset: next.spot.offset,
                sequence,
                in_flight: u16::try_from(sequence - self.durable_sequence).unwrap_or(crate::format::IN_FLIGHT_UNKNOWN),
            };
            let length = next.block.seal(place);
            debug_assert_eq!(length, next.bytes);
            self.device.submit(BlockWrite {
                token: next.token,
                file: next.spot.file,
                offset: next.spot.offset,
                length,
                buffer: next.block.into_buffer(),
            });
            self.outstanding += 1;
            self.in_flight.push_back(InFlight {
                token: next.token,
                bytes: length,
                sequence: next.sequence,
                contents: next.contents,
                submitted: Instant::now(),
                completed: None,
            });
            submitted = true;
        }
        submitted
    }

    /// The number of the next block to be submitted: what a segment header names.
    fn first_waiting_sequence(&self) -> u64 {
        self.waiting.iter().find_map(|waiting| waiting.sequence).unwrap_or(self.next_sequence)
    }

    /// Takes back what the device has completed, and settles what became durable. Whether anything came back.
    pub(crate) fn reap(&mut self, shared: &Shared, mut settle: impl FnMut(Contents)) -> bool {
        if self.outstanding == 0 {
            return false;
        }
        let mut completions = std::mem::take(&mut self.completions);
        self.device.reap(&mut completions);
        let any = !completions.is_empty();
        for completion in completions.drain(..) {
            self.outstanding -= 1;
            self.take_completion(completion, shared);
        }
        self.completions = completions;
        while self.in_flight.front().is_some_and(|block| block.completed.is_some()) {
            let Some(mut block) = self.in_flight.pop_front() else { break };
            self.free.extend(block.completed.take().filter(|buffer| !is_header_buffer(buffer)));
            self.durable_token = block.token + 1;
            if let Some(sequence) = block.sequence {
                self.durable_sequence = sequence + 1;
            }
            let counters = &shared.counters;
            counters.durable_records.fetch_add(block.contents.records, Relaxed);
            counters.durable_blocks.fetch_add(1, Relaxed);
            counters.durable_bytes.fetch_add(block.bytes as u64, Relaxed);
            settle(block.contents);
        }
        if any {
            self.segments.cut_left(self.durable_token);
            if lock(&shared.rung).rung != self.device.report().rung {
                lock(&shared.rung).clone_from(self.device.report());
            }
        }
        any
    }

    fn take_completion(&mut self, completion: Completion, shared: &Shared) {
        let Some(block) = self.in_flight.iter_mut().find(|block| block.token == completion.token) else { return };
        match completion.result {
            Ok(()) => {
                let elapsed = u64::try_from(block.submitted.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let mut distributions = lock(&shared.distributions);
                distributions.write_latency_ns.saturating_record(elapsed);
                distributions.block_bytes.saturating_record(block.bytes as u64);
                drop(distributions);
                block.completed = Some(completion.buffer);
            }
            Err(error) => {
                shared.counters.write_errors.fetch_add(1, Relaxed);
                self.fail(&error, shared);
            }
        }
    }

    /// Stops: nothing more becomes durable.
    pub(crate) fn fail(&mut self, error: &io::Error, shared: &Shared) {
        shared.counters.set_state(State::Failed);
        self.fault.get_or_insert_with(|| FlushFault::io(self.segments.path(), error));
    }

    /// Waits for the device, at most for `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        self.device.wait(timeout);
    }

    /// Ends: cuts the segments where all is durable, and leaves to the device what it still uses.
    pub(crate) fn end(mut self) {
        if self.outstanding == 0 {
            if self.is_durable() {
                self.segments.cut_all();
            }
        } else {
            self.device.abandon();
        }
    }
}

/// The [`AlignedBuffer::index`] of buffers made for one segment header each: not of the pool, freed after use.
pub(crate) const HEADER_BUFFER: u16 = u16::MAX;

fn is_header_buffer(buffer: &AlignedBuffer) -> bool {
    buffer.index() == HEADER_BUFFER
}
