//! How long an append takes the calling thread, compared with reading the clock only.
//!
//! Bursts of 20 calls are timed together, so that the stopwatch adds little to the figures. A busy wait of a
//! millisecond between bursts lets the writer drain the ring. Producer and writer have a CPU each. The rows take turns
//! of a second; a percentile is the median of the repetitions' percentiles.
//!
//! A third row reads the clock and copies the message and a record header to private memory: it shows the part of the
//! tail that the machine causes, for any log. After a pause, even that copy finds few of its cache lines cached.
//!
//! The row `watched` is the raw append again, while a thread on the writer's CPU asks for the log's figures 10,000
//! times a second. In the row `woken` that thread wakes as often, and asks for nothing: what that costs is the
//! machine's. The two are compared, and `woken` with itself: that ratio tells how much of the first is noise.
//!
//! The row `shared` is the raw append into a ring in a file on tmpfs, which has small pages; `small pages` is one into
//! private memory on such pages. Both are the code of the raw append, and are compared with each other: each has a log
//! of its own, which rests in the turns of the other rows. They are left out where there is no `/dev/shm`.
//!
//! Two rows are structured records: `num` has two integers and a double, `str` an integer and a text of 12 bytes. `num`
//! is compared with the raw append of the same run.

use std::fmt;
use std::hint::black_box;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::place::{Cores, Scratch};
use super::rounds::{median, spread};
use super::stopwatch::{AppendClock, TickRate, busy_wait, new_histogram, ticks};
use super::{Failure, MESSAGE_BYTES, message};
use crate::grouped::Grouped;
use crate::sys::cpu;
use crate::sys::huge_pages::WithoutHugePages;
use crate::{Config, DeviceReport, Level, Logger, Outcome, Producer, Reader, RingMemory, Value};

/// How many rows take turns.
pub const ROWS: u32 = 10;

/// Calls timed together.
const BURST: u32 = 20;

/// The pause between two bursts.
const PAUSE: Duration = Duration::from_millis(1);

/// Bursts of one row before those of the next: about a second.
const ROW_BURSTS: u32 = 1_000;

/// Bursts before them that are not counted: the caches still hold the data of the row before.
const ROW_WARM_UP_BURSTS: u32 = 20;

/// Records that are written and read back before anything is timed.
const CHECKED_RECORDS: u64 = 10_000;

/// The quantiles reported, and the highest ratio of each to the clock-only row that passes.
const QUANTILES: [(&str, f64, Option<f64>); 5] = [
    ("p50", 0.5, Some(1.25)),
    ("p95", 0.95, Some(1.8)),
    ("p99", 0.99, Some(3.0)),
    ("p99.9", 0.999, None),
    ("max", 1.0, None),
];

/// The quantiles' highest ratios of `num` to the raw append that pass.
const NUM_LIMITS: [Option<f64>; QUANTILES.len()] = [Some(1.2), Some(1.5), Some(1.5), None, None];

/// The quantiles' highest ratios of `watched` to `woken` that pass.
const WATCHED_LIMITS: [Option<f64>; QUANTILES.len()] = [Some(1.05), None, Some(1.25), None, None];

/// The quantiles' highest ratios of `shared` to `small pages` that pass.
const SHARED_LIMITS: [Option<f64>; QUANTILES.len()] = [Some(1.05), None, Some(1.25), None, None];

/// Where shared rings are: tmpfs.
const SHARED: &str = "/dev/shm";

/// The time from one request for the figures to the next.
const WATCH_INTERVAL: Duration = Duration::from_micros(100);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Bursts of each row in a repetition, after the warm-up.
    pub bursts: u32,
    /// Bursts before the first one that counts.
    pub warm_up_bursts: u32,
    pub repetitions: u32,
}

impl Effort {
    /// For figures that are quoted: some five minutes.
    pub const FULL: Effort = Effort { bursts: 20_000, warm_up_bursts: 1_000, repetitions: 5 };

    /// To see that it works at all: about a second.
    pub const SMOKE: Effort = Effort { bursts: 200, warm_up_bursts: 50, repetitions: 1 };
}

/// One row's figures.
#[derive(Clone, Debug)]
struct Row {
    name: &'static str,
    /// Ticks of a burst, in each repetition.
    ticks: Vec<Histogram<u64>>,
}

