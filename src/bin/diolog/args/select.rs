//! Options of `cat` and `tail` that select records, and the filter that they make.

use clap::Args;
use diolog::{Filter, Level};
use regex::bytes::Regex;

use super::field::FieldTest;
use super::moment::Moment;
use super::pattern::pattern;
use super::values::record_level;

/// Which records to print. All that is given must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which records")]
pub(crate) struct Select {
    /// Only records of this level, and more severe ones: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = record_level)]
    pub(crate) level: Option<Level>,
    /// Only records from this time on: "2026-01-31 14:30" (local time, or UTC with --utc), "2026-01-31T14:30:00Z", a
    /// time of today such as 14:30, the midnight of today or yesterday, or as long ago as "10m" or "2h 30m ago"
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) since: Option<Moment>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) until: Option<Moment>,
    /// Only records of this target and of those below it: my_service has my_service::net, but not my_service_2.
    /// Messages without a target are left out. May be given more than once: then one of them must fit
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Vec<String>,
    /// Only records of the producer with this name, or with this id, as in "#3". May be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) producer: Vec<String>,
    /// Only records with a field whose value fits: name=value, name!=value, name<number, name<=number, name>number,
    /// name>=number, or name~pattern with a regular expression. A value that is absent is None or null. May be given
    /// more than once: then all must fit
    #[arg(long, value_name = "EXPRESSION", value_parser = FieldTest::parse)]
    pub(crate) field: Vec<FieldTest>,
    /// Only records whose text, with its values in place, contains a match of this regular expression
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) grep: Option<Regex>,
}

impl Select {
    /// Whether all records are wanted.
    pub(crate) fn is_empty(&self) -> bool {
        let Select { level, since, until, target, producer, field, grep } = self;
        let all = level.is_none() && since.is_none() && until.is_none() && grep.is_none();
        all && target.is_empty() && producer.is_empty() && field.is_empty()
    }

    /// The filter; `None` if all records are wanted. Times without a zone are local, or in UTC if `utc`.
    ///
    /// # Errors
    /// A sentence, if a time is out of range, or no time is wanted.
    pub(crate) fn filter(&self, utc: bool) -> Result<Option<Filter>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        let Select { level, since, until, target, producer, field, grep } = self;
        let mut filter = Filter::new();
        if let Some(level) = level {
            filter = filter.level(*level);
        }
        let now = Moment::now(utc);
        let unix_ns = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.unix_ns(&now)).transpose();
        let (since, until) = (unix_ns(since)?, unix_ns(until)?);
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err("--since is not before --until; of two times ago, the longer one is the earlier".into());
        }
        filter = since.into_iter().fold(filter, Filter::since);
        filter = until.into_iter().fold(filter, Filter::until);
        filter = target.iter().fold(filter, |filter, target| filter.target(target));
        filter = producer.iter().fold(filter, |filter, producer| filter.producer(producer));
        for test in field.iter().cloned() {
            filter = filter.field(test.name.clone(), move |value| test.fits(value));
        }
        if let Some(pattern) = grep.clone() {
            filter = filter.message(move |text| pattern.is_match(text));
        }
        Ok(Some(filter))
    }
}
