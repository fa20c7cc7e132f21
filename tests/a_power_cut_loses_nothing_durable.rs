//! The power is cut at any moment of a run: the files, built again as the disk may have them then, hold everything that
//! a flush had acknowledged, nothing twice and nothing that was not logged, and `verify` does not call it lost. If
//! durable blocks are taken away on purpose, it says so whenever a later block proves it.
//!
//! After each event of a run (a write is submitted, has completed, a flush has returned), all subsets of the pending
//! writes are tried, or 200 of them if more than twelve are pending, and each possible length of one torn write.
//!
//! Without Linux's locks a reader cannot know that nobody writes the log, and waits for each missing block: these are
//! too many.
#![cfg(all(target_os = "linux", not(diolog_portable), feature = "unstable"))]
#![allow(clippy::print_stdout, reason = "what was tried, if a test fails")]

mod support;

use std::collections::HashSet;
use std::path::Path;

use diolog::{Level, Logger, Outcome, Overflow, Reader, Verdict};
use support::account::{Attempts, intact, message};
use support::power::{Disk, Event, Recording, Refused, SECTOR_BYTES, Sectors, Shape, Tape, Writes, numbers_of};
use support::random::{Random, seeds};
use support::segments;

/// Pending writes of which every subset is tried.
const EVERY_SUBSET_OF: u32 = 12;

/// Subsets that are tried of more.
const SUBSETS: u64 = 200;

/// What the next run logs.
const AFTER_THE_CUT: &[u8] = b"after the cut";

/// How a run goes.
#[derive(Clone, Copy)]
struct Plan {
    overflow: Overflow,
    blocks_in_flight: usize,
    /// How often records are logged, and how many at most at a time.
    bursts: u64,
    burst_records: u64,
    refused: Option<Refused>,
}

const ORDINARY: Plan =
    Plan { overflow: Overflow::Block, blocks_in_flight: 4, bursts: 30, burst_records: 150, refused: None };

/// A run, and what its callers were told.
struct Run {
    seed: u64,
    recording: Recording,
    attempts: Vec<Attempts>,
    /// For each mark, how many attempts of each producer had been made when a flush or close that then succeeded began.
    acknowledged: Vec<Vec<usize>>,
}

/// Logs bursts of two producers, with flushes and rotations in between, and closes.
fn run(seed: u64, plan: Plan) -> Run {
    let mut random = Random::new(seed);
    let directory = support::directory();
    let tape = Tape::default();
    let config = segments::small(directory.path().join("log"));
    let config = config.ring_bytes(16 << 10).blocks_in_flight(plan.blocks_in_flight).overflow(plan.overflow);
    let logger = tape.hooks(seed, plan.refused).open(config).expect("a log");
    let producers = [(); 2].map(|()| logger.producer().expect("a producer"));
    let mut attempts: Vec<_> = producers.iter().map(Attempts::new).collect();
    let mut acknowledged = Vec::new();
    for _ in 0..plan.bursts {
        for _ in 0..1 + random.below(plan.burst_records) {
            let one = random.below(2) as usize;
            attempts[one].log(&producers[one]);
        }
        if random.one_in(6) {
            logger.rotate().expect("an open log");
        }
        if random.one_in(2) {
            let flushed = logger.flush();
            // After an error, the writer soon goes on in another segment.
            while flushed.is_err() && logger.flush().is_err() {
                std::thread::yield_now();
            }
            acknowledge(&tape, &attempts, &mut acknowledged, flushed);
        }
    }
    drop(producers);
    acknowledge(&tape, &attempts, &mut acknowledged, logger.close().map(drop));
    Run { seed, recording: tape.recording(), attempts, acknowledged }
}

fn acknowledge(tape: &Tape, attempts: &[Attempts], acknowledged: &mut Vec<Vec<usize>>, result: diolog::Result<()>) {
    if result.is_ok() {
        tape.mark(acknowledged.len());
        acknowledged.push(attempts.iter().map(|attempts| attempts.outcomes.len()).collect());
    }
}

