//! Which records a reader gives. What a filter asks of a callsite is decided once for each callsite of a run.
//!
//! Nothing here reads a file: the reader asks about blocks, shards and records.

use std::fmt;
use std::sync::Arc;

use crate::format::{CallsiteInfo, Encoding, Value};
use crate::level::Level;
use crate::levels::{above, is_within};

use super::callsites::Callsites;
use super::gap::Gap;
use super::record::{ProducerIdentity, RecordRef, RunId};
use super::scan::Shard;
use super::walk::Times;

/// Which records a reader returns. A record must meet all conditions.
///
/// A filter changes what the reader reports of the log, such as lost records, in two ways only:
///
/// - [`since`](Self::since) and [`until`](Self::until) leave blocks unread. They are not verified, and the report says
///   nothing about them.
/// - Shards that hold no wanted record are not decoded. The reader does not notice invalid records in them.
///
/// A record whose callsite its block does not define has no known level, target or fields, so conditions on these do
/// not leave it out: it is returned from each shard that is decoded. Its message says what it is, and the report has a
/// finding. No block that diolog writes has such records.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let logger = diolog::Logger::open(diolog::Config::new(&path))?;
/// # let producer = logger.producer()?;
/// producer.log(diolog::Level::Info, "started");
/// producer.log(diolog::Level::Warn, "slow");
/// # drop(producer);
/// # logger.close()?;
/// use diolog::{Filter, Level, ReadOptions};
///
/// let filter = Filter::new().level(Level::Warn).message(|text| text.starts_with(b"s"));
/// let reader = ReadOptions::new().filter(filter).open(&path)?;
/// let records = reader.collect::<diolog::Result<Vec<_>>>()?;
/// assert_eq!(records.len(), 1);
/// assert_eq!(records[0].message(), b"slow");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Filter {
    level: Option<Level>,
    /// From this time on, and before that one, in nanoseconds since the Unix epoch.
    since: Option<i64>,
    until: Option<i64>,
    targets: Vec<String>,
    producers: Vec<String>,
    fields: Vec<(String, FieldTest)>,
    message: Option<MessageTest>,
}

/// The field that names a record's target, if its callsite does not.
const TARGET: &str = "target";

