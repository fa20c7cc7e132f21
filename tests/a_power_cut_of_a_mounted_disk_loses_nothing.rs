//! The power is cut while a log is written to a journaled ext4: the disk, built again from a recording of its writes
//! and flushes as it may be then, is mounted, and the log on it holds everything that a separate process had been told
//! to be durable, nothing twice and nothing that was not logged. `verify` never calls it lost, and the log goes on.
//!
//! A cut comes each time that the process was told something, when no write since the last flush of the device is
//! there; after each flush; and between two of them, where any of the writes since the last one may be missing, and one
//! be torn. The disk writes sectors of 4096 bytes. `tests/a_power_cut_loses_nothing_durable.rs` cuts the writes of the
//! log alone, everywhere and in smaller sectors; this has the file system below them: names, sizes and the journal.
//!
//! `scripts/power_cut.sh` runs it.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use diolog::{Config, Level, Logger, Outcome, Verdict, Verification};
use support::disk::run;
use support::lives::{self, Counts, PRODUCERS, Told};
use support::random::Random;
use support::recorded_disk::{Event, RecordedDisk, Recording, Write};

/// Runs of a log on one disk, one after the other: the first ones are killed, the last one is closed.
const LIVES: u64 = 3;

/// Flushes that a life is told of before it ends.
const FLUSHES_OF_A_LIFE: u64 = 12;

/// Of the writes between two flushes of the device, every so many is a cut on average.
const WRITES_PER_CUT: u64 = 4;

/// Of the cuts, after every so many the log is opened again on average.
const CUTS_PER_OPEN: u64 = 8;

/// What is logged then.
const AFTER_THE_CUT: &[u8] = b"after the cut";

/// Small blocks and files, so that there are many moments of each kind.
fn config(log: &Path) -> Config {
    support::config(log)
        .block_bytes(8 << 10)
        .first_segment_bytes(64 << 10)
        .segment_bytes(128 << 10)
        .flush_interval(Duration::from_millis(5))
        .ring_bytes(32 << 10)
        .reserve_bytes(0)
}

/// The process that logs. It prints a line after each flush, and goes on when it gets one.
#[allow(clippy::print_stdout, reason = "a message to the parent")]
fn live(life: u64) {
    let directory = support::child_directory();
    let logger = Logger::open(config(&directory.join("mounted/log"))).expect("a log");
    let ask = || {
        println!("\ndurable");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).expect("from the parent");
        answer == "go on\n"
    };
    lives::live(logger, life, &Told::of(&directory, life), |_| ask());
    ask();
}

/// What the process that watches had been told at a mark.
#[derive(Clone, Copy, Default)]
struct Mark {
    durable: [Counts; LIVES as usize],
    /// Whether the last life had closed the log.
    is_closed: bool,
}