impl Run {
    /// What is wrong with the log in `directory`, if a flush had acknowledged everything up to that mark: what is read
    /// of it, but for the verdict.
    fn fault_of_records(&self, directory: &Path, mark: Option<usize>) -> Option<String> {
        let mut found: Vec<HashSet<u64>> = vec![HashSet::new(); self.attempts.len()];
        match Reader::open(directory) {
            Err(_) => {}
            Ok(mut reader) => loop {
                let record = match reader.next_record() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(error) => return Some(format!("not readable: {error}")),
                };
                if record.message() == AFTER_THE_CUT {
                    continue;
                }
                let (id, sequence) = (record.producer_id(), record.sequence());
                let Some(at) = self.attempts.iter().position(|attempts| attempts.id == id) else {
                    return Some(format!("a record of producer {id}, which there is not"));
                };
                let outcome = self.attempts[at].outcomes.get(sequence as usize);
                if outcome != Some(&Outcome::Written) || record.message() != message(id, sequence) {
                    return Some(format!("record {sequence} of producer {id} was not logged so: {outcome:?}"));
                }
                if !found[at].insert(sequence) {
                    return Some(format!("record {sequence} of producer {id} is there twice"));
                }
            },
        }
        let acknowledged = &self.acknowledged[mark?];
        for (at, attempts) in self.attempts.iter().enumerate() {
            let mut written =
                (0..acknowledged[at] as u64).filter(|&number| attempts.outcomes[number as usize] == Outcome::Written);
            if let Some(missing) = written.find(|number| !found[at].contains(number)) {
                return Some(format!("record {missing} of producer {} was acknowledged", attempts.id));
            }
        }
        None
    }

    /// As above, for files that a power cut alone has left, with the verdict.
    fn fault_of_cut(&self, directory: &Path, mark: Option<usize>, end: End) -> Option<String> {
        let fault = self.fault_of_records(directory, mark);
        if fault.is_some() {
            return fault;
        }
        // Before its first header is durable, a log is none.
        let verification = match diolog::verify(directory) {
            Ok(verification) => verification,
            Err(error) => return mark.is_some().then(|| format!("acknowledged, and no log: {error}")),
        };
        let dropped = self.attempts.iter().map(|attempts| attempts.count(Outcome::Dropped)).sum();
        let expected = match end {
            End::Clean => vec![intact(dropped)],
            End::Before => vec![intact(dropped), Verdict::Unconfirmed],
            End::None => vec![Verdict::Unconfirmed],
        };
        (!expected.contains(&verification.verdict) || verification.report.blocks.lost > 0)
            .then(|| format!("{}, expected {expected:?}: {:#?}", verification.verdict, verification.report.findings))
    }

    /// The files' shape while `submitted` are submitted and `completed` have completed. By a toss of a coin, files are
    /// cut, and the next one is there already.
    fn shape(&self, submitted: Writes, completed: Writes, random: &mut Random) -> Shape {
        let writes = &self.recording.writes;
        let files = numbers_of(submitted).map(|number| writes[number].file + 1).max().unwrap_or(0);
        let unsettled = numbers_of(submitted & !completed).map(|number| writes[number].file).min();
        let left = if self.end(completed, files) == End::Clean { files } else { files.saturating_sub(1) };
        let cut = if random.one_in(2) { left.min(unsettled.unwrap_or(left)) } else { 0 };
        let is_next_there = random.one_in(4) && files < self.recording.files.len();
        Shape { files: files + usize::from(is_next_there), cut }
    }

    /// The end of the run that is among these writes, in so many files.
    fn end(&self, writes: Writes, files: usize) -> End {
        let of = |number| &self.recording.writes[number];
        // Its segment's header may be in flight beside it.
        let has_header = |file| numbers_of(writes).map(of).any(|write| write.is_segment_header() && write.file == file);
        let ends = numbers_of(writes).map(of).filter(|write| write.is_clean_end());
        match ends.map(|end| end.file).max() {
            Some(file) if file + 1 < files => End::Before,
            Some(file) if has_header(file) => End::Clean,
            _ => End::None,
        }
    }

    /// Fails the test with all that is known about a state.
    fn fail(&self, fault: &str, state: &State, what: &str) -> ! {
        let mut writes = String::new();
        for (number, write) in self.recording.writes.iter().enumerate() {
            let fate = match (state.present >> number & 1 != 0, state.completed >> number & 1 != 0) {
                (true, true) => "durable",
                (true, false) => "there, not completed",
                (false, true) => "taken away",
                (false, false) => "not there",
            };
            let kind = if write.is_segment_header() { "header before block" } else { "block" };
            let below = write.durable_below();
            let (name, offset) = (&self.recording.files[write.file].0, write.offset);
            writes +=
                &format!("{number}: {name} at {offset}: {kind} {}, durable below {below}: {fate}\n", write.number());
        }
        panic!("DIOLOG_SEED={} {what}: {fault}\n{:?}\n{writes}", self.seed, state.shape);
    }
}

/// What the files say of a run's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is clean.
    Clean,
    /// The clean end was refused, and yet is there; a file follows, in which it was to stand again. Another run may
    /// have begun there too.
    Before,
    /// There is none.
    None,
}