impl Row {
    fn new(name: &'static str) -> Row {
        Row { name, ticks: Vec::new() }
    }

    fn is_measured(&self) -> bool {
        !self.ticks.is_empty()
    }

    /// Nanoseconds a call: for each quantile, one value for each repetition.
    fn ns(&self, rate: TickRate) -> [Vec<f64>; QUANTILES.len()] {
        let ns = |ticks: u64| rate.ns(ticks as f64) / f64::from(BURST);
        QUANTILES.map(|(_, quantile, _)| self.ticks.iter().map(|row| ns(row.value_at_quantile(quantile))).collect())
    }

    fn medians(&self, rate: TickRate) -> [f64; QUANTILES.len()] {
        self.ns(rate).map(|values| median(&values))
    }
}

/// The rows, the baseline first.
#[derive(Clone, Debug)]
struct Rows {
    clock_only: Row,
    copy: Row,
    append: Row,
    woken: Row,
    watched: Row,
    /// The same code as `woken`: how far two such rows differ in this run.
    woken_again: Row,
    /// Without values where there is no tmpfs.
    shared: Row,
    small_pages: Row,
    num: Row,
    str: Row,
    rate: TickRate,
}

impl Rows {
    fn all(&self) -> impl Iterator<Item = &Row> {
        let Rows { clock_only, copy, append, woken, watched, woken_again, shared, small_pages, num, str, rate: _ } =
            self;
        let rows: [_; ROWS as usize] =
            [clock_only, copy, append, woken, watched, woken_again, shared, small_pages, num, str];
        rows.into_iter().filter(|row| row.is_measured())
    }
}

/// The producers of the rows.
struct Producers {
    append: Producer,
    /// In a ring in a file, and on small pages; `None` where there is no tmpfs.
    others: Option<[Producer; 2]>,
}

/// A thread that wakes 10,000 times a second, and may ask for a log's figures each time.
#[derive(Debug, Default)]
struct Watcher {
    wakes: AtomicBool,
    asks: AtomicBool,
    /// Whether it ends.
    ends: AtomicBool,
    calls: AtomicU64,
    thread: OnceLock<Thread>,
}

impl Watcher {
    /// Has it wake, and ask, from now on.
    fn set(&self, wakes: bool, asks: bool) {
        self.asks.store(asks, Relaxed);
        self.wakes.store(wakes, Relaxed);
        self.unpark();
    }

    fn end(&self) {
        self.ends.store(true, Relaxed);
        self.unpark();
    }

    fn unpark(&self) {
        self.thread.get().inspect(|thread| thread.unpark());
    }

    /// Wakes, on the writer's CPU, until it is to end. Meanwhile it is parked if it is not to wake: a thread that runs
    /// now and then on that CPU would lengthen the tail of the other rows.
    fn run(&self, logger: &Logger, cores: Cores) {
        cores.pin_beside_writer();
        cpu::minimal_timer_slack();
        let mut next = Instant::now();
        while !self.ends.load(Relaxed) {
            if self.wakes.load(Relaxed) {
                if self.asks.load(Relaxed) {
                    black_box(logger.stats());
                    self.calls.fetch_add(1, Relaxed);
                }
                next += WATCH_INTERVAL;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            } else {
                std::thread::park();
                next = Instant::now();
            }
        }
    }
}

/// The figures of one measurement.
#[derive(Clone, Debug)]
pub struct Report {
    effort: Effort,
    cores: Cores,
    clock: &'static str,
    device: DeviceReport,
    rows: Rows,
    /// All records that were appended, timed or not, and how many of them found no space.
    appended: u64,
    dropped: u64,
    /// Calls for the figures, and the seconds in which they were made.
    watched: (u64, f64),
}