/// Lets a process log until it was told of enough flushes, kills it or lets it close the log, and marks in the
/// recording what it had been told.
fn watch(disk: &RecordedDisk, directory: &Path, life: u64, marks: &mut Vec<Mark>) {
    const TEST: &str = "a_cut_loses_nothing_that_a_process_was_told_to_be_durable";
    let mut command = support::child_command(TEST, &life.to_string(), directory);
    command.args(["--include-ignored"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a child");
    let mut answers = child.stdin.take().expect("piped");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let is_last = life + 1 == LIVES;
    let mut flushes = 0;
    for _ in lines.map_while(Result::ok).filter(|line| line == "durable") {
        let mut mark = marks.last().copied().unwrap_or_default();
        mark.durable[life as usize] = Told::of(directory, life).durable();
        // One more comes after the log was closed.
        mark.is_closed = is_last && flushes > FLUSHES_OF_A_LIFE;
        disk.mark(marks.len() as u64);
        marks.push(mark);
        flushes += 1;
        if flushes >= FLUSHES_OF_A_LIFE && !is_last {
            // While it logs: it was not answered, but its producers go on.
            child.kill().expect("a child");
            break;
        }
        let answer = if flushes <= FLUSHES_OF_A_LIFE { "go on\n" } else { "close\n" };
        answers.write_all(answer.as_bytes()).expect("it reads");
    }
    let status = child.wait().expect("a child");
    assert_eq!(status.success(), is_last, "life {life}: {status}");
}

/// A recording, and what is known of it.
struct Run {
    seed: u64,
    recording: Recording,
    marks: Vec<Mark>,
    accepted: Vec<Counts>,
}

/// Records the lives of a log. `None`, with a report, if this machine cannot.
fn record(seed: u64) -> Option<Run> {
    let directory = support::directory();
    let recorded = RecordedDisk::new(directory.path()).and_then(|disk| {
        let mut marks = Vec::new();
        for life in 0..LIVES {
            watch(&disk, directory.path(), life, &mut marks);
        }
        disk.recording().map(|recording| (recording, marks))
    });
    match recorded {
        Ok((recording, marks)) => {
            let accepted = (0..LIVES).map(|life| Told::of(directory.path(), life).accepted()).collect();
            Some(Run { seed, recording, marks, accepted })
        }
        Err(why) => {
            support::not_shown("a power cut of a recorded disk", why);
            None
        }
    }
}

/// How many cuts there were, and what they left.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    told: u64,
    flushes: u64,
    between: u64,
    opened: u64,
    records: u64,
}

/// Where images of the disk are mounted.
struct Place {
    image: PathBuf,
    mounted: PathBuf,
}

impl Place {
    /// In memory, for the calling thread alone.
    fn new(directory: &Path) -> Place {
        support::os::mount_tmpfs(directory, "size=128m").expect("root may");
        let place = Place { image: directory.join("image"), mounted: directory.join("mounted") };
        std::fs::create_dir(&place.mounted).expect("a mount point");
        place
    }

    /// Mounts the image, so that the file system replays its journal, and looks at it.
    fn mount<T>(&self, image: &[u8], look: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
        std::fs::write(&self.image, image).expect("room");
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(&self.image).arg(&self.mounted))?;
        let seen = look(&self.mounted.join("log"));
        run(Command::new("umount").arg(&self.mounted)).expect("nobody uses it");
        seen
    }
}

impl Run {
    /// Cuts the power each time that the process which watches was told something, after each flush of the device, and
    /// at some writes between.
    fn cut_everywhere(&self) -> Tried {
        let directory = support::directory();
        let place = Place::new(directory.path());
        let mut random = Random::new(self.seed);
        let mut tried = Tried::default();
        let mut durable = self.recording.before.clone();
        let mut pending: Vec<&Write> = Vec::new();
        let mut mark = None;
        for event in &self.recording.events {
            match event {
                Event::Marked(number) => {
                    mark = Some(*number as usize);
                    tried.told += 1;
                    self.cut(&place, &durable, mark, &mut random, &mut tried);
                }
                Event::Flushed => {
                    pending.drain(..).for_each(|write| write.apply(&mut durable));
                    tried.flushes += 1;
                    self.cut(&place, &durable, mark, &mut random, &mut tried);
                }
                Event::Write(write) => {
                    pending.push(write);
                    if random.one_in(WRITES_PER_CUT) {
                        tried.between += 1;
                        let image = some_of(&pending, &durable, &mut random);
                        self.cut(&place, &image, mark, &mut random, &mut tried);
                    }
                }
            }
        }
        pending.drain(..).for_each(|write| write.apply(&mut durable));
        self.cut(&place, &durable, mark, &mut random, &mut tried);
        run(Command::new("umount").arg(directory.path())).expect("nobody uses it");
        tried
    }

