//! The parent: runs a child for each logger and task, in turns, kills those that are to be killed, and counts what is
//! in their files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use diolog::{ReadOptions, Reader};
use serde::Serialize;

use crate::child::{CALLS, Measured, RESULT, STDERR, STDOUT, Task};
use crate::effort::Effort;
use crate::message::{Found, search_files};
use crate::rival::{Failure, Name};
use crate::rivals::{LOG, said_in_files};

/// A child that has not ended after so long hangs.
const CHILD_TIME_MAX: Duration = Duration::from_secs(120);

/// A child that is to be killed logs for so long, and a little longer each time.
const BEFORE_KILL: Duration = Duration::from_millis(500);

/// Numbers of threads that log until everything is durable.
pub const PRODUCERS: [u64; 2] = [1, 4];

/// Messages that were logged, and those in the files.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Count {
    /// Calls that had returned.
    pub calls: u64,
    /// Messages of these calls that are in the files.
    pub found: u64,
    /// Messages that are in the files more than once.
    pub repeated: u64,
    /// Lost messages, as the logger says.
    pub said_lost: u64,
    /// What else it says of its files.
    pub said: String,
}

impl Count {
    pub fn missing(&self) -> u64 {
        self.calls - self.found
    }
}

/// What was measured of one logger.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub append: Vec<Measured>,
    /// By the number of producers, as [`PRODUCERS`].
    pub durable: [Vec<(Measured, Count)>; 2],
    pub burst: Vec<Count>,
    pub returned: Vec<Count>,
    pub exited: Vec<Count>,
    pub killed: Vec<Count>,
    /// Tasks that failed, and why.
    pub failed: Vec<String>,
}

/// Runs the children.
pub struct Runner {
    effort: Effort,
    /// Where each child has a directory.
    scratch: PathBuf,
    program: PathBuf,
}

impl Runner {
    pub fn new(effort: Effort, scratch: PathBuf) -> Result<Runner, Failure> {
        Ok(Runner { effort, scratch, program: std::env::current_exe()? })
    }

    /// Measures all of `names`.
    pub fn run(&self, names: &[Name]) -> BTreeMap<Name, Figures> {
        let mut all: BTreeMap<Name, Figures> = names.iter().map(|&name| (name, Figures::default())).collect();
        let Effort { rounds, bursts, warm_up, records, burst, exit, ends, kill_rate } = self.effort;
        let logs: Vec<_> = names.iter().copied().filter(|name| name.is_log()).collect();
        for round in 0..rounds {
            self.step(round, "append", names, &mut all, |figures, name| {
                let (measured, _) = self.finished(name, Task::Append { bursts, warm_up })?;
                figures.append.push(measured);
                Ok(())
            });
            for (at, &producers) in PRODUCERS.iter().enumerate() {
                self.step(round, "durable", &logs, &mut all, |figures, name| {
                    let done = self.finished(name, Task::Durable { records, producers })?;
                    figures.durable[at].push(done);
                    Ok(())
                });
            }
        }
        self.step(0, "burst", &logs, &mut all, |figures, name| {
            figures.burst.push(self.finished(name, Task::Burst { records: burst })?.1);
            Ok(())
        });
        for end in 0..ends {
            self.step(end, "return from main", &logs, &mut all, |figures, name| {
                figures.returned.push(self.finished(name, Task::Return { records: exit })?.1);
                Ok(())
            });
            self.step(end, "exit", &logs, &mut all, |figures, name| {
                figures.exited.push(self.finished(name, Task::Exit { records: exit })?.1);
                Ok(())
            });
            self.step(end, "kill", &logs, &mut all, |figures, name| {
                figures.killed.push(self.killed(name, kill_rate, end)?);
                Ok(())
            });
        }
        all
    }