/// Measures in a directory of its own within `scratch`.
///
/// # Errors
/// A log that cannot be opened, or whose records differ from those written.
#[inline]
pub fn run(effort: Effort, scratch: &Scratch) -> Result<Report, Failure> {
    let cores = Cores::choose();
    check(scratch, cores)?;
    let logger = Logger::open(config(scratch, "append", cores))?;
    // If there is none, or rings cannot be shared, its rows are left out.
    let can_share = cfg!(all(target_os = "linux", not(diolog_portable)));
    let tmpfs = can_share.then(|| Scratch::new(Path::new(SHARED)).ok()).flatten();
    let others = tmpfs.as_ref().map(|tmpfs| {
        let shared = config(scratch, "shared", cores).ring_memory(RingMemory::Shared(tmpfs.path("rings")));
        Ok::<_, Failure>([Logger::open(shared)?, Logger::open(config(scratch, "small", cores))?])
    });
    let others = others.transpose()?;
    let clock = AppendClock::detect();
    // On a thread of its own, since a thread stays pinned.
    let watcher = Watcher::default();
    let measured = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watcher.run(&logger, cores));
        watcher.thread.get_or_init(|| watching.thread().clone());
        let measuring = scope.spawn(|| -> crate::Result<_> {
            cores.pin_producer();
            let append = logger.producer_named("bench")?;
            // Only memory that was mapped before has huge pages.
            let _small = WithoutHugePages::new();
            let others = match &others {
                Some([shared, small]) => Some([shared.producer_named("shared")?, small.producer_named("small pages")?]),
                None => None,
            };
            let producers = Producers { append, others };
            let (rows, watched) = measure(effort, clock, &producers, &watcher);
            let others = producers.others.iter().flatten().map(Producer::next_sequence).sum::<u64>();
            Ok((rows, producers.append.next_sequence() + others, watched))
        });
        let measured = measuring.join();
        watcher.end();
        measured
    });
    let (rows, appended, watched) = measured.map_err(|_| "the measuring thread panicked")??;
    let (mut durable, mut dropped) = (0, 0);
    for logger in [&logger].into_iter().chain(others.iter().flatten()) {
        logger.flush()?;
        let stats = logger.stats();
        (durable, dropped) = (durable + stats.durable_records, dropped + stats.dropped);
        logger.close()?;
    }
    if durable + dropped != appended {
        return Err(format!("{appended} appended, {durable} durable, {dropped} dropped").into());
    }
    let stats = logger.stats();
    Ok(Report {
        effort,
        cores,
        clock: clock.name(),
        device: stats.device,
        rows,
        appended,
        dropped,
        watched: (watcher.calls.load(Relaxed), watched.as_secs_f64()),
    })
}

fn config(scratch: &Scratch, name: &str, cores: Cores) -> Config {
    cores.pin_writer(Config::new(scratch.path(name)).level(Level::Info))
}

/// Writes distinct records in bursts like the timed ones, and reads every one of them back.
fn check(scratch: &Scratch, cores: Cores) -> Result<(), Failure> {
    let logger = Logger::open(config(scratch, "check", cores))?;
    let producer = logger.producer_named("check")?;
    let pause = TickRate::measure().ticks_in(PAUSE / 10);
    for number in 0..CHECKED_RECORDS {
        if number % 2 == 0 {
            producer.log(Level::Info, message(number));
        } else {
            log_num(&producer, number);
        }
        if number % u64::from(BURST) == 0 {
            busy_wait(pause);
        }
    }
    drop(producer);
    logger.close()?;
    let mut reader = Reader::open(scratch.path("check"))?;
    let mut expected = 0;
    while let Some(record) = reader.next_record()? {
        let is_right = if expected % 2 == 0 {
            record.message() == message(expected)
        } else {
            let values = ["id", "count", "price"].map(|name| record.field(name));
            values == [Value::Unsigned(expected), Value::Unsigned(7), Value::F64(101.25)].map(Some)
        };
        if !is_right || record.sequence() != expected {
            return Err(format!("record {expected} came back as {:?}", record.to_record()).into());
        }
        expected += 1;
    }
    if expected != CHECKED_RECORDS {
        return Err(format!("{CHECKED_RECORDS} records were written and {expected} read back").into());
    }
    Ok(())
}

/// Logs two integers and a double.
#[inline(always)]
fn log_num(producer: &Producer, id: u64) -> Outcome {
    let (count, price) = (black_box(7_u32), black_box(101.25));
    crate::info!(producer, "order {id}: {count} at {price:.2}", id, count, price)
}

