//! Whether the device takes writes, and how the pipeline goes on while it does not.
//!
//! - No room (a full disk, a quota): nothing is lost. The refused blocks are held and written again at the same place,
//!   every 100 ms to 1 s.
//! - No next segment, and the present one may not grow: blocks wait, and the next segment is asked for again and again.
//! - Any other error: the state of the file in the page cache is unknown. The segment has failed for good, and all
//!   blocks that are not acknowledged go to a new one.
//!
//! It decides and remembers; the pipeline writes, and publishes the state.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::delays::Delays;
use crate::error::{Error, is_want_of_room};
use crate::flush::FlushFault;
use crate::format::StatusCode;
use crate::stats::State;

/// The waits while there is no room.
const FULL_DELAYS: Delays = Delays { first: Duration::from_millis(100), longest: Duration::from_secs(1) };

/// The waits while new segments fail, one after the other. The first new segment is tried at once.
const MOVE_DELAYS: Delays = Delays { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// A sentence that the log itself should hold.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) code: StatusCode,
    pub(crate) text: String,
}

/// Whether blocks can be written, and why not.
#[derive(Default)]
pub(super) struct Health {
    trouble: Trouble,
    /// The state to publish: not `Ok` from the first refusal until a block is durable again.
    pub(super) state: State,
    /// Why nothing more becomes durable, while that is so.
    pub(super) fault: Option<FlushFault>,
    /// The kind of the error, if it came from preparing a segment.
    preparation_error: Option<io::ErrorKind>,
    /// The wait after the next new segment fails too; zero before any has failed.
    move_delay: Duration,
    /// Whether a new segment has failed too, or none can be had.
    new_segment_failed: bool,
    /// Notes for the log. The pipeline takes them.
    pub(super) notes: Vec<Note>,
}

#[derive(Default)]
enum Trouble {
    #[default]
    None,
    /// Refused for lack of room: tried again at `again_at`, and after that in steps of `delay`.
    Full { again_at: Instant, delay: Duration },
    /// The refused writes have been submitted again.
    Trying { delay: Duration },
    /// The segment has failed: a new one is tried at `again_at`.
    Failed { again_at: Instant },
}

