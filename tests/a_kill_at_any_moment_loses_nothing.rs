//! A process with four producers is killed at a random moment, again and again: while it opens its log, logs, rotates.
//! Afterwards the log has what the process was told: each record that was durable exactly once, whole, and none that was
//! not logged; with rings in shared memory, each record that was accepted, once the log was recovered. The next process
//! recovers it, which may be killed while it does so.
//!
//! `scripts/kill_loop.sh` makes more kills than the test does, and shows them in a table.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use diolog::{Config, Level, Logger, Outcome, Overflow, Producer, Reader, RingMemory, Verdict};
use support::os;
use support::random::{Random, seeds};

const PRODUCERS: usize = 4;

/// Kills of one log, which is then checked a last time and left.
const KILLS_OF_A_LOG: u64 = 10;

/// What a process has been told, in memory that a kill does not reach: for each producer the records that were accepted,
/// and of these the durable ones.
type Told = [AtomicU64; 2 * PRODUCERS];

fn told(directory: &Path, life: u64) -> &'static Told {
    os::shared_words(&directory.join(format!("told-{life}")))
}

/// Where the rings of a log are.
#[derive(Clone, Copy)]
enum Rings<'a> {
    Private,
    Shared(&'a Path),
}

/// What a child is to do: its role is this, in words.
struct Task<'a> {
    life: u64,
    delay: Duration,
    rings: Rings<'a>,
}

impl Task<'_> {
    fn role(&self) -> String {
        let rings = match self.rings {
            Rings::Private => "",
            Rings::Shared(path) => path.to_str().expect("in ASCII"),
        };
        format!("{} {} {rings}", self.life, self.delay.as_micros())
    }

    fn of(role: &str) -> Task<'_> {
        let mut parts = role.splitn(3, ' ');
        let mut number = || parts.next().and_then(|number| number.parse().ok()).expect("a number");
        let (life, delay) = (number(), Duration::from_micros(number()));
        let rings = match parts.next().expect("a path, or nothing") {
            "" => Rings::Private,
            path => Rings::Shared(Path::new(path)),
        };
        Task { life, delay, rings }
    }
}

fn config(log: &Path, life: u64, rings: Rings<'_>) -> Config {
    let overflow = if life.is_multiple_of(2) { Overflow::DropNewest } else { Overflow::Block };
    // Small blocks and files, so that there are many moments of each kind.
    support::config(log)
        .overflow(overflow)
        .block_bytes(8 << 10)
        .first_segment_bytes(64 << 10)
        .segment_bytes(256 << 10)
        .flush_interval(Duration::from_millis(5))
        .ring_bytes(32 << 10)
        .thread_ring_bytes(32 << 10)
        .ring_memory(match rings {
            Rings::Private => RingMemory::Private,
            Rings::Shared(path) => RingMemory::Shared(path.to_owned()),
        })
}

/// The text of a record.
fn text(life: u64, producer: usize, number: u64) -> String {
    let filler = "x".repeat((number * 7 % 50) as usize);
    format!("{life} {producer} {number} {filler}")
}

/// Logs one record: every other one has fields.
fn log(own: &Producer, life: u64, producer: usize, number: u64) -> Outcome {
    let text = text(life, producer, number);
    if number.is_multiple_of(2) {
        return own.log(Level::Info, text);
    }
    let filler = &text[text.rfind(' ').map_or(0, |space| space + 1)..];
    diolog::info!(own, "{life} {producer} {number} {filler}", life, producer, number, filler)
}

