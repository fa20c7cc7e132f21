//! The buffers in which blocks are filled and from which they are written: a log's own, or its share of an engine's
//! pool.
//!
//! A log alone on its writer gets all of its buffers when it begins. The logs of an engine take buffers from a pool
//! when they need them, and give them back when a block is durable:
//!
//! - A log has at most its cap: the blocks that it may have in flight, one that is being filled, and one that waits. So
//!   a log whose disk is full or has failed takes no more than that.
//! - [`GUARANTEED`] of these are reserved for it, so that no other log can stop it.
//! - All buffers together take at most `blocks_bytes_max`, or if that is not set, an amount that grows with the open
//!   logs. A buffer counts from its allocation until its memory is freed, also while the kernel still reads the block
//!   of a log that has ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::buffer::{AlignedBuffer, ByteCount};
use crate::device::DeviceSet;
use crate::error::{Error, Result};
use crate::grouped::Size;

/// How many buffers each log has that no other log can take: one is written while the other is filled.
const GUARANTEED: usize = 2;

/// The most memory that the buffers of a pool may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BlockMemory {
    /// So many bytes, whatever logs are open.
    Fixed(usize),
    /// So many bytes besides what is guaranteed to the open logs.
    Growing(usize),
}

/// The buffers of one log.
pub(crate) struct Buffers {
    supply: Supply,
}

/// Where a log has its buffers from.
enum Supply {
    /// All of them, if they are in use nowhere.
    Own(Vec<AlignedBuffer>),
    Share(PoolShare),
}

/// A log's share of a pool.
struct PoolShare {
    pool: Pool,
    block_bytes: usize,
    /// How many the log may have.
    cap: usize,
    /// How many it has.
    taken: usize,
}

impl Buffers {
    /// Buffers of a log that shares them with no other.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(super) fn own(count: usize, block_bytes: usize) -> io::Result<Buffers> {
        let make = |index| AlignedBuffer::new(block_bytes, index as u16);
        Ok(Buffers { supply: Supply::Own((0..count).map(make).collect::<io::Result<_>>()?) })
    }

    /// The buffers that are made already, and will be written from.
    pub(super) fn made(&self) -> &[AlignedBuffer] {
        match &self.supply {
            Supply::Own(free) => free,
            Supply::Share(_) => &[],
        }
    }

    /// Whether [`take`](Self::take) would find a buffer, as far as the limits say.
    pub(super) fn has_free(&self) -> bool {
        match &self.supply {
            Supply::Own(free) => !free.is_empty(),
            Supply::Share(share) => share.may_take(),
        }
    }

    /// A buffer for the next block; `None` if there is none now.
    pub(super) fn take(&mut self) -> Option<AlignedBuffer> {
        match &mut self.supply {
            Supply::Own(free) => free.pop(),
            Supply::Share(share) => {
                if !share.may_take() {
                    return None;
                }
                let buffer = share.pool.inner.borrow_mut().take(share.block_bytes, share.taken < GUARANTEED)?;
                share.taken += 1;
                Some(buffer)
            }
        }
    }

    /// Gives a buffer back that was taken.
    pub(super) fn give_back(&mut self, buffer: AlignedBuffer) {
        match &mut self.supply {
            Supply::Own(free) => free.push(buffer),
            Supply::Share(share) => {
                share.taken -= 1;
                share.pool.inner.borrow_mut().give_back(buffer, share.taken < GUARANTEED);
            }
        }
    }
}

impl PoolShare {
    fn may_take(&self) -> bool {
        let is_guaranteed = self.taken < GUARANTEED;
        self.taken < self.cap && (is_guaranteed || self.pool.inner.borrow().has_room(self.block_bytes))
    }
}

impl Drop for PoolShare {
    fn drop(&mut self) {
        // The log's other buffers are freed elsewhere, and count until then.
        let mut inner = self.pool.inner.borrow_mut();
        inner.reserved_bytes -= GUARANTEED.saturating_sub(self.taken) * self.block_bytes;
        inner.guaranteed_bytes -= GUARANTEED * self.block_bytes;
        if self.taken > 0 {
            inner.devices.forget_freed();
        }
        inner.free_spare();
    }
}

/// The buffers that the logs of one writer thread share. Clones are handles to the same pool.
#[derive(Clone)]
pub(super) struct Pool {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    memory: BlockMemory,
    /// Bytes of the guaranteed buffers of all logs, whether they have taken them or not.
    guaranteed_bytes: usize,
    /// Bytes of all buffers that exist, wherever they are.
    used: ByteCount,
    /// Reserved for the guaranteed buffers that logs have not taken. Together with the buffers in use this is at most
    /// [`bytes_max`](Inner::bytes_max), except between a give-back and the freeing of spare buffers.
    reserved_bytes: usize,
    /// Spare buffers, which no log has, by their size.
    spare: BTreeMap<usize, Vec<AlignedBuffer>>,
    /// Where new buffers are registered.
    devices: DeviceSet,
}

