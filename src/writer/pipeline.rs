//! A closed block on its way to the disk: it gets a number and a place, is written, and is settled when it is durable.
//!
//! Blocks are numbered, submitted and made durable in the same order. The device may complete them in any order; the
//! contiguous prefix of completed blocks is durable. A failed write stops this prefix until it has succeeded: see
//! [`health`].

mod health;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::block::{self, Block, BlockPlace};
use crate::buffer::AlignedBuffer;
use crate::device::{BlockWrite, Completion, Device, DeviceReport};
use crate::flush::FlushFault;
use crate::format::{IN_FLIGHT_UNKNOWN, StatusCode};
use crate::segment::{Readiness, Segments, WriteTarget};
use crate::shared::Shared;
use crate::stats::{Publisher, State};
use crate::writer::buffers::Buffers;
use crate::writer::contents::BlockContents;
use health::Health;
pub(crate) use health::Note;

/// The [`AlignedBuffer::index`] of a buffer that is made for one segment header. It does not belong to the pool, and is
/// freed after use.
pub(crate) const HEADER_BUFFER: u16 = u16::MAX;

/// A sealed block, before the device has it.
struct Sealed {
    buffer: AlignedBuffer,
    /// The block's bytes in the buffer.
    length: usize,
    /// Zero bytes after its shards.
    padding: usize,
    number: u64,
    contents: BlockContents,
}

impl Sealed {
    /// Seals `block` as `number`.
    fn new(block: Block, number: u64, contents: BlockContents) -> Sealed {
        let (buffer, length) = block.seal(number);
        let padding = length - block::used_bytes(&buffer);
        Sealed { buffer, length, padding, number, contents }
    }
}

/// The block that the device gets next.
pub(crate) enum NextBlock {
    /// None: no block waits, the device has no room, or there is no segment with room.
    None,
    /// The header of the present segment, which the caller makes.
    SegmentHeader,
    /// The first waiting block.
    Waiting,
}

/// A submitted block, before all blocks up to it are durable.
struct InFlight {
    token: u64,
    target: WriteTarget,
    length: usize,
    padding: usize,
    /// Its number within the run; a segment header has none.
    number: Option<u64>,
    contents: BlockContents,
    submitted: Instant,
    write: Write,
}

/// How far a write has come.
enum Write {
    /// The device has it.
    Submitted,
    /// It is on the disk. The buffer is kept until all earlier blocks are durable: if the segment fails, the block is
    /// written again.
    Done(AlignedBuffer),
    /// The device refused it.
    Refused(AlignedBuffer),
}

/// The blocks of one log from closed to durable, and the state of its device.
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    publisher: Publisher,
    pub(super) device: Box<dyn Device>,
    /// The report that was last published.
    device_report: DeviceReport,
    pub(super) segments: Segments,
    /// Buffers for the next blocks.
    pub(super) buffers: Buffers,
    /// Blocks that wait for their turn at the device.
    waiting: VecDeque<Sealed>,
    in_flight: VecDeque<InFlight>,
    /// Writes submitted and not reaped.
    outstanding: usize,
    completions: Vec<Completion>,
    /// The number of the next write. Segment headers and repeated writes count too.
    next_token: u64,
    /// The number that the next closed block gets.
    next_number: u64,
    /// The first block number that is not durable.
    durable_number: u64,
    /// The records in durable blocks.
    durable_records: u64,
    health: Health,
    /// Durable records that readers do not find, if there are any.
    unreachable: Option<Unreachable>,
}

/// Durable records are in a file that readers do not find.
struct Unreachable {
    error: FlushFault,
    /// Whether a flush has returned it.
    is_reported: bool,
}

