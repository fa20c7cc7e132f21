//! Exit statuses, which scripts rely on, and the failures that lead to them.

use std::process::ExitCode;

use diolog::Verdict;

use crate::text::escape;

/// The exit status, in order of severity: of two, the more severe one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// The files prove this, or the command itself lost records.
    Verdict(Verdict),
    /// The log cannot be read or written.
    Unusable,
    /// The command line or a setting is invalid. The number is that of `sysexits.h`.
    Usage,
    /// What the command that `diolog run` ran gave.
    Command(u8),
    /// Ended by a signal. The number is the one that shells give: 128 and the signal's.
    Interrupted(u8),
}

impl Status {
    pub(crate) const CLEAN: Status = Status::Verdict(Verdict::Clean);
    pub(crate) const UNCONFIRMED: Status = Status::Verdict(Verdict::Unconfirmed);
    pub(crate) const NEWER: Status = Status::Verdict(Verdict::Newer);
    pub(crate) const LOST: Status = Status::Verdict(Verdict::Lost);
}

impl Status {
    /// The status of a verdict; with `allow_drops`, records that were dropped by policy do not count.
    pub(crate) fn of(verdict: Verdict, allow_drops: bool) -> Status {
        if verdict == Verdict::Dropped && allow_drops { Status::CLEAN } else { Status::Verdict(verdict) }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(match status {
            Status::Verdict(verdict) => verdict.exit_code(),
            Status::Unusable => 3,
            Status::Usage => 64,
            Status::Command(status) | Status::Interrupted(status) => status,
        })
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Status {
        Status::Verdict(verdict)
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
            diolog::Error::CloseIncomplete { .. } => Status::LOST,
            _ => Status::Unusable,
        };
        let message = match error {
            // An error in a file of settings shows the line in question, on lines of its own.
            diolog::Error::InvalidConfig { .. } => error.to_string(),
            _ => escape::name(&error.to_string()),
        };
        Failure { message, status }
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
