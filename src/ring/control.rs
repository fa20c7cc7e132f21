//! The positions, counts and flags that the two ends of a ring share. Every atomic of a ring is here, behind a method.
//!
//! [`Control`] holds no pointer and its layout is fixed, so it can be in memory that outlives the process. It does not
//! know the bytes between the ends, nor the rules by which the positions move: these belong to the ends (`producer`,
//! `consumer`), and for the append flag to the gate. The registry and the writer read counts here, and wake a waiting
//! producer.

use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::append_flag::AppendFlag;
use super::layout::{DropCause, Position};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, spin_loop};
use crate::sys;

pub(super) mod offsets;

/// This bit of `oldest` means that the consumer is copying. Positions are multiples of 8, so the bit is free.
pub(super) const READING: u64 = 1;

/// The state that both ends share, grouped by who uses it.
///
/// Each group has its own pair of cache lines (CPUs prefetch lines in pairs). If another CPU has read a line, the line
/// must be fetched back before a store to it can leave the store buffer. When the store buffer is full, a burst of
/// appends stalls.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Control {
    /// The producer stores to it at each append; the writer polls it.
    written: CachePadded<Written>,
    /// The producer loads and stores it at each append. Others hardly ever read it.
    attempts: CachePadded<Attempts>,
    /// The producer writes it when it loses a record or waits. Code that reads the counts loads it.
    losses: CachePadded<Losses>,
    /// Both write it, when space is released or wanted.
    space: CachePadded<Space>,
    /// In an overwriting ring: the position of the oldest record that was not given up, and the bit [`READING`].
    oldest: CachePadded<AtomicU64>,
}

/// How far the producer has written.
#[derive(Debug, Default)]
#[repr(C)]
struct Written {
    write_position: AtomicU64,
    /// The `write_position` of the reserve. The consumer also moves it, while it has the reserve and the reserve is
    /// empty.
    reserve_position: AtomicU64,
    /// How many bytes of the reserve, from its beginning, count as memory. Belongs to the end that has the reserve.
    entered_bytes: AtomicU64,
    /// Which end has the reserve: [`CLOSED`], [`OPEN`] or [`RETURNING`].
    reserve_state: AtomicU32,
    /// Where the last skip of the window begins. Before the first position if there was none.
    skip_position: AtomicU64,
    /// Where the last skip of the reserve begins.
    reserve_skip_position: AtomicU64,
    /// A copy of [`Attempts::next_sequence`] for others. The producer only stores it. Code that reads the counts loads
    /// it from this line, which the writer polls anyway, and so leaves the producer's own line alone.
    attempted: AtomicU64,
}

/// Neither end has the reserve.
const CLOSED: u32 = 0;
/// The producer has the reserve, and appends to it.
const OPEN: u32 = 1;
/// The consumer has the reserve, and gives chunks back or moves its positions.
pub(super) const RETURNING: u32 = 2;

/// How often a producer retries while the consumer has the reserve, before it gives up. One retry takes 10 to 50 ns, so
/// this is longer than it takes to give a chunk back. (Only a writer that is suspended meanwhile takes longer.)
const RETURNING_SPINS_MAX: usize = if cfg!(loom) { 1 } else { 1000 };

/// The fields that the producer loads at each append.
#[derive(Debug, Default)]
#[repr(C)]
struct Attempts {
    /// The sequence number of the next attempt.
    next_sequence: AtomicU64,
    append_flag: AppendFlag,
}

/// Counts of the producer's losses and waits. They only grow.
#[derive(Debug, Default)]
#[repr(C)]
struct Losses {
    /// Attempts that took a number and found the ring full.
    dropped_full: AtomicU64,
    /// Records that were committed, and given up for newer ones before the consumer took them.
    overwritten: AtomicU64,
    /// Attempts that took a number and were dropped for another cause.
    dropped_by: DroppedByCause,
    /// Waits for space that have begun.
    waits: AtomicU64,
    /// How long the ended waits took.
    waited_ns: AtomicU64,
}

/// Dropped attempts with another cause than a full ring.
#[derive(Debug, Default)]
#[repr(C)]
struct DroppedByCause {
    memory: AtomicU64,
    timed_out: AtomicU64,
    device_failed: AtomicU64,
}

