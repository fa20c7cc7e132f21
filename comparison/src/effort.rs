//! How much is measured.

/// Counts of a run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The loggers take turns this often, and each figure is the median of its rounds.
    pub rounds: u64,
    /// Pauses in a round of the task `append`, with a burst or a single call after each, and some before these that do
    /// not count.
    pub bursts: u64,
    pub warm_up: u64,
    /// Messages until durable, and in a burst.
    pub records: u64,
    pub burst: u64,
    /// Ends of each kind of each logger.
    pub ends: u64,
    /// Messages before an exit.
    pub exit: u64,
    /// Messages a second before a kill.
    pub kill_rate: u64,
}

impl Effort {
    /// For figures that are quoted: less than five minutes.
    pub const FULL: Effort = Effort {
        rounds: 3,
        bursts: 2_500,
        warm_up: 300,
        records: 1_000_000,
        burst: 1_000_000,
        ends: 3,
        exit: 10_000,
        kill_rate: 20_000,
    };

    /// To see that everything works: less than a minute.
    pub const QUICK: Effort = Effort {
        rounds: 1,
        bursts: 200,
        warm_up: 50,
        records: 50_000,
        burst: 200_000,
        ends: 1,
        exit: 1_000,
        kill_rate: 20_000,
    };
}
