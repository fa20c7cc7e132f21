//! The severity of a record.

use std::fmt;
use std::str::FromStr;

/// How severe a record is. The numbers are those of the `log` crate; the files hold them.
///
/// More severe levels are smaller, so a record passes a threshold if its level is at most that:
///
/// ```
/// use diolog::Level;
///
/// let threshold: Level = "info".parse()?;
/// assert!(Level::Error < Level::Warn && Level::Warn <= threshold && Level::Debug > threshold);
/// assert_eq!(Level::ALL.map(Level::as_str), ["error", "warn", "info", "debug", "trace"]);
/// # Ok::<(), diolog::ParseLevelError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something may fail.
    Warn = 2,
    /// For operators. The default threshold.
    Info = 3,
    /// For developers.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Level {
    /// All levels, the most severe first.
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// The level with this number, if there is one.
    pub(crate) const fn from_u8(level: u8) -> Option<Level> {
        Some(match level {
            1 => Level::Error,
            2 => Level::Warn,
            3 => Level::Info,
            4 => Level::Debug,
            5 => Level::Trace,
            _ => return None,
        })
    }

    /// The level's name in lower case, as it is parsed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error of parsing a word that is not a level. It holds the word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no level; use error, warn, info, debug or trace")]
pub struct ParseLevelError(pub(crate) String);

impl FromStr for Level {
    type Err = ParseLevelError;

    /// Reads a level's name, in any case.
    ///
    /// # Errors
    /// [`ParseLevelError`] for any other word. Its message lists the levels.
    fn from_str(word: &str) -> Result<Level, ParseLevelError> {
        Level::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| ParseLevelError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for level in Level::ALL {
            assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
            assert_eq!(Level::from_u8(level as u8), Some(level));
        }
        assert_eq!(Level::from_u8(0), None);
        assert_eq!(
            "loud".parse::<Level>().unwrap_err().to_string(),
            "\"loud\" is no level; use error, warn, info, debug or trace"
        );
    }
}