/// The released positions, and the flags of a producer that wants space.
#[derive(Debug, Default)]
#[repr(C)]
struct Space {
    /// In an ordinary ring: the consumer has released the bytes before this position.
    read_position: AtomicU64,
    /// The `read_position` of the reserve.
    reserve_read_position: AtomicU64,
    /// 1 while the producing thread sleeps until space is released, or is about to sleep.
    awaits_space: AtomicU32,
    /// A claim found no room. The writer then takes everything, clears this, and closes its block early.
    wants_space: AtomicBool,
}

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;
    const GROUP_BYTES: usize = size_of::<CachePadded<AtomicU64>>();
    assert!(GROUP_BYTES == 128 || !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")));
    assert!(offset_of!(Control, written) == 0);
    assert!(offset_of!(Control, attempts) == GROUP_BYTES);
    assert!(offset_of!(Control, losses) == 2 * GROUP_BYTES);
    assert!(offset_of!(Control, space) == 3 * GROUP_BYTES);
    assert!(offset_of!(Control, oldest) == 4 * GROUP_BYTES);
    assert!(size_of::<Control>() == 5 * GROUP_BYTES && align_of::<Control>() == GROUP_BYTES);
    assert!(offset_of!(Attempts, next_sequence) == 0 && offset_of!(Attempts, append_flag) == 8);
    assert!(offset_of!(Losses, dropped_full) == 0 && offset_of!(Losses, overwritten) == 8);
    assert!(offset_of!(Losses, dropped_by) == 16 && size_of::<DroppedByCause>() == 24);
    assert!(offset_of!(Losses, waits) == 40 && offset_of!(Losses, waited_ns) == 48);
    assert!(offset_of!(Written, attempted) == 48);
    assert!(offset_of!(Written, write_position) == 0 && offset_of!(Written, reserve_position) == 8);
    assert!(offset_of!(Written, entered_bytes) == 16 && offset_of!(Written, reserve_state) == 24);
    assert!(offset_of!(Written, skip_position) == 32 && offset_of!(Written, reserve_skip_position) == 40);
    assert!(offset_of!(Space, read_position) == 0 && offset_of!(Space, reserve_read_position) == 8);
    assert!(offset_of!(Space, awaits_space) == 16 && offset_of!(Space, wants_space) == 20);
};

/// A producer's counts. `attempted` is read last, so it includes all attempts in the other counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) attempted: u64,
    /// The sum over all causes.
    pub(crate) dropped: u64,
    pub(crate) dropped_by: DropCounts,
    pub(crate) overwritten: u64,
    /// Waits for space that have begun.
    pub(crate) waits: u64,
    /// How long the ended waits took.
    pub(crate) waited_ns: u64,
}

/// Dropped attempts by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DropCounts {
    /// The ring had no room.
    pub(crate) full: u64,
    /// The rings of the log have taken all the memory that they may take.
    pub(crate) memory: u64,
    /// The producer has waited for room for the longest allowed time.
    pub(crate) timed_out: u64,
    /// The device had failed while the producer waited for room.
    pub(crate) device_failed: u64,
}

impl DropCounts {
    /// All of them. The sum saturates: a damaged ring can claim any counts.
    pub(crate) const fn total(self) -> u64 {
        let DropCounts { full, memory, timed_out, device_failed } = self;
        full.saturating_add(memory).saturating_add(timed_out).saturating_add(device_failed)
    }
}

impl Control {
    /// All counts are 0. The window's positions are `start`, those of the reserve `reserve_start`.
    pub(super) fn new(start: u64, reserve_start: u64) -> Control {
        Control {
            written: CachePadded::new(Written {
                write_position: AtomicU64::new(start),
                reserve_position: AtomicU64::new(reserve_start),
                skip_position: AtomicU64::new(start.wrapping_sub(8)),
                reserve_skip_position: AtomicU64::new(reserve_start.wrapping_sub(8)),
                ..Written::default()
            }),
            attempts: CachePadded::default(),
            losses: CachePadded::default(),
            space: CachePadded::new(Space {
                read_position: AtomicU64::new(start),
                reserve_read_position: AtomicU64::new(reserve_start),
                ..Space::default()
            }),
            oldest: CachePadded::new(AtomicU64::new(start)),
        }
    }

