//! The child process: one logger, one task, and what was measured.
//!
//! Each logger has a process of its own, because facades have one logger for a process, and because a process can be
//! killed.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diolog::unstable::measure::stopwatch::{TickRate, busy_wait, ticks};
use diolog::unstable::measure::usage::cpu_time;
use memmap2::MmapMut;
use serde::{Deserialize, Serialize};

use crate::message::{Message, bytes_of_files};
use crate::rival::{Failure, Name, Rival};
use crate::rivals::{self, BehindLog};

/// Files in the child's directory, beside those of the logger.
pub const STDOUT: &str = "stdout.txt";
pub const STDERR: &str = "stderr.txt";
pub const RESULT: &str = "result.json";
/// How many calls have returned, in a page that outlives a kill.
pub const CALLS: &str = "calls.bin";

/// Calls that are timed together.
const BURST: u64 = 20;

/// The pause before a burst or a single call. The thread stays on its CPU.
const PAUSE: Duration = Duration::from_millis(1);

/// One of so many pauses ends with a single call, the others with a burst.
const SINGLE_OF: u64 = 4;

/// Between two messages before an exit: no queue overflows, so that what is lost is lost by the end.
const BEFORE_EXIT_PAUSE: Duration = Duration::from_micros(20);

/// The last messages before an exit come at once: these are the ones that say why. Each queue holds them.
const LAST_WORDS: u64 = 100;

/// What a child is to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Times calls after pauses.
    Append { bursts: u64, warm_up: u64 },
    /// Logs at full speed, waiting for space, until everything is on the disk.
    Durable { records: u64, producers: u64 },
    /// Logs at full speed with the logger's default policy, and ends it properly.
    Burst { records: u64 },
    /// Logs, and returns from `main`.
    Return { records: u64 },
    /// Logs, and calls `std::process::exit`.
    Exit { records: u64 },
    /// Logs at this rate until it is killed.
    Kill { rate: u64 },
}

/// What a child has measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Of a burst's mean, in nanoseconds: p50, p95, p99 and p99.9.
    pub burst_ns: [f64; 4],
    /// Of a call after a pause, in nanoseconds: p50 and p99.
    pub first_ns: [f64; 2],
    pub calls: u64,
    /// From the first call until everything was on the disk.
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// Messages that the logger says it has lost.
    pub said_lost: u64,
    pub bytes: u64,
}

/// Runs `task` with the logger `name`, in the directory `place`.
pub fn run(name: Name, task: Task, place: &Path) -> Result<(), Failure> {
    match name {
        Name::Clock => with::<rivals::Clock>(task, place),
        Name::Rtrb => with::<rivals::Rtrb>(task, place),
        Name::Diolog => with::<rivals::Diolog>(task, place),
        Name::DiologShared => with::<rivals::DiologShared>(task, place),
        Name::DiologMacro => with::<rivals::DiologMacro>(task, place),
        Name::DiologLog => with::<BehindLog<rivals::DiologLog>>(task, place),
        Name::TracingAppender => with::<rivals::TracingAppender>(task, place),
        Name::Fern => with::<BehindLog<rivals::Fern>>(task, place),
        Name::FlexiLogger => with::<BehindLog<rivals::FlexiLogger>>(task, place),
        Name::SpdlogRs => with::<rivals::SpdlogRs>(task, place),
        Name::Ftlog => with::<BehindLog<rivals::Ftlog>>(task, place),
        Name::SlogAsync => with::<rivals::SlogAsync>(task, place),
        Name::Ttlog => with::<rivals::Ttlog>(task, place),
        Name::LltRs => with::<rivals::LltRs>(task, place),
    }
}

fn with<R: Rival>(task: Task, place: &Path) -> Result<(), Failure> {
    // The logger's threads inherit this.
    cpus::pin_to_last();
    let waits = matches!(task, Task::Durable { .. });
    let rival = R::start(place, waits)?;
    let measured = match task {
        Task::Append { bursts, warm_up } => append(rival, place, bursts, warm_up)?,
        Task::Durable { records, producers } => durable(rival, place, records, producers)?,
        Task::Burst { records } => {
            on_first_cpu(&rival, |handle| {
                (0..records).for_each(|number| log::<R>(handle, number));
                Ok(())
            })?;
            Measured { calls: records, said_lost: rival.finish(place)?, ..Measured::default() }
        }
        Task::Return { records } | Task::Exit { records } => {
            // Before the last message: nothing gives the logger time after it.
            write(place, &Measured { calls: records, ..Measured::default() })?;
            on_first_cpu(&rival, |handle| {
                let pause = TickRate::measure().ticks_in(BEFORE_EXIT_PAUSE);
                for number in 0..records {
                    if number < records.saturating_sub(LAST_WORDS) {
                        busy_wait(pause);
                    }
                    log::<R>(handle, number);
                }
                if matches!(task, Task::Exit { .. }) {
                    // Here, because the end of this thread would take time too.
                    std::process::exit(0);
                }
                Ok(())
            })?;
            // `main` returns, and what it holds is dropped.
            return Ok(());
        }
        Task::Kill { rate } => return until_killed(&rival, place, rate),
    };
    write(place, &measured)
}

fn write(place: &Path, measured: &Measured) -> Result<(), Failure> {
    Ok(fs::write(place.join(RESULT), serde_json::to_vec(measured)?)?)
}