/// What a cut leaves.
struct State {
    present: Writes,
    completed: Writes,
    shape: Shape,
}

/// Tries every state that a power cut may leave of a run. Returns how many there were.
fn cut_everywhere(run: &Run) -> usize {
    let directory = support::directory();
    let mut disk = Disk::new(&run.recording, &directory.path().join("log"));
    let mut random = Random::new(run.seed);
    let (mut submitted, mut completed): (Writes, Writes) = (0, 0);
    let mut mark = None;
    let mut seen = HashSet::new();
    for event in &run.recording.events {
        match *event {
            Event::Submitted(number) => submitted |= 1 << number,
            Event::Completed(number) => completed |= 1 << number,
            Event::Marked(number) => mark = Some(number),
        }
        let pending = submitted & !completed;
        for subset in subsets(pending, &mut random) {
            let present = completed | subset;
            if !seen.insert((present, mark)) {
                continue;
            }
            let state = State { present, completed, shape: run.shape(submitted, completed, &mut random) };
            disk.set(present, state.shape);
            let fault = run.fault_of_cut(disk.directory(), mark, run.end(present, state.shape.files));
            if let Some(fault) = fault {
                run.fail(&fault, &state, "a cut");
            }
        }
        if let Event::Submitted(_) = event {
            tear_one(run, &mut disk, (submitted, completed, mark), &mut random);
            tear_all(run, &mut disk, (submitted, completed, mark), &mut random);
        }
    }
    // What was refused stays as it is.
    for _ in 0..if submitted == completed { 0 } else { 20 } {
        tear_one(run, &mut disk, (submitted, completed, mark), &mut random);
        tear_all(run, &mut disk, (submitted, completed, mark), &mut random);
    }
    seen.len()
}

/// All subsets, or some of them.
fn subsets(pending: Writes, random: &mut Random) -> Vec<Writes> {
    if pending.count_ones() > EVERY_SUBSET_OF {
        let some = |_| pending & (u128::from(random.number()) << 64 | u128::from(random.number()));
        return [0, pending].into_iter().chain((0..SUBSETS).map(some)).collect();
    }
    // Carries run through the bits that are not pending.
    let next = |subset: &Writes| Some(subset.wrapping_sub(pending) & pending).filter(|next| *next != 0);
    std::iter::successors(Some(0), next).collect()
}

/// Tears one pending write after each of its sectors, without the first one, and in some random ways, with any of the
/// others there.
fn tear_one(run: &Run, disk: &mut Disk, moment: (Writes, Writes, Option<usize>), random: &mut Random) {
    let (submitted, completed, mark) = moment;
    let pending: Vec<_> = numbers_of(submitted & !completed).collect();
    let torn = pending[random.below(pending.len() as u64) as usize];
    let write = &run.recording.writes[torn];
    let every = write.sectors();
    let mut there: Vec<Sectors> = (1..every.count_ones()).map(|count| every >> (every.count_ones() - count)).collect();
    there.push(every & !1);
    there.extend([(); 4].map(|()| random.number() & every).into_iter().filter(|&sectors| sectors != every));
    for there in there {
        let others = subsets_of(&pending, torn, random);
        let state = State { present: completed | others, completed, shape: run.shape(submitted, completed, random) };
        expect_nothing_lost(run, disk, &state, &[(torn, there)], mark);
    }
}

/// Tears each of the pending writes, in a random way.
fn tear_all(run: &Run, disk: &mut Disk, moment: (Writes, Writes, Option<usize>), random: &mut Random) {
    let (submitted, completed, mark) = moment;
    let (state, torn) = any_state(run, (submitted, completed), random);
    expect_nothing_lost(run, disk, &state, &torn, mark);
}

/// A state in which each pending write is there, not there, or torn, at random; and the torn ones.
fn any_state(
    run: &Run,
    (submitted, completed): (Writes, Writes),
    random: &mut Random,
) -> (State, Vec<(usize, Sectors)>) {
    let shape = run.shape(submitted, completed, random);
    let (mut present, mut torn) = (completed, Vec::new());
    for number in numbers_of(submitted & !completed) {
        let every = run.recording.writes[number].sectors();
        match random.below(6) {
            0 => {}
            1 => present |= 1 << number,
            2 => torn.push((number, every & !1)),
            3 => torn.push((number, every >> random.below(u64::from(every.count_ones())))),
            _ => torn.push((number, random.number() & every)),
        }
    }
    (State { present, completed, shape }, torn)
}

