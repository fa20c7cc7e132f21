//! The state of reading a run that may still get blocks: it decides which missing blocks may come, and which are lost.
//!
//! Nothing waits here. A block that may still come ends the walk for now; the walk's caller decides whether to look
//! again, after how long, or to go on without it.

use super::super::report::InUse;

/// The state of reading a log that may grow.
#[derive(Debug)]
pub(super) struct Live {
    /// Whether a logger had the log open when that was asked last.
    pub(super) in_use: InUse,
    /// Whether the caller has read to the end, and has asked for more.
    reached_end_before: bool,
    /// All blocks of the run below this number were known to be durable before the plan looked for them, so a missing
    /// one of them is lost. A missing block from this number on may have been written since.
    durable_at_look: u64,
    /// Blocks below this number are not waited for any more.
    skipped_below: u64,
    /// Whether the files were looked at after the last logger had gone.
    looked_after_logger: bool,
    /// The block for which the walk has stopped: it may still come.
    pub(super) awaited: Option<u64>,
}

/// The decision about a missing block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It will not come: pass over it.
    Gone,
    /// It may be there now: look once more for all blocks that have not been read.
    LookAgain,
    /// It may still come: nothing more can be read now.
    Awaited,
}

impl Live {
    pub(super) fn new(in_use: InUse) -> Live {
        Live {
            in_use,
            reached_end_before: false,
            durable_at_look: 0,
            skipped_below: 0,
            looked_after_logger: false,
            awaited: None,
        }
    }

    /// Begins a run.
    pub(super) fn start_run(&mut self) {
        (self.durable_at_look, self.skipped_below, self.awaited) = (0, 0, None);
    }

    /// Whether the caller has read to the end before, and come back.
    pub(super) fn reached_end_before(&self) -> bool {
        self.reached_end_before
    }

    /// Whether a logger is writing, or was when the caller had read everything. Then zeros follow the last block:
    /// reading them is useless, and would cache pages that the logger is about to write.
    pub(super) fn is_written(&self) -> bool {
        self.reached_end_before || self.in_use == InUse::Yes
    }

    /// Whether a block of the run may come after its place was looked at.
    pub(super) fn may_come_late(&self) -> bool {
        self.reached_end_before || self.in_use != InUse::No
    }

    /// A missing block below this number is lost if a later block says that it was durable.
    pub(super) fn proves_below(&self) -> u64 {
        if self.may_come_late() { self.durable_at_look } else { u64::MAX }
    }

    /// Decides about block `missing`. All blocks below `durable_below` are known to have been durable.
    ///
    /// If a later block says that it was durable, it was written before that later block was. The plan may have looked
    /// for it before that. Then it looks once more, and the block is lost if it is still missing. A block that was in
    /// flight may come as long as a logger has the log open.
    pub(super) fn decide(&mut self, missing: u64, durable_below: u64, in_use: impl FnOnce() -> InUse) -> Decision {
        if durable_below > missing {
            let is_lost = !self.may_come_late() || self.durable_at_look > missing;
            return if is_lost { Decision::Gone } else { Decision::LookAgain };
        }
        if missing < self.skipped_below {
            return Decision::Gone;
        }
        self.in_use = in_use();
        if self.in_use != InUse::No {
            self.awaited = Some(missing);
            return Decision::Awaited;
        }
        // The logger may have written its last blocks after the files were looked at, and gone after that.
        if std::mem::replace(&mut self.looked_after_logger, true) { Decision::Gone } else { Decision::LookAgain }
    }

    /// Notes that the plan now looks once more for all blocks that were not read. The blocks below `durable_below` are
    /// known to be durable at this time.
    pub(super) fn note_rewind(&mut self, durable_below: u64) {
        self.durable_at_look = self.durable_at_look.max(durable_below);
        self.awaited = None;
    }

    /// Notes that the caller asks for more. `left_some`: the walk has left segments unread that are there.
    pub(super) fn note_return(&mut self, in_use: InUse, left_some: bool) {
        // If the walk has stopped for a missing block, it has not reached the end.
        self.reached_end_before |= self.awaited.is_none() && !left_some;
        (self.in_use, self.looked_after_logger) = (in_use, false);
    }

    /// Skips the block before which the walk has stopped. Returns whether there is one.
    pub(super) fn skip_awaited(&mut self) -> bool {
        let Some(missing) = self.awaited.take() else { return false };
        self.skipped_below = missing.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_in_flight_is_awaited_while_a_logger_has_the_log_open_and_looked_for_once_after_that() {
        let mut live = Live::new(InUse::Yes);
        for in_use in [InUse::Yes, InUse::Unknown, InUse::Yes] {
            assert_eq!(live.decide(5, 5, || in_use), Decision::Awaited);
            assert_eq!(live.awaited, Some(5));
            live.note_rewind(5);
            assert_eq!(live.awaited, None);
        }
        assert_eq!(live.decide(5, 5, || InUse::No), Decision::LookAgain);
        assert_eq!(live.decide(5, 5, || InUse::No), Decision::Gone);
        assert_eq!(live.proves_below(), u64::MAX, "nothing comes late");
    }

    #[test]
    fn a_block_that_was_durable_is_looked_for_once_more_before_it_is_lost() {
        let mut live = Live::new(InUse::Yes);
        assert_eq!(live.decide(5, 6, || unreachable!("it is not in flight")), Decision::LookAgain);
        live.note_rewind(6);
        assert_eq!(live.decide(5, 6, || unreachable!("it is not in flight")), Decision::Gone);
        assert_eq!(live.proves_below(), 6);
        let mut unused = Live::new(InUse::No);
        assert_eq!(unused.decide(5, 6, || unreachable!("nothing comes")), Decision::Gone);
    }

    #[test]
    fn a_block_that_was_skipped_is_not_awaited_again_and_the_next_one_is() {
        let mut live = Live::new(InUse::Unknown);
        assert!(!live.skip_awaited(), "none is awaited");
        assert_eq!(live.decide(5, 5, || InUse::Unknown), Decision::Awaited);
        assert!(live.skip_awaited());
        assert_eq!(live.decide(5, 5, || InUse::Unknown), Decision::Gone);
        assert_eq!(live.decide(6, 6, || InUse::Unknown), Decision::Awaited);
        live.start_run();
        assert_eq!(live.decide(5, 5, || InUse::Unknown), Decision::Awaited, "another run's block");
    }

    #[test]
    fn who_comes_back_from_before_a_missing_block_has_not_read_to_the_end() {
        let mut live = Live::new(InUse::Unknown);
        live.decide(5, 5, || InUse::Unknown);
        live.note_return(InUse::Unknown, false);
        assert!(!live.is_written(), "what follows is searched to the file's end");
        live.note_rewind(5);
        live.note_return(InUse::No, false);
        assert!(live.is_written() && live.may_come_late());
    }
}
