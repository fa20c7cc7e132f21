//! From a closed block to a durable one: its number, its place, its write, and what becomes free behind it.
//!
//! Blocks are numbered, submitted and made durable in the same order; the device may complete them in any. Durable is
//! the contiguous completed prefix. A write that fails stops the prefix until it has succeeded: see [`health`].

mod health;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::block::{self, Block, Place};
use crate::buffer::AlignedBuffer;
use crate::device::{BlockWrite, Completion, Device, DeviceKind, DeviceReport};
use crate::flush::FlushFault;
use crate::format::{IN_FLIGHT_UNKNOWN, StatusCode};
use crate::segment::{Segments, Spot};
use crate::stats::{Publisher, State};
use health::Health;

/// What a block holds of one ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The writer's slot of the source.
    pub(crate) slot: usize,
    /// The ring position to release when the block is durable.
    pub(crate) position: u64,
    /// What the blocks before this one account for.
    pub(crate) before: Accounted,
}

/// How much of a producer's attempts some blocks account for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounted {
    /// The sequence that follows the last record.
    pub(crate) next_sequence: u64,
    pub(crate) records: u64,
}

/// What a block holds, to be settled when it is durable.
#[derive(Default)]
pub(crate) struct Contents {
    /// Producers' records.
    pub(crate) records: u64,
    pub(crate) shares: Vec<Share>,
    /// Slots of the sources whose end record the block holds.
    pub(crate) ended: Vec<usize>,
}

/// A sealed block that waits for its turn at the device.
struct Waiting {
    buffer: AlignedBuffer,
    /// How much of the buffer the block takes.
    length: usize,
    sequence: u64,
    contents: Contents,
}

/// A block that the device was given, and whose prefix is not durable yet.
struct InFlight {
    token: u64,
    spot: Spot,
    length: usize,
    /// Its number within the run; a segment header has none.
    sequence: Option<u64>,
    contents: Contents,
    submitted: Instant,
    write: Write,
}

/// How far a write has come.
enum Write {
    /// The device has it.
    Submitted,
    /// It is on the disk. The buffer is kept until all before it is: should the segment fail, it is written again.
    Done(AlignedBuffer),
    /// The device refused it.
    Refused(AlignedBuffer),
}

/// The stretch between filling and durable.
pub(crate) struct Pipeline {
    publisher: Publisher,
    device: Box<dyn Device>,
    /// What the device was when the log last said so.
    device_kind: DeviceKind,
    pub(crate) segments: Segments,
    free: Vec<AlignedBuffer>,
    waiting: VecDeque<Waiting>,
    in_flight: VecDeque<InFlight>,
    /// Writes submitted and not reaped.
    outstanding: usize,
    completions: Vec<Completion>,
    /// Tells writes apart, segment headers and repetitions included.
    next_token: u64,
    /// The number that the next closed block gets.
    next_sequence: u64,
    /// The first block number that is not durable.
    durable_sequence: u64,
    health: Health,
}

impl Pipeline {
    pub(crate) fn new(
        publisher: Publisher,
        device: Box<dyn Device>,
        segments: Segments,
        buffers: Vec<AlignedBuffer>,
    ) -> Pipeline {
        publisher.set_device(device.report());
        Pipeline {
            publisher,
            device_kind: device.report().kind,
            device,
            segments,
            free: buffers,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            outstanding: 0,
            completions: Vec::new(),
            next_token: 0,
            next_sequence: 0,
            durable_sequence: 0,
            health: Health::default(),
        }
    }

    /// A free buffer for the next block; `None` while all are in use.
    pub(crate) fn take_buffer(&mut self) -> Option<AlignedBuffer> {
        self.free.pop()
    }

    /// Whether a block closed now would go to the device at once, so that closing early costs nothing.
    pub(crate) fn would_submit_now(&self) -> bool {
        self.waiting.is_empty() && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.health.is_good() && self.outstanding < self.device.in_flight_max()
    }

    /// Whether the device is at work.
    pub(crate) fn is_writing(&self) -> bool {
        self.outstanding > 0
    }

    /// Whether no block can be begun or submitted until the device has ended one.
    pub(crate) fn awaits_device(&self) -> bool {
        self.free.is_empty() && self.outstanding > 0 && !self.has_room()
    }

