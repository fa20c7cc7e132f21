//! What a logger must do to take part.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A logger, set up as its documentation shows.
///
/// Its threads inherit the CPUs of the thread that calls [`start`](Rival::start).
pub trait Rival: Sized + Sync {
    /// What one thread logs with.
    type Handle;

    /// How long [`finish`](Rival::finish) waits only to see that nothing comes any more. It is taken off the times.
    const WAITS_IN_VAIN: Duration = Duration::ZERO;

    /// Starts it, with its files in the directory `place`. If it `waits`, a thread that finds a queue full waits for
    /// space, as far as the logger can; otherwise the logger's default counts.
    fn start(place: &Path, waits: bool) -> Result<Self, Failure>;

    /// Called on the thread that will log.
    fn handle(&self) -> Result<Self::Handle, Failure>;

    /// Logs a message at level Info.
    fn log(handle: &mut Self::Handle, message: &str);

    /// Ends it as its documentation says, so that all messages are in its files. Returns how many it says were lost.
    fn finish(self, place: &Path) -> Result<u64, Failure>;
}

/// One of those that take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// Reading the clock, which a logger does at least.
    Clock,
    /// A ring and a clock, without a log.
    Rtrb,
    /// diolog, by a producer of the thread's own.
    Diolog,
    /// diolog, with its rings in a file that outlives the process.
    DiologShared,
    /// diolog, by its macro.
    DiologMacro,
    /// diolog, behind the facade `log`.
    DiologLog,
    TracingAppender,
    Fern,
    FlexiLogger,
    SpdlogRs,
    Ftlog,
    SlogAsync,
    Ttlog,
    LltRs,
}

impl Name {
    pub const ALL: [Name; 14] = [
        Name::Clock,
        Name::Rtrb,
        Name::Diolog,
        Name::DiologShared,
        Name::DiologMacro,
        Name::DiologLog,
        Name::TracingAppender,
        Name::Fern,
        Name::FlexiLogger,
        Name::SpdlogRs,
        Name::Ftlog,
        Name::SlogAsync,
        Name::Ttlog,
        Name::LltRs,
    ];

    /// As it is given on the command line, and stands in tables.
    pub fn word(self) -> &'static str {
        match self {
            Name::Clock => "clock",
            Name::Rtrb => "rtrb",
            Name::Diolog => "diolog",
            Name::DiologShared => "diolog-shared",
            Name::DiologMacro => "diolog-macro",
            Name::DiologLog => "diolog-log",
            Name::TracingAppender => "tracing-appender",
            Name::Fern => "fern",
            Name::FlexiLogger => "flexi_logger",
            Name::SpdlogRs => "spdlog-rs",
            Name::Ftlog => "ftlog",
            Name::SlogAsync => "slog-async",
            Name::Ttlog => "ttlog",
            Name::LltRs => "llt-rs",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Name::Clock => "reading the clock only",
            Name::Rtrb => "rtrb: a bare ring, no log",
            Name::Diolog => "**diolog**",
            Name::DiologShared => "**diolog**, shared rings",
            Name::DiologMacro => "**diolog**, `info!`",
            Name::DiologLog => "**diolog** behind `log`",
            other => other.word(),
        }
    }

    pub fn parse(word: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|name| name.word() == word)
    }

    /// Whether it writes files.
    pub fn is_log(self) -> bool {
        !matches!(self, Name::Clock | Name::Rtrb)
    }

    pub fn is_diolog(self) -> bool {
        matches!(self, Name::Diolog | Name::DiologShared | Name::DiologMacro | Name::DiologLog)
    }
}