    /// Does one thing with each logger, and notes what failed.
    fn step(
        &self,
        round: u64,
        what: &str,
        names: &[Name],
        all: &mut BTreeMap<Name, Figures>,
        mut work: impl FnMut(&mut Figures, Name) -> Result<(), Failure>,
    ) {
        // Each round begins with another logger, because one may slow the next.
        let first = round as usize % names.len().max(1);
        for &name in names[first..].iter().chain(&names[..first]) {
            eprintln!("round {}: {what}, {}", round + 1, name.word());
            let Some(figures) = all.get_mut(&name) else { continue };
            if let Err(error) = work(figures, name) {
                eprintln!("{}: {what}: {error}", name.word());
                figures.failed.push(format!("{what}: {error}"));
            }
            let _ = fs::remove_dir_all(self.place(name));
        }
    }

    fn place(&self, name: Name) -> PathBuf {
        self.scratch.join(name.word())
    }

    /// Runs a child to its end, and counts its messages.
    fn finished(&self, name: Name, task: Task) -> Result<(Measured, Count), Failure> {
        let place = self.place(name);
        let mut child = self.spawn(name, task, &place)?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begin.elapsed() > CHILD_TIME_MAX {
                child.kill()?;
                child.wait()?;
                return Err(format!("it had not ended after {} s", CHILD_TIME_MAX.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(2));
        };
        if !status.success() {
            let said = fs::read_to_string(place.join(STDERR)).unwrap_or_default();
            return Err(format!("{status}: {}", said.lines().last().unwrap_or_default()).into());
        }
        let measured: Measured = serde_json::from_slice(&fs::read(place.join(RESULT))?)?;
        if !name.is_log() {
            return Ok((measured, Count::default()));
        }
        let (found, said) = search(name, &place)?;
        let (calls, repeated) = (measured.calls, found.repeated);
        let said_lost = measured.said_lost + said_in_files(name, &place);
        let count = Count { calls, found: found.below(calls), repeated, said_lost, said };
        Ok((measured, count))
    }

    /// Kills a child while it logs, and counts the messages of the calls that had returned.
    fn killed(&self, name: Name, rate: u64, time: u64) -> Result<Count, Failure> {
        let place = self.place(name);
        let mut child = self.spawn(name, Task::Kill { rate }, &place)?;
        let begin = Instant::now();
        while calls(&place) == 0 {
            if child.try_wait()?.is_some() || begin.elapsed() > CHILD_TIME_MAX {
                let _ = child.kill();
                child.wait()?;
                return Err("it did not log".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Not in step with anything that a logger does at intervals.
        thread::sleep(BEFORE_KILL + Duration::from_micros(37_317 * time));
        child.kill()?;
        child.wait()?;
        let calls = calls(&place);
        let (found, said) = search(name, &place)?;
        let said_lost = said_in_files(name, &place);
        Ok(Count { calls, found: found.below(calls), repeated: found.repeated, said_lost, said })
    }

    fn spawn(&self, name: Name, task: Task, place: &Path) -> Result<Child, Failure> {
        let _ = fs::remove_dir_all(place);
        fs::create_dir_all(place)?;
        let [stdout, stderr] = [STDOUT, STDERR].map(|name| File::create(place.join(name)));
        let mut command = Command::new(&self.program);
        command.arg("child").arg(name.word()).arg(serde_json::to_string(&task)?).arg(place);
        // Nothing in the environment may change a logger's settings.
        command.env_remove("RUST_LOG").env_remove("SPDLOG_RS_LEVEL").env_remove("DIOLOG_LEVEL");
        Ok(command.stdin(Stdio::null()).stdout(stdout?).stderr(stderr?).spawn()?)
    }
}

/// How many calls of the child had returned.
fn calls(place: &Path) -> u64 {
    let bytes = fs::read(place.join(CALLS)).unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

/// The messages in the logger's files, and what a reader says of them.
fn search(name: Name, place: &Path) -> Result<(Found, String), Failure> {
    if !name.is_diolog() {
        return Ok((search_files(place)?, String::new()));
    }
    let log = place.join(LOG);
    // As the next open does. Without rings that outlive a process there is nothing to recover.
    diolog::recover(&log, None)?;
    let verification = ReadOptions::new().verify(&log)?;
    let mut found = Found::default();
    let mut reader = Reader::open(&log)?;
    let mut text = Vec::new();
    while let Some(record) = reader.next_record()? {
        text.clear();
        record.write_message(&mut text);
        found.search(&text);
    }
    Ok((found, verification.verdict.to_string()))
}