type FieldTest = Arc<dyn Fn(&Value<'_>) -> bool + Send + Sync>;
type MessageTest = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

impl Filter {
    /// Takes all records.
    pub fn new() -> Filter {
        Filter::default()
    }

    /// Only records of this level, or of a more severe one. Records of a level that this version does not know pass.
    pub fn level(mut self, level: Level) -> Filter {
        self.level = Some(level);
        self
    }

    /// Only records from this time on, in nanoseconds since the Unix epoch, by [`RecordRef::unix_ns`]. Records whose
    /// wall time is not known pass.
    ///
    /// Blocks that hold only earlier records are not read. Their headers, and the wall-clock anchors of their run, tell
    /// which these are. If the wall clock was set meanwhile, a block is read if its times may fit by either reading.
    pub fn since(mut self, unix_ns: i64) -> Filter {
        self.since = Some(unix_ns);
        self
    }

    /// Only records before this time; otherwise as [`since`](Self::since).
    pub fn until(mut self, unix_ns: i64) -> Filter {
        self.until = Some(unix_ns);
        self
    }

    /// Only structured records of `target` and of the targets below it, as a directive of [`Levels`](crate::Levels) has
    /// them: `shop` and `shop::` take `shop` and `shop::orders`, not `shop_2`. If this is called more than once, one of
    /// them must fit. Messages, which have no target, are not taken.
    ///
    /// The target is that of the record's callsite. If that has none, it is the record's last field `target`: if a
    /// bridge gets events of too many places, further places share a callsite, and a field names the target.
    pub fn target(mut self, target: impl Into<String>) -> Filter {
        self.targets.push(above(&target.into()).to_owned());
        self
    }

    /// Only records of the producer with this name, or with this id after `#`, as in `#3`. If you call this more than
    /// once, one of them must fit.
    pub fn producer(mut self, name: impl Into<String>) -> Filter {
        self.producers.push(name.into());
        self
    }

    /// Only structured records with a field of this name whose value passes `test`. If you call this more than once,
    /// all must fit.
    pub fn field(
        mut self,
        name: impl Into<String>,
        test: impl Fn(&Value<'_>) -> bool + Send + Sync + 'static,
    ) -> Filter {
        self.fields.push((name.into(), Arc::new(test)));
        self
    }

    /// Only records whose message passes `test`. The message of a structured record is its text, with the values in
    /// their places. If you call this more than once, the last call counts.
    pub fn message(mut self, test: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Filter {
        self.message = Some(Arc::new(test));
        self
    }

    /// Whether the producer with this id and name is one of those that [`producer`](Self::producer) asks for, or it
    /// asks for none.
    pub fn takes_producer(&self, id: u32, name: &str) -> bool {
        let is_it =
            |wanted: &String| wanted == name || wanted.strip_prefix('#').is_some_and(|number| number.parse() == Ok(id));
        self.producers.is_empty() || self.producers.iter().any(is_it)
    }

    /// Whether the target is one of those that [`target`](Self::target) asks for or below one, or it asks for none.
    pub fn takes_target(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|wanted| is_within(target, wanted))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("Filter")
            .field("level", &self.level)
            .field("since", &self.since)
            .field("until", &self.until)
            .field("targets", &self.targets)
            .field("producers", &self.producers)
            .field("fields", &fields)
            .field("message", &self.message.is_some())
            .finish()
    }
}

impl Filter {
    fn takes_level(&self, level: Option<Level>) -> bool {
        match (self.level, level) {
            (Some(threshold), Some(level)) => level <= threshold,
            _ => true,
        }
    }

    fn takes_time(&self, unix_ns: Option<i64>) -> bool {
        let Some(unix_ns) = unix_ns else { return true };
        self.since.is_none_or(|since| unix_ns >= since) && self.until.is_none_or(|until| unix_ns < until)
    }

    /// The wall times that are wanted; `None` if all are.
    pub(super) fn times(&self) -> Option<Times> {
        let is_bounded = self.since.is_some() || self.until.is_some();
        is_bounded.then(|| Times { since: self.since.unwrap_or(i64::MIN), until: self.until.unwrap_or(i64::MAX) })
    }

    /// Whether records of the callsite may be taken, by all that it says of them.
    fn takes_callsite(&self, callsite: &CallsiteInfo) -> bool {
        // What fields with names of their own a record has, only the record says.
        let has_field = |name: &str| callsite.field_names().any(|field| field == name) || callsite.has_named_fields();
        let may_be_target = match callsite.target() {
            "" if !self.targets.is_empty() => has_field(TARGET) || self.takes_target(""),
            target => self.takes_target(target),
        };
        may_be_target && self.takes_level(callsite.level()) && self.fields.iter().all(|(name, _)| has_field(name))
    }

    /// Whether the target is taken that the record itself says, if its callsite has none.
    fn takes_target_of(&self, record: &RecordRef<'_>, callsite: &CallsiteInfo) -> bool {
        if self.targets.is_empty() || !callsite.target().is_empty() {
            return true;
        }
        // An event may have a field of that name itself, before those that the bridge adds.
        let target = record.fields().filter(|field| field.name == TARGET).last();
        let target = target.and_then(|field| if let Value::Str(target) = field.value { Some(target) } else { None });
        self.takes_target(target.unwrap_or_default())
    }

    /// Whether the record is taken, by all that its callsite does not say.
    #[inline]
    fn takes_record(&self, record: &RecordRef<'_>) -> bool {
        self.takes_producer(record.producer_id(), record.producer_name())
            && (self.since.is_none() && self.until.is_none() || self.takes_time(record.unix_ns()))
            && (self.fields.is_empty() || is_undefined(record) || self.takes_fields_of(record))
            && self.message.as_ref().is_none_or(|test| test(record.message()))
    }

    fn takes_fields_of(&self, record: &RecordRef<'_>) -> bool {
        let is_taken =
            |(name, test): &(String, FieldTest)| record.fields().any(|field| field.name == name && test(&field.value));
        self.fields.iter().all(is_taken)
    }

    /// Whether it depends on the callsite which structured records are taken.
    fn asks_for_callsites(&self) -> bool {
        self.level.is_some() || !self.takes_messages()
    }

    /// Whether messages without a callsite may be taken at all.
    fn takes_messages(&self) -> bool {
        self.targets.is_empty() && self.fields.is_empty()
    }
}

/// Whether its block does not define the record's callsite.
fn is_undefined(record: &RecordRef<'_>) -> bool {
    record.callsite_id().is_some() && record.callsite().is_none()
}

/// What is known of a callsite's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Decision {
    /// It has not been looked at.
    #[default]
    Unknown,
    /// None is taken.
    None,
    /// As far as it depends on the callsite, all are taken.
    All,
}

/// Ids whose decisions are kept: a program has far fewer callsites.
const DECISIONS_MAX: usize = 1 << 16;

/// A filter at work on the runs of a log.
#[derive(Debug)]
pub(super) struct Selection {
    filter: Filter,
    /// The run whose callsites have been decided, and the decisions by the callsite's id.
    run: Option<RunId>,
    decisions: Vec<Decision>,
}

impl Selection {
    pub(super) fn new(filter: Filter) -> Selection {
        Selection { filter, run: None, decisions: Vec::new() }
    }

    /// Whether the record is taken.
    #[inline]
    pub(super) fn takes(&mut self, record: &RecordRef<'_>) -> bool {
        let by_callsite = match (record.callsite_id(), record.callsite()) {
            (Some(id), Some(callsite)) => {
                self.takes_callsite(record.run(), id, callsite) && self.filter.takes_target_of(record, callsite)
            }
            // Nothing says that it is not wanted.
            (Some(_), None) => true,
            (None, _) => self.filter.takes_messages() && self.filter.takes_level(record.level()),
        };
        by_callsite && self.filter.takes_record(record)
    }

    /// Whether the gap is taken: by its time and its producer. What its records were, nobody knows.
    pub(super) fn takes_gap(&self, gap: &Gap) -> bool {
        self.filter.takes_time(gap.unix_ns()) && self.filter.takes_producer(gap.producer_id(), gap.producer_name())
    }

    /// Whether a record of one of the callsites may be taken.
    pub(super) fn may_take_callsite(&self, callsites: &Callsites) -> bool {
        callsites.iter().any(|callsite| self.filter.takes_callsite(callsite))
    }

    /// Whether a record of the shard may be taken; `may_take_callsite` says it of the callsites of its block.
    pub(super) fn takes_shard(
        &self,
        shard: &Shard,
        producer: &ProducerIdentity,
        may_take_callsite: impl FnOnce() -> bool,
    ) -> bool {
        let filter = &self.filter;
        // A newer diolog's gives no record. It is counted.
        if matches!(shard.encoding, Encoding::Newer(_)) {
            return true;
        }
        if !filter.takes_producer(producer.id, &producer.name) {
            return false;
        }
        let may_take_message = match shard.encoding {
            Encoding::Packed => {
                let may_be = |level: u8| shard.message_levels >> level & 1 != 0;
                let is_taken = |level: u8| may_be(level) && filter.takes_level(Level::from_u8(level));
                !filter.asks_for_callsites() || filter.takes_messages() && (0..8).any(is_taken)
            }
            _ => filter.takes_messages(),
        };
        may_take_message || may_take_callsite()
    }

    #[inline]
    fn takes_callsite(&mut self, run: RunId, id: u32, callsite: &CallsiteInfo) -> bool {
        if self.run != Some(run) {
            self.run = Some(run);
            self.decisions.clear();
        }
        match self.decisions.get(id as usize) {
            Some(Decision::All) => true,
            Some(Decision::None) => false,
            _ => self.decide(id, callsite),
        }
    }

    #[cold]
    fn decide(&mut self, id: u32, callsite: &CallsiteInfo) -> bool {
        let takes = self.filter.takes_callsite(callsite);
        let at = id as usize;
        if at < DECISIONS_MAX {
            let length = self.decisions.len().max(at + 1);
            self.decisions.resize(length, Decision::Unknown);
            self.decisions[at] = if takes { Decision::All } else { Decision::None };
        }
        takes
    }
}