/// Measures one row after the other, repetition by repetition. Returns for how long the log was watched, too.
#[inline]
fn measure(effort: Effort, clock: AppendClock, producers: &Producers, watcher: &Watcher) -> (Rows, Duration) {
    let rate = TickRate::measure();
    let pause = rate.ticks_in(PAUSE);
    let text = [b'x'; MESSAGE_BYTES];
    // The compiler must not know the length, as it would not in a service.
    let text: &[u8] = black_box(&text[..]);
    let mut read_clock = || {
        black_box(clock.ticks());
    };
    let mut slots = [Slot { head: [0; 3], message: [0; MESSAGE_BYTES] }; BURST as usize];
    let mut copies = 0;
    let mut copy = || {
        let slot = &mut slots[copies % BURST as usize];
        slot.head = [text.len() as u64, copies as u64, clock.ticks()];
        // Of a constant length, so that the compiler emits no call to memcpy.
        slot.message.copy_from_slice(&text[..MESSAGE_BYTES]);
        black_box(slot);
        copies += 1;
    };
    // One closure for all producers, so that the same code appends.
    let append_by = |producer| {
        move || {
            let producer: &Producer = producer;
            black_box(producer.log(Level::Info, text));
        }
    };
    let producer = &producers.append;
    let mut append = append_by(producer);
    let mut others = producers.others.as_ref().map(|others| others.each_ref().map(append_by));
    let mut number = 0_u64;
    let mut num = || {
        number += 1;
        black_box(log_num(producer, number));
    };
    let symbol = black_box("ACME Corp. 7");
    let mut str = || {
        black_box(crate::info!(producer, "order {id} of {symbol}", id = black_box(42_u64), symbol));
    };
    let mut rows = Rows {
        clock_only: Row::new("clock only"),
        copy: Row::new("clock and copy"),
        append: Row::new("append, 64 B"),
        woken: Row::new("woken"),
        watched: Row::new("watched"),
        woken_again: Row::new("woken again"),
        shared: Row::new("shared"),
        small_pages: Row::new("small pages"),
        num: Row::new("num"),
        str: Row::new("str"),
        rate,
    };
    let mut nothing = new_histogram();
    bursts(effort.warm_up_bursts, pause, &mut nothing, &mut read_clock);
    bursts(effort.warm_up_bursts, pause, &mut nothing, &mut copy);
    bursts(effort.warm_up_bursts, pause, &mut nothing, &mut append);
    for other in others.iter_mut().flatten() {
        bursts(effort.warm_up_bursts, pause, &mut nothing, other);
    }
    bursts(effort.warm_up_bursts, pause, &mut nothing, &mut num);
    bursts(effort.warm_up_bursts, pause, &mut nothing, &mut str);
    let mut watched_for = Duration::ZERO;
    for repetition in 0..effort.repetitions as usize {
        let mut left = effort.bursts;
        while left > 0 {
            let count = left.min(ROW_BURSTS);
            left -= count;
            let mut turn = Turn { repetition, count, pause, nothing: &mut nothing };
            turn.take(&mut rows.clock_only, &mut read_clock);
            turn.take(&mut rows.copy, &mut copy);
            turn.take(&mut rows.append, &mut append);
            watcher.set(true, false);
            turn.take(&mut rows.woken, &mut append);
            let begun = Instant::now();
            watcher.set(true, true);
            turn.take(&mut rows.watched, &mut append);
            watched_for += begun.elapsed();
            watcher.set(true, false);
            turn.take(&mut rows.woken_again, &mut append);
            watcher.set(false, false);
            turn.take(&mut rows.num, &mut num);
            turn.take(&mut rows.str, &mut str);
            if let Some([shared, small_pages]) = &mut others {
                turn.take(&mut rows.shared, shared);
                turn.take(&mut rows.small_pages, small_pages);
            }
        }
    }
    (rows, watched_for)
}

/// Shared by the turns of all rows.
struct Turn<'a> {
    repetition: usize,
    count: u32,
    pause: u64,
    nothing: &'a mut Histogram<u64>,
}

impl Turn<'_> {
    /// A row's turn: some bursts that count for nothing, then those that count.
    fn take(&mut self, row: &mut Row, call: &mut impl FnMut()) {
        if row.ticks.len() <= self.repetition {
            row.ticks.push(new_histogram());
        }
        bursts(ROW_WARM_UP_BURSTS, self.pause, self.nothing, &mut *call);
        bursts(self.count, self.pause, &mut row.ticks[self.repetition], call);
    }
}

/// The target of a copy, as large as a record in a ring.
#[derive(Clone, Copy, Debug)]
struct Slot {
    head: [u64; 3],
    message: [u8; MESSAGE_BYTES],
}

