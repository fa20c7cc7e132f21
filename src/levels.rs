//! The thresholds of a log: one for all records, and those of single targets, as
//! "info,my_service::net=debug,hyper=off".

use std::fmt;
use std::str::FromStr;

use crate::level::Level;

/// Which records a log admits: a threshold for all records, and thresholds for single targets.
///
/// As text it is a list of directives with commas between them. A directive is a level, which holds for all records, or
/// `TARGET=LEVEL`, which holds for the records of a target and of all targets below it: `my_service=debug` holds for
/// `my_service` and `my_service::net`, not for `my_service_2`. If several hold for a target, the longest one
/// counts. If two directives name the same target, or two are levels, the last one counts. If none is a level without a
/// target, the threshold for all records is the one that was set before, and [`Level::Info`] if none was.
///
/// A record's target is the path of the module that logs it, unless it was given another one. Records without one,
/// as those of [`Logger::log`](crate::Logger::log) and [`Producer::log`](crate::Producer::log), have only the threshold
/// for all.
///
/// ```
/// use diolog::{Level, Levels};
///
/// let levels: Levels = "info, my_service::net=debug, hyper=off".parse()?;
/// assert_eq!(levels.level(), Level::Info);
/// assert_eq!(levels.level_of("my_service::net::tcp"), Level::Debug);
/// assert_eq!(levels.level_of("my_service::orders"), Level::Info);
/// assert_eq!(levels.level_of("hyper"), Level::Off);
/// assert_eq!(levels.to_string(), "info,hyper=off,my_service::net=debug");
///
/// let error = "info,hyper=loud".parse::<Levels>().unwrap_err();
/// assert!(error.to_string().starts_with("\"loud\" in \"hyper=loud\" is not a level; use error, warn, info"));
/// # Ok::<(), diolog::ParseLevelsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// The threshold for all, if it was given.
    all: Option<Level>,
    /// The thresholds of targets: each target once, in order.
    targets: Vec<(Box<str>, Level)>,
    /// A text that is not understood, kept until it can be reported.
    fault: Option<(Box<str>, ParseLevelsError)>,
}

impl Levels {
    /// The threshold of records whose target has none of its own.
    pub fn level(&self) -> Level {
        self.all.unwrap_or(Level::Info)
    }

    /// The threshold of records of `target`.
    pub fn level_of(&self, target: &str) -> Level {
        let holding = self.targets.iter().filter(|(of, _)| is_within(target, of));
        holding.max_by_key(|(of, _)| of.len()).map_or(self.level(), |(_, level)| *level)
    }

    /// The targets that have thresholds of their own, and these.
    pub fn targets(&self) -> impl Iterator<Item = (&str, Level)> {
        self.targets.iter().map(|(target, level)| (&**target, *level))
    }

    /// The most verbose of all thresholds: no record beyond it passes.
    pub(crate) fn most_verbose(&self) -> Level {
        self.targets.iter().map(|(_, level)| *level).fold(self.level(), Level::max)
    }

    /// The least verbose of all thresholds: each record that passes it passes its own.
    pub(crate) fn least_verbose(&self) -> Level {
        self.targets.iter().map(|(_, level)| *level).fold(self.level(), Level::min)
    }

    /// Sets the threshold for all, and keeps those of targets.
    pub(crate) fn set_all(&mut self, level: Level) {
        self.all = Some(level);
    }

    /// Sets the threshold of one target.
    ///
    /// # Errors
    /// The target cannot stand in a directive.
    pub(crate) fn set_target(&mut self, target: &str, level: Level) -> Result<(), ParseLevelsError> {
        let target = above(target);
        // With `*` or `;`, it is a wildcard or two directives, and fits no target.
        let has_other_letters = target.contains([',', '=', '*', ';']) || target.chars().any(char::is_whitespace);
        if target.is_empty() || target.ends_with(':') || has_other_letters {
            return Err(ParseLevelsError(Fault::Target { target: target.into() }));
        }
        match self.targets.binary_search_by(|(of, _)| (**of).cmp(target)) {
            Ok(at) => self.targets[at].1 = level,
            Err(at) => self.targets.insert(at, (target.into(), level)),
        }
        Ok(())
    }

    /// These levels, with the threshold for all from `before` if they have none.
    pub(crate) fn over(mut self, before: &Levels) -> Levels {
        self.all = self.all.or(before.all);
        self
    }

    /// The text that was not understood and why, if there is one.
    pub(crate) fn fault(&self) -> Option<(&str, &ParseLevelsError)> {
        self.fault.as_ref().map(|(text, error)| (&**text, error))
    }
}

/// The target that `hyper::` means, which is `hyper` with those below it.
pub(crate) fn above(target: &str) -> &str {
    target.strip_suffix("::").unwrap_or(target)
}

/// Whether `target` is `of`, or one below it: "a::b" is within "a", and "ab" is not.
pub(crate) fn is_within(target: &str, of: &str) -> bool {
    target.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The error of parsing directives. It names the one that is not understood, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ParseLevelsError(Fault);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error(
        "{word:?} is not a level; use error, warn, info, debug, trace or off, or a target and a level as in \
         \"hyper=off\""
    )]
    Word { word: Box<str> },
    #[error("{level:?} in {directive:?} is not a level; use error, warn, info, debug, trace or off")]
    Level { level: Box<str>, directive: Box<str> },
    #[error(
        "{target:?} is not a target; use a path such as my_service::net, which holds for those below it too: it has no \
         spaces, no colon at its end, and none of , ; = *"
    )]
    Target { target: Box<str> },
}

