//! Exit statuses, which scripts rely on, and the failures that lead to them.

use std::process::ExitCode;

use diolog::Verdict;

/// The exit status, in order of severity: of two, the more severe one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Nothing is missing.
    Clean,
    /// A crash explains the missing blocks: torn or unconfirmed ones at the end, or holes that were never acknowledged.
    Torn,
    /// Nothing is proved lost, but only a newer diolog can read parts of the log.
    Newer,
    /// Records are lost.
    Lost,
    /// The log cannot be read or written.
    Unusable,
    /// The command line or a setting is invalid. The number is that of `sysexits.h`.
    Usage,
    /// Ended by Ctrl-C or SIGTERM. The number is the one that shells give.
    Interrupted,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(match status {
            Status::Clean => 0,
            Status::Torn => 1,
            Status::Lost => 2,
            Status::Newer | Status::Unusable => 3,
            Status::Usage => 64,
            Status::Interrupted => 130,
        })
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Status {
        match verdict {
            Verdict::Clean => Status::Clean,
            Verdict::Unconfirmed => Status::Torn,
            Verdict::Newer => Status::Newer,
            _ => Status::Lost,
        }
    }
}

/// Why a command ended early: a message for standard error, if it is not empty, and the status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) status: Status,
}

impl From<diolog::Error> for Failure {
    fn from(error: diolog::Error) -> Failure {
        let status = match error {
            diolog::Error::InvalidConfig { .. } => Status::Usage,
            diolog::Error::CloseIncomplete { .. } => Status::Lost,
            _ => Status::Unusable,
        };
        Failure { message: error.to_string(), status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_setting_gives_the_status_of_usage() {
        let error = diolog::Config::from_toml("ring_bytes = 'much'").expect_err("an invalid size");
        let failure = Failure::from(error);
        assert_eq!(failure.status, Status::Usage);
        assert!(failure.message.contains("256 KiB"), "{}", failure.message);
    }
}