impl Pipeline {
    pub(crate) fn new(
        shared: Arc<Shared>,
        publisher: Publisher,
        device: Box<dyn Device>,
        segments: Segments,
        buffers: Buffers,
    ) -> Pipeline {
        publisher.set_device(device.report());
        Pipeline {
            shared,
            publisher,
            device_report: device.report().clone(),
            device,
            segments,
            buffers,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            outstanding: 0,
            completions: Vec::new(),
            next_token: 0,
            next_number: 0,
            durable_number: 0,
            durable_records: 0,
            health: Health::default(),
            unreachable: None,
        }
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

    /// Whether no block can be begun or submitted until the device has completed one.
    pub(crate) fn awaits_device(&self) -> bool {
        !self.buffers.has_free() && self.outstanding > 0 && !self.has_room()
    }

    /// Whether all closed blocks are durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable_number == self.next_number
    }

    /// The first block number that is not durable; those before it are.
    pub(crate) fn durable_number(&self) -> u64 {
        self.durable_number
    }

    /// The records that are durable, and all records before them too.
    pub(crate) fn durable_records(&self) -> u64 {
        self.durable_records
    }

    /// The number that the next closed block will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Why nothing more becomes durable, if so.
    pub(crate) fn fault(&self) -> Option<&FlushFault> {
        self.health.fault.as_ref()
    }

    /// Takes the notes about this run's failures since the last call, for the log.
    pub(crate) fn take_notes(&mut self) -> Vec<Note> {
        self.publisher.note_preparation_errors(self.segments.take_preparation_failures());
        let mut notes = std::mem::take(&mut self.health.notes);
        notes.extend(self.segments.take_notes().into_iter().map(|text| Note { code: StatusCode::Error, text }));
        notes
    }

    /// Takes a filled block, gives it its number and seals it. It is placed and submitted when the device has room.
    pub(crate) fn enqueue(&mut self, block: Block, contents: BlockContents) {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push_back(Sealed::new(block, number, contents));
    }