impl FromStr for Levels {
    type Err = ParseLevelsError;

    /// Reads directives: see [`Levels`]. Spaces around them, and empty ones, are ignored.
    ///
    /// # Errors
    /// [`ParseLevelsError`] for the first directive that is not understood.
    fn from_str(text: &str) -> Result<Levels, ParseLevelsError> {
        let mut levels = Levels::default();
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            let Some((target, level)) = directive.split_once('=') else {
                let level = directive.parse().map_err(|_| ParseLevelsError(Fault::Word { word: directive.into() }))?;
                levels.all = Some(level);
                continue;
            };
            let level = level.trim();
            let fault = || ParseLevelsError(Fault::Level { level: level.into(), directive: directive.into() });
            levels.set_target(target.trim(), level.parse().map_err(|_| fault())?)?;
        }
        Ok(levels)
    }
}

impl From<Level> for Levels {
    fn from(level: Level) -> Levels {
        Levels { all: Some(level), ..Levels::default() }
    }
}

impl From<&str> for Levels {
    /// Reads directives. If they are not understood, the error is kept, and [`Logger::open`](crate::Logger::open)
    /// returns it. To get it at once, parse them.
    fn from(text: &str) -> Levels {
        text.parse().unwrap_or_else(|error| Levels { fault: Some((text.into(), error)), ..Levels::default() })
    }
}

impl From<String> for Levels {
    /// As from `&str`.
    fn from(text: String) -> Levels {
        Levels::from(&*text)
    }
}

impl fmt::Display for Levels {
    /// Writes directives that are read back as the same levels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((text, _)) = &self.fault {
            return f.write_str(text);
        }
        let all = self.all.or(self.targets.is_empty().then_some(self.level()));
        if let Some(level) = all {
            write!(f, "{level}")?;
        }
        for (place, (target, level)) in self.targets.iter().enumerate() {
            let comma = if place > 0 || all.is_some() { "," } else { "" };
            write!(f, "{comma}{target}={level}")?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Levels {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Levels {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Levels, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Levels {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_longest_directive_that_holds_for_a_target_counts() {
        let levels = levels("warn,a=info,a::b=trace,a::b::c=off");
        for (target, level) in [
            ("a", Level::Info),
            ("a::x", Level::Info),
            ("a::b", Level::Trace),
            ("a::b::x", Level::Trace),
            ("a::b::c", Level::Off),
            ("a::b::c::d", Level::Off),
            ("ab", Level::Warn),
            ("a::bc", Level::Info),
            ("a:b", Level::Warn),
            ("x::a", Level::Warn),
            ("", Level::Warn),
        ] {
            assert_eq!(levels.level_of(target), level, "{target}");
        }
        assert_eq!((levels.level(), levels.most_verbose()), (Level::Warn, Level::Trace));
    }

    #[test]
    fn a_target_may_end_like_a_path_and_not_in_half_of_that() {
        assert_eq!(levels("info,hyper::=off"), levels("info,hyper=off"));
        for text in ["hyper:=off", "::=off", ":::=off"] {
            let error = text.parse::<Levels>().expect_err(text).to_string();
            assert!(error.contains("is not a target; use a path such as"), "{error}");
        }
    }

    #[test]
    fn the_last_of_two_directives_for_the_same_counts_and_empty_ones_do_not() {
        assert_eq!(levels("info,a=warn,debug,a=off"), levels(" debug , a = OFF ,"));
        assert_eq!(levels(""), Levels::default());
        assert_eq!(levels("a=off").over(&levels("warn,b=info")), levels("warn,a=off"));
        assert_eq!(levels("error,a=off").over(&levels("warn")), levels("error,a=off"));
        assert_eq!(levels("off,a=off").most_verbose(), Level::Off);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["info", "off", "a=off", "trace,a=off,b::c=debug"] {
            assert_eq!(levels(text).to_string(), text);
        }
        assert_eq!(Levels::default().to_string(), "info");
        assert_eq!(Levels::from(Level::Debug), levels("debug"));
    }

    #[test]
    fn an_error_names_the_directive_and_the_remedy() {
        let words = "use error, warn, info, debug, trace or off";
        for (text, message) in [
            ("loud", format!("\"loud\" is not a level; {words}, or a target and a level as in \"hyper=off\"")),
            ("info,loud", format!("\"loud\" is not a level; {words}, or a target and a level as in \"hyper=off\"")),
            ("a=loud", format!("\"loud\" in \"a=loud\" is not a level; {words}")),
            ("a=", format!("\"\" in \"a=\" is not a level; {words}")),
            ("a=b=info", format!("\"b=info\" in \"a=b=info\" is not a level; {words}")),
        ] {
            assert_eq!(text.parse::<Levels>().unwrap_err().to_string(), message);
        }
        for text in ["=info", "a b=info", "a::*=info", "info;a=off"] {
            let error = text.parse::<Levels>().unwrap_err().to_string();
            assert!(error.contains("is not a target; use a path such as my_service::net"), "{error}");
        }
    }
}