/// Fails the test if a cut leaves this state, with these writes torn, and something is lost or called so.
fn expect_nothing_lost(run: &Run, disk: &mut Disk, state: &State, torn: &[(usize, Sectors)], mark: Option<usize>) {
    disk.set(state.present, state.shape);
    let is_whole = |(number, there): &&(usize, Sectors)| run.recording.writes[*number].is_whole(*there);
    let whole = torn.iter().filter(is_whole).fold(0, |whole: Writes, (number, _)| whole | 1 << number);
    let end = run.end(state.present | whole, state.shape.files);
    disk.with_torn(torn, |directory| {
        if let Some(fault) = run.fault_of_cut(directory, mark, end) {
            let sectors =
                |(number, there): &(usize, Sectors)| format!("write {number} torn to the sectors {there:#b}, ");
            run.fail(&fault, state, &torn.iter().map(sectors).collect::<String>());
        }
    });
}

/// Any of the pending writes but one.
fn subsets_of(pending: &[usize], without: usize, random: &mut Random) -> Writes {
    let mut writes = 0;
    for &number in pending {
        if number != without && random.one_in(2) {
            writes |= 1 << number;
        }
    }
    writes
}

/// Cuts the power everywhere in a run of each seed.
fn cut_runs(given: std::ops::Range<u64>, plan: impl Fn(u64) -> Plan) {
    for seed in seeds(given) {
        // The log begins a segment when a thread of its own has prepared it: on a busy machine a run may end before.
        let is_long_enough = |run: &Run| !run.acknowledged.is_empty() && run.recording.files.len() > 2;
        let run = (0..100).map(|_| run(seed, plan(seed))).find(is_long_enough);
        let run = run.unwrap_or_else(|| panic!("seed {seed}: each run is too short"));
        let states = cut_everywhere(&run);
        println!("seed {seed}: {} writes, {states} states", run.recording.writes.len());
    }
}

#[test]
fn a_cut_at_any_moment_loses_nothing_that_was_acknowledged() {
    cut_runs(0..3, |_| ORDINARY);
}

#[test]
fn a_cut_loses_nothing_while_the_newest_are_dropped() {
    cut_runs(10..12, |_| Plan { overflow: Overflow::DropNewest, burst_records: 300, ..ORDINARY });
}

#[test]
fn a_cut_loses_nothing_with_many_blocks_in_flight() {
    cut_runs(20..22, |_| Plan { blocks_in_flight: 20, bursts: 8, burst_records: 900, ..ORDINARY });
}

#[test]
fn a_cut_loses_nothing_after_a_write_error() {
    cut_runs(30..34, |seed| Plan { refused: Some(Refused::Write(seed as usize % 4 * 4)), ..ORDINARY });
}

#[test]
fn a_cut_loses_nothing_after_a_segment_that_took_no_write() {
    cut_runs(60..63, |seed| Plan { refused: Some(Refused::File(seed as usize % 3)), ..ORDINARY });
}

#[test]
fn a_cut_loses_nothing_among_many_write_errors() {
    cut_runs(70..72, |_| Plan { refused: Some(Refused::OneIn(8)), bursts: 15, ..ORDINARY });
}

/// A way to take a durable block away.
#[derive(Clone, Copy, Debug)]
enum Removal {
    Zeroed,
    WithoutItsHeader,
    OneBitChanged,
}

#[test]
fn durable_blocks_that_are_taken_away_are_called_lost_if_a_later_block_proves_it() {
    for seed in seeds(40..43) {
        let run = run(seed, Plan { refused: (seed == 42).then_some(Refused::Write(9)), ..ORDINARY });
        let proved = take_away(&run);
        assert!(proved.0 > 20 && proved.1 > 5, "seed {seed}: {proved:?} lost and unconfirmed");
        println!("seed {seed}: {proved:?} lost and unconfirmed");
    }
}

/// Takes every acknowledged block away, from the files after each flush and after close. Returns how often that was
/// proved, and how often not.
fn take_away(run: &Run) -> (u64, u64) {
    let directory = support::directory();
    let mut disk = Disk::new(&run.recording, &directory.path().join("log"));
    let mut random = Random::new(run.seed);
    let (mut submitted, mut completed): (Writes, Writes) = (0, 0);
    let (mut lost, mut unconfirmed) = (0, 0);
    for event in &run.recording.events {
        match *event {
            Event::Submitted(number) => submitted |= 1 << number,
            Event::Completed(number) => completed |= 1 << number,
            Event::Marked(_) => {
                let present = completed | submitted & u128::from(random.number());
                let shape = run.shape(submitted, completed, &mut random);
                let state = State { present, completed, shape };
                for removed in acknowledged_blocks(run, completed) {
                    let block = run.recording.writes[removed].number();
                    let others = present & !(1 << removed);
                    let mut blocks: Vec<_> = numbers_of(others).map(|number| &run.recording.writes[number]).collect();
                    blocks.retain(|write| !write.is_segment_header());
                    // A failed segment may hold a copy.
                    if blocks.iter().any(|write| write.number() == block) {
                        continue;
                    }
                    let is_proved = blocks.iter().any(|write| write.durable_below() > block);
                    *if is_proved { &mut lost } else { &mut unconfirmed } += 1;
                    let expected = if is_proved { Verdict::Lost } else { Verdict::Unconfirmed };
                    disk.set(present, shape);
                    expect_missing(run, &mut disk, (removed, &state), expected, &mut random);
                }
            }
        }
    }
    (lost, unconfirmed)
}