    /// The contents of the blocks that wait for their turn at the device, in their order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &BlockContents> {
        self.waiting.iter().map(|waiting| &waiting.contents)
    }

    /// Decides which block the device gets next. Leaves the present segment if the first waiting block should stand in
    /// the next one.
    pub(crate) fn prepare_next(&mut self) -> NextBlock {
        if !self.has_room() {
            return NextBlock::None;
        }
        let Some(next) = self.waiting.front() else { return NextBlock::None };
        self.segments.advance(next.length, next.number);
        let fits = self.segments.may_grow_by(next.length);
        // If writes are in flight, their completions report the device's state.
        if !fits
            && self.in_flight.is_empty()
            && let Some(error) = self.segments.refusal()
            && self.health.segment_refused(error, self.segments.directory())
        {
            self.follow_health();
        }
        match fits {
            false => NextBlock::None,
            true if self.segments.is_header_due() => NextBlock::SegmentHeader,
            true => NextBlock::Waiting,
        }
    }

    /// Submits the header of the present segment.
    pub(crate) fn submit_header(&mut self, header: Block) {
        // A header has no number of its own. It is placed as if it had that of the block after it.
        let number = self.waiting.front().map_or(self.next_number, |next| next.number);
        match self.segments.readiness() {
            Readiness::First => self.publisher.note_first_segment(),
            Readiness::InTime => self.publisher.note_segment_in_time(),
            Readiness::Late => self.publisher.note_segment_late(),
        }
        self.submit(Sealed::new(header, number, BlockContents::default()), None);
    }

    /// Submits the first waiting block.
    ///
    /// # Panics
    /// If no block waits: [`prepare_next`](Self::prepare_next) has returned [`NextBlock::Waiting`].
    pub(crate) fn submit_next(&mut self) {
        let next = self.waiting.pop_front().expect("a block waits");
        let own_number = Some(next.number);
        self.submit(next, own_number);
    }

    /// Gives the sealed block `number` the next place in the segment, and writes that to its header.
    fn place(&mut self, block: &mut [u8], length: usize, number: u64) -> WriteTarget {
        assert!(number >= self.durable_number, "block {number} is durable already");
        let earlier = number - self.durable_number;
        // A reader takes all blocks before `earlier` as durable, and calls them lost if they are missing.
        let submitted = self.in_flight.iter().filter(|block| block.number.is_some()).count();
        assert!(earlier >= submitted as u64, "{submitted} blocks are in flight, not {earlier}");
        let target = self.segments.place(length);
        let in_flight = u16::try_from(earlier).unwrap_or(IN_FLIGHT_UNKNOWN);
        block::place(block, BlockPlace { segment_id: target.segment_id, file_offset: target.offset, in_flight });
        target
    }

    /// Gives a block its place, and hands it to the device. `own_number` is that within the run; a segment header has
    /// none.
    fn submit(&mut self, block: Sealed, own_number: Option<u64>) {
        let Sealed { mut buffer, length, padding, number, contents } = block;
        let target = self.place(&mut buffer, length, number);
        let token = self.hand_to_device(&target, length, buffer);
        let submitted = Instant::now();
        self.in_flight.push_back(InFlight {
            token,
            target,
            length,
            padding,
            number: own_number,
            contents,
            submitted,
            write: Write::Submitted,
        });
    }

    fn hand_to_device(&mut self, target: &WriteTarget, length: usize, buffer: AlignedBuffer) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.outstanding += 1;
        self.device.submit(BlockWrite { token, file: target.file.clone(), offset: target.offset, length, buffer });
        token
    }

    /// Takes back the completed writes, and calls `settle` with the contents of each block that became
    /// durable, in order. Returns whether anything came back.
    pub(crate) fn reap(&mut self, settle: impl FnMut(BlockContents)) -> bool {
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
            self.publish_device();
        }
        any
    }

    fn take_completion(&mut self, completion: Completion) {
        let block = self.in_flight.iter_mut().find(|block| block.token == completion.token);
        let block = block.expect("a device completes only submitted writes");
        match completion.result {
            Ok(()) => {
                self.publisher.note_written(block.length, block.submitted.elapsed());
                block.write = Write::Done(completion.buffer);
            }
            Err(error) => {
                self.publisher.note_write_error(&error);
                block.write = Write::Refused(completion.buffer);
                self.write_failed(&error);
            }
        }
    }

    /// Extends the durable prefix over completed writes.
    fn settle_prefix(&mut self, mut settle: impl FnMut(BlockContents)) {
        while let Some(block) = self.in_flight.pop_front() {
            let Write::Done(buffer) = block.write else {
                self.in_flight.push_front(block);
                break;
            };
            if buffer.index() != HEADER_BUFFER {
                self.buffers.give_back(buffer);
            }
            self.durable_records += block.contents.records;
            let blocks = u64::from(block.number.is_some());
            self.publisher.note_durable(block.contents.records, blocks, block.length, block.padding);
            match block.number {
                Some(number) => {
                    assert_eq!(number, self.durable_number, "blocks become durable in the order of their numbers");
                    self.durable_number = number + 1;
                    if self.health.write_succeeded() {
                        self.follow_health();
                    }
                }
                None => self.health.header_succeeded(),
            }
            settle(block.contents);
        }
        self.segments.note_durable(self.durable_number);
    }

    /// Continues after an error, as far as that is possible now. Returns whether anything was submitted.
    pub(crate) fn heal(&mut self) -> bool {
        if self.health.start_due_try() {
            return self.write_refused_again();
        }
        if self.health.needs_new_segment() && self.outstanding == 0 {
            self.segments.leave_soon();
            // The present segment is left because it has failed, so the block's length does not matter.
            if self.segments.advance(0, self.durable_number) {
                self.take_back();
                self.health.moved();
            }
        }
        false
    }

    /// Submits the refused writes again, at the same places.
    fn write_refused_again(&mut self) -> bool {
        let mut any = false;
        let mut in_flight = std::mem::take(&mut self.in_flight);
        for block in &mut in_flight {
            match std::mem::replace(&mut block.write, Write::Submitted) {
                Write::Refused(buffer) => {
                    block.token = self.hand_to_device(&block.target, block.length, buffer);
                    any = true;
                }
                other => block.write = other,
            }
        }
        self.in_flight = in_flight;
        any
    }

    /// Puts all blocks that are not durable back in the queue, with numbers and bytes, for a new segment.
    ///
    /// # Panics
    /// If the device still has one of them.
    fn take_back(&mut self) {
        while let Some(block) = self.in_flight.pop_back() {
            let buffer = match block.write {
                Write::Done(buffer) | Write::Refused(buffer) => buffer,
                Write::Submitted => panic!("a block was taken back while the device has it"),
            };
            // The failed segment's own header is of no use to the new one.
            let Some(number) = block.number else { continue };
            let InFlight { length, padding, contents, .. } = block;
            self.waiting.push_front(Sealed { buffer, length, padding, number, contents });
        }
    }

    /// Marks the present segment as failed if its name does not lead to its file any more, because nobody would find
    /// the records in it. Returns whether it has just been found unreachable.
    pub(crate) fn fail_unreachable_segment(&mut self) -> bool {
        if !self.health.is_good() {
            return false;
        }
        let Some(why) = self.segments.why_unreachable() else { return false };
        let error = io::Error::new(io::ErrorKind::NotFound, format!("the file {why}"));
        if self.segments.holds_durable_block() {
            let error = FlushFault::io("write", self.segments.path(), &error);
            self.unreachable = Some(Unreachable { error, is_reported: false });
        }
        self.publisher.note_unreachable_segment();
        self.write_failed(&error);
        true
    }

    /// The error that durable records are in a file that readers do not find.
    pub(crate) fn unreachable(&self) -> Option<&FlushFault> {
        self.unreachable.as_ref().map(|unreachable| &unreachable.error)
    }

    /// The same for a flush: each is returned once.
    pub(crate) fn take_unreported(&mut self) -> Option<FlushFault> {
        let unreachable = self.unreachable.as_mut().filter(|unreachable| !unreachable.is_reported)?;
        unreachable.is_reported = true;
        Some(unreachable.error.clone())
    }

    /// Notes that the present segment cannot be written: a write was refused, or there is no memory for its header.
    pub(crate) fn write_failed(&mut self, error: &io::Error) {
        self.health.write_failed(error, self.segments.path());
        self.follow_health();
    }

    /// Counts the answer to a caller's flush, `elapsed` after it was asked for.
    pub(crate) fn note_flush(&self, succeeded: bool, elapsed: Duration) {
        self.publisher.note_flush(succeeded, elapsed);
    }

    /// Publishes the state. If the disk is full, asks for the removal of the segments that the limits do not keep.
    fn follow_health(&self) {
        // Before the state is published: a caller that sees writes succeed again may wait for space.
        self.shared.set_gives_up_waiting(self.health.gives_up_waiting());
        self.publisher.set_state(self.health.state);
        if self.health.state == State::Full {
            self.segments.retain_now();
        }
    }

    /// Publishes the device's report if it has changed while no block of this log was in flight. Otherwise the
    /// completions show it.
    pub(crate) fn follow_device(&mut self) {
        if self.outstanding == 0 {
            // No block comes back, but the call makes the device update its report.
            self.device.reap(&mut self.completions);
            self.publish_device();
        }
    }

    /// Publishes the device's report if it has changed: the device has stepped down, or has become slower.
    fn publish_device(&mut self) {
        let report = self.device.report();
        if *report != self.device_report {
            self.device_report.clone_from(report);
            self.publisher.set_device(report);
            self.health.note(StatusCode::Device, report.to_string());
        }
    }

    /// Ends the run: cuts the segments if all blocks are durable. Blocks that the device still has are left to it: see
    /// [`Device::abandon`]. Calls `then` after the segments are left, on another thread if that takes time.
    pub(crate) fn end(self, then: impl FnOnce() + Send + 'static) {
        if self.outstanding == 0 {
            let durable = self.is_durable();
            drop(self.device);
            self.segments.end(durable, then);
        } else {
            self.device.abandon();
            self.segments.abandon();
            then();
        }
    }

    /// Ends the run after a panic: nothing more is written. Blocks that the device still has are left to it: see
    /// [`Device::abandon`].
    pub(crate) fn give_up(self) {
        self.publisher.set_state(State::Failed);
        self.device.abandon();
        self.segments.abandon();
    }
}
