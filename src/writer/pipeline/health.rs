//! Whether the device takes writes, and what to do while it does not.
//!
//! - Want of room (a full disk, a quota): nothing is lost. The refused blocks are held and written
//!   again at the same place, every 100 ms to 1 s.
//! - No next segment where the present one may not grow: blocks wait, and the next is asked for again and again.
//! - Anything else: what the kernel holds of that file cannot be known any more. The segment has failed for good, and
//!   what is not acknowledged goes to a new one.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, is_want_of_room};
use crate::flush::FlushFault;
use crate::format::StatusCode;
use crate::stats::State;

/// Waits between tries while there is no room: the first, and the longest.
const FULL_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Waits between new segments that fail: after the second in a row, and the longest. The first is tried at once.
const MOVE_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Something that the log itself should say.
pub(crate) type Note = (StatusCode, String);

/// The state of the way to the disk.
#[derive(Default)]
pub(super) struct Health {
    state: State,
    trouble: Trouble,
    /// Why, from the first refusal until a block is durable again.
    fault: Option<FlushFault>,
    /// What kind of error that is, where it was that of making a segment.
    refused: Option<io::ErrorKind>,
    /// The wait before the next new segment, if that fails too; zero until one has failed.
    move_delay: Duration,
    notes: Vec<Note>,
}

#[derive(Default)]
enum Trouble {
    #[default]
    None,
    /// Refused for want of room: tried again at `again_at`, and `delay` after that.
    Full { again_at: Instant, delay: Duration },
    /// Refused again writes are on their way.
    Trying { delay: Duration },
    /// The segment has failed: a new one is tried at `again_at`.
    Failed { again_at: Instant },
}

impl Health {
    /// What to publish of all this.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether new blocks may be submitted.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.trouble, Trouble::None)
    }

    /// Why nothing more becomes durable, if so.
    pub(super) fn fault(&self) -> Option<&FlushFault> {
        self.fault.as_ref()
    }

    /// Notes something to say.
    pub(super) fn note(&mut self, code: StatusCode, text: String) {
        self.notes.push((code, text));
    }

    /// What there is to say since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Whether it is time to write the refused blocks again, where they were.
    pub(super) fn wants_same_place(&mut self) -> bool {
        match self.trouble {
            Trouble::Full { again_at, delay } if Instant::now() >= again_at => {
                self.trouble = Trouble::Trying { delay };
                true
            }
            _ => false,
        }
    }

    /// Whether the blocks that are not durable must go to a new segment.
    pub(super) fn wants_new_segment(&self) -> bool {
        matches!(self.trouble, Trouble::Failed { again_at } if Instant::now() >= again_at)
    }

    /// A new segment is there; the next block tells whether it works. Until then the fault stands.
    pub(super) fn moved(&mut self) {
        self.trouble = Trouble::None;
    }

    /// A write to `path` was refused.
    pub(super) fn write_failed(&mut self, error: &io::Error, path: &Path) {
        if self.fault.is_none() {
            self.notes.push((StatusCode::Error, format!("cannot write {}: {error}", path.display())));
        }
        self.fault.get_or_insert_with(|| FlushFault::io(path, error));
        self.refused = None;
        // Not a file size limit: at the same place there will never be room.
        let full = is_want_of_room(error) && error.kind() != io::ErrorKind::FileTooLarge;
        self.trouble = match self.trouble {
            // Blocks that failed cannot be held for a place that failed.
            Trouble::Failed { again_at } => Trouble::Failed { again_at },
            _ if !full => {
                let again_at = Instant::now() + self.move_delay;
                self.move_delay = (self.move_delay * 2).clamp(MOVE_DELAYS.0, MOVE_DELAYS.1);
                Trouble::Failed { again_at }
            }
            Trouble::None => Trouble::Full { again_at: Instant::now() + FULL_DELAYS.0, delay: FULL_DELAYS.0 },
            Trouble::Full { again_at, delay } => Trouble::Full { again_at, delay },
            Trouble::Trying { delay } => {
                let delay = (delay * 2).min(FULL_DELAYS.1);
                Trouble::Full { again_at: Instant::now() + delay, delay }
            }
        };
        let failed = matches!(self.trouble, Trouble::Failed { .. });
        self.state = if failed { State::Failed } else { State::Full };
    }

    /// There is no room in the present segment, and the next one cannot be had, for this reason. That is tried again by itself.
    /// Whether the reason is news.
    pub(super) fn segment_refused(&mut self, error: &Error) -> bool {
        let (path, source) = match error {
            Error::Io { path, source, .. } => (path.as_path(), source),
            other => (Path::new(""), &io::Error::other(other.to_string())),
        };
        if self.fault.is_some() && self.refused.is_none_or(|kind| kind == source.kind()) {
            return false;
        }
        self.refused = Some(source.kind());
        self.fault = Some(FlushFault::io(path, source));
        self.state = if is_want_of_room(source) { State::Full } else { State::Failed };
        true
    }

    /// A segment's header has become durable. Whether its blocks will is still to be seen, but they may be tried.
    pub(super) fn header_succeeded(&mut self) {
        if matches!(self.trouble, Trouble::Trying { .. }) {
            self.trouble = Trouble::None;
        }
    }

    /// A block has become durable.
    pub(super) fn write_succeeded(&mut self) {
        if self.fault.is_none() || matches!(self.trouble, Trouble::Failed { .. } | Trouble::Full { .. }) {
            return;
        }
        self.trouble = Trouble::None;
        (self.fault, self.refused) = (None, None);
        self.move_delay = Duration::ZERO;
        self.state = State::Ok;
        self.notes.push((StatusCode::Resumed, "blocks are written again; those refused were kept".to_owned()));
    }
}
