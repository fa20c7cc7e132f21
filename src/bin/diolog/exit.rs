//! Exit statuses, which scripts rely on, and the failures that lead to them.

use std::io;
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

impl Failure {
    /// The failure to do `what`, which the system refuses.
    pub(crate) fn cannot(what: &str) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure { message: format!("cannot {what}: {error}"), status: Status::Unusable }
    }

    /// The failure that `error` is, for a command that sets the library's settings by options: `option` has the option
    /// of a setting, if there is one, and the message names that.
    pub(crate) fn of(error: diolog::Error, option: impl Fn(&str) -> Option<String>) -> Failure {
        use diolog::Error::{InvalidConfig, NoParent, RingMemory};
        let message = match &error {
            InvalidConfig { setting, value, remedy } => {
                let setting = option(setting).unwrap_or_else(|| (*setting).to_owned());
                format!("{setting} is {value}: {}", in_options(remedy, option))
            }
            NoParent { .. } | RingMemory { .. } => in_options(&escape::name(&error.to_string()), option),
            _ => return error.into(),
        };
        Failure { message, ..error.into() }
    }
}

/// A sentence with options in place of settings. A setting's name is a word of its own, and has an underscore in it:
/// that tells it from plain words.
fn in_options(sentence: &str, option: impl Fn(&str) -> Option<String>) -> String {
    let named = |word: &str| {
        let name = word.trim_end_matches([',', ';', ':']);
        let option = option(name).filter(|_| name.contains('_'));
        option.map_or_else(|| word.to_owned(), |option| word.replacen(name, &option, 1))
    };
    sentence.split(' ').map(named).collect::<Vec<_>>().join(" ")
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

    #[test]
    fn settings_are_named_as_the_options_that_set_them() {
        let option = |setting: &str| {
            let is_option = ["ring_bytes", "message_bytes_max", "create_parents", "device"].contains(&setting);
            is_option.then(|| format!("--{}", setting.replace('_', "-")))
        };
        let refused = diolog::Config::new("a").message_bytes_max(1 << 20).ring_bytes(1 << 20);
        let failure = Failure::of(diolog::Logger::open(refused).expect_err("too long"), option);
        assert_eq!(failure.status, Status::Usage);
        assert_eq!(
            failure.message,
            "--message-bytes-max is 1 MiB: half a --ring-bytes of 1 MiB holds 524,264 bytes; use at most that, or a \
             --ring-bytes of 4 MiB"
        );
        let no_parent = diolog::Logger::open(diolog::Config::new("no/such/ring_bytes/log")).expect_err("no parent");
        let failure = Failure::of(no_parent, option);
        assert_eq!(failure.status, Status::Unusable);
        let message = &failure.message;
        assert!(
            message.starts_with("no/such/ring_bytes/log ") && message.ends_with("or set --create-parents"),
            "{message}"
        );
        assert_eq!(in_options("the device wants ring_bytes, too", option), "the device wants --ring-bytes, too");
    }
}
