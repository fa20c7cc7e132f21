//! A process with four producers is killed at a random moment, again and again: while it opens its log, logs, rotates.
//! Afterwards the log has what the process was told: each record that was durable exactly once, whole, and none that
//! was not logged; with rings in shared memory, each record that was accepted, once the log was recovered. The next
//! process recovers it, which may be killed while it does so. If it has a flight recorder too, its snapshots have what
//! that took, the newest of it without a gap, and each record once.
//!
//! `scripts/kill_loop.sh` makes more kills than the test does, and shows them in a table.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diolog::{Config, Logger, Overflow, Recovery, RecoveryOutcome, RingMemory, SegmentInfo, Verdict};
use support::lives::{self, Found, Told};
use support::os;
use support::random::{Random, seeds};

/// Kills of one log, which is then checked a last time and left.
const KILLS_OF_A_LOG: u64 = 10;

/// Where the rings of a log are.
#[derive(Clone, Copy)]
enum Rings<'a> {
    Private,
    Shared(&'a Path),
    /// Shared, and there is a flight recorder.
    Recorded(&'a Path),
}

impl<'a> Rings<'a> {
    /// The directory of shared ones.
    fn place(self) -> Option<&'a Path> {
        match self {
            Rings::Private => None,
            Rings::Shared(path) | Rings::Recorded(path) => Some(path),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Rings::Private => "private",
            Rings::Shared(_) => "shared",
            Rings::Recorded(_) => "recorded",
        }
    }
}

/// What a child is to do: its role is this, in words.
struct Task<'a> {
    life: u64,
    delay: Duration,
    rings: Rings<'a>,
}

impl Task<'_> {
    fn role(&self) -> String {
        let place = self.rings.place().map_or("", |path| path.to_str().expect("in ASCII"));
        format!("{} {} {} {place}", self.life, self.delay.as_micros(), self.rings.kind())
    }

    fn of(role: &str) -> Task<'_> {
        let mut parts = role.splitn(4, ' ');
        let mut number = || parts.next().and_then(|number| number.parse().ok()).expect("a number");
        let (life, delay) = (number(), Duration::from_micros(number()));
        let kind = parts.next().expect("a kind");
        let place = Path::new(parts.next().expect("a path, or nothing"));
        let rings = [Rings::Private, Rings::Shared(place), Rings::Recorded(place)];
        let rings = rings.into_iter().find(|rings| rings.kind() == kind).expect("a kind of rings");
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
        .ring_memory(rings.place().map_or(RingMemory::Private, |path| RingMemory::Shared(path.to_owned())))
        .flight_recorder(if matches!(rings, Rings::Recorded(_)) { 32 << 10 } else { 0 })
        .snapshots_max(u64::MAX)
}

/// What a life notes of where it is: nothing, that it opens its log, that the log is open, or that it has asked for
/// another segment, which has not begun as far as it knows.
const OPENING: u64 = 1;
const OPEN: u64 = 2;
const ROTATING: u64 = 3;

/// Where the life with this number is, in a file in `directory`.
fn place_of_life(directory: &Path, life: u64) -> &'static AtomicU64 {
    let [place] = os::shared_words(&directory.join(format!("place-{life}")));
    place
}

/// Kills that came at certain moments.
#[derive(Clone, Copy, Default)]
struct Moments {
    /// While the process opened its log.
    opening: u64,
    /// Of these, before a recovery had ended that was a part of that: the log still names the rings.
    recovering: u64,
    /// Between the call that asks for a rotation and the next segment.
    rotating: u64,
    /// While the next segment's file was being prepared, for a rotation or in advance.
    preparing: u64,
    /// While the writer entered a segment: the newest one, which is not its run's first, holds its header alone.
    entering: u64,
}

impl Moments {
    /// Counts a kill of a process with an open log, also by the files that it has left.
    fn count_open(&mut self, place: u64, log: &Path) {
        self.rotating += u64::from(place == ROTATING);
        self.preparing += u64::from(log.join("spare.tmp").exists());
        let segments = diolog::info(log).expect("a log").segments;
        let is_entered = |[before, last]: &[SegmentInfo; 2]| last.run == before.run && last.blocks == 0;
        self.entering += u64::from(segments.last_chunk().is_some_and(is_entered));
    }

    fn add(&mut self, other: Moments) {
        self.opening += other.opening;
        self.recovering += other.recovering;
        self.rotating += other.rotating;
        self.preparing += other.preparing;
        self.entering += other.entering;
    }
}

/// A life: logs until it is killed.
fn live_until_killed(directory: &Path, task: &Task<'_>) -> ! {
    os::kill_after(task.delay);
    let life = task.life;
    let place = place_of_life(directory, life);
    place.store(OPENING, Ordering::SeqCst);
    let logger = Logger::open(config(&directory.join("log"), life, task.rings)).expect("a log");
    // Otherwise the parent finds another end than a kill.
    assert!(logger.recovery().iter().all(is_whole), "{:#?}", logger.recovery());
    place.store(OPEN, Ordering::SeqCst);
    let (figures, mut segments) = (logger.clone(), 0);
    lives::live(logger, life, &Told::of(directory, life), |rotates| {
        let begun = figures.stats().segments;
        if rotates {
            segments = begun;
            place.store(ROTATING, Ordering::SeqCst);
        } else if begun > segments {
            place.store(OPEN, Ordering::SeqCst);
        }
        true
    });
    unreachable!("it is killed");
}

