//! Records that are composed in the ring itself: claimed, filled in place, and committed.
//!
//! Between claim and commit no append is under way: the append flag is lowered, so close does not wait, and a claim
//! that is dropped or forgotten needs no clean-up. The commit passes the gate, like any append.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::appendable::{Destination, Message};
use crate::attempt::{drop_newest, is_severe, refuse, tag_here};
use crate::clock::Clock;
use crate::format::Kind;
use crate::level::Level;
use crate::outcome::Outcome;
use crate::producer::Producer;
use crate::ring::{DropCause, HeldRoom};
use crate::shared::Shared;
use crate::waiting::wait_or_drop;

/// Room for one record, to be filled in place and then [committed](Claim::commit): see [`Producer::claim`].
///
/// It is a slice of bytes, all zero at first. If it is dropped or forgotten, it is given up: there is no record and no
/// count, and the producer and [`close`](crate::Logger::close) continue as if there had been no claim.
#[must_use = "a claim that is not committed is no record"]
pub struct Claim<'a> {
    level: Level,
    room: Room<'a>,
}

enum Room<'a> {
    Ring {
        held: HeldRoom<'a>,
        shared: &'a Shared,
        clock: Clock,
    },
    /// The first bytes of the producer's buffer.
    Buffer {
        producer: &'a mut Producer,
        bytes: usize,
    },
}

/// Where a record is to be composed.
enum Place {
    Ring,
    Buffer,
}

impl Producer {
    /// Claims room for a record of `bytes` bytes, to be composed in place. It saves an encoder a buffer and a copy.
    /// Nobody sees the record before [`Claim::commit`], which also gives it its time and its sequence number.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("diolog-claim-doc-{}", std::process::id()));
    /// use diolog::{Config, Level, Logger, Outcome};
    ///
    /// let logger = Logger::open(Config::new(&directory))?;
    /// let mut producer = logger.producer()?;
    /// match producer.claim(Level::Info, 12) {
    ///     Ok(mut claim) => {
    ///         claim[..4].copy_from_slice(&42_u32.to_le_bytes());
    ///         claim[4..].copy_from_slice(&101.25_f64.to_le_bytes());
    ///         assert_eq!(claim.commit(), Outcome::Written);
    ///     }
    ///     Err(outcome) => eprintln!("{outcome}"),
    /// }
    /// logger.close()?;
    /// # std::fs::remove_dir_all(&directory).expect("removable");
    /// # Ok::<(), diolog::Error>(())
    /// ```
    ///
    /// The room is in the ring's window. If the window is full and there is a reserve behind it, or if the record is
    /// for the flight recorder alone, the claim is a buffer of the producer's. The commit then appends from this buffer
    /// as [`log`](Producer::log) does, and may wait or drop. The buffer is allocated when it is first needed, and grows
    /// to at most [`message_bytes_max`](Producer::message_bytes_max). The producer of a logger without a log uses this
    /// buffer too.
    ///
    /// # Errors
    /// - [`Outcome::Dropped`], which is counted, if there is no room. With [`Overflow::Block`](crate::Overflow::Block)
    ///   it waits for room.
    /// - [`Outcome::TooLong`], which is not counted, if `bytes` is more than
    ///   [`message_bytes_max`](Producer::message_bytes_max): a claim is never cut.
    /// - [`Outcome::Filtered`], [`Outcome::Closed`], [`Outcome::Forked`] and [`Outcome::Reentrant`], as for
    ///   [`log`](Producer::log).
    pub fn claim(&mut self, level: Level, bytes: usize) -> Result<Claim<'_>, Outcome> {
        if !self.is_enabled(level) {
            return Err(self.refuse());
        }
        if bytes > self.message_bytes_max() {
            return Err(Outcome::TooLong);
        }
        let room = match self.place_for(level, bytes)? {
            Place::Ring => {
                let (end, shared, clock) = self.parts();
                match end.expect("a producer without a ring has its place in the buffer").hold(bytes) {
                    Ok(held) => Room::Ring { held, shared, clock },
                    Err(end) => return Err(drop_newest(end, DropCause::Full)),
                }
            }
            Place::Buffer => {
                let buffer = self.claim_buffer();
                buffer.clear();
                if buffer.try_reserve_exact(bytes).is_err() {
                    return Err(self.end().map_or(Outcome::Dropped, |end| drop_newest(end, DropCause::Memory)));
                }
                buffer.resize(bytes, 0);
                Room::Buffer { producer: self, bytes }
            }
        };
        Ok(Claim { level, room })
    }

    /// Finds where there is room, and waits for it if the policy says so. This is an append, which has ended when it
    /// returns.
    fn place_for(&self, level: Level, bytes: usize) -> Result<Place, Outcome> {
        if self.shared().recorder_instead_of_log(level, Destination::ByLevel).is_some() {
            // The commit appends to the recorder, which has no room to lend.
            return Ok(Place::Buffer);
        }
        let Some(end) = self.end() else { return Ok(Place::Buffer) };
        let entered = self.shared().gate.enter(end.control().append_flag(), level as u8);
        let _entered = entered.map_err(|refusal| refuse(self.shared(), refusal))?;
        if end.make_room(bytes, false).is_ok() {
            return Ok(Place::Ring);
        }
        if end.has_reserve() {
            return Ok(Place::Buffer);
        }
        let severe = is_severe(level);
        if end.make_room(bytes, severe).is_ok() {
            return Ok(Place::Ring);
        }
        let waited = wait_or_drop(self.shared(), end, DropCause::Full, |_| end.make_room(bytes, severe).is_ok());
        waited.map_or(Ok(Place::Ring), Err)
    }
}