/// A life: logs until it is killed.
fn live(directory: &Path, task: &Task<'_>) -> ! {
    os::kill_after(task.delay);
    let life = task.life;
    let told = told(directory, life);
    let logger = Logger::open(config(&directory.join("log"), life, task.rings)).expect("a log");
    std::thread::scope(|scope| {
        for (producer, accepted) in told[..PRODUCERS].iter().enumerate() {
            let logger = &logger;
            scope.spawn(move || {
                let own = logger.producer().expect("a ring");
                let mut number = 0;
                loop {
                    match log(&own, life, producer, number) {
                        Outcome::Written => number += 1,
                        Outcome::Dropped => std::thread::yield_now(),
                        other => panic!("{other:?}"),
                    }
                    accepted.store(number, SeqCst);
                    if number.is_multiple_of(64) {
                        // Not so many records that reading them takes the time.
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
        for turn in 0_u64.. {
            let accepted: [u64; PRODUCERS] = std::array::from_fn(|producer| told[producer].load(SeqCst));
            logger.flush().expect("a disk that works");
            for (producer, accepted) in accepted.into_iter().enumerate() {
                told[PRODUCERS + producer].store(accepted, SeqCst);
            }
            if turn.is_multiple_of(4) {
                logger.rotate().expect("an open log");
            }
        }
        unreachable!("it is killed");
    })
}

/// What was found wrong, and how many records were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    records: u64,
    lost: u64,
    twice: u64,
    torn: u64,
}

impl Found {
    fn is_fault(&self) -> bool {
        (self.lost, self.twice, self.torn) != (0, 0, 0)
    }
}

/// Compares a log with what its processes were told.
fn compare(directory: &Path, lives: u64, rings: Rings<'_>) -> Found {
    let mut found = Found::default();
    let mut seen = vec![[(); PRODUCERS].map(|()| Vec::<bool>::new()); lives as usize];
    let log = directory.join("log");
    if !log.exists() {
        // It was killed before it made the directory.
        return found;
    }
    let mut reader = match Reader::open(&log) {
        Ok(reader) => Some(reader),
        // Before its first segment is there, a log is none.
        Err(diolog::Error::NotALog { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    while let Some(record) = reader.as_mut().and_then(|reader| reader.next_record().expect("readable")) {
        let message = String::from_utf8_lossy(record.message()).into_owned();
        let mut numbers = message.split(' ').map(str::parse::<u64>);
        let (Some(Ok(life)), Some(Ok(producer)), Some(Ok(number))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            found.torn += 1;
            continue;
        };
        if life >= lives || producer >= PRODUCERS as u64 || text(life, producer as usize, number) != message {
            found.torn += 1;
            continue;
        }
        found.records += 1;
        let seen = &mut seen[life as usize][producer as usize];
        seen.resize(seen.len().max(number as usize + 1), false);
        found.twice += u64::from(std::mem::replace(&mut seen[number as usize], true));
    }
    for (life, seen) in seen.iter().enumerate() {
        let told = told(directory, life as u64);
        for (producer, seen) in seen.iter().enumerate() {
            let (accepted, durable) = (told[producer].load(SeqCst), told[PRODUCERS + producer].load(SeqCst));
            let missing = |number: &u64| !seen.get(*number as usize).is_some_and(|seen| *seen);
            let kept = if let Rings::Shared(_) = rings { accepted } else { durable };
            found.lost += (0..kept).filter(missing).count() as u64;
            // The record that was being logged may be there, and no later one.
            found.torn += (seen.len() as u64).saturating_sub(accepted + 1);
        }
    }
    found
}

/// Brings into the log what the dead processes have left.
fn recover(log: &Path, rings: Rings<'_>) {
    if let Rings::Shared(place) = rings
        && log.exists()
    {
        let recovered = diolog::recover(log, None).expect("nobody has it open");
        let links = support::rings::in_directory(log);
        assert!(links.is_empty(), "{links:?} are left, and in {}: {recovered:#?}", place.display());
    }
}

/// Runs the lives of one log, and returns what was found at the end.
fn lives_of_a_log(seed: u64, test: &str, rings: Rings<'_>) -> Found {
    let mut random = Random::new(seed);
    let directory = support::directory();
    let log = directory.path().join("log");
    let mut found = Found::default();
    for life in 0..KILLS_OF_A_LOG {
        // From a tenth of a millisecond to a tenth of a second, short times as often as long ones.
        let micros = 100 << random.below(10);
        let delay = Duration::from_micros(micros + random.below(micros));
        let output = support::run_child(test, &Task { life, delay, rings }.role(), directory.path());
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "seed {seed}, life {life}: {output:?}");
        // Sometimes the next process finds the log as this one has left it.
        if life + 1 < KILLS_OF_A_LOG && random.one_in(2) {
            continue;
        }
        recover(&log, rings);
        found = compare(directory.path(), life + 1, rings);
        let verdict = (found.records > 0).then(|| diolog::verify(&log).expect("a log").verdict);
        if found.is_fault() || verdict == Some(Verdict::Lost) {
            let kept = directory.keep();
            panic!("DIOLOG_SEED={seed}, after life {life}: {found:?}, {verdict:?}; the log is in {}", kept.display());
        }
    }
    found
}

/// Makes as many kills as are asked for, and shows what was found.
fn kill_again_and_again(test: &str, is_shared: bool) {
    if let Some(role) = support::role() {
        live(&support::child_directory(), &Task::of(&role));
    }
    let given = |name: &str, usual| std::env::var(name).map_or(usual, |number| number.parse().expect("a number"));
    let (kills, first) = (given("DIOLOG_KILLS", 300), given("DIOLOG_FIRST_SEED", 0));
    let begun = Instant::now();
    let (mut logs, mut records) = (0, 0);
    for seed in seeds(first..first + kills.div_ceil(KILLS_OF_A_LOG)) {
        let tmpfs = is_shared.then(support::rings::on_tmpfs);
        let rings = tmpfs.as_ref().map_or(Rings::Private, |tmpfs| Rings::Shared(tmpfs.path()));
        records += lives_of_a_log(seed, test, rings).records;
        logs += 1;
    }
    let (kills, seconds) = (logs * KILLS_OF_A_LOG, begun.elapsed().as_secs_f64());
    let kind = if is_shared { "shared" } else { "private" };
    let head = "| rings | kills | records | lost | twice | torn | seconds |\n|---|---|---|---|---|---|---|";
    writeln!(std::io::stderr(), "{head}\n| {kind} | {kills} | {records} | 0 | 0 | 0 | {seconds:.0} |").expect("open");
    assert!(records > kills, "{records} records: most were killed too early");
}

#[test]
fn a_kill_at_any_moment_loses_nothing_durable() {
    kill_again_and_again("a_kill_at_any_moment_loses_nothing_durable", false);
}

#[test]
fn a_kill_at_any_moment_loses_nothing_accepted_with_shared_rings() {
    kill_again_and_again("a_kill_at_any_moment_loses_nothing_accepted_with_shared_rings", true);
}