    /// Clears the counts of an empty ring for its next producer. The caller holds both ends, and orders this before
    /// that producer's first access.
    pub(crate) fn reset(&self) {
        // If a thread ended inside an append, in a signal handler, it has left the flag raised and the reserve open.
        self.attempts.append_flag.lower();
        self.written.reserve_state.store(CLOSED, Relaxed);
        self.attempts.next_sequence.store(0, Relaxed);
        self.written.attempted.store(0, Relaxed);
        let Losses { dropped_full, dropped_by, overwritten, waits, waited_ns } = &*self.losses;
        let DroppedByCause { memory, timed_out, device_failed } = dropped_by;
        let counts = [dropped_full, memory, timed_out, device_failed, overwritten, waits, waited_ns];
        counts.into_iter().for_each(|count| count.store(0, Relaxed));
        self.space.wants_space.store(false, Relaxed);
        self.space.awaits_space.store(0, Relaxed);
    }

    /// The producer's counts so far.
    pub(crate) fn counts(&self) -> Counts {
        let others = self.counts_without_attempts();
        Counts { attempted: self.written.attempted.load(Relaxed), ..others }
    }

    /// The same with no attempts. Leaves the line alone that each append stores to.
    pub(crate) fn counts_without_attempts(&self) -> Counts {
        let Losses { dropped_full, dropped_by, overwritten, waits, waited_ns } = &*self.losses;
        let DroppedByCause { memory, timed_out, device_failed } = dropped_by;
        // Acquire: _loss counted_.
        let [full, memory, timed_out, device_failed, overwritten] =
            [dropped_full, memory, timed_out, device_failed, overwritten].map(|count| count.load(Acquire));
        let dropped_by = DropCounts { full, memory, timed_out, device_failed };
        Counts {
            dropped: dropped_by.total(),
            dropped_by,
            overwritten,
            waits: waits.load(Relaxed),
            waited_ns: waited_ns.load(Relaxed),
            attempted: 0,
        }
    }

    /// The producer's append flag, which the gate raises and lowers.
    #[inline(always)]
    pub(crate) fn append_flag(&self) -> &AppendFlag {
        &self.attempts.append_flag
    }

    // Attempts. Only the producer changes them, and `reset` before there is one.

    /// The sequence number of the next attempt.
    #[inline(always)]
    pub(super) fn next_sequence(&self) -> u64 {
        self.attempts.next_sequence.load(Relaxed)
    }

    /// Counts the attempt that took `sequence`.
    #[inline(always)]
    pub(super) fn count_attempt(&self, sequence: u64) {
        self.attempts.next_sequence.store(sequence + 1, Relaxed);
        self.written.attempted.store(sequence + 1, Relaxed);
    }

    /// Sets the sequence number of the next attempt.
    #[cfg(all(test, loom))]
    pub(super) fn set_next_sequence(&self, sequence: u64) {
        self.attempts.next_sequence.store(sequence, Relaxed);
        self.written.attempted.store(sequence, Relaxed);
    }

    /// Counts a dropped attempt, after [`count_attempt`](Self::count_attempt).
    #[inline(always)]
    pub(super) fn count_dropped(&self, cause: DropCause) {
        let DroppedByCause { memory, timed_out, device_failed } = &self.losses.dropped_by;
        let count = match cause {
            DropCause::Full => &self.losses.dropped_full,
            DropCause::Memory => memory,
            DropCause::TimedOut => timed_out,
            DropCause::DeviceFailed => device_failed,
        };
        add_loss(count, 1);
    }

    /// Counts the beginning of a wait for space.
    pub(crate) fn count_wait(&self) {
        add(&self.losses.waits, 1);
    }