impl Health {
    /// Whether new blocks may be submitted.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.trouble, Trouble::None)
    }

    /// Whether callers should give up waiting for room: after a failed segment the next one has failed too, or none can
    /// be had.
    pub(super) fn gives_up_waiting(&self) -> bool {
        self.state == State::Failed && self.new_segment_failed
    }

    /// Adds a note for the log.
    pub(super) fn note(&mut self, code: StatusCode, text: String) {
        self.notes.push(Note { code, text });
    }

    /// Begins the next try to write the refused blocks where they were, if it is due. Returns whether it is.
    pub(super) fn start_due_try(&mut self) -> bool {
        match self.trouble {
            Trouble::Full { again_at, delay } if Instant::now() >= again_at => {
                self.trouble = Trouble::Trying { delay };
                true
            }
            _ => false,
        }
    }

    /// Whether it is time to move the blocks that are not durable to a new segment.
    pub(super) fn needs_new_segment(&self) -> bool {
        matches!(self.trouble, Trouble::Failed { again_at } if Instant::now() >= again_at)
    }

    /// Notes that a new segment is in use. The next block shows whether it works; until then the fault remains.
    pub(super) fn moved(&mut self) {
        self.trouble = Trouble::None;
    }

    /// A write to `path` was refused.
    pub(super) fn write_failed(&mut self, error: &io::Error, path: &Path) {
        if self.fault.is_none() {
            self.note(StatusCode::Error, format!("cannot write {}: {error}", path.display()));
        }
        self.fault.get_or_insert_with(|| FlushFault::io("write", path, error));
        self.preparation_error = None;
        // A file size limit does not count as lack of room here: the same place will never have room.
        let full = is_want_of_room(error) && error.kind() != io::ErrorKind::FileTooLarge;
        self.trouble = match self.trouble {
            // A failed segment stays failed: the log never waits for room in it.
            Trouble::Failed { again_at } => Trouble::Failed { again_at },
            _ if !full => {
                let again_at = Instant::now() + self.move_delay;
                self.new_segment_failed |= !self.move_delay.is_zero();
                self.move_delay = MOVE_DELAYS.after(self.move_delay);
                Trouble::Failed { again_at }
            }
            Trouble::None => {
                let delay = FULL_DELAYS.first;
                Trouble::Full { again_at: Instant::now() + delay, delay }
            }
            Trouble::Full { again_at, delay } => Trouble::Full { again_at, delay },
            Trouble::Trying { delay } => {
                let delay = FULL_DELAYS.after(delay);
                Trouble::Full { again_at: Instant::now() + delay, delay }
            }
        };
        self.state = if matches!(self.trouble, Trouble::Failed { .. }) { State::Failed } else { State::Full };
    }

    /// Notes that the present segment may not grow, and that `error` refuses the next one in `directory`. The next
    /// segment is asked for again without help from here. Returns whether the reason is new.
    pub(super) fn segment_refused(&mut self, error: &Error, directory: &Path) -> bool {
        let (operation, path, source) = match error {
            Error::Io { operation, path, source, .. } => (*operation, path.as_path(), source),
            // Another logger has the log: the message says which.
            other => ("prepare a segment in", directory, &io::Error::other(other.to_string())),
        };
        if self.fault.is_some() && self.preparation_error.is_none_or(|kind| kind == source.kind()) {
            return false;
        }
        self.preparation_error = Some(source.kind());
        self.fault = Some(FlushFault::io(operation, path, source));
        self.state = if is_want_of_room(source) { State::Full } else { State::Failed };
        self.new_segment_failed = self.state == State::Failed;
        true
    }

    /// Notes that a segment's header is durable. Its blocks may be tried now; they may still fail.
    pub(super) fn header_succeeded(&mut self) {
        if matches!(self.trouble, Trouble::Trying { .. }) {
            self.trouble = Trouble::None;
        }
    }

    /// Notes that a block is durable. Returns whether that ends a failure.
    pub(super) fn write_succeeded(&mut self) -> bool {
        if self.fault.is_none() || matches!(self.trouble, Trouble::Failed { .. } | Trouble::Full { .. }) {
            return false;
        }
        self.trouble = Trouble::None;
        (self.fault, self.preparation_error) = (None, None);
        (self.move_delay, self.new_segment_failed) = (Duration::ZERO, false);
        self.state = State::Ok;
        self.note(StatusCode::Resumed, "blocks are written again; the refused ones were kept".to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(health: &mut Health, kind: io::ErrorKind) {
        health.write_failed(&kind.into(), "1.dlog".as_ref());
    }

    #[test]
    fn a_full_disk_is_full_until_a_block_is_durable_again() {
        let mut health = Health::default();
        refuse(&mut health, io::ErrorKind::StorageFull);
        assert!(health.state == State::Full && !health.is_good() && !health.needs_new_segment());
        assert!(!health.write_succeeded(), "a write that was under way before");
        while !health.start_due_try() {
            std::thread::yield_now();
        }
        health.header_succeeded();
        assert!(health.is_good() && health.state == State::Full, "only a block shows that it is over");
        assert!(health.fault.is_some());
        assert!(health.write_succeeded() && !health.write_succeeded());
        assert!(health.state == State::Ok && health.fault.is_none());
        let codes: Vec<_> = health.notes.iter().map(|note| note.code).collect();
        assert_eq!(codes, [StatusCode::Error, StatusCode::Resumed]);
    }

    #[test]
    fn a_failed_segment_stays_failed_whatever_its_other_writes_return() {
        let mut health = Health::default();
        refuse(&mut health, io::ErrorKind::Other);
        refuse(&mut health, io::ErrorKind::StorageFull);
        assert!(!health.write_succeeded());
        assert_eq!(health.state, State::Failed);
        assert!(health.needs_new_segment(), "the first new segment is tried at once");
        assert!(!health.gives_up_waiting(), "callers wait for it");
        health.moved();
        refuse(&mut health, io::ErrorKind::Other);
        assert!(!health.needs_new_segment(), "the second one only after a while");
        assert!(health.gives_up_waiting());
    }

    #[test]
    fn a_refused_segment_is_reported_with_its_own_operation_and_path() {
        let in_use = || Error::InUse { path: "log".into(), holder: "process 5".into() };
        for (error, expected) in [
            (
                Error::io("create", "log/2.dlog".as_ref(), io::ErrorKind::Other.into()),
                "cannot create log/2.dlog: other error",
            ),
            (in_use(), &*format!("cannot prepare a segment in log: {}", in_use())),
        ] {
            let mut health = Health::default();
            assert!(health.segment_refused(&error, "log".as_ref()));
            let fault = health.fault.expect("a fault").into_error();
            assert_eq!(fault.to_string(), expected);
            assert_eq!(health.state, State::Failed);
        }
    }
}
