//! The severity of a record, and the threshold that records pass.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// How severe a record is, or which records pass: a threshold.
///
/// More severe levels are smaller, so a record passes a threshold if its level is at most that. [`Level::Off`] is only
/// a threshold, below all levels: with it nothing is logged.
///
/// ```
/// use diolog::Level;
///
/// let threshold: Level = "info".parse()?;
/// assert!(Level::Error < Level::Warn && Level::Warn <= threshold && Level::Debug > threshold);
/// assert!(Level::ALL.iter().all(|level| *level > Level::Off));
/// assert_eq!(Level::ALL.map(Level::as_str), ["error", "warn", "info", "debug", "trace"]);
/// # Ok::<(), diolog::ParseLevelError>(())
/// ```
///
/// The numbers of the five levels are those of the `log` crate; the files hold them. `Off` is never in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Level {
    /// As a threshold: nothing is logged, and the log stays open. No record has this level: one that is logged at it is
    /// [`Filtered`](crate::Outcome::Filtered), whatever the threshold is.
    // No threshold reaches this number, so the gate refuses a record of it without asking for it. The numbers of all
    // levels have three bits, so that the fast path may use one as an index.
    Off = 7,
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
    /// The levels that records have, the most severe first: all but [`Level::Off`].
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// The level of the record that has this number in a file, if there is one.
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

    /// The place in the order: `Off` comes first.
    const fn place(self) -> u8 {
        (self as u8 + 1) % 8
    }

    /// Whether records of this level are compiled in: see [`STATIC_MAX_LEVEL`].
    #[doc(hidden)]
    #[inline(always)]
    pub const fn is_compiled_in(self) -> bool {
        // Without the first half, the compiler would compare levels that it does not know.
        matches!(STATIC_MAX_LEVEL, Level::Trace) || self.place() <= STATIC_MAX_LEVEL.place()
    }

    /// The level's name in lower case, as it is parsed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// The most verbose level that is compiled in: [`Level::Trace`], unless features of this crate say otherwise.
///
/// The features `max_level_off`, `max_level_error`, `max_level_warn`, `max_level_info`, `max_level_debug` and
/// `max_level_trace` set it. In builds without debug assertions, those with the prefix `release_max_level_` take their
/// place if there are any. Of several the most verbose counts, so that no crate can take records from another one.
///
/// A record beyond it is [`Filtered`](crate::Outcome::Filtered), whatever the threshold is. The compiler removes the
/// code that logs it, if it knows the level, and the macros then evaluate none of their arguments.
pub const STATIC_MAX_LEVEL: Level = {
    let release = most_verbose([
        (cfg!(feature = "release_max_level_off"), Level::Off),
        (cfg!(feature = "release_max_level_error"), Level::Error),
        (cfg!(feature = "release_max_level_warn"), Level::Warn),
        (cfg!(feature = "release_max_level_info"), Level::Info),
        (cfg!(feature = "release_max_level_debug"), Level::Debug),
        (cfg!(feature = "release_max_level_trace"), Level::Trace),
    ]);
    let any = most_verbose([
        (cfg!(feature = "max_level_off"), Level::Off),
        (cfg!(feature = "max_level_error"), Level::Error),
        (cfg!(feature = "max_level_warn"), Level::Warn),
        (cfg!(feature = "max_level_info"), Level::Info),
        (cfg!(feature = "max_level_debug"), Level::Debug),
        (cfg!(feature = "max_level_trace"), Level::Trace),
    ]);
    match (release, any) {
        (Some(level), _) if !cfg!(debug_assertions) => level,
        (_, Some(level)) => level,
        (_, None) => Level::Trace,
    }
};

/// The most verbose of the levels that are set.
const fn most_verbose(set: [(bool, Level); 6]) -> Option<Level> {
    let mut most = None;
    let mut at = 0;
    while at < set.len() {
        if set[at].0 {
            // They are given in this order.
            most = Some(set[at].1);
        }
        at += 1;
    }
    most
}

impl Ord for Level {
    fn cmp(&self, other: &Level) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Level) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error of parsing a word that is not a level. It holds the word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a level; use error, warn, info, debug, trace or off")]
pub struct ParseLevelError(pub(crate) String);

impl FromStr for Level {
    type Err = ParseLevelError;

    /// Reads the name of a level or `off`, in any case.
    ///
    /// # Errors
    /// [`ParseLevelError`] for any other word. Its message lists the levels.
    fn from_str(word: &str) -> Result<Level, ParseLevelError> {
        std::iter::once(Level::Off)
            .chain(Level::ALL)
            .find(|level| level.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| ParseLevelError(word.to_owned()))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Level, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
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
        assert_eq!("OFF".parse(), Ok(Level::Off));
        assert_eq!((Level::from_u8(0), Level::from_u8(Level::Off as u8)), (None, None));
        assert_eq!(
            "loud".parse::<Level>().unwrap_err().to_string(),
            "\"loud\" is not a level; use error, warn, info, debug, trace or off"
        );
    }

    #[test]
    fn off_is_below_every_level_and_each_level_below_the_less_severe_ones() {
        let ordered = [Level::Off, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
        assert!(ordered.is_sorted_by(|one, next| one < next));
    }
}