/// Times `count` bursts of `call`. Not inlined, so that the same code surrounds the calls of all rows.
#[inline(never)]
fn bursts(count: u32, pause: u64, histogram: &mut Histogram<u64>, mut call: impl FnMut()) {
    for _ in 0..count {
        busy_wait(pause);
        let start = ticks();
        for _ in 0..BURST {
            call();
        }
        histogram.saturating_record(ticks().wrapping_sub(start));
    }
}

impl Report {
    /// Whether every ratio is within its limit.
    pub fn passes(&self) -> bool {
        self.comparisons().iter().all(Comparison::passes)
    }

    fn comparisons(&self) -> Vec<Comparison> {
        let Rows { clock_only, append, woken, watched, woken_again, shared, small_pages, num, rate, .. } = &self.rows;
        let compare = |name, row: &Row, base: &Row, limits| {
            let (row, base) = (row.medians(*rate), base.medians(*rate));
            Comparison { name, ratios: std::array::from_fn(|at| row[at] / base[at]), limits }
        };
        let limits = QUANTILES.map(|(_, _, limit)| limit);
        let mut comparisons = vec![
            compare("append to clock", append, clock_only, limits),
            compare("num to append", num, append, NUM_LIMITS),
            compare("watched to woken", watched, woken, WATCHED_LIMITS),
            compare("woken to itself", woken_again, woken, [None; QUANTILES.len()]),
        ];
        if shared.is_measured() {
            comparisons.push(compare("shared to small", shared, small_pages, SHARED_LIMITS));
        }
        comparisons
    }
}

/// One row beside another.
struct Comparison {
    name: &'static str,
    ratios: [f64; QUANTILES.len()],
    limits: [Option<f64>; QUANTILES.len()],
}

impl Comparison {
    fn passes(&self) -> bool {
        self.ratios.iter().zip(self.limits).all(|(ratio, limit)| limit.is_none_or(|limit| *ratio <= limit))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: String = self.ratios.iter().map(|ratio| format!("{ratio:>9.2}")).collect();
        writeln!(f, "{:<18}{cells}", self.name)?;
        if !f.alternate() {
            return Ok(());
        }
        let limits = self.limits.map(|limit| limit.map_or_else(String::new, |limit| format!("{limit:.2}")));
        writeln!(f, "{:<18}{}", "at most", limits.map(|limit| format!("{limit:>9}")).concat())?;
        let verdicts = self.limits.iter().zip(self.ratios).map(|(limit, ratio)| match limit {
            Some(limit) if ratio <= *limit => "PASS",
            Some(_) => "FAIL",
            None => "",
        });
        writeln!(f, "{:<18}{}", "", verdicts.map(|verdict| format!("{verdict:>9}")).collect::<String>())
    }
}

/// With `{:#}`, each comparison has its limits and verdicts below it: they judge a change of this package, not the
/// machine of a user.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Effort { bursts, repetitions, .. } = self.effort;
        writeln!(
            f,
            "time of an append, in ns a call: bursts of {BURST}, 1 ms apart, {bursts} of them in each of {repetitions} \
             repetitions, medians",
            bursts = Grouped(bursts),
        )?;
        writeln!(f, "{}; clock: {}; {}", self.cores.describe(), self.clock, self.device)?;
        writeln!(f, "{} records appended, {} of them dropped", Grouped(self.appended), Grouped(self.dropped))?;
        let (calls, seconds) = self.watched;
        let times = Grouped((calls as f64 / seconds).round() as u64);
        writeln!(f, "watched: figures were asked for {times} times a second\n")?;
        let heading: String = QUANTILES.iter().map(|(name, _, _)| format!("{name:>9}")).collect();
        writeln!(f, "{:<18}{heading}", "")?;
        for row in self.rows.all() {
            let cells: String = row.medians(self.rows.rate).iter().map(|ns| format!("{ns:>9.1}")).collect();
            writeln!(f, "{:<18}{cells}", row.name)?;
        }
        for comparison in self.comparisons() {
            fmt::Display::fmt(&comparison, f)?;
        }
        let noise = self.rows.clock_only.ns(self.rows.rate).map(|values| format!("{:>8.0}%", spread(&values) * 100.0));
        write!(f, "{:<18}{}", "noise of clock", noise.concat())
    }
}