    /// Looks at one image of the disk. If something is wrong with it, keeps it and fails.
    fn cut(&self, place: &Place, image: &[u8], mark: Option<usize>, random: &mut Random, tried: &mut Tried) {
        let opens = random.one_in(CUTS_PER_OPEN);
        tried.opened += u64::from(opens);
        let told = mark.map(|mark| self.marks[mark]).unwrap_or_default();
        let seen = place.mount(image, |log| {
            let records = self.check(log, &told)?;
            if opens {
                self.go_on(log, &told)?;
            }
            Ok(records)
        });
        match seen {
            Ok(records) => tried.records += records,
            Err(fault) => {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("after-the-cut.ext4");
                std::fs::write(&kept, image).expect("room");
                panic!("after {tried:?}, {mark:?}: {fault}; the disk is in {}", kept.display());
            }
        }
    }

    /// Compares a log with what was told. Returns how many records it has.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, log: &Path, told: &Mark) -> Result<u64, String> {
        let found = lives::compare(log, &self.accepted, &told.durable, Some(AFTER_THE_CUT));
        if found.is_fault() {
            return Err(format!("{found:?}"));
        }
        match diolog::verify(log) {
            Ok(Verification { verdict, report, .. }) => {
                let is_ordinary = verdict <= Verdict::Unconfirmed && report.blocks.lost == 0;
                let is_ended = !told.is_closed || report.runs.iter().any(|run| run.clean_end);
                if is_ordinary && is_ended { Ok(found.records) } else { Err(format!("{verdict}: {report:#?}")) }
            }
            // Before its first segment is durable, a log is none.
            Err(_) if told.durable == Mark::default().durable => Ok(0),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Logs one more record, and checks again.
    fn go_on(&self, log: &Path, told: &Mark) -> Result<(), String> {
        let logger = Logger::open(config(log)).expect("a log goes on");
        assert_eq!(logger.producer().expect("a producer").log(Level::Info, AFTER_THE_CUT), Outcome::Written);
        logger.close().expect("a clean end");
        self.check(log, told)?;
        let report = diolog::verify(log).expect("a log").report;
        let last = report.runs.last().expect("the new run");
        if last.clean_end && last.records == 1 { Ok(()) } else { Err(format!("{last:#?}")) }
    }
}

/// The disk after a cut: of the writes since the last flush all are there, or some, and maybe one is torn.
fn some_of(pending: &[&Write], durable: &[u8], random: &mut Random) -> Vec<u8> {
    let mut image = durable.to_vec();
    let keeps_all = random.one_in(3);
    let torn = random.one_in(2).then(|| random.below(pending.len() as u64) as usize);
    for (at, write) in pending.iter().enumerate() {
        if torn == Some(at) {
            write.apply_torn(&mut image, || random.one_in(2));
        } else if keeps_all || random.one_in(2) {
            write.apply(&mut image);
        }
    }
    image
}

#[test]
#[ignore = "a rig that needs root and qemu-storage-daemon: see scripts/power_cut.sh"]
fn a_cut_loses_nothing_that_a_process_was_told_to_be_durable() {
    if let Some(life) = support::role() {
        return live(life.parse().expect("a number"));
    }
    let runs = std::env::var("DIOLOG_RUNS").map_or(1, |runs| runs.parse().expect("a number"));
    let head = "| run | writes | cuts when told | after a flush | between | log opened again | records told | read, in all \
                | lost | twice | torn |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";
    writeln!(std::io::stderr(), "{head}").expect("open");
    for seed in 0..runs {
        let Some(run) = record(seed) else { return };
        let durable: u64 = run.marks.last().expect("told").durable.as_flattened().iter().sum();
        let tried = run.cut_everywhere();
        assert!(durable > LIVES * PRODUCERS as u64 && tried.flushes > LIVES * FLUSHES_OF_A_LIFE, "{tried:?}");
        let writes = run.recording.events.iter().filter(|event| matches!(event, Event::Write(_))).count();
        let Tried { told, flushes, between, opened, records } = tried;
        let cuts = format!("{told} | {flushes} | {between} | {opened}");
        let row = format!("| {seed} | {writes} | {cuts} | {durable} | {records} | 0 | 0 | 0 |");
        writeln!(std::io::stderr(), "{row}").expect("open");
    }
}