/// The writes of blocks that are durable with all before them.
fn acknowledged_blocks(run: &Run, completed: Writes) -> Vec<usize> {
    let block = |number: usize| Some(&run.recording.writes[number]).filter(|write| !write.is_segment_header());
    let numbers: HashSet<u64> = numbers_of(completed).filter_map(block).map(|write| write.number()).collect();
    let durable_below = (0..).find(|number| !numbers.contains(number)).expect("a number that is not there");
    let is_acknowledged = |number: &usize| block(*number).is_some_and(|write| write.number() < durable_below);
    numbers_of(completed).filter(is_acknowledged).collect()
}

fn expect_missing(run: &Run, disk: &mut Disk, of: (usize, &State), expected: Verdict, random: &mut Random) {
    let (removed, state) = of;
    let covered = run.recording.writes[removed].covered_bytes();
    let bit = random.below(covered as u64 * 8) as usize;
    for removal in [Removal::Zeroed, Removal::WithoutItsHeader, Removal::OneBitChanged] {
        let change = |bytes: &mut [u8]| match removal {
            Removal::Zeroed => bytes.fill(0),
            Removal::WithoutItsHeader => bytes[..SECTOR_BYTES].fill(0),
            Removal::OneBitChanged => bytes[bit / 8] ^= 1 << (bit % 8),
        };
        disk.with_change(removed, change, |directory| {
            let what = format!("write {removed} {removal:?}, bit {bit}");
            if let Some(fault) = run.fault_of_records(directory, None) {
                run.fail(&fault, state, &what);
            }
            let verification = diolog::verify(directory).expect("a log");
            if verification.verdict != expected {
                let findings = &verification.report.findings;
                run.fail(&format!("{}, expected {expected}: {findings:#?}", verification.verdict), state, &what);
            }
        });
    }
}

#[test]
fn a_log_goes_on_after_a_cut_and_keeps_what_was_acknowledged() {
    for seed in seeds(50..54) {
        let refused = (seed % 2 == 1).then_some(Refused::OneIn(8));
        let run = run(seed, Plan { refused, ..ORDINARY });
        let root = support::directory();
        let mut random = Random::new(seed);
        let (mut submitted, mut completed): (Writes, Writes) = (0, 0);
        let mut mark = None;
        for (at, event) in run.recording.events.iter().enumerate() {
            match *event {
                Event::Submitted(number) => submitted |= 1 << number,
                Event::Completed(number) => completed |= 1 << number,
                Event::Marked(number) => mark = Some(number),
            }
            if !random.one_in(8) {
                continue;
            }
            let (state, torn) = any_state(&run, (submitted, completed), &mut random);
            let mut disk = Disk::new(&run.recording, &root.path().join(at.to_string()));
            disk.set(state.present, state.shape);
            disk.with_torn(&torn, |path| {
                if let Some(fault) = fault_of_going_on(&run, path, mark) {
                    run.fail(&fault, &state, &format!("the log goes on, {torn:?} torn"));
                }
            });
        }
    }
}

/// What is wrong if the log that a cut has left in `directory` goes on with one record and a clean end.
fn fault_of_going_on(run: &Run, directory: &Path, mark: Option<usize>) -> Option<String> {
    let logger = Logger::open(segments::small(directory)).expect("a log goes on");
    assert_eq!(logger.producer().expect("a producer").log(Level::Info, AFTER_THE_CUT), Outcome::Written);
    logger.close().expect("a clean end");
    let fault = run.fault_of_records(directory, mark);
    if fault.is_some() {
        return fault;
    }
    let report = diolog::verify(directory).expect("a log").report;
    let last = report.runs.last().expect("the new run");
    let is_whole = last.clean_end && last.records == 1;
    let is_lost = report.blocks.lost > 0 || report.verdict() > Verdict::Unconfirmed;
    (is_lost || !is_whole).then(|| format!("{report:#?}"))
}