/// Compares a log with what its processes were told.
fn compare(directory: &Path, lives: u64, rings: Rings<'_>) -> Found {
    let told: Vec<_> = (0..lives).map(|life| Told::of(directory, life)).collect();
    let accepted: Vec<_> = told.iter().map(Told::accepted).collect();
    let kept = match rings.place() {
        Some(_) => accepted.clone(),
        None => told.iter().map(Told::durable).collect(),
    };
    let log = directory.join("log");
    let mut found = lives::compare(&log, &accepted, &kept, None);
    found.add(lives::compare_snapshots(&log, &told.iter().map(Told::recorded).collect::<Vec<_>>()));
    found
}

/// Whether a kill alone, which damages nothing, has led to this recovery.
fn is_whole(recovery: &Recovery) -> bool {
    (recovery.outcome, &recovery.reason, recovery.unwritten) == (RecoveryOutcome::Complete, &None, 0)
}

/// Brings into the log what the dead processes have left.
fn recover(log: &Path, rings: Rings<'_>) {
    if let Some(place) = rings.place()
        && log.exists()
    {
        let recovered = diolog::recover(log, None).expect("nobody has it open");
        let links = support::rings::in_directory(log);
        assert!(links.is_empty(), "{links:?} are left, and in {}: {recovered:#?}", place.display());
        assert!(recovered.iter().all(is_whole), "{recovered:#?}");
        let left = std::fs::read_dir(place).expect("readable").map(|entry| entry.expect("an entry").file_name());
        let damaged: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".damaged")).collect();
        assert!(damaged.is_empty(), "{damaged:?} are left in {}: {recovered:#?}", place.display());
    }
}

/// Runs the lives of one log, of which the shortest last for `shortest_micros`. Returns what was found at the end, and
/// when the kills came.
fn lives_of_a_log(seed: u64, shortest_micros: u64, test: &str, rings: Rings<'_>) -> (Found, Moments) {
    let mut random = Random::new(seed);
    let directory = support::directory();
    let log = directory.path().join("log");
    let (mut found, mut moments) = (Found::default(), Moments::default());
    for life in 0..KILLS_OF_A_LOG {
        let named = if log.exists() { support::rings::in_directory(&log) } else { Vec::new() };
        // Up to a thousand times as long as the shortest, short times as often as long ones.
        let micros = shortest_micros << random.below(10);
        let delay = Duration::from_micros(micros + random.below(micros));
        let output = support::run_child(test, &Task { life, delay, rings }.role(), directory.path());
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "seed {seed}, life {life}: {output:?}");
        match place_of_life(directory.path(), life).load(Ordering::SeqCst) {
            OPENING => {
                moments.opening += 1;
                moments.recovering += u64::from(named.iter().any(|name| name.exists()));
            }
            place @ (OPEN | ROTATING) => moments.count_open(place, &log),
            _ => {}
        }
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
    (found, moments)
}

/// Makes as many kills as are asked for, and shows what was found.
fn kill_again_and_again(test: &str, rings: fn(&Path) -> Rings<'_>) {
    if let Some(role) = support::role() {
        live_until_killed(&support::child_directory(), &Task::of(&role));
    }
    let given = |name: &str, usual| std::env::var(name).map_or(usual, |number| number.parse().expect("a number"));
    let (kills, first) = (given("DIOLOG_KILLS", 300), given("DIOLOG_FIRST_SEED", 0));
    let begun = Instant::now();
    let (mut logs, mut records, mut shortest_micros, mut sum) = (0, 0, 100, Moments::default());
    for seed in seeds(first..first + kills.div_ceil(KILLS_OF_A_LOG)) {
        loop {
            let tmpfs = support::rings::on_tmpfs();
            let (found, moments) = lives_of_a_log(seed, shortest_micros, test, rings(tmpfs.path()));
            (logs, records) = (logs + 1, records + found.records);
            sum.add(moments);
            if found.records > KILLS_OF_A_LOG || shortest_micros > 2_000 {
                break;
            }
            // On a busy machine a process has not begun to log by then.
            shortest_micros *= 2;
        }
    }
    let (kills, seconds) = (logs * KILLS_OF_A_LOG, begun.elapsed().as_secs_f64());
    let kind = rings(Path::new("")).kind();
    let Moments { opening, recovering, rotating, preparing, entering } = sum;
    let heads = "opening | recovering | rotating | preparing | entering";
    let head = format!("| rings | kills | {heads} | records | lost | twice | torn | seconds |");
    let moments = format!("{opening} | {recovering} | {rotating} | {preparing} | {entering}");
    let row = format!("| {kind} | {kills} | {moments} | {records} | 0 | 0 | 0 | {seconds:.0} |");
    writeln!(std::io::stderr(), "{head}\n{}|\n{row}", "|---".repeat(12)).expect("open");
    assert!(records > kills, "{records} records: most were killed too early");
}

#[test]
fn a_kill_at_any_moment_loses_nothing_durable() {
    kill_again_and_again("a_kill_at_any_moment_loses_nothing_durable", |_| Rings::Private);
}

#[test]
fn a_kill_at_any_moment_loses_nothing_accepted_with_shared_rings() {
    let test = "a_kill_at_any_moment_loses_nothing_accepted_with_shared_rings";
    kill_again_and_again(test, |path| Rings::Shared(path));
}

#[test]
fn a_kill_at_any_moment_leaves_what_the_flight_recorder_kept_in_one_snapshot() {
    let test = "a_kill_at_any_moment_leaves_what_the_flight_recorder_kept_in_one_snapshot";
    kill_again_and_again(test, |path| Rings::Recorded(path));
}