impl Pool {
    /// A pool of at most this memory, whose buffers are written by `devices`.
    pub(super) fn new(memory: BlockMemory, devices: DeviceSet) -> Pool {
        let (used, spare) = (ByteCount::default(), BTreeMap::new());
        let inner = Inner { memory, guaranteed_bytes: 0, used, reserved_bytes: 0, spare, devices };
        Pool { inner: Rc::new(RefCell::new(inner)) }
    }

    /// The share of a log that may have `cap` buffers of `block_bytes`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the pool is too small to guarantee it any.
    pub(super) fn share(&self, cap: usize, block_bytes: usize) -> Result<Buffers> {
        let mut inner = self.inner.borrow_mut();
        inner.reserved_bytes += GUARANTEED * block_bytes;
        inner.guaranteed_bytes += GUARANTEED * block_bytes;
        inner.free_spare();
        // Beyond a limit that grows, there are for a moment the buffers of logs that have ended on a disk that hangs.
        let is_limited = matches!(inner.memory, BlockMemory::Fixed(_));
        if is_limited && inner.used.bytes() + inner.reserved_bytes > inner.bytes_max() {
            inner.reserved_bytes -= GUARANTEED * block_bytes;
            inner.guaranteed_bytes -= GUARANTEED * block_bytes;
            let remedy = format!(
                "the engine's other logs leave no room for {GUARANTEED} blocks of {}, which each log needs: raise it, \
                 use smaller block_bytes, or close some logs",
                Size(block_bytes as u64)
            );
            return Err(Error::invalid("blocks_bytes_max", Size(inner.bytes_max() as u64), remedy));
        }
        drop(inner);
        Ok(Buffers { supply: Supply::Share(PoolShare { pool: self.clone(), block_bytes, cap, taken: 0 }) })
    }
}

impl Inner {
    /// The most bytes that all buffers may take now.
    fn bytes_max(&self) -> usize {
        match self.memory {
            BlockMemory::Fixed(bytes) => bytes,
            BlockMemory::Growing(bytes) => bytes + self.guaranteed_bytes,
        }
    }

    /// Whether a log may have one more than it is guaranteed.
    fn has_room(&self, block_bytes: usize) -> bool {
        let has_spare = |bytes: &usize| self.spare.get(bytes).is_some_and(|spare| !spare.is_empty());
        let other_spare: usize = self.spare.iter().map(|(bytes, spare)| bytes * spare.len()).sum();
        has_spare(&block_bytes) || self.fits(block_bytes, other_spare)
    }

    /// Whether one more can be made, once `freed` bytes of spare ones are freed.
    fn fits(&self, block_bytes: usize, freed: usize) -> bool {
        self.used.bytes() + self.reserved_bytes + block_bytes <= self.bytes_max() + freed
    }

    /// A buffer, out of what is reserved for the log if it `is_guaranteed`. `None` if the system has no memory.
    fn take(&mut self, block_bytes: usize, is_guaranteed: bool) -> Option<AlignedBuffer> {
        let spare = self.spare.get_mut(&block_bytes).and_then(Vec::pop);
        let buffer = match spare {
            Some(buffer) => buffer,
            None => {
                while !is_guaranteed && !self.fits(block_bytes, 0) {
                    self.free_one_spare()?;
                }
                let made = AlignedBuffer::counted(block_bytes, 0, &self.used).ok()?;
                self.devices.register(std::slice::from_ref(&made));
                made
            }
        };
        if is_guaranteed {
            self.reserved_bytes -= block_bytes;
        }
        Some(buffer)
    }

    /// Takes a buffer back. If the log then has fewer than it is guaranteed, as much is reserved for it again.
    fn give_back(&mut self, buffer: AlignedBuffer, is_guaranteed: bool) {
        let block_bytes = buffer.len();
        if is_guaranteed {
            self.reserved_bytes += block_bytes;
        }
        // A copy of a block that the kernel will never give back is not one of the pool's buffers.
        if buffer.is_counted() {
            self.spare.entry(block_bytes).or_default().push(buffer);
        }
        self.free_spare();
    }

    /// Frees spare buffers until those that are guaranteed have room.
    fn free_spare(&mut self) {
        while self.used.bytes() + self.reserved_bytes > self.bytes_max() && self.free_one_spare().is_some() {}
    }

