//! How the program ends: the exit status, which scripts rely on, and the errors that lead to it.

use std::process::ExitCode;

use diolog::Verdict;

/// What the exit status says, in the order of how serious it is: of two, the more serious one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Nothing is missing.
    Clean,
    /// A crash explains what is missing: a torn or unconfirmed end, or blocks that were never acknowledged.
    Torn,
    /// Nothing is proved lost, and parts of the log can only be read by a newer diolog.
    Newer,
    /// Data is lost.
    Lost,
    /// The log cannot be read, or cannot be written.
    Unusable,
    /// The command was not understood. The number is that of `sysexits.h`.
    Usage,
    /// Ended by Ctrl-C or SIGTERM, as shells report it.
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

/// Why a command ended early: a sentence for the person, and the status.
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
    fn a_setting_that_cannot_be_is_a_matter_of_usage() {
        let error = diolog::Config::from_toml("ring_bytes = 'much'").expect_err("a refusal");
        let failure = Failure::from(error);
        assert_eq!(failure.status, Status::Usage);
        assert!(failure.message.contains("256 KiB"), "{}", failure.message);
    }
}
