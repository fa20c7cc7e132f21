//! A producer's wait for space in its ring, if the overflow policy says so. `producer` and `claim` use it;
//! `common_ring` waits in a loop of its own, outside its lock.

use std::time::{Duration, Instant};

use crate::attempt::{drop_newest, refuse};
use crate::config::Overflow;
use crate::delays::Delays;
use crate::outcome::Outcome;
use crate::ring::{DropCause, ProducerEnd};
use crate::shared::Shared;

/// How long a producer sleeps for space before it checks the other ends of its wait: close, or a failed device. The
/// writer wakes it when half of the ring is free, or when no more space will come. The longer it has waited, the less
/// often it checks, because a disk may be full for hours.
pub(crate) const SLEEPS: Delays = Delays { first: Duration::from_millis(1), longest: Duration::from_millis(32) };

/// How often it looks at the full ring before it sleeps, each time after twice as many pauses as the last: for some
/// microseconds in all. A block takes the disk a hundred and more, so a longer spin would rarely save the sleep.
const SPINS: u32 = 5;

/// Handles a record for which there is no room, because of `cause`, as the policy says: waits until `append` succeeds,
/// which gets the time of the record, or drops the record. Returns `None` if `append` succeeded, and otherwise the
/// outcome.
pub(crate) fn wait_or_drop(
    shared: &Shared,
    end: &ProducerEnd,
    cause: DropCause,
    append: impl Fn(u64) -> bool,
) -> Option<Outcome> {
    let give_up_at = match shared.settings.config.overflow {
        Overflow::Block => None,
        // A limit too large for an `Instant` is none.
        Overflow::BlockFor(limit) => Instant::now().checked_add(limit),
        Overflow::DropNewest | Overflow::OverwriteOldest => return Some(drop_newest(end, cause)),
    };
    let begun = Instant::now();
    end.control().count_wait();
    let outcome = wait(shared, end, give_up_at, append);
    end.control().count_waited(begun.elapsed());
    outcome
}

/// Waits until `append` succeeds (`None`), or until there is another outcome, at `give_up_at` at the latest.
fn wait(
    shared: &Shared,
    end: &ProducerEnd,
    give_up_at: Option<Instant>,
    append: impl Fn(u64) -> bool,
) -> Option<Outcome> {
    // The time of the call, not of the moment when there is room.
    let ticks = shared.clock.ticks();
    let control = end.control();
    shared.wake_writer();
    let mut look = 0_u32;
    let mut sleep = SLEEPS.first;
    loop {
        if shared.gate.is_shut() {
            // No sequence number was taken yet, so a refusal leaves no hole.
            return Some(refuse(shared, shared.gate.refusal()));
        }
        if look >= SPINS {
            control.announce_wait();
        }
        if append(ticks) {
            control.end_wait();
            return None;
        }
        let left = give_up_at.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(cause) = give_up_cause(shared, left) {
            return Some(drop_newest(end, cause));
        }
        if look < SPINS {
            (0..1_u32 << look).for_each(|_| std::hint::spin_loop());
        } else {
            control.sleep(left.map_or(sleep, |left| left.min(sleep)));
            sleep = SLEEPS.after(sleep);
        }
        look = look.saturating_add(1);
    }
}

/// Why a record that waits for space is dropped now, with `left` of its time; `None` if it goes on waiting.
pub(crate) fn give_up_cause(shared: &Shared, left: Option<Duration>) -> Option<DropCause> {
    if shared.gives_up_waiting() {
        Some(DropCause::DeviceFailed)
    } else {
        left.is_some_and(|left| left.is_zero()).then_some(DropCause::TimedOut)
    }
}