    /// Frees a spare buffer; `None` if there is none.
    fn free_one_spare(&mut self) -> Option<()> {
        let freed = self.spare.values_mut().find_map(Vec::pop)?;
        drop(freed);
        self.devices.forget_freed();
        Some(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::device::LogCount;

    const BLOCK: usize = 4096;

    fn pool(blocks: usize) -> Pool {
        Pool::new(BlockMemory::Fixed(blocks * BLOCK), DeviceSet::new(LogCount::Many, || ()))
    }

    fn take_all(buffers: &mut Buffers) -> Vec<AlignedBuffer> {
        std::iter::from_fn(|| buffers.take()).collect()
    }

    #[test]
    fn no_log_takes_more_than_its_cap_or_what_others_are_guaranteed() {
        let pool = pool(10);
        let [mut one, mut two] = [(); 2].map(|()| pool.share(6, BLOCK).expect("room"));
        let (of_one, of_two) = (take_all(&mut one), take_all(&mut two));
        assert_eq!((of_one.len(), of_two.len()), (6, 4));
        assert!(!one.has_free() && !two.has_free());
        // What one gives back the other may take, up to its cap.
        of_one.into_iter().for_each(|buffer| one.give_back(buffer));
        let more = take_all(&mut two);
        assert_eq!(more.len(), 2);
        assert_eq!(take_all(&mut one).len(), 4);
        drop((of_two, more));
    }

    #[test]
    fn a_pool_that_grows_has_two_buffers_for_each_log_and_the_same_number_besides() {
        let pool = Pool::new(BlockMemory::Growing(3 * BLOCK), DeviceSet::new(LogCount::Many, || ()));
        let mut greedy = pool.share(66, BLOCK).expect("room");
        let taken = take_all(&mut greedy);
        assert_eq!(taken.len(), GUARANTEED + 3);
        let mut logs: Vec<_> = (0..100).map(|_| pool.share(66, BLOCK).expect("room for each")).collect();
        let of_logs: Vec<_> = logs.iter_mut().map(take_all).collect();
        assert!(of_logs.iter().all(|taken| taken.len() == GUARANTEED), "the others are taken");
        assert_eq!(pool.inner.borrow().used.bytes(), (101 * GUARANTEED + 3) * BLOCK);
        // What is left after logs have ended is what it was before they began.
        taken.into_iter().for_each(|buffer| greedy.give_back(buffer));
        drop((of_logs, logs));
        assert_eq!(take_all(&mut greedy).len(), GUARANTEED + 3);
        assert!(pool.inner.borrow().used.bytes() <= (GUARANTEED + 3) * BLOCK);
    }

    #[test]
    fn a_guaranteed_buffer_is_there_whatever_the_others_have() {
        let pool = pool(10);
        let mut greedy = pool.share(66, BLOCK).expect("room");
        let taken = take_all(&mut greedy);
        assert_eq!(taken.len(), 10);
        let Err(Error::InvalidConfig { setting: "blocks_bytes_max", .. }) = pool.share(3, BLOCK).map(drop) else {
            panic!("there is no room for a log")
        };
        let mut taken = taken;
        taken.drain(..3).for_each(|buffer| greedy.give_back(buffer));
        let mut late = pool.share(3, BLOCK).expect("room again");
        let more = take_all(&mut greedy);
        assert_eq!(more.len(), 1, "the others are left to the new log");
        assert_eq!(take_all(&mut late).len(), GUARANTEED);
        drop((taken, more));
    }

    #[test]
    fn spare_buffers_of_another_size_make_room() {
        let pool = pool(8);
        let [mut small, mut large] = [BLOCK, 2 * BLOCK].map(|bytes| pool.share(8, bytes).expect("room"));
        let taken = take_all(&mut small);
        assert_eq!(taken.len(), 4, "beside two large ones");
        taken.into_iter().for_each(|buffer| small.give_back(buffer));
        let taken = take_all(&mut large);
        assert_eq!(taken.len(), 3, "beside two small ones");
        assert!(pool.inner.borrow().used.bytes() <= 8 * BLOCK);
        assert_eq!(take_all(&mut small).len(), GUARANTEED);
    }

    #[test]
    fn buffers_of_a_log_that_has_ended_count_until_they_are_freed() {
        let pool = pool(4);
        let mut gone = pool.share(4, BLOCK).expect("room");
        let kernel_has = [gone.take(), gone.take(), gone.take()];
        drop(gone);
        assert!(pool.share(4, BLOCK).is_err(), "three of four are in use");
        drop(kernel_has);
        let mut next = pool.share(4, BLOCK).expect("room again");
        assert_eq!(take_all(&mut next).len(), 4);
    }
}