    /// Whether all closed blocks are durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable_sequence == self.next_sequence
    }

    /// The first block number that is not durable; those before it are.
    pub(crate) fn durable_sequence(&self) -> u64 {
        self.durable_sequence
    }

    /// The number that the next closed block will have.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The device at work, and why no better one is.
    pub(crate) fn device_report(&self) -> &DeviceReport {
        self.device.report()
    }

    /// Why nothing more becomes durable, if so.
    pub(crate) fn fault(&self) -> Option<&FlushFault> {
        self.health.fault()
    }

    /// What went well or wrong since the last call, for the log itself.
    pub(crate) fn take_notes(&mut self) -> Vec<health::Note> {
        self.health.take_notes()
    }

    /// Takes a filled block, gives it a number and seals it. It is placed and submitted when the device has room.
    pub(crate) fn close_block(&mut self, block: Block, contents: Contents) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let (buffer, length) = block.seal(sequence);
        self.waiting.push_back(Waiting { buffer, length, sequence, contents });
    }

    /// What the blocks hold that wait for their turn at the device, in their order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Contents> {
        self.waiting.iter().map(|waiting| &waiting.contents)
    }

    /// Whether a block waits and the device has room for it; the present segment is left first if the block should
    /// stand in the next. Afterwards [`Segments::is_new`] tells whether a header comes before it.
    pub(crate) fn prepare_next(&mut self) -> bool {
        if !self.has_room() {
            return false;
        }
        let Some(next) = self.waiting.front() else { return false };
        self.segments.advance(next.length, next.sequence);
        let may = self.segments.may_grow_by(next.length);
        // What is in flight shows that the device works, and says itself when it does not.
        if !may
            && self.in_flight.is_empty()
            && let Some(error) = self.segments.refusal()
            && self.health.segment_refused(error)
        {
            self.retain_if_full();
        }
        may
    }

    /// Publishes the device's state after an error. If the disk is full, has old segments removed.
    fn retain_if_full(&mut self) {
        self.publisher.set_state(self.health.state());
        if self.health.state() == State::Full {
            self.segments.retain_now();
        }
    }

    /// Submits the header of the present segment.
    pub(crate) fn submit_header(&mut self, header: Block) {
        // A header takes no number: it names the block after it.
        let sequence = self.waiting.front().map_or(self.next_sequence, |next| next.sequence);
        let (mut buffer, length) = header.seal(sequence);
        let spot = self.place(&mut buffer, length, sequence);
        self.publisher.note_segment();
        self.submit(spot, length, buffer, None, Contents::default());
    }

    /// Submits the first waiting block.
    pub(crate) fn submit_next(&mut self) {
        let Some(Waiting { mut buffer, length, sequence, contents }) = self.waiting.pop_front() else { return };
        let spot = self.place(&mut buffer, length, sequence);
        self.submit(spot, length, buffer, Some(sequence), contents);
    }

    /// Gives a sealed block the next place, to which its header then testifies.
    fn place(&mut self, block: &mut [u8], length: usize, sequence: u64) -> Spot {
        let spot = self.segments.place(length);
        let in_flight = u16::try_from(sequence - self.durable_sequence).unwrap_or(IN_FLIGHT_UNKNOWN);
        block::place(block, Place { segment_id: spot.segment_id, file_offset: spot.offset, in_flight });
        spot
    }

    fn submit(&mut self, spot: Spot, length: usize, buffer: AlignedBuffer, sequence: Option<u64>, contents: Contents) {
        let token = self.hand_to_device(&spot, length, buffer);
        let submitted = Instant::now();
        self.in_flight.push_back(InFlight {
            token,
            spot,
            length,
            sequence,
            contents,
            submitted,
            write: Write::Submitted,
        });
    }

    fn hand_to_device(&mut self, spot: &Spot, length: usize, buffer: AlignedBuffer) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.outstanding += 1;
        self.device.submit(BlockWrite { token, file: spot.file.clone(), offset: spot.offset, length, buffer });
        token
    }

    /// Takes back what the device has completed, and settles what became durable. Whether anything came back.
    pub(crate) fn reap(&mut self, settle: impl FnMut(Contents)) -> bool {
        if self.outstanding == 0 {
            return false;
        }
        let mut completions = std::mem::take(&mut self.completions);
        self.device.reap(&mut completions);
        let any = !completions.is_empty();
        for completion in completions.drain(..) {
            self.outstanding -= 1;
            self.take_completion(completion);
        }
        self.completions = completions;
        if any {
            self.settle_prefix(settle);
            let report = self.device.report();
            if report.kind != self.device_kind {
                self.device_kind = report.kind;
                self.publisher.set_device(report);
                self.health.note(StatusCode::Device, report.to_string());
            }
        }
        any
    }

    fn take_completion(&mut self, completion: Completion) {
        let Some(block) = self.in_flight.iter_mut().find(|block| block.token == completion.token) else { return };
        match completion.result {
            Ok(()) => {
                self.publisher.note_written(block.length, block.submitted.elapsed());
                block.write = Write::Done(completion.buffer);
            }
            Err(error) => {
                self.publisher.note_write_error();
                block.write = Write::Refused(completion.buffer);
                self.health.write_failed(&error, self.segments.path());
                self.retain_if_full();
            }
        }
    }

    /// Moves the durable prefix on over completed writes.
    fn settle_prefix(&mut self, mut settle: impl FnMut(Contents)) {
        while let Some(block) = self.in_flight.pop_front() {
            let Write::Done(buffer) = block.write else {
                self.in_flight.push_front(block);
                break;
            };
            if buffer.index() != HEADER_BUFFER {
                self.free.push(buffer);
            }
            self.publisher.note_durable(block.contents.records, block.length);
            match block.sequence {
                Some(sequence) => {
                    self.durable_sequence = sequence + 1;
                    self.health.write_succeeded();
                    self.publisher.set_state(self.health.state());
                }
                None => self.health.header_succeeded(),
            }
            settle(block.contents);
        }
        self.segments.settle(self.durable_sequence);
    }

    /// Has the present segment left if somebody asked for that, or if it is too old at `now_ns`.
    pub(crate) fn rotate_if_due(&mut self, now_ns: u64, asked: bool) {
        self.segments.leave_if_due(now_ns, asked);
    }

    /// Goes on after an error as far as that can be done now. Whether anything was submitted.
    pub(crate) fn heal(&mut self) -> bool {
        if self.health.wants_same_place() {
            return self.write_refused_again();
        }
        if self.health.wants_new_segment() && self.outstanding == 0 {
            self.segments.leave_soon();
            // Any block will do: the present segment is left for its fault, not for its size.
            if self.segments.advance(0, self.durable_sequence) {
                self.take_back();
                self.health.moved();
            }
        }
        false
    }

    /// Submits the refused writes again: same place, same bytes.
    fn write_refused_again(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.in_flight.len() {
            let block = &mut self.in_flight[at];
            match std::mem::replace(&mut block.write, Write::Submitted) {
                Write::Refused(buffer) => {
                    let (spot, length) = (block.spot.clone(), block.length);
                    let token = self.hand_to_device(&spot, length, buffer);
                    self.in_flight[at].token = token;
                    any = true;
                }
                other => block.write = other,
            }
        }
        any
    }

    /// Puts all blocks that are not durable back in the queue, with numbers and bytes, for a new segment.
    fn take_back(&mut self) {
        while let Some(block) = self.in_flight.pop_back() {
            let (Write::Done(buffer) | Write::Refused(buffer)) = block.write else { continue };
            // The failed segment's own header is of no use to the new one.
            let Some(sequence) = block.sequence else { continue };
            self.waiting.push_front(Waiting { buffer, length: block.length, sequence, contents: block.contents });
        }
    }

    /// Looks whether the present segment still has its name; if not, it has failed. Whether it was found to.
    pub(crate) fn check_segment(&mut self) -> bool {
        let is_gone = self.health.is_good() && self.segments.is_deleted();
        if is_gone {
            let error = std::io::Error::new(std::io::ErrorKind::NotFound, "the file was deleted while in use");
            self.health.write_failed(&error, self.segments.path());
            self.publisher.set_state(self.health.state());
        }
        is_gone
    }

    /// Notes that no memory was to be had for a segment's header.
    pub(crate) fn header_failed(&mut self, error: &std::io::Error) {
        self.health.write_failed(error, self.segments.path());
        self.publisher.set_state(self.health.state());
    }

    /// Waits for the device, at most for `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        self.device.wait(timeout);
    }

    /// Ends: cuts the segments where all is durable, and leaves to the device what it still uses.
    pub(crate) fn end(self) {
        if self.outstanding == 0 {
            let durable = self.is_durable();
            drop(self.device);
            self.segments.end(durable);
        } else {
            self.device.abandon();
            self.segments.abandon();
        }
    }
}

/// The [`AlignedBuffer::index`] of buffers made for one segment header each: not of the pool, freed after use.
pub(crate) const HEADER_BUFFER: u16 = u16::MAX;