impl Claim<'_> {
    /// Shortens the record to its first `bytes` bytes, if it is longer. An encoder that knows its length only at the
    /// end claims the most that it may need, and then shortens.
    pub fn truncate(&mut self, bytes: usize) {
        match &mut self.room {
            Room::Ring { held, .. } => held.truncate(bytes),
            Room::Buffer { bytes: kept, .. } => *kept = (*kept).min(bytes),
        }
    }

    /// Appends the record as it is filled now, with the time of this call.
    ///
    /// Returns [`Outcome::Written`] if the record is in the ring, and [`Outcome::Recorded`] if it is in the flight
    /// recorder alone. If the log was closed or forked, or its level changed, since the claim, it returns
    /// [`Outcome::Closed`], [`Outcome::Forked`] or [`Outcome::Filtered`]; in a signal handler within an append of this
    /// producer, [`Outcome::Reentrant`]. If the claim found the window full, it may also return [`Outcome::Dropped`]:
    /// see [`Producer::claim`].
    pub fn commit(self) -> Outcome {
        let Claim { level, room } = self;
        match room {
            Room::Ring { held, shared, clock } => commit(held, shared, clock, level),
            Room::Buffer { producer, bytes } => {
                // Taken out of the producer while the producer is used. No code of the user runs in between.
                let buffer = std::mem::take(producer.claim_buffer());
                let outcome = producer.append_message(level, Message::new(&buffer[..bytes]));
                *producer.claim_buffer() = buffer;
                outcome
            }
        }
    }
}

fn commit(held: HeldRoom<'_>, shared: &Shared, clock: Clock, level: Level) -> Outcome {
    let ready = held.ready();
    let end = ready.end();
    let entered = match shared.gate.enter(ready.flag(), level as u8) {
        Ok(entered) => entered,
        Err(refusal) => return refuse(shared, refusal),
    };
    if !ready.commit(tag_here(Kind::Message, level, 0), || clock.ticks()) {
        return drop_newest(end, DropCause::Full);
    }
    drop(entered);
    shared.ask_the_writer(level);
    Outcome::Written
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.room {
            Room::Ring { held, .. } => held.bytes(),
            Room::Buffer { producer, bytes } => &producer.claimed()[..*bytes],
        }
    }
}

impl DerefMut for Claim<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.room {
            Room::Ring { held, .. } => held.bytes_mut(),
            Room::Buffer { producer, bytes } => &mut producer.claim_buffer()[..*bytes],
        }
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in_ring = matches!(self.room, Room::Ring { .. });
        let mut shown = f.debug_struct("Claim");
        shown.field("level", &self.level).field("bytes", &self.len()).field("is_in_ring", &is_in_ring).finish()
    }
}