#[inline]
fn log<R: Rival>(handle: &mut R::Handle, number: u64) {
    R::log(handle, Message::new(number).text());
}

/// Calls `work` on a thread that is pinned to the first CPU.
fn on_first_cpu<R: Rival, T: Send>(
    rival: &R,
    work: impl FnOnce(&mut R::Handle) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            cpus::pin_to_first();
            work(&mut rival.handle()?)
        });
        thread.join().map_err(|_| "the thread that logs panicked")?
    })
}

fn append<R: Rival>(rival: R, place: &Path, bursts: u64, warm_up: u64) -> Result<Measured, Failure> {
    let (mut of_bursts, mut of_calls) = (Vec::new(), Vec::new());
    let mut number = 0;
    on_first_cpu(&rival, |handle| {
        let rate = TickRate::measure();
        let pause = rate.ticks_in(PAUSE);
        for at in 0..warm_up + bursts {
            let single = at % SINGLE_OF == 0;
            let calls = if single { 1 } else { BURST };
            let messages: [Message; BURST as usize] = std::array::from_fn(|place| Message::new(number + place as u64));
            busy_wait(pause);
            let begin = ticks();
            for message in &messages[..calls as usize] {
                R::log(handle, message.text());
            }
            let ns = rate.ns(ticks().wrapping_sub(begin) as f64) / calls as f64;
            number += calls;
            if at >= warm_up {
                if single { &mut of_calls } else { &mut of_bursts }.push(ns);
            }
        }
        Ok(())
    })?;
    let said_lost = rival.finish(place)?;
    let burst_ns = [0.5, 0.95, 0.99, 0.999].map(|quantile| value_at(&mut of_bursts, quantile));
    let first_ns = [0.5, 0.99].map(|quantile| value_at(&mut of_calls, quantile));
    Ok(Measured { burst_ns, first_ns, calls: number, said_lost, ..Measured::default() })
}

/// The smallest value that this part of all values does not exceed.
fn value_at(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * quantile).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn durable<R: Rival>(rival: R, place: &Path, records: u64, producers: u64) -> Result<Measured, Failure> {
    let each = records / producers;
    let ready = Barrier::new(producers as usize + 1);
    let (start, cpu) = thread::scope(|scope| {
        let threads: Vec<_> = (0..producers)
            .map(|producer| {
                let (rival, ready) = (&rival, &ready);
                scope.spawn(move || {
                    if producers == 1 {
                        cpus::pin_to_first()
                    } else {
                        cpus::unpin()
                    }
                    let handle = rival.handle();
                    ready.wait();
                    let mut handle = handle?;
                    (producer * each..(producer + 1) * each).for_each(|number| log::<R>(&mut handle, number));
                    Ok::<(), Failure>(())
                })
            })
            .collect();
        ready.wait();
        let begin = (Instant::now(), cpu_time());
        for thread in threads {
            thread.join().map_err(|_| "a thread that logs panicked")??;
        }
        Ok::<_, Failure>(begin)
    })?;
    let said_lost = rival.finish(place)?;
    sync_all(place)?;
    let seconds = start.elapsed().saturating_sub(R::WAITS_IN_VAIN).as_secs_f64();
    let cpu_seconds = (cpu_time() - cpu).as_secs_f64();
    let calls = each * producers;
    Ok(Measured { calls, seconds, cpu_seconds, said_lost, bytes: bytes_of_files(place)?, ..Measured::default() })
}

/// Waits until the contents of all files are on the disk.
fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        if kind.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

fn until_killed<R: Rival>(rival: &R, place: &Path, rate: u64) -> Result<(), Failure> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(place.join(CALLS))?;
    file.set_len(size_of::<u64>() as u64)?;
    // SAFETY: only this process and its parent know the file, and none of them shortens it.
    let mut page = unsafe { MmapMut::map_mut(&file)? };
    // SAFETY: the page is aligned, as long as the number, and mapped until this function returns, which it never does
    // before the process is killed; the parent reads the file afterwards.
    let calls = unsafe { AtomicU64::from_ptr(page.as_mut_ptr().cast()) };
    on_first_cpu(rival, |handle| {
        let start = Instant::now();
        for number in 0.. {
            let due = Duration::from_secs_f64(number as f64 / rate as f64);
            while start.elapsed() < due {
                std::hint::spin_loop();
            }
            log::<R>(handle, number);
            calls.store(number + 1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// The CPUs of the calling thread.
mod cpus {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::sync::OnceLock;

    /// Those that this process may use.
    fn allowed() -> &'static CpuSet {
        static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
        // An empty set is refused below, and changes nothing.
        ALLOWED.get_or_init(|| sched_getaffinity(None).unwrap_or_default())
    }

    fn members() -> impl DoubleEndedIterator<Item = usize> {
        (0..CpuSet::MAX_CPU).filter(|&cpu| allowed().is_set(cpu))
    }

    fn pin(cpu: Option<usize>) {
        let mut set = CpuSet::new();
        cpu.into_iter().for_each(|cpu| set.set(cpu));
        // A refusal shows in the noise.
        let _ = sched_setaffinity(None, &set);
    }

    pub(super) fn pin_to_first() {
        pin(members().next());
    }

    pub(super) fn pin_to_last() {
        pin(members().next_back());
    }

    pub(super) fn unpin() {
        let _ = sched_setaffinity(None, allowed());
    }
}