    /// Counts how long a wait for space took.
    pub(crate) fn count_waited(&self, time: Duration) {
        add(&self.losses.waited_ns, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts records that were given up for newer ones.
    pub(super) fn count_overwritten(&self, records: u64) {
        add_loss(&self.losses.overwritten, records);
    }

    // Positions.

    /// Publishes the records and skips before `position`.
    #[inline(always)]
    pub(super) fn commit(&self, position: u64) {
        // Release: _commit_.
        self.written.write_position.store(position, Release);
    }

    /// The end of the committed records.
    pub(super) fn committed(&self) -> u64 {
        // Acquire: _commit_.
        self.written.write_position.load(Acquire)
    }

    /// Notes that a skip of the window begins at `position`. The commit that publishes the skip publishes this too.
    pub(super) fn note_skip(&self, position: u64) {
        self.written.skip_position.store(position, Relaxed);
    }

    /// Where the last skip of the window begins.
    pub(super) fn last_skip(&self) -> u64 {
        // Relaxed: if the consumer has observed a skip, the commit that published it also published this.
        self.written.skip_position.load(Relaxed)
    }

    /// Gives the bytes of an ordinary ring before `position` back to the producer.
    pub(super) fn release(&self, position: u64) {
        // Release: _space_.
        self.space.read_position.store(position, Release);
    }

    /// Up to which position the consumer has released an ordinary ring. For the producer.
    pub(super) fn released(&self) -> u64 {
        // Acquire: _space_.
        self.space.read_position.load(Acquire)
    }

    /// The same for the consumer, which alone stores it.
    pub(super) fn own_released(&self) -> u64 {
        self.space.read_position.load(Relaxed)
    }

    /// The oldest record of an overwriting ring. For the producer.
    pub(super) fn oldest(&self) -> Oldest {
        // Acquire: _reading_.
        Oldest(self.oldest.load(Acquire))
    }

    /// Gives up the records of an overwriting ring from `seen` to `position`.
    ///
    /// # Errors
    /// The new value, if the consumer has changed it since. Then nothing was given up.
    pub(super) fn give_up(&self, seen: Oldest, position: u64) -> Result<(), Oldest> {
        debug_assert!(!seen.is_being_read(), "while the consumer copies, the producer must not move `oldest`");
        // Acquire: _reading_. No release: the consumer learns of records only from commits.
        self.oldest.compare_exchange(seen.0, position, Acquire, Acquire).map_or_else(|now| Err(Oldest(now)), |_| Ok(()))
    }

    /// Keeps the producer from giving up records until [`end_reading`](Self::end_reading). Returns the position of the
    /// oldest record.
    pub(super) fn begin_reading(&self) -> u64 {
        // No ordering is needed. The consumer has acquired the records before `observed` already, and the producer
        // gives none of them up before it has acquired the end of the reading.
        let oldest = Oldest(self.oldest.fetch_add(READING, Relaxed));
        assert!(!oldest.is_being_read(), "a reading begins within another");
        oldest.position()
    }

    /// Gives the bytes of an overwriting ring before `position` back to the producer, and lets it give up records
    /// again.
    pub(super) fn end_reading(&self, position: u64) {
        // Release: _reading_. The store clears READING.
        self.oldest.store(position, Release);
    }

    // The reserve.

    /// The reserve's state.
    #[cfg(all(test, not(loom)))]
    pub(super) fn reserve_state(&self) -> u32 {
        self.written.reserve_state.load(Relaxed)
    }

    /// Takes the reserve for an append. Returns `false` if the consumer has it for longer than the producer may wait.
    pub(super) fn open_reserve(&self) -> bool {
        // Acquire: _reserve_.
        let open = || self.written.reserve_state.compare_exchange(CLOSED, OPEN, Acquire, Relaxed).is_ok();
        for _ in 0..RETURNING_SPINS_MAX {
            if open() {
                return true;
            }
            spin_loop();
        }
        open()
    }

    /// Takes the reserve for the consumer, to give chunks back or to move its positions. Returns `false` if the
    /// producer has it.
    pub(super) fn begin_return(&self) -> bool {
        // Acquire: _reserve_.
        self.written.reserve_state.compare_exchange(CLOSED, RETURNING, Acquire, Relaxed).is_ok()
    }

    /// Ends what `open_reserve` or `begin_return` began: neither end has the reserve.
    pub(super) fn close_reserve(&self) {
        // Release: _reserve_.
        self.written.reserve_state.store(CLOSED, Release);
    }

    /// Publishes the records and skips of the reserve before `position`.
    pub(super) fn commit_reserve(&self, position: u64) {
        // Release: _commit_.
        self.written.reserve_position.store(position, Release);
    }

    /// The end of the committed records of the reserve.
    pub(super) fn committed_reserve(&self) -> u64 {
        // Acquire: _commit_.
        self.written.reserve_position.load(Acquire)
    }

    /// Whether the producer has committed nothing after `position`.
    #[inline]
    pub(super) fn is_at(&self, position: Position) -> bool {
        // Relaxed: the code that reads the records loads the positions once more.
        self.written.write_position.load(Relaxed) == position.window
            && self.written.reserve_position.load(Relaxed) == position.reserve
    }

    /// The same for the end that has the reserve.
    pub(super) fn own_reserve_position(&self) -> u64 {
        self.written.reserve_position.load(Relaxed)
    }

    /// How many bytes of the reserve count as memory. Exact for the end that has the reserve; for others it may be
    /// stale.
    pub(super) fn entered_bytes(&self) -> u64 {
        self.written.entered_bytes.load(Relaxed)
    }

    /// Sets how many bytes of the reserve count as memory. For the end that has the reserve.
    pub(super) fn set_entered_bytes(&self, bytes: u64) {
        self.written.entered_bytes.store(bytes, Relaxed);
    }

    /// Moves both positions of an empty reserve. For the consumer, while it has the reserve.
    pub(super) fn move_reserve(&self, position: u64) {
        // `close_reserve` publishes both. The order matters if the process dies in between: this way the reserve ends
        // before it begins, and its image is empty. The other way round it would seem to hold old bytes.
        self.space.reserve_read_position.store(position, Relaxed);
        self.written.reserve_position.store(position, Release);
    }

    /// Like [`note_skip`](Self::note_skip), for the reserve.
    pub(super) fn note_reserve_skip(&self, position: u64) {
        self.written.reserve_skip_position.store(position, Relaxed);
    }

    /// Like [`last_skip`](Self::last_skip), for the reserve.
    pub(super) fn last_reserve_skip(&self) -> u64 {
        self.written.reserve_skip_position.load(Relaxed)
    }

    /// Gives the bytes of the reserve before `position` back to the producer.
    pub(super) fn release_reserve(&self, position: u64) {
        // Release: _space_.
        self.space.reserve_read_position.store(position, Release);
    }

    /// Up to which position the consumer has released the reserve. For the producer.
    pub(super) fn reserve_released(&self) -> u64 {
        // Acquire: _space_.
        self.space.reserve_read_position.load(Acquire)
    }

    /// The same for the consumer, which alone stores it.
    pub(super) fn own_reserve_released(&self) -> u64 {
        self.space.reserve_read_position.load(Relaxed)
    }

    // Want of space.

    /// Notes that a claim found no room.
    pub(crate) fn mark_wants_space(&self) {
        // Load first: a producer that drops records in a loop must not take the cache line from the writer each time.
        if !self.wants_space() {
            self.space.wants_space.store(true, Relaxed);
        }
    }

    /// Whether a claim found no room since the last [`take_wants_space`](Self::take_wants_space).
    pub(crate) fn wants_space(&self) -> bool {
        // Relaxed: it is a hint. To miss it once costs one turn of the writer.
        self.space.wants_space.load(Relaxed)
    }

    /// Whether a claim found no room since the last call.
    pub(crate) fn take_wants_space(&self) -> bool {
        self.wants_space() && self.space.wants_space.swap(false, Relaxed)
    }

    /// Announces that the producing thread is about to sleep until space is released. It must look for space once more
    /// before it sleeps.
    pub(crate) fn announce_wait(&self) {
        // Acquire and release: _space wanted_. The later one of this exchange and the one in `wake_producer` sees the
        // other side's earlier stores: the released space, or the announcement.
        self.space.awaits_space.swap(1, AcqRel);
    }

    /// Sleeps after [`announce_wait`](Self::announce_wait) until [`wake_producer`](Self::wake_producer), for at most
    /// `limit`. May return earlier without a reason.
    pub(crate) fn sleep(&self, limit: Duration) {
        sys::futex::wait_while(&self.space.awaits_space, 1, limit);
    }

    /// Withdraws the announcement, after the producer has found space.
    pub(crate) fn end_wait(&self) {
        self.space.awaits_space.store(0, Relaxed);
    }

    /// Wakes the producing thread if it sleeps for space. The caller has released some space before.
    pub(crate) fn wake_producer(&self) {
        // Acquire and release: _space wanted_, see `announce_wait`.
        if self.space.awaits_space.swap(0, AcqRel) != 0 {
            sys::futex::wake(&self.space.awaits_space);
        }
    }
}

/// Adds to a count that only one thread changes.
#[inline(always)]
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
}

/// Adds to a count of losses that only one thread changes.
#[inline(always)]
fn add_loss(count: &AtomicU64, more: u64) {
    // Release: _loss counted_. A thread that sees the loss also sees its attempt, which was counted before.
    count.store(count.load(Relaxed).wrapping_add(more), Release);
}

/// A value of `oldest` that the producer has loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oldest(u64);

impl Oldest {
    /// The position of the oldest record that was not given up.
    pub(super) fn position(self) -> u64 {
        self.0 & !READING
    }

    /// Whether the consumer is copying from that position.
    pub(super) fn is_being_read(self) -> bool {
        self.0 & READING != 0
    }
}
